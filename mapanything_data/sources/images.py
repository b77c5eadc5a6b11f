"""Folders of images."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
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
    natural_key,
    select_frames,
    unique_names,
)

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))


@component("source", "images")
@dataclass(kw_only=True, slots=True)
class ImagesSource:
    """Folders of images: every folder is one recording, its files in natural order (2 before 10).

    Images are turned upright by their EXIF orientation. Of 16 bits the upper 8 are kept, transparency is left out, gray
    becomes RGB. An image that cannot be read whole, or whose size differs from the first one's, is a lost frame.
    """

    path: Any = "???"
    """A folder, a file, a glob pattern of either, or a list of these."""
    fps: float = 10.0
    """Frames per second, from which the time stamps are made."""
    start: float | None = None
    """Seconds into each recording; frames before it are left out."""
    end: float | None = None
    """Seconds into each recording; frames at it and after it are left out."""
    stride: int = 1
    """Take every stride-th frame."""
    resize: list[int] | None = None
    """Final [width, height] in pixels."""
    intrinsics: list[float] | None = None
    """[fx, fy, cx, cy] of the upright picture before resize; integer pixel centres."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        check_settings(self)

    def paths(self) -> list[Path]:
        """The folders that hold the images."""
        return list(self._images())

    def clips(self) -> list[Clip | BrokenClip]:
        """Every folder with its selected frames; opens one image of each folder."""
        images = self._images()

        def plan(name: str, folder: Path) -> Clip:
            return self._clip(name, folder, images[folder])

        return [
            clip_or_broken(name, folder, plan) for name, folder in zip(unique_names(list(images)), images, strict=True)
        ]

    def frames(
        self, clip: Clip, start: int, stop: int, skip: Container[int] = ()
    ) -> Iterator[tuple[int, Frame | LostFrame]]:
        """Selected frames `start` to `stop` of a clip; see `Source.frames`."""
        plan: _Plan = clip.plan
        for index in range(start, stop):
            if index in skip:
                continue
            number, timestamp = int(clip.source_frames[index]), float(clip.timestamps[index])
            file = clip.path / plan.names[index]
            try:
                image = read_image(file)
            except DataError as error:
                yield index, LostFrame(number, timestamp, f"{file.name} {error.found}")
                continue
            height, width = image.shape[:2]
            if (width, height) != (plan.finish.width, plan.finish.height):
                expected = f"{plan.finish.width}x{plan.finish.height}, as {plan.first_name} is"
                yield index, LostFrame(number, timestamp, f"{file.name} is {width}x{height}, expected {expected}")
                continue
            yield index, Frame(plan.finish.image(image), timestamp, number, clip.camera)

    def _images(self) -> dict[Path, list[Path]]:
        """Folders with their images."""
        folders: dict[Path, list[Path]] = {}
        for path in list_paths(self.path, IMAGE_SUFFIXES, "images"):
            folders.setdefault(path.parent, []).append(path)
        return {folder: sorted(set(files), key=natural_key) for folder, files in folders.items()}

    def _clip(self, name: str, folder: Path, files: Sequence[Path]) -> Clip:
        first_name, first = _first_readable(folder, files)
        finish = Finish(
            width=first.shape[1],
            height=first.shape[0],
            resize=(self.resize[0], self.resize[1]) if self.resize else None,
            intrinsics=tuple(self.intrinsics) if self.intrinsics else None,
        )
        times = np.arange(len(files)) / self.fps
        selected = select_frames(times, self.start, self.end, self.stride)
        return Clip(
            name=name,
            path=folder,
            byte_size=sum(file.stat().st_size for file in files),
            width=finish.size[0],
            height=finish.size[1],
            source_frames=selected,
            timestamps=times[selected],
            camera=finish.camera,
            plan=_Plan(tuple(files[number].name for number in selected), first_name, finish),
        )


def read_image(file: Path) -> NDArray[np.uint8]:
    """Read one image, upright.

    Returns:
        [H, W, 3] uint8, RGB.

    Raises:
        DataError: The file is missing or cannot be read whole.
    """
    import cv2

    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(file, f"cannot be opened ({error.strerror})", remedy="check that the file is there") from error
    broken = DataError(file, "cannot be read as an image", remedy="copy the file again or leave it out")
    if not content:
        raise broken
    try:
        # From memory: reading a truncated JPEG from its file, OpenCV fills what is missing with gray.
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        raise broken from None
    if image is None:
        raise broken
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


@dataclass(frozen=True)
class _Plan:
    names: tuple[str, ...]
    first_name: str
    finish: Finish


def _first_readable(folder: Path, files: Sequence[Path]) -> tuple[str, NDArray[np.uint8]]:
    for file in files:
        try:
            return file.name, read_image(file)
        except DataError:
            continue
    raise DataError(folder, f"none of its {len(files)} images can be read", remedy="copy the folder again")
