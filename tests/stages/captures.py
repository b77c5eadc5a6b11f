"""Captures for the tests of this folder, run in this process or as a command."""

from __future__ import annotations

import sys
from pathlib import Path

from mapanything_data.engine import Retry
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.sim.clip import read_frame_number
from mapanything_data.sources.video import VideoSource
from mapanything_data.stages.capture import CaptureConfig, capture
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.segments import Segment, SegmentsDataset

FRAMES, FPS, SEGMENT_FRAMES = 60, 20, 25


def run_capture(path, root, executor=None, segment_frames=SEGMENT_FRAMES, retry=Retry.none, limit=-1, **source) -> int:
    return capture(
        CaptureConfig(
            machine={},
            source=VideoSource(path=path if isinstance(path, list) else str(path), **source),
            dataset=SegmentsDataset(root=str(root), segment_frames=segment_frames),
            executor=executor or InlineExecutor(),
            retry=retry,
            limit=limit,
        )
    )


def contents(root: Path) -> dict[str, bytes]:
    """All files of a data set but the records of its runs."""
    files = (path for path in root.rglob("*") if path.is_file() and ".mapanything" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}


def numbers(segment: Segment) -> list[int]:
    """The numbers that are drawn into the pictures, in the order of the frames."""
    return [read_frame_number(decode_png(segment.picture(row.frame))) for row in segment.read_frames()]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mapanything_data.capture", *map(str, arguments)]
