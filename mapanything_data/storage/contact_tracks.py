"""Contact tracks of an episode as `tracks.npz`, whole or as the few numbers that they follow from.

A compact file holds the keys `STORED`, a full one those and `DERIVED`. `load_tracks` gives all of both for either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.geometry.contact_tracks import contact_tracks, project_tracks
from mapanything_data.geometry.normalised_flow import normalised_flow, require_samples_fit
from mapanything_data.scene import Camera, ContactMotion, StaticCamera, WristCamera
from mapanything_data.scene.arrays import require_array
from mapanything_data.storage.npz import read_npz, write_npz

Arrays = dict[str, NDArray[Any]]
FORMAT_VERSION = 1
_REMEDY = "make the tracks again with steps=[tracks]"


class Key(NamedTuple):
    """What stands under a name of `tracks.npz`."""

    shape: str
    dtype: str
    meaning: str


STORED: dict[str, Key] = {
    "format_version": Key("", "int64", "Version of these keys."),
    "settings": Key("", "str", "How the tracks were made, as JSON."),
    "fps": Key("", "float64", "Steps per second of the robot's clock; 0 for a single one."),
    "frame_timestamps": Key("T", "float64", "Seconds; the moments that the frames stand for."),
    "flange_poses": Key("T, 4, 4", "float64", "The flange in the world, which is the robot's base: T_world_flange."),
    "gripper_positions": Key("T", "float64", "0 open, 1 closed."),
    "cartesian_positions": Key("T, 6", "float64", "As recorded, not aligned: x, y, z, extrinsic xyz Euler angles."),
    "is_counted": Key("T", "bool", "Whether the step to this frame is a part of the way."),
    "pad_points": Key("2, N, 3", "float64", "Points on the left and the right pad in the frame of their own pad."),
    "T_flange_gripper": Key("4, 4", "float64", "How the gripper is mounted."),
    "normalized_step_size_mm": Key("", "float64", "Way between two samples, but for the last two."),
    "cameras_with_2d_tracks": Key("C", "str", "Serials of the cameras below."),
    "intrinsics_{serial}": Key("3, 3", "float64", "Matrix of the intrinsics, pixels, integer pixel centres."),
    "distortion_{serial}": Key("5", "float64", "k1, k2, p1, p2, k3; all 0 in rectified pictures."),
    "image_size_{serial}": Key("2", "int64", "Width and height, pixels."),
    "T_world_camera_{serial}": Key("4, 4", "float64", "Pose of a camera that stands still; absent for a wrist camera."),
    "T_flange_camera_{serial}": Key("4, 4", "float64", "Pose of a wrist camera; absent for one that stands still."),
    "occluded_{serial}": Key("T, 2N", "bool", "Something measured hides the point; absent without depth."),
}
DERIVED: dict[str, Key] = {
    "num_frames": Key("", "int64", "T."),
    "num_points_per_finger": Key("", "int64", "N."),
    "gripper_poses": Key("T, 4, 4", "float64", "The gripper in the world."),
    "tracks_3d": Key("T, 2N, 3", "float32", "The points, the left pad's first."),
    "contact_centroids": Key("T, 3", "float64", "Mean of all points."),
    "contact_frames": Key("T, 4, 4", "float64", "The gripper's axes, origin in the mean of all points."),
    "left_contact_frames": Key("T, 4, 4", "float64", "The same, origin in the mean of the left pad's points."),
    "right_contact_frames": Key("T, 4, 4", "float64", "The same, origin in the mean of the right pad's points."),
    "normalized_tracks_3d": Key("M, 2N, 3", "float32", "The points at the samples of the way."),
    "normalized_centroids": Key("M, 3", "float64", "Mean of all points at the samples."),
    "normalized_frames": Key("M, 4, 4", "float64", "Contact frames at the samples."),
    "normalized_left_frames": Key("M, 4, 4", "float64", "Contact frames of the left pad at the samples."),
    "normalized_right_frames": Key("M, 4, 4", "float64", "Contact frames of the right pad at the samples."),
    "cumulative_distance_mm": Key("T", "float64", "Way of the centroid up to each frame, counted steps only."),
    "frame_to_normalized_idx": Key("T", "int64", "The sample that is nearest on the way."),
    "num_normalized_steps": Key("", "int64", "M, the number of samples."),
    "normalized_last_step_mm": Key("", "float64", "Way between the last two samples."),
    "tracks_2d_{serial}": Key("T, 2N, 2", "float32", "Column and row, pixels, also beside the picture; NaN: none."),
    "in_front_{serial}": Key("T, 2N", "bool", "False behind the camera and beyond what its lens model covers."),
    "in_image_{serial}": Key("T, 2N", "bool", "Whether the pixel is on the picture."),
}
"""Lengths are in metres, angles in radians and positions in the world unless the meaning says otherwise."""

_OPTIONAL = ("T_world_camera_{serial}", "T_flange_camera_{serial}", "occluded_{serial}")
_BITS = "occluded_bits_"  # how a compact file keeps `occluded_{serial}`: eight points in a byte


def write_tracks(
    path: Path,
    motion: ContactMotion,
    *,
    format: Literal["full", "compact"],  # noqa: A002  the name of the option
    occluded: Mapping[str, NDArray[np.bool_]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write `tracks.npz`.

    Args:
        path: The file.
        motion: What all tracks follow from.
        format: `full` writes every key, `compact` only those of `STORED`.
        occluded: Serial to [T, 2N] bool, for cameras with depth.
        settings: How the motion was made, as values of JSON.

    Raises:
        ValueError: The motion has no steps, or `occluded` does not fit it.
        ConfigError: `step_mm` makes more samples than fit.
    """
    stored = _stored(motion, occluded or {}, settings or {})
    if format == "compact":
        require_samples_fit(motion)  # or nobody could expand the file
        write_npz(path, _packed(stored))
    else:
        write_npz(path, stored | _derived(motion))


