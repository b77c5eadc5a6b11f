"""Cameras: are their intrinsics there, plausible, of the size of the pictures; how well are they calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.finding import Finding
from mapanything_data.errors import DataError
from mapanything_data.storage.droid import CameraIntrinsics, read_intrinsics
from mapanything_data.storage.droid.layout import INTRINSICS, QUALITY, camera_folder
from mapanything_data.storage.droid.results import number_at
from mapanything_data.storage.mp4 import picture_size

FOCAL_SHARES = (0.25, 2.5)
"""Focal length over picture width, 127 to 23 degrees wide; a ZED 2 has 0.41 and a ZED Mini 0.55."""
OBLONG = 0.05
"""How much fx and fy may differ."""
OFF_CENTRE = 0.15
"""How far the principal point may be from the middle of the picture, as a share of its size."""
BASELINE_ERROR_MM = 5.0
ROTATION_DISAGREEMENT_DEG = 2.0


def read_all_intrinsics(episode: Episode) -> tuple[dict[str, CameraIntrinsics], list[Finding]]:
    """The intrinsics of the cameras that have some, and what cannot be read."""
    known, findings = dict[str, CameraIntrinsics](), list[Finding]()
    for serial in episode.cameras:
        path = episode.files.of_camera(serial, INTRINSICS)
        if path.is_file():
            try:
                known[serial] = read_intrinsics(path)
            except DataError as error:
                findings.append(episode.unreadable("intrinsics", _file(serial, INTRINSICS), error))
    return known, findings


def check_intrinsics(episode: Episode, known: Mapping[str, CameraIntrinsics]) -> Iterator[Finding]:
    """Cameras without intrinsics, and intrinsics that make no sense or are of another picture."""
    for serial, told in episode.cameras.items():
        if told.get("problem"):
            remedy = "see the recording's trajectory.h5; the other cameras can be used"
            yield episode.warn("camera", QUALITY, f"camera {serial} cannot be used: {told['problem']}", remedy)
        if serial in known:
            yield from _check_camera(episode, serial, known[serial])
        elif not episode.files.of_camera(serial, INTRINSICS).exists():
            yield from _tell_missing(episode, serial, told)


def check_calibration(episode: Episode) -> Iterator[Finding]:
    """The two eyes of a camera against its housing, as quality.json has it."""
    for serial, told in episode.cameras.items():
        error = number_at(told, "calibration", "baseline_error_mm")
        angle = number_at(told, "calibration", "rotation_disagreement_deg")
        wrong = []
        if error is not None and abs(error) > BASELINE_ERROR_MM:
            wrong.append(f"its two eyes are {error:+.1f} mm from where their baseline puts them")
        if angle is not None and angle > ROTATION_DISAGREEMENT_DEG:
            wrong.append(f"its two eyes look {angle:.2f} degrees apart")
        if wrong:
            found = f"camera {serial} is badly calibrated: {' and '.join(wrong)}"
            yield episode.warn("calibration", QUALITY, found, "leave this camera out, or calibrate it by its pictures")


def _tell_missing(episode: Episode, serial: str, told: Mapping[str, Any]) -> Iterator[Finding]:
    intrinsics = told.get("intrinsics")
    if isinstance(intrinsics, dict) and intrinsics.get("provider"):
        return  # the missing file is told
    tried = intrinsics.get("tried") if isinstance(intrinsics, dict) else None
    if "intrinsics" in episode.steps or isinstance(tried, dict):
        asked = "; ".join(f"{name}: {why}" for name, why in (tried or {}).items()) or "nothing was asked"
        found = f"camera {serial} has no intrinsics, so no 2D tracks ({asked})"
        yield episode.warn(
            "no-intrinsics",
            QUALITY,
            found,
            f"give a provider that knows it, then {episode.remake('intrinsics', 'tracks')}",
        )


def _check_camera(episode: Episode, serial: str, intrinsics: CameraIntrinsics) -> Iterator[Finding]:
    where, camera = _file(serial, INTRINSICS), intrinsics.left
    remake = episode.remake("intrinsics", "tracks")
    if intrinsics.serial != serial:
        yield episode.fail("intrinsics", where, f"is of camera {intrinsics.serial}", remake)
    share, centre = camera.fx / camera.width, (camera.cx / camera.width, camera.cy / camera.height)
    size = f"{camera.width}x{camera.height}"
    doubts = []
    if not FOCAL_SHARES[0] <= share <= FOCAL_SHARES[1]:
        doubts.append(f"a focal length of {camera.fx:.4g} pixels makes no sense for pictures of {size}")
    if abs(camera.fy / camera.fx - 1) > OBLONG:
        doubts.append(f"fx is {camera.fx:.4g} and fy {camera.fy:.4g} pixels, but pixels are square")
    if not (0 <= centre[0] < 1 and 0 <= centre[1] < 1):
        at = f"({camera.cx:.4g}, {camera.cy:.4g})"
        yield episode.fail("intrinsics", where, f"has its principal point {at} outside of pictures of {size}", remake)
    elif max(abs(centre[0] - 0.5), abs(centre[1] - 0.5)) > OFF_CENTRE:
        doubts.append(f"the principal point ({camera.cx:.4g}, {camera.cy:.4g}) is far from the middle of {size}")
    if intrinsics.model == "rectified" and camera.is_distorted:
        doubts.append("they are called rectified, but have distortion")
    if doubts:
        yield episode.warn("intrinsics", where, "; ".join(doubts), "see where they come from: provider and origin")
    if intrinsics.is_approximate:
        found = f"is approximate: it was computed from {intrinsics.origin or intrinsics.provider}"
        yield episode.warn(
            "approximate", where, found, "let the ZED SDK or the h5 tell them where pixels must be exact"
        )
    yield from _check_size(episode, serial, intrinsics)


def _check_size(episode: Episode, serial: str, intrinsics: CameraIntrinsics) -> Iterator[Finding]:
    """The recording's pictures have the size that the intrinsics are for."""
    if episode.recording is None:
        return
    files, size = episode.recording.camera(serial), (intrinsics.left.width, intrinsics.left.height)
    for path, eyes in ((files.mp4, 1), (files.stereo_mp4, 2)):
        if path is None:
            continue
        try:
            width, height = picture_size(path)
        except DataError as error:
            found = f"recordings/MP4/{Path(error.where).name} {error.found}"
            yield episode.warn("recording", _file(serial, INTRINSICS), found, error.remedy)
            continue
        if (width // eyes, height) != size:
            found = f"is for pictures of {size[0]}x{size[1]}, but those of {path.name} have {width // eyes}x{height}"
            remedy = f"give intrinsics of that size, then {episode.remake('intrinsics', 'tracks')}"
            yield episode.fail("size", _file(serial, INTRINSICS), found, remedy)


def _file(serial: str, name: str) -> str:
    return str(camera_folder(serial) / name)
