"""OpenGL is chosen before MuJoCo is imported."""

import os
import subprocess
import sys

import mujoco_gl
import pytest

from mapanything_data.errors import MissingDependencyError
from mapanything_data.sim import opengl

mujoco_gl.load()


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")

    assert opengl.choose_opengl() == "glfw"


def test_osmesa_is_taken_where_egl_has_no_device(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(opengl, "_egl_has_a_device", lambda: False)
    monkeypatch.setattr(opengl, "_osmesa_loads", lambda: True)

    assert opengl.choose_opengl() == "osmesa"
    assert os.environ["MUJOCO_GL"] == "osmesa"


def test_without_either_the_debian_packages_are_named(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(opengl, "_library", lambda *_: None)

    with pytest.raises(MissingDependencyError, match=r"libegl1 libegl-mesa0 libgl1-mesa-dri \(or libosmesa6\)"):
        opengl.choose_opengl()


def test_an_opengl_that_does_not_work_is_named():
    program = (
        "import mujoco\n"
        "from mapanything_data.sim.town.renderer import Renderer\n"
        "Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8)\n"
    )
    environment = {**os.environ, "MUJOCO_GL": "disable"}  # MuJoCo's word for no OpenGL
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)

    assert "ConfigError: MUJOCO_GL: OpenGL with 'disable' cannot draw here" in done.stderr


def test_what_is_chosen_draws_in_a_process_without_a_display():
    program = (
        "from mapanything_data.sim.opengl import choose_opengl\n"
        "choose_opengl()\n"
        "import mujoco\n"
        "context = mujoco.GLContext(8, 8)\n"
        "context.make_current()\n"
        "context.free()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    try:
        opengl.choose_opengl()
    except MissingDependencyError as error:
        pytest.skip(str(error))

    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0
