"""What `label` needs of a labeler: it says what it wants to see, gets it moment by moment, and gives files back.

A labeler is a component: options only. What lives (a model, a renderer) is in the object that `open` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene import Box3D, Camera, PointCloud, Pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a labeler wants to see beside cameras and boxes, which cost nothing.

    Attributes:
        images: Pictures.
        depth: Depth maps of the data set.
        clouds: LiDAR sweeps.
        other_agents: Sweeps of all agents, not only of the one whose pictures are labelled.
        frames_before: So many of the agent's frames before the labelled one, for their sweeps.
        frames_after: So many after it.
    """

    images: bool = False
    depth: bool = False
    clouds: bool = False
    other_agents: bool = False
    frames_before: int = 0
    frames_after: int = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LabelView:
    """One camera at the labelled moment.

    Attributes:
        camera: Intrinsics of its picture.
        T_world_camera: Camera to world.
        image: [H, W, 3] uint8 RGB, where the labeler needs images.
        depth: [H, W] float32, z-depth in metres, 0 where there is none; where the labeler needs depth.
    """

    camera: Camera
    T_world_camera: Pose
    image: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sweep:
    """What one LiDAR measured at the labelled moment or near it.

    Attributes:
        agent: Whose it is; a roadside unit's id is negative.
        frame: When.
        cloud: The points.
    """

    agent: int
    frame: int
    cloud: PointCloud


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Moment:
    """One frame of one agent.

    Attributes:
        agent: Its id.
        frame: Number of the moment.
        name: What its files are called, such as 000068.
        views: Camera number to camera; only cameras that have a picture.
        boxes: The other vehicles around the agent, in the world.
        sweeps: The agent's own sweep of this moment first; empty unless the labeler needs clouds.
        boxes_at: Frame to all vehicles that any agent saw then, for each frame of `sweeps` but the own. One that the
            data set gives no size has that of a two-wheeler.
    """

    agent: int
    frame: int
    name: str
    views: Mapping[int, LabelView]
    boxes: Sequence[Box3D]
    sweeps: Sequence[Sweep] = ()
    boxes_at: Mapping[int, Sequence[Box3D]] = field(default_factory=dict)


Writer = Callable[[Path], object]
"""Writes one file, whole or not at all."""
Row = Mapping[str, int | float | str]
"""A row of a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a labeler has to say about a moment.

    Attributes:
        files: Name in the agent's folder, such as 000068_camera0_depth.npy, to what writes it.
        rows: For the table of the agent: one for each camera, with the labeler's `columns` as keys.
    """

    files: Mapping[str, Writer]
    rows: Sequence[Row]


class OpenLabeler(Protocol):
    """A labeler at work, in one process."""

    def label(self, moment: Moment) -> Labels:
        """The labels of a moment: the same whenever and wherever they are asked for.

        Raises:
            DataError: The moment cannot be labelled; the others can.
        """


class Labeler(Protocol):
    """The component."""

    @property
    def columns(self) -> Sequence[str]:
        """Columns of the table, beginning with frame and camera."""

    @property
    def class_names(self) -> Sequence[str]:
        """What the detections are of, for classes.txt; empty where there are none."""

    @property
    def suffixes(self) -> Sequence[str]:
        """What the names of a picture's files end in: the label of 000068_camera0.png is 000068_camera0{suffix}."""

    @property
    def needs(self) -> Needs:
        """What the labeler wants to see."""

    def open(self) -> OpenLabeler:
        """Load what is needed to label."""
