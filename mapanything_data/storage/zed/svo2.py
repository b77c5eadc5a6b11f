"""Headers of SVO2, Stereolabs' recordings as MCAP: which camera, which size, how many frames a second.

The topic `svo_header` holds one JSON object. Files of SDK 4 and 5 keep size, serial number and rate in its `header`, a
structure of little-endian 32-bit numbers in base64; the width there is that of one eye in some files and of both in
others. Names of keys in plain JSON differ between versions, so several are taken.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError, require
from mapanything_data.storage.reading import read_bytes, told_as_data_error
from mapanything_data.storage.zed.sizes import eye_size

_MCAP_MAGIC = b"\x89MCAP0\r\n"
_TOPIC = "svo_header"
_SPELLINGS = {
    "width": ("width", "image_width", "resolution_width"),
    "height": ("height", "image_height", "resolution_height"),
    "serial": ("serial_number", "serial", "sn"),
    "fps": ("fps", "camera_fps", "frame_rate"),
}
_REMEDY = "copy the recording again, or repair it with ZED_SVO_Editor -repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class SvoHeader:
    """What the header of a recording says; it holds no intrinsics.

    Attributes:
        serial: The camera's serial number.
        width: Pixels of one eye's picture.
        height: Pixels.
        fps: Frames per second.
        found_in: The key of the JSON that told it: `header`, or the plain ones.
    """

    serial: str
    width: int
    height: int
    fps: float
    found_in: str


def read_svo2_header(path: Path) -> SvoHeader:
    """Read the header of an SVO2 file without the SDK.

    Raises:
        DataError: The file cannot be read, is an SVO of version 1, encrypted, truncated, or says no serial number or
            size.
        MissingDependencyError: `mcap` is not installed.
    """
    start = read_bytes(path, most=len(_MCAP_MAGIC))
    if start != _MCAP_MAGIC:
        raise _no_mcap(path, start)
    return _parse(path, _read_message(path))


def _no_mcap(path: Path, start: bytes) -> DataError:
    # The beginning of version 1 is not documented; DROID's are named .svo.
    if not start:
        return DataError(path, "is empty", remedy=_REMEDY)
    if _MCAP_MAGIC.startswith(start):
        return DataError(path, f"is truncated after {len(start)} bytes", remedy=_REMEDY)
    if path.suffix.lower() == ".svo":
        found = "is no MCAP, so an SVO of version 1, which only Stereolabs' SDK reads"
        return DataError(path, found, remedy="use the provider conf or sdk")
    return DataError(path, f"begins with {start!r} as no SVO2 does; it may be encrypted or damaged", remedy=_REMEDY)


def _read_message(path: Path) -> Any:
    require("mcap")
    from mcap.reader import NonSeekingReader

    # The header is the first message. Reading from the start finds it where the end of the file is missing, too.
    try:
        with told_as_data_error(path, remedy=_REMEDY), path.open("rb") as file:
            reader = NonSeekingReader(file, record_size_limit=1 << 28)
            message = next(reader.iter_messages(topics=[_TOPIC], log_time_order=False), None)
    except DataError:
        raise
    except Exception as error:
        raise DataError(path, f"is truncated or damaged ({_words(error)})", remedy=_REMEDY) from error
    if message is None:
        raise DataError(path, f"has no topic {_TOPIC}", expected="an SVO2 file", remedy=_REMEDY)
    data = message[2].data
    try:
        return json.loads(data)
    except ValueError as error:
        raise DataError(
            path,
            f"{_TOPIC} is no JSON, as in an encrypted recording ({len(data)} bytes)",
            remedy="open it with Stereolabs' SDK and the key, and record it again without encryption",
        ) from error


def _parse(path: Path, values: Any) -> SvoHeader:
    if not isinstance(values, Mapping):
        raise DataError(f"{path}:{_TOPIC}", "is no JSON object", remedy=_REMEDY)
    plain = {str(key).lower(): value for key, value in values.items()}
    if "encryption" in plain and plain["encryption"] not in (None, False, 0, "", "none", "NONE"):
        raise DataError(
            path, "is encrypted", remedy="open it with Stereolabs' SDK and the key, and record it again without"
        )
    found = {name: next((plain[s] for s in spellings if s in plain), None) for name, spellings in _SPELLINGS.items()}
    told_by = "its own keys"
    if None in (found["width"], found["height"], found["serial"]) and isinstance(plain.get("header"), str):
        found, told_by = _unpack(path, plain["header"]), "header"
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise DataError(
            f"{path}:{_TOPIC}",
            f"says no {', '.join(missing)}; its keys are {', '.join(sorted(map(str, values)))}",
            remedy="use the provider conf, or report the keys",
        )
    return _checked(path, found, told_by)


def _unpack(path: Path, text: str) -> dict[str, Any]:
    try:
        width, height, serial, fps = struct.unpack_from("<4I", base64.b64decode(text, validate=True))
    except (ValueError, struct.error) as error:  # binascii.Error is a ValueError, other than ASCII a plain one
        raise DataError(f"{path}:{_TOPIC} header", f"cannot be decoded ({error})", remedy=_REMEDY) from error
    return {"width": width, "height": height, "serial": serial, "fps": fps}


def _checked(path: Path, found: Mapping[str, Any], told_by: str) -> SvoHeader:
    try:
        size = eye_size(int(found["width"]), int(found["height"]))
        serial, fps = int(found["serial"]), float(found["fps"])
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}:{_TOPIC}", f"has values that are no numbers ({error})", remedy=_REMEDY) from error
    if size is None or serial <= 0 or not 0 < fps < 1000:
        raise DataError(
            f"{path}:{_TOPIC}",
            f"says {found['width']}x{found['height']} at {fps:g} frames/s of camera {serial}",
            expected="a size of ZED's cameras, a serial number and a rate",
            remedy=_REMEDY,
        )
    return SvoHeader(serial=str(serial), width=size[0], height=size[1], fps=fps, found_in=told_by)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
