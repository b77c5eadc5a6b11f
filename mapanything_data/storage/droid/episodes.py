"""Which episodes a folder of recordings holds, and what the metadata of one says.

An episode is a folder with one `metadata_{uuid}.json`. The uuid in that name is what the episode is called; together
with the path it tells all that is needed, so that no metadata file is opened to list 95,658 of them.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from mapanything_data.errors import DataError
from mapanything_data.storage.droid.layout import EpisodeFiles
from mapanything_data.storage.tables import read_text

_METADATA = re.compile(r"metadata_(.+)\.json")
_UUID = re.compile(
    r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\+[A-Za-z0-9_.-]+\+[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}h-[0-9]{2}m-[0-9]{2}s"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OUTCOMES = ("success", "failure")
_THREADS = 8
"""Folders that are listed at once: on a network drive listing one is waiting for the server."""
_BATCH = 32
"""Folders that a thread lists in a row: to hand over each takes as long as to list it on a local disk."""
_PERSONAL = {"user", "username", "name", "operator", "collector", "person", "author", "email", "mail"}
_DEEPEST = 50
_NAMES_THE_EPISODE = {"uuid", "user_id", "lab", "date", "timestamp"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder of recordings holds.

    Attributes:
        episodes: Ordered by uuid; no two have the same uuid or the same folder of results.
        broken: What cannot be taken for an episode, or not be read, ordered by path; `where` is the path.
    """

    episodes: Sequence[EpisodeFiles]
    broken: Sequence[DataError]


def find_episodes(recordings: Path, report: Callable[[str], None] | None = None) -> Found:
    """Find all episodes below a folder: of all labs, of one lab, of one day, or the folder of one episode itself.

    Links are followed. A metadata file is opened only where the path does not tell the outcome and the date.

    Args:
        recordings: Folder of recordings as DROID has them, {lab}/{success or failure}/{date}/{folder}.
        report: Told after each level of folders, in a sentence, how far the search is.

    Raises:
        DataError: The folder cannot be read, or holds no metadata file at all.
    """
    recordings = recordings.absolute()
    level, entered = [str(recordings)], {os.path.realpath(recordings)}
    episodes: list[EpisodeFiles] = []
    broken: list[DataError] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        while level:
            batches = [level[start : start + _BATCH] for start in range(0, len(level), _BATCH)]
            listings = [listing for batch in pool.map(_list_folders, batches) for listing in batch]
            if level[0] == str(recordings) and listings[0].error:
                raise listings[0].error
            level = []
            for listing in listings:
                if listing.error:
                    broken.append(listing.error)
                elif listing.metadata:
                    _take(listing, episodes, broken)
                else:
                    level += listing.folders + [link for link in listing.links if _leads_on(link, entered, broken)]
            if report:
                report(f"{len(episodes)} episodes found, {len(level)} folders to look into")
    if not episodes and not broken:
        raise DataError(
            recordings,
            "holds no episode: there is no metadata_{uuid}.json below it",
            expected="{lab}/{success or failure}/{date}/{folder}/metadata_{uuid}.json",
            remedy="give dataset.recordings the folder that DROID was downloaded to",
        )
    kept = _without_copies(episodes, broken)
    return Found(kept, sorted(broken, key=lambda error: error.where))


def read_metadata(episode: EpisodeFiles) -> dict[str, Any]:
    """What the metadata file says, without the name of the person who recorded the episode.

    Left out are keys that are meant for a person's name, and whatever else has the value of `user` in it. The
    collector's code (`user_id`, the middle of the uuid) stays.

    Raises:
        DataError: The file cannot be read, is no JSON object, has a number that is not finite, or has another uuid
            than its name: then it is not known whose trajectory lies beside it.
    """
    values = _read_object(episode.metadata)
    uuid = values.get("uuid", episode.uuid)
    if uuid != episode.uuid:
        raise DataError(
            episode.metadata,
            f"says that its uuid is {uuid!r}",
            expected=f"{episode.uuid!r}, as in the file's name",
            remedy="restore the file from the original recordings",
        )
    names = [name for name in _texts(values.get("user")) if name.strip()]
    return {
        key: value
        for key, value in values.items()
        if key in _NAMES_THE_EPISODE or not (_is_personal(key) or any(_mentions([key, value], name) for name in names))
    }


def pattern_of_name(name: str) -> str:
    """A regular expression that finds a person's name as words of their own, as a path or an address has it, too.

    So "Jane Doe" is found in Jane_Doe, jane.doe and JaneDoe, but not in Janedoera.
    """
    words = [re.escape(word) for word in re.split(r"[\W_]+", name) if word]
    between = r"[\W_]*"
    return rf"(?<![^\W_]){between.join(words)}(?![^\W_])" if words else "(?!)"  # which finds nothing


class _Listing(NamedTuple):
    folder: str
    metadata: list[str]
    folders: list[str]
    links: list[str]
    error: DataError | None


def _list_folders(folders: list[str]) -> list[_Listing]:
    return [_list_folder(folder) for folder in folders]


