"""Pictures: as a recording yields them (Frame), and as a place in the world saw it (View)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import require_array, require_finite
from mapanything_data.scene.camera import Camera
from mapanything_data.scene.pose import Pose


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a recording. The image is not copied.

    Raises:
        ValueError: The image is not RGB bytes, its size is not the camera's, or the time or index makes no
            sense.
    """

    image: NDArray[np.uint8]
    """[H, W, 3] uint8, RGB."""
    timestamp: float
    """Seconds on the clock of the recording."""
    source_frame: int
    """Index of the picture in the recording, counted from 0 and over dropped pictures too."""
    camera: Camera | None = None
    """What took it, where the recording knows."""
    doubt: str = ""
    """Why its pixels may be wrong; empty where nothing speaks against them."""

    def __post_init__(self) -> None:
        _require_image(self.image, self.camera)
        _require_timestamp(self.timestamp)
        if self.source_frame < 0:
            raise ValueError(f"source_frame is {self.source_frame}, expected an index of 0 or more")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class View:
    """A picture with what is known of its geometry. The arrays are not copied.

    Raises:
        ValueError: The image is not RGB bytes, a size is not the camera's, or a depth is negative or not
            finite.
    """

    image: NDArray[np.uint8]
    """[H, W, 3] uint8, RGB."""
    camera: Camera
    """Intrinsics of this picture; its size is the image's."""
    timestamp: float
    """Seconds on the clock of the recording."""
    T_world_camera: Pose | None = None
    """Maps camera points to world points."""
    depth: NDArray[np.float32] | None = None
    """[H, W] float32, z-depth (not range) in metres; 0 where there is none."""

    def __post_init__(self) -> None:
        _require_image(self.image, self.camera)
        _require_timestamp(self.timestamp)
        if self.depth is not None:
            require_array("depth", self.depth, (self.camera.height, self.camera.width), np.float32)
            require_finite("depth", self.depth)
            if (self.depth < 0).any():
                raise ValueError(f"depth goes down to {self.depth.min()} m; expected 0 where there is none")


def _require_image(image: object, camera: Camera | None) -> None:
    require_array("image", image, ("H", "W", 3) if camera is None else (camera.height, camera.width, 3), np.uint8)


def _require_timestamp(timestamp: float) -> None:
    if not math.isfinite(timestamp):
        raise ValueError(f"timestamp is {timestamp}, expected seconds")
