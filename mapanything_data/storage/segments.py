"""The segments format: frames of a recording as numbered PNG files, in segments of bounded length.

    {root}/manifest.json                    format, version, settings, recordings
    {root}/segment_00/segment.json          where the frames come from; written before the first frame
                     /raw/000000.png        RGB, 8 bits, numbered from 0 without gaps
                     /damage.jsonl          frames of the recording that are lost or doubtful, if there are any
                     /frames.jsonl          one row for each frame; written last: a segment with it is complete

Other stages add folders beside `raw/` (`features/`, `depth_npy/`, `labels/`) whose files carry the frame's number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from mapanything_data.config import component
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.scene import Camera
from mapanything_data.storage.manifest import Manifest, read_manifest
from mapanything_data.storage.tables import append_jsonl, cut_torn_line, read_json, read_jsonl, write_json, write_jsonl

FORMAT = "segments"
FORMAT_VERSION = 1

_SEGMENT_NAME = re.compile(r"segment_(\d{2,})")


@component("dataset", "segments")
@dataclass(kw_only=True, slots=True)
class SegmentsDataset:
    """Frames as numbered PNG files in folders segment_00, segment_01, ..."""

    root: str = "???"
    """Folder of the data set."""
    segment_frames: int = 1200
    """Frames after which a new segment begins (a new recording always begins one); 1200 is a minute at 20 Hz."""

    def __post_init__(self) -> None:
        """Refuse segments without frames."""
        if self.segment_frames < 1:
            raise ConfigError(
                "dataset.segment_frames",
                str(self.segment_frames),
                expected="1 or more",
                remedy="leave it out for segments of 1200 frames",
            )

    @property
    def folder(self) -> Path:
        """`root` as a path."""
        return Path(self.root).expanduser().absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOrigin:
    """Which frames of which recording a segment holds.

    Attributes:
        source: Name of the recording.
        source_bytes: Its size, which tells one recording from another of the same name.
        first_source_frame: Number in the recording of the first frame of the segment.
        planned_frames: How many frames were selected for it, lost ones included.
        width: Width of its pictures, pixels.
        height: Height of its pictures, pixels.
    """

    source: str
    source_bytes: int
    first_source_frame: int
    planned_frames: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """A frame of a segment.

    Attributes:
        frame: Number in the segment, and of its file.
        timestamp: Seconds since the first frame of the recording.
        source_frame: Number of the frame in the recording.
        camera: Intrinsics of the stored picture, None where they are unknown.
        doubt: Why the pixels may be wrong, None where nothing speaks against them.
    """

    frame: int
    timestamp: float
    source_frame: int
    camera: Camera | None = None
    doubt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DamageRow:
    """A selected frame of the recording that could not be had whole.

    Attributes:
        source_frame: Number of the frame in the recording.
        timestamp: Seconds since the first frame of the recording.
        captured: True for a doubtful picture, which is in the segment; False for a lost one, which is not.
        reason: What is wrong.
    """

    source_frame: int
    timestamp: float
    captured: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's folder; reading happens when it is asked for."""

    folder: Path

    @property
    def name(self) -> str:
        """Such as `segment_00`."""
        return self.folder.name

    @property
    def number(self) -> int:
        """Its place in the data set, from 0."""
        matched = _SEGMENT_NAME.fullmatch(self.name)
        assert matched  # made by `segment_folder` or found by `list_segments`
        return int(matched[1])

    @property
    def raw(self) -> Path:
        """The folder of the pictures."""
        return self.folder / "raw"

    @property
    def frames_file(self) -> Path:
        """The table of the frames."""
        return self.folder / "frames.jsonl"

    @property
    def damage_file(self) -> Path:
        """The table of the frames that are lost or doubtful."""
        return self.folder / "damage.jsonl"

    @property
    def origin_file(self) -> Path:
        """The file that says where the frames come from."""
        return self.folder / "segment.json"

    @property
    def complete(self) -> bool:
        """Whether the capture of this segment came to its end."""
        return self.frames_file.exists()

    def picture(self, frame: int) -> Path:
        """The file of a frame."""
        return self.raw / frame_file_name(frame)

    def read_origin(self) -> SegmentOrigin:
        """Read `segment.json`.

        Raises:
            DataError: It is missing or damaged.
        """
        origin: SegmentOrigin = _typed(SegmentOrigin, read_json(self.origin_file), self.origin_file)
        return origin

    def read_frames(self) -> list[FrameRow]:
        """Read `frames.jsonl`.

        Raises:
            DataError: It is missing or damaged.
        """
        rows = read_jsonl(self.frames_file)
        try:
            for row in rows:
                row["camera"] = None if row.get("camera") is None else Camera.from_dict(row["camera"])
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(self.frames_file, f"holds a wrong camera ({error})", remedy="restore the file") from error
        return [_typed(FrameRow, row, self.frames_file) for row in rows]

    def read_damage(self) -> list[DamageRow]:
        """Read `damage.jsonl`; no file means that all is whole.

        Raises:
            DataError: It is damaged.
        """
        rows = read_jsonl(self.damage_file) if self.damage_file.exists() else []
        return [_typed(DamageRow, row, self.damage_file) for row in rows]

    def write_origin(self, origin: SegmentOrigin) -> None:
        """Write `segment.json`."""
        write_json(self.origin_file, asdict(origin))

    def write_frames(self, rows: Iterable[FrameRow]) -> None:
        """Write `frames.jsonl`, which completes the segment."""
        write_jsonl(self.frames_file, ({**asdict(row), "camera": row.camera and row.camera.to_dict()} for row in rows))

    def mend_damage(self) -> None:
        """Cut a row that a kill left half-written; only for the capture itself."""
        if self.damage_file.exists():
            cut_torn_line(self.damage_file)

    def append_damage(self, row: DamageRow) -> None:
        """Add a row to `damage.jsonl` of a segment that is being captured; it is on the disk when this returns."""
        append_jsonl(self.damage_file, asdict(row))

    def write_damage(self, rows: Iterable[DamageRow]) -> None:
        """Write `damage.jsonl`."""
        write_jsonl(self.damage_file, (asdict(row) for row in rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the manifest says of a recording.

    Attributes:
        name: Its name within the source.
        first_segment: Number of its first segment.
        stop_segment: One more than the number of its last segment.
        problem: Why it could not be opened; empty when it could.
        warnings: What is wrong with it all the same.
    """

    name: str
    first_segment: int
    stop_segment: int
    problem: str = ""
    warnings: tuple[str, ...] = ()


def recordings_of(manifest: Manifest) -> list[Recording]:
    """The recordings that a data set was made from.

    Raises:
        DataError: The manifest does not say it in the way of this format.
    """
    try:
        return [
            Recording(
                name=str(entry["name"]),
                first_segment=int(entry["segments"][0]),
                stop_segment=int(entry["segments"][1]),
                problem=str(entry.get("problem", "")),
                warnings=tuple(entry.get("warnings", ())),
            )
            for entry in manifest.provenance["recordings"]
        ]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "manifest.json", f"has a damaged list of recordings ({error!r})", remedy="restore it, or capture again"
        ) from error


def frame_file_name(frame: int) -> str:
    """`000000.png` for frame 0."""
    return f"{frame:06d}.png"


def segment_folder(root: Path, number: int) -> Segment:
    """The segment with a number, whether it exists or not."""
    return Segment(root / f"segment_{number:02d}")


def list_segments(root: Path) -> list[Segment]:
    """All segments of a data set, by number."""
    named = (Segment(path) for path in root.iterdir() if _SEGMENT_NAME.fullmatch(path.name) and path.is_dir())
    canonical = (segment for segment in named if segment == segment_folder(root, segment.number))
    return sorted(canonical, key=lambda segment: segment.number)


def open_segments(root: Path) -> tuple[Manifest, list[Segment]]:
    """The manifest and the segments of a data set.

    Raises:
        DataError: There is no data set of this format and version in `root`.
    """
    if not root.is_dir():
        raise DataError(root, "is no folder" if root.exists() else "does not exist", remedy="correct dataset.root")
    return read_manifest(root, FORMAT, FORMAT_VERSION), list_segments(root)


def _typed(cls: type[Any], values: Any, path: Path) -> Any:
    """Build a row whose values have the types of its fields; JSON may write a whole float as an integer."""
    try:
        hints = get_type_hints(cls)
        for name, value in values.items():
            kind = (float, int) if hints[name] is float else hints[name]
            if not isinstance(value, kind) or (isinstance(value, bool) and hints[name] is not bool):
                raise TypeError(f"{name} is {value!r}")
        return cls(**values)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            path, f"has wrong fields ({error})", remedy="restore the file, or capture the segment again"
        ) from error
