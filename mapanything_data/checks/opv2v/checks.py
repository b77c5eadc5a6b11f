"""The checks of one OPV2V root, scenario by scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.agreement import Observer, check_agreement
from mapanything_data.checks.opv2v.clouds import CloudLog
from mapanything_data.checks.opv2v.depth import DepthLog, depth_findings, points_of_cameras
from mapanything_data.checks.opv2v.depth_names import DepthNames, check_depth_names
from mapanything_data.checks.opv2v.names import check_names
from mapanything_data.checks.opv2v.overview import overview
from mapanything_data.checks.opv2v.pictures import CameraLog, standing_frames
from mapanything_data.checks.opv2v.rig import Rig, check_rig, check_rigs
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, tell, tell_cameras, why_unreadable
from mapanything_data.checks.protocol import Progress
from mapanything_data.errors import DataError
from mapanything_data.scene import Camera, Pose
from mapanything_data.storage.opv2v import OPV2V, Annotation, Index, depth_file, read_annotation, read_cloud, read_index
from mapanything_data.storage.opv2v.layout import PCD, YAML

_RESTORE = "restore the file from its archive, or leave the frame out"


class Checks:
    """The checks of one OPV2V root. Names are listed once, when the first question is asked."""

    def __init__(self, dataset: OPV2V) -> None:
        self._dataset = dataset
        self._depth = DepthNames.of(dataset)
        self._listed: Index | None = None

    def item_names(self) -> list[str]:
        """The scenarios, such as `train/2021_08_16_22_26_54`.

        Raises:
            DataError: The root is missing, or holds no agents.
        """
        return [f"{scenario.split}/{scenario.name}" for scenario in self._index().scenarios]

    def files(self, item: str) -> Iterator[Path]:
        """The frames of all agents, and their depth maps."""
        for files in self._agents(item):
            for frame, parts in files.agent.parts.items():
                yield from (files.path(frame, part) for part in parts)
            frames = {name: frame for frame, name in files.agent.frames.items()}
            for name, camera in self._depth.configured(files):
                if name in frames:
                    key = files.key(frames[name])
                    yield self._depth.folder / depth_file(key, camera, self._depth.layout)

    def check_item(self, item: str, progress: Progress) -> list[Finding]:
        """What the files of one scenario hold: annotations first, then pictures, clouds and depth frame by frame."""
        agents = self._agents(item)
        findings = list[Finding]()
        observers, rigs = list[Observer](), dict[str, Rig]()
        for files in agents:
            annotations, damaged = _read_annotations(files)
            rig = rigs[files.agent.name] = check_rig(files, annotations)
            observers.append(Observer(files, annotations, rig.doubtful))
            findings += [*damaged, *rig.findings]
        findings += check_rigs(
            item, {files.agent.name: rigs[files.agent.name] for files in agents if files.agent.id >= 0}
        )
        findings += check_agreement(observers)
        for number, observer in enumerate(observers):
            done = number / len(observers)
            findings += _check_sensors(
                observer,
                rigs[observer.files.agent.name],
                self._depth,
                lambda fraction, done=done: progress(done + fraction / len(observers)),  # type: ignore[misc]
            )
        return findings

    def check_whole(self) -> list[Finding]:
        """What names tell: missing files, unequal time stamps, depth in another layout, shared scenarios."""
        demanded = bool(self._dataset.depth_root)
        return [*check_names(self._index()), *check_depth_names(self._index(), self._depth, demanded=demanded)]

    def describe(self) -> str:
        """Splits, scenarios, agents, frames and depth maps as a table."""
        return overview(self._index(), self._depth)

    def _index(self) -> Index:
        if self._listed is None:
            # What is remembered of earlier listings misses files that a link on another disk leads to.
            self._listed = read_index(self._dataset.folder, remembered=False)
        return self._listed

    def _agents(self, item: str) -> list[AgentFiles]:
        index = self._index()
        return [
            AgentFiles(index.root, scenario, agent)
            for scenario in index.scenarios
            if f"{scenario.split}/{scenario.name}" == item
            for agent in scenario.agents.values()
        ]


def _read_annotations(files: AgentFiles) -> tuple[dict[int, Annotation], list[Finding]]:
    annotations, damaged = dict[int, Annotation](), dict[int, Mark]()
    for frame in sorted(files.agent.frames):
        if files.has(frame, YAML):
            try:
                annotations[frame] = read_annotation(files.path(frame, YAML))
            except DataError as error:
                damaged[frame] = Mark(why_unreadable(files.path(frame, YAML), error))
    return annotations, list(tell(files, Severity.fail, "yaml", YAML, damaged, remedy=_RESTORE))


def _check_sensors(observer: Observer, rig: Rig, depth: DepthNames, progress: Progress) -> Iterator[Finding]:
    """Every picture, sweep and depth map of an agent is read once."""
    files = observer.files
    clouds, damaged = CloudLog(files), dict[int, Mark]()
    pictures, maps = dict[int, CameraLog](), dict[int, DepthLog]()
    depth_there, standing = depth.configured(files), standing_frames(files, observer.annotations)
    order = sorted(files.agent.frames)
    for place, frame in enumerate(order):
        progress(place / len(order))
        points = _read_points(observer, frame, clouds, damaged)
        shapes = {}
        for number in files.agent.cameras(frame):
            log = pictures.setdefault(number, CameraLog(files, number))
            shapes[number] = log.add(frame, place, agent_stands=frame in standing)
        to_read = [number for number in shapes if (files.agent.frames[frame], number) in depth_there]
        cameras, seen = _seen_by_cameras(observer, frame, points, shapes) if to_read else ({}, {})
        for number in to_read:
            maps_log = maps.setdefault(number, DepthLog(files, number, depth.folder, depth.layout))
            maps_log.add(frame, shapes[number], seen, cameras)
    yield from tell(files, Severity.fail, "unreadable", PCD, damaged, remedy=_RESTORE)
    yield from clouds.findings()
    for _, log in sorted(pictures.items()):
        yield from log.findings()
    sizes = {number: log.wrong_sizes(rig.intrinsics.get(number)) for number, log in pictures.items()}
    remedy = "restore the pictures, or scale intrinsics and pictures together"
    yield from tell_cameras(
        files, Severity.fail, "size", {k: marks for k, marks in sizes.items() if marks}, remedy=remedy
    )
    told = {number: clouds.misplaced.union(marks) for number, marks in sizes.items()}
    yield from depth_findings(files, maps, told)


def _read_points(
    observer: Observer, frame: int, clouds: CloudLog, damaged: dict[int, Mark]
) -> NDArray[np.float32] | None:
    """The points of a sweep, after the logs took note of it; None where there are none."""
    files, annotation = observer.files, observer.annotations.get(frame)
    if not files.has(frame, PCD):
        return None
    path = files.path(frame, PCD)
    try:
        cloud = read_cloud(path, annotation.T_world_lidar if annotation else Pose.identity())
    except DataError as error:
        damaged[frame] = Mark(why_unreadable(path, error))
        return None
    sound = annotation is not None and frame not in observer.doubtful
    clouds.add(
        frame,
        cloud.points,
        cloud.T_world_lidar.matrix if sound else None,
        annotation.vehicles if annotation else None,
    )
    return cloud.points


def _seen_by_cameras(
    observer: Observer, frame: int, points: NDArray[np.float32] | None, sizes: Mapping[int, tuple[int, int] | None]
) -> tuple[dict[int, Camera], dict[int, NDArray[np.float64]]]:
    """Cameras, and the sweep's points in each; nothing where a frame is doubtful."""
    annotation = observer.annotations.get(frame)
    if annotation is None or points is None or len(points) == 0 or frame in observer.doubtful:
        return {}, {}
    cameras = {
        number: annotation.cameras[number].camera(size[1], size[0])
        for number, size in sizes.items()
        if size and number in annotation.cameras
    }
    T_camera_lidar = {number: annotation.cameras[number].T_camera_lidar.matrix for number in cameras}
    return cameras, points_of_cameras(points, T_camera_lidar)
