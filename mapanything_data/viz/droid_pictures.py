"""Pictures of one episode: over time, in space, in every camera, and its depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.scene import ContactMotion
from mapanything_data.storage.contact_tracks import load_motion, load_tracks
from mapanything_data.storage.depth_video import DepthVideoReader
from mapanything_data.storage.droid import EpisodeFiles
from mapanything_data.storage.droid.layout import DEPTH_VIDEO, TRACKS
from mapanything_data.storage.droid.results import ResultFiles
from mapanything_data.storage.mp4 import read_picture
from mapanything_data.viz.boxes import Image
from mapanything_data.viz.report import FULL_WIDTH, Picture
from mapanything_data.viz.tracks import colour_near_depth, draw_scene, draw_timeline, draw_tracks

TRAIL_S = 2.0
_LARGE = 560
_EMPTY = (26, 31, 38)
_WIDTH_MM = 85.0


def pictures_of(files: ResultFiles, recording: EpisodeFiles | None) -> Iterator[Picture]:
    """The pictures of an episode; what cannot be read is a picture that says so.

    Args:
        files: Its folder.
        recording: Where its videos are, if they are within reach.
    """
    if not files.tracks.is_file():
        return
    try:
        arrays, motion = load_tracks(files.tracks), load_motion(files.tracks)
    except DataError as error:
        yield Picture(f"{TRACKS} {error.found}", None)
        return
    distance = arrays["cumulative_distance_mm"]
    step = int(np.searchsorted(distance, distance[-1] / 2).clip(0, len(distance) - 1))
    yield _timeline(motion, distance, step)
    yield from _scenes(motion, arrays["tracks_3d"], step)
    for serial in motion.cameras:
        yield _camera_picture(motion, arrays, serial, step, recording)
    for serial in files.serials():
        if files.of_camera(serial, DEPTH_VIDEO).is_file():
            yield _depth_picture(files.of_camera(serial, DEPTH_VIDEO), serial, step)


def _timeline(motion: ContactMotion, distance: NDArray[np.float64], step: int) -> Picture:
    curves = [("opening, mm", _WIDTH_MM * (1 - motion.gripper_positions)), ("way, mm", distance)]
    image = draw_timeline(motion.timestamps, curves, ~motion.is_counted, step)
    caption = (
        "The gripper's opening and the way of the point between the pads over time. Shaded: steps that do not count as"
        f" a part of the way (idle, or movement disabled). The orange line is step {step},"
        " which the pictures below show."
    )
    return Picture(caption, image, width=FULL_WIDTH)


def _scenes(motion: ContactMotion, tracks: NDArray[np.float32], step: int) -> Iterator[Picture]:
    cameras = {
        serial: (mounted.camera, mounted.poses(motion.T_world_flange)) for serial, mounted in motion.cameras.items()
    }
    told = f"the ways of the left (orange) and the right pad (blue), bright at the end, dots at step {step}"
    axes = "Axes of the robot's base: x red (ahead), y green, z blue (up)"
    oblique = draw_scene(tracks, step, cameras, azimuth=np.radians(-50), elevation=np.radians(28))
    yield Picture(f"In space: {told}; pyramids are cameras. {axes}.", oblique, width=_LARGE)
    above = draw_scene(tracks, step, cameras, azimuth=np.radians(-90), elevation=np.radians(90))
    yield Picture(f"The same from above, x to the right: {told}.", above, width=_LARGE)


def _camera_picture(
    motion: ContactMotion,
    arrays: Mapping[str, NDArray[np.generic]],
    serial: str,
    step: int,
    recording: EpisodeFiles | None,
) -> Picture:
    camera = motion.cameras[serial].camera
    image, lacks = _frame(recording, serial, step, (camera.height, camera.width))
    pixels = np.asarray(arrays[f"tracks_2d_{serial}"], np.float32)
    hidden = arrays.get(f"occluded_{serial}")
    occluded = None if hidden is None else np.asarray(hidden, np.bool_)
    usual = float(np.median(np.diff(motion.timestamps))) if len(motion) > 1 else 1.0
    drawn = draw_tracks(image, pixels, step, max(1, round(TRAIL_S / usual)), occluded)
    told = f"left pad orange, right pad blue, with their last {TRAIL_S:g} s; thin: the whole way"
    hollow = "; hollow points are hidden by something nearer" if occluded is not None else ""
    return Picture(f"Camera {serial}, step {step}: {told}{hollow}.{lacks}", drawn, width=_LARGE)


def _frame(recording: EpisodeFiles | None, serial: str, step: int, size: tuple[int, int]) -> tuple[Image, str]:
    """The recorded picture of a step, or an empty one of its size and why it is empty."""
    empty = np.full((*size, 3), _EMPTY, np.uint8)
    videos = recording.camera(serial) if recording else None
    path = videos and (videos.mp4 or videos.stereo_mp4)
    if not path:
        return empty, " Its MP4 is not within reach, so the frame is empty."
    try:
        image = read_picture(path, step)
    except DataError as error:
        return empty, f" {Path(error.where).name} {error.found}, so the frame is empty."
    left = image[:, : image.shape[1] // 2] if videos and path == videos.stereo_mp4 else image
    if left.shape[:2] != size:
        found = f"{left.shape[1]}x{left.shape[0]}"
        return empty, f" {path.name} has frames of {found}, the tracks are for {size[1]}x{size[0]}: the frame is empty."
    return left, ""


def _depth_picture(path: Path, serial: str, step: int) -> Picture:
    try:
        with DepthVideoReader(path) as reader:
            shown = min(step, len(reader) - 1)
            image, (near, far) = colour_near_depth(reader[shown])
    except DataError as error:
        return Picture(f"Depth of camera {serial}: {error.found}", None)
    caption = f"Depth of camera {serial}, frame {shown}: red is {near:.2f} m, blue {far:.2f} m, black unknown."
    return Picture(caption, image, width=_LARGE)
