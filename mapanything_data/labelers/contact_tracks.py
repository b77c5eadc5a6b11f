"""Tracks of the points where a gripper touches things, from the poses that an episode recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mapanything_data.config import component
from mapanything_data.errors import require_option
from mapanything_data.geometry.gripper import mount, sample_pad_points
from mapanything_data.geometry.normalised_flow import counted_steps
from mapanything_data.scene import ContactMotion, StaticCamera, WristCamera
from mapanything_data.storage.droid import CameraIntrinsics, RecordedCamera, Trajectory
from mapanything_data.storage.droid.clock import Align, Aligned, frame_rate


@component("labeler", "contact_tracks")
@dataclass(kw_only=True, slots=True)
class ContactTracksLabeler:
    """Points on the finger pads of a Robotiq 2F-85, followed through an episode in 3D and in every camera."""

    num_points_per_finger: int = 480
    """Points on each of the two pads."""
    seed: int = 0
    """Chooses the points; the same seed gives the same points in every episode."""
    align: str = "capture"
    """Moments that frames stand for: `capture`, when the pictures were taken, or `state`, when the robot was read."""
    mount_offset_m: float = 0.0
    """Distance from the flange to the gripper's base along the flange's z axis, metres (the camera's mount plate)."""
    mount_yaw: float = math.pi / 2
    """Turn of the gripper about the flange's z axis, radians."""
    step_mm: float = 1.0
    """Distance between samples of the normalised flow, millimetres."""
    count_disabled: bool = False
    """Whether moves count as a part of the way while the operator held the robot still."""
    count_gripper: bool = True
    """Whether steps count in which only the fingers move, which takes the centroid up to 14 mm along the gripper."""
    idle_mm: float = 0.1
    """Steps shorter than this are jitter and do not count as a part of the way, millimetres."""
    occlusion_m: float = 0.0
    """A point is occluded where depth is nearer by more than this, metres; 0 leaves occlusion out."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        require_option(
            "labeler.num_points_per_finger", self.num_points_per_finger, self.num_points_per_finger >= 1, "1 or more"
        )
        require_option("labeler.seed", self.seed, self.seed >= 0, "0 or more")
        require_option("labeler.align", self.align, self.align in ("capture", "state"), "capture or state")
        for name in ("idle_mm", "occlusion_m"):
            value = getattr(self, name)
            require_option(f"labeler.{name}", value, 0 <= value < math.inf, "0 or more")
        require_option("labeler.step_mm", self.step_mm, 0 < self.step_mm < math.inf, "millimetres above 0")
        in_pictures = self.align == "capture" or not self.occlusion_m
        require_option(
            "labeler.occlusion_m",
            self.occlusion_m,
            in_pictures,
            "0 with labeler.align=state: depth is measured when the pictures are taken",
        )
        for name in ("mount_offset_m", "mount_yaw"):
            value = getattr(self, name)
            require_option(f"labeler.{name}", value, math.isfinite(value), "a number")

    @property
    def moments(self) -> Align:
        """`align`, checked."""
        return "state" if self.align == "state" else "capture"

    def motion(
        self, trajectory: Trajectory, states: Aligned, intrinsics: Mapping[str, CameraIntrinsics]
    ) -> ContactMotion:
        """The gripper of an episode in motion.

        Args:
            trajectory: The episode.
            states: Its robot's states at the moments that `align` chooses.
            intrinsics: Serial to what is known of its lenses.
        """
        pad_points = sample_pad_points(self.num_points_per_finger, self.seed)
        T_flange_gripper = mount(self.mount_offset_m, self.mount_yaw)
        is_counted = counted_steps(
            states.T_world_flange,
            states.gripper,
            pad_points,
            T_flange_gripper,
            trajectory.movement_enabled,
            idle_mm=self.idle_mm,
            count_disabled=self.count_disabled,
            count_gripper=self.count_gripper,
        )
        cameras = {
            serial: camera
            for serial, recorded in trajectory.cameras.items()
            if serial in intrinsics and (camera := _posed(recorded, intrinsics[serial]))
        }
        return ContactMotion(
            timestamps=states.timestamps,
            T_world_flange=states.T_world_flange,
            gripper_positions=states.gripper,
            cartesian_positions=trajectory.cartesian_position,
            is_counted=is_counted,
            pad_points=pad_points,
            T_flange_gripper=T_flange_gripper,
            fps=frame_rate(trajectory),
            step_mm=self.step_mm,
            cameras=cameras,
        )


def _posed(recorded: RecordedCamera, intrinsics: CameraIntrinsics) -> StaticCamera | WristCamera | None:
    if recorded.problem:
        return None
    T = recorded.T_parent_camera
    assert T is not None  # a camera without a pose has a problem
    return WristCamera(intrinsics.left, T) if recorded.kind == "wrist" else StaticCamera(intrinsics.left, T)
