"""When an episode's steps were seen: the time that its poses are brought to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mapanything_data.geometry import interpolate_at
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.droid.cameras import RecordedCamera
from mapanything_data.storage.droid.trajectory import Trajectory

Align = Literal["capture", "state"]

_CLOCK_OFFSET = 1.0
"""Seconds: a camera whose pictures are so far from the robot's states runs on another clock."""
_NEXT_MOMENT = 1e-6
"""Seconds by which a step follows one that shows the same pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class CaptureClock:
    """The time of each of T steps.

    Attributes:
        times: [T] float64, seconds, strictly increasing: the median over the cameras of when the pictures were taken;
            the times of the robot's states where no camera has a sound clock.
        spread: [T] float64, seconds from the first to the last camera's picture of a step.
        serials: The cameras that were used; none stands for the robot's states.
        remarks: Which cameras were left out and why, in words for people.
    """

    times: Floats
    spread: Floats
    serials: Sequence[str]
    remarks: Sequence[str]


class Aligned(NamedTuple):
    """The robot at the times of T steps.

    Attributes:
        timestamps: [T] float64, seconds, strictly increasing.
        T_world_flange: [T, 4, 4] float64.
        gripper: [T] float64, 0 open, 1 closed.
        held: How many steps lie before the first or after the last state, and have that state's pose.
    """

    timestamps: Floats
    T_world_flange: Floats
    gripper: Floats
    held: int


def capture_clock(trajectory: Trajectory, cameras: Iterable[str] | None = None) -> CaptureClock:
    """When the pictures of each step were taken.

    A camera that goes back in time, has NaN or runs on another clock than the robot is left out. One that was read
    twice between two pictures tells the same time twice, which is true; where that makes a step no later than the one
    before, it is said to be a microsecond later.

    Args:
        trajectory: The episode.
        cameras: Serials to ask; all that have no problem by default.
    """
    asked = trajectory.cameras if cameras is None else {serial: trajectory.cameras[serial] for serial in cameras}
    remarks: list[str] = []
    clocks: dict[str, Floats] = {}
    for serial, camera in asked.items():
        problem = _problem_of_clock(camera, trajectory.state_times)
        if problem:
            remarks.append(f"the clock of camera {serial} is left out: {problem}")
        elif camera.capture_times is not None:
            clocks[serial] = camera.capture_times
    if not clocks:
        remarks.append("no camera tells when its pictures were taken: the times of the robot's states stand for them")
        return CaptureClock(trajectory.state_times, np.zeros(len(trajectory)), (), remarks)
    times = np.stack(list(clocks.values()))
    middle = np.median(times, axis=0)  # of times that never decrease, it never decreases either
    repeated = int((np.diff(middle) == 0).sum())
    if repeated:
        remarks.append(f"{repeated} steps show the pictures of the step before")
        later = _NEXT_MOMENT * np.arange(len(middle))
        middle = np.maximum.accumulate(middle - later) + later
    return CaptureClock(middle, np.ptp(times, axis=0), tuple(clocks), remarks)


def aligned(trajectory: Trajectory, align: Align, clock: CaptureClock | None = None) -> Aligned:
    """The robot when the pictures were taken (`capture`), or as its states were measured (`state`).

    Positions and gripper go on a straight line between two states, rotations on the shortest way.

    Args:
        trajectory: The episode.
        align: To which times.
        clock: What `capture_clock` says, where it is known already.
    """
    if align == "state":
        return Aligned(trajectory.state_times, trajectory.T_world_flange, trajectory.gripper_position, 0)
    times, known = (clock or capture_clock(trajectory)).times, trajectory.state_times
    within = times.clip(known[0], known[-1])
    poses = interpolate_at(known, trajectory.T_world_flange, within)
    gripper = np.interp(within, known, trajectory.gripper_position)
    return Aligned(times, poses, gripper, int((times != within).sum()))


def frame_rate(trajectory: Trajectory) -> float:
    """Steps per second: one over the median distance of the robot's states, which a long pause does not move.

    The times of capture would mislead: they come in whole periods of the camera, so that of a loop with 14 steps a
    second most are 1/15 s apart and some 1/12.
    """
    return 1.0 / float(np.median(np.diff(trajectory.state_times)))


def _problem_of_clock(camera: RecordedCamera, state_times: Floats) -> str:
    times = camera.capture_times
    if camera.problem:
        return camera.problem
    if times is None:
        return "it has no times of capture"
    if not np.isfinite(times).all():
        return f"{(~np.isfinite(times)).sum()} of its times are not finite"
    backwards = np.flatnonzero(np.diff(times) < 0)
    if len(backwards):
        return f"it goes back at {len(backwards)} steps, the first is {backwards[0] + 1}"
    if len(times) > 1 and times[0] == times[-1]:
        return "it stands still"
    if (offset := np.abs(times - state_times).max()) > _CLOCK_OFFSET:
        return f"it is up to {offset:.3g} s away from the robot's"
    return ""
