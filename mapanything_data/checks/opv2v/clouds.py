"""Whether a LiDAR sweep is whole and turned the right way: boxes of vehicles nearby should contain points.

Points are in the LiDAR's frame, OpenCV axes: a turn is about y, which points down, and a mirror changes the sign of x.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, tell
from mapanything_data.geometry import invert
from mapanything_data.geometry.points_in_boxes import pairs_inside
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.opv2v import Vehicles
from mapanything_data.storage.opv2v.layout import PCD

NEAR_M = 40.0
"""Boxes farther away may have no points in sound data."""
OUTLIER = 4.0
"""A sweep with this many times fewer or more points than the agent's median is strange."""
LEAST_SHARE, LEAST_BOXES = 0.2, 20
"""An agent is doubtful when a smaller share of at least so many boxes contains points."""
CLEARLY_SHARE, CLEARLY_BOXES = 0.25, 3
"""Another orientation fits clearly better when it fills this share of the boxes more, and at least so many."""
ODD_GAIN, ODD_LOSS = 0.15, 0.85
"""A single sweep is odd when another orientation fills this share of its boxes more, while as it is it fills less than
this much of what the agent's sweeps usually do. A mirrored sweep fills half of the boxes all the same: streets are
symmetric."""
SAMPLES = 16
"""Frames of an agent, evenly spread, whose clouds are compared in all orientations."""

_POINTS_INSIDE = 3
_MARGIN_M = 0.1  # boxes fit tightly and points are noisy
_GROUND_M = 0.3  # points on the road lie inside the lowest part of a box, whichever way the cloud is turned

_TURNS = np.array(
    [
        [[mirror * np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-mirror * np.sin(turn), 0, np.cos(turn)]]
        for mirror in (1, -1)
        for turn in np.deg2rad([0, 90, 180, 270])
    ]
).round()
ORIENTATIONS = (
    "as it is",
    "turned by 90 degrees",
    "turned by 180 degrees",
    "turned by 270 degrees",
    "mirrored",
    "mirrored and turned by 90 degrees",
    "mirrored and turned by 180 degrees",
    "mirrored and turned by 270 degrees",
)
"""What is done to a cloud before it is compared with the boxes; the first one leaves it as it is."""


