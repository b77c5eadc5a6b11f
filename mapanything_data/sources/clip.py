"""What every source of pictures promises, and what sources of pictures share: selection, file names, final size."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.scene import Camera, Frame

_TIME_TOLERANCE = 1e-6  # seconds: a frame at 0.3 is at 0.30000000000000004 or 0.29999999999999999 in binary


@dataclass(frozen=True, eq=False)
class Clip:
    """One uninterrupted recording: a video file or a folder of images, and which of its frames were selected."""

    name: str
    """Name of the file or folder; unique within the source."""
    path: Path
    byte_size: int
    width: int
    """Pixels of the final pictures, after rotation and resizing."""
    height: int
    """Pixels of the final pictures."""
    source_frames: NDArray[np.int64]
    """[N] numbers in the recording, in order of presentation, of the selected frames."""
    timestamps: NDArray[np.float64]
    """[N] seconds since the first frame of the recording."""
    camera: Camera | None = None
    """Intrinsics of the final pictures, where they are known."""
    warnings: tuple[str, ...] = ()
    """What is known to be wrong before anything is decoded."""
    plan: Any = field(default=None, repr=False)
    """What the source needs to find the frames again; nobody else's business."""


@dataclass(frozen=True)
class BrokenClip:
    """A recording that cannot be opened, which does not stop the others."""

    name: str
    path: Path
    error: DataError


@dataclass(frozen=True)
class LostFrame:
    """A selected frame that could not be had whole."""

    source_frame: int
    timestamp: float
    reason: str


@runtime_checkable
class Source(Protocol):
    """Where recordings come from."""

    def paths(self) -> list[Path]:
        """The recordings, in natural order (2 before 10), without opening any.

        Raises:
            DataError: Nothing is there.
        """

    def clips(self) -> list[Clip | BrokenClip]:
        """The plan: every recording with its selected frames, from headers and packets alone."""

    def frames(
        self, clip: Clip, start: int, stop: int, skip: Container[int] = ()
    ) -> Iterator[tuple[int, Frame | LostFrame]]:
        """The selected frames `start` to `stop` (exclusive) but those in `skip`, in order, one entry each.

        Skipping saves the conversion of a frame and never changes the pixels of the others: where decoding starts
        depends on the clip and on `start` alone, so that a capture can go on where it was interrupted.

        Raises:
            DataError: The recording is gone or is no longer the one that was planned.
        """


def clip_or_broken(name: str, path: Path, plan: Callable[[str, Path], Clip]) -> Clip | BrokenClip:
    """The clip that `plan` makes of a recording; one that it cannot open does not stop the others."""
    try:
        return plan(name, path)
    except DataError as error:
        return BrokenClip(name, path, error)


