"""Pictures and depth maps at another size, with the camera that belongs to them.

A picture is scaled until it covers the target, its shape kept, and cropped where it reaches beyond. Pixel centres are
integers and the outer edges of a picture keep their place when it is scaled, as in `Camera.resized`: the centre of
column u of n lands on the source's column (u + 0.5) * source_width / n - 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene import Camera


@dataclass(frozen=True, slots=True)
class Resampling:
    """Scaling a camera's picture and cropping it.

    Attributes:
        source: The camera of the whole picture.
        scaled_width: Width of the whole picture after scaling, pixels.
        scaled_height: Height of the whole picture after scaling, pixels.
        left: First column of the crop in the scaled picture.
        top: First row of the crop in the scaled picture.
        width: Columns of the crop.
        height: Rows of the crop.
    """

    source: Camera
    scaled_width: int
    scaled_height: int
    left: int
    top: int
    width: int
    height: int

    @property
    def camera(self) -> Camera:
        """The camera of the result. Whole pixels are scaled and cropped, so its intrinsics are exact."""
        scaled = self.source.resized(self.scaled_width, self.scaled_height)
        return scaled.cropped(self.left, self.top, self.width, self.height)

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture, [H, W, 3] uint8 of the source's size: averaged over areas where it shrinks, cubic where it grows.

        Raises:
            ValueError: It has another size.
        """
        import cv2

        _require_size("image", image, self.source)
        if (self.scaled_width, self.scaled_height) != (self.source.width, self.source.height):
            shrinks = self.scaled_width <= self.source.width and self.scaled_height <= self.source.height
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            image = cv2.resize(image, (self.scaled_width, self.scaled_height), interpolation=method)
        cropped = image[self.top : self.top + self.height, self.left : self.left + self.width]
        return np.ascontiguousarray(cropped)

    def dense_depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """A depth map that has a value nearly everywhere, [H, W] float32: each pixel takes the nearest one's value.

        Values are not mixed: the mean of a car's depth and that of the house behind it is the depth of neither.

        Raises:
            ValueError: It has another size.
        """
        _require_size("depth", depth, self.source)
        rows = nearest_indices(self.source.height, self.scaled_height)[self.top : self.top + self.height]
        columns = nearest_indices(self.source.width, self.scaled_width)[self.left : self.left + self.width]
        return depth.take(rows, axis=0).take(columns, axis=1)

    def sparse_depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """A depth map of few values, [H, W] float32: each value goes to the pixel that its own centre falls into.

        Taking the nearest pixel's value would lose most of them when a map shrinks. Where several meet, the smallest
        stays, since what is nearer hides the rest. Enlarged, a map has no more values than before.

        Raises:
            ValueError: It has another size.
        """
        _require_size("depth", depth, self.source)
        filled = np.flatnonzero(depth > 0)  # of booleans it takes a sixth of the time
        values = depth.ravel()[filled]
        rows, columns = np.divmod(filled, self.source.width)
        rows = _cell(rows, self.source.height, self.scaled_height) - self.top
        columns = _cell(columns, self.source.width, self.scaled_width) - self.left
        inside = (rows >= 0) & (rows < self.height) & (columns >= 0) & (columns < self.width)
        rows, columns, values = rows[inside], columns[inside], values[inside]
        farthest_first = np.argsort(-values, kind="stable")  # of several assignments to one place the last one stays
        result = np.zeros((self.height, self.width), np.float32)
        result[rows[farthest_first], columns[farthest_first]] = values[farthest_first]
        return result


def cover(camera: Camera, width: int, height: int, place: tuple[float, float] | None = None) -> Resampling:
    """How a camera's picture becomes one of `width` x `height`.

    The larger of the two ratios scales it, so that one axis fits and the other is cropped. Scaled sizes are whole
    pixels, which changes the ratio of the axes by up to half a pixel over the picture; the intrinsics follow.

    Args:
        camera: Of the whole picture.
        width: Pixels.
        height: Pixels.
        place: Where the crop lies between the left and top (0) and the right and bottom (1) end of its room, two
            numbers in [0, 1). None puts the principal point as near to the middle of the crop as whole pixels allow
            and the picture reaches; what is left of the way stands in the camera.

    Raises:
        ValueError: A size is not positive, or a place is outside of [0, 1).
    """
    if width < 1 or height < 1:
        raise ValueError(f"target is {width}x{height}, expected positive numbers of pixels")
    scale = max(width / camera.width, height / camera.height)
    scaled = camera.resized(max(width, round(camera.width * scale)), max(height, round(camera.height * scale)))
    room_x, room_y = scaled.width - width, scaled.height - height
    if place is None:
        left, top = _centred(scaled.cx, width, room_x), _centred(scaled.cy, height, room_y)
    else:
        if not all(0 <= where < 1 for where in place):
            raise ValueError(f"place is {place}, expected two numbers in [0, 1)")
        left, top = int(place[0] * (room_x + 1)), int(place[1] * (room_y + 1))
    return Resampling(camera, scaled.width, scaled.height, left, top, width, height)


def nearest_indices(source: int, target: int) -> NDArray[np.intp]:
    """The source pixel whose centre is nearest to each of `target` pixels laid over `source` ones, [target].

    Where two are equally near, as everywhere at half size, odd pixels take the first and even ones the second: always
    the same side would shift the whole map by half a pixel.
    """
    # Twice the place, counted from the outer edge, in whole numbers: nothing is lost to rounding.
    doubled = (2 * np.arange(target) + 1) * source
    index, rest = np.divmod(doubled, 2 * target)
    between = (rest == 0) & (np.arange(target) % 2 == 1)
    nearest: NDArray[np.intp] = (index - between).astype(np.intp)
    return nearest


def _cell(index: NDArray[np.intp], source: int, target: int) -> NDArray[np.intp]:
    """The pixel of `target` that holds the centres of pixels of `source`."""
    cell: NDArray[np.intp] = ((2 * index + 1) * target) // (2 * source)
    return cell


def _centred(principal: float, size: int, room: int) -> int:
    return min(max(round(principal - (size - 1) / 2), 0), room)


def _require_size(name: str, array: NDArray[Any], camera: Camera) -> None:
    if array.shape[:2] != (camera.height, camera.width):
        raise ValueError(f"{name} is {array.shape[1]}x{array.shape[0]}, expected {camera.width}x{camera.height}")
