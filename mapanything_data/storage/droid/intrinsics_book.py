"""A JSON file with the intrinsics of many cameras, by episode, by camera, or by episode and camera.

    {"AUTOLab+5d05c5aa+2023-08-12-16h-26m-07s": {"18026681": ENTRY}, "24400334": ENTRY}

A serial number at the top is for every episode. An entry right under an episode must name its camera in `serial`.
ENTRY is what intrinsics.json holds (fx, fy, cx, cy and, if known, width, height, k1, k2, p1, p2, k3, model, right,
baseline_m), or what DROID's later calibrations hold: `cameraMatrix` as [fx, cx, fy, cy] with width and height.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from mapanything_data.scene import Camera
from mapanything_data.storage.droid.book import read_book
from mapanything_data.storage.droid.intrinsics import MOST_PIXELS, Model, camera_of_eye

_WIDEST = 10.0
"""Metres between the eyes of a camera; larger numbers are millimetres."""
_REMEDY = "correct the entry, docs/intrinsics.md shows one"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookEntry:
    """What the file says of a camera.

    Attributes:
        key: Where it stands, such as `{uuid}/{serial}`.
        values: The left eye: fx, fy, cx, cy and the like, pixels.
        right: The right eye, with whatever it does not say taken from the left one's size.
        baseline: Metres.
        model: Of which pictures.
        size: Width and height in pixels, where the entry says them.
    """

    key: str
    values: Mapping[str, Any]
    right: Mapping[str, Any] | None
    baseline: float | None
    model: Model
    size: tuple[int, int] | None


def find_entry(path: Path, uuid: str, serial: str) -> BookEntry | None:
    """What the file says of a camera: of this episode where it names it, else of all episodes.

    Raises:
        DataError: The file cannot be read, or an entry that comes into question is none or is ambiguous.
    """
    book = read_book(path)
    if uuid in book:
        episode = book[uuid]
        if not isinstance(episode, Mapping):
            raise _wrong(path, uuid, "is no JSON object")
        nested = {key: value for key, value in episode.items() if key.isdigit()}
        if nested and _is_entry(episode):
            raise _wrong(path, uuid, "is an entry and holds entries by serial number at once")
        if serial in nested:
            return _entry(path, f"{uuid}/{serial}", nested[serial], serial)
        if _is_entry(episode):
            if "serial" not in episode:
                raise _wrong(path, uuid, "is an entry that does not say which camera it is of: it has no serial")
            if str(episode["serial"]) == serial:
                return _entry(path, uuid, episode, serial)
        elif not nested and episode:
            raise _wrong(path, uuid, f"has the keys {', '.join(map(str, episode))}, which are no serial numbers")
    return _entry(path, serial, book[serial], serial) if serial in book else None


def _is_entry(values: Mapping[str, Any]) -> bool:
    return "fx" in values or "cameraMatrix" in values


def _entry(path: Path, key: str, values: Any, serial: str) -> BookEntry:
    if not (isinstance(values, Mapping) and _is_entry(values)):
        raise _wrong(path, key, "is no entry: it has neither fx nor cameraMatrix")
    if str(values.get("serial", serial)) != serial:
        raise _wrong(path, key, f"says that it is of camera {values['serial']}")
    left = _eye(path, key, values)
    right = values.get("right")
    if right is not None and not isinstance(right, Mapping):
        raise _wrong(path, f"{key}/right", "is no JSON object")
    size = _size(path, key, left)
    model = _model(path, key, left)
    try:
        baseline = None if values.get("baseline_m") is None else float(values["baseline_m"])
        if baseline is not None and not 0 < baseline < _WIDEST:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise _wrong(path, f"{key}/baseline_m", f"is {values['baseline_m']!r}, expected metres") from None
    eye = None if right is None else _eye(path, f"{key}/right", right)
    return BookEntry(key=key, values=left, right=eye, baseline=baseline, model=model, size=size)


def entry_cameras(path: Path, entry: BookEntry, size: tuple[int, int]) -> tuple[Camera, Camera | None]:
    """Left and right camera of an entry for pictures of `size` (width, height, pixels).

    Raises:
        DataError: A value is missing or makes no sense.
    """
    sized = {"width": size[0], "height": size[1]}
    try:
        left = camera_of_eye({**entry.values, **sized})
        return left, None if entry.right is None else camera_of_eye({**sized, **entry.right})
    except KeyError as error:
        raise _wrong(path, entry.key, f"has no {error.args[0]}") from None
    except (TypeError, ValueError) as error:
        raise _wrong(path, entry.key, f"is no camera ({error})") from error


def _eye(path: Path, key: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    if "cameraMatrix" not in values:
        return values
    if "fx" in values:
        raise _wrong(path, key, "has both fx and cameraMatrix")
    matrix = values["cameraMatrix"]
    # DROID's calibrations list [fx, cx, fy, cy]. A 3x3 matrix or another order would be another meaning.
    if not isinstance(matrix, list) or len(matrix) != 4 or not all(isinstance(v, (int, float)) for v in matrix):
        raise _wrong(path, f"{key}/cameraMatrix", f"is {matrix!r}, expected [fx, cx, fy, cy]")
    distortion = values.get("distCoeffs") or []
    if not isinstance(distortion, list) or any(distortion[5:]):
        raise _wrong(path, f"{key}/distCoeffs", f"is {distortion!r}, expected k1, k2, p1, p2, k3")
    names = ("k1", "k2", "p1", "p2", "k3")
    eye = dict(zip(("fx", "cx", "fy", "cy"), matrix, strict=True)) | dict(zip(names, distortion, strict=False))
    return eye | {name: values[name] for name in ("width", "height", "model") if name in values}


def _size(path: Path, key: str, values: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = values.get("width"), values.get("height")
    if width is None and height is None:
        return None
    if not (
        isinstance(width, int)
        and isinstance(height, int)
        and 0 < min(width, height) <= max(width, height) <= MOST_PIXELS
    ):
        raise _wrong(path, key, f"is for pictures of {width!r} x {height!r}, expected whole pixels")
    return width, height


def _model(path: Path, key: str, values: Mapping[str, Any]) -> Model:
    try:
        is_distorted = any(float(values.get(name, 0.0)) for name in ("k1", "k2", "p1", "p2", "k3"))
    except (TypeError, ValueError) as error:
        raise _wrong(path, key, f"has a distortion that is no number ({error})") from error
    model = values.get("model", "raw" if is_distorted else "rectified")
    if model not in ("raw", "rectified"):
        raise _wrong(path, f"{key}/model", f"is {model!r}, expected raw or rectified")
    if model == "rectified" and is_distorted:
        raise _wrong(path, key, "is rectified and has distortion, which exclude each other")
    return "raw" if model == "raw" else "rectified"


def _wrong(path: Path, key: str, found: str) -> DataError:
    return DataError(f"{path}:{key}", found, remedy=_REMEDY)
