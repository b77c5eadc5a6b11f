"""Tracks of the points on a gripper's pads, in space and in pictures: functions of a `ContactMotion`.

All arithmetic is elementwise in a fixed order, in blocks of steps that stay in the cache. No matrix product of a BLAS,
whose rounding differs between machines, touches a number that is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry.gripper import pad_translations
from mapanything_data.geometry.projection import in_image, project
from mapanything_data.scene import Camera, ContactMotion, StaticCamera
from mapanything_data.scene.arrays import Floats

_BLOCK_VALUES = 16_384  # 128 KiB of float64: x, y, z and what is computed from them stay in the second-level cache


@dataclass(frozen=True, slots=True, eq=False)
class ContactTracks:
    """Where the points are at T moments; N on each pad, the left pad's first.

    Attributes:
        tracks_3d: [T, 2N, 3] float32, metres, world.
        contact_centroids: [T, 3] float64, metres, world: the mean of all points.
        contact_frames: [T, 4, 4] float64, `T_world_contact`: the gripper's axes with their origin in the centroid.
        left_contact_frames: The same with the origin in the mean of the left pad's points.
        right_contact_frames: The same for the right pad.
        gripper_poses: [T, 4, 4] float64, `T_world_gripper`.
    """

    tracks_3d: NDArray[np.float32]
    contact_centroids: Floats
    contact_frames: Floats
    left_contact_frames: Floats
    right_contact_frames: Floats
    gripper_poses: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PixelTracks:
    """Where the points appear in one camera.

    Attributes:
        pixels: [T, 2N, 2] float32 (column, row), also beside the picture; NaN where there is none.
        is_in_front: [T, 2N] bool, False where the point is behind the camera or beyond the angle up to which its lens
            model holds.
        is_in_image: [T, 2N] bool, whether the pixel is on the picture; a thing before it may still hide it.
    """

    pixels: NDArray[np.float32]
    is_in_front: NDArray[np.bool_]
    is_in_image: NDArray[np.bool_]


def contact_tracks(motion: ContactMotion) -> ContactTracks:
    """The points of a motion at its own moments."""
    return tracks_at(gripper_poses(motion), motion.gripper_positions, motion.pad_points)


def gripper_poses(motion: ContactMotion) -> Floats:
    """`T_world_gripper` at every step, [T, 4, 4] float64."""
    return compose(motion.T_world_flange, motion.T_flange_gripper)


def tracks_at(T_world_gripper: Floats, gripper_positions: Floats, pad_points: Floats) -> ContactTracks:
    """The points of a gripper at T poses and apertures.

    Args:
        T_world_gripper: [T, 4, 4].
        gripper_positions: [T], 0 open, 1 closed.
        pad_points: [2, N, 3], metres, each pad's in its own frame.
    """
    translations = pad_translations(gripper_positions)
    left, right = np.moveaxis(translations + mean_of_pads(pad_points), -2, 0)
    frames, left_frames, right_frames = (
        with_origin(T_world_gripper, origin) for origin in (0.5 * (left + right), left, right)
    )
    tracks = np.empty((len(T_world_gripper), 2 * pad_points.shape[1], 3), np.float32)
    for steps, xyz in _blocks(T_world_gripper, translations, pad_points):
        for axis in range(3):
            tracks[steps, :, axis] = xyz[axis]
    return ContactTracks(tracks, frames[:, :3, 3].copy(), frames, left_frames, right_frames, T_world_gripper)


def mean_of_pads(pad_points: Floats) -> Floats:
    """The mean of each pad's points, [2, 3] float64, exactly rounded whatever the order."""
    sums = [[math.fsum(pad[:, axis]) for axis in range(3)] for pad in pad_points]
    means: Floats = np.array(sums) / pad_points.shape[1]
    return means


