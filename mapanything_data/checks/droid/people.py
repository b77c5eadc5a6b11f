"""No file of what is made may tell who recorded an episode: the metadata's `user`, a real person's name."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.errors import DataError
from mapanything_data.storage.droid import EpisodeFiles
from mapanything_data.storage.droid.episodes import pattern_of_name
from mapanything_data.storage.tables import read_json, read_text

_TEXT = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".log", ".html")
_KEYS = {"user", "username", "user_name"}
_HEAD = 1 << 16
_LARGEST_TEXT = 1 << 26
_REMEDY = "remove the file, and never pass it on; then report how the name came in"


def names_in(recording: EpisodeFiles) -> list[str]:
    """The names that a recording's metadata has for its user, without those that the uuid tells anyway."""
    try:
        values = read_json(recording.metadata)
    except DataError:
        return []
    users = values.get("user") if isinstance(values, dict) else None
    names = {name.strip() for name in (users if isinstance(users, list) else [users]) if isinstance(name, str)}
    public = re.split(r"\W+", f"{recording.uuid} {recording.lab} {recording.outcome}")
    return sorted(name for name in names if len(name) > 1 and name not in public)


def check_people(episode: Episode) -> Iterator[Finding]:
    """Files of an episode that hold the name of whoever recorded it, or a key that is made for one."""
    names = names_in(episode.recording) if episode.recording else []
    metadata = episode.quality["episode"].get("metadata")
    if keys := sorted(_KEYS & set(metadata if isinstance(metadata, dict) else ())):
        yield episode.fail("private", "quality.json", f"has the key {keys[0]}, which names a person", _REMEDY)
    for path in sorted(episode.files.folder.rglob("*")) if names else ():
        if path.is_file() and holds_name(path, names):
            where = str(path.relative_to(episode.files.folder))
            yield episode.fail("private", where, "holds the name of the person who recorded the episode", _REMEDY)


def check_people_beside(root: Path, recordings: Mapping[str, EpisodeFiles]) -> Iterator[Finding]:
    """Tables in the root that name anybody who recorded an episode."""
    collectors = {uuid.rpartition("+")[0]: recording for uuid, recording in recordings.items()}
    names = sorted({name for recording in collectors.values() for name in names_in(recording)})
    for path in sorted(root.glob("*")) if names else ():
        if path.is_file() and holds_name(path, names):
            yield Finding(Severity.fail, "private", path.name, "holds the name of a person who recorded", _REMEDY)


def holds_name(path: Path, names: Sequence[str]) -> bool:
    """Whether a name stands in a file as words of their own: in its values, texts, or the head of a video."""
    told = re.compile("|".join(map(pattern_of_name, names)), re.IGNORECASE)
    return any(told.search(text) for text in _texts(path))


def _texts(path: Path) -> Iterator[str]:
    yield path.name
    try:
        if path.suffix == ".json":
            yield from _values(read_json(path))
        elif path.suffix in _TEXT and path.stat().st_size <= _LARGEST_TEXT:
            yield read_text(path)
        elif path.suffix == ".npz":
            yield from _texts_of_arrays(path)
        else:
            with path.open("rb") as file:  # tags stand before the pictures
                yield file.read(_HEAD).decode("utf-8", errors="ignore")
    except (DataError, OSError):
        return  # what cannot be read is told by another check


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _values(part)
    elif isinstance(value, list):
        for part in value:
            yield from _values(part)


def _texts_of_arrays(path: Path) -> Iterator[str]:
    """Texts among the arrays of a .npz; of the others only the headers are read."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    np.lib.format.read_magic(member)
                    is_text = np.lib.format.read_array_header_1_0(member)[2].kind == "U"
                if is_text:
                    with archive.open(name) as member:
                        yield from map(str, np.lib.format.read_array(member, allow_pickle=False).ravel().tolist())
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError):
        return  # as above
