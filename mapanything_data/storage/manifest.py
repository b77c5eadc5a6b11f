"""The manifest of a data set: which format, in which version, made from what by which settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from mapanything_data.storage.provenance import software_versions
from mapanything_data.storage.tables import read_json, write_json

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a data set says of itself; the same inputs and settings give the same manifest, byte for byte.

    Attributes:
        format: Name of the layout on disk, such as `segments`.
        format_version: A reader refuses a version that it does not know.
        settings: Everything in the configuration that decides what the files hold.
        fingerprint: Hash of `settings`, so that data made by other settings are never mixed in.
        provenance: What it was made from: recordings, software versions.
    """

    format: str
    format_version: int
    settings: Mapping[str, Any]
    fingerprint: str
    provenance: Mapping[str, Any]


def fingerprint(settings: Mapping[str, Any]) -> str:
    """128-bit hash of settings, independent of the order of keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def new_manifest(format_name: str, version: int, settings: Mapping[str, Any], **inputs: Any) -> Manifest:
    """The manifest of data that this software makes.

    Args:
        format_name: Name of the layout.
        version: Of the layout.
        settings: Everything in the configuration that decides what the files hold.
        inputs: What the data are made from, beside the versions of the software.
    """
    return Manifest(
        format=format_name,
        format_version=version,
        settings=settings,
        fingerprint=fingerprint(settings),
        provenance={**inputs, "software": software_versions()},
    )


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into `root`, unless it says the same already."""
    text = asdict(manifest)
    if not (root / MANIFEST).exists() or read_json(root / MANIFEST) != text:
        write_json(root / MANIFEST, text)


def read_manifest(root: Path, format_name: str, version: int) -> Manifest:
    """Read `manifest.json` of `root`.

    Raises:
        DataError: There is none, or it is of another format or version.
    """
    path = root / MANIFEST
    if not path.exists():
        raise DataError(
            root,
            "holds no data set (there is no manifest.json)",
            expected=f"a {format_name} data set",
            remedy="give dataset.root the folder that a capture or collection wrote",
        )
    try:
        manifest = Manifest(**read_json(path))
    except TypeError as error:
        raise DataError(
            path, f"is no manifest ({error})", remedy="restore the file, or make the data set again"
        ) from error
    if not isinstance(manifest.settings, dict) or not isinstance(manifest.provenance, dict):
        raise DataError(path, "has no settings or no provenance", remedy="restore the file, or make the data set again")
    if manifest.format != format_name:
        raise DataError(
            path,
            f"is of format {manifest.format}",
            expected=format_name,
            remedy=f"use dataset={manifest.format}",
        )
    if manifest.format_version != version:
        made_by = manifest.provenance.get("software", {}).get("mapanything-data", "unknown")
        raise DataError(
            path,
            f"{format_name} format version {manifest.format_version!r}, written by mapanything-data {made_by}",
            expected=f"version {version}",
            remedy=f"read it with mapanything-data {made_by}, or capture it again into another folder",
        )
    return manifest


def refuse_other_settings(
    root: Path, known: Manifest, settings: Mapping[str, Any], place: str = "dataset.root"
) -> None:
    """Make sure that what is about to be written into `root` fits what is there; `place` is the option that names it.

    Raises:
        DataError: The data set was made with other settings; names each that differs.
    """
    if known.fingerprint == fingerprint(settings):
        return
    keys = sorted({*known.settings, *settings})
    changes = [
        f"{key} was {known.settings.get(key)!r} and is now {settings.get(key)!r}"
        for key in keys
        if known.settings.get(key) != settings.get(key)
    ]
    raise DataError(
        root,
        f"was made with other settings: {'; '.join(changes)}",
        expected="the same settings, so that one data set is made in one way",
        remedy=f"use the old settings to go on with it, or another {place}",
    )


def begin_or_go_on(root: Path, manifest: Manifest, *, holds_data: bool, place: str = "dataset.root") -> Manifest:
    """Write the manifest of a data set that begins, or make sure that the one which is there may go on.

    Args:
        root: The folder.
        manifest: What the data set is to be.
        holds_data: Whether there is anything but a manifest yet; before that, settings may still change.
        place: The option that names the folder.

    Returns:
        The manifest that stands in the folder now. Its provenance is that of the run which began the data.

    Raises:
        DataError: The folder holds something else, another format or version, or data made with other settings.
    """
    if (root / MANIFEST).exists():
        known = read_manifest(root, manifest.format, manifest.format_version)
        if holds_data:
            refuse_other_settings(root, known, manifest.settings, place)
            return known
    elif root.is_dir() and any(entry.name[0] != "." for entry in root.iterdir()):
        raise DataError(
            root,
            "holds files and no manifest.json, so nothing that could go on",
            expected="an empty folder or none",
            remedy=f"give another {place}",
        )
    write_manifest(root, manifest)
    return manifest