def contact_centroids(T_world_gripper: Floats, gripper_positions: Floats, pad_points: Floats) -> Floats:
    """The mean of all points at T poses and apertures, [T, 3] float64, metres, world."""
    return _moved(T_world_gripper, contact_centres(gripper_positions, pad_points))


def contact_centres(gripper_positions: Floats, pad_points: Floats) -> Floats:
    """The mean of all points in the gripper's frame, [T, 3] float64, metres."""
    left, right = np.moveaxis(pad_translations(gripper_positions) + mean_of_pads(pad_points), -2, 0)
    centres: Floats = 0.5 * (left + right)
    return centres


def project_tracks(motion: ContactMotion, serial: str) -> PixelTracks:
    """The pixels of a motion's points in one of its cameras, as `project` finds them.

    Raises:
        KeyError: The motion has no camera of that serial.
    """
    camera = motion.cameras[serial].camera
    steps, points = len(motion), 2 * motion.pad_points.shape[1]
    pixels = np.empty((steps, points, 2), np.float32)
    is_in_front, is_in_image = np.empty((2, steps, points), np.bool_)
    poses, translations = _camera_from_gripper(motion, serial), pad_translations(motion.gripper_positions)
    for block, xyz in _blocks(poses, translations, motion.pad_points):
        columns, rows, visible = _pixels(camera, xyz)
        with np.errstate(over="ignore"):  # a point beside the camera's plane appears infinitely far out
            pixels[block, :, 0], pixels[block, :, 1] = columns, rows
        is_in_front[block] = visible
        # Told by the pixels as they are written, so that whoever reads them finds the same.
        is_in_image[block] = in_image(camera, pixels[block])
    return PixelTracks(pixels, is_in_front, is_in_image)


def occluded_by_depth(
    motion: ContactMotion, serial: str, depth_maps: Iterable[tuple[int, NDArray[np.float32]]], tolerance: float
) -> NDArray[np.bool_]:
    """Where something measured stands between a camera and a point.

    Args:
        motion: The motion.
        serial: One of its cameras.
        depth_maps: Steps and their z-depth [H, W] float32 of the camera's size, metres, 0 where nothing was measured;
            in any order, and not of every step.
        tolerance: Metres by which the measured depth must be smaller: the fingers themselves are measured too.

    Returns:
        [T, 2N] bool. False where the point is not on the picture, nothing was measured there, or the step has no map.

    Raises:
        ValueError: A map has another size, or its step is none of the motion.
    """
    camera = motion.cameras[serial].camera
    poses, translations = _camera_from_gripper(motion, serial), pad_translations(motion.gripper_positions)
    is_occluded = np.zeros((len(motion), 2 * motion.pad_points.shape[1]), np.bool_)
    for step, depth in depth_maps:
        if depth.shape != (camera.height, camera.width):
            raise ValueError(f"depth has shape {list(depth.shape)}, expected {[camera.height, camera.width]}")
        if not 0 <= step < len(motion):
            raise ValueError(f"step {step} has a depth map, but the motion has the steps 0 to {len(motion) - 1}")
        at = slice(step, step + 1)
        ((_, xyz),) = _blocks(poses[at], translations[at], motion.pad_points)
        columns, rows, _ = _pixels(camera, xyz)
        pixels = np.stack([columns[0], rows[0]], axis=-1).astype(np.float32)
        seen = np.flatnonzero(in_image(camera, pixels))
        column, row = np.rint(pixels[seen]).astype(np.intp).T
        measured = depth[row, column]
        is_occluded[step, seen] = (measured > 0) & (measured < xyz[2, 0, seen] - tolerance)
    return is_occluded


