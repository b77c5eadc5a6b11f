"""What there is to tell about `dataset=droid`: the tree that `tracks` makes, ranked by quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.storage.droid import DroidDataset, EpisodeFiles, find_episodes
from mapanything_data.storage.droid.layout import DEPTH_VIDEO, INTRINSICS
from mapanything_data.storage.droid.results import ResultFiles, find_results, number_at, read_quality
from mapanything_data.viz.droid_pictures import pictures_of
from mapanything_data.viz.report import ItemReport, Report

PARTS = ("calibration", "coverage", "alignment", "motion")
"""Of the score, which is their geometric mean."""
EPISODES_WITH_PICTURES = 6
"""The best, the worst, and some between them."""
EPISODES_SHOWN = 60
"""Of a larger tree the page lists the best and the worst; quality.csv lists all."""


@dataclass(frozen=True, slots=True)
class _Ranked:
    """An episode, and what its quality.json says; None where that cannot be read."""

    files: ResultFiles
    quality: Mapping[str, Any] | None
    row: Mapping[str, Any]


def summarise(dataset: DroidDataset) -> Report:
    """Episodes, hours, cameras, depth, scores, and pictures of some episodes.

    Raises:
        DataError: There are no episodes in its root.
    """
    ranked = sorted(map(_read, find_results(dataset.folder)), key=_best_first)
    recordings = _recordings(dataset)
    shown = (
        ranked if len(ranked) <= EPISODES_SHOWN else [*ranked[: EPISODES_SHOWN // 2], *ranked[-EPISODES_SHOWN // 2 :]]
    )
    pictured = _spread(len(shown), EPISODES_WITH_PICTURES)
    items = [
        ItemReport(
            episode.files.name,
            {name: value for name, value in episode.row.items() if name not in ("episode", "uuid")},
            list(_pictures(episode, recordings)) if number in pictured else (),
        )
        for number, episode in enumerate(shown)
    ]
    rows = [episode.row for episode in ranked]
    note = (
        "The best episodes come first. The score is the geometric mean of four parts, each 1 at its best and 0.5 where"
        " a measurement reaches its tolerance: calibration (the two eyes of a camera against its housing), coverage"
        " (share of points in the picture of the best camera), alignment (of poses and pictures), motion (share of"
        " steps that count as a part of the way)."
    )
    if len(shown) < len(ranked):
        half = EPISODES_SHOWN // 2
        note += f" Of {len(ranked):,} episodes these are the best and the worst {half}; quality.csv lists all."
    return Report("droid", dataset.folder, _facts(ranked), items, note, {"quality": rows})


def _read(files: ResultFiles) -> _Ranked:
    """An episode that cannot be read keeps its place in the table, at the end, with what is wrong."""
    quality, problem = None, None
    try:
        quality = read_quality(files.quality)
    except DataError as error:
        problem = f"quality.json: {error.found}"
    told: Mapping[str, Any] = quality or {}
    fps, frames = number_at(told, "fps"), told.get("num_frames", 0)
    way, known = number_at(told, "motion", "path_length_mm"), told.get("cameras_with_2d_tracks")
    remarks = told.get("remarks")
    row = {
        "episode": files.name,
        "uuid": told.get("episode", {}).get("uuid"),
        "score": number_at(told, "score"),
        **{part: number_at(told, "scores", part) for part in PARTS},
        "frames": frames,
        "seconds": frames / fps if fps else None,
        "way m": None if way is None else way / 1000,
        "idle share": number_at(told, "motion", "idle_share"),
        "cameras": len(told.get("cameras", {})),
        "with 2D tracks": len(known) if isinstance(known, list) else 0,
        "with depth": sum(files.of_camera(serial, DEPTH_VIDEO).is_file() for serial in files.serials()),
        "remarks": problem or ("; ".join(map(str, remarks)) if isinstance(remarks, list) else "") or None,
    }
    return _Ranked(files, quality, row)


def _best_first(episode: _Ranked) -> tuple[float, str]:
    score = episode.row["score"]
    return (np.inf if score is None else -score, episode.files.name)


def _facts(ranked: Sequence[_Ranked]) -> dict[str, Any]:
    rows = [episode.row for episode in ranked]
    groups = Counter(f"{episode.files.lab} {episode.files.outcome}" for episode in ranked)
    scores = [row["score"] for row in rows if row["score"] is not None]
    with_intrinsics = sum(
        episode.files.of_camera(serial, INTRINSICS).is_file()
        for episode in ranked
        for serial in (episode.quality or {}).get("cameras", ())
    )
    return {
        "episodes": len(rows),
        **dict(sorted(groups.items())),
        "frames": sum(row["frames"] for row in rows),
        "hours": sum(row["seconds"] or 0.0 for row in rows) / 3600,
        "cameras": sum(row["cameras"] for row in rows),
        "cameras with intrinsics": with_intrinsics,
        "episodes with 2D tracks": sum(row["with 2D tracks"] > 0 for row in rows),
        "episodes with depth": sum(row["with depth"] > 0 for row in rows),
        "mean score": float(np.mean(scores)) if scores else None,
    }


def _recordings(dataset: DroidDataset) -> dict[str, EpisodeFiles]:
    """Uuid to recording, for pictures; none where they are out of reach."""
    if not dataset.recordings:
        return {}
    try:
        return {episode.uuid: episode for episode in find_episodes(dataset.recordings_folder).episodes}
    except DataError:
        return {}


def _spread(count: int, wanted: int) -> set[int]:
    """Numbers below `count`, the first and the last among them, evenly apart."""
    return {round(number) for number in np.linspace(0, count - 1, min(count, wanted))}


def _pictures(episode: _Ranked, recordings: Mapping[str, EpisodeFiles]) -> Iterator[Any]:
    if episode.quality is not None:
        yield from pictures_of(episode.files, recordings.get(episode.quality["episode"]["uuid"]))
