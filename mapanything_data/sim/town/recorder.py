"""An open town: what an agent senses and knows at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from mapanything_data.geometry.carla import carla_pose_from_matrix, matrix_from_carla_pose
from mapanything_data.geometry.quaternions import quaternion_from_matrix
from mapanything_data.scene import Box3D, Camera, PointCloud, Pose, Snapshot, View
from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.opengl import choose_opengl
from mapanything_data.sim.town.axes import opencv_transform
from mapanything_data.sim.town.cars import KINDS, car_meshes
from mapanything_data.sim.town.layout import Layout, draw_layout
from mapanything_data.sim.town.lidar import Lidar
from mapanything_data.sim.town.mesh import merge
from mapanything_data.sim.town.model import build_model, fixed_meshes
from mapanything_data.sim.town.renderer import Renderer
from mapanything_data.sim.town.rig import T_AGENT_CAMERA, T_AGENT_LIDAR
from mapanything_data.sim.town.traffic import Car, Traffic, draw_traffic, pose_on
from mapanything_data.storage.opv2v.layout import FRAME_STEP, FRAMES_PER_SECOND, LABEL

FIRST_FRAME = 68
"""Where numbers of frames start, as in scenarios of OPV2V."""
LOCALISATION_NOISE = np.array([0.03, 0.03, 0.03, 0.0, 0.06, 0.0])
"""Standard deviation of where an agent believes to be: x, y, z in metres, roll, yaw, pitch in degrees."""
BOX_RANGE = 120.0
"""Metres: other vehicles farther from the agent are not listed."""


@dataclass(frozen=True, slots=True)
class Town:
    """All that decides what a scenario looks like."""

    seed: tuple[int, ...]
    """Of everything random in it."""
    agents: int
    frames: int
    hill_height: float
    """Metres between the lowest and the highest ground."""
    density: float
    """Share of the places for cars that are taken."""

    def frame_numbers(self) -> range:
        """Of its moments."""
        return range(FIRST_FRAME, FIRST_FRAME + self.frames * FRAME_STEP, FRAME_STEP)

    def draw(self) -> tuple[Layout, Traffic]:
        """The streets and the cars on them."""
        layout = draw_layout(self._generator(0), self.hill_height)
        times = np.array(self.frame_numbers()) / FRAMES_PER_SECOND
        return layout, draw_traffic(self._generator(1), layout, self.agents, self.density, times)

    def build(self, layout: Layout, traffic: Traffic) -> tuple[Any, Floats]:
        """The compiled `mujoco.MjModel`, and the triangles [M, 3, 3] of what never moves, metres, MuJoCo's world."""
        fixed = fixed_meshes(self._generator(2), layout)
        return build_model(self._generator(3), fixed, traffic.cars), merge(fixed.values()).triangles

    def lidar_noise(self, agent: int, frame: int) -> np.random.Generator:
        """The generator of one sweep."""
        return self._generator(4, agent, frame)

    def localisation_noise(self, agent: int, frame: int) -> np.random.Generator:
        """The generator of what an agent believes of its pose."""
        return self._generator(5, agent, frame)

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, *purpose])


class TownRecorder:
    """Renders a town; use it as a context manager."""

    def __init__(self, town: Town, camera: Camera, lidar: Lidar, *, segmentation: bool) -> None:
        choose_opengl()  # before MuJoCo is imported
        import mujoco

        self._town, self._camera, self._lidar, self._segmentation = town, camera, lidar, segmentation
        self._layout, traffic = town.draw()
        self._cars = {car.id: car for car in traffic.cars}
        self._model, self._fixed = town.build(self._layout, traffic)
        self._car_triangles = {kind: merge(car_meshes(kind).values()).triangles for kind in KINDS}
        self._data = mujoco.MjData(self._model)
        self._renderer = Renderer(self._model, camera.width, camera.height)

    def __enter__(self) -> TownRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._renderer.close()

    def snapshot(self, agent: int, frame: int) -> Snapshot:
        """What an agent senses and knows at a moment; the same whenever it is asked for."""
        time = frame / FRAMES_PER_SECOND
        states = {car.id: car.at(time) for car in self._cars.values()}
        poses = {number: pose_on(self._layout.hills, place, heading) for number, (place, heading, _) in states.items()}
        self._move_cars(poses)
        T_world = {number: Pose(opencv_transform(*pose)) for number, pose in poses.items()}
        T_world_agent = T_world[agent]
        near = [
            number
            for number, pose in T_world.items()
            if number != agent and np.linalg.norm(pose.translation - T_world_agent.translation) <= BOX_RANGE
        ]
        views, classes = self._look(T_world_agent, time)
        return Snapshot(
            agent=agent,
            frame=frame,
            timestamp=time,
            T_world_agent=T_world_agent,
            T_world_agent_estimate=_estimate(T_world_agent, self._town.localisation_noise(agent, frame)),
            speed=float(states[agent][2]),
            views=views,
            cloud=self._scan(poses, T_world_agent, self._town.lidar_noise(agent, frame)),
            boxes=[_box(self._cars[number], T_world[number]) for number in sorted(near)],
            box_speeds={number: float(states[number][2]) for number in sorted(near)},
            segmentation=classes,
        )

    def _move_cars(self, poses: dict[int, tuple[Floats, Floats]]) -> None:
        import mujoco

        rotations = np.array([rotation for rotation, _ in poses.values()])
        self._data.mocap_pos[:] = [translation for _, translation in poses.values()]
        self._data.mocap_quat[:] = np.roll(quaternion_from_matrix(rotations), 1, axis=1)  # w first
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._renderer.update(self._data)

    def _look(self, T_world_agent: Pose, time: float) -> tuple[dict[int, View], dict[int, Any]]:
        views, classes = {}, {}
        for number, T_agent_camera in T_AGENT_CAMERA.items():
            T_world_camera = T_world_agent @ T_agent_camera
            image, depth = self._renderer.draw(self._camera, T_world_camera)
            views[number] = View(
                image=image, camera=self._camera, timestamp=time, T_world_camera=T_world_camera, depth=depth
            )
            if self._segmentation:
                classes[number] = self._renderer.draw_classes(self._camera, T_world_camera)
        return views, classes

    def _scan(
        self, poses: dict[int, tuple[Floats, Floats]], T_world_agent: Pose, noise: np.random.Generator
    ) -> PointCloud:
        bodies = [
            self._car_triangles[self._cars[number].kind] @ rotation.T + translation
            for number, (rotation, translation) in poses.items()
        ]
        return self._lidar.scan(np.concatenate([self._fixed, *bodies]), T_world_agent @ T_AGENT_LIDAR, noise)


def _estimate(T_world_agent: Pose, noise: np.random.Generator) -> Pose:
    pose = carla_pose_from_matrix(T_world_agent.matrix) + noise.normal(0.0, LOCALISATION_NOISE)
    return Pose(matrix_from_carla_pose(pose * [1, 1, 1, 0, 1, 0]))


def _box(car: Car, T_world_car: Pose) -> Box3D:
    """Around exactly the car: its frame's origin is on the road, the box's is half a height above."""
    up = np.eye(4)
    up[1, 3] = -car.kind.extent[1]
    return Box3D(T_world_box=T_world_car @ Pose(up), extent=car.kind.extent, label=LABEL, id=car.id)
