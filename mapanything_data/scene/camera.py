"""The pinhole camera with lens distortion, and what resizing, cropping and turning a picture do to it."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats, as_array

_SKEW_TOLERANCE = 1e-6  # pixels: what rounding leaves of a skew that is meant to be zero


class Distortion(NamedTuple):
    """Brown's radial (k) and tangential (p) coefficients, in the order that OpenCV gives and takes them."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0


NO_DISTORTION = Distortion()


@dataclass(frozen=True, slots=True)
class Camera:
    """Intrinsics of one picture size. OpenCV axes: x right, y down, z forward.

    Pixel centres are integers: the centre of the top-left pixel is (0, 0), so the middle of a picture of
    width 800 is at 399.5. A calibration that puts it at 400 counts from the pixel's corner: subtract 0.5 at
    the border.

    Raises:
        ValueError: A size or focal length is not positive, a number is not finite, or there are not five
            distortion coefficients.
    """

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    fx: float
    """Focal length along x, pixels."""
    fy: float
    """Focal length along y, pixels."""
    cx: float
    """Column of the principal point, pixels; it may lie outside a cropped picture."""
    cy: float
    """Row of the principal point, pixels."""
    distortion: Distortion = NO_DISTORTION
    """All zero means none. Any sequence k1, k2, p1, p2, k3 is taken."""

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            object.__setattr__(self, name, _positive_integer(name, getattr(self, name)))
        for name in ("fx", "fy", "cx", "cy"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))
        for name in ("fx", "fy"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a positive focal length in pixels")
        object.__setattr__(self, "distortion", _distortion(self.distortion))

    @classmethod
    def from_matrix(
        cls, matrix: ArrayLike, width: int, height: int, distortion: Sequence[float] = NO_DISTORTION
    ) -> Camera:
        """The camera of an intrinsic matrix.

        Args:
            matrix: [3, 3], pixels, integer pixel centres.
            width: Pixels.
            height: Pixels.
            distortion: k1, k2, p1, p2, k3.

        Raises:
            ValueError: The matrix has a skew or is not an intrinsic matrix.
        """
        K = as_array("matrix", matrix, (3, 3), np.float64)
        if abs(K[0, 1]) > _SKEW_TOLERANCE or K[1, 0] != 0:
            raise ValueError(f"matrix has skew {K[0, 1]} and {K[1, 0]}, expected 0: rectify the pictures first")
        if not np.array_equal(K[2], [0, 0, 1]):
            raise ValueError(f"matrix has the last row {K[2].tolist()}, expected [0, 0, 1]; is it transposed?")
        return cls(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2], _distortion(distortion))

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov: float) -> Camera:
        """A camera with square pixels that looks through the middle of its picture, as renderers have it.

        Args:
            width: Pixels.
            height: Pixels.
            horizontal_fov: Radians between the outer edges of the first and the last column, in (0, pi).
        """
        if not 0 < horizontal_fov < math.pi:
            raise ValueError(f"horizontal_fov is {horizontal_fov}, expected radians between 0 and pi")
        f = width / 2 / math.tan(horizontal_fov / 2)
        return cls(width, height, f, f, (width - 1) / 2, (height - 1) / 2)

    @property
    def matrix(self) -> Floats:
        """The intrinsic matrix K, [3, 3] float64, pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """True when a straight line of the world may be bent in the picture."""
        return any(self.distortion)

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the picture after scaling it to `width` x `height`.

        The picture's outer edges keep their place, as in cv2.resize and torch's `align_corners=False`.
        Distortion acts on normalised points, so its coefficients stay.
        """
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of `image[top : top + height, left : left + width]`.

        Raises:
            ValueError: The window reaches beyond the picture.
        """
        if left < 0 or top < 0 or left + width > self.width or top + height > self.height:
            raise ValueError(
                f"crop of {width}x{height} at ({left}, {top}) is not within {self.width}x{self.height} pixels"
            )
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def rotated(self, quarter_turns: int) -> Camera:
        """The camera of the picture after turning it clockwise, `np.rot90(image, -quarter_turns)`.

        The camera's axes turn with the picture: one turn takes the point (x, y, z) to (-y, x, z). A pose
        must follow, `T_world_camera @ inv(R)` with R = [[0, -1, 0], [1, 0, 0], [0, 0, 1]] for each turn, or
        the view is wrong.
        """
        camera = self
        for _ in range(quarter_turns % 4):
            camera = camera._turned_clockwise()
        return camera

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: width, height, fx, fy, cx, cy and distortion, a list k1, k2, p1, p2, k3."""
        return {
            "width": self.width,
            "height": self.height,
            "fx": self.fx,
            "fy": self.fy,
            "cx": self.cx,
            "cy": self.cy,
            "distortion": list(self.distortion),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Camera:
        """The camera that `to_dict` wrote; without "distortion" there is none.

        Raises:
            ValueError: A key is missing or unknown, or a value does not make sense.
        """
        required = {"width", "height", "fx", "fy", "cx", "cy"}
        missing = sorted(required - values.keys())
        unknown = sorted(values.keys() - required - {"distortion"})
        if missing or unknown:
            raise ValueError(f"camera has missing keys {missing} and unknown keys {unknown}")
        return cls(**values)

    def _turned_clockwise(self) -> Camera:
        k1, k2, p1, p2, k3 = self.distortion
        # With (x', y') = (-y, x) the radial terms keep their form and the tangential ones trade places:
        # x'_d = -y_d = x'(1 + ...) + 2 p2 x'y' - p1 (r^2 + 2 x'^2).
        return Camera(
            width=self.height,
            height=self.width,
            fx=self.fy,
            fy=self.fx,
            cx=self.height - 1 - self.cy,
            cy=self.cx,
            distortion=Distortion(k1, k2, p1=p2, p2=-p1, k3=k3),
        )


def _distortion(coefficients: Any) -> Distortion:
    names = Distortion._fields
    if np.shape(coefficients) != (len(names),):
        raise ValueError(f"distortion is {coefficients!r}, expected five numbers: {', '.join(names)}")
    return Distortion(*(_finite(name, k) for name, k in zip(names, coefficients, strict=True)))


def _positive_integer(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}, expected a whole number of pixels") from None
    if number <= 0 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected a positive number of pixels")
    return number


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, expected a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}, expected a finite number")
    return number
