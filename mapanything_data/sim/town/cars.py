"""The cars: what kinds there are and what they look like.

A car's frame has MuJoCo's axes (x forward, y left, z up) and its origin on the road below the car's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.town.mesh import Mesh, merge, quads, smooth_normals, tube
from mapanything_data.sim.town.textures import TRIM_CELLS


@dataclass(frozen=True, slots=True)
class CarKind:
    """The outer sizes of a kind of car and the profile of its body, seen from its left side."""

    name: str
    length: float
    width: float
    height: float
    wheel_radius: float
    wheelbase: float
    stations: tuple[tuple[float, float, float, float], ...]
    """From rear to front: x (fraction of the half length), height of the shoulder, height of the top (fractions of the
    height) and half width of the top (fraction of the half width)."""
    cabin: tuple[int, int, int]
    """Stations where the rear window starts, the roof starts, and the windscreen starts."""

    @property
    def extent(self) -> Floats:
        """Half of the width, height and length: along x, y, z of OpenCV's axes, metres."""
        return np.array([self.width, self.height, self.length]) / 2


_SALOON = (
    (-1.00, 0.42, 0.52, 0.80), (-0.96, 0.58, 0.66, 0.84), (-0.66, 0.64, 0.70, 0.80), (-0.34, 0.65, 0.97, 0.66),
    (-0.06, 0.65, 1.00, 0.66), (0.12, 0.64, 0.965, 0.66), (0.42, 0.62, 0.67, 0.80), (0.80, 0.55, 0.60, 0.80),
    (0.96, 0.45, 0.52, 0.76), (1.00, 0.34, 0.42, 0.70),
)  # fmt: skip
_HATCHBACK = (
    (-1.00, 0.40, 0.52, 0.80), (-0.97, 0.58, 0.62, 0.82), (-0.94, 0.60, 0.66, 0.82), (-0.70, 0.62, 0.96, 0.70),
    (-0.20, 0.62, 1.00, 0.68), (0.10, 0.62, 0.97, 0.68), (0.45, 0.60, 0.65, 0.80), (0.82, 0.54, 0.58, 0.80),
    (0.97, 0.44, 0.50, 0.76), (1.00, 0.34, 0.42, 0.72),
)  # fmt: skip
_SUV = (
    (-1.00, 0.42, 0.50, 0.82), (-0.98, 0.58, 0.61, 0.84), (-0.95, 0.60, 0.64, 0.84), (-0.80, 0.62, 0.97, 0.74),
    (-0.30, 0.62, 1.00, 0.72), (0.12, 0.62, 0.97, 0.72), (0.40, 0.61, 0.66, 0.84), (0.86, 0.57, 0.61, 0.84),
    (0.98, 0.45, 0.52, 0.80), (1.00, 0.34, 0.42, 0.76),
)  # fmt: skip
_VAN = (
    (-1.00, 0.36, 0.50, 0.90), (-0.995, 0.50, 0.54, 0.90), (-0.99, 0.52, 0.56, 0.90), (-0.96, 0.54, 0.98, 0.86),
    (-0.20, 0.54, 1.00, 0.84), (0.42, 0.54, 0.98, 0.84), (0.74, 0.50, 0.54, 0.84), (0.92, 0.44, 0.48, 0.80),
    (0.98, 0.36, 0.42, 0.78), (1.00, 0.28, 0.34, 0.76),
)  # fmt: skip
SALOON = CarKind("saloon", 4.90, 2.12, 1.50, 0.34, 2.85, _SALOON, (2, 3, 5))
"""The agents' car; its box is that of the real ones, 2.45 x 1.06 x 0.75 m half sizes."""
KINDS = (
    SALOON,
    CarKind("hatchback", 4.10, 1.80, 1.50, 0.31, 2.55, _HATCHBACK, (2, 3, 5)),
    CarKind("suv", 4.70, 1.96, 1.75, 0.37, 2.75, _SUV, (2, 3, 5)),
    CarKind("van", 5.20, 2.04, 2.15, 0.34, 3.20, _VAN, (2, 3, 5)),
)
COLOURS = (
    (0.86, 0.87, 0.88), (0.10, 0.11, 0.12), (0.62, 0.64, 0.66), (0.62, 0.07, 0.08), (0.10, 0.22, 0.45),
    (0.30, 0.33, 0.35), (0.72, 0.58, 0.22), (0.16, 0.34, 0.24), (0.80, 0.36, 0.10), (0.35, 0.20, 0.16),
)  # fmt: skip
_CLEARANCE = 0.20  # metres between road and body
_SIDE = 0.988  # of the half width: the flanks; wheels and handles fill the rest


