"""Boxes around things in a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import as_array, require_array, require_finite


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one picture; row i of every array belongs to the same object.

    Arrays of another precision are converted.

    Raises:
        ValueError: Lengths differ, a box has its corners swapped, a score is outside 0 to 1, or a class has
            no name.
    """

    boxes: NDArray[np.float32]
    """[N, 4] float32: left, top, right, bottom in pixels with integer centres, so the whole picture is -0.5, -0.5,
    width - 0.5, height - 0.5. A detector that counts from the corner: subtract 0.5 at the border."""
    scores: NDArray[np.float32]
    """[N] float32, 0 to 1: how sure the detector is."""
    class_ids: NDArray[np.int64]
    """[N] int64, indices into `class_names`."""
    class_names: tuple[str, ...]
    """Every class that the detector knows, in its own order."""
    track_ids: NDArray[np.int64] | None = None
    """[N] int64, the same number for the same object in every picture; None where nothing was tracked."""

    def __post_init__(self) -> None:
        boxes = as_array("boxes", self.boxes, ("N", 4), np.float32)
        n = len(boxes)
        scores = as_array("scores", self.scores, (n,), np.float32)
        class_ids = as_array("class_ids", self.class_ids, (n,), np.int64)
        require_finite("boxes", boxes)
        swapped = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
        if len(swapped):
            i = int(swapped[0])
            raise ValueError(f"boxes[{i}] is {boxes[i].tolist()}, expected left <= right and top <= bottom")
        # Written so that NaN fails too.
        unlikely = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
        if len(unlikely):
            i = int(unlikely[0])
            raise ValueError(f"scores[{i}] is {scores[i]}, expected 0 to 1")
        nameless = np.flatnonzero((class_ids < 0) | (class_ids >= len(self.class_names)))
        if len(nameless):
            i = int(nameless[0])
            raise ValueError(f"class_ids[{i}] is {class_ids[i]}, but there are {len(self.class_names)} class_names")
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "class_ids", class_ids)
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.track_ids is not None:
            object.__setattr__(self, "track_ids", as_array("track_ids", self.track_ids, (n,), np.int64))

    @classmethod
    def empty(cls, class_names: tuple[str, ...]) -> Detections:
        """A picture in which a detector that knows `class_names` found nothing."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), class_names)

    def __len__(self) -> int:
        return len(self.boxes)

    def filtered(self, mask: NDArray[np.bool_]) -> Detections:
        """The detections where `mask` [N] bool is True, in the same order.

        Raises:
            ValueError: The mask is not boolean (indices would be taken for something else) or has another
                length.
        """
        require_array("mask", mask, (len(self),), np.bool_)
        return replace(
            self,
            boxes=self.boxes[mask],
            scores=self.scores[mask],
            class_ids=self.class_ids[mask],
            track_ids=None if self.track_ids is None else self.track_ids[mask],
        )
