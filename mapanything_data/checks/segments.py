"""Checks of `dataset=segments`: completeness, alignment, time, pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.pictures import PictureLog, runs
from mapanything_data.checks.protocol import Progress
from mapanything_data.errors import DataError
from mapanything_data.storage.manifest import Manifest
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.segments import (
    DamageRow,
    FrameRow,
    Segment,
    SegmentOrigin,
    SegmentsDataset,
    frame_file_name,
    open_segments,
    recordings_of,
)

LAYERS = {"features": True, "depth_npy": True, "labels": False}
"""Folders that other stages put beside raw/, and whether each must hold something for every frame."""

GAP = 1.5
"""A pause is a gap when it is longer than this many times the usual time between two frames."""

_NUMBERED = re.compile(r"\d{6,}")
_NUMBERS_SHOWN = 5


class Checks:
    """The checks of one segments data set."""

    def __init__(self, dataset: SegmentsDataset) -> None:
        self._root = dataset.folder

    def item_names(self) -> list[str]:
        """The segments.

        Raises:
            DataError: There is no segments data set in the folder.
        """
        return [segment.name for segment in open_segments(self._root)[1]]

    def files(self, item: str) -> Iterator[Path]:
        """Everything in the segment's folder."""
        return (path for path in (self._root / item).rglob("*") if path.is_file())

    def check_item(self, item: str, progress: Progress) -> list[Finding]:
        """What is wrong with one segment."""
        segment = Segment(self._root / item)
        if not segment.complete:
            return [
                Finding(
                    Severity.fail,
                    "incomplete",
                    item,
                    f"its capture has not come to its end ({len(_numbers(segment.raw))} pictures, no frames.jsonl)",
                    "run the same capture command again: it goes on where it stopped",
                )
            ]
        try:
            origin, rows, damage = segment.read_origin(), segment.read_frames(), segment.read_damage()
        except DataError as error:
            return [Finding(Severity.fail, "table", item, f"{Path(error.where).name} {error.found}", error.remedy)]
        lost = [row for row in damage if not row.captured]
        return [
            *_check_counts(segment, origin, rows, lost),
            *_check_layers(segment),
            *_check_time(segment, rows, lost),
            *_tell_damage(segment, origin, damage),
            *_check_pictures(segment, origin, rows, progress),
        ]

    def check_whole(self) -> list[Finding]:
        """Missing segments and recordings that could not be read in full."""
        manifest, segments = open_segments(self._root)
        findings = []
        if not segments:
            findings.append(
                Finding(
                    Severity.fail,
                    "empty",
                    self._root.name,
                    "holds no segments",
                    "run capture with this dataset.root",
                )
            )
        findings += _check_plan(manifest, segments)
        for recording in recordings_of(manifest):
            if recording.problem:
                remedy = "mend the recording, then capture with retry=failed"
                findings.append(Finding(Severity.fail, "recording", recording.name, recording.problem, remedy))
            findings += [
                Finding(Severity.warn, "recording", recording.name, warning, "see whether another copy is whole")
                for warning in recording.warnings
            ]
        return findings


def _check_plan(manifest: Manifest, segments: Sequence[Segment]) -> Iterator[Finding]:
    """Compare the segments on the disk with those that the recordings were split into."""
    planned, broken = set[int](), set[int]()
    for recording in recordings_of(manifest):
        numbers = range(recording.first_segment, recording.stop_segment)
        (broken if recording.problem else planned).update(numbers)
    on_disk = {segment.number for segment in segments}
    for first, last in runs(sorted(planned - on_disk)):
        yield Finding(
            Severity.fail,
            "missing",
            _name_range(first, last),
            f"{last - first + 1} segments of the recordings are not there",
            "run the same capture command again, with retry=failed if it says that they failed before",
        )
    for first, last in runs(sorted(on_disk - planned - broken)):
        yield Finding(
            Severity.fail,
            "unplanned",
            _name_range(first, last),
            f"{last - first + 1} segments are there which no recording of manifest.json was split into",
            "move them elsewhere, or restore manifest.json",
        )


def _name_range(first: int, last: int) -> str:
    return f"segment_{first:02d}" if first == last else f"segment_{first:02d} to segment_{last:02d}"


def _check_counts(
    segment: Segment, origin: SegmentOrigin, rows: Sequence[FrameRow], lost: Sequence[DamageRow]
) -> Iterator[Finding]:
    in_table = [row.frame for row in rows]
    on_disk = {frame for path in segment.raw.glob("*") if (frame := _frame_of(path)) is not None}
    missing, extra = sorted(set(in_table) - on_disk), sorted(on_disk - set(in_table))
    if missing:
        yield Finding(
            Severity.fail,
            "gap",
            segment.name,
            f"raw/ lacks {_tell(missing)}, which frames.jsonl lists",
            "delete frames.jsonl of the segment and run the same capture command again",
        )
    if extra:
        yield Finding(
            Severity.fail,
            "alignment",
            segment.name,
            f"raw/ holds {_tell(extra)}, which frames.jsonl does not list",
            "remove pictures that were put there by hand, or capture the segment again",
        )
    if in_table != list(range(len(in_table))):
        yield Finding(
            Severity.fail,
            "alignment",
            segment.name,
            "frames.jsonl does not number the frames 0, 1, 2, ...",
            "delete the segment's folder and run the same capture command again",
        )
    strays = sorted(path.name for path in segment.raw.glob("*") if _frame_of(path) is None)
    if strays:
        yield Finding(
            Severity.warn,
            "stray",
            segment.name,
            f"raw/ holds {strays[0]} ({len(strays)} such files)",
            "move them elsewhere",
        )
    if len(rows) + len(lost) != origin.planned_frames:
        yield Finding(
            Severity.fail,
            "count",
            segment.name,
            f"{len(rows)} frames and {len(lost)} lost ones, but {origin.planned_frames} were selected",
            "delete the segment's folder and run the same capture command again",
        )


