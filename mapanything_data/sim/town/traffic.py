"""Which cars there are and where each is at any time, in closed form.

Two lanes ring the block in the middle, one for each direction. Cars keep their order and a gap on their lane, so they
never meet; the others are parked, or wait in the streets that lead to the ring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.town.cars import COLOURS, KINDS, SALOON, CarKind
from mapanything_data.sim.town.ground import LANE_WIDTH, Hills
from mapanything_data.sim.town.layout import Layout, Spot

NEAR = 40.0
"""Metres: the agents of a scenario are never farther from the first of them."""
_INNER_RADIUS = 8.0  # metres: of the lane that turns right at the corners
_PLACE = 13.0  # metres of lane for each car
_JITTER = 1.2  # metres that a car may start off its place
_SURGE = 0.8  # metres that it swings about its place: 13 - 2 (1.2 + 0.8) - 5.2 leaves 3.8 m between two vans


@dataclass(frozen=True, slots=True)
class Ring:
    """A lane around the block: a rectangle with round corners, driven counter-clockwise (turn 1) or clockwise (-1)."""

    half_sizes: tuple[float, float]
    """Metres along x and y."""
    radius: float
    """Of its corners, metres."""
    turn: int

    @property
    def length(self) -> float:
        """Metres once around."""
        return float(sum(2 * self._straights) + 2 * np.pi * self.radius)

    def at(self, distance: Floats) -> tuple[Floats, Floats]:
        """Places [..., 2] and headings [...] (radians from x) after `distance` [...] metres along the lane."""
        a, b = self._straights
        arc = np.pi / 2 * self.radius
        # Counter-clockwise from the start of the southern straight: straight, corner, straight, corner, ...
        ends = np.cumsum([a, arc, b, arc, a, arc, b, arc])
        s = (self.turn * np.asarray(distance)) % self.length
        piece = np.minimum(np.searchsorted(ends, s, side="right"), 7)
        done = s - np.concatenate([[0.0], ends])[piece]
        side = piece // 2
        on_corner = piece % 2 == 1
        heading = side * np.pi / 2 + np.where(on_corner, done / self.radius, 0.0)
        centres = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]]) * np.array([a, b]) / 2
        starts = centres[side - 1] + self.radius * _direction(side * np.pi / 2 - np.pi / 2)
        straight = starts + done[..., None] * _direction(side * np.pi / 2)
        corner = centres[side] + self.radius * _direction(heading - np.pi / 2)
        place = np.where(on_corner[..., None], corner, straight)
        return place, heading + (np.pi if self.turn < 0 else 0.0)

    @property
    def _straights(self) -> Floats:
        return 2 * (np.array(self.half_sizes) - self.radius)


def rings(streets: tuple[float, float]) -> tuple[Ring, Ring]:
    """The inner lane, which turns right (the block lies on its right), and the outer, which turns left."""
    inner, outer = (np.array(streets) + side * LANE_WIDTH / 2 for side in (-1, 1))
    return (
        Ring(tuple(inner.tolist()), _INNER_RADIUS, -1),
        Ring(tuple(outer.tolist()), _INNER_RADIUS + LANE_WIDTH, 1),
    )


@dataclass(frozen=True, slots=True)
class Car:
    """A car that stands at `spot`, or drives on `ring`."""

    id: int
    kind: CarKind
    colour: tuple[float, float, float]
    spot: Spot | None = None
    ring: Ring | None = None
    start: float = 0.0
    """Metres along the ring at time 0."""
    cruise: float = 0.0
    """Metres per second, the same for all cars of a ring."""
    surge: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """How it swings about its place among them: metres, radians per second, radians."""

    def at(self, time: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Places [..., 2] (metres), headings [...] (radians from x), speeds [...] (metres per second, on the map)."""
        time = np.asarray(time, dtype=np.float64)
        if self.ring is None:
            assert self.spot is not None
            standing = np.zeros_like(time)
            return standing[..., None] + self.spot.place, standing + self.spot.heading, standing
        metres, pace, phase = self.surge
        swing = pace * time + phase
        place, heading = self.ring.at(self.start + self.cruise * time + metres * np.sin(swing))
        return place, heading, self.cruise + metres * pace * np.cos(swing)


