"""Stereolabs' SDK in a process of its own, which is replaced after a number of openings, a crash or a time-out."""

from __future__ import annotations

import atexit
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError, MissingDependencyError, UserError
from mapanything_data.scene import Camera, Distortion
from mapanything_data.storage.droid.intrinsics import CameraIntrinsics, Model

_START_TIMEOUT_S = 120.0  # importing it loads CUDA's libraries, from a cold disk
_FRAME_TIMEOUT_S = 120.0
_MOST_MM = 65000  # the SDK clamps there, so it is no measurement
_REMEDY = "run its ZED_SDK installer (https://www.stereolabs.com/developers/release), then its get_python_api.py"
_NOTE = "; the package called pyzed on the package index is not Stereolabs'"


@dataclass(frozen=True, slots=True, kw_only=True)
class SvoRequest:
    """How the SDK opens a recording.

    Attributes:
        path: The recording.
        serial: The camera it must be of.
        depth_mode: Such as `neural`; `none` reads intrinsics only.
        images: Whether frames have the left picture, too.
        min_depth: Metres; None leaves it to the SDK.
        max_depth: Metres; None leaves it to the SDK.
        calibrations: Folder of factory calibrations; empty lets the SDK look, and ask Stereolabs' server.
        timeout_s: Seconds that opening may take.
        opens_per_process: Openings after which the process is replaced.
    """

    path: Path
    serial: str
    depth_mode: str = "none"
    images: bool = False
    min_depth: float | None = None
    max_depth: float | None = None
    calibrations: str = ""
    timeout_s: float
    opens_per_process: int = 100


@dataclass(frozen=True, slots=True, eq=False)
class OpenSvo:
    """A recording that the SDK has open.

    Attributes:
        request: How it was opened.
        camera: The left eye's rectified picture.
        frame_count: Frames it has, as its header says.
        fps: Frames per second.
        sdk_version: Such as `5.1.2`.
        description: Intrinsics of both eyes, `rectified` and `raw`.
    """

    request: SvoRequest
    camera: Camera
    frame_count: int
    fps: float
    sdk_version: str
    description: Mapping[str, Any]
    _process: _SdkProcess

    def frames(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8] | None]]:
        """All frames once: depth [H, W] float32 metres, 0 where invalid, and the picture [H, W, 3] uint8 RGB if asked.

        Raises:
            DataError: The recording breaks off, or the SDK crashes over it or takes too long.
        """
        path = self.request.path
        height, width = self.camera.height, self.camera.width
        for arrays in self._process.frames(path):
            depth = np.atleast_3d(arrays[0])[..., 0]  # some versions give [H, W, 1]
            if (height, width) != depth.shape:
                found = f"the SDK gives depth of {list(depth.shape)} for a picture of {[height, width]}"
                raise DataError(path, found, remedy="run it again with another depth mode")
            yield _metres(depth), (_rgb(arrays[1]) if self.request.images else None)


def check_sdk(depth_mode: str = "none") -> None:
    """Make sure that the SDK is installed and knows a depth mode.

    Raises:
        MissingDependencyError: It is not installed, another package has its name, or it does not know the mode.
    """
    process = _borrow()
    _idle.append(process)
    _require_mode(process, depth_mode)


@contextmanager
def open_svo(request: SvoRequest) -> Iterator[OpenSvo]:
    """Open a recording.

    Raises:
        DataError: The SDK cannot open it, crashes over it or takes too long, or it is of another camera.
        MissingDependencyError: There is no SDK.
    """
    process = _borrow()
    reusable = False
    try:
        _require_mode(process, request.depth_mode)
        description = process.open(request)
        if description["serial"] != request.serial:
            found = f"was recorded with camera {description['serial']}"
            raise DataError(request.path, found, expected=f"camera {request.serial}", remedy="restore the recording")
        left = _camera(request.path, description["rectified"]["left"])
        count, fps = description["frame_count"], description["fps"]
        yield OpenSvo(request, left, count, fps, process.version, description, process)
        reusable = process.finish() and process.opens < request.opens_per_process
    finally:
        if reusable:
            _idle.append(process)
        else:
            process.end()


