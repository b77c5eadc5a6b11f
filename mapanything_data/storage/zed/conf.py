"""Factory calibrations of ZED cameras, `SN{serial}.conf`: raw intrinsics of both eyes for each resolution.

The pixel that a principal point counts from is not documented. Stereolabs' own sample for OpenCV, and DROID's
calibration of poses, give these numbers to OpenCV as they are, whose pixel centres are integers. So they are taken
as such, which fits the poses; a file that means corners would be off by half a pixel.
"""

from __future__ import annotations

import configparser
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.scene import Camera, Distortion
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.reading import told_as_data_error
from mapanything_data.storage.tables import read_text
from mapanything_data.storage.zed.sizes import RESOLUTIONS

_REMEDY = "fetch the file of this camera again, https://www.stereolabs.com/developers/calib"
_HIGHER_ORDERS = ("k4", "k5", "k6")


@dataclass(frozen=True, slots=True, eq=False)
class FactoryStereo:
    """Both eyes at one resolution, and how they stand to each other.

    Attributes:
        left: The left eye's raw picture.
        right: The right eye's.
        translation: [3] float64, metres: x is the baseline and positive, as the file has it.
        rotation_vector: [3] float64, radians: Rodrigues vector (RX, CV, RZ), as the file has it.
    """

    left: Camera
    right: Camera
    translation: Floats
    rotation_vector: Floats


@dataclass(frozen=True, slots=True, eq=False)
class FactoryCalibration:
    """What a factory calibration says.

    Attributes:
        path: The file.
        serial: The camera's serial number, from the file's name.
        stereo: By width and height of one eye's picture, pixels.
    """

    path: Path
    serial: str
    stereo: Mapping[tuple[int, int], FactoryStereo]

    def at(self, width: int, height: int) -> FactoryStereo:
        """The calibration of a resolution.

        Raises:
            DataError: The file has none for pictures of this size.
        """
        if (width, height) not in self.stereo:
            has = ", ".join(f"{w}x{h}" for w, h in self.stereo)
            raise DataError(
                self.path,
                f"is not for pictures of {width}x{height}",
                expected=f"one of {has}",
                remedy="give the size of the pictures as they were recorded",
            )
        return self.stereo[width, height]


def conf_path(folder: Path, serial: str) -> Path:
    """Where a folder of calibrations keeps the one of a camera."""
    return folder / f"SN{serial}.conf"


def read_conf(path: Path) -> FactoryCalibration:
    """Read a factory calibration, once in a process for as long as the file does not change.

    Upper and lower case in names of sections and keys do not matter.

    Raises:
        DataError: The file cannot be read, is named after no serial number, is empty, or lacks a key or has one that
            is no number.
    """
    with told_as_data_error(path, remedy=_REMEDY):
        stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _read(path: Path, _mtime: int, _size: int) -> FactoryCalibration:
    named = re.fullmatch(r"SN(\d+)\.conf", path.name, re.IGNORECASE)
    if not named:
        raise DataError(path, "is named after no camera", expected="SN{serial number}.conf", remedy="rename the file")
    sections = _read_sections(path)
    names = [name for name in RESOLUTIONS if f"left_cam_{name.lower()}" in sections]
    if not names:
        raise DataError(path, "calibrates no resolution", expected="sections such as [LEFT_CAM_HD]", remedy=_REMEDY)
    stereo = {RESOLUTIONS[name]: _read_stereo(path, sections, name) for name in names}
    return FactoryCalibration(path, named[1], stereo)