def _list_folder(folder: str) -> _Listing:
    metadata, folders, links = [], [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("metadata_") and entry.name.endswith(".json"):
                    metadata.append(entry.name)
                elif entry.is_symlink():
                    if entry.is_dir():
                        links.append(entry.path)
                # Folders of pictures need no listing, of which a day without metadata has thousands.
                elif entry.is_dir() and entry.name != "recordings":
                    folders.append(entry.path)
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
        return _Listing(folder, [], [], [], DataError(folder, found, remedy="correct the path or the folder's rights"))
    return _Listing(folder, sorted(metadata), sorted(folders), sorted(links), None)


def _leads_on(link: str, entered: set[str], broken: list[DataError]) -> bool:
    """Whether a link leads to a folder that the search has not come through."""
    target = os.path.realpath(link)
    above = os.path.realpath(os.path.dirname(link))  # noqa: PTH120
    if target == above or above.startswith(target + os.sep):
        found = f"is a link that leads back to {target}, a folder above it"
        broken.append(DataError(link, found, remedy="remove the link"))
        return False
    is_new = target not in entered
    entered.add(target)
    return is_new


def _take(listing: _Listing, episodes: list[EpisodeFiles], broken: list[DataError]) -> None:
    """Add the episode of a folder with metadata, or why it is none."""
    if len(listing.metadata) > 1:
        found = f"holds {len(listing.metadata)} metadata files ({', '.join(listing.metadata)}) for one trajectory"
        broken.append(DataError(listing.folder, found, remedy="leave the one that belongs to the trajectory"))
        return
    try:
        episodes.append(_episode(Path(listing.folder), listing.metadata[0]))
    except DataError as error:
        broken.append(error)


def _episode(folder: Path, name: str) -> EpisodeFiles:
    metadata = folder / name
    match = _METADATA.fullmatch(name)
    uuid = match[1] if match else ""
    if not _UUID.fullmatch(uuid):
        raise DataError(
            metadata,
            "has no uuid in its name",
            expected="metadata_LAB+collector+YYYY-MM-DD-HHh-MMm-SSs.json",
            remedy="restore the file's name from the original recordings",
        )
    outcome, date = folder.parent.parent.name, folder.parent.name
    if outcome not in _OUTCOMES or not _DATE.fullmatch(date):
        outcome, date = _outcome_and_date(metadata, uuid)
    return EpisodeFiles(uuid, uuid.partition("+")[0], outcome, date, folder, metadata)


def _outcome_and_date(metadata: Path, uuid: str) -> tuple[str, str]:
    """Of a folder that lies elsewhere: from where its metadata says that the trajectory was recorded."""
    values = _read_object(metadata)
    parts = Path(str(values.get("hdf5_path", ""))).parts
    for outcome, date in pairwise(parts):
        if outcome in _OUTCOMES and _DATE.fullmatch(date):
            return outcome, date
    success = values.get("success")
    if isinstance(success, bool):
        return _OUTCOMES[0 if success else 1], uuid.rpartition("+")[2][:10]
    raise DataError(
        metadata,
        "neither its path nor its keys hdf5_path and success tell whether the episode succeeded",
        expected="{lab}/{success or failure}/{date}/{folder}",
        remedy="keep the folders as DROID has them",
    )


def _without_copies(episodes: Iterable[EpisodeFiles], broken: list[DataError]) -> list[EpisodeFiles]:
    """One episode for each uuid and each folder of results, the first by path; the others are told as broken."""
    kept: dict[str, EpisodeFiles] = {}
    outputs: dict[Path, EpisodeFiles] = {}
    for episode in sorted(episodes, key=lambda episode: (episode.uuid, str(episode.folder))):
        other = kept.get(episode.uuid) or outputs.get(episode.output)
        if other is None:
            kept[episode.uuid] = outputs[episode.output] = episode
        elif os.path.realpath(other.metadata) != os.path.realpath(episode.metadata):
            same = "is a copy of" if other.uuid == episode.uuid else "has the same lab, date and second as"
            found = f"{same} the episode in {other.folder}, which is taken"
            broken.append(DataError(episode.metadata, found, remedy="remove one of the two"))
    return list(kept.values())


def _read_object(path: Path) -> dict[str, Any]:
    remedy = "restore the file from the original recordings"
    try:
        values = json.loads(read_text(path), parse_constant=_refuse_constant, parse_float=_finite_float)
        _refuse_what_cannot_be_written(values)
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"is no JSON ({error})", remedy=remedy) from error
    if not isinstance(values, dict):
        raise DataError(path, "is no JSON object", expected='such as {"uuid": ...}', remedy=remedy)
    return values


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")


def _finite_float(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is too large")
    return number


def _refuse_what_cannot_be_written(values: object) -> None:
    """What JSON can escape or nest, but no UTF-8 file of ours can hold."""
    level = [values]
    for _ in range(_DEEPEST):
        level = [part for value in level for part in _parts(value)]
        if not level:
            json.dumps(values, ensure_ascii=False).encode()
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def _parts(value: object) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [text for part in _parts(value) for text in _texts(part)]


def _is_personal(key: str) -> bool:
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
    return not _PERSONAL.isdisjoint(words) and words[-1] != "id"


def _mentions(value: object, name: str) -> bool:
    """Whether a name stands somewhere in a value."""
    if isinstance(value, str):
        return re.search(pattern_of_name(name), value, re.IGNORECASE) is not None
    if isinstance(value, Mapping):
        return any(_mentions(part, name) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(partial(_mentions, name=name), value))
