"""A sample as one picture: for each view the image, true and predicted depth, error and confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.datasets.views import NORMALISATIONS
from mapanything_data.viz.boxes import Image, colour_depth, mosaic
from train.views.prediction import Prediction

TILE_WIDTH = 288
WORST_ERROR = 0.3
"""Relative error that has the last colour."""
_CAPTION = 18  # pixels
_SPARSE = 0.5  # share of pixels with depth below which they are drawn larger

_SMALLEST_SPAN = 0.1
"""Of the logarithm of confidence, from the lowest colour to the highest."""


def draw_sample(views: Sequence[Mapping[str, Any]], predictions: Sequence[Prediction], number: int) -> Image:
    """Draw one sample of a batch.

    Args:
        views: V views with the truth (docs/datasets.md).
        predictions: What a model said of them.
        number: Place of the sample in the batch.

    Returns:
        [H, W, 3] uint8 RGB: a row for each view. Depth in metres has the same colours in both columns, near warm, far
        cold; errors and confidence are blue where they are small and red where they are large.
    """
    truth = [_array(view["depthmap"][number, ..., 0]) for view in views]
    said = [_array(view["pts3d_cam"][number, ..., 2]) for view in predictions]
    confidence = [np.log(_array(view["conf"][number]).clip(1)) for view in predictions]
    lowest, highest = min(map(np.min, confidence)), max(map(np.max, confidence))
    highest = max(highest, lowest + _SMALLEST_SPAN)  # noise must not look like structure
    sure = f"confidence {np.exp(lowest):.1f} to {np.exp(highest):.1f}"
    rows = [
        [
            _tile(_image(view, number), view["instance"][number]),
            _tile(_enlarged(colour_depth(true), true), "true depth"),
            _tile(colour_depth(depth), "predicted depth"),
            _tile(_enlarged(_colour_error(true, depth), true), _mean_error(true, depth)),
            _tile(_colours((certainty - lowest) / max(highest - lowest, 1e-6)), sure),
        ]
        for view, true, depth, certainty in zip(views, truth, said, confidence, strict=True)
    ]
    return mosaic(rows, TILE_WIDTH)


def _array(values: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = values.float().cpu().numpy()
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


def _image(view: Mapping[str, Any], number: int) -> Image:
    mean, deviation = (np.array(part, np.float32) for part in NORMALISATIONS[view["data_norm_type"][number]])
    planes = view["img"][number].float().cpu().numpy().transpose(1, 2, 0)
    image: Image = np.rint((planes * deviation + mean).clip(0, 1) * 255).astype(np.uint8)
    return image


def _relative_error(true: NDArray[np.float32], said: NDArray[np.float32]) -> NDArray[np.float32]:
    error: NDArray[np.float32] = np.abs(said - true) / np.where(true > 0, true, np.float32(1))
    return error


def _colour_error(true: NDArray[np.float32], said: NDArray[np.float32]) -> Image:
    return np.where(true[..., None] > 0, _colours(_relative_error(true, said) / WORST_ERROR), 0).astype(np.uint8)


def _mean_error(true: NDArray[np.float32], said: NDArray[np.float32]) -> str:
    errors = _relative_error(true, said)[true > 0]
    return f"error, {errors.mean():.1%} on average; red: {WORST_ERROR:.0%}" if len(errors) else "no true depth"


def _colours(shares: NDArray[np.float32]) -> Image:
    """A colour for each share, 0 dark blue, 1 and above red: [H, W] to [H, W, 3]."""
    import cv2

    levels = np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)
    colours: Image = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]
    return colours


def _enlarged(drawn: Image, depth: NDArray[np.float32]) -> Image:
    """With dots for pixels where only a few have depth, as with projected LiDAR; single ones would not be seen."""
    import cv2

    if (depth > 0).mean() > _SPARSE:
        return drawn
    size = 2 * max(1, drawn.shape[1] // 200) + 1
    spread = cv2.dilate(drawn, np.ones((size, size), np.uint8))
    return np.where(drawn.any(-1, keepdims=True), drawn, spread)


def _tile(drawn: Image, caption: str) -> Image:
    """As large as the mosaic shows it, with a caption along its upper edge."""
    import cv2

    height = round(drawn.shape[0] * TILE_WIDTH / drawn.shape[1])
    shrinks = drawn.shape[1] > TILE_WIDTH
    tile: Image = cv2.resize(
        drawn, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    )
    tile[:_CAPTION] //= 3  # not a rim around the letters: OpenCV 5 moves them with their thickness
    cv2.putText(tile, caption, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return tile
