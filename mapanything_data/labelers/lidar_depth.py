"""Depth maps from LiDAR sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config import component
from mapanything_data.errors import require_option
from mapanything_data.geometry.depth_from_points import Fate, Occlusion, depth_from_points
from mapanything_data.geometry.fill_depth import fill_depth
from mapanything_data.geometry.points_in_boxes import points_in_boxes
from mapanything_data.labelers.protocol import Labels, LabelView, Moment, Needs, Row, Sweep, Writer
from mapanything_data.scene import Pose
from mapanything_data.storage.arrays import write_npy
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.opv2v import write_depth
from mapanything_data.storage.opv2v.layout import EGO_BACK, EGO_FRONT, EGO_SIDE, camera_part
from mapanything_data.storage.png import encode_png

MEASURED, FILLED = 255, 128
"""Values of the masks; 0 where there is no depth."""


class Agents(str, Enum):
    """Whose sweeps make a depth map."""

    own = "own"
    """the agent's own"""
    all = "all"
    """those of all agents of the scenario, at the same moment"""


@component("labeler", "lidar_depth")
@dataclass(kw_only=True, slots=True)
class LidarDepth:
    """Depth maps from LiDAR sweeps, without the points that something nearer hides."""

    columns: ClassVar[tuple[str, ...]] = (
        "frame", "camera", "points", "hit", "occluded", "outside", "ego_body", "moving", "not_finite", "pixels",
    )  # fmt: skip
    class_names: ClassVar[tuple[str, ...]] = ()

    agents: Agents = Agents.own
    """Whose sweeps make a depth map: `own`, or `all` for those of all agents at the same moment."""
    sweeps_before: int = 0
    """So many frames before the labelled one give their sweeps too, without what stands in a vehicle's box."""
    sweeps_after: int = 0
    """So many frames after the labelled one give their sweeps too, without what stands in a vehicle's box."""
    box_margin: float = 0.3
    """Vehicles' boxes are made larger by this on every side before points of other moments are taken out, metres."""
    occlusion_reach: float = 0.03
    """How far around a pixel nearer points are looked for that hide it, radians; 0 looks at the pixel alone."""
    occlusion_tolerance: float = 0.05
    """A point is hidden when it is farther than what is around it by this share of the depth and the slack."""
    occlusion_slack: float = 0.2
    """The part of the difference in depth that does not grow with it, metres."""
    ego_body: bool = True
    """Whether to take out points on the body of the vehicle that carries the LiDAR."""
    ego_body_front: float = EGO_FRONT
    """How far the body reaches ahead of the LiDAR, metres."""
    ego_body_back: float = EGO_BACK
    """How far the body reaches behind the LiDAR, metres."""
    ego_body_side: float = EGO_SIDE
    """How far the body reaches to either side of the LiDAR, metres."""
    png: bool = False
    """Whether to write depth as 16-bit PNG in steps of 1/256 m, too."""
    dense: bool = False
    """Whether to write depth with filled gaps and its own mask, too, beside the measured depth."""
    dense_radius: int = 6
    """Half size of the window in which measurements must agree on a plane for a gap to be filled, pixels."""
    dense_tolerance: float = 0.02
    """Root mean square deviation from that plane up to which they agree, as a share of the inverse depth."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for name in (
            "sweeps_before", "sweeps_after", "box_margin", "occlusion_tolerance", "occlusion_slack",
            "ego_body_front", "ego_body_back", "ego_body_side", "dense_tolerance",
        ):  # fmt: skip
            value = getattr(self, name)
            require_option(f"labeler.{name}", value, value >= 0, "0 or more")
        reach, radius = self.occlusion_reach, self.dense_radius
        require_option("labeler.occlusion_reach", reach, 0 <= reach <= 0.5, "0 to 0.5")
        require_option("labeler.dense_radius", radius, 1 <= radius <= 50, "1 to 50")

    @property
    def suffixes(self) -> list[str]:
        """Depth and mask, and what the options add."""
        png = ["_depth.png"] if self.png else []
        dense = ["_dense.npy", "_dense_mask.png"] if self.dense else []
        return ["_depth.npy", "_mask.png", *png, *dense]

    @property
    def needs(self) -> Needs:
        """Sweeps."""
        return Needs(
            clouds=True,
            other_agents=self.agents is Agents.all,
            frames_before=self.sweeps_before,
            frames_after=self.sweeps_after,
        )

    def open(self) -> OpenLidarDepth:
        """Ready at once."""
        return OpenLidarDepth(self)


class OpenLidarDepth:
    """Makes the depth maps of one moment after the other."""

    def __init__(self, options: LidarDepth) -> None:
        self._options = options
        self._occlusion = Occlusion(
            reach=options.occlusion_reach, tolerance=options.occlusion_tolerance, slack=options.occlusion_slack
        )

    def label(self, moment: Moment) -> Labels:
        """A depth map and its mask for every camera."""
        T_world_lidar = moment.sweeps[0].cloud.T_world_lidar
        merged = [self._contribution(sweep, moment, T_world_lidar.inverse()) for sweep in moment.sweeps]
        points = np.concatenate([points for points, _, _ in merged])
        taken_out = {"ego_body": sum(body for _, body, _ in merged), "moving": sum(moving for _, _, moving in merged)}
        files: dict[str, Writer] = {}
        rows: list[Row] = []
        for number, view in sorted(moment.views.items()):
            stem = f"{moment.name}_{camera_part(number)}"
            depth, fates = self._depth(view, points, T_world_lidar)
            files |= self._files(stem, depth)
            rows.append(
                {
                    "frame": moment.name,
                    "camera": number,
                    "points": len(points) + sum(taken_out.values()),
                    "hit": int(fates[Fate.hit]),
                    "occluded": int(fates[Fate.hidden]),
                    "outside": int(fates[Fate.outside]),
                    **taken_out,
                    "not_finite": int(fates[Fate.not_finite]),
                    "pixels": int(np.count_nonzero(depth)),
                }
            )
        return Labels(files=files, rows=rows)

    def _contribution(self, sweep: Sweep, moment: Moment, T_lidar_world: Pose) -> tuple[NDArray[np.float32], int, int]:
        """A sweep's points in the frame of the moment's own LiDAR, and how many body and moving points it had."""
        points = sweep.cloud.points
        is_own = sweep is moment.sweeps[0]
        is_now = sweep.frame == moment.frame
        on_body = np.zeros(len(points), np.bool_)
        # Bodies of another moment stand where they no longer are, so no option lets them in.
        if sweep.agent >= 0 and (self._options.ego_body or not is_now):
            on_body |= self._on_body(points)
        T_lidar_sweep = (T_lidar_world @ sweep.cloud.T_world_lidar).matrix.astype(np.float32)
        moved = points if is_own else points @ T_lidar_sweep[:3, :3].T + T_lidar_sweep[:3, 3]
        if not is_own and moment.agent >= 0 and self._options.ego_body:
            on_body |= self._on_body(moved)  # what others measured of the vehicle that carries the cameras
        in_vehicle = np.zeros(len(points), np.bool_)
        if not is_now:
            boxes = moment.boxes_at[sweep.frame]
            T_lidar_world_then = sweep.cloud.T_world_lidar.inverse().matrix
            T_lidar_box = [T_lidar_world_then @ box.T_world_box.matrix for box in boxes]
            extent = [box.extent + self._options.box_margin for box in boxes]
            in_vehicle = points_in_boxes(points, T_lidar_box, extent) & ~on_body
        return moved[~(on_body | in_vehicle)], int(on_body.sum()), int(in_vehicle.sum())

    def _on_body(self, points: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which points lie on the vehicle below the LiDAR whose frame they are in."""
        options = self._options
        ahead, aside = points[:, 2], np.abs(points[:, 0])
        return (ahead >= -options.ego_body_back) & (ahead <= options.ego_body_front) & (aside <= options.ego_body_side)

    def _depth(
        self, view: LabelView, points: NDArray[np.float32], T_world_lidar: Pose
    ) -> tuple[NDArray[np.float32], Sequence[int]]:
        """The depth map of a camera, and how many points met each fate."""
        T_camera_lidar = (view.T_world_camera.inverse() @ T_world_lidar).matrix
        made = depth_from_points(view.camera, points, T_camera_lidar, self._occlusion)
        return made.depth, np.bincount(made.fate, minlength=len(Fate)).tolist()

    def _files(self, stem: str, depth: NDArray[np.float32]) -> dict[str, Writer]:
        measured = depth > 0
        files: dict[str, Writer] = {
            f"{stem}_depth.npy": partial(write_depth, depth=depth),
            f"{stem}_mask.png": partial(write_atomic, data=encode_png(measured.astype(np.uint8) * np.uint8(MEASURED))),
        }
        if self._options.png:
            files[f"{stem}_depth.png"] = partial(write_depth, depth=depth)
        if self._options.dense:
            dense, filled = fill_depth(depth, self._options.dense_radius, self._options.dense_tolerance)
            mask = np.where(measured, np.uint8(MEASURED), np.where(filled, np.uint8(FILLED), np.uint8(0)))
            files[f"{stem}_dense.npy"] = partial(write_npy, array=dense)
            files[f"{stem}_dense_mask.png"] = partial(write_atomic, data=encode_png(mask))
        return files