def list_paths(path: Any, suffixes: frozenset[str], kind: str) -> list[Path]:
    """The files that a `path` setting names, in natural order.

    Args:
        path: A file, a folder (its files with one of `suffixes`), a glob pattern of either, or a list of these. A list
            keeps its order.
        suffixes: Lower case with the dot.
        kind: What is looked for, in the plural, for messages.

    Raises:
        DataError: A path is missing, or a folder or pattern holds nothing that fits.
    """
    found: list[Path] = []
    for entry in _entries(path):
        found += _matches(entry, suffixes, kind)
    return list(dict.fromkeys(found))


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts `cam2` before `cam10`."""
    pieces = re.split(r"(\d+)", str(path))
    return [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """File names, with as many parent folders in front as it takes to tell two files of one name apart."""
    absolute = [path.absolute().parts for path in paths]
    depth = [1] * len(paths)
    while True:
        names = ["/".join(parts[-count:]).lstrip("/") for parts, count in zip(absolute, depth, strict=True)]
        uses = Counter(names)
        clashes = [at for at, name in enumerate(names) if uses[name] > 1 and depth[at] < len(absolute[at])]
        if not clashes:
            return names
        for at in clashes:
            depth[at] += 1


def select_frames(
    timestamps: NDArray[np.float64], start: float | None, end: float | None, stride: int
) -> NDArray[np.int64]:
    """Indices of every `stride`-th of the frames in [start, end).

    Args:
        timestamps: [N] seconds since the recording's first frame.
        start: Seconds, or None for the beginning.
        end: Seconds, or None for the end.
        stride: 1 takes every frame.

    Returns:
        [M] int64.
    """
    inside = np.ones(len(timestamps), dtype=bool)
    if start is not None:
        inside &= timestamps >= start - _TIME_TOLERANCE
    if end is not None:
        inside &= timestamps < end - _TIME_TOLERANCE
    return np.flatnonzero(inside)[::stride].astype(np.int64)


class Settings(Protocol):
    """The settings that sources of pictures share."""

    start: float | None
    end: float | None
    stride: int
    resize: list[int] | None
    intrinsics: list[float] | None
    fps: Any


MAX_SIDE = 16384
"""Pixels; no camera has more, and a typing error should not ask for gigabytes."""


def check_settings(source: Settings) -> None:
    """Refuse settings that make no sense.

    Raises:
        ConfigError: Names the setting.
    """
    numbers = [source.start, source.end, source.fps, *(source.intrinsics or ())]
    if not all(math.isfinite(number) for number in numbers if number is not None):
        raise ConfigError(
            "source", f"found {numbers}", expected="finite numbers", remedy="correct start, end, fps, intrinsics"
        )
    if source.start is not None and source.end is not None and source.end <= source.start:
        raise ConfigError(
            "source.end", f"{source.end} s is not after source.start={source.start} s", remedy="set a later end"
        )
    if source.stride < 1:
        raise ConfigError("source.stride", f"found {source.stride}", expected="1 or more", remedy="1 takes every frame")
    if source.fps is not None and not source.fps > 0:
        raise ConfigError("source.fps", f"found {source.fps}", expected="above 0", remedy="set the camera's rate")
    if source.resize is not None and (
        len(source.resize) != 2 or min(source.resize) < 1 or max(source.resize) > MAX_SIDE
    ):
        raise ConfigError(
            "source.resize",
            f"found {source.resize}",
            expected=f"[width, height], each from 1 to {MAX_SIDE}",
            remedy="for example [640,360]",
        )
    if source.intrinsics is not None and (len(source.intrinsics) != 4 or min(source.intrinsics[:2]) <= 0):
        raise ConfigError(
            "source.intrinsics",
            f"found {source.intrinsics}",
            expected="[fx, fy, cx, cy] in pixels of the source, focal lengths above 0",
            remedy="take them from the calibration of the camera, or leave them out",
        )


@dataclass(frozen=True)
class Finish:
    """The way from a picture as stored to the picture that is handed out: upright, then at its final size."""

    width: int
    """Pixels as stored."""
    height: int
    quarter_turns: int = 0
    """Clockwise."""
    resize: tuple[int, int] | None = None
    """Final width and height."""
    intrinsics: tuple[float, ...] | None = None
    """fx, fy, cx, cy of the picture as stored."""

    @property
    def size(self) -> tuple[int, int]:
        """Final width and height."""
        if self.resize is not None:
            return self.resize
        return (self.height, self.width) if self.quarter_turns % 2 else (self.width, self.height)

    @property
    def camera(self) -> Camera | None:
        """Camera of the final pictures."""
        if self.intrinsics is None:
            return None
        fx, fy, cx, cy = self.intrinsics
        return Camera(self.width, self.height, fx, fy, cx, cy).rotated(self.quarter_turns).resized(*self.size)

    def image(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn and resize [H, W, 3] uint8; shrinking averages over the area that a pixel covers."""
        image = np.ascontiguousarray(np.rot90(stored, -self.quarter_turns))
        height, width = image.shape[:2]
        if (width, height) == self.size:
            return image
        import cv2

        shrinks = self.size[0] <= width and self.size[1] <= height
        resized: NDArray[np.uint8] = cv2.resize(
            image, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        return resized


def _entries(path: Any) -> list[str]:
    entries = [path] if isinstance(path, (str, Path)) else path
    if (
        not isinstance(entries, Sequence)
        or not entries
        or not all(isinstance(e, (str, Path)) and str(e) for e in entries)
    ):
        raise ConfigError(
            "source.path",
            f"found {path!r}",
            expected="a path, a glob pattern or a list of these",
            remedy="set source.path",
        )
    return [str(Path(entry).expanduser()) for entry in entries]


def _matches(entry: str, suffixes: frozenset[str], kind: str) -> list[Path]:
    path = Path(entry)
    if path.is_file():
        return [path]
    candidates = [path] if path.is_dir() else [Path(match) for match in glob(entry, recursive=True)]  # noqa: PTH207 (Path.glob takes no absolute pattern)
    if not candidates:
        raise DataError(path, "nothing there has this name", remedy="check source.path; quote patterns in the shell")
    files = [file for found in candidates for file in (found.iterdir() if found.is_dir() else [found])]
    fitting = [file for file in files if file.suffix.lower() in suffixes and _is_visible_file(file)]
    if not fitting:
        raise DataError(
            path, f"holds no {kind}", expected=", ".join(sorted(suffixes)), remedy="name the files in source.path"
        )
    return sorted(fitting, key=natural_key)


def _is_visible_file(path: Path) -> bool:
    """False for folders and for the hidden companions that some systems write beside every file."""
    return path.is_file() and not path.name.startswith(".")