def _check_layers(segment: Segment) -> Iterator[Finding]:
    frames = _numbers(segment.raw)
    for layer, for_every_frame in LAYERS.items():
        folder = segment.folder / layer
        if not folder.is_dir():
            continue
        numbers = _numbers(folder)
        if extra := sorted(numbers - frames):
            yield Finding(
                Severity.fail,
                "alignment",
                segment.name,
                f"{layer}/ holds {_tell(extra)}, for which there is no picture",
                f"remove {layer}/ and run its stage again",
            )
        if for_every_frame and (missing := sorted(frames - numbers)):
            yield Finding(
                Severity.fail,
                "alignment",
                segment.name,
                f"{layer}/ has nothing for {_tell(missing)}",
                "run its stage again: it goes on where it stopped",
            )


def _check_time(segment: Segment, rows: Sequence[FrameRow], lost: Sequence[DamageRow]) -> Iterator[Finding]:
    if len(rows) < 2:
        return
    steps = np.diff([row.timestamp for row in rows])
    for number in map(int, np.flatnonzero(steps <= 0)[:_NUMBERS_SHOWN]):
        yield Finding(
            Severity.fail,
            "time",
            f"{segment.name}/raw/{rows[number + 1].frame:06d}.png",
            f"is {-steps[number]:.3f} s earlier than the frame before it, or at the same time",
            "see whether the recording's time stamps are right",
        )
    usual = float(np.median(steps))
    lost_frames = [row.source_frame for row in lost]
    for number in map(int, np.flatnonzero(steps > GAP * usual)):
        before, after = rows[number], rows[number + 1]
        if not any(before.source_frame < frame < after.source_frame for frame in lost_frames):
            yield Finding(
                Severity.warn,
                "gap",
                f"{segment.name}/raw/{after.frame:06d}.png",
                f"comes {steps[number]:.3f} s after the frame before it; usual are {usual:.3f} s",
                "frames were dropped while recording: do not use the two as neighbours",
            )
    for before, after in pairwise(rows):
        if after.source_frame <= before.source_frame:
            yield Finding(
                Severity.fail,
                "order",
                f"{segment.name}/raw/{after.frame:06d}.png",
                f"is frame {after.source_frame} of the recording, after frame {before.source_frame}",
                "delete the segment's folder and run the same capture command again",
            )


def _tell_damage(segment: Segment, origin: SegmentOrigin, damage: Sequence[DamageRow]) -> Iterator[Finding]:
    """One finding for each run of frames that share a fate and its reason."""
    ordered = sorted(damage, key=lambda row: row.source_frame)
    for (captured, reason), run in groupby(ordered, key=lambda row: (row.captured, row.reason)):
        rows = list(run)
        first, last = rows[0], rows[-1]
        if len(rows) == 1:
            which = f"frame {first.source_frame} of {origin.source} ({first.timestamp:.3f} s)"
        else:
            which = (
                f"{len(rows)} frames, {first.source_frame} to {last.source_frame} of {origin.source}"
                f" ({first.timestamp:.3f} to {last.timestamp:.3f} s)"
            )
        yield Finding(
            Severity.warn,
            "doubtful" if captured else "lost",
            segment.name,
            f"{which}: {'may show damage' if captured else 'lost'}, since {reason}",
            "copy the recording again if another copy may be whole; else leave the frames out",
        )


def _check_pictures(
    segment: Segment, origin: SegmentOrigin, rows: Sequence[FrameRow], progress: Progress
) -> list[Finding]:
    findings = []
    log = PictureLog(segment.name, lambda frame: f"raw/{frame_file_name(frame)}")
    for number, row in enumerate(rows):
        progress(number / len(rows))
        path = segment.picture(row.frame)
        item = f"{segment.name}/raw/{path.name}"
        if not path.exists():
            continue  # told by the counts
        try:
            image = decode_png(path)
        except DataError as error:
            remedy = "delete it and the segment's frames.jsonl, and run the same capture command again"
            findings.append(Finding(Severity.fail, "unreadable", item, error.found, remedy))
            continue
        expected = (origin.height, origin.width, 3)
        if image.shape != expected or image.dtype != np.uint8:
            found = f"is {_shape(image.shape)} {image.dtype}, expected {_shape(expected)} uint8"
            findings.append(Finding(Severity.fail, "size", item, found, "put the captured picture back"))
            continue
        if row.camera and (row.camera.width, row.camera.height) != (origin.width, origin.height):
            found = f"its intrinsics are for {row.camera.width}x{row.camera.height} pixels"
            findings.append(Finding(Severity.fail, "intrinsics", item, found, "correct frames.jsonl"))
        log.add(row.frame, image)
    return findings + list(log.findings())


def _frame_of(path: Path) -> int | None:
    """The frame whose picture a file is, by its exact name; None for any other file."""
    if not _NUMBERED.fullmatch(path.stem) or not path.is_file():
        return None
    frame = int(path.stem)
    return frame if path.name == frame_file_name(frame) else None


def _numbers(layer: Path) -> set[int]:
    """Numbers of the frames that a layer's folder holds something for."""
    return {int(path.stem) for path in layer.glob("*") if _NUMBERED.fullmatch(path.stem) and path.is_file()}


def _tell(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"{number:06d}" for number in numbers[:_NUMBERS_SHOWN])
    return f"{shown} and {len(numbers) - _NUMBERS_SHOWN} more" if len(numbers) > _NUMBERS_SHOWN else shown


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