def car_meshes(kind: CarKind) -> dict[str, Mesh]:
    """Its painted body ("paint") and everything else ("trim"); together they touch all six sides of its box."""
    rings = _rings(kind)
    glass = _glass_faces(kind, len(rings))
    shell, panes = _skin(rings, glass)
    return {"paint": shell, "trim": merge([panes, *_wheels(kind), *_ends(kind), _underbody(kind)])}


def _rings(kind: CarKind) -> Floats:
    """Cross-sections [S, 9, 3] from rear to front, each from the right sill over the roof to the left sill."""
    x, shoulder, top, top_width = np.array(kind.stations).T
    half = kind.width / 2 * _SIDE
    crown = 0.985 * top
    taper = 1 - 0.10 * np.abs(x) ** 6
    low = _CLEARANCE / kind.height
    y = np.stack([0.95 * taper, 1.0 * taper, 0.965 * taper, top_width * taper, 0 * x], axis=1) * half
    z = np.stack([low + 0 * x, (low + shoulder) / 2, shoulder, crown, top], axis=1) * kind.height
    y, z = np.concatenate([-y, y[:, 3::-1]], axis=1), np.concatenate([z, z[:, 3::-1]], axis=1)
    x = np.repeat(x[:, None] * (kind.length / 2 - 0.012), 9, axis=1)
    return np.stack([x, y, z], axis=-1)


def _glass_faces(kind: CarKind, stations: int) -> NDArray[np.bool_]:
    """[S - 1, 8] bool: the windows among the patches between stations; 2 and 5 are the sides, 3 and 4 the top."""
    rear, roof_start, roof_end = kind.cabin
    glass = np.zeros((stations - 1, 8), dtype=bool)
    glass[roof_start:roof_end, [2, 5]] = True
    glass[[rear, roof_end], 3:5] = True
    if kind.name == "van":
        glass[roof_start : roof_end - 1, [2, 5]] = False
    return glass


def _skin(rings: Floats, glass: NDArray[np.bool_]) -> tuple[Mesh, Mesh]:
    s, k = (index.ravel() for index in np.indices(glass.shape))
    n = rings.shape[1]
    corners = np.stack([s * n + k, (s + 1) * n + k, (s + 1) * n + k + 1, s * n + k + 1], axis=1)
    points = rings.reshape(-1, 3)
    panes = glass[s, k]
    faces = np.concatenate([corners[~panes][:, [0, 1, 2]], corners[~panes][:, [0, 2, 3]]])
    fan = np.array([[0, i, i + 1] for i in range(1, n - 1)])
    ends = _flat_triangles(points, np.concatenate([fan, fan[:, ::-1] + (len(rings) - 1) * n]))
    shell = Mesh(points, smooth_normals(points, faces), points[:, [0, 2]] * 0.5, faces)
    return merge([shell, ends]), quads(points[corners[panes]], _cell("glass"))


def _flat_triangles(points: Floats, faces: NDArray[np.int64]) -> Mesh:
    corners = points[faces].reshape(-1, 3)
    alone = np.arange(len(corners)).reshape(-1, 3)
    return Mesh(corners, smooth_normals(corners, alone), corners[:, [1, 2]] * 0.5, alone)