def compose(T_a_b: Floats, T_b_c: Floats) -> Floats:
    """`T_a_c` [..., 4, 4] float64 of two rigid transforms whose leading axes broadcast, added up in a fixed order."""
    R: Floats = T_a_b[..., :3, :3]
    rotation = (
        R[..., :, 0, None] * T_b_c[..., None, 0, :3]
        + R[..., :, 1, None] * T_b_c[..., None, 1, :3]
        + R[..., :, 2, None] * T_b_c[..., None, 2, :3]
    )
    T = np.zeros((*rotation.shape[:-2], 4, 4))
    T[..., :3, :3] = rotation
    T[..., :3, 3] = _moved(T_a_b, T_b_c[..., :3, 3])
    T[..., 3, 3] = 1.0
    return T


def with_origin(T: Floats, origin: Floats) -> Floats:
    """Frames of the same axes with another origin, [..., 4, 4].

    Args:
        T: [..., 4, 4].
        origin: [..., 3], metres, in the frame that T comes from.
    """
    frames: Floats = T.copy()
    frames[..., :3, 3] = _moved(T, origin)
    return frames


def _inverse(T: Floats) -> Floats:
    back = np.zeros(T.shape)
    R_back: Floats = np.swapaxes(T[..., :3, :3], -1, -2)
    back[..., :3, :3] = R_back
    back[..., :3, 3] = -_turned(R_back, T[..., :3, 3])
    back[..., 3, 3] = 1.0
    return back


def _turned(R: Floats, vectors: Floats) -> Floats:
    turned: Floats = (
        R[..., :, 0] * vectors[..., 0, None]
        + R[..., :, 1] * vectors[..., 1, None]
        + R[..., :, 2] * vectors[..., 2, None]
    )
    return turned


def _moved(T: Floats, points: Floats) -> Floats:
    moved: Floats = _turned(T[..., :3, :3], points) + T[..., :3, 3]
    return moved


def _camera_from_gripper(motion: ContactMotion, serial: str) -> Floats:
    """`T_camera_gripper` at every step, [T, 4, 4]; in a wrist camera the flange's pose has no part in it."""
    mounted = motion.cameras[serial]
    if isinstance(mounted, StaticCamera):
        return compose(_inverse(mounted.T_world_camera), gripper_poses(motion))
    T_camera_gripper = compose(_inverse(mounted.T_flange_camera), motion.T_flange_gripper)
    return np.broadcast_to(T_camera_gripper, (len(motion), 4, 4))


def _blocks(T: Floats, translations: Floats, pad_points: Floats) -> Iterator[tuple[slice, Floats]]:
    """The points seen from the frame that `T` leads to, some steps at a time: [3, steps, 2N]."""
    points = pad_points.shape[1]
    planes = np.ascontiguousarray(np.moveaxis(pad_points, -1, 0))
    origins = _moved(T[:, None], translations)
    size = max(1, _BLOCK_VALUES // (2 * points))
    product = np.empty((size, 2, points))
    for start in range(0, len(T), size):
        steps = slice(start, min(start + size, len(T)))
        R = T[steps, :3, :3, None, None]
        xyz = np.empty((3, len(R), 2, points))
        for axis in range(3):
            np.multiply(R[:, axis, 0], planes[0], out=xyz[axis])
            for other in (1, 2):
                xyz[axis] += np.multiply(R[:, axis, other], planes[other], out=product[: len(R)])
            xyz[axis] += origins[steps, :, axis, None]
        yield steps, xyz.reshape(3, len(R), 2 * points)


def _pixels(camera: Camera, xyz: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Columns and rows [...], NaN where there are none, and where there are any, of points [3, ...].

    Without distortion this is `project` on whole planes of x, y and z, in a quarter of its time.
    """
    if camera.is_distorted:
        pixels, visible = project(camera, np.moveaxis(xyz, 0, -1))
        return pixels[..., 0], pixels[..., 1], visible
    x, y, z = xyz
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        columns, rows = x / z, y / z
        visible = (z > 0) & (columns * columns + rows * rows < np.inf)
        columns *= camera.fx
        columns += camera.cx
        rows *= camera.fy
        rows += camera.cy
    hidden = ~visible
    columns[hidden] = rows[hidden] = np.nan
    return columns, rows, visible
