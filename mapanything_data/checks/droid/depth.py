"""Depth videos: do they open, fit the episode and its cameras, and hold depth; a few frames of each are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.finding import Finding
from mapanything_data.errors import DataError
from mapanything_data.storage.depth_video import DepthVideoReader
from mapanything_data.storage.droid import CameraIntrinsics
from mapanything_data.storage.droid.layout import DEPTH_META, DEPTH_VIDEO, QUALITY, camera_folder

FRAMES_DECODED = 3
INVALID_SHARE = 0.95
SATURATED_SHARE = 0.01


def check_depth(episode: Episode, known: Mapping[str, CameraIntrinsics]) -> Iterator[Finding]:
    """What is wrong with the depth videos that are there, and why others are not."""
    for serial, told in episode.cameras.items():
        depth = told.get("depth")
        if isinstance(depth, dict) and depth.get("failed"):
            found = f"depth of camera {serial} could not be made: {str(depth['failed']).splitlines()[0]}"
            remedy = "mend the recording, then run the same tracks command with retry=failed"
            yield episode.fail("depth", QUALITY, found, remedy)
        if all(episode.files.of_camera(serial, name).is_file() for name in (DEPTH_VIDEO, DEPTH_META)):
            yield from _check_video(episode, serial, known.get(serial))


def _check_video(episode: Episode, serial: str, intrinsics: CameraIntrinsics | None) -> Iterator[Finding]:
    where, meta_where = (str(camera_folder(serial) / name) for name in (DEPTH_VIDEO, DEPTH_META))
    try:
        with DepthVideoReader(episode.files.of_camera(serial, DEPTH_VIDEO), threads=1) as reader:
            yield from _check_meta(episode, meta_where, reader, intrinsics)
            # Of random access every frame costs the same; all of them are left to the app that is made for it.
            for number in np.unique(np.linspace(0, len(reader) - 1, FRAMES_DECODED).astype(int)) if len(reader) else ():
                reader.raw(int(number))
    except DataError as error:
        told = episode.unreadable("depth", where, error)
        remedy = f"see how much is damaged with mapanything_data.depth_video path={episode.files.folder / where}, then"
        yield episode.fail("depth", where, told.found, f"{remedy} {episode.remake('depth')}")


def _check_meta(
    episode: Episode, where: str, reader: DepthVideoReader, intrinsics: CameraIntrinsics | None
) -> Iterator[Finding]:
    meta, steps = reader.meta, episode.quality["num_frames"]
    if meta.frame_count not in (steps - 1, steps):  # DROID's recordings are often one frame short
        found = f"has {meta.frame_count} frames for {steps} steps, so frame i may not be step i"
        yield episode.warn("depth", where, found, "see whether the recording is whole")
    if intrinsics and (meta.width, meta.height) != (intrinsics.left.width, intrinsics.left.height):
        expected = f"{intrinsics.left.width}x{intrinsics.left.height}"
        found = f"is for frames of {meta.width}x{meta.height}, but intrinsics.json is for {expected}"
        yield episode.fail("size", where, found, episode.remake("intrinsics", "depth", "tracks"))
    if (np.diff(meta.timestamps) < 0).any():  # a picture that was read twice tells its time twice
        yield episode.fail("depth", where, "has timestamps that go back", episode.remake("depth"))
    if meta.counts.invalid_share > INVALID_SHARE:
        found = f"says that {100 * meta.counts.invalid_share:.1f} % of the pixels have no depth"
        yield episode.warn("depth", where, found, "look at the recording, or choose another depth mode")
    if meta.counts.pixels and meta.counts.saturated / meta.counts.pixels > SATURATED_SHARE:
        share, most = meta.counts.saturated / meta.counts.pixels, 65535 * meta.scale
        found = f"says that {100 * share:.1f} % of the pixels were deeper than {most:.4g} m, and are without depth"
        yield episode.warn("depth", where, found, "make it again with a larger depth_scale_m, if far things matter")
