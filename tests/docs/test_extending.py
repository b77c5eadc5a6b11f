"""What docs/extending.md shows is true: its files, put into a copy of the checkout, pass their own tests there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from segments_data import write_dataset

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).splitlines()


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the checkout with the files of the page, and data for its commands."""
    copy = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__", "local")
    for folder in ("mapanything_data", "configs", "tests/config", "tests/checks", "tests/storage"):
        shutil.copytree(CHECKOUT / folder, copy / folder, ignore=ignored)
    shutil.copy(CHECKOUT / "pyproject.toml", copy)
    for name, text in FILES.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        assert not (copy / name).exists(), f"{name} is a file of the project"
        (copy / name).write_text(text, encoding="utf-8")
    write_dataset(copy / "data" / "drive")
    (copy / "data" / "paths").mkdir()
    (copy / "data" / "paths" / "drive.csv").write_text("timestamp,x,y\n0,0,0\n1,3,4\n")
    return copy


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(folder)},
    )


@pytest.mark.parametrize("test", ["sources/test_npz.py", "checks/test_trajectories.py", "stages/test_sharpness.py"])
def test_an_example_passes_its_own_test(extended, test):
    done = run_in(extended, sys.executable, "-m", "pytest", "-q", f"tests/{test}")

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_obey_the_rules_for_components(extended):
    done = run_in(extended, sys.executable, "-m", "pytest", "-q", "tests/config/test_registry.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "trajectories" in run_in(extended, sys.executable, "-m", "mapanything_data.check", "--help").stdout


def test_the_commands_of_the_page_run(extended):
    outcomes = {command: run_in(extended, *command.split()) for command in COMMANDS}

    assert len(outcomes) == 4
    assert {command: done.stderr for command, done in outcomes.items() if done.returncode or done.stderr} == {}
