"""The stereo cameras of a generated episode: one on the wrist, two beside the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mapanything_data.geometry.euler import transforms_from_euler
from mapanything_data.scene import Camera
from mapanything_data.scene.arrays import Floats

WRIST = "11000001"
EXTERNAL = ("22000002", "22000003")
STALE = ("33000004", "33000005")
"""Serials that other set-ups left in the calibration."""

# Of the flange: the camera sits on a plate behind the gripper and looks along the fingers, as on the real robot.
_ON_FLANGE = (-0.079, 0.040, -0.006, -0.33, 0.05, -1.58)


@dataclass(frozen=True, slots=True, eq=False)
class RigCamera:
    """A stereo camera: rectified pictures, both eyes with the same intrinsics.

    Attributes:
        serial: Its serial number.
        kind: `wrist` moves with the flange, `external` stands still.
        camera: Intrinsics of either eye.
        T_parent_camera: [4, 4] float64, the left eye: in the flange's frame on the wrist, else in the world.
        baseline: Metres from the left to the right eye, along the camera's x axis.
    """

    serial: str
    kind: Literal["wrist", "external"]
    camera: Camera
    T_parent_camera: Floats
    baseline: float

    def T_world_eye(self, T_world_flange: Floats, eye: Literal["left", "right"] = "left") -> Floats:
        """An eye's poses [..., 4, 4] for poses of the flange [..., 4, 4]."""
        in_parent = self.T_parent_camera @ shift_x(self.baseline if eye == "right" else 0.0)
        if self.kind == "wrist":
            moving: Floats = T_world_flange @ in_parent
            return moving
        return np.broadcast_to(in_parent, T_world_flange.shape)


def make_rig(rng: np.random.Generator, width: int, height: int) -> tuple[RigCamera, ...]:
    """The wrist camera (baseline 63 mm), then the external ones (120 mm).

    A serial number has the same intrinsics in all episodes, as one camera has; where it stands is another matter.
    """

    def intrinsics(serial: str, focal: float) -> Camera:
        off_centre = np.random.default_rng(int(serial)).uniform(-0.01, 0.01, 2)
        cx, cy = (np.array([width, height]) - 1) / 2 + off_centre * width
        return Camera(width, height, focal * width, focal * width, float(cx), float(cy))

    on_flange = transforms_from_euler(np.array(_ON_FLANGE) + rng.uniform(-0.003, 0.003, 6))
    cameras = [RigCamera(WRIST, "wrist", intrinsics(WRIST, 0.55), on_flange, 0.063)]
    for serial, side in zip(EXTERNAL, (1, -1), strict=True):
        eye = np.array([0.15, 0.62 * side, 0.42]) + rng.uniform(-0.05, 0.05, 3)
        pose = _look_at(eye, np.array([0.5, 0.0, 0.2]))
        cameras.append(RigCamera(serial, "external", intrinsics(serial, 0.5), pose, 0.12))
    return tuple(cameras)


def shift_x(metres: float) -> Floats:
    """A transform [4, 4] along x."""
    T = np.eye(4)
    T[0, 3] = metres
    return T


def _look_at(eye: Floats, target: Floats) -> Floats:
    """`T_world_camera` of a camera whose picture is upright; the world's z is up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T[:3, 3] = eye
    return T
