"""The capture stage: recordings become numbered frames in segments."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config.registry import component_name
from mapanything_data.engine import Report, RunOptions, Stats
from mapanything_data.errors import ConfigError, DataError, require
from mapanything_data.scene import Frame
from mapanything_data.sources.clip import BrokenClip, Clip, LostFrame, Source
from mapanything_data.stages.execute import execute, folder_of, require_choice, say
from mapanything_data.storage.atomic import remove_unfinished
from mapanything_data.storage.manifest import (
    MANIFEST,
    Manifest,
    fingerprint,
    read_manifest,
    refuse_other_settings,
    write_manifest,
)
from mapanything_data.storage.picture_writer import PictureWriter
from mapanything_data.storage.provenance import plain, software_versions
from mapanything_data.storage.segments import (
    FORMAT,
    FORMAT_VERSION,
    DamageRow,
    FrameRow,
    Segment,
    SegmentOrigin,
    SegmentsDataset,
    list_segments,
    segment_folder,
)


@dataclass(kw_only=True, slots=True)
class CaptureConfig(RunOptions):
    """Configuration of the capture app."""

    machine: Any = "???"
    """The machine profile."""
    source: Any = "???"
    """Where the recordings come from."""
    dataset: Any = "???"
    """Where the frames go."""
    executor: Any = "???"
    """Where the work runs."""


def capture(config: CaptureConfig) -> int:
    """Capture: turn recordings into numbered frames in segments.

    Every frame keeps its time stamp, its number in the recording and its intrinsics. A capture that was interrupted
    goes on where it stopped when the same command is given again.

    Examples:
        python -m mapanything_data.capture source=video source.path=drive.mp4 dataset.root=data/drive
        python -m mapanything_data.capture source=images source.path=photos/ dataset.root=data/photos source.stride=2
        python -m mapanything_data.capture source.path='rides/*.mkv' dataset.root=data/rides executor=processes
    """
    require_choice("source", config.source, Source)
    require_choice("dataset", config.dataset, SegmentsDataset)
    root = folder_of(config.dataset)
    _refuse_own_output(config.source.paths(), root)  # refused before anything is written
    work = CaptureWork(
        source=config.source,
        output=root,
        segment_frames=config.dataset.segment_frames,
        threads=config.executor.worker_cores(),
    )
    summary = execute(work, config.executor, config)
    if summary.stats.get("lost frames") or summary.stats.get("doubtful frames"):
        say("  note     parts of the recordings are damaged: damage.jsonl in the segments names the frames")
    return summary.exit_code


def _refuse_own_output(paths: Sequence[Path], root: Path) -> None:
    inside = [path for path in paths if path.absolute().is_relative_to(root)]
    if inside:
        raise ConfigError(
            "source.path",
            f"covers the data set itself: {inside[0]} lies in dataset.root={root}",
            remedy="narrow source.path, or put dataset.root elsewhere",
        )


@dataclass(frozen=True, slots=True)
class CaptureItem:
    """A segment to be captured: frames `start` to `stop` (exclusive) of a clip's selected frames."""

    number: int
    clip: Clip | BrokenClip
    start: int = 0
    stop: int = 0

    @property
    def key(self) -> str:
        """Such as `segment_00 (drive.mp4)`."""
        return f"segment_{self.number:02d} ({self.clip.name})"


