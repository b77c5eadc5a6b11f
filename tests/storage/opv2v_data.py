"""A small OPV2V data set whose every depth and LiDAR return is computed by intersecting rays with planes and boxes.

A street is the plane y = 0 (world, OpenCV axes: y points down, so cameras are at negative y); a long wall stands across
it, and vehicles are solid boxes. Nothing of this is rendered, so it can judge what is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapanything_data.geometry.carla import matrix_from_carla_pose
from mapanything_data.geometry.projection import rays
from mapanything_data.scene import Box3D, Camera, PointCloud, Pose, Snapshot, View
from mapanything_data.storage.opv2v import FrameKey, write_snapshot

AGENTS = (962, 1007)
"""Sorted as text, 1007 would come first."""
FRAMES = (68, 70)
WIDTH, HEIGHT = 80, 60
EXTENT = np.array([1.06, 0.75, 2.45])  # half width, half height, half length
WALL_AHEAD = 60.0
CAMERA_MOUNTS = {  # x forward, y right, z up, roll, yaw, pitch: the rig of OPV2V
    0: (2.5, 0.0, 1.0, 0.0, 0.0, 0.0),
    1: (0.0, 0.3, 1.8, 0.0, 100.0, 0.0),
    2: (0.0, -0.3, 1.8, 0.0, -100.0, 0.0),
    3: (-2.0, 0.0, 1.5, 0.0, 180.0, 0.0),
}
LIDAR_MOUNT = (-0.5, 0.0, 1.9, 0.0, 0.0, 0.0)


def agent_pose(agent: int, frame: int) -> Pose:
    """Agents stand 12 m apart in neighbouring lanes, a little turned, and drive 5 m/s."""
    place = AGENTS.index(agent)
    ahead = 12.0 * place + 5.0 * (frame - FRAMES[0]) / 20
    return Pose(matrix_from_carla_pose([ahead, 3.5 * place, 0.0, 0.4, 4.0 * place, -0.6]))


def vehicles(frame: int) -> list[Box3D]:
    """Both agents and a parked car, all boxes of one size that stand on the road."""
    poses = {agent: agent_pose(agent, frame) for agent in AGENTS}
    poses[5] = Pose(matrix_from_carla_pose([22.0, -3.0, 0.0, 0.0, 30.0, 0.0]))
    to_centre = Pose(
        np.block([[np.eye(3), np.array([[0.0], [-EXTENT[1]], [0.0]])], [np.zeros((1, 3)), np.ones((1, 1))]])
    )
    return [
        Box3D(T_world_box=pose @ to_centre, extent=EXTENT, label="vehicle", id=number) for number, pose in poses.items()
    ]


def cast(origin: np.ndarray, directions: np.ndarray, boxes: list[Box3D]) -> np.ndarray:
    """Distances [N] along world rays [N, 3] to the first surface; infinite where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = -origin[1] / directions[:, 1]
        wall = (WALL_AHEAD - origin[2]) / directions[:, 2]
        height = origin[1] + wall * directions[:, 1]
        hits = [
            np.where(ground > 0, ground, np.inf),
            np.where((wall > 0) & (height < 0) & (height > -10), wall, np.inf),
        ]
        for box in boxes:
            inverse = box.T_world_box.inverse()
            start, along = inverse @ origin, directions @ inverse.rotation.T
            one, other = (-box.extent - start) / along, (box.extent - start) / along
            enter, leave = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
            hits.append(np.where((enter <= leave) & (enter > 0), enter, np.inf))
    return np.min(hits, axis=0)


def make_snapshot(agent: int, frame: int, width: int = WIDTH, height: int = HEIGHT) -> Snapshot:
    """What an agent sees; its own box is not in its way."""
    T_world_agent = agent_pose(agent, frame)
    others = [box for box in vehicles(frame) if box.id != agent]
    camera = Camera.from_fov(width, height, np.deg2rad(100))
    views = {}
    for number, mount in CAMERA_MOUNTS.items():
        T_world_camera = T_world_agent @ Pose(matrix_from_carla_pose(mount))
        unit = rays(camera)
        distance = cast(T_world_camera.translation, unit.reshape(-1, 3) @ T_world_camera.rotation.T, others)
        depth = distance.reshape(height, width) * unit[..., 2]
        depth = np.where(depth < 200, depth, 0).astype(np.float32)
        shade = np.clip(255 * np.exp(-depth / 30), 0, 255).astype(np.uint8)
        pattern = np.random.default_rng([agent, frame, number]).integers(0, 60, (height, width, 3), np.uint8)
        views[number] = View(
            image=np.where(depth[..., None] > 0, np.maximum(shade[..., None], 60) - pattern, 200 + pattern // 2).astype(
                np.uint8
            ),
            camera=camera,
            timestamp=frame / 20,
            T_world_camera=T_world_camera,
            depth=depth,
        )
    return Snapshot(
        agent=agent,
        frame=frame,
        timestamp=frame / 20,
        T_world_agent=T_world_agent,
        T_world_agent_estimate=Pose(matrix_from_carla_pose([*T_world_agent.translation[[2, 0]], 0.05, 0, 0.1, 0])),
        speed=5.0,
        views=views,
        cloud=make_cloud(T_world_agent @ Pose(matrix_from_carla_pose(LIDAR_MOUNT)), others),
        boxes=others,
        box_speeds={box.id: 5.0 if box.id in AGENTS else 0.0 for box in others},
    )


def make_cloud(T_world_lidar: Pose, boxes: list[Box3D], channels: int = 32, steps: int = 360) -> PointCloud:
    """A sweep without noise, up to 120 m."""
    elevation, azimuth = np.meshgrid(
        np.deg2rad(np.linspace(-25, 2, channels)), np.linspace(-np.pi, np.pi, steps, endpoint=False), indexing="ij"
    )
    unit = np.stack(
        [np.cos(elevation) * np.sin(azimuth), -np.sin(elevation), np.cos(elevation) * np.cos(azimuth)], axis=-1
    ).reshape(-1, 3)
    distance = cast(T_world_lidar.translation, unit @ T_world_lidar.rotation.T, boxes)
    hit = distance < 120
    return PointCloud(
        points=(unit[hit] * distance[hit, None]).astype(np.float32),
        intensity=np.exp(-0.004 * distance[hit]).astype(np.float32),
        T_world_lidar=T_world_lidar,
    )


def write_root(
    root: Path,
    splits: tuple[str, ...] = ("train",),
    scenarios: int = 1,
    agents: tuple[int, ...] = AGENTS,
    frames: tuple[int, ...] = FRAMES,
) -> Path:
    """Write the data set, depth maps in the folder beside it; each scenario holds the same drive."""
    for split in splits:
        for number in range(scenarios):
            for agent in agents:
                for frame in frames:
                    key = FrameKey(split, f"2021_08_16_22_26_{number:02d}", str(agent), f"{frame:06d}")
                    write_snapshot(
                        root, key, make_snapshot(agent, frame), depth_root=root.with_name(f"{root.name}_depth")
                    )
    return root
