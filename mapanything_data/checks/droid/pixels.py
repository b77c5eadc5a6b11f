"""Whether 2D tracks are the projection of the 3D tracks: with extrinsics.npz, intrinsics.json and OpenCV's own lens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.droid.tracks import POINT_TOLERANCE_MM, ROTATION_TOLERANCE, Arrays
from mapanything_data.checks.finding import Finding
from mapanything_data.scene import Camera
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.droid import CameraIntrinsics
from mapanything_data.storage.droid.extrinsics import Extrinsics
from mapanything_data.storage.droid.layout import EXTRINSICS, TRACKS

Singles = NDArray[np.float32]

PIXEL_TOLERANCE = 0.1
_WIDE = 4
"""Pixels are compared up to so many picture widths from the middle; farther out float32 has no tenth of a pixel."""
_STEPS_AT_ONCE = 64
_LENS_STRIDE = 8
_PLANE = 1e-5
"""Metres: so near to the camera's plane, rounding decides whether a point is before it."""


def check_pixels(
    episode: Episode, arrays: Arrays, extrinsics: Extrinsics, intrinsics: Mapping[str, CameraIntrinsics]
) -> Iterator[Finding]:
    """What is wrong with the pixels of each camera, or with what they were made from."""
    if not np.array_equal(extrinsics.timestamps, arrays["frame_timestamps"]):
        yield episode.fail("extrinsics", EXTRINSICS, "is of other moments than tracks.npz", episode.remake("tracks"))
        return
    serials = [str(serial) for serial in arrays["cameras_with_2d_tracks"].tolist()]
    for serial in serials:
        wrong = _check_camera(arrays, serial, extrinsics, intrinsics.get(serial))
        if wrong:
            yield episode.fail(wrong[0], TRACKS, f"camera {serial}: {wrong[1]}", episode.remake("tracks"))
    seen = [bool(arrays[f"in_image_{serial}"].any()) for serial in serials]
    if serials and not any(seen):
        found = f"no point is ever in the picture of any of its {len(serials)} cameras"
        yield episode.warn("coverage", TRACKS, found, "look at its pictures: extrinsics or intrinsics may be wrong")


def _check_camera(
    arrays: Arrays, serial: str, extrinsics: Extrinsics, intrinsics: CameraIntrinsics | None
) -> tuple[str, str] | None:
    if intrinsics is None:
        return "intrinsics", "it has pixels, but its intrinsics.json is missing or cannot be read"
    camera = intrinsics.left
    stored = [arrays[f"intrinsics_{serial}"].ravel(), arrays[f"distortion_{serial}"], arrays[f"image_size_{serial}"]]
    expected = [camera.matrix.ravel(), np.array(camera.distortion), np.array([camera.width, camera.height])]
    if np.abs(np.concatenate(stored).astype(np.float64) - np.concatenate(expected)).max() > 1e-6:
        return "intrinsics", "its pixels were made with other intrinsics than intrinsics.json says"
    if serial not in extrinsics.cameras:
        return "extrinsics", "it has pixels, but no pose in extrinsics.npz"
    poses = _poses(arrays, serial, extrinsics)
    if isinstance(poses, str):
        return "extrinsics", poses
    return _compare(arrays, serial, camera, poses)


def _poses(arrays: Arrays, serial: str, extrinsics: Extrinsics) -> Floats | str:
    """`T_world_camera` [T, 4, 4] as extrinsics.npz has it, or what is wrong with it."""
    flange, poses = np.asarray(arrays["flange_poses"], np.float64), extrinsics.T_world_camera[serial]
    kind = extrinsics.cameras[serial].kind
    name = f"T_flange_camera_{serial}" if kind == "wrist" else f"T_world_camera_{serial}"
    if name not in arrays:
        return f"it is {kind} in extrinsics.npz, but not in tracks.npz"
    mounted = flange @ arrays[name] if kind == "wrist" else np.asarray(arrays[name], np.float64)[None]
    shift = 1000 * np.linalg.norm(mounted[..., :3, 3] - poses[..., :3, 3], axis=-1).max()
    turn = np.abs(mounted[..., :3, :3] - poses[..., :3, :3]).max()
    if shift > POINT_TOLERANCE_MM or turn > ROTATION_TOLERANCE:
        where = "fixed to the flange" if kind == "wrist" else "where tracks.npz has it"
        return f"in extrinsics.npz it is not {where} (off by up to {shift:.3g} mm)"
    return np.broadcast_to(poses, flange.shape)


