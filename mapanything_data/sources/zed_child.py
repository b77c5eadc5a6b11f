"""The process that Stereolabs' SDK runs in: `python -m mapanything_data.sources.zed_child {file descriptor}`.

The SDK can crash, wait for ever, and print what it likes, so it has a process of its own that `zed_sdk` starts, talks
to through a pipe, and ends. Each request is answered by dictionaries, the last of which says `closed`; the one of a
frame is followed by the bytes of its arrays.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

_SUCCESS = 0  # warnings, as of a calibration that may be off, are negative


def serve(connection: Connection) -> None:
    """Answer requests until the other side hangs up."""
    try:
        sl = _load()
    except ImportError as error:
        connection.send({"refused": str(error)})
        return
    modes = [name.lower() for name in sl.DEPTH_MODE.__members__ if name not in ("LAST", "CUSTOM")]
    connection.send({"version": str(sl.Camera().get_sdk_version()), "depth_modes": modes})
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        _play(sl, connection, request)
        connection.send({"closed": True})


def _load() -> Any:
    """Stereolabs' module.

    Raises:
        ImportError: It is missing, cannot be loaded, or is another package of that name; the message says which.
    """
    try:
        package = import_module("pyzed")
    except ModuleNotFoundError:
        raise ImportError("pyzed, the Python part of Stereolabs' SDK, is not installed") from None
    place = getattr(package, "__file__", None) or ", ".join(package.__path__)
    try:
        sl = import_module("pyzed.sl")
    except ModuleNotFoundError as error:
        if error.name != "pyzed.sl":
            raise
        raise ImportError(f"{place} is not Stereolabs' pyzed but another package of that name: no pyzed.sl") from None
    lacking = [name for name in ("Camera", "InitParameters", "ERROR_CODE", "DEPTH_MODE") if not hasattr(sl, name)]
    if lacking:
        raise ImportError(f"{place} is not Stereolabs' pyzed but another: pyzed.sl has no {', '.join(lacking)}")
    return sl


def _play(sl: Any, connection: Connection, request: Mapping[str, Any]) -> None:
    camera = sl.Camera()
    try:
        code = camera.open(_parameters(sl, request))
        if code != sl.ERROR_CODE.SUCCESS and code.value >= _SUCCESS:
            connection.send({"error": f"cannot be opened by Stereolabs' SDK: {_name(code)}"})
            return
        connection.send(_describe(camera))
        if connection.recv() == "frames":
            _send_frames(sl, camera, connection, request)
    finally:
        camera.close()


def _parameters(sl: Any, request: Mapping[str, Any]) -> Any:
    parameters = sl.InitParameters()
    parameters.set_from_svo_file(request["path"])
    parameters.svo_real_time_mode = False  # every frame, however long it takes
    parameters.camera_disable_self_calib = True  # else intrinsics change from one opening to the next
    parameters.coordinate_units = sl.UNIT.MILLIMETER
    parameters.depth_mode = getattr(sl.DEPTH_MODE, request["depth_mode"].upper())
    parameters.depth_stabilization = 0  # it smears depth over time, and the wrist's camera moves
    parameters.sdk_verbose = 0
    if request["calibrations"]:
        parameters.optional_settings_path = request["calibrations"]  # else it fetches the file of the camera
    for name in ("depth_minimum_distance", "depth_maximum_distance"):
        if request[name] is not None:
            setattr(parameters, name, request[name] * 1000.0)
    return parameters


def _describe(camera: Any) -> dict[str, Any]:
    information = camera.get_camera_information()
    configuration = information.camera_configuration
    return {
        "serial": str(information.serial_number),
        "fps": float(configuration.fps),
        "frame_count": int(camera.get_svo_number_of_frames()),
        "rectified": _describe_eyes(configuration.calibration_parameters),
        "raw": _describe_eyes(configuration.calibration_parameters_raw),
    }


def _describe_eyes(calibration: Any) -> dict[str, Any]:
    return {
        "left": _describe_eye(calibration.left_cam),
        "right": _describe_eye(calibration.right_cam),
        "baseline": abs(float(calibration.get_camera_baseline())) / 1000.0,
    }


def _describe_eye(eye: Any) -> dict[str, Any]:
    size = eye.image_size
    numbers = {name: float(getattr(eye, name)) for name in ("fx", "fy", "cx", "cy")}
    return {**numbers, "width": int(size.width), "height": int(size.height), "disto": [float(k) for k in eye.disto]}


def _send_frames(sl: Any, camera: Any, connection: Connection, request: Mapping[str, Any]) -> None:
    image, depth = sl.Mat(), sl.Mat()
    measure = getattr(sl.MEASURE, "DEPTH_U16_MM", None) or sl.MEASURE.DEPTH  # SDKs before 3.4 have the latter only
    count = camera.get_svo_number_of_frames()
    sent = 0
    while sent < count:
        code = camera.grab()
        if code == getattr(sl.ERROR_CODE, "END_OF_SVOFILE_REACHED", None):
            break
        if code == sl.ERROR_CODE.SUCCESS:
            code = camera.retrieve_measure(depth, measure)
        if code == sl.ERROR_CODE.SUCCESS and request["images"]:
            code = camera.retrieve_image(image, sl.VIEW.LEFT)
        if code != sl.ERROR_CODE.SUCCESS:
            connection.send({"error": f"breaks off at frame {sent} of {count}: {_name(code)}"})
            return
        arrays = [depth.get_data(), *([image.get_data()] if request["images"] else [])]
        connection.send({"frame": sent, "arrays": [(array.dtype.str, array.shape) for array in arrays]})
        for array in arrays:
            connection.send_bytes(array.tobytes())  # rows may be padded; this packs them
        sent += 1
    if sent < count - 1:  # the last frame may be missing, as the SDK tells the end early
        connection.send({"error": f"breaks off: it ends after {sent} of {count} frames"})
    else:
        connection.send({"end": sent})


def _name(code: Any) -> str:
    return str(getattr(code, "name", code))


def _die_with_parent() -> None:
    """Let the system kill this process when its parent dies, even while the SDK waits for ever."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Serve the process that started this one."""
    _die_with_parent()
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    if os.getppid() == parent:  # else it died before the system was asked
        serve(Connection(descriptor))


if __name__ == "__main__":
    main()
