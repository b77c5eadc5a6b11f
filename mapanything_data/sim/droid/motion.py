"""How the arm of a generated episode moves, and when its states and pictures are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.droid.panda import READY, flange_pose

_PERIOD = 0.071
"""Seconds of the control loop, as measured: 14.1 Hz."""
_CAMERA_PERIOD = 1 / 60
_PIPELINE = 0.046
"""Seconds before a state within which no picture is ready yet."""
_CLOSED = 0.94
"""Of an object between the pads."""

# What the arm does, as shares of the episode: the ends of its moves, and where it stands still to close and open.
_MOVES = (0.06, 0.36, 0.46, 0.76, 0.84, 0.96)
_CLOSING, _OPENING = (0.37, 0.44), (0.77, 0.83)
_ENABLED = (0.10, 0.92)


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """The arm and the gripper at any time.

    Attributes:
        start: Seconds since 1970 of the first state.
        duration: Seconds.
        waypoints: [4, 7] float64, radians: joint angles between which the arm moves, and stands still.
    """

    start: float
    duration: float
    waypoints: Floats

    def joints(self, times: ArrayLike) -> Floats:
        """Joint angles [..., 7], radians; times are seconds since 1970."""
        share = self._share(times)
        joints = np.broadcast_to(self.waypoints[0], (*share.shape, 7))
        for number in range(3):
            done = _smooth(share, _MOVES[2 * number], _MOVES[2 * number + 1])[..., None]
            joints = joints + done * (self.waypoints[number + 1] - self.waypoints[number])
        return joints

    def T_world_flange(self, times: ArrayLike) -> Floats:
        """The flange [..., 4, 4]."""
        return flange_pose(self.joints(times))

    def gripper(self, times: ArrayLike) -> Floats:
        """0 open, 1 closed, [...]."""
        share = self._share(times)
        closed: Floats = _CLOSED * (_smooth(share, *_CLOSING) - _smooth(share, *_OPENING))
        return closed

    def is_enabled(self, times: ArrayLike) -> NDArray[np.bool_]:
        """Whether the operator lets the arm move, [...] bool; it drifts on for a moment without."""
        share = self._share(times)
        return (share >= _ENABLED[0]) & (share <= _ENABLED[1])

    @property
    def held(self) -> tuple[float, float]:
        """Seconds since 1970 from when the gripper has closed until it begins to open."""
        return self.start + _CLOSING[1] * self.duration, self.start + _OPENING[0] * self.duration

    def _share(self, times: ArrayLike) -> Floats:
        return (np.asarray(times, dtype=np.float64) - self.start) / self.duration


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """When things happened, T steps, float64 seconds since 1970.

    Attributes:
        states: [T], the robot's own time stamps.
        read_starts: [T], when the computer asked for the state.
        read_ends: [T], when it had it.
        captures: Serial to [T], when each picture was taken.
    """

    states: Floats
    read_starts: Floats
    read_ends: Floats
    captures: dict[str, Floats]


def make_motion(rng: np.random.Generator, start: float, steps: int) -> Motion:
    """A pick and place: down to an object, to another place with it, and up."""
    above, reach = np.array(READY), np.array([0.25, 0.25, 0.1, -0.25, 0.1, 0.35, 0.3])
    away = above + reach * [-1.6, 0.8, -1, 1, -1, 1, -1]
    waypoints = np.stack([above, above + reach, away, above + reach * [-1, -0.2, 0, 0, 1, 0, 0]])
    return Motion(start, steps * _PERIOD, waypoints + rng.uniform(-0.05, 0.05, waypoints.shape))


def make_clocks(rng: np.random.Generator, start: float, steps: int, serials: Sequence[str]) -> Clocks:
    """Clocks as measured: jitter of the loop, cameras that run freely at 60 Hz, 46 to 63 ms before the state."""
    states = start + np.concatenate([[0.0], np.cumsum(_PERIOD + rng.uniform(-0.005, 0.005, steps - 1))])
    read_ends = states + rng.uniform(0.003, 0.006, steps)
    captures = {}
    for serial in serials:
        phase = start + rng.uniform(0, _CAMERA_PERIOD)
        captures[serial] = phase + np.floor((states - _PIPELINE - phase) / _CAMERA_PERIOD) * _CAMERA_PERIOD
    return Clocks(states, read_ends - rng.uniform(0.002, 0.004, steps), read_ends, captures)


def _smooth(share: Floats, start: float, end: float) -> Floats:
    """From 0 to 1 with the least jerk (Flash and Hogan 1985)."""
    x = ((share - start) / (end - start)).clip(0, 1)
    done: Floats = x**3 * (10 - 15 * x + 6 * x**2)
    return done
