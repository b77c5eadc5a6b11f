"""Intrinsics of the cameras of a DROID episode: providers are asked in an order until one answers.

DROID's MP4 files and Stereolabs' depth are of rectified pictures; the SVO files hold raw ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mapanything_data.config import component
from mapanything_data.errors import DataError, UserError, require, require_option
from mapanything_data.scene import Camera
from mapanything_data.storage.droid.book import read_book
from mapanything_data.storage.droid.intrinsics import CameraIntrinsics, MissingIntrinsics, Model
from mapanything_data.storage.droid.intrinsics_book import entry_cameras, find_entry
from mapanything_data.storage.droid.layout import CameraFiles, EpisodeFiles
from mapanything_data.storage.droid.trajectory import RecordedCamera
from mapanything_data.storage.reading import told_as_data_error
from mapanything_data.storage.zed import (
    conf_path,
    read_conf,
    read_svo2_header,
    rectified,
    size_of_principal_point,
)
from mapanything_data.storage.zed.sizes import is_central

_MOST_OFF_CENTRE = 0.25  # of the size: a principal point farther from the middle is of pictures of another size


@component("intrinsics", "default")
@dataclass(kw_only=True, slots=True)
class IntrinsicsOptions:
    """Where intrinsics come from."""

    providers: list[str] = field(default_factory=lambda: ["h5", "json", "svo2", "conf", "sdk"])
    """Who is asked, in this order: h5 (the episode's own file), json, svo2 (the factory calibration at the size that
    the recording's header says), conf (the factory calibration), sdk (Stereolabs', which needs a GPU)."""
    json: str = ""
    """File of intrinsics by the uuid of the episode, by serial number, or by uuid and then serial number; empty
    stands for none."""
    calibrations: str = ""
    """Folder of factory calibrations, SN{serial}.conf; empty stands for none."""
    model: str = "rectified"
    """Pictures that they are for: `rectified` (DROID's MP4 files and the SDK's depth) or `raw`."""
    size: list[int] = field(default_factory=lambda: [1280, 720])
    """Width and height in pixels at which `conf` answers where no recording says its size; DROID's platform records
    1280x720. An empty list makes `conf` refuse such cameras."""
    sdk_timeout_s: float = 60.0
    """Seconds after which Stereolabs' SDK is ended when it does not open a file: offline it can wait for ever."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        names = ", ".join(_PROVIDERS)
        known = bool(self.providers) and set(self.providers) <= set(_PROVIDERS)
        unique = len(set(self.providers)) == len(self.providers)
        require_option("intrinsics.providers", self.providers, known and unique, f"a list out of {names}")
        require_option("intrinsics.model", self.model, self.model in ("raw", "rectified"), "raw or rectified")
        sound = not self.size or (len(self.size) == 2 and min(self.size) > 0)
        require_option("intrinsics.size", self.size, sound, "[width, height] in pixels, or []")
        require_option("intrinsics.sdk_timeout_s", self.sdk_timeout_s, self.sdk_timeout_s > 0, "a positive number")

    def setup(self) -> None:
        """Make sure that the file and the folder that are named can be read.

        Raises:
            DataError: One cannot: every camera would be missing its intrinsics.
        """
        if self.json and "json" in self.providers:
            read_book(_path(self.json))
        if self.calibrations and {"conf", "svo2"} & set(self.providers):
            folder = _path(self.calibrations)
            with told_as_data_error(folder, remedy="correct machine.zed_calibrations"):
                next(folder.iterdir(), None)


def find_intrinsics(
    options: IntrinsicsOptions, episode: EpisodeFiles, camera: RecordedCamera
) -> CameraIntrinsics | MissingIntrinsics:
    """The intrinsics of a camera from the first provider that knows them; none is taken from another episode's camera.

    Args:
        options: Who is asked.
        episode: The episode's files; recordings need not be there.
        camera: What the trajectory says of the camera.

    Returns:
        The intrinsics with where they come from, or what was tried and why each failed.
    """
    tried: list[tuple[str, str]] = []
    case = _Case(options, "raw" if options.model == "raw" else "rectified", episode, camera)
    for name in options.providers:
        try:
            return _PROVIDERS[name](case)
        except UserError as error:
            tried.append((name, _reason(error)))
    return MissingIntrinsics(camera.serial, tuple(tried))


class _Case(NamedTuple):
    options: IntrinsicsOptions
    model: Model
    episode: EpisodeFiles
    camera: RecordedCamera

    @property
    def serial(self) -> str:
        return self.camera.serial

    @property
    def files(self) -> CameraFiles:
        return self.episode.camera(self.serial)


class _Size(NamedTuple):
    """Width and height in pixels, and what told them."""

    pixels: tuple[int, int]
    teller: str


def _from_h5(case: _Case) -> CameraIntrinsics:
    path = case.episode.trajectory
    if "left" not in case.camera.matrices:
        raise _no(path, "has no camera_intrinsics of this camera")
    if case.model != "rectified":
        raise _no(path, "has matrices of rectified pictures only")
    left = case.camera.matrices["left"]
    size = _size_of_pictures(case, path, left[0, 2], left[1, 2])
    try:
        eyes = {eye: Camera.from_matrix(K, *size.pixels) for eye, K in case.camera.matrices.items()}
    except ValueError as error:
        raise _no(path, f"has no intrinsic matrix ({error})") from error
    return CameraIntrinsics(
        serial=case.serial,
        provider="h5",
        origin=f"{path.name} camera_intrinsics, size by {size.teller}",
        model="rectified",
        left=eyes["left"],
        right=eyes.get("right"),
    )


