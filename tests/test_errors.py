"""Expected failures say where, what, and what to do, also when they come from another process."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mapanything_data.errors import EXTRAS, ConfigError, DataError, MissingDependencyError, require, require_option


def test_an_error_names_the_place_the_finding_and_the_remedy():
    error = DataError(Path("/rides/a.mp4"), "the file is empty", expected="a video", remedy="copy it again")

    assert str(error) == "/rides/a.mp4: the file is empty\n  expected: a video\n  remedy:   copy it again"


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(MissingDependencyError.of("av")))

    assert type(error) is MissingDependencyError
    assert str(error) == str(MissingDependencyError.of("av"))


def test_an_option_is_refused_by_its_key_with_what_was_given_and_what_would_be_sound():
    require_option("labeler.min_size", 0, 0 >= 0, "0 or more")

    with pytest.raises(ConfigError) as caught:
        require_option("dataset.test_split", "1", "1" in ("test",), "test")

    assert str(caught.value) == (
        "dataset.test_split: '1'\n  expected: test\n  remedy:   correct dataset.test_split; --help describes it"
    )


def test_a_remedy_that_says_more_is_said():
    with pytest.raises(ConfigError, match=r"source\.width: 401\n  expected: an even number\n  remedy:   add 1$"):
        require_option("source.width", 401, 401 % 2 == 0, "an even number", remedy="add 1")


def test_every_optional_module_belongs_to_an_extra_that_exists():
    extras = re.findall(r"^(\w+) = \[", (Path(__file__).parents[1] / "pyproject.toml").read_text(), re.MULTILINE)

    assert set(EXTRAS.values()) <= set(extras)


def test_a_missing_module_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # what Python does for a module that cannot be imported

    with pytest.raises(MissingDependencyError, match=r"pip install 'mapanything-data\[ray\]'"):
        require("ray")


@pytest.mark.parametrize(
    ("app", "missing", "arguments"),
    [
        ("capture", "av", ["source=video"]),
        ("capture", "cv2", ["source=images"]),
        ("capture", "isal", ["source=images"]),
    ],
)
def test_an_app_without_what_it_needs_blames_no_item(tmp_path, app, missing, arguments):
    import cv2
    import numpy as np

    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "0.png"), np.full((48, 64, 3), 90, np.uint8))
    path = tmp_path / "images" if "source=images" in arguments else tmp_path / "images" / "0.png"
    program = (
        "import runpy, sys\n"
        f"sys.modules[{missing!r}] = None\n"
        f"sys.argv = ['app', *{arguments!r}, 'source.path={path}', 'dataset.root={tmp_path}/out']\n"
        f"runpy.run_module('mapanything_data.{app}', run_name='__main__')\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {missing}: the package is not installed")
    assert "mapanything-data[media]" in done.stderr
    assert done.stdout == ""
