"""Where things stand: streets around a block, houses, trees, lamps, signs and places to park, from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapanything_data.sim.town.ground import LANE_WIDTH, PARKING_WIDTH, PAVEMENT_WIDTH, ROAD_HALF_WIDTH, Hills
from mapanything_data.sim.town.textures import FACADES, SIGNS

BUILT_REACH = 140.0
"""Metres from the middle of the town to where the houses end."""
_EDGE = ROAD_HALF_WIDTH + PAVEMENT_WIDTH
_BAY = 6.3  # metres of road for a parked car


@dataclass(frozen=True, slots=True)
class House:
    """A box with a roof."""

    low: tuple[float, float]
    """x and y of one corner, metres."""
    high: tuple[float, float]
    """x and y of the corner across."""
    floors: int
    facade: int
    has_gable: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """A trunk with a crown of leaves."""

    place: tuple[float, float]
    """x and y, metres."""
    height: float
    crown: float
    """Radius of the crown, metres."""


@dataclass(frozen=True, slots=True)
class Post:
    """A street lamp or a sign on a pole."""

    place: tuple[float, float]
    """x and y, metres."""
    towards_road: float
    """Radians from x to the direction of the road."""
    sign: int | None
    """Which sign it carries; None is a lamp."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place where a car stands."""

    place: tuple[float, float]
    """x and y, metres."""
    heading: float
    """Radians from x."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A town."""

    hills: Hills
    streets: tuple[float, float]
    """Two streets run along y at x = +-streets[0], two along x at y = +-streets[1]; metres."""
    houses: list[House]
    trees: list[Tree]
    posts: list[Post]
    parking: list[Spot]
    queues: list[Spot]
    """Where cars wait before the ring of streets around the block in the middle."""


