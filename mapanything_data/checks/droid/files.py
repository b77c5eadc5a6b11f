"""Which files of an episode are missing, half-written, or none of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.storage.droid.layout import DEPTH_META, DEPTH_VIDEO, EXTRINSICS, INTRINSICS, QUALITY, TRACKS
from mapanything_data.storage.droid.layout import camera_folder as folder_of_camera
from mapanything_data.storage.droid.results import ResultFiles

_OF_EPISODE = (TRACKS, EXTRINSICS, QUALITY)
_OF_CAMERA = (INTRINSICS, DEPTH_VIDEO, DEPTH_META)
_PREVIEW = (".mp4", ".png", ".jpg")
"""Pictures beside the results are nobody's mistake."""
_UNFINISHED = ".unfinished-"
_SHOWN = 3


def check_unfinished(files: ResultFiles) -> Finding:
    """Of a folder without quality.json, which is written last."""
    held = sorted(path.name for path in files.folder.rglob("*") if path.is_file())
    found = f"has no quality.json, so it is not finished (it holds {_tell(held) or 'nothing'})"
    return Finding(Severity.fail, "unfinished", files.name, found, "run the same tracks command again, or remove it")


def check_missing(episode: Episode) -> Iterator[Finding]:
    """Files of steps that quality.json says are done, and files of steps that it does not name."""
    steps = episode.steps
    for step, where in _expected(episode):
        is_there = (episode.files.folder / where).is_file()
        if step in steps and not is_there:
            found = f"is missing, though quality.json says that {step} is done"
            yield episode.fail("missing", where, found, episode.remake(step))
        elif step == "tracks" and is_there and step not in steps:
            # They are of other intrinsics, or of a run that was killed before it wrote quality.json.
            found = "is there, though quality.json does not say that tracks is done"
            yield episode.warn("unfinished", where, found, "run the same tracks command again")


def check_strays(episode: Episode) -> Iterator[Finding]:
    """What a killed run left, and what does not belong into the folder."""
    leftovers, strays = list[str](), list[str]()
    for path in sorted(episode.files.folder.rglob("*")):
        name = str(path.relative_to(episode.files.folder))
        if _UNFINISHED in name:
            leftovers.append(name)
        elif path.is_file() and not _belongs(path.relative_to(episode.files.folder)):
            strays.append(name)
    if leftovers:
        found = f"holds {_tell(leftovers)}, which a run that was killed left"
        yield episode.warn("leftover", "", found, "remove it while no run is under way")
    if strays:
        yield episode.warn("stray", "", f"holds {_tell(strays)}, which tracks does not write", "move it elsewhere")
    for serial in sorted(set(episode.files.serials()) - set(episode.cameras)):
        where = str(folder_of_camera(serial))
        found = "is the folder of a camera that quality.json does not name"
        yield episode.warn("stray", where, found, "remove the folder")


def _expected(episode: Episode) -> Iterator[tuple[str, str]]:
    """Each step with the files that it writes, relative to the episode's folder."""
    yield "tracks", TRACKS
    yield "tracks", EXTRINSICS
    for serial, told in episode.cameras.items():
        folder = folder_of_camera(serial)
        intrinsics = told.get("intrinsics")
        if isinstance(intrinsics, dict) and intrinsics.get("provider"):
            yield "intrinsics", str(folder / INTRINSICS)
        yield "depth", str(folder / DEPTH_VIDEO)
        yield "depth", str(folder / DEPTH_META)


def _belongs(path: Path) -> bool:
    if path.suffix in _PREVIEW:
        return True
    if len(path.parts) == 1:
        return path.name in _OF_EPISODE
    return path.parent.parent == folder_of_camera("x").parent and path.name in _OF_CAMERA


def _tell(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
