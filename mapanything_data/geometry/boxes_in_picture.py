"""What boxes in space look like in a picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.geometry.projection import project, unproject
from mapanything_data.geometry.transforms import invert, transform_points
from mapanything_data.scene import Camera
from mapanything_data.scene.arrays import Floats

NEAREST = 0.1
"""Metres in front of the camera: what is nearer to its plane is cut off."""
SAMPLES = 32
"""Rows and columns of the pixels that are looked at in each box."""
SLACK = 0.3
"""Metres by which something must be nearer than a box to hide it; poses and depth are never exact."""

_SIGNS = np.where(np.arange(8)[:, None] >> np.arange(3) & 1, 1.0, -1.0)
# Two corners share an edge when their indices differ in one bit.
BOX_EDGES = np.array([(i, i | 1 << bit) for i in range(8) for bit in range(3) if not i >> bit & 1])
"""Indices of the two corners of each of a box's edges, [12, 2], in the order of `Box3D.corners`."""


class BoxesInPicture(NamedTuple):
    """B boxes of one picture; integer pixel centres, so the picture reaches from -0.5 to its size - 0.5."""

    whole: Floats
    """[B, 4] left, top, right, bottom of the box's part in front of the camera; NaN where nothing is."""
    visible: Floats
    """[B, 4] the same, cut off at the picture's edges; empty or NaN where nothing is in the picture."""
    truncation: Floats
    """[B] 1 - area of `visible` / area of `whole`: 0 where all is in the picture, 1 where nothing is."""
    distance: Floats
    """[B] metres from the camera to the box's centre."""


def boxes_in_picture(camera: Camera, T_camera_box: ArrayLike, extent: ArrayLike) -> BoxesInPicture:
    """The rectangles around boxes.

    A box that reaches behind the camera is cut at the plane z = 0.1 m: its 12 edges are, so a rectangle holds exactly
    what is in front. With lens distortion, edges bend and a rectangle around their ends is only nearly right.

    Args:
        camera: The camera.
        T_camera_box: [B, 4, 4], box (origin in its centre) to camera.
        extent: [B, 3], half sizes, metres.
    """
    T = np.reshape(np.asarray(T_camera_box, np.float64), (-1, 4, 4))
    corners = transform_points(T[:, None], _SIGNS * np.reshape(np.asarray(extent, np.float64), (-1, 1, 3)))
    edges = corners[:, BOX_EDGES]
    pixels, _ = project(camera, cut_segments(edges, edges[..., 2] - NEAREST).reshape(len(T), 24, 3))
    nothing = np.isnan(pixels)
    low = np.where(nothing, np.inf, pixels).min(axis=1)
    high = np.where(nothing, -np.inf, pixels).max(axis=1)
    whole = np.where(np.isfinite(low).all(axis=1)[:, None], np.concatenate([low, high], axis=1), np.nan)
    edge = np.array([camera.width, camera.height]) - 0.5
    visible = np.clip(whole, -0.5, np.tile(edge, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = _area(visible) / _area(whole)
    return BoxesInPicture(whole, visible, 1 - np.nan_to_num(share), np.linalg.norm(T[:, :3, 3], axis=1))


def cut_segments(segments: Floats, beyond: Floats) -> Floats:
    """The parts of segments that lie on one side of a plane, [..., 2, D]; NaN where nothing of one does.

    Args:
        segments: [..., 2, D], both ends.
        beyond: [..., 2], how far each end is on that side of the plane, in any unit; negative on the other side.
    """
    outside = beyond < 0
    crosses = outside != outside[..., ::-1]
    # Where on the segment the plane is, as a share of the way to the other end.
    share = np.divide(beyond, beyond - beyond[..., ::-1], where=crosses, out=np.zeros(beyond.shape))
    cut = segments + share[..., None] * (segments[..., ::-1, :] - segments)
    all_outside = np.all(outside, axis=-1, keepdims=True)[..., None]
    return np.where(all_outside, np.nan, np.where(outside[..., None], cut, segments))


def hidden_share(
    camera: Camera, depth: NDArray[np.float32], T_camera_box: ArrayLike, extent: ArrayLike, visible: Floats
) -> Floats:
    """How much of each box something nearer hides, [B] float64, 0 to 1.

    Of pixels spread evenly over the visible rectangle (at most 32 x 32), those count whose ray meets the box and that
    have a depth. Of these, the share whose depth is smaller than that of the box's surface by more than 0.3 m. NaN
    where no pixel counts. What is seen through or beside an object within its box is farther and hides nothing.

    Args:
        camera: The camera.
        depth: [H, W] float32, z-depth in metres, 0 where there is none.
        T_camera_box: [B, 4, 4], box to camera.
        extent: [B, 3], half sizes, metres.
        visible: [B, 4], as `boxes_in_picture` gives it; every box must be in the picture.
    """
    T_box_camera = invert(np.reshape(np.asarray(T_camera_box, np.float64), (-1, 4, 4)))
    half = np.reshape(np.asarray(extent, np.float64), (-1, 1, 3))
    step = (np.arange(SAMPLES) + 0.5) / SAMPLES
    columns = _pixels_between(visible[:, 0], visible[:, 2], step, camera.width)
    rows = _pixels_between(visible[:, 1], visible[:, 3], step, camera.height)
    rows, columns = (
        a.reshape(len(visible), SAMPLES**2) for a in np.broadcast_arrays(rows[:, :, None], columns[:, None, :])
    )
    direction = unproject(camera, np.stack([columns, rows], axis=-1), np.ones(rows.shape))  # z = 1: lengths are depths
    along = direction @ np.swapaxes(T_box_camera[:, :3, :3], 1, 2)
    start = T_box_camera[:, None, :3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-half - start) / along, (half - start) / along
    enter, leave = np.minimum(one, other).max(axis=2), np.maximum(one, other).min(axis=2)
    seen = depth[rows, columns]
    counts = (enter <= leave) & (leave > 0) & (seen > 0)
    hidden = counts & (seen < enter - SLACK)
    total = counts.sum(axis=1)
    share: Floats = np.divide(hidden.sum(axis=1), total, where=total > 0, out=np.full(len(total), np.nan))
    return share


def _area(boxes: Floats) -> Floats:
    area: Floats = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


def _pixels_between(low: Floats, high: Floats, step: Floats, size: int) -> NDArray[np.intp]:
    pixels = np.rint(low[:, None] + (high - low)[:, None] * step)
    return np.clip(pixels, 0, size - 1).astype(np.intp)
