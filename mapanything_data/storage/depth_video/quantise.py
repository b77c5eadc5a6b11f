"""Depth in metres as whole numbers of 16 bits, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MILLIMETRE = 0.001
INVALID = 0
_LARGEST = np.iinfo(np.uint16).max


@dataclass(slots=True)
class DepthCounts:
    """What became of the pixels and frames of a depth video.

    Attributes:
        pixels: All.
        invalid: Stored as 0: without depth (0, negative, NaN or infinite), or saturated.
        saturated: Deeper than the largest value can say (65.535 m in millimetres). They are stored as 0: a wall at
            80 m is better unknown than at 65.535 m.
        raised: Above 0, but nearer to 0 than to one unit. They are stored as one unit, since 0 would say that there is
            no depth.
        lost_frames: Frames of which nothing is known, such as those of a damaged picture; all their pixels are 0.
    """

    pixels: int = 0
    invalid: int = 0
    saturated: int = 0
    raised: int = 0
    lost_frames: int = 0

    @property
    def invalid_share(self) -> float:
        """Invalid pixels of all."""
        return self.invalid / self.pixels if self.pixels else 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DepthCounts:
        """The counts of a JSON object.

        Raises:
            KeyError: One is missing.
        """
        return cls(*(int(values[name]) for name in ("pixels", "invalid", "saturated", "raised", "lost_frames")))


class Quantiser:
    """Turns depth maps of one size into whole units, counting what cannot be kept.

    Args:
        height: Pixels.
        width: Pixels.
        scale: Metres of one unit.
    """

    def __init__(self, height: int, width: int, scale: float) -> None:
        self.counts = DepthCounts()
        self._scale, self._units_per_metre = scale, np.float32(1 / scale)
        self._units = np.empty((height, width), np.float32)  # kept: fresh pages cost as much as the arithmetic

    def quantise(self, depth: NDArray[Any], out: NDArray[np.uint16]) -> None:
        """Write depth as the nearest whole units.

        Args:
            depth: [H, W] floats, metres.
            out: [H, W] uint16, filled.
        """
        units = self._units
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(depth, self._units_per_metre, out=units, casting="same_kind")
            np.rint(units, out=units)
        if not (units.min() >= 0 and units.max() <= _LARGEST):  # a NaN fails too
            self._drop_what_has_no_value(depth, units)
        np.copyto(out, units, casting="unsafe")
        valid = int(np.count_nonzero(out))
        # Most maps hold nothing below half a unit; then the zeros of both are the same and nothing is looked for.
        if valid < np.count_nonzero(depth):
            tiny = (out == INVALID) & (depth > 0) & (depth < self._scale)
            raised = int(np.count_nonzero(tiny))
            out[tiny] = 1
            self.counts.raised += raised
            valid += raised
        self.counts.pixels += out.size
        self.counts.invalid += out.size - valid

    def _drop_what_has_no_value(self, depth: NDArray[Any], units: NDArray[np.float32]) -> None:
        is_too_large = units > _LARGEST
        self.counts.saturated += int(np.count_nonzero(is_too_large & np.isfinite(depth)))
        np.copyto(units, np.float32(0), where=is_too_large | ~(units >= 0))


def metres_of_values(scale: float) -> NDArray[np.float32]:
    """[65536] float32: the metres of every value, rounded once."""
    return (np.arange(_LARGEST + 1) * scale).astype(np.float32)