def read_sdk_intrinsics(
    path: Path, serial: str, model: Model, *, calibrations: str = "", timeout_s: float = 60.0
) -> CameraIntrinsics:
    """What the SDK says of a recording's camera; it computes no depth, but needs a GPU all the same.

    Raises:
        DataError: The SDK cannot open the recording, or it is of another camera.
        MissingDependencyError: There is no SDK.
    """
    request = SvoRequest(path=path, serial=serial, calibrations=calibrations, timeout_s=timeout_s)
    with open_svo(request) as svo:
        eyes = svo.description[model]
        baseline = eyes["baseline"]
        if not (math.isfinite(baseline) and baseline > 0):
            found = f"the SDK says that its eyes are {baseline} m apart"
            raise DataError(path, found, remedy="restore its calibration, or ask another provider of intrinsics")
        return CameraIntrinsics(
            serial=serial,
            provider="sdk",
            origin=f"{path.name}, ZED SDK {svo.sdk_version}, self-calibration off",
            model=model,
            left=_camera(path, eyes["left"]),
            right=_camera(path, eyes["right"]),
            baseline=baseline,
        )


class _SdkProcess:
    """The child, its pipe, and what it printed."""

    def __init__(self) -> None:
        self.opens = 0
        self.owner = os.getpid()
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        ours, theirs = Pipe()
        command = [sys.executable, "-m", f"{__package__}.zed_child", str(theirs.fileno()), str(os.getpid())]
        self._child = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=self._printed, stderr=self._printed
        )
        theirs.close()
        self._connection: Connection[Any, Any] = ours
        self._state: Literal["open", "streaming", "read"] = "read"
        try:
            hello = self._receive("pyzed.sl", _START_TIMEOUT_S, "loading the SDK")
            if "refused" in hello:
                raise MissingDependencyError("pyzed.sl", hello["refused"] + _NOTE, remedy=_REMEDY)
        except UserError as error:
            self.end()
            if isinstance(error, MissingDependencyError):
                raise
            raise MissingDependencyError("pyzed.sl", error.found, remedy=_REMEDY) from error
        self.version: str = hello["version"]
        self.depth_modes: list[str] = hello["depth_modes"]

    def open(self, request: SvoRequest) -> Mapping[str, Any]:
        """What the SDK says of a recording that it opened."""
        self.opens += 1
        message = {
            "path": str(request.path),
            "depth_mode": request.depth_mode,
            "images": request.images,
            "depth_minimum_distance": request.min_depth,
            "depth_maximum_distance": request.max_depth,
            "calibrations": request.calibrations,
        }
        self._send(request.path, message)
        answer = self._receive(request.path, request.timeout_s, "opening it")
        if "error" in answer:
            raise DataError(
                request.path, answer["error"], remedy="play it with ZED_Explorer to see whether it is whole"
            )
        self._state = "open"
        return answer

    def frames(self, path: Path) -> Iterator[list[NDArray[Any]]]:
        """The arrays of each frame."""
        self._send(path, "frames")
        self._state = "streaming"
        while "end" not in (answer := self._receive(path, _FRAME_TIMEOUT_S, "reading a frame")):
            if "error" in answer:
                raise DataError(path, answer["error"], remedy="copy the recording again")
            yield [self._receive_array(path, dtype, shape) for dtype, shape in answer["arrays"]]
        self._state = "read"

    def finish(self) -> bool:
        """Close the recording; whether the process can open another: not while frames are still on their way."""
        if self._state == "streaming":
            return False
        try:
            if self._state == "open":
                self._connection.send("close")
            return "closed" in self._receive("pyzed.sl", _FRAME_TIMEOUT_S, "closing it")
        except (DataError, OSError):
            return False  # what was read is whole, so a crash at the end is no loss

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._child.poll() is None

    def end(self) -> None:
        """Kill the process."""
        self._child.kill()
        self._child.wait()
        self._connection.close()
        self._printed.close()

    def _send(self, path: Path, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError:
            raise self._died(path, "before it was opened") from None

    def _receive(self, where: Path | str, timeout_s: float, doing: str) -> dict[str, Any]:
        try:
            if not self._connection.poll(timeout_s):
                found = f"Stereolabs' SDK was ended: {doing} took longer than {timeout_s:g} s"
                remedy = "offline it waits for a calibration: set machine.zed_calibrations; or raise the time-out"
                raise DataError(where, found, remedy=remedy)
            answer: dict[str, Any] = self._connection.recv()
        except (EOFError, OSError):
            raise self._died(where, doing) from None
        return answer

    def _receive_array(self, path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        array = np.empty(shape, dtype)
        try:
            self._connection.recv_bytes_into(array.data.cast("B"))
        except (EOFError, OSError):
            raise self._died(path, "reading a frame") from None
        return array

    def _died(self, where: Path | str, doing: str) -> DataError:
        try:
            code = self._child.wait(10)
        except subprocess.TimeoutExpired:  # it hung up, and lives
            self._child.kill()
            code = self._child.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").strip().splitlines()
        words = f"; its last words: {lines[-1][:200]}" if lines else ""
        return DataError(
            where,
            f"Stereolabs' SDK died {how} {doing}{words}",
            remedy="run it again; if it dies over the same file, play that with ZED_Explorer",
        )


_idle: list[_SdkProcess] = []
"""Processes of this process that have nothing open."""
_refusals: list[MissingDependencyError] = []
"""That there is no SDK, once it is known: asking again costs a process for each camera."""


def _borrow() -> _SdkProcess:
    if _refusals:
        raise _refusals[0]
    while _idle:
        process = _idle.pop()
        # A fork inherits the list, but the processes are its parent's. One dies with the thread that started it.
        if process.owner == os.getpid() and process.is_alive():
            return process
    try:
        return _SdkProcess()
    except MissingDependencyError as error:
        _refusals.append(error)
        raise


@atexit.register
def _forget() -> None:
    _refusals.clear()
    while _idle:
        process = _idle.pop()
        if process.owner == os.getpid():
            process.end()


def _require_mode(process: _SdkProcess, mode: str) -> None:
    if mode not in process.depth_modes:
        known = ", ".join(name for name in process.depth_modes if name != "none")
        found = f"SDK {process.version} has no depth mode {mode}"
        raise MissingDependencyError("pyzed.sl", found, expected=f"one of {known}", remedy="choose another depth mode")


def _camera(path: Path, eye: Mapping[str, Any]) -> Camera:
    first, rest = eye["disto"][:5], eye["disto"][5:]
    if any(rest):
        raise DataError(path, "its lens has more than five coefficients", remedy="take rectified intrinsics")
    try:
        numbers = {name: eye[name] for name in ("width", "height", "fx", "fy", "cx", "cy")}
        return Camera(**numbers, distortion=Distortion(*first))
    except (TypeError, ValueError) as error:
        raise DataError(path, f"the SDK gives no intrinsics ({error})", remedy="restore its calibration") from error


def _metres(depth: NDArray[Any]) -> NDArray[np.float32]:
    """Metres of the SDK's millimetres; 0 stands for what it could not measure: NaN, infinite, clamped."""
    with np.errstate(invalid="ignore"):
        measured = np.isfinite(depth) & (depth > 0) & (depth < _MOST_MM)
    metres: NDArray[np.float32] = np.where(measured, depth, 0).astype(np.float32) / np.float32(1000.0)
    return metres


def _rgb(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(bgra[..., 2::-1])
