"""Textured triangles, and the solids that the town is built of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.scene.arrays import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles with a normal and a place in the texture at every corner."""

    vertices: Floats
    """[N, 3] metres."""
    normals: Floats
    """[N, 3] unit vectors."""
    texcoords: Floats
    """[N, 2]; 0 to 1 is once across the texture, which repeats; v grows upwards."""
    faces: NDArray[np.int64]
    """[M, 3] indices, counter-clockwise seen from outside."""

    @property
    def triangles(self) -> Floats:
        """[M, 3, 3] the corners of each face, metres."""
        return self.vertices[self.faces]

    def moved(self, offset: ArrayLike, yaw: float = 0.0, scale: float = 1.0) -> Mesh:
        """Scaled, turned by `yaw` radians about z and then moved by `offset` [3] metres."""
        c, s = math.cos(yaw), math.sin(yaw)
        R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        normals = self.normals @ R.T
        return replace(self, vertices=self.vertices * scale @ R.T + np.asarray(offset), normals=normals)


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """All of them as one mesh."""
    parts = list(meshes)
    first = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.texcoords for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, first, strict=True)]),
    )


def quads(corners: ArrayLike, texcoords: ArrayLike) -> Mesh:
    """Flat four-cornered faces.

    Args:
        corners: [Q, 4, 3] metres, counter-clockwise seen from outside.
        texcoords: [Q, 4, 2] or [4, 2].
    """
    p = np.asarray(corners, dtype=np.float64)
    normals = _unit(np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 1]))
    uv = np.broadcast_to(np.asarray(texcoords, dtype=np.float64), (len(p), 4, 2))
    faces = np.arange(len(p))[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(p.reshape(-1, 3), np.repeat(normals, 4, axis=0), uv.reshape(-1, 2), faces.reshape(-1, 3))


def walls(outline: ArrayLike, bottom: float, top: float, metres: tuple[float, float], v_bottom: float = 0.0) -> Mesh:
    """Upright faces along a closed outline.

    Args:
        outline: [C, 2] metres, counter-clockwise seen from above.
        bottom: Metres.
        top: Metres.
        metres: Width and height that one texture covers; the width is stretched to fit each face a whole number of
            quarter textures.
        v_bottom: Texture coordinate at `bottom`.
    """
    a = np.asarray(outline, dtype=np.float64)
    b = np.roll(a, -1, axis=0)
    low, high = np.full((len(a), 1), bottom), np.full((len(a), 1), top)
    corners = np.stack([np.hstack([a, low]), np.hstack([b, low]), np.hstack([b, high]), np.hstack([a, high])], axis=1)
    u = np.maximum(np.rint(4 * np.linalg.norm(b - a, axis=1) / metres[0]), 1) / 4
    v = v_bottom + (top - bottom) / metres[1]
    uv = np.zeros((len(a), 4, 2))
    uv[:, 1, 0] = uv[:, 2, 0] = u
    uv[:, :2, 1], uv[:, 2:, 1] = v_bottom, v
    return quads(corners, uv)


def box(low: ArrayLike, high: ArrayLike, metres: float = 1.0) -> Mesh:
    """A box between two corners [3]; `metres` is what one texture covers."""
    (x0, y0, z0), (x1, y1, z1) = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    outline = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    top = [[x0, y0, z1], [x1, y0, z1], [x1, y1, z1], [x0, y1, z1]]
    below = [[x0, y1, z0], [x1, y1, z0], [x1, y0, z0], [x0, y0, z0]]
    uv = np.array([[0, 0], [x1 - x0, 0], [x1 - x0, y1 - y0], [0, y1 - y0]]) / metres
    return merge([walls(outline, z0, z1, (metres, metres)), quads([top, below], uv)])


def tube(start: ArrayLike, end: ArrayLike, radii: tuple[float, float], sides: int = 8, repeat: float = 1.0) -> Mesh:
    """The side of a round cone or cylinder with closed ends; the texture goes once around and `repeat` times along."""
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    axis = (b - a) / np.linalg.norm(b - a)
    across = _unit(np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0]))
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    spokes = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * np.cross(axis, across)
    vertices = np.concatenate([a + radii[0] * spokes, b + radii[1] * spokes, [a, b]])
    normals = np.concatenate([spokes, spokes, [-axis, axis]])
    u = angle / (2 * np.pi)
    uv = np.concatenate(
        [np.stack([u, 0 * u], axis=1), np.stack([u, 0 * u + repeat], axis=1), [[0.5, 0], [0.5, repeat]]]
    )
    i = np.arange(sides)
    n = sides + 1
    faces = [
        [i, i + 1, n + i + 1],
        [i, n + i + 1, n + i],
        [i + 1, i, 0 * i + 2 * n],
        [n + i, n + i + 1, 0 * i + 2 * n + 1],
    ]
    return Mesh(vertices, normals, uv, np.concatenate([np.stack(part, axis=1) for part in faces]))


def blob(rng: np.random.Generator, roughness: float, repeat: float = 3.0) -> Mesh:
    """A lumpy ball with a radius of about 1 metre."""
    rings, sides = 7, 11
    polar, turn = np.meshgrid(np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, sides + 1), indexing="ij")
    lumps = rng.uniform(-roughness, roughness, (rings, sides))
    lumps[[0, -1]] = lumps[[0, -1], :1]
    radius = 1 + np.concatenate([lumps, lumps[:, :1]], axis=1)
    unit = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    uv = np.stack([turn / (2 * np.pi) * repeat, polar / np.pi * repeat], axis=-1)
    i, j = (index.ravel() for index in np.indices((rings - 1, sides)))
    corner = i * (sides + 1) + j
    faces = np.concatenate(
        [
            np.stack([corner, corner + sides + 1, corner + sides + 2], axis=1),
            np.stack([corner, corner + sides + 2, corner + 1], axis=1),
        ]
    )
    vertices = (unit * radius[..., None]).reshape(-1, 3)
    return Mesh(vertices, smooth_normals(vertices, faces), uv.reshape(-1, 2), faces)


def smooth_normals(vertices: Floats, faces: NDArray[np.int64]) -> Floats:
    """Normals [N, 3] that let a surface look round; corners at the same place share theirs."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    _, place = np.unique(np.rint(vertices * 1e4), axis=0, return_inverse=True)
    place = place.ravel()
    total = np.zeros((place.max() + 1, 3))
    for corner in range(3):
        np.add.at(total, place[faces[:, corner]], np.cross(b - a, c - a))
    return _unit(total[place])


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