@dataclass(slots=True)
class CaptureWork:
    """Captures every segment of a source.

    Attributes:
        source: Where the recordings come from.
        output: Root of the data set.
        segment_frames: Frames after which a new segment begins.
        threads: Threads that encode pictures.
    """

    source: Source
    output: Path
    segment_frames: int
    threads: int
    name: str = "capture"

    def items(self) -> list[CaptureItem]:
        """One item for each segment; writes the manifest.

        Raises:
            DataError: There is nothing to capture, or the folder holds something else.
        """
        clips = self.source.clips()
        items = list(self._split(clips))
        if not items:
            raise DataError(
                "source",
                f"selects no frame of {len(clips)} recordings",
                expected="a start, end and stride that leave at least one frame",
                remedy="correct source.start and source.end: they are seconds since a recording's first frame",
            )
        on_disk = list_segments(self.output)
        known = read_manifest(self.output, FORMAT, FORMAT_VERSION) if (self.output / MANIFEST).exists() else None
        settings = self._settings()
        if on_disk:
            if known is None:
                raise DataError(
                    self.output,
                    f"holds {on_disk[0].name} and no manifest.json, so nobody knows what it is made from",
                    remedy="restore manifest.json, or use another dataset.root",
                )
            refuse_other_settings(self.output, known, settings)
            planned = {item.number: item for item in items}
            for segment in on_disk:
                _refuse_other_recording(planned.get(segment.number), segment)
        write_manifest(
            self.output,
            Manifest(
                format=FORMAT,
                format_version=FORMAT_VERSION,
                settings=settings,
                fingerprint=fingerprint(settings),
                provenance={
                    "recordings": self._recordings(clips, known if on_disk else None),
                    # Of the capture that began the data set; each run records its own versions.
                    "software": known.provenance["software"] if known and on_disk else software_versions(),
                },
            ),
        )
        return items

    def done(self, item: CaptureItem) -> bool:
        """Whether the segment's table of frames, which is written last, is there."""
        return segment_folder(self.output, item.number).complete

    def setup(self) -> None:
        """Make sure that what decodes and encodes is there.

        Raises:
            MissingDependencyError: A package is not installed.
        """
        require("av", "cv2", "isal")

    def run(self, item: CaptureItem, report: Report) -> Stats:
        """Capture one segment, leaving out frames that are already on the disk.

        Raises:
            DataError: The recording cannot be opened, or no frame of the segment can be decoded.
        """
        if isinstance(item.clip, BrokenClip):
            raise item.clip.error
        segment = segment_folder(self.output, item.number)
        segment.raw.mkdir(parents=True, exist_ok=True)
        remove_unfinished(segment.folder)
        remove_unfinished(segment.raw)
        segment.write_origin(_origin(item.clip, item))
        segment.mend_damage()
        damage = {row.source_frame: row for row in segment.read_damage()}
        written = self._write_pictures(item, segment, damage, report)
        kept = _kept(item, damage)
        if not len(kept):
            raise DataError(
                item.clip.path,
                f"none of the {item.stop - item.start} frames of {segment.name} can be decoded",
                remedy="play the file to see whether it is damaged; leave it out of source.path if it is",
            )
        if damage:
            segment.write_damage(sorted(damage.values(), key=lambda row: row.source_frame))
        segment.write_frames(_frame_row(item.clip, number, index, damage) for number, index in enumerate(kept))
        doubtful = sum(row.captured for row in damage.values())
        return {
            "frames": len(kept),
            "doubtful frames": doubtful,
            "lost frames": len(damage) - doubtful,
            "megabytes written": written / 1e6,
        }

    def _write_pictures(self, item: CaptureItem, segment: Segment, damage: dict[int, DamageRow], report: Report) -> int:
        """Write the pictures that are not there yet and add what is damaged to `damage`; returns the bytes written."""
        assert isinstance(item.clip, Clip)
        lost = sorted(row.source_frame for row in damage.values() if not row.captured)
        settled = _settled(item, segment, damage)
        with PictureWriter(self.threads) as writer:
            for index, frame in self.source.frames(item.clip, item.start, item.stop, skip=settled):
                row = _damage_row(frame)
                if row and row.source_frame not in damage:
                    damage[row.source_frame] = row
                    segment.append_damage(row)
                    if not row.captured:
                        insort(lost, row.source_frame)
                if isinstance(frame, Frame):
                    lost_before = bisect_left(lost, frame.source_frame)
                    writer.put(segment.picture(index - item.start - lost_before), frame.image)
                report((index - item.start) / (item.stop - item.start))
        return writer.bytes

    def _split(self, clips: Sequence[Clip | BrokenClip]) -> Iterator[CaptureItem]:
        number = 0
        for clip in clips:
            if isinstance(clip, BrokenClip):
                yield CaptureItem(number, clip)
                number += 1
                continue
            for start in range(0, len(clip.source_frames), self.segment_frames):
                yield CaptureItem(number, clip, start, min(start + self.segment_frames, len(clip.source_frames)))
                number += 1

    def _recordings(self, clips: Sequence[Clip | BrokenClip], known: Manifest | None) -> list[dict[str, Any]]:
        """What the manifest says of each recording; one that broke after it was captured keeps what was said before."""
        said_before = {entry["name"]: entry for entry in known.provenance["recordings"]} if known else {}
        entries = []
        number = 0
        for clip in clips:
            parts = 1 if isinstance(clip, BrokenClip) else -(-len(clip.source_frames) // self.segment_frames)
            entry = _describe(clip) | {"segments": [number, number + parts]}
            before = said_before.get(clip.name, entry)
            was_whole = "problem" not in before and before["segments"] == entry["segments"]
            entries.append(before if isinstance(clip, BrokenClip) and was_whole else entry)
            number += parts
        return entries

    def _settings(self) -> dict[str, Any]:
        source = {f"source.{key}": value for key, value in plain(self.source).items() if key != "path"}
        return {
            "source": component_name(self.source),
            **source,
            "dataset.segment_frames": self.segment_frames,
        }


def _damage_row(frame: Frame | LostFrame) -> DamageRow | None:
    captured = isinstance(frame, Frame)
    reason = frame.doubt if isinstance(frame, Frame) else frame.reason
    if not reason:
        return None
    return DamageRow(source_frame=frame.source_frame, timestamp=frame.timestamp, captured=captured, reason=reason)


def _kept(item: CaptureItem, damage: Mapping[int, DamageRow]) -> NDArray[np.int64]:
    """Indices of the clip's frames that the segment holds; their order gives the frames' numbers."""
    assert isinstance(item.clip, Clip)
    indices = np.arange(item.start, item.stop)
    lost = [row.source_frame for row in damage.values() if not row.captured]
    return indices[~np.isin(item.clip.source_frames[indices], lost)]


def _settled(item: CaptureItem, segment: Segment, damage: Mapping[int, DamageRow]) -> set[int]:
    """Indices of frames that an interrupted capture has dealt with: pictures on the disk and known losses.

    A loss is written down before any later picture, so a picture that is on the disk has its final number.
    """
    to_do = {int(index) for number, index in enumerate(_kept(item, damage)) if not segment.picture(number).exists()}
    return set(range(item.start, item.stop)) - to_do


def _frame_row(clip: Clip, number: int, index: int, damage: Mapping[int, DamageRow]) -> FrameRow:
    source_frame = int(clip.source_frames[index])
    return FrameRow(
        frame=number,
        timestamp=float(clip.timestamps[index]),
        source_frame=source_frame,
        camera=clip.camera,
        doubt=damage[source_frame].reason if source_frame in damage else None,
    )


def _origin(clip: Clip, item: CaptureItem) -> SegmentOrigin:
    return SegmentOrigin(
        source=clip.name,
        source_bytes=clip.byte_size,
        first_source_frame=int(clip.source_frames[item.start]),
        planned_frames=item.stop - item.start,
        width=clip.width,
        height=clip.height,
    )


def _refuse_other_recording(item: CaptureItem | None, segment: Segment) -> None:
    """Make sure that a segment which is on the disk comes from the frames that are planned for it."""
    if not segment.origin_file.exists():
        if segment.raw.is_dir() and any(segment.raw.iterdir()):
            raise DataError(
                segment.raw,
                "holds files, but no segment.json says where they come from",
                remedy="move them elsewhere: this folder belongs to the capture",
            )
        return
    was = segment.read_origin()
    is_same = item is not None and item.clip.name == was.source
    if item is not None and is_same and (isinstance(item.clip, BrokenClip) or _origin(item.clip, item) == was):
        return
    raise DataError(
        segment.folder,
        f"was captured from frames {was.first_source_frame} ff. of {was.source} ({was.source_bytes} bytes)",
        expected=_expected(item),
        remedy="the recordings have changed: give source.path those that the data set was made from, in their order,"
        " or use another dataset.root",
    )


def _expected(item: CaptureItem | None) -> str:
    if item is None:
        return "no segment of this number"
    if isinstance(item.clip, BrokenClip):
        return f"a segment of {item.clip.name}"
    now = _origin(item.clip, item)
    return f"frames {now.first_source_frame} ff. of {now.source} ({now.source_bytes} bytes)"


def _describe(clip: Clip | BrokenClip) -> dict[str, Any]:
    if isinstance(clip, BrokenClip):
        return {"name": clip.name, "problem": clip.error.found}
    return {
        "name": clip.name,
        "bytes": clip.byte_size,
        "selected_frames": len(clip.source_frames),
        "warnings": list(clip.warnings),
    }
