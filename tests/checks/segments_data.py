"""A small segments data set written with the storage functions, to be spoiled by tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapanything_data.storage.manifest import Manifest, fingerprint, write_manifest
from mapanything_data.storage.png import encode_png
from mapanything_data.storage.segments import FrameRow, Segment, SegmentOrigin, segment_folder

WIDTH, HEIGHT, FRAMES, PERIOD = 32, 24, 8, 0.05


def picture(number: int) -> np.ndarray:
    """Noise of its own for every number: no two pictures are alike, none is black."""
    return np.random.default_rng(number).integers(40, 256, (HEIGHT, WIDTH, 3), np.uint8)


def write_segment(root: Path, number: int = 0, frames: int = FRAMES) -> Segment:
    segment = segment_folder(root, number)
    segment.raw.mkdir(parents=True)
    segment.write_origin(
        SegmentOrigin(
            source="drive.mp4",
            source_bytes=1000,
            first_source_frame=number * frames,
            planned_frames=frames,
            width=WIDTH,
            height=HEIGHT,
        )
    )
    for frame in range(frames):
        segment.picture(frame).write_bytes(encode_png(picture(100 * number + frame)))
    write_rows(segment, [number * frames + frame for frame in range(frames)])
    return segment


def write_rows(segment: Segment, source_frames: list[int], timestamps: list[float] | None = None) -> None:
    times = timestamps or [PERIOD * frame for frame in source_frames]
    segment.write_frames(
        FrameRow(frame=number, timestamp=time, source_frame=frame)
        for number, (frame, time) in enumerate(zip(source_frames, times, strict=True))
    )


def write_dataset(root: Path, segments: int = 1) -> list[Segment]:
    root.mkdir(parents=True, exist_ok=True)
    write_manifest(
        root,
        Manifest(
            format="segments",
            format_version=1,
            settings={},
            fingerprint=fingerprint({}),
            provenance={"recordings": [{"name": "drive.mp4", "segments": [0, segments], "warnings": []}]},
        ),
    )
    return [write_segment(root, number) for number in range(segments)]
