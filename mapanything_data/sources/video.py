"""Video files, of any container and codec that FFmpeg reads."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config import component
from mapanything_data.errors import DataError
from mapanything_data.scene import Frame
from mapanything_data.sources.clip import (
    BrokenClip,
    Clip,
    Finish,
    LostFrame,
    check_settings,
    clip_or_broken,
    list_paths,
    select_frames,
    unique_names,
)
from mapanything_data.sources.packets import PacketTable, scan
from mapanything_data.sources.pictures import pictures

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp")
) | frozenset((".ogv", ".mxf", ".h264", ".264", ".hevc", ".h265", ".265"))


class Doubtful(str, Enum):
    """What becomes of pictures that may be predicted from a damaged one."""

    keep = "keep"
    """they are captured, and marked"""
    drop = "drop"
    """they count as lost"""


@component("source", "video")
@dataclass(kw_only=True, slots=True)
class VideoSource:
    """Video files: every file is one recording.

    Colours follow the file's tags (matrix and range). Where there are none the matrix is BT.601 and the range limited,
    as FFmpeg has it whatever the size of the picture. Pixels that are not square stay as they are stored.
    """

    path: Any = "???"
    """A file, a folder of videos, a glob pattern, or a list of these."""
    start: float | None = None
    """Seconds into each recording; frames before it are left out."""
    end: float | None = None
    """Seconds into each recording; frames at it and after it are left out."""
    stride: int = 1
    """Take every stride-th frame."""
    resize: list[int] | None = None
    """Final [width, height] in pixels."""
    intrinsics: list[float] | None = None
    """[fx, fy, cx, cy] of the picture as the file stores it, before rotation and resize; integer pixel centres."""
    doubtful: Doubtful = Doubtful.keep
    """What becomes of pictures that may be predicted from a damaged one: `keep` marks them, `drop` loses them."""
    fps: float | None = None
    """Frames per second of raw streams, which carry no time stamps; by default what their header says."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        check_settings(self)

    def paths(self) -> list[Path]:
        """The video files, in natural order."""
        return list_paths(self.path, VIDEO_SUFFIXES, "videos")

    def clips(self) -> list[Clip | BrokenClip]:
        """Every file with its selected frames; reads all packets and decodes one picture of each file."""
        paths = self.paths()
        return [clip_or_broken(name, path, self._clip) for name, path in zip(unique_names(paths), paths, strict=True)]

    def frames(
        self, clip: Clip, start: int, stop: int, skip: Container[int] = ()
    ) -> Iterator[tuple[int, Frame | LostFrame]]:
        """Selected frames `start` to `stop` of a clip; see `Source.frames`."""
        import av.video.reformatter

        if start >= stop:
            return
        plan: _Plan = clip.plan
        reformatter = av.video.reformatter.VideoReformatter()
        wanted = {int(clip.source_frames[index]): index for index in range(start, stop)}
        first, last = int(clip.source_frames[start]), int(clip.source_frames[stop - 1])
        try:
            for number, picture, reason in pictures(clip.path, plan.table, first, last):
                index = wanted.get(number)
                if index is None or index in skip:
                    continue
                timestamp = float(clip.timestamps[index])
                misfit = _misfit(picture, plan.finish) if picture else ""
                if not picture or misfit or (reason and self.doubtful is Doubtful.drop):
                    yield index, LostFrame(number, timestamp, misfit or reason)
                else:
                    image = plan.finish.image(to_rgb(picture, reformatter))
                    yield index, Frame(image, timestamp, number, clip.camera, doubt=reason)
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(clip.path, error) from error

    def _clip(self, name: str, path: Path) -> Clip:
        import av

        if not path.stat().st_size:
            raise DataError(path, "the file is empty", remedy="copy the recording again")
        try:
            with av.open(str(path)) as container:
                stream = _video_stream(path, container)
                table, first = scan(container, stream)
                if not len(table.packet_of) or first is None:
                    raise DataError(
                        path, "no picture of it can be decoded", remedy="play it to see whether it is damaged"
                    )
                if table.restart is not None:
                    raise DataError(
                        path,
                        f"its time stamps start again after {table.restart} pictures, as in joined recordings",
                        expected="time stamps that go on",
                        remedy="give the recordings apart, or join them with ffmpeg's concat demuxer",
                    )
                times = _seconds(stream, table, self.fps)
                warnings = (
                    *_count_warnings(container, stream, table, times),
                    *_time_warnings(stream, table, times, self.fps),
                )
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(path, error) from error
        finish = Finish(
            width=first.width,
            height=first.height,
            quarter_turns=round(-first.rotation / 90) % 4,  # FFmpeg counts degrees anticlockwise
            resize=(self.resize[0], self.resize[1]) if self.resize else None,
            intrinsics=tuple(self.intrinsics) if self.intrinsics else None,
        )
        selected = select_frames(times, self.start, self.end, self.stride)
        return Clip(
            name=name,
            path=path,
            byte_size=path.stat().st_size,
            width=finish.size[0],
            height=finish.size[1],
            source_frames=selected,
            timestamps=times[selected],
            camera=finish.camera,
            warnings=warnings,
            plan=_Plan(table, finish),
        )


