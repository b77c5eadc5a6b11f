"""Contact tracks as pictures: on a camera's frame, in space with the cameras, and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene import Camera
from mapanything_data.scene.arrays import Floats
from mapanything_data.viz.boxes import Colour, Image

LEFT: Colour = (255, 140, 0)
RIGHT: Colour = (0, 190, 255)
_PAPER, _GRID, _INK, _SOFT = (16, 20, 26), (44, 54, 66), (225, 230, 236), (140, 152, 165)
_AXES: tuple[Colour, ...] = ((230, 80, 80), (90, 200, 90), (90, 130, 255))
_SHADE: Colour = (52, 44, 30)
_FAR_PIXEL = 1e4  # so far from the picture that OpenCV's integers still hold it
_POINTS_SHOWN, _TRAILS_SHOWN = 64, 8
"""Of each pad. They lie evenly, since the first points of a pad do."""
_LEAST_WIDTH = 960
"""Smaller pictures are enlarged by a whole number, so that dots stay small beside what they lie on."""


def draw_tracks(
    image: Image, pixels: NDArray[np.float32], step: int, trail: int, occluded: NDArray[np.bool_] | None = None
) -> Image:
    """Points of both pads at a step, and where they came from.

    Args:
        image: [H, W, 3] uint8 RGB.
        pixels: [T, 2N, 2] column and row, the left pad's points first; NaN where there is none.
        step: The step that the picture shows.
        trail: So many steps before it, which fade.
        occluded: [T, 2N], points that are drawn hollow.

    Returns:
        A copy, larger where the picture is small: the left pad in orange, the right one in blue. A thin line is the way
        of each pad's middle in all steps.
    """
    import cv2

    scale = max(1, round(_LEAST_WIDTH / image.shape[1]))
    drawn: Image = np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)
    pads = [(pad + 0.5) * scale - 0.5 for pad in _pads(pixels)]
    thin = max(1, round(drawn.shape[1] / 1000))
    for pad, colour in zip(pads, (LEFT, RIGHT), strict=True):
        cover = np.zeros(drawn.shape[:2], np.uint8)
        _draw_line(cover, _middle(pad), 150, thin)
        for at in range(max(0, step - trail) + 1, step + 1):  # old ones first, so that the new ones lie on top
            strength = round(200 * (1 - (step - at) / max(1, trail)))
            for point in range(min(_TRAILS_SHOWN, pad.shape[1])):
                _draw_line(cover, pad[at - 1 : at + 1, point], strength, thin)
        share = cover[..., None].astype(np.float32) / 255
        drawn = np.rint(drawn * (1 - share) + np.array(colour, np.float32) * share).astype(np.uint8)
    hidden = np.zeros(pixels.shape[1], np.bool_) if occluded is None else occluded[step]
    # Every other point of each pad: the others would cover each other when the gripper is closed.
    for side, (pad, is_hidden, colour) in enumerate(zip(pads, np.split(hidden, 2), (LEFT, RIGHT), strict=True)):
        chosen = slice(side, _POINTS_SHOWN, 2) if pad.shape[1] > 1 else slice(None)
        for at_pixel, hollow in zip(pad[step, chosen], is_hidden[chosen], strict=True):
            if (np.abs(at_pixel) < _FAR_PIXEL).all():
                centre = (round(at_pixel[0]), round(at_pixel[1]))
                cv2.circle(drawn, centre, 3 * thin + 1, _PAPER, -1, cv2.LINE_AA)
                cv2.circle(drawn, centre, 3 * thin, colour, thin if hollow else -1, cv2.LINE_AA)
    return drawn


def draw_scene(
    tracks: NDArray[np.float32],
    step: int,
    cameras: Mapping[str, tuple[Camera, Floats]],
    *,
    azimuth: float,
    elevation: float,
    size: tuple[int, int] = (700, 500),
) -> Image:
    """The pads' ways and the cameras in the robot's base frame (x ahead, z up), without perspective.

    Args:
        tracks: [T, 2N, 3], metres, world.
        step: The step at which the pads and the wrist camera are drawn.
        cameras: Serial to intrinsics and `T_world_camera` [T, 4, 4].
        azimuth: Radians from the world's x to where the viewer stands, about z.
        elevation: Radians of the viewer above the ground; a quarter turn looks straight down.
        size: Width and height, pixels.
    """
    import cv2

    frusta = {serial: _frustum(camera, poses[step]) for serial, (camera, poses) in cameras.items()}
    middles = [_middle(pad) for pad in _pads(tracks)]
    everything = np.concatenate([np.zeros((1, 3)), *middles, *(f.reshape(-1, 3) for f in frusta.values())])
    view = _View(everything, azimuth, elevation, size)
    drawn = np.full((size[1], size[0], 3), _PAPER, np.uint8)
    low, high = everything[:, :2].min(axis=0), everything[:, :2].max(axis=0)
    cell = 0.2
    for axis in (0, 1):
        for at in np.arange(np.floor(low[axis] / cell), np.ceil(high[axis] / cell) + 1) * cell:
            ends = np.array([np.floor(low / cell), np.ceil(high / cell)]) * cell
            ends[:, axis] = at
            _draw_line(drawn, view(np.column_stack([ends, np.zeros(2)])), _GRID, 1)
    for axis, colour in enumerate(_AXES):
        _draw_line(drawn, view(np.stack([np.zeros(3), 0.12 * np.eye(3)[axis]])), colour, 3)
    _write(drawn, "robot", view(np.zeros((1, 3)))[0] + [6, 16], _SOFT)
    for serial, (_, poses) in cameras.items():
        if np.ptp(poses[:, :3, 3], axis=0).max() > 0.01:
            _draw_line(drawn, view(poses[:, :3, 3]), _GRID, 2)
        for edge in frusta[serial]:
            _draw_line(drawn, view(edge), _INK, 1)
        _write(drawn, serial, view(poses[step, None, :3, 3])[0] + [8, -6], _INK)
    for middle, colour in zip(middles, (LEFT, RIGHT), strict=True):
        line = view(middle)
        for start in range(len(line) - 1):
            shade = 0.25 + 0.75 * start / max(1, len(line) - 2)
            _draw_line(drawn, line[start : start + 2], tuple(round(shade * value) for value in colour), 2)
    for pad, colour in zip(_pads(tracks), (LEFT, RIGHT), strict=True):
        for column, row in view(pad[step]):
            cv2.circle(drawn, (round(column), round(row)), 2, colour, -1, cv2.LINE_AA)
    _write(drawn, f"grid {cell:.1f} m", (12, size[1] - 12), _SOFT)
    return drawn


def draw_timeline(
    times: Floats,
    curves: Sequence[tuple[str, Floats]],
    is_shaded: NDArray[np.bool_],
    step: int,
    *,
    size: tuple[int, int] = (1180, 300),
) -> Image:
    """Curves over time, one above the other.

    Args:
        times: [T], seconds.
        curves: Name with unit, and [T] values.
        is_shaded: [T], steps whose span from the step before is shaded.
        step: Where a line marks the moment that pictures show.
        size: Width and height, pixels.
    """
    import cv2

    width, height = size
    left, right, bottom = 150, width - 20, height - 30
    drawn = np.full((height, width, 3), _PAPER, np.uint8)
    span = max(float(times[-1] - times[0]), 1e-9)
    columns = left + (times - times[0]) / span * (right - left)
    for at in np.flatnonzero(is_shaded[1:]) + 1:
        start, stop = round(columns[at - 1]), round(columns[at])
        cv2.rectangle(drawn, (start, 10), (stop, bottom), _SHADE, -1)
    seconds = 10 ** np.floor(np.log10(span)) / 2
    seconds *= 2 if span / seconds > 12 else 1
    for at in np.arange(0, span + 1e-9, seconds):
        column = round(left + at / span * (right - left))
        cv2.line(drawn, (column, 10), (column, bottom), _GRID, 1)
        _write(drawn, f"{at:g} s", (column - 12, bottom + 20), _SOFT)
    panel = (bottom - 10) / len(curves)
    for number, (name, values) in enumerate(curves):
        top, base = 10 + number * panel + 12, 10 + (number + 1) * panel - 6
        lowest, highest = min(0.0, float(values.min())), max(float(values.max()), 1e-9)
        rows = base - (values - lowest) / (highest - lowest) * (base - top)
        cv2.line(drawn, (left, round(base)), (right, round(base)), _SOFT, 1)
        _draw_line(drawn, np.column_stack([columns, rows]), _INK, 2)
        _write(drawn, name, (10, round((top + base) / 2)), _INK)
        _write(drawn, f"{highest:.4g}", (left - 48, round(top) + 8), _SOFT)
        _write(drawn, f"{lowest:.4g}", (left - 48, round(base)), _SOFT)
    cv2.line(drawn, (round(columns[step]), 4), (round(columns[step]), bottom), LEFT, 1)
    return drawn


def colour_near_depth(depth: NDArray[np.float32]) -> tuple[Image, tuple[float, float]]:
    """A depth map [H, W] of things within reach as a picture: near warm, far cold, black where there is none.

    Returns:
        The picture, and the metres at the ends of its colours: the 2nd and the 98th percentile.
    """
    import cv2

    valid = depth > 0
    near, far = (float(at) for at in np.percentile(depth[valid], [2, 98])) if valid.any() else (0.0, 1.0)
    share = np.clip((far - depth) / max(far - near, 1e-6), 0, 1)
    colours = cv2.applyColorMap(np.rint(20 + 225 * share).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(valid[..., None], colours, 0).astype(np.uint8), (near, far)


class _View:
    """Takes points of the world to pixels of a picture that holds them all."""

    def __init__(self, points: Floats, azimuth: float, elevation: float, size: tuple[int, int]) -> None:
        sin, cos = np.sin(azimuth), np.cos(azimuth)
        right = np.array([-sin, cos, 0.0])
        up = np.array([-np.sin(elevation) * cos, -np.sin(elevation) * sin, np.cos(elevation)])
        self._axes = np.stack([right, -up], axis=-1)
        flat = points @ self._axes
        low, high = flat.min(axis=0), flat.max(axis=0)
        self._scale = float((0.84 * np.array(size) / np.maximum(high - low, 0.1)).min())
        self._offset = np.array(size) / 2 - self._scale * (low + high) / 2

    def __call__(self, points: Floats) -> Floats:
        pixels: Floats = points @ self._axes * self._scale + self._offset
        return pixels


def _frustum(camera: Camera, T_world_camera: Floats, depth: float = 0.12) -> Floats:
    """The edges [8, 2, 3] of the pyramid that a camera sees, `depth` metres long."""
    columns, rows = np.array([0, camera.width, camera.width, 0]), np.array([0, 0, camera.height, camera.height])
    corners = np.column_stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(4)]) * depth
    corners = corners @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
    apex = np.broadcast_to(T_world_camera[:3, 3], (4, 3))
    return np.concatenate(
        [np.stack([apex, corners], axis=1), np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)]
    )


def _pads(points: NDArray[np.float32]) -> tuple[Floats, Floats]:
    half = points.shape[1] // 2
    return points[:, :half].astype(np.float64), points[:, half:].astype(np.float64)


def _middle(pad: Floats) -> Floats:
    """The mean of a pad's points at each step; NaN where one of them has none."""
    middle: Floats = pad.mean(axis=1)
    return middle


def _draw_line(image: Image, line: Floats, colour: Any, thickness: int) -> None:
    """A line through points [L, 2]; parts that are nowhere or far outside of the picture are left out."""
    import cv2

    is_near: NDArray[np.bool_] = np.asarray((np.abs(line) < _FAR_PIXEL).all(axis=1))  # NaN is not
    for run in np.split(np.arange(len(line)), np.flatnonzero(~is_near)):
        kept = run[is_near[run]]
        if len(kept) > 1:
            cv2.polylines(image, [np.rint(line[kept] * 8).astype(np.int32)], False, colour, thickness, cv2.LINE_AA, 3)


def _write(image: Image, text: str, at: Any, colour: Colour) -> None:
    import cv2

    for ink, thickness in ((_PAPER, 4), (colour, 1)):
        at_pixel = (round(at[0]), round(at[1]))
        cv2.putText(image, text, at_pixel, cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, thickness, cv2.LINE_AA)
