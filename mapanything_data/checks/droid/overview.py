"""What a tree holds as a table, and what is wrong with all of it: recordings left out, a strange manifest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.errors import DataError
from mapanything_data.storage.droid import DroidDataset, EpisodeFiles
from mapanything_data.storage.droid.layout import DEPTH_VIDEO
from mapanything_data.storage.droid.results import FORMAT, FORMAT_VERSION, ResultFiles, read_quality
from mapanything_data.storage.manifest import MANIFEST, read_manifest

_HEADER = ("lab", "outcome", "episodes", "finished", "tracks", "depth", "recordings")
_SHOWN = 5


def overview(results: Mapping[str, ResultFiles], recordings: Mapping[str, EpisodeFiles], problem: str) -> str:
    """A row for each lab and outcome, then how to read it."""
    groups: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for files in results.values():
        count = groups[files.lab, files.outcome]
        count["episodes"] += 1
        count["finished"] += files.quality.is_file()
        count["tracks"] += files.tracks.is_file()
        count["depth"] += any(files.of_camera(serial, DEPTH_VIDEO).is_file() for serial in files.serials())
    for recording in recordings.values():
        groups[recording.lab, recording.outcome]["recordings"] += 1
    rows: list[tuple[str | int, ...]] = [
        (*group, *(count[name] for name in _HEADER[2:])) for group, count in sorted(groups.items())
    ]
    if len(rows) > 1:
        rows.append(("all", "", *(sum(count[name] for count in groups.values()) for name in _HEADER[2:])))
    lines = _aligned([_HEADER, *rows])
    lines.append("finished: with quality.json; tracks, depth: episodes that have some; recordings: all that are there")
    if problem:
        lines.append(f"recordings are not compared: {problem}")
    return "\n".join(lines)


def check_root(
    dataset: DroidDataset,
    results: Mapping[str, ResultFiles],
    recordings: Mapping[str, EpisodeFiles],
    broken: Sequence[DataError],
) -> Iterator[Finding]:
    """The manifest, recordings of which nothing was made, and what is no episode among the recordings."""
    root = dataset.folder
    try:
        read_manifest(root, FORMAT, FORMAT_VERSION)
    except DataError as error:
        yield Finding(Severity.warn, "manifest", MANIFEST, f"{error.found}", "give dataset.root the folder of tracks")
    missing = sorted(uuid for uuid, recording in recordings.items() if str(recording.output) not in results)
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        found = f"lacks {len(missing)} of {len(recordings)} recordings: {shown}"
        command = f"dataset.recordings={dataset.recordings} dataset.root={dataset.root}"
        remedy = f"run mapanything_data.tracks {command}; failed.csv tells why some failed"
        yield Finding(Severity.warn, "left-out", root.name, found, remedy)
    for other in broken:
        yield Finding(Severity.warn, "recording", other.where, other.found, other.remedy)
    yield from _check_copies(results)


def _check_copies(results: Mapping[str, ResultFiles]) -> Iterator[Finding]:
    """Folders of one lab and second; their uuids tell whether they are one episode."""
    places: dict[tuple[str, str], list[ResultFiles]] = {}
    for files in results.values():
        places.setdefault((files.lab, files.timestamp), []).append(files)
    for same in places.values():
        if len(same) > 1 and _is_copy(same):
            names = " and ".join(files.name for files in same)
            found = f"is one episode with several folders: {names}"
            remedy = "remove all but the one whose outcome and date the recording has"
            yield Finding(Severity.fail, "copy", same[0].name, found, remedy)


def _is_copy(same: Sequence[ResultFiles]) -> bool:
    uuids = []
    for files in same:
        try:
            uuids.append(read_quality(files.quality)["episode"]["uuid"])
        except DataError:
            continue  # told with the episode
    return len(set(uuids)) < len(uuids)


def _aligned(rows: Sequence[Sequence[str | int]]) -> list[str]:
    texts = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in texts
    ]