def _compare(arrays: Arrays, serial: str, camera: Camera, poses: Floats) -> tuple[str, str] | None:
    pixels, in_front = arrays[f"tracks_2d_{serial}"], arrays[f"in_front_{serial}"]
    in_image, occluded = arrays[f"in_image_{serial}"], arrays.get(f"occluded_{serial}")
    rotations = poses[:, :3, :3].astype(np.float32)
    worst, place = 0.0, 0
    for start in range(0, len(pixels), _STEPS_AT_ONCE):
        at = slice(start, start + _STEPS_AT_ONCE)
        block = pixels[at]
        # Rows times R is R transposed times columns. In float32 this is good to a hundredth of a pixel.
        points = (arrays["tracks_3d"][at] - poses[at, None, :3, 3].astype(np.float32)) @ rotations[at]
        if problem := _problem_of_masks(camera, points[..., 2], block, in_front[at], in_image[at]):
            return "pixels", problem
        if occluded is not None and (occluded[at] & ~in_image[at]).any():
            return "pixels", "points are called occluded that are not in the picture"
        off = _distance(camera, points, block)
        if off.max(initial=0.0) > worst:
            worst, place = float(off.max()), start + int(off.max(axis=1).argmax())
    if worst > PIXEL_TOLERANCE:
        return "pixels", f"its pixels are up to {worst:.3g} pixels off the projection of tracks_3d (frame {place})"
    return None


def _problem_of_masks(
    camera: Camera, z: Singles, pixels: Singles, in_front: NDArray[np.generic], in_image: NDArray[np.generic]
) -> str:
    has_pixel = ~np.isnan(pixels).any(axis=-1)
    if (has_pixel != in_front).any():
        return f"{int((has_pixel != in_front).sum())} points have a pixel, but are not in front of it, or none, but are"
    # A lens model ends at some angle, beyond which a point before the camera has no pixel either.
    wrong = has_pixel & (z < -_PLANE) if camera.is_distorted else (has_pixel != (z > 0)) & (np.abs(z) > _PLANE)
    if wrong.any():
        return f"{int(wrong.sum())} points have a pixel behind the camera, or none before it"
    u, v = pixels[..., 0], pixels[..., 1]
    inside = (u >= -0.5) & (u < camera.width - 0.5) & (v >= -0.5) & (v < camera.height - 0.5)
    if (inside != in_image).any():
        size = f"{camera.width}x{camera.height}"
        return f"in_image is wrong for {int((inside != in_image).sum())} points of a picture of {size}"
    return ""


def _distance(camera: Camera, points: Singles, pixels: Singles) -> NDArray[np.floating]:
    """Pixels between what is stored and what the camera shows, [T, 2N]; 0 where it cannot be told."""
    z = points[..., 2]
    reach = _WIDE * max(camera.width, camera.height)
    near = (np.abs(pixels) < reach).all(axis=-1) & (z > _PLANE)
    if camera.is_distorted:
        return _distance_with_lens(camera, points, pixels, near)
    with np.errstate(all="ignore"):  # points that are not near
        column = np.float32(camera.fx) * points[..., 0] / z + np.float32(camera.cx)
        row = np.float32(camera.fy) * points[..., 1] / z + np.float32(camera.cy)
        off = np.maximum(np.abs(column - pixels[..., 0]), np.abs(row - pixels[..., 1]))
    return np.where(near, off, 0.0)


def _distance_with_lens(
    camera: Camera, points: Singles, pixels: Singles, near: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """By OpenCV's own lens, which takes ten times as long: every eighth frame is enough to see another lens."""
    import cv2

    off = np.zeros(near.shape)
    chosen = near.copy()
    chosen[np.arange(len(near)) % _LENS_STRIDE > 0] = False
    if chosen.any():
        nothing = np.zeros(3)
        some = points[chosen].astype(np.float64)
        expected, _ = cv2.projectPoints(some, nothing, nothing, camera.matrix, np.array(camera.distortion))
        off[chosen] = np.abs(expected.reshape(-1, 2) - pixels[chosen]).max(axis=-1)
    return off