def _from_json(case: _Case) -> CameraIntrinsics:
    if not case.options.json:
        raise _no("intrinsics.json", "is not set")
    path = _path(case.options.json)
    entry = find_entry(path, case.episode.uuid, case.serial)
    if entry is None:
        raise _no(path, f"has neither {case.episode.uuid} with {case.serial} nor {case.serial}")
    if entry.model != case.model:
        raise _no(f"{path}:{entry.key}", f"is for {entry.model} pictures, not for {case.model} ones")
    size = _Size(entry.size, "the entry") if entry.size else _size_of_entry(case, path, entry.values)
    left, right = entry_cameras(path, entry, size.pixels)
    return CameraIntrinsics(
        serial=case.serial,
        provider="json",
        origin=f"{path.name} {entry.key}, size by {size.teller}",
        model=entry.model,
        left=left,
        right=right,
        baseline=entry.baseline,
    )


def _from_svo2(case: _Case) -> CameraIntrinsics:
    svo = case.files.svo
    if svo is None:
        raise _no(case.episode.folder, "has no SVO of this camera")
    header = read_svo2_header(svo)
    if header.serial != case.serial:
        raise _no(svo, f"was recorded with camera {header.serial}")
    return _factory(case, "svo2", _Size((header.width, header.height), svo.name))


def _from_conf(case: _Case) -> CameraIntrinsics:
    size = _size_of_mp4(case.files)
    if size is None and case.options.size:
        size = _Size((case.options.size[0], case.options.size[1]), "intrinsics.size")
    if size is None:
        raise _no(case.episode.folder, "has no MP4 that tells the size of the pictures, and intrinsics.size is empty")
    return _factory(case, "conf", size)


def _from_sdk(case: _Case) -> CameraIntrinsics:
    from mapanything_data.sources.zed_sdk import read_sdk_intrinsics

    svo = case.files.svo
    if svo is None:
        raise _no(case.episode.folder, "has no SVO of this camera")
    return read_sdk_intrinsics(
        svo,
        case.serial,
        case.model,
        calibrations=case.options.calibrations,
        timeout_s=case.options.sdk_timeout_s,
    )


_PROVIDERS: dict[str, Callable[[_Case], CameraIntrinsics]] = {
    "h5": _from_h5,
    "json": _from_json,
    "svo2": _from_svo2,
    "conf": _from_conf,
    "sdk": _from_sdk,
}


def _factory(case: _Case, provider: str, size: _Size) -> CameraIntrinsics:
    if not case.options.calibrations:
        raise _no("machine.zed_calibrations", "is not set")
    path = conf_path(_path(case.options.calibrations), case.serial)
    calibration = read_conf(path)
    stereo = calibration.at(*size.pixels)
    left, right, baseline = stereo.left, stereo.right, float(stereo.translation[0])
    if case.model == "rectified":
        require("cv2")
        left, right, baseline = rectified(calibration, *size.pixels)
    width, height = size.pixels
    how = ", rectified with OpenCV" if case.model == "rectified" else ""
    return CameraIntrinsics(
        serial=case.serial,
        provider=provider,
        origin=f"{path.name} at {width}x{height}, size by {size.teller}{how}",
        model=case.model,
        left=left,
        right=right,
        baseline=baseline,
        is_approximate=case.model == "rectified",
    )


def _size_of_entry(case: _Case, path: Path, values: object) -> _Size:
    assert isinstance(values, dict)
    try:
        cx, cy = float(values["cx"]), float(values["cy"])
    except (KeyError, TypeError, ValueError):
        raise _no(path, "has no principal point cx, cy for this camera") from None
    return _size_of_pictures(case, path, cx, cy)


def _size_of_pictures(case: _Case, path: Path, cx: float, cy: float) -> _Size:
    """The size of the recorded pictures; where no recording tells it, the one of ZED's that the principal point fits.

    Raises:
        DataError: The principal point is not of such pictures, or tells none of ZED's sizes from the others.
    """
    recorded = _size_of_mp4(case.files) or _size_of_svo2(case)
    if recorded is None:
        guess = size_of_principal_point(cx, cy)
        if guess is None:
            raise _no(path, f"says no size, and its principal point ({cx:.1f}, {cy:.1f}) fits not just one of ZED's")
        return _Size(guess, "its principal point")
    if not is_central(cx, cy, recorded.pixels, _MOST_OFF_CENTRE):
        width, height = recorded.pixels
        raise _no(path, f"has principal point ({cx:.1f}, {cy:.1f}): not of pictures of {width}x{height}")
    return recorded


def _size_of_mp4(files: CameraFiles) -> _Size | None:
    """The size of one eye's picture in the MP4, or None where no MP4 can be read."""
    for path, eyes in ((files.mp4, 1), (files.stereo_mp4, 2)):
        if path is not None and (pixels := _video_size(path)) is not None:
            return _Size((pixels[0] // eyes, pixels[1]), path.name)
    return None


def _video_size(path: Path) -> tuple[int, int] | None:
    require("av")
    import av

    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            return None if stream is None else (stream.width, stream.height)
    except (av.FFmpegError, OSError):
        return None  # a broken video does not keep intrinsics from being found; its reader reports it


def _size_of_svo2(case: _Case) -> _Size | None:
    svo = case.files.svo
    if svo is None:
        return None
    try:
        header = read_svo2_header(svo)
    except UserError:
        return None  # of version 1, or damaged: the provider svo2 says so
    return _Size((header.width, header.height), svo.name) if header.serial == case.serial else None


def _no(where: Path | str, found: str) -> DataError:
    return DataError(where, found, remedy="docs/intrinsics.md describes what each provider needs")


def _reason(error: UserError) -> str:
    """What was found where, without folders of this machine."""
    return f"{error.where.rpartition('/')[2]}: {error.found}"


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()
