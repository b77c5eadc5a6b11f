"""How far an episode of a robot can be trusted: calibration, clocks, coverage, motion.

Each part has its measured numbers and a score from 0 to 1, which says 0.5 where a measurement reaches its tolerance:
1 / (1 + (measured / tolerance)^2). The tolerances order episodes; they are no limits of anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry import invert
from mapanything_data.geometry.contact_tracks import project_tracks
from mapanything_data.scene import ContactMotion
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.droid import CameraIntrinsics, RecordedCamera, Trajectory
from mapanything_data.storage.droid.clock import Align, CaptureClock, aligned

NOMINAL_BASELINE_MM = {"external": 120.0, "wrist": 63.0}
"""Of the ZED 2, which DROID has beside the robot, and of the ZED Mini at its wrist (Stereolabs' data sheets)."""
BASELINE_TOLERANCE_MM = 5.0
ROTATION_TOLERANCE_DEG = 1.0
ALIGNMENT_TOLERANCE_MM = 5.0


def calibration_quality(camera: RecordedCamera, intrinsics: CameraIntrinsics | None) -> dict[str, float] | None:
    """How well the poses of a camera's two eyes, which hand-eye calibration found apart, fit its housing.

    Args:
        camera: The camera.
        intrinsics: Where they know the baseline, the nominal one is not used.

    Returns:
        baseline_mm, expected_baseline_mm, baseline_error_mm, rotation_disagreement_deg between the two eyes, which
        look in one direction, and the score; None where the right eye has no pose.
    """
    T_left_right = _T_left_right(camera)
    if T_left_right is None:
        return None
    baseline = 1000 * float(np.linalg.norm(T_left_right[:3, 3]))
    known = intrinsics.baseline if intrinsics else None
    expected = known * 1000 if known else NOMINAL_BASELINE_MM[camera.kind]
    # Of a rotation matrix R, 2 sin(angle) is the length of its skew part and 1 + 2 cos(angle) its trace.
    R = T_left_right[:3, :3]
    skew = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    angle = math.degrees(math.atan2(float(np.linalg.norm(skew)), float(np.trace(R)) - 1))
    return {
        "baseline_mm": baseline,
        "expected_baseline_mm": expected,
        "baseline_error_mm": baseline - expected,
        "rotation_disagreement_deg": angle,
        "score": _score((baseline - expected) / BASELINE_TOLERANCE_MM, angle / ROTATION_TOLERANCE_DEG),
    }


def alignment_quality(trajectory: Trajectory, clock: CaptureClock, align: Align) -> dict[str, float]:
    """How far apart pictures and robot states are, in time and on the way of the flange.

    Args:
        trajectory: The episode.
        clock: When its pictures were taken.
        align: What the frames stand for.

    Returns:
        pose_to_image_skew_ms and _mm, median and 95th percentile: what would be wrong without alignment.
        capture_spread_ms: between the cameras of one step, 95th percentile. remaining_skew_mm: 95th percentile of what
        is wrong with the alignment chosen, which is half of the spread or the whole skew. held_frames: frames outside
        of the robot's log, which have its first or last state. And the score of the remaining skew.
    """
    captured = aligned(trajectory, "capture", clock)
    moved = captured.T_world_flange[:, :3, 3] - trajectory.T_world_flange[:, :3, 3]
    skew_mm = 1000 * np.linalg.norm(moved, axis=-1)
    skew_ms = 1000 * np.abs(trajectory.state_times - clock.times)
    spread_mm = 1000 * _speed(trajectory) * clock.spread / 2
    remaining_mm = _percentile(spread_mm if align == "capture" else skew_mm, 95)
    return {
        "pose_to_image_skew_ms_median": _percentile(skew_ms, 50),
        "pose_to_image_skew_ms_p95": _percentile(skew_ms, 95),
        "pose_to_image_skew_mm_median": _percentile(skew_mm, 50),
        "pose_to_image_skew_mm_p95": _percentile(skew_mm, 95),
        "capture_spread_ms_p95": _percentile(1000 * clock.spread, 95),
        "remaining_skew_mm_p95": remaining_mm,
        "held_frames": captured.held if align == "capture" else 0,
        "score": _score(remaining_mm / ALIGNMENT_TOLERANCE_MM),
    }


def coverage_quality(motion: ContactMotion, serial: str, occluded: NDArray[np.bool_] | None) -> dict[str, float]:
    """How much of the gripper's pads a camera sees.

    Args:
        motion: The gripper, aligned.
        serial: One of its cameras.
        occluded: [T, 2N] bool, where something measured hides a point; None where there is no depth.

    Returns:
        in_front_share, in_image_share and, with depth, occluded_share of all points at all steps.
    """
    tracks = project_tracks(motion, serial)
    shares = {
        "in_front_share": float(tracks.is_in_front.mean()),
        "in_image_share": float(tracks.is_in_image.mean()),
    }
    return shares if occluded is None else {**shares, "occluded_share": float(occluded.mean())}


def motion_quality(trajectory: Trajectory, motion: ContactMotion, length_mm: float) -> dict[str, float]:
    """How much of an episode is motion.

    Args:
        trajectory: The episode.
        motion: Its gripper, aligned.
        length_mm: The counted way of the contact centroid.

    Returns:
        path_length_mm (counted, of the contact centroid), flange_path_length_mm (all of it), idle_share of the steps
        that do not count although movement is enabled, disabled_share of the frames with movement disabled, and the
        score, which is the share of steps that count.
    """
    flange = np.linalg.norm(np.diff(motion.T_world_flange[:, :3, 3], axis=0), axis=-1).sum() * 1000
    is_counted, is_enabled = motion.is_counted[1:], trajectory.movement_enabled[:-1]
    return {
        "path_length_mm": length_mm,
        "flange_path_length_mm": float(flange),
        "idle_share": float((is_enabled & ~is_counted).mean()),
        "disabled_share": float(1 - trajectory.movement_enabled.mean()),
        "score": float(is_counted.mean()),
    }


def episode_score(parts: Mapping[str, float | None]) -> float:
    """The geometric mean of the scores that are known, so that one bad part is not made good by the others."""
    known = [score for score in parts.values() if score is not None]
    return math.prod(known) ** (1 / len(known)) if known else 0.0


def recorded_baseline(camera: RecordedCamera) -> float | None:
    """Metres between the two eyes as hand-eye calibration found them; None where the right eye has no pose."""
    T_left_right = _T_left_right(camera)
    return None if T_left_right is None else float(np.linalg.norm(T_left_right[:3, 3]))


def _T_left_right(camera: RecordedCamera) -> Floats | None:
    left, right = camera.T_parent_camera, camera.T_parent_right
    if left is None or right is None:
        return None
    T: Floats = invert(left) @ right
    return T


def _speed(trajectory: Trajectory) -> Floats:
    """Of the flange, metres a second, [T]."""
    velocity = np.gradient(trajectory.T_world_flange[:, :3, 3], trajectory.state_times, axis=0)
    speed: Floats = np.linalg.norm(velocity, axis=-1)
    return speed


def _percentile(values: Floats, percent: float) -> float:
    return float(np.percentile(values, percent))


def _score(*ratios: float) -> float:
    return 1 / (1 + sum(ratio * ratio for ratio in ratios))
