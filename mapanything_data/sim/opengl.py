"""Which OpenGL MuJoCo draws with on a machine without a display.

MuJoCo reads MUJOCO_GL when it is imported and dies without a display when it is unset: call `choose_opengl` before the
`import mujoco` of code that draws.
"""

from __future__ import annotations

import ctypes
import logging
import os

from mapanything_data.errors import MissingDependencyError

_OSMESA_LIBRARIES = ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")


def choose_opengl() -> str:
    """Sets MUJOCO_GL to `egl` or, where that has no device, to `osmesa`; what the user has set stays.

    Returns:
        The value of MUJOCO_GL.

    Raises:
        MissingDependencyError: Neither is installed; names the Debian packages.
    """
    # PyOpenGL tells at every start that an accelerator is missing which MuJoCo's few calls do not need.
    logging.getLogger("OpenGL.acceleratesupport").setLevel(logging.WARNING)
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        return chosen
    for name, works in (("egl", _egl_has_a_device), ("osmesa", _osmesa_loads)):
        if works():
            os.environ["MUJOCO_GL"] = name
            return name
    raise MissingDependencyError(
        "OpenGL",
        "neither EGL nor OSMesa can be loaded, and MUJOCO_GL is not set",
        expected="one that draws without a display",
        remedy="sudo apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (or libosmesa6)",
    )


def _egl_has_a_device() -> bool:
    """Asks EGL without opening a display, so that a broken driver cannot take the process down with it."""
    egl = _library("libEGL.so.1")
    if egl is None or _library("libOpenGL.so.0", "libGL.so.1") is None:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return False
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(address)
    count = ctypes.c_int()
    return bool(query(0, None, ctypes.byref(count))) and count.value > 0


def _osmesa_loads() -> bool:
    return _library(*_OSMESA_LIBRARIES) is not None


def _library(*names: str) -> ctypes.CDLL | None:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