@dataclass(frozen=True, slots=True)
class Traffic:
    """All cars of a town."""

    cars: list[Car]
    agents: tuple[int, ...]
    """Ids of the cars that carry cameras, increasing."""


def draw_traffic(rng: np.random.Generator, layout: Layout, agents: int, density: float, times: Floats) -> Traffic:
    """Cars on the ring, in the queues and in the bays.

    Args:
        rng: Its generator.
        layout: The town.
        agents: How many cars carry cameras. They are near each other at all `times`.
        density: The share of the places for cars that are taken, 0 to 1; the agents are there in any case.
        times: [T] seconds.
    """
    moving = [car for ring in rings(layout.streets) for car in _platoon(rng, ring)]
    waiting = [Car(0, *_look(rng), spot=spot) for spot in layout.queues]
    parked = [Car(0, *_look(rng), spot=spot) for spot in (_parked(rng, bay) for bay in layout.parking)]
    cars = moving + waiting + parked
    chosen = _choose_agents(rng, moving, waiting, agents, times)
    taken = rng.random(len(cars)) < density
    taken[chosen] = True
    ids = rng.choice(np.arange(200, 2000), len(cars), replace=False).tolist()
    named = [
        Car(
            number,
            SALOON if index in chosen else car.kind,
            car.colour,
            car.spot,
            car.ring,
            car.start,
            car.cruise,
            car.surge,
        )
        for index, (number, car) in enumerate(zip(ids, cars, strict=True))
    ]
    present = [car for car, is_there in zip(named, taken, strict=True) if is_there]
    return Traffic(present, tuple(sorted(named[index].id for index in chosen)))


def pose_on(hills: Hills, place: Floats, heading: ArrayLike) -> tuple[Floats, Floats]:
    """Rotation [3, 3] and translation [3] of a car that stands on the hills.

    Its x axis looks along `heading`, its z axis is the normal of the ground.
    """
    slope = hills.slope(place)
    ahead = _direction(np.array(heading))
    forward = np.append(ahead, slope @ ahead)
    forward /= np.linalg.norm(forward)
    up = np.append(-slope, 1.0)
    up /= np.linalg.norm(up)
    return np.stack([forward, np.cross(up, forward), up], axis=1), np.append(place, hills.at(place))


def _platoon(rng: np.random.Generator, ring: Ring) -> list[Car]:
    count = int(ring.length // _PLACE)
    starts = np.arange(count) * ring.length / count + rng.uniform(-_JITTER, _JITTER, count)
    cruise = float(rng.uniform(4.5, 8.0))
    surges = np.stack(
        [rng.uniform(0, _SURGE, count), rng.uniform(0.2, 0.8, count), rng.uniform(0, 2 * np.pi, count)], axis=1
    )
    return [
        Car(0, *_look(rng), ring=ring, start=start, cruise=cruise, surge=tuple(surge))
        for start, surge in zip(starts.tolist(), surges.tolist(), strict=True)
    ]


def _look(rng: np.random.Generator) -> tuple[CarKind, tuple[float, float, float]]:
    kind = KINDS[int(rng.choice(len(KINDS), p=[0.35, 0.30, 0.23, 0.12]))]
    return kind, COLOURS[int(rng.integers(len(COLOURS)))]


def _parked(rng: np.random.Generator, spot: Spot) -> Spot:
    """Nobody parks exactly in the middle of a bay."""
    along, turn = rng.uniform(-0.25, 0.25), rng.uniform(-0.02, 0.02)
    x, y = np.array(spot.place) + along * _direction(np.array(spot.heading))
    return Spot((float(x), float(y)), spot.heading + turn)


def _choose_agents(
    rng: np.random.Generator, moving: list[Car], waiting: list[Car], count: int, times: Floats
) -> list[int]:
    """A car of the ring and others that stay near it; its own neighbours on the ring always do."""
    places = np.array([car.at(times)[0] for car in moving + waiting])
    first = int(rng.integers(len(moving)))
    farthest = np.linalg.norm(places - places[first], axis=-1).max(axis=1)
    near = np.flatnonzero(farthest < NEAR)
    others = near[near != first]
    return [first, *rng.choice(others, count - 1, replace=False).tolist()]


def _direction(angle: Floats) -> Floats:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
