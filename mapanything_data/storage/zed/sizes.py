"""Sizes of pictures that ZED cameras have, and what tells one from another."""

from __future__ import annotations

RESOLUTIONS = {
    "2K": (2208, 1242),
    "FHD": (1920, 1080),
    "FHD1200": (1920, 1200),
    "HD": (1280, 720),
    "SVGA": (960, 600),
    "VGA": (672, 376),
}
"""Name in calibration files to width and height of one eye's picture, pixels; FHD1200 and SVGA are ZED X's."""

_OFF_CENTRE = 0.04  # of the size: principal points of real calibrations are up to 2.5 % off the middle


def size_of_principal_point(cx: float, cy: float) -> tuple[int, int] | None:
    """The size of picture whose middle is near the principal point, where only one of ZED's sizes comes into question.

    Args:
        cx: Column, pixels.
        cy: Row, pixels.

    Returns:
        Width and height, or None where no size or more than one fits.
    """
    near = [size for size in RESOLUTIONS.values() if is_central(cx, cy, size, _OFF_CENTRE)]
    return near[0] if len(near) == 1 else None


def is_central(cx: float, cy: float, size: tuple[int, int], share: float) -> bool:
    """Whether a principal point lies within a share of width and height around the middle of a picture."""
    width, height = size
    return abs(cx - (width - 1) / 2) <= share * width and abs(cy - (height - 1) / 2) <= share * height


def eye_size(width: int, height: int) -> tuple[int, int] | None:
    """The size of one eye's picture, of one picture or of both side by side; None where it is no size of ZED's."""
    for size in ((width, height), (width // 2, height)):
        if size in RESOLUTIONS.values():
            return size
    return None
