"""Colours that PCL packs into one number for each point: 0x00RRGGBB, or a float32 with these bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def unpack_rgb(rgb: NDArray[Any]) -> NDArray[np.uint8]:
    """The colours of packed numbers; the upper byte (alpha, where a file has it) is left out.

    Args:
        rgb: [N] float32, uint32 or int32.

    Returns:
        [N, 3] uint8 RGB.

    Raises:
        ValueError: `rgb` has another shape or dtype.
    """
    if rgb.ndim != 1 or rgb.dtype not in (np.float32, np.uint32, np.int32):
        raise ValueError(f"packed colours are [N] float32, uint32 or int32, not {list(rgb.shape)} {rgb.dtype}")
    bits = np.ascontiguousarray(rgb).view(np.uint32)
    return (bits[:, None] >> np.array([16, 8, 0], np.uint32)).astype(np.uint8)


def pack_rgb(colours: NDArray[np.uint8], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Pack [N, 3] uint8 RGB to [N] float32, uint32 or int32.

    Raises:
        ValueError: `colours` has another shape or dtype, or `dtype` has not 4 bytes.
    """
    if colours.ndim != 2 or colours.shape[1] != 3 or colours.dtype != np.uint8:
        raise ValueError(f"colours are [N, 3] uint8 RGB, not {list(colours.shape)} {colours.dtype}")
    if np.dtype(dtype) not in (np.float32, np.uint32, np.int32):
        raise ValueError(f"colours are packed to float32, uint32 or int32, not {np.dtype(dtype)}")
    red, green, blue = colours.astype(np.uint32).T
    packed: NDArray[Any] = (red << 16 | green << 8 | blue).view(dtype)
    return packed
