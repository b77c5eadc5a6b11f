"""Boxes and points drawn into pictures, and a map of clouds and boxes seen from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry import in_image, project
from mapanything_data.geometry.boxes_in_picture import BOX_EDGES, cut_segments
from mapanything_data.scene import Box3D, Camera, Pose
from mapanything_data.scene.arrays import Floats

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

BOX_COLOUR: Colour = (255, 196, 0)
_NEAR_M = 0.3
_THICKNESS = 2  # pixels
_FAR_PIXEL = 1e6  # so far from the map that OpenCV's integers still hold it
_FAR_M = 60.0


def draw_boxes(image: Image, camera: Camera, T_world_camera: Pose, boxes: Sequence[Box3D]) -> Image:
    """A copy of a picture [H, W, 3] uint8 with the edges of boxes; edges are cut where they pass behind the camera."""
    import cv2

    drawn: Image = np.array(image, order="C")
    T_camera_world = T_world_camera.inverse()
    for box in boxes:
        for line in _lines_in_picture(camera, (T_camera_world @ box.corners())[BOX_EDGES]):
            one, other = np.rint(line).astype(int).tolist()
            cv2.line(drawn, one, other, BOX_COLOUR, _THICKNESS, cv2.LINE_AA)
    return drawn


def draw_points(image: Image, camera: Camera, points: Floats) -> Image:
    """A copy of a picture with points [N, 3] (metres, camera axes) as dots, near ones warm, far ones cold."""
    import cv2

    drawn: Image = np.array(image, order="C")
    pixels, visible = project(camera, points)
    shown = visible & in_image(camera, pixels)
    order = np.argsort(-points[shown, 2])  # near points last, on top
    column, row = np.rint(pixels[shown][order]).astype(int).T
    colours = depth_colours(points[shown, 2][order])
    dots = np.zeros_like(drawn)
    dots[row, column] = colours
    radius = max(1, camera.width // 400)
    spread = cv2.dilate(dots, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    covered = spread.any(axis=-1)
    drawn[covered] = spread[covered]
    return drawn


def colour_depth(depth: NDArray[np.float32]) -> Image:
    """A depth map [H, W] as a picture, near warm, far cold, black where there is none."""
    return np.where(depth[..., None] > 0, depth_colours(depth), 0).astype(np.uint8)


def depth_colours(depth: NDArray[np.floating]) -> Image:
    """A colour for each depth in metres, [...] to [..., 3] uint8: as far apart at 5 m as at 50 m."""
    import cv2

    with np.errstate(divide="ignore"):
        near = 1 - np.clip(np.log(np.maximum(depth, 1.0)) / np.log(_FAR_M), 0, 1)
    levels = np.rint(30 + 225 * near).astype(np.uint8).reshape(-1, 1)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]
    return np.ascontiguousarray(colours.reshape(*np.shape(depth), 3))


def draw_map(
    clouds: Sequence[tuple[Floats, Colour]],
    boxes: Sequence[tuple[Box3D, Colour]],
    T_world_ego: Pose,
    *,
    reach: float,
    size: int = 640,
) -> Image:
    """Clouds and boxes from above in the ego's frame: forward is up, right is right.

    Args:
        clouds: Points [N, 3], metres, world, and their colour.
        boxes: Boxes and their colour; the front is drawn thicker.
        T_world_ego: Ego to world.
        reach: Metres from the middle to the edge.
        size: Pixels, both ways.

    Returns:
        [size, size, 3] uint8 RGB.
    """
    import cv2

    T_ego_world = T_world_ego.inverse()
    scale = size / 2 / reach
    drawn = np.full((size, size, 3), (16, 20, 26), np.uint8)
    for metres in np.arange(20, reach, 20):
        cv2.circle(drawn, (size // 2, size // 2), int(metres * scale), (44, 54, 66), 1, cv2.LINE_AA)
    for points, colour in clouds:
        x, _, z = (T_ego_world @ points).T
        column, row = np.rint([size / 2 + x * scale, size / 2 - z * scale]).astype(int)
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        drawn[row[inside], column[inside]] = colour
    for box, colour in boxes:
        ground = (T_ego_world @ box.corners())[[0, 1, 5, 4]][:, [0, 2]] * [scale, -scale] + size / 2
        outline = np.rint(np.clip(ground, -_FAR_PIXEL, _FAR_PIXEL) * 8).astype(np.int32)
        cv2.polylines(drawn, [outline], True, colour, 1, cv2.LINE_AA, 3)
        left, right = outline[2:].tolist()
        cv2.line(drawn, left, right, colour, 3, cv2.LINE_AA, 3)
    return drawn


def mosaic(rows: Sequence[Sequence[Image | None]], tile_width: int) -> Image:
    """Pictures in rows of the same number of tiles, as high as the first picture there is; None is a dark tile."""
    import cv2

    first = next((tile for row in rows for tile in row if tile is not None), np.zeros((3, 4, 3), np.uint8))
    height = round(first.shape[0] * tile_width / first.shape[1])
    gap = 4
    count = max(len(row) for row in rows)
    canvas = np.full((len(rows) * (height + gap) - gap, count * (tile_width + gap) - gap, 3), 40, np.uint8)
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            if tile is not None:
                top, left = number * (height + gap), column * (tile_width + gap)
                shrunk = cv2.resize(tile, (tile_width, height), interpolation=cv2.INTER_AREA)
                canvas[top : top + height, left : left + tile_width] = shrunk
    return canvas


def _lines_in_picture(camera: Camera, edges: Floats) -> Floats:
    """Edges [E, 2, 3] (metres, camera axes) as the lines [L, 2, 2] that a picture shows of them, pixels.

    Pixels of what is just before the camera and far aside are too large for OpenCV's integers, so the lines are cut at
    the picture's edges.
    """
    ahead = cut_segments(edges, edges[..., 2] - _NEAR_M)
    lines = project(camera, ahead.reshape(-1, 3))[0].reshape(-1, 2, 2)
    for axis, size in enumerate((camera.width, camera.height)):
        lines = cut_segments(lines, lines[..., axis] + _THICKNESS)
        lines = cut_segments(lines, size - 1 + _THICKNESS - lines[..., axis])
    return lines[np.isfinite(lines).all(axis=(1, 2))]
