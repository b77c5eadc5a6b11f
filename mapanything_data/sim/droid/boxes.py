"""A scene of boxes with smooth textures, seen along rays: pictures with exact depth, without a graphics library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry import invert, pixel_grid, transform_points
from mapanything_data.scene import Camera
from mapanything_data.scene.arrays import Floats

_TEXELS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """A box that is seen from outside, or a room that is seen from inside.

    Attributes:
        T_world_box: [4, 4] float64, its middle and its axes.
        half_extent: [3] float64, metres.
        colour: RGB, 0 to 255.
        texel: Metres of a texture's finest detail.
        is_room: Whether the camera is within it.
    """

    T_world_box: Floats
    half_extent: Floats
    colour: tuple[int, int, int]
    texel: float = 0.012
    is_room: bool = False


@dataclass(slots=True, eq=False)
class Picture:
    """What a camera sees.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        depth: [H, W] float32, z-depth at the pixels' centres, metres, 0 where nothing is.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]

    @classmethod
    def empty(cls, camera: Camera) -> Picture:
        """Nothing at all."""
        shape = (camera.height, camera.width)
        return cls(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.float32))

    def copy(self) -> Picture:
        """Another one to draw over."""
        return Picture(self.image.copy(), self.depth.copy())


def draw_boxes(picture: Picture, camera: Camera, T_world_camera: Floats, boxes: list[Box]) -> None:
    """Draw boxes over a picture where they are nearer than what it shows; the camera has no distortion."""
    for box in boxes:
        rows, columns = window = _window(camera, T_world_camera, box)
        if rows.stop > rows.start and columns.stop > columns.start:
            _draw_box(picture, camera, T_world_camera, box, window)


def _draw_box(picture: Picture, camera: Camera, T_world_camera: Floats, box: Box, window: tuple[slice, slice]) -> None:
    T_box_camera = invert(box.T_world_box) @ T_world_camera
    ahead = (pixel_grid(camera)[window] - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    directions = np.concatenate([ahead, np.ones((*ahead.shape[:2], 1))], axis=-1) @ T_box_camera[:3, :3].T
    origin = T_box_camera[:3, 3]
    # The slab method (Kay and Kajiya 1986). Directions have z 1 in the camera, so the way along them is z-depth.
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-box.half_extent - origin) / directions, (box.half_extent - origin) / directions
    enters, leaves = np.minimum(one, other), np.maximum(one, other)
    first, last = enters.max(axis=-1), leaves.min(axis=-1)
    z, axis = (last, leaves.argmin(axis=-1)) if box.is_room else (first, enters.argmax(axis=-1))
    shown = picture.depth[window]
    seen = (first <= last) & (z > 1e-3) & ((shown == 0) | (z < shown))
    hits = origin + z[seen, None] * directions[seen]
    shown[seen] = z[seen]
    picture.image[window][seen] = _colours(box, hits, axis[seen])


def _colours(box: Box, hits: Floats, axis: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Smooth noise over each face, which is a little darker or brighter than its neighbours."""
    across = np.stack([hits[:, 1], hits[:, 2], hits[:, 0]], axis=1)[np.arange(len(hits)), axis]
    along = np.stack([hits[:, 2], hits[:, 0], hits[:, 1]], axis=1)[np.arange(len(hits)), axis]
    value = _sample(_TEXTURE, across / box.texel + 40.0 * axis, along / box.texel)
    brightness = (0.45 + 0.75 * value) * np.array([0.9, 1.0, 1.1])[axis]
    return (brightness[:, None] * box.colour).clip(0, 255).astype(np.uint8)


def _sample(texture: Floats, x: Floats, y: Floats) -> Floats:
    """Between the four texels around each place of a periodic texture."""
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    i, j = left.astype(np.int64) % _TEXELS, top.astype(np.int64) % _TEXELS
    i_next, j_next = (i + 1) % _TEXELS, (j + 1) % _TEXELS
    upper = texture[j, i] * (1 - fx) + texture[j, i_next] * fx
    lower = texture[j_next, i] * (1 - fx) + texture[j_next, i_next] * fx
    value: Floats = upper * (1 - fy) + lower * fy
    return value


def _window(camera: Camera, T_world_camera: Floats, box: Box) -> tuple[slice, slice]:
    """The part of the picture that a box can be in: that around its corners, all of it where one is behind."""
    signs = np.stack(np.meshgrid(*[(-1.0, 1.0)] * 3, indexing="ij"), axis=-1).reshape(8, 3)
    corners = transform_points(invert(T_world_camera) @ box.T_world_box, signs * box.half_extent)
    if box.is_room or corners[:, 2].min() < 0.01:
        return slice(0, camera.height), slice(0, camera.width)
    places = corners[:, :2] / corners[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    (left, top), (right, bottom) = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0)) + 1
    rows = slice(int(np.clip(top, 0, camera.height)), int(np.clip(bottom, 0, camera.height)))
    return rows, slice(int(np.clip(left, 0, camera.width)), int(np.clip(right, 0, camera.width)))


def _noise() -> Floats:
    """Periodic noise in 0 to 1 with details of 1, 2, 4 and 16 texels."""
    rng = np.random.default_rng(20230812)
    noise = np.zeros((_TEXELS, _TEXELS))
    for size in (1, 2, 4, 16):
        coarse = rng.random((_TEXELS // size, _TEXELS // size))
        places = np.arange(_TEXELS) / size
        i, part = places.astype(np.int64), places % 1
        wide = coarse[:, i] * (1 - part) + coarse[:, (i + 1) % len(coarse)] * part
        noise += wide[i] * (1 - part)[:, None] + wide[(i + 1) % len(coarse)] * part[:, None]
    scaled: Floats = (noise - noise.min()) / np.ptp(noise)
    return scaled


_TEXTURE = _noise()
