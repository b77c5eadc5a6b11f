"""Depth maps beside an OPV2V root, in the four layouts that are in use (`layout.DEPTH_LAYOUTS`).

The layout says how a file is named; what it holds is told by the file itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.storage.arrays import read_npy, write_npy
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.png import decode_png, encode_png

PNG_STEP = 1 / 256
"""Metres a level of a 16-bit PNG: KITTI's scale, which reaches 255.99 m. Millimetres would end at 65.535 m."""

_CARLA_FAR = 1000.0
_CARLA_LEVELS = 256**3 - 1


def read_depth(path: Path) -> NDArray[np.float32]:
    """A depth map: [H, W] float32, z-depth in metres, 0 where there is none.

    `.npy` holds metres; infinite and NaN values become 0. A PNG of 16 bits holds 1/256 m, one of 8 bits whole metres,
    one of three channels CARLA's code 1000 (R + 256 G + 65536 B) / (256^3 - 1), whose far plane becomes 0.

    Raises:
        DataError: The file cannot be read, is damaged, or no depth map.
    """
    if path.suffix == ".npy":
        return _metres(path, read_npy(path))
    image = decode_png(path)
    if image.ndim == 3:
        levels = image.astype(np.float64) @ np.array([1.0, 256.0, 65536.0])
        depth = _CARLA_FAR * levels / _CARLA_LEVELS
        return np.where(levels < _CARLA_LEVELS, depth, 0.0).astype(np.float32)
    step = np.float32(PNG_STEP if image.dtype == np.uint16 else 1.0)
    metres: NDArray[np.float32] = image.astype(np.float32) * step
    return metres


def write_depth(path: Path, depth: NDArray[np.float32]) -> None:
    """Write a depth map, [H, W] float32 metres, as `.npy` or as a PNG of 16 bits in steps of 1/256 m.

    In a PNG, depth beyond 255.99 m becomes 0, as there is no value for it, and depth below half a step becomes a step.
    """
    if path.suffix == ".npy":
        write_npy(path, depth)
        return
    levels = np.rint(depth / PNG_STEP)
    levels = np.where(depth > 0, np.maximum(levels, 1), 0)
    write_atomic(path, encode_png(np.where(levels <= np.iinfo(np.uint16).max, levels, 0).astype(np.uint16)))


def _metres(path: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        raise DataError(
            path,
            f"holds {list(array.shape)} {array.dtype}",
            expected="[H, W] floats, metres",
            remedy="correct the depth root, or make the depth again",
        )
    depth = array.astype(np.float32)
    if not np.isfinite(depth).all():
        depth = np.where(np.isfinite(depth), depth, np.float32(0))
    if (depth < 0).any():
        raise DataError(
            path, f"goes down to {depth.min()} m", expected="0 where there is no depth", remedy="make the depth again"
        )
    return depth