def to_rgb(picture: Any, reformatter: Any) -> NDArray[np.uint8]:
    """The RGB values of a decoded picture, by the matrix and range that it is tagged with.

    Args:
        picture: `av.VideoFrame` of any pixel format.
        reformatter: `av.video.reformatter.VideoReformatter`, kept from picture to picture.

    Returns:
        [H, W, 3] uint8, within 1 of what the standards' matrices give (1.3 where the picture has more than 8 bits).
    """
    from av.video.reformatter import ColorRange

    converted = reformatter.reformat(
        picture,
        format="rgb24",
        # Said although it is the tag: PyAV's default differs between releases.
        src_colorspace=picture.colorspace,
        dst_color_range=ColorRange.JPEG,
        interpolation=_EXACT,
    )
    image: NDArray[np.uint8] = converted.to_ndarray()
    if picture.format.name.startswith("gray") and picture.color_range == ColorRange.MPEG:
        image = _LIMITED_TO_FULL[image]  # FFmpeg's conversion takes every gray picture for full range
    return image


# Bilinear chroma, SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT of FFmpeg's swscale.h; PyAV names the last two since 18 only.
# Without them FFmpeg's table of 8-bit steps is up to 3 off, and four times faster (307 and 72 frames/s at 1928x1208).
_EXACT = 0x2 | 0x40000 | 0x2000

_LIMITED_TO_FULL = ((np.arange(256) - 16) * (255 / 219)).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Plan:
    table: PacketTable
    finish: Finish


def _video_stream(path: Path, container: Any) -> Any:
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise DataError(
        path, f"holds no video, only: {', '.join(kinds) or 'nothing'}", remedy="leave the file out of source.path"
    )


def _seconds(stream: Any, table: PacketTable, fps: float | None) -> NDArray[np.float64]:
    """[N] seconds since the first picture, in order of presentation."""
    if not table.timed:
        return np.arange(len(table.packet_of)) / (fps or float(_header_fps(stream)))
    ticks = table.times[table.packet_of]
    since_first: NDArray[np.float64] = (ticks - ticks[0]) * stream.time_base.numerator / stream.time_base.denominator
    return since_first


def _header_fps(stream: Any) -> float:
    return float(stream.guessed_rate or stream.average_rate or 25)


def _count_warnings(container: Any, stream: Any, table: PacketTable, times: NDArray[np.float64]) -> Iterator[str]:
    packets = len(table.times)
    if stream.frames and stream.frames != packets:
        yield f"the header promises {stream.frames} frames, the file holds {packets}"
    elif not stream.frames and table.timed and container.duration:
        promised, missing = container.duration / 1e6, container.duration / 1e6 - times[-1]
        if missing > max(0.5, 0.02 * promised):
            yield f"the header promises {promised:.2f} s, the pictures end at {times[-1]:.2f} s"
    if table.damaged:
        yield f"{len(table.damaged)} of {packets} packets are damaged"


def _time_warnings(stream: Any, table: PacketTable, times: NDArray[np.float64], fps: float | None) -> Iterator[str]:
    if not table.timed:
        if fps is None:
            yield f"the file has no usable time stamps: {_header_fps(stream):g} frames per second assumed (source.fps)"
        return
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > 1.5 * usual)
    if len(gaps) and np.mean(np.abs(steps - usual) < 0.1 * usual) > 0.9:
        widest = gaps[np.argmax(steps[gaps])]
        yield f"{len(gaps)} gaps in the time stamps, the widest of {steps[widest]:.2f} s after frame {widest}"


def _misfit(picture: Any, finish: Finish) -> str:
    if (picture.width, picture.height) == (finish.width, finish.height):
        return ""
    return f"it is {picture.width}x{picture.height} in a recording of {finish.width}x{finish.height}"


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)
    return DataError(
        path,
        f"cannot be read as a video ({reason})",
        remedy="play it to see whether it is damaged; an MP4 whose recording was cut off has no index and needs repair",
    )
