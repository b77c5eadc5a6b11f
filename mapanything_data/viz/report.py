"""The report about a data set: one HTML page that needs nothing else, and the same facts as JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data import __version__

THUMBNAIL_WIDTH = 320
FULL_WIDTH = 1180
"""Pixels of a picture that takes a row of its own."""
_JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Picture:
    """An example picture: `image` [H,W,3] uint8 RGB, or None where it cannot be read; at most `width` pixels wide."""

    caption: str
    image: NDArray[np.uint8] | None
    width: int = THUMBNAIL_WIDTH


@dataclass(frozen=True, slots=True)
class ItemReport:
    """A part of the data set, such as a segment: facts by name, and a few example pictures."""

    name: str
    facts: Mapping[str, Any]
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to tell about a data set.

    `viz/{dataset name}.py` makes it in a function `summarise(dataset) -> Report` of the selected component.

    Attributes:
        dataset: Name of the dataset component.
        root: Where it is.
        facts: Totals by name; numbers with their unit in the name.
        items: Its parts.
        note: How to read the list of its parts.
        tables: Lists that are too long for the page, by name: rows with the same columns, written as {name}.csv.
    """

    dataset: str
    root: Path
    facts: Mapping[str, Any]
    items: Sequence[ItemReport]
    note: str = ""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Facts without pictures, for JSON."""
        return {
            "dataset": self.dataset,
            "root": str(self.root),
            "facts": dict(self.facts),
            "items": [{"name": item.name, **item.facts} for item in self.items],
        }


def render_html(report: Report, check: Mapping[str, Any] | None) -> str:
    """The page as HTML text, pictures included.

    Args:
        report: What to show.
        check: Content of check.json, or None when the data set was never checked.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("mapanything_data.viz"), autoescape=True, trim_blocks=True)
    environment.filters["plain"] = plain_number
    environment.filters["data_url"] = _data_url
    columns = list(dict.fromkeys(name for item in report.items for name in item.facts))
    return environment.get_template("report.html.j2").render(
        report=report, check=check, columns=columns, version=__version__
    )


def plain_number(value: Any) -> str:
    """A fact as people read it: thousands apart, three decimals at most."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _data_url(image: NDArray[np.uint8], largest_width: int) -> str:
    import cv2

    height, width = image.shape[:2]
    small = (largest_width, max(1, round(height * largest_width / width)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA) if width > largest_width else image
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(shrunk, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
