"""What quality.json says of an episode: read, judged, written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.labelers.episode_quality import alignment_quality, calibration_quality, episode_score
from mapanything_data.storage.droid import CameraIntrinsics, Trajectory
from mapanything_data.storage.droid.clock import Align, CaptureClock
from mapanything_data.storage.droid.layout import QUALITY
from mapanything_data.storage.droid.results import read_quality
from mapanything_data.storage.tables import write_json

Record = dict[str, Any]
"""The content of quality.json; docs/droid.md lists its keys."""

_OF_CAMERA = ("kind", "problem", "pose_source", "intrinsics", "calibration", "tracks_2d", "depth", "images")


def read_record(folder: Path) -> Record:
    """What the quality.json of an episode's folder says; empty where there is none that makes sense."""
    try:
        record = read_quality(folder / QUALITY)
    except DataError:
        return {}
    motion, cameras = record.get("motion"), record["cameras"].values()
    shares = [(motion, "score"), *((told.get("tracks_2d"), "in_image_share") for told in cameras)]
    return record if all(told is None or _is_share(told, name) for told, name in shares) else {}


def write_record(folder: Path, record: Record) -> None:
    """Write quality.json, its keys in one order whatever the order of the steps that found them."""
    cameras = {
        serial: {name: told[name] for name in _OF_CAMERA if name in told} for serial, told in record["cameras"].items()
    }
    write_json(folder / QUALITY, {**record, "cameras": cameras})


def judge(
    record: Record,
    trajectory: Trajectory,
    clock: CaptureClock,
    intrinsics: Mapping[str, CameraIntrinsics],
    align: Align,
) -> None:
    """Add to the record what is known of calibration and clocks, and the scores of everything."""
    cameras = record["cameras"]
    for serial, camera in trajectory.cameras.items():
        cameras[serial]["calibration"] = calibration_quality(camera, intrinsics.get(serial))
    record["cameras_with_2d_tracks"] = [serial for serial, told in cameras.items() if told.get("tracks_2d")]
    record["cameras_without_intrinsics"] = [serial for serial in cameras if serial not in intrinsics]
    record["alignment"] = alignment_quality(trajectory, clock, align)
    calibrations = [
        told["calibration"]["score"] for told in cameras.values() if told["calibration"] and _is_sound(told)
    ]
    coverages = [told["tracks_2d"]["in_image_share"] for told in cameras.values() if told.get("tracks_2d")]
    scores = {
        "calibration": min(calibrations, default=None),
        "coverage": float(np.mean(coverages)) if coverages else None,
        "alignment": record["alignment"]["score"],
        "motion": record["motion"]["score"] if record["motion"] else None,
    }
    record["scores"] = scores
    record["score"] = episode_score(scores)


def _is_sound(told: Mapping[str, Any]) -> bool:
    """A camera with a problem is not used, so it costs the episode nothing but itself."""
    return not told["problem"]


def _is_share(told: Any, name: str) -> bool:
    return isinstance(told, dict) and isinstance(told.get(name), (int, float)) and 0 <= told[name] <= 1
