"""The depth_video stage: are depth videos sound, and their frames as single files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mapanything_data.errors import ConfigError, DataError, require, require_option
from mapanything_data.stages.execute import absolute_path, say
from mapanything_data.storage.arrays import write_npy
from mapanything_data.storage.atomic import atomic_folder
from mapanything_data.storage.depth_video import DepthVideoReader, meta_path, verify_depth_video
from mapanything_data.storage.droid.layout import DEPTH_META, DEPTH_VIDEO
from mapanything_data.storage.picture_writer import PictureWriter

EXIT_FAIL = 4
_SHOWN = 20


class Action(str, Enum):
    """What is done with depth videos."""

    verify = "verify"
    """every frame is decoded and held against its checksums and its meta"""
    decode = "decode"
    """frames are written as single files"""


class Format(str, Enum):
    """What a decoded frame is written as."""

    png = "png"
    """16 bits in the unit of the video, which is the millimetre unless its meta says another; 0 where invalid"""
    npy = "npy"
    """float32 metres, 0 where invalid"""


@dataclass(kw_only=True, slots=True)
class DepthVideoConfig:
    """Configuration of the depth_video app."""

    machine: Any = "???"
    """The machine profile."""
    path: str = "???"
    """A depth video, or a folder: then all depth.mkv below it."""
    action: Action = Action.verify
    """What is done: `verify` looks whether the videos are sound, `decode` writes their frames as files."""
    output: str = ""
    """Folder that decoded frames are written to, in one folder for each video; it must be new or empty."""
    frames: list[int] | None = None
    """First frame to decode and the one to stop before, such as [0,10]; by default all."""
    format: Format = Format.png
    """What frames are decoded to: `png` of 16 bits in the video's unit (millimetres), or `npy` of float32 metres."""


def depth_video(config: DepthVideoConfig) -> int:
    """Depth videos: verify them, or decode their frames.

    Verifying decodes every frame, compares all checksums and the meta, prints OK or FAIL for each video, and leaves
    with exit code 0 or, when one fails, 4. Decoding writes 000000.png, 000001.png, ... or .npy; it replaces nothing.

    Examples:
        python -m mapanything_data.depth_video path=data/droid
        python -m mapanything_data.depth_video path=data/depth.mkv action=decode output=data/frames frames=[0,10]
        python -m mapanything_data.depth_video path=data/droid action=decode output=data/metres format=npy
    """
    require("av")
    path = absolute_path("path", config.path)
    videos = _find_videos(path)
    if config.action is Action.verify:
        return _verify(path, videos)
    require("cv2", "isal")
    _decode(path, videos, config)
    return 0


def _find_videos(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    # A meta whose video is missing counts as a video: its writer was stopped, or the file was lost.
    named = {meta.with_name(DEPTH_VIDEO) for meta in path.rglob(DEPTH_META)}
    # Outer folders first: when frames are decoded, theirs must be new and those inside come after it.
    videos = sorted(named | set(path.rglob(DEPTH_VIDEO)), key=lambda video: (len(video.parts), video))
    if not videos:
        found = f"holds no {DEPTH_VIDEO}" if path.is_dir() else "is neither a file nor a folder"
        raise DataError(path, found, remedy="correct path")
    return videos


def _verify(path: Path, videos: Sequence[Path]) -> int:
    failed = 0
    for video in videos:
        problems = verify_depth_video(video)
        failed += bool(problems)
        say(f"{'FAIL' if problems else 'OK':4} {_name(video, path)}  {_facts(video) if not problems else ''}".rstrip())
        for problem in problems[:_SHOWN]:
            say(f"     {problem}")
        if len(problems) > _SHOWN:
            say(f"     and {len(problems) - _SHOWN} more")
    say(f"{'FAIL' if failed else 'OK'}: {len(videos) - failed} of {len(videos)} depth videos are sound")
    return EXIT_FAIL if failed else 0


def _facts(video: Path) -> str:
    with DepthVideoReader(video) as reader:
        meta = reader.meta
    share = meta.bytes / (2 * meta.counts.pixels)
    return (
        f"{meta.frame_count} frames  {meta.width}x{meta.height}  {meta.bytes / 1e6:.1f} MB ({share:.1%} of raw)  "
        f"{meta.counts.invalid_share:.1%} invalid  {meta.method}"
    )


def _decode(path: Path, videos: Sequence[Path], config: DepthVideoConfig) -> None:
    output = absolute_path("output", config.output)
    folders = {video: output / video.parent.relative_to(path) if path.is_dir() else output for video in videos}
    for folder in folders.values():
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise ConfigError("output", f"{folder} is there already", expected="a new folder", remedy="give another")
    for video, folder in folders.items():
        try:
            with DepthVideoReader(video) as reader, atomic_folder(folder) as unnamed:
                count = _write_frames(reader, unnamed, config)
                shutil.copyfile(meta_path(video), unnamed / DEPTH_META)
        except OSError as error:
            raise DataError(folder, f"cannot be written ({error.strerror})", remedy="give output=FOLDER") from error
        say(f"{_name(video, path)}  {count} frames in {folder}")


def _write_frames(reader: DepthVideoReader, folder: Path, config: DepthVideoConfig) -> int:
    numbers = range(len(reader))
    if config.frames is not None:
        expected = f"[start, stop] within 0 and {len(reader)}, the frames of {reader.path}"
        bounds = config.frames
        require_option("frames", bounds, len(bounds) == 2 and 0 <= bounds[0] < bounds[1] <= len(reader), expected)
        numbers = range(*bounds)
    if config.format is Format.npy:
        for number in numbers:
            write_npy(folder / f"{number:06}.npy", reader[number])
        return len(numbers)
    with PictureWriter(len(os.sched_getaffinity(0))) as pictures:
        for number in numbers:
            pictures.put(folder / f"{number:06}.png", reader.raw(number))
    return len(numbers)


def _name(video: Path, path: Path) -> str:
    return str(video.relative_to(path)) if path.is_dir() else video.name
