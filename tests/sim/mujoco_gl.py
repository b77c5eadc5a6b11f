"""MuJoCo for tests, imported after its OpenGL was chosen; tests are skipped where there is none."""

import pytest

from mapanything_data.errors import MissingDependencyError
from mapanything_data.sim.opengl import choose_opengl


def load():
    try:
        choose_opengl()
    except MissingDependencyError as error:
        pytest.skip(str(error), allow_module_level=True)
    return pytest.importorskip("mujoco")
