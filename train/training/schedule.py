"""The learning rate at any moment of a run."""

from __future__ import annotations

import math


def learning_rate(progress: float, *, peak: float, floor: float, warmup: float, epochs: float) -> float:
    """Linear warm-up from 0 to the peak, then half a cosine down to the floor.

    Source: Loshchilov and Hutter, SGDR (2017), eq. 5, without restarts.

    Args:
        progress: Epochs done, with fraction.
        peak: The highest rate.
        floor: The rate at the end; where it is above the peak, the peak.
        warmup: Epochs of the warm-up.
        epochs: Epochs of the run.
    """
    if progress < warmup:
        return peak * progress / warmup
    floor = min(floor, peak)
    share = (progress - warmup) / (epochs - warmup) if epochs > warmup else 1.0
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
