"""Grippers in motion for tests of contact tracks."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mapanything_data.geometry.gripper import mount, sample_pad_points
from mapanything_data.scene import NO_DISTORTION, Camera, ContactMotion, Distortion, StaticCamera, WristCamera

LENS = Distortion(k1=-0.1742, k2=0.0272, p1=0.0004, p2=-0.0007, k3=0.0008)


def rigid(rotation: Rotation, translation: object) -> np.ndarray:
    T = np.zeros((*np.shape(translation)[:-1], 4, 4))
    T[..., :3, :3], T[..., :3, 3], T[..., 3, 3] = rotation.as_matrix(), translation, 1.0
    return T


def wrist_camera(distortion: Distortion = NO_DISTORTION) -> WristCamera:
    """7 cm beside the flange, looking along its z, tilted by 20 degrees towards the pads."""
    camera = Camera(width=1280, height=720, fx=520.0, fy=525.0, cx=639.5, cy=359.5, distortion=distortion)
    return WristCamera(camera, rigid(Rotation.from_euler("y", 20, degrees=True), [-0.07, 0.0, 0.0]))


def static_camera(distortion: Distortion = NO_DISTORTION) -> StaticCamera:
    """A metre in front of the robot, looking back at it along -x."""
    camera = Camera(width=640, height=480, fx=500.0, fy=510.0, cx=319.5, cy=239.5, distortion=distortion)
    axes = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # right is y, down is -z, forward is -x
    return StaticCamera(camera, rigid(Rotation.from_matrix(axes), [1.2, 0.0, 0.4]))


def random_motion(
    seed: int, steps: int = 12, points: int = 5, *, jump: float = 0.02, **changes: object
) -> ContactMotion:
    """A walk of `steps` frames: up to `jump` metres along each axis and 0.1 rad a step; some do not count."""
    draw = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(np.cumsum(draw.uniform(-0.1, 0.1, (steps, 3)), axis=0))
    way = np.cumsum(draw.uniform(-jump, jump, (steps, 3)), axis=0)
    T_world_flange = rigid(turns, np.array([0.5, 0.0, 0.4]) + way)
    is_counted = draw.random(steps) < 0.8
    is_counted[0] = False
    values = {
        "timestamps": np.cumsum(draw.uniform(0.05, 0.09, steps)),
        "T_world_flange": T_world_flange,
        "gripper_positions": draw.choice([0.0, 1.0, *draw.random(3)], steps),
        "cartesian_positions": draw.normal(size=(steps, 6)),
        "is_counted": is_counted,
        "pad_points": sample_pad_points(points, seed),
        "T_flange_gripper": mount(float(draw.uniform(0, 0.02))),
        "fps": 14.1,
        "step_mm": 1.0,
        "cameras": {"11": wrist_camera(), "12": static_camera(), "13": static_camera(LENS)},
    }
    return ContactMotion(**(values | changes))


def straight_motion(steps_mm: list[float], **changes: object) -> ContactMotion:
    """A gripper that does not turn, open, and goes along the world's x in steps of so many millimetres."""
    frames = len(steps_mm) + 1
    way = np.concatenate([[0.0], np.cumsum(steps_mm)]) / 1000
    values = {
        "timestamps": np.arange(frames) / 15,
        "T_world_flange": rigid(Rotation.identity(frames), way[:, None] * [1.0, 0.0, 0.0]),
        "gripper_positions": np.zeros(frames),
        "is_counted": np.arange(frames) > 0,
        "cameras": {},
    }
    return random_motion(0, frames, 3, **(values | changes))