@dataclass(slots=True)
class CloudLog:
    """Takes note of each sweep of an agent, and tells in the end what is wrong with them.

    Attributes:
        files: The agent.
        points: Frame to the number of points.
        not_finite: Frame to the number of points that are no numbers.
        boxes: Frame to the number of boxes near enough to contain points.
        filled: Frame to how many of them do in each of the orientations, [8].
        misplaced: Frames whose cloud was told to be turned; filled by `findings`.
    """

    files: AgentFiles
    points: dict[int, int] = field(default_factory=dict)
    not_finite: dict[int, int] = field(default_factory=dict)
    boxes: dict[int, int] = field(default_factory=dict)
    filled: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    misplaced: set[int] = field(default_factory=set)

    def add(
        self, frame: int, points: NDArray[np.float32], T_world_lidar: Floats | None, vehicles: Vehicles | None
    ) -> None:
        """Take note of a sweep.

        Args:
            frame: Its number.
            points: [N, 3], metres, LiDAR frame.
            T_world_lidar: [4, 4], or None where it is unknown or doubtful: then the boxes are not compared.
            vehicles: Those of the same agent and frame.
        """
        finite = np.isfinite(points).all(axis=1)
        self.points[frame] = len(points)
        if not finite.all():
            self.not_finite[frame] = int((~finite).sum())
            points = points[finite]
        if T_world_lidar is None or vehicles is None or len(points) == 0:
            return
        T_lidar_box = invert(T_world_lidar) @ vehicles.T_world_box
        sized = (vehicles.extent > 0).all(axis=1)
        near = sized & (np.linalg.norm(T_lidar_box[:, :3, 3], axis=1) < NEAR_M)
        if near.any():
            self.boxes[frame] = int(near.sum())
            enough = np.inf if frame in self._samples() else max(0.5, ODD_LOSS * self._share()) * self.boxes[frame]
            self.filled[frame] = count_filled(points, T_lidar_box[near], vehicles.extent[near], enough)

    def findings(self) -> Iterator[Finding]:
        """Empty sweeps, NaN, strange numbers of points, and clouds that are turned against the boxes."""
        restore = "restore the file from its archive, or leave the frame out"
        empty = {frame: Mark("holds no points") for frame, count in self.points.items() if count == 0}
        yield from tell(self.files, Severity.fail, "points", PCD, empty, remedy=restore)
        bad = {
            frame: Mark(f"has {count} points that are no finite numbers", count)
            for frame, count in self.not_finite.items()
        }
        yield from tell(self.files, Severity.fail, "nan", PCD, bad, remedy="remove these points, or restore the file")
        counts = [count for count in self.points.values() if count]
        median = float(np.median(counts)) if counts else 0.0
        strange = {
            frame: Mark(
                f"has {count} points, the agent's sweeps have {median:.0f}", max(count / median, median / count)
            )
            for frame, count in self.points.items()
            if count and not median / OUTLIER <= count <= median * OUTLIER
        }
        yield from tell(
            self.files, Severity.warn, "points", PCD, strange, remedy="look at the sweep; a part may be missing"
        )
        yield from self._check_orientation(strange)

    def _check_orientation(self, strange: Mapping[int, Mark]) -> Iterator[Finding]:
        frames = [frame for frame in self.filled if frame not in strange]
        if not frames:
            return
        filled = np.array([self.filled[frame] for frame in frames])
        boxes = np.array([self.boxes[frame] for frame in frames])
        compared = [frame in self._samples() for frame in frames]
        total, all_boxes = filled[compared].sum(axis=0), int(boxes[compared].sum())
        best = int(total.argmax())
        if total[best] - total[0] >= max(CLEARLY_BOXES, CLEARLY_SHARE * all_boxes):
            self.misplaced.update(self.files.agent.frames)
            found = (
                f"{total[0]} of {all_boxes} boxes within {NEAR_M:.0f} m contain points;"
                f" {total[best]} do when the cloud is {ORIENTATIONS[best]}"
            )
            remedy = "leave the agent out, or turn its clouds; see also whether lidar_pose is right"
            yield Finding(Severity.fail, "cloud", self.files.item, found, remedy)
            return
        as_they_are, all_boxes = int(filled[:, 0].sum()), int(boxes.sum())
        if all_boxes >= LEAST_BOXES and as_they_are < LEAST_SHARE * all_boxes:
            found = f"only {as_they_are} of {all_boxes} boxes within {NEAR_M:.0f} m contain points"
            yield Finding(
                Severity.warn, "cloud", self.files.item, found, "look at clouds and boxes: poses or clouds may be wrong"
            )
            return
        marks = self._odd_frames(frames, filled, boxes)
        self.misplaced.update(marks)
        remedy = "look at the sweep and its boxes; leave the frame out if it is turned"
        yield from tell(self.files, Severity.warn, "cloud", PCD, marks, remedy=remedy)

    def _samples(self) -> set[int]:
        order = sorted(self.files.agent.frames)
        return set(order[:: max(1, len(order) // SAMPLES)])

    def _share(self) -> float:
        """The share of boxes that the sweeps so far fill."""
        filled = sum(int(counts[0]) for counts in self.filled.values())
        return filled / max(1, sum(self.boxes[frame] for frame in self.filled))

    @staticmethod
    def _odd_frames(frames: list[int], filled: NDArray[np.int64], boxes: NDArray[np.int64]) -> dict[int, Mark]:
        """Frames of an otherwise sound agent that fit as well as the others, but in another orientation."""
        marks = {}
        best = filled.argmax(axis=1)
        others = np.maximum(boxes.sum() - boxes, 1)
        usual = (filled[:, 0].sum() - filled[:, 0]) / others
        as_it_is, other = filled[:, 0], filled.max(axis=1)
        gain = other - as_it_is
        fits_better = (gain >= ODD_GAIN * boxes) & ((gain >= CLEARLY_BOXES) | ((as_it_is == 0) & (gain >= 2)))
        is_unusual = (as_it_is <= ODD_LOSS * usual * boxes) & (other >= 0.75 * usual * boxes)
        odd = (usual >= 0.5) & fits_better & is_unusual
        for place in np.flatnonzero(odd):
            found = (
                f"{filled[place, 0]} of {boxes[place]} boxes within {NEAR_M:.0f} m contain points;"
                f" {filled[place, best[place]]} do when the cloud is {ORIENTATIONS[best[place]]}"
            )
            marks[frames[place]] = Mark(found, float(gain[place]))
        return marks


def count_filled(points: NDArray[np.float32], T_lidar_box: Floats, extent: Floats, enough: float) -> NDArray[np.int64]:
    """How many boxes contain points, in each of the orientations of the cloud.

    Args:
        points: [N, 3], metres, LiDAR frame.
        T_lidar_box: [B, 4, 4], box to LiDAR.
        extent: [B, 3], half sizes, metres.
        enough: Where the cloud as it is fills more boxes than this, the other orientations, which take eight times as
            long, are not tried and count as 0.

    Returns:
        [8] int64, in the order of `ORIENTATIONS`.
    """
    reach = NEAR_M + float(np.linalg.norm(extent, axis=1).max())
    points = points[(points**2).sum(axis=1) < reach**2]
    as_it_is = _count(points, T_lidar_box, extent)
    if as_it_is > enough:
        return np.array([as_it_is] + [0] * (len(_TURNS) - 1))
    turned = [_count(points @ turn.T.astype(np.float32), T_lidar_box, extent) for turn in _TURNS[1:]]
    return np.array([as_it_is, *turned])


def _count(points: NDArray[np.float32], T_lidar_box: Floats, extent: Floats) -> int:
    upper = extent + _MARGIN_M
    lower = -upper
    upper[:, 1] = np.maximum(extent[:, 1] - _GROUND_M, 0)  # y points down
    _, box = pairs_inside(points, T_lidar_box, lower, upper)
    return int((np.bincount(box) >= _POINTS_INSIDE).sum())
