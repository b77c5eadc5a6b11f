"""What there is to tell about `dataset=segments`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.segments import FrameRow, Segment, SegmentsDataset, open_segments, recordings_of
from mapanything_data.viz.report import ItemReport, Picture, Report

PICTURES_PER_SEGMENT = 4
SEGMENTS_WITH_PICTURES = 50
"""A page of more pictures than this is slow to open."""


def summarise(dataset: SegmentsDataset) -> Report:
    """Segments, frames, sizes, time span and example pictures of a data set.

    Raises:
        DataError: There is no segments data set in its root.
    """
    root = dataset.folder
    manifest, segments = open_segments(root)
    items = [_describe(segment, with_pictures=n < SEGMENTS_WITH_PICTURES) for n, segment in enumerate(segments)]
    facts = {
        "segments": len(items),
        "frames": sum(item.facts["frames"] for item in items),
        "doubtful frames": sum(item.facts["doubtful frames"] for item in items),
        "lost frames": sum(item.facts["lost frames"] for item in items),
        "seconds of recording": round(sum(item.facts["to s"] - item.facts["from s"] for item in items), 3),
        "megabytes": round(sum(item.facts["megabytes"] for item in items), 3),
        "picture sizes": ", ".join(sorted({item.facts["size"] for item in items} - {None})) or None,
        "recordings": len(recordings_of(manifest)),
    }
    return Report(dataset="segments", root=root, facts=facts, items=items)


def _describe(segment: Segment, *, with_pictures: bool) -> ItemReport:
    """A damaged segment has its problem among its facts; the page is wanted most when something is wrong."""
    try:
        return _summarise(segment, with_pictures=with_pictures)
    except DataError as error:
        nothing = {"frames": 0, "doubtful frames": 0, "lost frames": 0, "size": None, "from s": 0.0, "to s": 0.0}
        problem = f"{Path(error.where).name} {error.found}"
        return ItemReport(
            segment.name, {"recording": None, "complete": False, **nothing, "megabytes": 0.0, "problem": problem}
        )


def _summarise(segment: Segment, *, with_pictures: bool) -> ItemReport:
    origin = segment.read_origin()
    rows = segment.read_frames() if segment.complete else []
    damage = segment.read_damage() if segment.complete else []
    times = np.array([row.timestamp for row in rows])
    usual_step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    facts = {
        "recording": origin.source,
        "complete": segment.complete,
        "frames": len(rows),
        "doubtful frames": sum(row.captured for row in damage),
        "lost frames": sum(not row.captured for row in damage),
        "size": f"{origin.width}x{origin.height}",
        "from s": float(times[0]) if len(times) else 0.0,
        "to s": float(times[-1]) if len(times) else 0.0,
        "frames/s": 1 / usual_step if usual_step > 0 else None,
        "intrinsics": bool(rows) and rows[0].camera is not None,
        "megabytes": sum(path.stat().st_size for path in segment.folder.rglob("*") if path.is_file()) / 1e6,
    }
    return ItemReport(segment.name, facts, list(_examples(segment, rows)) if with_pictures else ())


def _examples(segment: Segment, rows: Sequence[FrameRow]) -> Iterator[Picture]:
    """Pictures spread evenly from the first to the last."""
    for index in sorted({round(i) for i in np.linspace(0, len(rows) - 1, PICTURES_PER_SEGMENT)} if rows else ()):
        row = rows[index]
        doubt = ", doubtful" if row.doubt else ""
        caption = f"frame {row.frame:06d}, {row.timestamp:.3f} s, frame {row.source_frame} of the recording{doubt}"
        try:
            yield Picture(caption, decode_png(segment.picture(row.frame)))
        except DataError:
            yield Picture(caption, None)
