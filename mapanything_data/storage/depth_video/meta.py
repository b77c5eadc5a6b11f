"""`depth_meta.json`: what the values of a depth video mean, when its frames were taken, and what was counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from mapanything_data.scene import Camera
from mapanything_data.storage.depth_video.quantise import INVALID, MILLIMETRE, DepthCounts
from mapanything_data.storage.tables import read_json, write_json

CODEC, PIXEL_FORMAT = "ffv1", "gray16le"
TICKS = 1000
"""Ticks a second of Matroska's clock."""
REMEDY = "copy it again, or make the depth again"


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthMeta:
    """What is known of a depth video.

    Attributes:
        width: Pixels.
        height: Pixels.
        fps: Frames per second at which the video plays.
        scale: Metres that one unit of a stored value stands for.
        timestamps: Seconds, one for each frame: when it was taken.
        counts: What became of the pixels.
        method: How depth was computed.
        camera: Intrinsics that fit the depth maps, where they are known.
        provenance: What made it.
        bytes: Size of the video.
        sha256: Checksum of the video.
    """

    width: int
    height: int
    fps: float
    scale: float
    timestamps: Sequence[float]
    counts: DepthCounts
    method: str = ""
    camera: Camera | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    bytes: int
    sha256: str

    @property
    def frame_count(self) -> int:
        """Frames of the video."""
        return len(self.timestamps)

    def to_dict(self) -> dict[str, Any]:
        """The values of `depth_meta.json`."""
        in_millimetres = self.scale == MILLIMETRE
        return {
            "codec": CODEC,
            "codec_version": 3,
            "pixel_format": PIXEL_FORMAT,
            "unit": "millimetre" if in_millimetres else f"{self.scale!r} metres",
            "scale": self.scale,
            "formula": "metres = value / 1000" if in_millimetres else "metres = value * scale",
            "invalid_value": INVALID,
            "depth": "z, along the camera's forward axis",
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            "frame_count": self.frame_count,
            "timestamps": list(self.timestamps),
            "counts": {**asdict(self.counts), "invalid_share": self.counts.invalid_share},
            "method": self.method,
            "camera": self.camera.to_dict() if self.camera else None,
            "provenance": dict(self.provenance),
            "bytes": self.bytes,
            "sha256": self.sha256,
        }


def meta_path(video: Path) -> Path:
    """Where a depth video's meta lies: `depth_meta.json` for `depth.mkv`."""
    return video.with_name(f"{video.stem}_meta.json")


def ticks_of_frame(number: int, fps: float) -> int:
    """Presentation time of a frame in ticks. Frames are a millisecond or more apart, so no two share one."""
    return round(number * TICKS / fps)


def write_depth_meta(path: Path, meta: DepthMeta) -> None:
    """Write `depth_meta.json`."""
    write_json(path, meta.to_dict())


def read_depth_meta(path: Path) -> DepthMeta:
    """Read `depth_meta.json`.

    Raises:
        DataError: It cannot be read, lacks a key, or describes what this reader does not know.
    """
    values = read_json(path)
    try:
        known = {"codec": CODEC, "pixel_format": PIXEL_FORMAT, "invalid_value": INVALID}
        strange = [f"{key} {values[key]!r}" for key, value in known.items() if values[key] != value]
        if strange:
            raise ValueError(", ".join(strange))
        meta = DepthMeta(
            width=int(values["width"]),
            height=int(values["height"]),
            fps=_positive("fps", values["fps"]),
            scale=_positive("scale", values["scale"]),
            timestamps=tuple(float(time) for time in values["timestamps"]),
            counts=DepthCounts.from_dict(values["counts"]),
            method=str(values["method"]),
            camera=Camera.from_dict(values["camera"]) if values["camera"] else None,
            provenance=dict(values["provenance"]),
            bytes=int(values["bytes"]),
            sha256=str(values["sha256"]),
        )
        if values["frame_count"] != meta.frame_count:
            raise ValueError(f"frame_count {values['frame_count']} for {meta.frame_count} timestamps")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(path, f"does not describe a depth video ({error!r})", remedy=REMEDY) from error
    return meta


def sha256_of(path: Path) -> str:
    """The checksum of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _positive(name: str, value: Any) -> float:
    number = float(value)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} is {value!r}, expected a positive number")
    return number
