"""Intrinsics of a stereo camera with where they come from, as `intrinsics.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mapanything_data.errors import DataError
from mapanything_data.scene import Camera, Distortion
from mapanything_data.storage.tables import read_json, write_json

Model = Literal["raw", "rectified"]
MOST_PIXELS = 100_000
"""Of a side of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraIntrinsics:
    """What is known of a camera's lenses.

    Attributes:
        serial: The camera's serial number.
        provider: What told them: h5, json, conf, svo2, sdk.
        origin: The file or the like that it was read from, without folders of a machine.
        model: `raw` pictures show the lens's distortion; in `rectified` ones it is taken out.
        left: The left eye's picture, which poses of cameras belong to.
        right: The right eye's.
        baseline: Metres between the eyes.
        is_approximate: True where they were computed in another way than the pictures were.
    """

    serial: str
    provider: str
    origin: str
    model: Model
    left: Camera
    right: Camera | None = None
    baseline: float | None = None
    is_approximate: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The values of intrinsics.json: those of the left eye at the top, under the names that users of DROID know."""
        return {
            "serial": self.serial,
            **_eye(self.left),
            "right": _eye(self.right) if self.right else None,
            "baseline_m": self.baseline,
            "provider": self.provider,
            "origin": self.origin,
            "model": self.model,
            "approximate": self.is_approximate,
        }


def write_intrinsics(path: Path, intrinsics: CameraIntrinsics) -> None:
    """Write `intrinsics.json`."""
    write_json(path, intrinsics.to_dict())


def read_intrinsics(path: Path) -> CameraIntrinsics:
    """Read `intrinsics.json`.

    Raises:
        DataError: It cannot be read, lacks a key, or a value makes no sense.
    """
    values = read_json(path)
    try:
        baseline = None if values["baseline_m"] is None else float(values["baseline_m"])
        if baseline is not None and not (math.isfinite(baseline) and baseline > 0):
            raise ValueError(f"baseline_m is {baseline}")
        if values["model"] not in ("raw", "rectified"):
            raise ValueError(f"model is {values['model']!r}")
        return CameraIntrinsics(
            serial=str(values["serial"]),
            provider=str(values["provider"]),
            origin=str(values["origin"]),
            model=values["model"],
            left=camera_of_eye(values),
            right=camera_of_eye(values["right"]) if values["right"] else None,
            baseline=baseline,
            is_approximate=bool(values["approximate"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            path, f"holds no intrinsics ({error!r})", remedy="make it again with steps=[intrinsics,tracks] again=true"
        ) from error


def camera_of_eye(values: Mapping[str, Any]) -> Camera:
    """The camera of fx, fy, cx, cy, width, height (pixels) and k1, k2, p1, p2, k3, which may be left out.

    Raises:
        KeyError: A key is missing.
        ValueError: A value makes no sense.
    """
    distortion = Distortion(*(float(values.get(name, 0.0)) for name in Distortion._fields))
    fx, fy, cx, cy = (float(values[name]) for name in ("fx", "fy", "cx", "cy"))
    return Camera(_pixels(values, "width"), _pixels(values, "height"), fx, fy, cx, cy, distortion)


def _pixels(values: Mapping[str, Any], name: str) -> int:
    number = float(values[name])
    if not (number.is_integer() and number <= MOST_PIXELS):
        raise ValueError(f"{name} is {values[name]}, expected whole pixels, at most {MOST_PIXELS}")
    return int(number)


def _eye(camera: Camera) -> dict[str, float]:
    return {
        "fx": camera.fx,
        "fy": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "width": camera.width,
        "height": camera.height,
        **camera.distortion._asdict(),
    }


@dataclass(frozen=True, slots=True)
class MissingIntrinsics:
    """A camera whose intrinsics nothing told.

    Attributes:
        serial: The camera.
        tried: Provider to why it could not tell, in the order in which they were asked.
    """

    serial: str
    tried: Sequence[tuple[str, str]]
