"""Disparity and depth of a rectified pair of pictures.

A point at depth z appears in the left picture `focal * baseline / z + offset` pixels to the right of where it appears
in the right one; `offset` is how much farther right the left picture has its principal point (cx_left - cx_right).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def disparity_of_depth(depth: NDArray[Any] | float, focal: float, baseline: float, offset: float = 0.0) -> NDArray[Any]:
    """Pixels between the two images of a point.

    Args:
        depth: z-depth in metres, above 0, of any shape.
        focal: Focal length in pixels.
        baseline: Metres between the two eyes.
        offset: Pixels.
    """
    return focal * baseline / np.asarray(depth) + offset


def depth_of_disparity(
    disparity: NDArray[Any], focal: float, baseline: float, offset: float = 0.0
) -> NDArray[np.float32]:
    """z-depth of pixels.

    Args:
        disparity: Pixels, of any shape; NaN where unknown.
        focal: Focal length in pixels.
        baseline: Metres between the two eyes.
        offset: Pixels.

    Returns:
        float32, metres; 0 where the disparity is unknown or that of no point in front of the camera.
    """
    shift = np.asarray(disparity, np.float32) - np.float32(offset)
    depth = np.zeros(shift.shape, np.float32)
    np.divide(np.float32(focal * baseline), shift, out=depth, where=shift > 0)
    return depth