def rectified(calibration: FactoryCalibration, width: int, height: int) -> tuple[Camera, Camera, float]:
    """Cameras of rectified pictures, computed with OpenCV. The SDK computes them in its own way: these are approximate.

    Args:
        calibration: Of the camera.
        width: Pixels of one eye's picture.
        height: Pixels.

    Returns:
        Left and right camera without distortion, and the baseline in metres.

    Raises:
        DataError: There is no calibration of this size, or its numbers cannot be rectified.
    """
    import cv2

    eyes = calibration.at(width, height)
    # Rotation and translation go to OpenCV as they are, as in Stereolabs' own sample. The sign of T does not change the
    # cameras; were the file's pose the inverse one, fx would change by 0.2 % (measured on a real file). OpenCV 5 takes
    # T as a column only.
    _, _, P_left, P_right, *_ = cv2.stereoRectify(
        eyes.left.matrix,
        np.array(eyes.left.distortion),
        eyes.right.matrix,
        np.array(eyes.right.distortion),
        (width, height),
        cv2.Rodrigues(eyes.rotation_vector)[0],
        eyes.translation.reshape(3, 1),
        flags=cv2.CALIB_ZERO_DISPARITY,
        alpha=0,
    )
    try:
        left, right = (Camera.from_matrix(P[:, :3], width, height) for P in (P_left, P_right))
    except ValueError as error:
        raise DataError(
            calibration.path, f"cannot be rectified at {width}x{height} ({error})", remedy=_REMEDY
        ) from error
    return left, right, float(abs(P_right[0, 3]) / P_right[0, 0])


def _read_sections(path: Path) -> Mapping[str, Mapping[str, str]]:
    text = read_text(path).removeprefix("\ufeff")
    if not text.strip():
        raise DataError(path, "is empty", remedy=_REMEDY)
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        reason = " ".join(str(error).split())
        raise DataError(path, f"is no calibration of a ZED camera ({reason})", remedy=_REMEDY) from error
    return {name.strip().lower(): dict(parser[name]) for name in parser.sections()}


def _read_stereo(path: Path, sections: Mapping[str, Mapping[str, str]], name: str) -> FactoryStereo:
    stereo = _Section(path, "STEREO", sections)
    # Some files give the offsets of the right eye once, some for each resolution.
    offsets = [stereo.number(f"{key}_{name}" if stereo.has(f"{key}_{name}") else key) for key in ("TY", "TZ")]
    baseline = stereo.number("Baseline")
    if baseline <= 0:
        raise stereo.wrong("Baseline", f"{baseline} mm", "a positive number")
    return FactoryStereo(
        left=_read_eye(_Section(path, f"LEFT_CAM_{name}", sections), *RESOLUTIONS[name]),
        right=_read_eye(_Section(path, f"RIGHT_CAM_{name}", sections), *RESOLUTIONS[name]),
        translation=np.array([baseline, *offsets]) / 1000.0,
        rotation_vector=np.array([stereo.number(f"{key}_{name}") for key in ("RX", "CV", "RZ")]),
    )


def _read_eye(section: _Section, width: int, height: int) -> Camera:
    for key in _HIGHER_ORDERS:
        if section.has(key) and section.number(key) != 0:
            raise section.wrong(key, "a rational lens model", f"only {', '.join(Distortion._fields)}")
    fx, fy, cx, cy = (section.number(key) for key in ("fx", "fy", "cx", "cy"))
    distortion = Distortion(**{key: section.number(key) for key in Distortion._fields})
    try:
        return Camera(width, height, fx, fy, cx, cy, distortion)
    except ValueError as error:
        raise DataError(f"{section.path}:[{section.name}]", f"is no camera ({error})", remedy=_REMEDY) from error


class _Section:
    """A section of the file, whose numbers are named in errors."""

    def __init__(self, path: Path, name: str, sections: Mapping[str, Mapping[str, str]]) -> None:
        if name.lower() not in sections:
            raise DataError(path, f"has no section [{name}]", remedy=_REMEDY)
        self.path, self.name, self._values = path, name, sections[name.lower()]

    def has(self, key: str) -> bool:
        return key.lower() in self._values

    def number(self, key: str) -> float:
        if not self.has(key):
            raise self.wrong(key, "is missing", "a number")
        text = self._values[key.lower()]
        try:
            number = float(text)
        except ValueError:
            raise self.wrong(key, repr(text), "a number") from None
        if not math.isfinite(number):
            raise self.wrong(key, repr(text), "a finite number")
        return number

    def wrong(self, key: str, found: str, expected: str) -> DataError:
        return DataError(f"{self.path}:[{self.name}] {key}", found, expected=expected, remedy=_REMEDY)
