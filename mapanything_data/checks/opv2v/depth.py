"""Whether depth maps belong to their pictures, and agree with what the LiDAR measured."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, percent, tell, tell_cameras, why_unreadable
from mapanything_data.errors import DataError
from mapanything_data.geometry import project, transform_points
from mapanything_data.scene import Camera
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.arrays import read_npy_dtype
from mapanything_data.storage.opv2v import depth_file, read_depth
from mapanything_data.storage.opv2v.layout import EGO_BACK, EGO_FRONT, EGO_SIDE

AGREES = 0.02
"""Depth agrees with the LiDAR when the median of the relative errors is below this; noise and what only one of the two
sensors sees do not move a median far."""
ROUGH = 0.10
"""Up to here depth may come from a model; beyond it is wrong."""

_FEWEST_POINTS = 30
_MOST_POINTS = 8000
_MAKE = "make the depth again from these pictures"
_COMPARE = "depth, cloud or poses are of another frame or agent: see which, and restore or make them again"


@dataclass(slots=True)
class DepthLog:
    """Takes note of each depth map of one camera of an agent.

    Attributes:
        files: The agent.
        camera: Number of the camera.
        folder: The depth root.
        layout: How depth maps are named.
        marks: Check to frame to what is wrong; where depth differs from the LiDAR, the error is the weight.
        compared: Frames in which the LiDAR could be compared.
    """

    files: AgentFiles
    camera: int
    folder: Path
    layout: str
    marks: dict[str, dict[int, Mark]] = field(default_factory=dict)
    compared: set[int] = field(default_factory=set)

    def add(
        self,
        frame: int,
        picture: tuple[int, int] | None,
        points: Mapping[int, Floats],
        cameras: Mapping[int, Camera],
    ) -> None:
        """Read a depth map and take note of it.

        Args:
            frame: Its number.
            picture: Height and width of its picture, None where that is unreadable.
            points: Camera number to the LiDAR's points [N, 3] in that camera; empty where poses or cloud are doubtful.
            cameras: Camera number to the camera.
        """
        path = self.folder / depth_file(self.files.key(frame), self.camera, self.layout)
        try:
            depth = read_depth(path)
        except DataError as error:
            self._mark("depth", frame, Mark(f"its depth map: {why_unreadable(path, error)}"))
            return
        if path.suffix == ".npy" and (dtype := read_npy_dtype(path)) != np.float32:
            self._mark("depth", frame, Mark(f"its depth map holds {dtype}, not float32"))
        if picture and depth.shape != picture:
            found = f"its depth map is {depth.shape[1]}x{depth.shape[0]}, the picture is {picture[1]}x{picture[0]}"
            self._mark("depth size", frame, Mark(found))
            return
        if not depth.any():
            self._mark("depth", frame, Mark("its depth map is 0 everywhere: no pixel has a depth"))
            return
        if self.camera not in points or cameras[self.camera].width != depth.shape[1]:
            return
        share = disagreement(depth, points[self.camera], cameras[self.camera])
        if share is not None:
            self.compared.add(frame)
        if share is not None and share > AGREES:
            why = _explain(depth, self.camera, points, cameras)
            mark = Mark(f"its depth differs from the LiDAR by {percent(share)} (median){why}", share, why)
            self._mark("rough depth" if share <= ROUGH and not why else "lidar depth", frame, mark)

    def _mark(self, check: str, frame: int, mark: Mark) -> None:
        self.marks.setdefault(check, {})[frame] = mark


def depth_findings(
    files: AgentFiles, logs: Mapping[int, DepthLog], told: Mapping[int, Container[int]]
) -> Iterator[Finding]:
    """What is wrong with the depth maps of an agent.

    Args:
        files: The agent.
        logs: By the number of the camera.
        told: Camera number to frames whose cloud or picture was told to be wrong; their depth is not blamed as well.
    """

    def marks(check: str) -> dict[int, dict[int, Mark]]:
        of_cameras = {
            number: {frame: mark for frame, mark in log.marks.get(check, {}).items() if frame not in told[number]}
            for number, log in logs.items()
        }
        return {number: found for number, found in of_cameras.items() if found}

    damaged = {number: log.marks["depth"] for number, log in logs.items() if "depth" in log.marks}
    yield from tell_cameras(files, Severity.fail, "depth", damaged, remedy=_MAKE)
    yield from tell_cameras(files, Severity.fail, "depth", marks("depth size"), remedy=_MAKE)
    wrong, rough = marks("lidar depth"), marks("rough depth")
    everywhere = _in_all_cameras(logs, wrong, rough)
    yield from tell(files, Severity.fail, "lidar depth", "", everywhere, remedy=_COMPARE)
    for check, severity, found, remedy in (
        ("lidar depth", Severity.fail, wrong, "make the depth again: metres along the camera's z axis"),
        ("rough depth", Severity.warn, rough, "expect less of it than of rendered depth, or leave it out"),
    ):
        rest = {
            number: {frame: mark for frame, mark in of_camera.items() if frame not in everywhere}
            for number, of_camera in found.items()
        }
        yield from tell_cameras(
            files, severity, check, {number: left for number, left in rest.items() if left}, remedy=remedy
        )


def _in_all_cameras(
    logs: Mapping[int, DepthLog], wrong: Mapping[int, Mapping[int, Mark]], rough: Mapping[int, Mapping[int, Mark]]
) -> dict[int, Mark]:
    """Frames in which all cameras, most of them clearly, differ from the LiDAR and nothing explains it."""
    everywhere = {}
    for frame in sorted({frame for log in logs.values() for frame in log.compared}):
        compared = [number for number, log in logs.items() if frame in log.compared]
        found = [mark for number in compared for marks in (wrong, rough) if (mark := marks.get(number, {}).get(frame))]
        shares = [mark.weight for mark in found]
        if 2 <= len(compared) == len(found) and not any(mark.kind for mark in found) and np.median(shares) > ROUGH:
            text = f"the depth of all its cameras differs from the LiDAR by up to {percent(max(shares))} (median)"
            everywhere[frame] = Mark(text, max(shares))
    return everywhere


def points_of_cameras(points: NDArray[np.float32], T_camera_lidar: Mapping[int, Floats]) -> dict[int, Floats]:
    """Some thousand points of a sweep in each camera; those on the agent itself are left out.

    Args:
        points: [N, 3], metres, LiDAR frame.
        T_camera_lidar: By the number of the camera, [4, 4].
    """
    x, z = points[:, 0], points[:, 2]
    on_ego = (np.abs(x) < EGO_SIDE) & (z > -EGO_BACK) & (z < EGO_FRONT)
    used = points[np.isfinite(points).all(axis=1) & ~on_ego]
    used = used[:: max(1, len(used) // _MOST_POINTS)]
    return {number: transform_points(T, used) for number, T in T_camera_lidar.items()}


def disagreement(
    depth: NDArray[np.float32], points: Floats, camera: Camera, seen: Callable[[Floats], Floats] | None = None
) -> float | None:
    """The median of the relative errors of a depth map at points of the LiDAR, None where too few fall on it.

    Inverse depth is interpolated between the four pixels around a point: it is linear on a plane, so that exact depth
    agrees at any resolution. Maps of whole metres may be off by one.

    Args:
        depth: [H, W], metres, 0 where there is none.
        points: [N, 3], metres, camera axes.
        camera: The camera.
        seen: What the map should say at points; their z when left out.
    """
    pixels, ahead = project(camera, points)
    corner = np.floor(np.where(ahead[:, None], pixels, -1))
    inside = ahead & (corner >= 0).all(axis=1) & (corner < [camera.width - 1, camera.height - 1]).all(axis=1)
    column, row = corner[inside].astype(np.int64).T
    right, down = (pixels[inside] - corner[inside]).T
    around = np.stack([depth[row, column], depth[row, column + 1], depth[row + 1, column], depth[row + 1, column + 1]])
    valid = (around > 0).all(axis=0)
    if valid.sum() < _FEWEST_POINTS:
        return None
    weights = np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
    there = 1 / (weights[:, valid] / around[:, valid]).sum(axis=0)
    expected = points[inside][valid]
    truth = expected[:, 2] if seen is None else seen(expected)
    step = 1.0 if np.array_equal(depth, np.rint(depth)) else 0.0
    return float(np.median(np.maximum(np.abs(there - truth) - step, 0) / truth))


def _explain(
    depth: NDArray[np.float32], number: int, points: Mapping[int, Floats], cameras: Mapping[int, Camera]
) -> str:
    """What the map seems to hold instead."""
    camera, own = cameras[number], points[number]
    tries: list[tuple[str, float | None]] = [
        ("it fits as millimetres", disagreement(depth / np.float32(1000), own, camera)),
        ("it fits as 16-bit millimetres", disagreement(depth * np.float32(256 / 1000), own, camera)),
        ("it fits as centimetres", disagreement(depth / np.float32(100), own, camera)),
        ("it fits as range, not z", disagreement(depth, own, camera, lambda p: np.linalg.norm(p, axis=1))),
    ]
    tries += [
        (f"it fits camera{other}", disagreement(depth, points[other], cameras[other]))
        for other in sorted(points.keys() - {number})
        if (cameras[other].width, cameras[other].height) == (camera.width, camera.height)
    ]
    fitting = [(error, what) for what, error in tries if error is not None and error < AGREES]
    return f": {min(fitting)[1]}" if fitting else ""
