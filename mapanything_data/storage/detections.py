"""Detections on disk: as YOLO text, which trainers read, and as JSON, which says everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.scene import Detections
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.tables import read_json, read_text, write_json

_KEYS = {"box", "class", "score", "id"}


def detection_writers(
    stem: str, detections: Detections, width: int, height: int, attributes: Mapping[str, Floats] | None = None
) -> dict[str, Callable[[Path], object]]:
    """What writes the two files of a picture, by their names: {stem}.txt and {stem}.json."""
    return {
        f"{stem}.txt": partial(write_yolo, detections=detections, width=width, height=height),
        f"{stem}.json": partial(
            write_detections, detections=detections, width=width, height=height, attributes=attributes
        ),
    }


def write_yolo(path: Path, detections: Detections, width: int, height: int) -> None:
    """Write a line `class x y w h` for each object; centre and size as shares of the picture's size.

    YOLO counts from the picture's corner, so half a pixel is added to our integer pixel centres.
    """
    left, top, right, bottom = detections.boxes.astype(np.float64).T
    columns = ((left + right) / 2 + 0.5, (top + bottom) / 2 + 0.5, right - left, bottom - top)
    shares = np.stack(columns, axis=-1) / [width, height, width, height]
    lines = [
        f"{class_id} {' '.join(f'{value:.6f}' for value in row)}\n"
        for class_id, row in zip(detections.class_ids, shares, strict=True)
    ]
    write_atomic(path, "".join(lines))


def read_yolo(path: Path, class_names: tuple[str, ...], width: int, height: int) -> Detections:
    """Read YOLO text; every score is 1.

    Raises:
        DataError: The file cannot be read, or a line is no box of a known class.
    """
    lines = read_text(path).splitlines()
    rows = [_yolo_row(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    table = np.array(rows, np.float64).reshape(-1, 5)
    size = np.array([width, height])
    centre, half = table[:, 1:3] * size - 0.5, table[:, 3:] * size / 2
    try:
        return Detections(
            boxes=np.concatenate([centre - half, centre + half], axis=1).astype(np.float32),
            scores=np.ones(len(table), np.float32),
            class_ids=table[:, 0].astype(np.int64),
            class_names=class_names,
        )
    except ValueError as error:
        raise DataError(path, f"holds no boxes of these classes ({error})", remedy=_AGAIN) from error


def write_detections(
    path: Path, detections: Detections, width: int, height: int, attributes: Mapping[str, Floats] | None = None
) -> None:
    """Write JSON with a mapping for each object.

    Args:
        path: The file.
        detections: The objects.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        attributes: More about each object, [N] float64 each; NaN becomes null.
    """
    more = {name: [_number(value) for value in values.tolist()] for name, values in (attributes or {}).items()}
    objects = [
        {
            "box": [round(value, 3) for value in detections.boxes[i].tolist()],
            "class": detections.class_names[detections.class_ids[i]],
            "score": round(float(detections.scores[i]), 6),
            "id": None if detections.track_ids is None else int(detections.track_ids[i]),
            **{name: values[i] for name, values in more.items()},
        }
        for i in range(len(detections))
    ]
    content = {"width": width, "height": height, "class_names": list(detections.class_names), "objects": objects}
    write_json(path, content)


@dataclass(frozen=True, slots=True, eq=False)
class StoredDetections:
    """What a JSON file of detections holds."""

    detections: Detections
    """Without track ids where an object has none."""
    width: int
    """Of the picture, pixels."""
    height: int
    """Of the picture, pixels."""
    attributes: dict[str, Floats]
    """More about each object, [N] float64 each; NaN stands for null."""


def read_detections(path: Path) -> StoredDetections:
    """Read the JSON file.

    Raises:
        DataError: The file is missing, or holds something else.
    """
    content = read_json(path)
    try:
        objects: list[dict[str, Any]] = content["objects"]
        names = tuple(content["class_names"])
        ids = [entry["id"] for entry in objects]
        detections = Detections(
            boxes=np.array([entry["box"] for entry in objects], np.float32).reshape(-1, 4),
            scores=np.array([entry["score"] for entry in objects], np.float32),
            class_ids=np.array([names.index(entry["class"]) for entry in objects], np.int64),
            class_names=names,
            track_ids=None if None in ids else np.array(ids, np.int64),
        )
        attributes = {
            name: np.array([entry[name] for entry in objects], np.float64)
            for name in (objects[0].keys() - _KEYS if objects else ())
        }
        return StoredDetections(detections, int(content["width"]), int(content["height"]), attributes)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"holds no detections ({error!r})", remedy=_AGAIN) from error


_AGAIN = "restore the file, or run the stage that writes it again"


def _yolo_row(path: Path, number: int, line: str) -> list[float]:
    try:
        row = [float(word) for word in line.split()]
    except ValueError:
        row = []
    if len(row) != 5 or not all(map(math.isfinite, row)) or row[0] != int(row[0]):
        raise DataError(f"{path}:{number}", f"is {line!r}", expected="class x y w h", remedy=_AGAIN)
    return row


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
