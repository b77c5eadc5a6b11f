"""What a labeler is given, read from an OPV2V data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mapanything_data.labelers.protocol import LabelView, Moment, Needs, Sweep
from mapanything_data.scene import Box3D, PointCloud, Pose
from mapanything_data.storage.opv2v import (
    OPV2V,
    Annotation,
    FrameKey,
    Scenario,
    read_annotation,
    read_cloud,
    read_view,
)
from mapanything_data.storage.opv2v.annotation import Vehicles
from mapanything_data.storage.opv2v.layout import LABEL, PCD, YAML

TWO_WHEELER = np.array([0.6, 1.3, 1.3])
"""Half sizes along right, down, forward of what CARLA gives none, metres: generous, and centred on the road."""


class MomentReader:
    """Reads the moments of one agent; what neighbouring moments share is read once."""

    def __init__(self, dataset: OPV2V, scenario: Scenario, agent: int, needs: Needs) -> None:
        self._dataset, self._scenario, self._agent, self._needs = dataset, scenario, agent, needs
        self._frames = sorted(scenario.agents[agent].frames)
        moments = needs.frames_before + needs.frames_after + 1
        senders = len(scenario.agents) if needs.other_agents else 1
        self._annotation = lru_cache(maxsize=moments * len(scenario.agents))(self._read_annotation)
        self._cloud = lru_cache(maxsize=moments * senders)(self._read_cloud)

    def moment(self, frame: int) -> Moment:
        """A frame as the labeler wants it.

        Raises:
            DataError: A file that is needed is missing or damaged, also one of another agent or moment.
        """
        key = self._scenario.key(self._agent, frame)
        annotation = self._annotation(self._agent, frame)
        sweeps = list(self._sweeps(frame)) if self._needs.clouds else []
        others = sorted({sweep.frame for sweep in sweeps} - {frame})
        return Moment(
            agent=self._agent,
            frame=frame,
            name=key.frame,
            views={number: self._view(key, annotation, number) for number in self._cameras(frame, annotation)},
            boxes=annotation.vehicles.boxes(),
            sweeps=sweeps,
            boxes_at={other: self._boxes_of_all(other) for other in others},
        )

    def _cameras(self, frame: int, annotation: Annotation) -> list[int]:
        """Those that have a picture; a missing one has nothing to be labelled, and the check reports it."""
        pictures = self._scenario.agents[self._agent].cameras(frame)
        return [number for number in pictures if number in annotation.cameras]

    def _view(self, key: FrameKey, annotation: Annotation, number: int) -> LabelView:
        seen = read_view(
            self._dataset.folder,
            key,
            annotation.cameras,
            number,
            with_image=self._needs.images,
            depth_root=self._dataset.depth_folder if self._needs.depth else None,
            depth_layout=self._dataset.depth_layout,
        )
        return LabelView(camera=seen.camera, T_world_camera=seen.T_world_camera, image=seen.image, depth=seen.depth)

    def _sweeps(self, frame: int) -> Iterator[Sweep]:
        """The own sweep of the moment, then those of other agents and moments, as far as there are any."""
        yield Sweep(agent=self._agent, frame=frame, cloud=self._cloud(self._agent, frame))
        place = self._frames.index(frame)
        first = max(place - self._needs.frames_before, 0)
        for near in self._frames[first : place + self._needs.frames_after + 1]:
            for agent in self._scenario.agents if self._needs.other_agents else [self._agent]:
                is_there = near in self._scenario.agents[agent].frames
                if is_there and (agent, near) != (self._agent, frame):
                    yield Sweep(agent=agent, frame=near, cloud=self._cloud(agent, near))

    def _boxes_of_all(self, frame: int) -> Sequence[Box3D]:
        """Vehicles that any agent saw at a moment."""
        boxes: dict[int, Box3D] = {}
        for agent in self._scenario.agents.values():
            if frame in agent.frames:
                boxes |= {box.id: box for box in _boxes_with_size(self._annotation(agent.id, frame).vehicles)}
        return list(boxes.values())

    def _read_annotation(self, agent: int, frame: int) -> Annotation:
        return read_annotation(self._file(agent, frame, YAML))

    def _read_cloud(self, agent: int, frame: int) -> PointCloud:
        return read_cloud(self._file(agent, frame, PCD), self._annotation(agent, frame).T_world_lidar)

    def _file(self, agent: int, frame: int, part: str) -> Path:
        return self._dataset.folder / self._scenario.key(agent, frame).file(part)


def _boxes_with_size(vehicles: Vehicles) -> list[Box3D]:
    extent = np.where(np.all(vehicles.extent > 0, axis=1, keepdims=True), vehicles.extent, TWO_WHEELER)
    return [
        Box3D(T_world_box=Pose(T), extent=half, label=LABEL, id=int(id_))
        for id_, T, half in zip(vehicles.ids, vehicles.T_world_box, extent, strict=True)
    ]