def load_tracks(path: Path) -> Arrays:
    """All keys of a `tracks.npz` of either format; what a compact file lacks is computed, bit for bit the same.

    Raises:
        DataError: The file cannot be read, has another format version, lacks a key, or an array makes no sense.
    """
    arrays = _read(path)
    if "tracks_3d" not in arrays:
        try:
            arrays |= _derived(_motion(path, arrays))
        except ConfigError as error:
            raise DataError(path, f"cannot be expanded: {error.where} {error.found}", remedy=_REMEDY) from error
    _require_keys(path, arrays, STORED | DERIVED)
    return arrays


def load_motion(path: Path) -> ContactMotion:
    """What the tracks of a `tracks.npz` of either format follow from.

    Raises:
        DataError: As of `load_tracks`.
    """
    return _motion(path, _read(path))


def _stored(motion: ContactMotion, occluded: Mapping[str, NDArray[np.bool_]], settings: Mapping[str, Any]) -> Arrays:
    unknown = sorted(occluded.keys() - motion.cameras.keys())
    if unknown:
        raise ValueError(f"occluded names {unknown}, which are no cameras of the motion")
    arrays: Arrays = {
        "format_version": np.array(FORMAT_VERSION, np.int64),
        "settings": np.array(json.dumps(settings, sort_keys=True, allow_nan=False)),
        "fps": np.array(float(motion.fps)),
        "frame_timestamps": motion.timestamps,
        "flange_poses": motion.T_world_flange,
        "gripper_positions": motion.gripper_positions,
        "cartesian_positions": motion.cartesian_positions,
        "is_counted": motion.is_counted,
        "pad_points": motion.pad_points,
        "T_flange_gripper": motion.T_flange_gripper,
        "normalized_step_size_mm": np.array(float(motion.step_mm)),
        "cameras_with_2d_tracks": np.array(list(motion.cameras), np.str_),
    }
    for serial, mounted in motion.cameras.items():
        camera = mounted.camera
        arrays[f"intrinsics_{serial}"] = camera.matrix
        arrays[f"distortion_{serial}"] = np.array(camera.distortion, np.float64)
        arrays[f"image_size_{serial}"] = np.array([camera.width, camera.height], np.int64)
        if isinstance(mounted, StaticCamera):
            arrays[f"T_world_camera_{serial}"] = mounted.T_world_camera
        else:
            arrays[f"T_flange_camera_{serial}"] = mounted.T_flange_camera
        if serial in occluded:
            shape = (len(motion), 2 * motion.pad_points.shape[1])
            require_array(f"occluded[{serial!r}]", occluded[serial], shape, np.bool_)
            arrays[f"occluded_{serial}"] = occluded[serial]
    return arrays


def _derived(motion: ContactMotion) -> Arrays:
    tracks, flow = contact_tracks(motion), normalised_flow(motion)
    samples = flow.tracks
    arrays: Arrays = {
        "num_frames": np.array(len(motion), np.int64),
        "num_points_per_finger": np.array(motion.pad_points.shape[1], np.int64),
        "gripper_poses": tracks.gripper_poses,
        "tracks_3d": tracks.tracks_3d,
        "contact_centroids": tracks.contact_centroids,
        "contact_frames": tracks.contact_frames,
        "left_contact_frames": tracks.left_contact_frames,
        "right_contact_frames": tracks.right_contact_frames,
        "normalized_tracks_3d": samples.tracks_3d,
        "normalized_centroids": samples.contact_centroids,
        "normalized_frames": samples.contact_frames,
        "normalized_left_frames": samples.left_contact_frames,
        "normalized_right_frames": samples.right_contact_frames,
        "cumulative_distance_mm": flow.cumulative_distance_mm,
        "frame_to_normalized_idx": flow.frame_to_normalized_idx,
        "num_normalized_steps": np.array(len(samples.tracks_3d), np.int64),
        "normalized_last_step_mm": np.array(flow.last_step_mm),
    }
    for serial in motion.cameras:
        seen = project_tracks(motion, serial)
        arrays[f"tracks_2d_{serial}"] = seen.pixels
        arrays[f"in_front_{serial}"] = seen.is_in_front
        arrays[f"in_image_{serial}"] = seen.is_in_image
    return arrays


