"""The tracks of a gripper by the way that it went instead of by time: a sample every so many millimetres.

The way is that of the contact centroid, and a policy says which steps are a part of it (`counted_steps`). Between two
frames the centroid moves on a straight line, the gripper turns on the shortest way at constant speed, and the aperture
changes evenly; the points follow from these three, so that they stay rigid on their pads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import ConfigError
from mapanything_data.geometry.contact_tracks import (
    ContactTracks,
    compose,
    contact_centres,
    contact_centroids,
    gripper_poses,
    tracks_at,
    with_origin,
)
from mapanything_data.geometry.transforms import interpolate
from mapanything_data.scene import ContactMotion
from mapanything_data.scene.arrays import Floats

MOST_VALUES = 2**29
"""Coordinates of the normalised tracks, 2 GiB in float32: the longest episodes have a hundredth of it at 1 mm."""

_ROUNDING = 1e-6  # of a step: a rest of the way that is shorter is the rounding of the sum, not a sample of its own


@dataclass(frozen=True, slots=True, eq=False)
class NormalisedFlow:
    """Tracks at M points of the way and how they belong to the T frames.

    Attributes:
        tracks: The points, frames and poses at the samples.
        cumulative_distance_mm: [T] float64, the way up to each frame.
        frame_to_normalized_idx: [T] int64, the sample that is nearest on the way; of two equally near the first.
        step_mm: The distance between neighbouring samples on the way, of all but the last two.
        last_step_mm: The distance between the last two, which is what is left of the way; 0 when nothing moves.
    """

    tracks: ContactTracks
    cumulative_distance_mm: Floats
    frame_to_normalized_idx: NDArray[np.int64]
    step_mm: float
    last_step_mm: float


def counted_steps(
    T_world_flange: Floats,
    gripper_positions: Floats,
    pad_points: Floats,
    T_flange_gripper: Floats,
    movement_enabled: NDArray[np.bool_],
    *,
    idle_mm: float = 0.1,
    count_disabled: bool = False,
    count_gripper: bool = True,
) -> NDArray[np.bool_]:
    """Which steps are a part of the way; a step leads to its frame from the frame before it.

    Args:
        T_world_flange: [T, 4, 4].
        gripper_positions: [T], 0 open, 1 closed.
        pad_points: [2, N, 3], metres, each pad's in its own frame.
        T_flange_gripper: [4, 4].
        movement_enabled: [T], at each frame: whether the operator moved the robot from there on.
        idle_mm: A step in which the centroid moves less is the sensor's jitter. Of a real robot that stands still it is
            below 0.02 mm, and the smallest motion is 0.25 mm.
        count_disabled: Whether to count what moves while the operator held the robot still.
        count_gripper: Whether to count steps in which only the fingers move, which takes the centroid up to 14 mm along
            the gripper's axis. The points do move then, by up to 42 mm; uncounted, that is a jump between two
            samples.

    Returns:
        [T] bool; the first is False, since no step leads there.
    """
    T_world_gripper = compose(T_world_flange, T_flange_gripper)
    centroids = contact_centroids(T_world_gripper, gripper_positions, pad_points)
    is_counted = np.zeros(len(centroids), np.bool_)
    if not len(centroids):
        return is_counted
    is_counted[1:] = _lengths_mm(centroids[1:] - centroids[:-1]) >= idle_mm
    if not count_disabled:
        is_counted[1:] &= movement_enabled[:-1]
    if not count_gripper:
        as_before = contact_centroids(T_world_gripper[1:], gripper_positions[:-1], pad_points)
        is_counted[1:] &= _lengths_mm(as_before - centroids[:-1]) >= idle_mm
    return is_counted


def cumulative_distance_mm(motion: ContactMotion) -> Floats:
    """How far the contact centroid has come at each frame, counted steps only: [T] float64, millimetres."""
    centroids = contact_centroids(gripper_poses(motion), motion.gripper_positions, motion.pad_points)
    lengths = np.zeros(len(centroids))
    lengths[1:] = np.where(motion.is_counted[1:], _lengths_mm(centroids[1:] - centroids[:-1]), 0.0)
    # One after the other: np.cumsum is sequential by definition, so the sum is the same on every machine.
    return np.cumsum(lengths)


def normalised_flow(motion: ContactMotion) -> NormalisedFlow:
    """The tracks at 0, `step_mm`, 2 `step_mm` and so on of the way, and at its end.

    A sample at a distance where the way stands still, since steps are not counted, shows the end of the pause. At least
    two samples are made, also when nothing moves.

    Raises:
        ValueError: The motion has no steps.
        ConfigError: `step_mm` makes more samples than fit.
    """
    distance = cumulative_distance_mm(motion)
    samples = _sample_distances_mm(motion, distance)
    before = np.searchsorted(distance, samples, side="right") - 1
    after = np.minimum(before + 1, len(motion) - 1)
    gap = distance[after] - distance[before]
    share = np.clip(np.divide(samples - distance[before], gap, out=np.zeros(len(samples)), where=gap > 0), 0.0, 1.0)
    aperture = (1 - share) * motion.gripper_positions[before] + share * motion.gripper_positions[after]
    poses = gripper_poses(motion)
    centres = contact_centres(motion.gripper_positions, motion.pad_points)
    T_world_contact = with_origin(poses, centres)
    between = interpolate(T_world_contact[before], T_world_contact[after], share)
    T_world_gripper = with_origin(between, -contact_centres(aperture, motion.pad_points))
    nearest = np.searchsorted(0.5 * (samples[1:] + samples[:-1]), distance, side="left")
    return NormalisedFlow(
        tracks=tracks_at(T_world_gripper, aperture, motion.pad_points),
        cumulative_distance_mm=distance,
        frame_to_normalized_idx=nearest.astype(np.int64),
        step_mm=float(motion.step_mm),
        last_step_mm=float(samples[-1] - samples[-2]),
    )


def require_samples_fit(motion: ContactMotion) -> None:
    """Refuse a motion that `normalised_flow` would refuse, without computing its flow.

    Raises:
        ValueError: The motion has no steps.
        ConfigError: `step_mm` makes more samples than fit.
    """
    _sample_distances_mm(motion, cumulative_distance_mm(motion))


def _sample_distances_mm(motion: ContactMotion, distance_mm: Floats) -> Floats:
    """0, step, 2 step and so on, and the end: [M] float64, at least two."""
    if not len(distance_mm):
        raise ValueError("the motion has no steps, expected at least one")
    length, step = float(distance_mm[-1]), float(motion.step_mm)
    most = MOST_VALUES // motion.pad_points.size
    if not length / step + 2 <= most:
        raise ConfigError(
            "step_mm",
            f"{step:g} makes {length / step:.3g} samples of a way of {length:.6g} mm",
            expected=f"at most {most} samples of {motion.pad_points.size // 3} points, 2 GiB of normalised tracks",
            remedy="choose a larger step_mm or fewer points",
        )
    whole = math.floor(length / step + _ROUNDING)
    multiples: Floats = np.arange(whole + 1, dtype=np.float64) * step
    is_complete = whole > 0 and length - multiples[-1] <= _ROUNDING * step
    return multiples if is_complete else np.append(multiples, length)


def _lengths_mm(vectors: Floats) -> Floats:
    x, y, z = np.moveaxis(vectors, -1, 0)
    lengths: Floats = 1000 * np.sqrt(x * x + y * y + z * z)
    return lengths