def _cell(name: str) -> Floats:
    """The corners of a part's place in the texture, a little inside so that neighbours do not bleed in."""
    left = TRIM_CELLS.index(name) / len(TRIM_CELLS)
    u0, u1 = left + 0.015, left + 0.11
    return np.array([[u0, 0.1], [u1, 0.1], [u1, 0.9], [u0, 0.9]])


def _wheels(kind: CarKind) -> list[Mesh]:
    parts = []
    r, half = kind.wheel_radius, kind.width / 2
    for x in (-kind.wheelbase / 2, kind.wheelbase / 2):
        for side in (-1, 1):
            hub = np.array([x, 0.0, r])
            inner, outer = hub + np.array([0, side * (half - 0.25), 0]), hub + np.array([0, side * (half - 0.005), 0])
            parts.append(_recoloured(tube(inner, outer, (r, r), 20), "tyre"))
            parts.append(_disc(hub + np.array([0, side * half, 0]), 0.66 * r, side, "rim"))
            parts.append(
                _disc(hub + np.array([0, side * (half - 0.010), 0.02]), 1.18 * r, side, "underbody", clip=_CLEARANCE)
            )
    return parts


def _disc(centre: Floats, radius: float, side: int, cell: str, clip: float = 0.0) -> Mesh:
    """Flat and upright, facing left (side 1) or right (-1); nothing of it lies lower than `clip`."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rim = centre + radius * np.stack([unit[:, 0], 0 * angle, unit[:, 1]], axis=1)
    rim[:, 2] = np.maximum(rim[:, 2], clip)
    points = np.concatenate([[centre], rim])
    i = np.arange(24)
    faces = np.stack([0 * i, i + 1, (i + 1) % 24 + 1][:: -side or 1], axis=1)
    low, _, high, _ = _cell(cell)
    uv = np.concatenate([[[0.5, 0.5]], 0.5 + 0.5 * unit]) * (high - low) + low
    normals = np.broadcast_to(np.array([0.0, side, 0.0]), points.shape)
    return Mesh(points, normals, uv, faces)


def _recoloured(mesh: Mesh, cell: str) -> Mesh:
    uv = _cell(cell)[0] + (mesh.texcoords % 1.0) * (_cell(cell)[2] - _cell(cell)[0])
    return Mesh(mesh.vertices, mesh.normals, uv, mesh.faces)


def _ends(kind: CarKind) -> list[Mesh]:
    """Lights, grille and number plates: they touch the front and the back of the box."""
    half, width = kind.length / 2, kind.width
    parts = []
    for end, lights in ((1, "headlight"), (-1, "taillight")):
        top = kind.stations[-1 if end == 1 else 0][1] * kind.height - 0.02
        parts.append(_plate(end * half, (-0.42 * width, -0.24 * width), (top - 0.13, top), lights))
        parts.append(_plate(end * half, (0.24 * width, 0.42 * width), (top - 0.13, top), lights))
        parts.append(_plate(end * half, (-0.26, 0.26), (_CLEARANCE + 0.05, _CLEARANCE + 0.16), "plate"))
        if end == 1:
            parts.append(_plate(half, (-0.20 * width, 0.20 * width), (top - 0.14, top - 0.02), "grille"))
    return parts


def _plate(x: float, y: tuple[float, float], z: tuple[float, float], cell: str) -> Mesh:
    """A thin block that stands out of the front (x > 0) or the back."""
    facing = float(np.sign(x))
    (a, b), (z0, z1) = y[:: int(facing)], z
    back = x - facing * 0.06
    face = [[x, a, z0], [x, b, z0], [x, b, z1], [x, a, z1]]
    around = [
        [face[i], [back, *face[i][1:]], [back, *face[j][1:]], face[j]] for i, j in ((0, 1), (1, 2), (2, 3), (3, 0))
    ]
    return quads([face, *around], _cell(cell))


def _underbody(kind: CarKind) -> Mesh:
    """What closes the car from below."""
    x, y, z = 0.97 * kind.length / 2, 0.90 * kind.width / 2, _CLEARANCE
    return quads([[[-x, y, z], [x, y, z], [x, -y, z], [-x, -y, z]]], _cell("underbody"))