def _packed(stored: Arrays) -> Arrays:
    """The same with eight points of an occlusion in a byte."""
    arrays: Arrays = {}
    for name, array in stored.items():
        if name.startswith("occluded_"):
            arrays[name.replace("occluded_", _BITS, 1)] = np.packbits(array, axis=1)
        else:
            arrays[name] = array
    return arrays


def _unpacked(arrays: Arrays) -> Arrays:
    stored: Arrays = {}
    for name, array in arrays.items():
        if name.startswith(_BITS):
            bits = np.unpackbits(array, axis=1, count=2 * arrays["pad_points"].shape[1])
            stored[name.replace(_BITS, "occluded_", 1)] = bits.astype(np.bool_)
        else:
            stored[name] = array
    return stored


def _read(path: Path) -> Arrays:
    """What the file has, of which the stored keys are sound."""
    arrays = read_npz(path)
    if "format_version" not in arrays:
        raise DataError(path, "has no format_version, so these are not our tracks", remedy=_REMEDY)
    version = arrays["format_version"]
    if version.shape or version != FORMAT_VERSION:
        found, expected = f"has format version {version}", f"version {FORMAT_VERSION}"
        remedy = f"{_REMEDY}, or read it with the release that wrote it"
        raise DataError(path, found, expected=expected, remedy=remedy)
    try:
        arrays = _unpacked(arrays)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(path, f"has damaged bits of occlusion ({error!r})", remedy=_REMEDY) from error
    _require_keys(path, arrays, STORED)
    return arrays


def _motion(path: Path, arrays: Arrays) -> ContactMotion:
    try:
        return ContactMotion(
            timestamps=arrays["frame_timestamps"],
            T_world_flange=arrays["flange_poses"],
            gripper_positions=arrays["gripper_positions"],
            cartesian_positions=arrays["cartesian_positions"],
            is_counted=arrays["is_counted"],
            pad_points=arrays["pad_points"],
            T_flange_gripper=arrays["T_flange_gripper"],
            fps=float(arrays["fps"]),
            step_mm=float(arrays["normalized_step_size_mm"]),
            cameras={serial: _camera(arrays, serial) for serial in arrays["cameras_with_2d_tracks"].tolist()},
        )
    except (KeyError, ValueError) as error:
        raise DataError(path, f"holds no motion of a gripper ({error})", remedy=_REMEDY) from error


def _camera(arrays: Arrays, serial: str) -> StaticCamera | WristCamera:
    width, height = arrays[f"image_size_{serial}"].tolist()
    camera = Camera.from_matrix(arrays[f"intrinsics_{serial}"], width, height, arrays[f"distortion_{serial}"].tolist())
    if f"T_flange_camera_{serial}" in arrays:
        return WristCamera(camera, arrays[f"T_flange_camera_{serial}"])
    return StaticCamera(camera, arrays[f"T_world_camera_{serial}"])


def _require_keys(path: Path, arrays: Arrays, keys: Mapping[str, Key]) -> None:
    """Every key is there for every camera, in its dtype and shape."""
    sizes: dict[str, int] = {}
    for pattern, key in keys.items():
        serials = arrays["cameras_with_2d_tracks"].tolist() if "{serial}" in pattern else [""]
        for name in (pattern.format(serial=serial) for serial in serials):
            if name in arrays:
                _require_array(path, name, arrays[name], key, sizes)
            elif pattern not in _OPTIONAL:
                raise DataError(path, f"has no {name}", remedy=_REMEDY)


def _require_array(path: Path, name: str, array: NDArray[Any], key: Key, sizes: dict[str, int]) -> None:
    """`sizes` collects what T, N, M and C are as they are met."""
    axes = key.shape.split(", ") if key.shape else []
    is_sound = array.ndim == len(axes) and (array.dtype.kind == "U" if key.dtype == "str" else array.dtype == key.dtype)
    if is_sound:
        for axis, size in zip(axes, array.shape, strict=True):
            if axis == "N":
                sizes["2N"] = 2 * size
            is_sound &= size == (int(axis) if axis.isdecimal() else sizes.setdefault(axis, size))
    if not is_sound:
        known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
        found = f"{name} is {array.dtype} of shape {list(array.shape)}"
        raise DataError(path, found, expected=f"{key.dtype} [{key.shape}] with {known}", remedy=_REMEDY)
