"""What `tracks` made: the folders of episodes below a root, and what their quality.json says."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from mapanything_data.storage.droid.layout import EXTRINSICS, QUALITY, TRACKS, camera_folder
from mapanything_data.storage.tables import read_json

OUTCOMES = ("success", "failure")
FORMAT, FORMAT_VERSION = "droid", 1
"""Of the tree, as its manifest.json says."""
QUALITY_VERSION = 1
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_REMEDY = "make the episode again with again=true, or read it with the release that wrote it"


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The folder of one episode in the tree of what is made.

    Attributes:
        root: The tree.
        lab: Such as AUTOLab.
        outcome: success or failure.
        date: The date's folder.
        timestamp: The episode's folder, the last part of its uuid.
    """

    root: Path
    lab: str
    outcome: str
    date: str
    timestamp: str

    @property
    def name(self) -> str:
        """Such as AUTOLab/success/2023-08-12/2023-08-12-16h-26m-07s."""
        return f"{self.lab}/{self.outcome}/{self.date}/{self.timestamp}"

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.root / self.name

    @property
    def tracks(self) -> Path:
        """Its tracks.npz."""
        return self.folder / TRACKS

    @property
    def extrinsics(self) -> Path:
        """Its extrinsics.npz."""
        return self.folder / EXTRINSICS

    @property
    def quality(self) -> Path:
        """Its quality.json."""
        return self.folder / QUALITY

    def of_camera(self, serial: str, name: str) -> Path:
        """A file of one camera."""
        return self.folder / camera_folder(serial) / name

    def serials(self) -> list[str]:
        """The cameras that have a folder, in order."""
        return _folders(self.folder / "recordings")


def find_results(root: Path) -> list[ResultFiles]:
    """The folders of episodes below a root, in the order of their names.

    Raises:
        DataError: The root cannot be read, or holds no episode.
    """
    found = list(_results(root))
    if not found:
        raise DataError(
            root,
            "holds no episode" if root.is_dir() else "is no folder",
            expected="{lab}/{success or failure}/{date}/{timestamp}, as the app tracks makes it",
            remedy="give dataset.root the folder that tracks wrote",
        )
    return found


def read_quality(path: Path) -> dict[str, Any]:
    """Read `quality.json`.

    Returns:
        Its values, of which `steps` (a list), `episode` and `cameras` (objects of objects) and `num_frames` are sound.

    Raises:
        DataError: It cannot be read, or has another version or form.
    """
    values = read_json(path)
    if not isinstance(values, dict) or values.get("version") != QUALITY_VERSION:
        version = values.get("version") if isinstance(values, dict) else None
        raise DataError(path, f"has version {version!r}", expected=str(QUALITY_VERSION), remedy=_REMEDY)
    steps, episode, cameras = (values.get(name) for name in ("steps", "episode", "cameras"))
    wrong = {
        "steps": not (isinstance(steps, list) and all(isinstance(step, str) for step in steps)),
        "episode": not (isinstance(episode, dict) and isinstance(episode.get("uuid"), str)),
        "cameras": not (isinstance(cameras, dict) and all(isinstance(told, dict) for told in cameras.values())),
        "num_frames": not isinstance(values.get("num_frames"), int),
    }
    if any(wrong.values()):
        names = ", ".join(name for name, is_wrong in wrong.items() if is_wrong)
        raise DataError(path, f"has no {names} that make sense", remedy=_REMEDY)
    return values


def number_at(values: Any, *names: str) -> float | None:
    """A finite number in nested objects, such as those of quality.json; None where there is none."""
    for name in names:
        values = values.get(name) if isinstance(values, Mapping) else None
    if isinstance(values, bool) or not isinstance(values, (int, float)) or not math.isfinite(values):
        return None
    return float(values)


def _results(root: Path) -> Iterator[ResultFiles]:
    for lab in _folders(root):
        for outcome in _folders(root / lab):
            if outcome not in OUTCOMES:
                continue
            for date in _folders(root / lab / outcome):
                if _DATE.fullmatch(date):
                    for timestamp in _folders(root / lab / outcome / date):
                        yield ResultFiles(root, lab, outcome, date, timestamp)


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder; none where it is missing. Those with a dot are records and unfinished."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
        raise DataError(folder, found, remedy="correct the path or the folder's rights") from error
