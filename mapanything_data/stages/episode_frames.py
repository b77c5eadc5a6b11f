"""The depth video and the pictures of one camera of an episode, written in one pass over its recording."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.engine import Report
from mapanything_data.errors import DataError
from mapanything_data.scene.arrays import Floats
from mapanything_data.sources.episodes import CameraRecording, EpisodeFrame
from mapanything_data.storage.atomic import remove_unfinished
from mapanything_data.storage.depth_video import FASTEST, DepthVideoWriter, meta_path, read_depth_meta
from mapanything_data.storage.droid.layout import DEPTH_VIDEO, IMAGES, image_name
from mapanything_data.storage.picture_writer import PictureWriter

_MORE_FRAMES = 1000  # of a recording that goes on after its episode


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOptions:
    """How frames are written.

    Attributes:
        depth_scale: Metres of one unit of a depth video.
        scratch: Folder on a fast disk for a depth video that is being written; empty for none.
        threads: Threads that code depth or pictures.
    """

    depth_scale: float
    scratch: str
    threads: int


def write_frames(
    recording: CameraRecording,
    folder: Path,
    wanted: Collection[str],
    *,
    times: Floats,
    fps: float,
    options: FrameOptions,
    report: Report,
) -> dict[str, Any]:
    """Write what is wanted of a camera's frames.

    A picture that is damaged gives no PNG file and a depth map without any depth; both are counted.

    Args:
        recording: The open recording.
        folder: The camera's folder.
        wanted: `depth` for depth.mkv with depth_meta.json, `images` for images/{step}.png, or both.
        times: [T] seconds, of the episode's steps.
        fps: Frames per second of the depth video.
        options: How.
        report: Told how much of the recording is done.

    Returns:
        What quality.json says of `depth` and of `images`.

    Raises:
        DataError: The recording has no frames of the kind, or breaks off.
    """
    told: dict[str, Any] = {}
    with ExitStack() as opened:
        sinks: list[_Images | _Depth] = []
        if "images" in wanted:
            sinks.append(opened.enter_context(_open_images(folder / IMAGES, options.threads)))
        if "depth" in wanted:
            sinks.append(opened.enter_context(_Depth(folder / DEPTH_VIDEO, recording, times, fps, options)))
        for number, frame in enumerate(recording.frames(), start=1):
            for sink in sinks:
                sink.add(frame)
            report(number / max(len(times), recording.frame_count))
        for sink in sinks:
            told |= sink.finish(len(times))
    return told


def describe_depth(video: Path, steps: int) -> dict[str, Any] | None:
    """What quality.json says of a depth video, whichever run has written it.

    Returns:
        None where there is none, or it is not what depth_meta.json describes, so that it must be made anew.
    """
    try:
        meta = read_depth_meta(meta_path(video))
        if video.stat().st_size != meta.bytes:
            return None
    except (DataError, FileNotFoundError):
        return None
    return {
        "frames": meta.frame_count,
        "steps": steps,
        "lost": meta.counts.lost_frames,
        "method": meta.method,
        "invalid_share": meta.counts.invalid_share,
        "saturated": meta.counts.saturated,
    }


@dataclass(slots=True)
class _Images:
    """Pictures as PNG files; one that is there is whole and stays."""

    folder: Path
    writer: PictureWriter
    known: Collection[str]
    frames: int = 0
    lost: int = 0

    def add(self, frame: EpisodeFrame) -> None:
        self.frames += 1
        if frame.image is None:
            self.lost += 1
        elif (name := image_name(frame.step)) not in self.known:
            self.writer.put(self.folder / name, frame.image)

    def finish(self, steps: int) -> dict[str, Any]:
        if self.lost == self.frames:
            raise DataError(self.folder.parent, "has no picture", remedy="restore the recording, or use another source")
        return {"images": {"frames": self.frames, "steps": steps, "lost": self.lost}}


@contextmanager
def _open_images(folder: Path, threads: int) -> Iterator[_Images]:
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    with PictureWriter(threads) as writer:
        yield _Images(folder, writer, {path.name for path in folder.iterdir()})


@dataclass(slots=True)
class _Depth:
    """A depth video, which begins with the first frame that has depth: only that tells its size."""

    video: Path
    recording: CameraRecording
    times: Floats
    fps: float
    options: FrameOptions
    lost_before: int = 0
    writer: DepthVideoWriter | None = None
    opened: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> _Depth:
        return self

    def __exit__(self, *error: Any) -> None:
        self.opened.__exit__(*error)

    def add(self, frame: EpisodeFrame) -> None:
        if frame.depth is not None:
            writer = self.writer or self._begin(frame.depth)
            writer.write(frame.depth)
        elif self.writer:
            self.writer.write_lost()
        else:
            self.lost_before += 1

    def finish(self, steps: int) -> dict[str, Any]:
        if self.writer is None:
            raise DataError(self.video.parent, "has no frame with depth", remedy="restore the recording")
        self.opened.close()  # the video takes its name
        return {"depth": describe_depth(self.video, steps)}

    def _begin(self, depth: NDArray[np.float32]) -> DepthVideoWriter:
        height, width = depth.shape
        writer = DepthVideoWriter(
            self.video,
            width,
            height,
            min(self.fps, FASTEST),  # how it plays; when its frames were taken is in its meta
            scale=self.options.depth_scale,
            timestamps=self._times_of_frames(),
            camera=self.recording.camera,
            method=self.recording.depth_method,
            scratch=self.options.scratch,
            threads=self.options.threads,
        )
        self.writer = self.opened.enter_context(writer)
        for _ in range(self.lost_before):
            writer.write_lost()
        return writer

    def _times_of_frames(self) -> Floats:
        frames, steps = self.recording.frame_count, len(self.times)
        if frames > 10 * steps + _MORE_FRAMES:
            raise DataError(
                self.video.parent,
                f"its recording has {frames} frames, the episode {steps} steps",
                expected="about as many",
                remedy="restore the recording, whose header may be damaged",
            )
        return _times_of(frames, self.times)


def _times_of(frames: int, times: Floats) -> Floats:
    """Times of the frames of a video, which is often one frame short and may go on for a while after its episode."""
    if frames <= len(times):
        return times[:frames]
    step = float(np.median(np.diff(times)))
    return np.concatenate([times, times[-1] + step * np.arange(1, frames - len(times) + 1)])
