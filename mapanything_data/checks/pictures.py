"""What can be wrong with a sequence of pictures: black, frozen, the same twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.finding import Finding, Severity

BLACK_LEVEL = 16
"""A picture is black when 99 % of its pixels are darker than this in every channel: video black with its noise."""
FROZEN_FRAMES = 3
"""So many identical pictures in a row are a frozen camera; two happen when a recorder repeats a late frame."""


@dataclass(slots=True)
class PictureLog:
    """Remembers a little about each picture of a camera, and tells in the end what is wrong with their sequence.

    Attributes:
        item: What the camera belongs to, such as `segment_00`.
        file_of: The file of a picture below the item, by its number. Numbers of neighbours differ by one.
    """

    item: str
    file_of: Callable[[int], str]
    black: list[int] = field(default_factory=list)
    digests: dict[int, bytes] = field(default_factory=dict)

    def add(self, frame: int, image: NDArray[Any], *, may_repeat: bool = False) -> None:
        """Take note of a picture, [H,W,3] uint8; `may_repeat` where it may equal others, as when nothing moves."""
        if np.percentile(image[::4, ::4].max(axis=-1), 99) < BLACK_LEVEL:
            self.black.append(frame)
        if not may_repeat:
            self.digests[frame] = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()

    def findings(self) -> Iterator[Finding]:
        """Black, frozen and repeated pictures; black ones are not told again as frozen."""
        for first, last in runs(self.black):
            yield self._finding("black", first, last, "black", "check lens cover, exposure and decoding")
        coloured = {frame: digest for frame, digest in self.digests.items() if frame not in set(self.black)}
        frozen: set[int] = set()
        for first, last in _identical_runs(coloured):
            frozen.update(range(first + 1, last + 1))
            if last - first + 1 >= FROZEN_FRAMES:
                yield self._finding(
                    "frozen",
                    first,
                    last,
                    "identical: the camera or its stream stood still",
                    "leave these frames out",
                )
            else:
                yield self._finding("duplicate", first, last, "identical", "leave one of them out, or use a stride")
        yield from self._repeated({frame: digest for frame, digest in coloured.items() if frame not in frozen})

    def _repeated(self, digests: dict[int, bytes]) -> Iterator[Finding]:
        first_seen: dict[bytes, int] = {}
        for frame, digest in digests.items():
            first = first_seen.setdefault(digest, frame)
            if first != frame:
                yield Finding(
                    Severity.warn,
                    "duplicate",
                    f"{self.item}/{self.file_of(frame)}",
                    f"is identical to frame {self._frame(first)}",
                    "see whether the recording repeats itself",
                )

    def _finding(self, check: str, first: int, last: int, what: str, remedy: str) -> Finding:
        if first == last:
            return Finding(Severity.warn, check, f"{self.item}/{self.file_of(first)}", f"is {what}", remedy)
        found = f"frames {self._frame(first)} to {self._frame(last)} are {what}"
        return Finding(Severity.warn, check, self.item, found, remedy)

    def _frame(self, number: int) -> str:
        return PurePath(self.file_of(number)).stem


def runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers, single ones included."""
    breaks = [i for i, (a, b) in enumerate(pairwise(numbers), start=1) if b != a + 1]
    for start, stop in pairwise([0, *breaks, len(numbers)]):
        if start < stop:
            yield numbers[start], numbers[stop - 1]


def _identical_runs(digests: dict[int, bytes]) -> Iterator[tuple[int, int]]:
    """First and last frame of each run of two or more neighbours with the same digest."""
    same = [b for a, b in pairwise(sorted(digests)) if b == a + 1 and digests[a] == digests[b]]
    for first, last in runs(same):
        yield first - 1, last
