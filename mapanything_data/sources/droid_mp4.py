"""DROID's MP4 recordings: the left picture of a camera, frame i at step i."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config import component
from mapanything_data.errors import DataError, require
from mapanything_data.scene import Camera
from mapanything_data.sources.clip import BrokenClip, Clip, LostFrame
from mapanything_data.sources.episodes import CameraRecording, EpisodeFrame
from mapanything_data.sources.video import VideoSource
from mapanything_data.storage.droid.intrinsics import CameraIntrinsics
from mapanything_data.storage.droid.layout import EpisodeFiles

_SAME_SHAPE = 0.01  # relative: 1280x720 and 672x376 are of one shape but for a rounded row


@component("source", "droid_mp4")
@dataclass(kw_only=True, slots=True)
class DroidMp4Source:
    """Pictures of {serial}.mp4 beside the episodes of DROID; no depth."""

    @property
    def gives_images(self) -> bool:
        """True: those of the left eye."""
        return True

    @property
    def gives_depth(self) -> bool:
        """False."""
        return False

    def setup(self) -> None:
        """See `EpisodeSource.setup`."""
        require("av")

    @contextmanager
    def open_recording(
        self, episode: EpisodeFiles, serial: str, intrinsics: CameraIntrinsics | None
    ) -> Iterator[CameraRecording]:
        """See `EpisodeSource.open_recording`."""
        files = episode.camera(serial)
        if files.mp4 is None:
            also = f", only {files.stereo_mp4.name}" if files.stereo_mp4 else ""
            raise DataError(
                episode.folder,
                f"has no recordings/MP4/{serial}.mp4{also}",
                remedy="use source=droid_stereo" if files.stereo_mp4 else "fetch the recording, or do without pictures",
            )
        pictures = Pictures(files.mp4)
        yield _Recording(pictures, fitting_camera(intrinsics, pictures.width, pictures.height))


class Pictures:
    """The pictures of a video file in their order, by whatever damage.

    Attributes:
        width: Pixels.
        height: Pixels.

    Raises:
        DataError: The file is no video, or cut off so that none of it can be read.
    """

    def __init__(self, path: Path) -> None:
        self._source = VideoSource(path=str(path))
        (clip,) = self._source.clips()
        if isinstance(clip, BrokenClip):
            raise clip.error
        self._clip: Clip = clip
        self.width, self.height = clip.width, clip.height

    def __len__(self) -> int:
        return len(self._clip.source_frames)

    def images(self) -> Iterator[NDArray[np.uint8] | None]:
        """One entry a picture: [H, W, 3] uint8 RGB, or None where it is damaged.

        Raises:
            DataError: The file changed, or its disk fails.
        """
        for _, frame in self._source.frames(self._clip, 0, len(self)):
            yield None if isinstance(frame, LostFrame) else frame.image


def fitting_camera(intrinsics: CameraIntrinsics | None, width: int, height: int) -> Camera | None:
    """The left eye's camera for pictures of this size, as the ZED SDK exports them: rectified, maybe scaled.

    Returns:
        None where nothing is known but the raw lens, or the intrinsics are of pictures of another shape.
    """
    if intrinsics is None or intrinsics.model != "rectified":
        return None
    left = intrinsics.left
    if abs((width * left.height) / (height * left.width) - 1) > _SAME_SHAPE:
        return None
    return left.resized(width, height)


@dataclass(frozen=True, slots=True)
class _Recording:
    pictures: Pictures
    camera: Camera | None
    depth_method: str = ""

    @property
    def frame_count(self) -> int:
        return len(self.pictures)

    def frames(self) -> Iterator[EpisodeFrame]:
        for step, image in enumerate(self.pictures.images()):
            yield EpisodeFrame(step=step, image=image)