def draw_layout(rng: np.random.Generator, hill_height: float) -> Layout:
    """A town of the given hills (metres between the lowest and the highest place)."""
    hills = Hills(hill_height, tuple(rng.uniform(110, 170, 2).tolist()), tuple(rng.uniform(0, 2 * np.pi, 2).tolist()))
    streets = tuple(rng.uniform((38, 34), (46, 42)).tolist())
    sides = _sides(streets)
    houses = [house for side in sides for house in _houses(rng, side)]
    gardens = [tree for side in sides for tree in _street_trees(rng, side)]
    return Layout(
        hills=hills,
        streets=streets,
        houses=houses,
        trees=gardens + _woods(rng, streets, houses),
        posts=[post for side in sides for post in _posts(rng, side)],
        parking=[spot for side in sides for spot in _parking(side)],
        queues=_queues(streets),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a street between two junctions: it runs from `start` along `axis`, the houses lie at `outward`."""

    axis: int
    start: float
    stop: float
    kerb: float
    """Coordinate of the kerb on the other axis."""
    outward: int
    """+1 or -1: where the houses are on the other axis."""

    def point(self, along: float, behind_kerb: float) -> tuple[float, float]:
        across = self.kerb + self.outward * behind_kerb
        return (along, across) if self.axis == 0 else (across, along)

    @property
    def driving_heading(self) -> float:
        """Of the traffic beside this kerb, which is on its right."""
        x, y = (0, self.outward) if self.axis == 0 else (self.outward, 0)
        return float(np.arctan2(x, -y))  # a quarter turn to the left of outward


def _sides(streets: tuple[float, float]) -> list[_Side]:
    sides = []
    for axis in (0, 1):
        along, across = streets[axis], streets[1 - axis]
        for centre in (-across, across):
            for outward in (-1, 1):
                kerb = centre + outward * ROAD_HALF_WIDTH
                for start, stop in (
                    (-BUILT_REACH, -along - _EDGE),
                    (-along + _EDGE, along - _EDGE),
                    (along + _EDGE, BUILT_REACH),
                ):
                    sides.append(_Side(axis, start, stop, kerb, outward))
    return sides


def _houses(rng: np.random.Generator, side: _Side) -> list[House]:
    """Along the streets that run along x to their corners; along the others they leave the corners to those."""
    depth_of_row = 13.0
    start, stop = side.start, side.stop
    if side.axis == 1:
        start += depth_of_row + 2 if abs(start) < BUILT_REACH else 0
        stop -= depth_of_row + 2 if abs(stop) < BUILT_REACH else 0
    houses = []
    while stop - start > 8:
        width = min(rng.uniform(10, 22), stop - start)
        if stop - start - width < 8:
            width = stop - start
        setback, depth = rng.uniform(0.0, 1.5), rng.uniform(10.0, depth_of_row - 1.5)
        a = side.point(start, PAVEMENT_WIDTH + setback)
        b = side.point(start + width, PAVEMENT_WIDTH + setback + depth)
        low, high = np.minimum(a, b).tolist(), np.maximum(a, b).tolist()
        facade, floors = int(rng.integers(FACADES)), int(rng.integers(1, 5))
        has_gable = bool(rng.random() < 0.5)
        if rng.random() < 0.88:
            houses.append(House(tuple(low), tuple(high), floors, facade, has_gable and floors < 4))
        start += width + (rng.uniform(3, 8) if rng.random() < 0.35 else 0.0)
    return houses


def _street_trees(rng: np.random.Generator, side: _Side) -> list[Tree]:
    along = np.arange(side.start + 4, side.stop - 3, 13.0)
    keep = rng.random(len(along)) < 0.55
    heights = rng.uniform(5.0, 8.0, len(along))
    crowns = heights * rng.uniform(0.19, 0.24, len(along))  # so that the leaves begin above a parked van
    return [
        Tree(side.point(float(a), 0.7), float(height), float(crown))
        for a, height, crown in zip(along[keep], heights[keep], crowns[keep], strict=True)
    ]


def _woods(rng: np.random.Generator, streets: tuple[float, float], houses: list[House]) -> list[Tree]:
    """Trees on the grass: in yards, and a belt around the town that hides where the world ends."""
    yards = rng.uniform(-BUILT_REACH, BUILT_REACH, (220, 2))
    angle = np.linspace(0, 2 * np.pi, 170, endpoint=False) + rng.uniform(0, 0.03, 170)
    belt = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(152, 200, (170, 1))
    places = np.concatenate([yards, belt])
    sizes = rng.uniform((6, 2.0), (11, 3.4), (len(places), 2))
    on_grass = (np.abs(np.abs(places) - streets) > _EDGE + sizes[:, 1:]).all(axis=1)
    low, high = (np.array([getattr(house, end) for house in houses]) for end in ("low", "high"))
    margin = sizes[:, None, 1:]
    overlap = (places[:, None] > low - margin) & (places[:, None] < high + margin)
    keep = on_grass & ~(overlap[..., 0] & overlap[..., 1]).any(axis=1)
    return [
        Tree((float(x), float(y)), float(h), float(r)) for (x, y), (h, r) in zip(places[keep], sizes[keep], strict=True)
    ]


def _posts(rng: np.random.Generator, side: _Side) -> list[Post]:
    towards_road = float(np.arctan2(*((-side.outward, 0) if side.axis == 0 else (0, -side.outward))))
    lamps = [
        Post(side.point(float(a), 0.5), towards_road, None) for a in np.arange(side.start + 10, side.stop - 4, 26.0)
    ]
    signs = [
        Post(side.point(float(a), 0.45), towards_road, int(rng.integers(SIGNS)))
        for a in np.arange(side.start + 1.2, side.stop, 21.0)
        if rng.random() < 0.8
    ]
    return lamps + signs


def _parking(side: _Side) -> list[Spot]:
    """Bays between the junctions; the last metres before and after a junction stay free."""
    along = np.arange(side.start + 9, side.stop - 9, _BAY)
    return [Spot(side.point(float(a), -PARKING_WIDTH / 2), side.driving_heading) for a in along]


def _queues(streets: tuple[float, float]) -> list[Spot]:
    """Two places in every lane that leads to the ring from outside."""
    spots = []
    for axis in (0, 1):
        for end in (-1, 1):
            for centre in (-streets[1 - axis], streets[1 - axis]):
                for place in (0, 1):
                    along = end * (streets[axis] + _EDGE + 3.6 + 7.4 * place)
                    inward = np.array([-end, 0.0] if axis == 0 else [0.0, -end])
                    right = np.array([inward[1], -inward[0]])
                    middle = np.array([along, centre] if axis == 0 else [centre, along])
                    x, y = middle + right * LANE_WIDTH / 2
                    spots.append(Spot((float(x), float(y)), float(np.arctan2(inward[1], inward[0]))))
    return spots
