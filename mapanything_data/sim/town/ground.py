"""The ground: gentle hills, and the grid of streets, pavements and grass that lies on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.town.mesh import Mesh, merge, quads

LANE_WIDTH = 3.5
PARKING_WIDTH = 2.3
ROAD_HALF_WIDTH = LANE_WIDTH + PARKING_WIDTH
PAVEMENT_WIDTH = 3.0
KERB_HEIGHT = 0.12
REACH = 220.0
"""Metres from the middle of the town to its edge."""
ROAD_TEXTURE_LENGTH = 12.0
"""Metres along the road that one texture covers; across it covers the whole road."""
_CELL = 4.0  # metres: hills between the corners of a cell are flat to 2 mm
_EDGE = ROAD_HALF_WIDTH + PAVEMENT_WIDTH


@dataclass(frozen=True, slots=True)
class Hills:
    """The height of the ground, smooth everywhere."""

    height: float
    """Metres between the lowest and the highest place."""
    wavelengths: tuple[float, float]
    """Metres along x and y."""
    phases: tuple[float, float]

    def at(self, xy: ArrayLike) -> Floats:
        """Metres above zero, [...], at places [..., 2]."""
        height: Floats = self.height / 4 * np.sin(self._angles(xy)).sum(axis=-1)
        return height

    def slope(self, xy: ArrayLike) -> Floats:
        """Metres of rise for each metre along x and y, [..., 2], at places [..., 2]."""
        rise: Floats = self.height / 4 * np.cos(self._angles(xy)) * (2 * np.pi / np.array(self.wavelengths))
        return rise

    def _angles(self, xy: ArrayLike) -> Floats:
        angles: Floats = 2 * np.pi * np.asarray(xy, dtype=np.float64) / self.wavelengths + self.phases
        return angles


def ground_meshes(hills: Hills, streets: tuple[float, float]) -> dict[str, Mesh]:
    """The ground by material: road, crossing (zebra), junction, kerb, pavement, grass.

    All share the corners of one grid, so that there is no crack between them.

    Args:
        hills: Their height.
        streets: Two streets run along y at x = +-streets[0], two along x at y = +-streets[1].
    """
    (xs, x_kinds), (ys, y_kinds) = (_intervals(street) for street in streets)
    column, row = (index.ravel() for index in np.indices((len(x_kinds), len(y_kinds))))
    kind = _KIND_OF_CELL[x_kinds[column], y_kinds[row]]
    corner_xy = np.stack(
        [
            np.stack([xs[column + i], ys[row + j]], axis=-1)
            for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))  # counter-clockwise
        ],
        axis=1,
    )
    raised = np.isin(kind, _RAISED)
    z = hills.at(corner_xy) + KERB_HEIGHT * raised[:, None]
    corners = np.concatenate([corner_xy, z[..., None]], axis=-1)
    along_y = x_kinds[column] == _ROAD
    meshes = {}
    for name, code in _KINDS.items():
        chosen = kind == code
        uv = _texcoords(name, corner_xy[chosen], along_y[chosen], streets)
        meshes[name] = _facing_up(hills, quads(corners[chosen], uv))
    meshes["kerb"] = _kerbs(hills, xs, ys, raised.reshape(len(x_kinds), len(y_kinds)))
    return meshes


_GRASS, _PAVEMENT, _ROAD = 0, 1, 2
_KINDS = {"grass": 0, "pavement": 1, "road": 2, "crossing": 3, "junction": 4}
_KIND_OF_CELL = np.array([[0, 1, 2], [1, 1, 3], [2, 3, 4]])
_RAISED = (0, 1)


def _intervals(street: float) -> tuple[Floats, NDArray[np.int64]]:
    """Grid lines along one axis and the kind of each gap between them."""
    lines, kinds = [-REACH], []
    for centre in (-street, street):
        lines += [centre - _EDGE, centre - ROAD_HALF_WIDTH, centre + ROAD_HALF_WIDTH, centre + _EDGE]
        kinds += [_GRASS, _PAVEMENT, _ROAD, _PAVEMENT]
    lines, kinds = [*lines, REACH], [*kinds, _GRASS]
    fine, fine_kinds = [lines[0]], []
    for start, stop, kind in zip(lines, lines[1:], kinds, strict=False):
        pieces = math.ceil((stop - start) / _CELL)
        fine += np.linspace(start, stop, pieces + 1)[1:].tolist()
        fine_kinds += [kind] * pieces
    return np.array(fine), np.array(fine_kinds)


def _texcoords(name: str, xy: Floats, along_y: NDArray[np.bool_], streets: tuple[float, float]) -> Floats:
    if name not in ("road", "crossing"):
        return xy / 6.0
    across = np.where(along_y[:, None], xy[..., 0], -xy[..., 1])
    along = np.where(along_y[:, None], xy[..., 1], xy[..., 0])
    street = np.where(along_y, streets[0], streets[1])[:, None]
    centre = np.where(across.mean(axis=1, keepdims=True) > 0, street, -street)
    u = (across - centre + ROAD_HALF_WIDTH) / (2 * ROAD_HALF_WIDTH)
    if name == "road":
        return np.stack([u, along / ROAD_TEXTURE_LENGTH], axis=-1)
    return np.stack([u, (along - along.min(axis=1, keepdims=True)) / PAVEMENT_WIDTH], axis=-1)


def _facing_up(hills: Hills, mesh: Mesh) -> Mesh:
    """With the normals of the smooth hills, so that no edge between cells is seen."""
    slope = hills.slope(mesh.vertices[:, :2])
    normals = np.concatenate([-slope, np.ones((len(slope), 1))], axis=1)
    return Mesh(mesh.vertices, normals / np.linalg.norm(normals, axis=1, keepdims=True), mesh.texcoords, mesh.faces)


def _kerbs(hills: Hills, xs: Floats, ys: Floats, raised: NDArray[np.bool_]) -> Mesh:
    parts = []
    for axis, lines, others in ((0, xs, ys), (1, ys, xs)):
        cells = raised if axis == 0 else raised.T
        step = cells[1:].astype(int) - cells[:-1]
        i, j = np.nonzero(step)
        # Seen from the road, the kerb's face runs so that the raised cell lies behind it.
        rising = step[i, j] > 0
        first, second = others[j], others[j + 1]
        flip = rising if axis == 0 else ~rising
        start, stop = np.where(flip, second, first), np.where(flip, first, second)
        line = lines[i + 1]
        a, b = ((np.stack([line, end], -1) if axis == 0 else np.stack([end, line], -1)) for end in (start, stop))
        low_a, low_b = hills.at(a), hills.at(b)
        corners = np.stack(
            [
                np.concatenate([a, low_a[:, None]], 1),
                np.concatenate([b, low_b[:, None]], 1),
                np.concatenate([b, low_b[:, None] + KERB_HEIGHT], 1),
                np.concatenate([a, low_a[:, None] + KERB_HEIGHT], 1),
            ],
            axis=1,
        )
        length = np.abs(stop - start)[:, None] / 2
        uv = np.zeros((len(i), 4, 2))
        uv[:, 1:3, 0] = length
        uv[:, 2:, 1] = 0.1
        parts.append(quads(corners, uv))
    return merge(parts)
