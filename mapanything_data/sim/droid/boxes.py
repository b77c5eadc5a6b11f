"""A scene of boxes with smooth textures, seen along rays: pictures with exact depth, without a graphics library."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

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
    shown = picture.depth[window]
    # What is not hidden anyway: all but a room's walls, which are behind everything.
    places = np.nonzero(shown == 0) if box.is_room else np.nonzero(np.ones(shown.shape, np.bool_))
    T_box_camera = invert(box.T_world_box) @ T_world_camera
    seen_from_camera: Floats = _directions(camera)[:, window[0], window[1]][:, places[0], places[1]]
    directions = T_box_camera[:3, :3] @ seen_from_camera
    origin, half = T_box_camera[:3, 3:], box.half_extent[:, None]
    # The slab method (Kay and Kajiya 1986). Directions have z 1 in the camera, so the way along them is z-depth.
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-half - origin) / directions, (half - origin) / directions
    enters, leaves = np.minimum(one, other), np.maximum(one, other)
    first, last = enters.max(axis=0), leaves.min(axis=0)
    z, axis = (last, leaves.argmin(axis=0)) if box.is_room else (first, enters.argmax(axis=0))
    behind = shown[places]
    seen = (first <= last) & (z > 1e-3) & ((behind == 0) | (z < behind))
    rows, columns = (place[seen] for place in places)
    shown[rows, columns] = z[seen]
    picture.image[window][rows, columns] = _colours(box, origin + z[seen] * directions[:, seen], axis[seen])


@lru_cache(maxsize=8)
def _directions(camera: Camera) -> Floats:
    """[3, H, W] float64, camera axes, z is 1."""
    ahead = (pixel_grid(camera) - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return np.stack([ahead[..., 0], ahead[..., 1], np.ones(ahead.shape[:2])])


def _colours(box: Box, hits: Floats, axis: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Smooth noise over each face, [N, 3]; faces are a little darker or brighter than their neighbours.

    Args:
        box: The box.
        hits: [3, N], where it is seen, metres from its middle along its axes.
        axis: [N], the axis that the face which is seen stands across.
    """
    number = np.arange(hits.shape[1])
    across, along = hits[(axis + 1) % 3, number], hits[(axis + 2) % 3, number]
    value = _sample(_TEXTURE, across / box.texel + 40.0 * axis, along / box.texel)
    brightness = (0.45 + 0.75 * value) * np.array([0.9, 1.0, 1.1])[axis]
    colours: NDArray[np.uint8] = (brightness[:, None] * box.colour).clip(0, 255).astype(np.uint8)
    return colours


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
