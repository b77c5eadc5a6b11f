"""The configs are found from a checkout, an editable install and a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def run_app(cwd: Path, python_path: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if python_path:
        environment["PYTHONPATH"] = str(python_path)
    return subprocess.run(
        [sys.executable, "-m", "mapanything_data.check", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            folder,
            ".",
        ],
        cwd=CHECKOUT,
        check=True,
    )
    return next(folder.glob("*.whl"))


def test_a_checkout_works_from_its_own_folder(tmp_path):
    done = run_app(CHECKOUT, None, "machine=fixture", "--cfg", "job", "--resolve")

    assert "root: outputs/segments" in done.stdout


def test_an_editable_install_works_from_anywhere(tmp_path):
    done = run_app(tmp_path, None, "machine=fixture", "--cfg", "job", "--resolve")

    assert (done.returncode, done.stderr) == (0, "")
    assert "root: outputs/segments" in done.stdout


def test_a_wheel_works_from_anywhere_with_its_own_configs(tmp_path, wheel):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = run_app(tmp_path, tmp_path / "site", "machine=fixture", "--cfg", "job", "--resolve")
    where = subprocess.run(
        [sys.executable, "-c", "from mapanything_data.config import CONFIG_DIR; print(CONFIG_DIR)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    )

    assert "root: outputs/segments" in done.stdout
    assert Path(where.stdout.strip()) == tmp_path / "site" / "mapanything_data" / "configs"


def test_the_wheel_holds_both_packages_and_the_page_template_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "train/__init__.py" in names
    assert "mapanything_data/viz/templates/report.html.j2" in names
    assert not [name for name in names if name.startswith(("tests/", "data/", "docs/")) or "/local/default" in name]


def test_console_scripts_complete_choices_in_the_shell():
    script = Path(sys.executable).parent / "mapanything-check"
    line = f"{script} dataset="
    done = subprocess.run(
        [script, "-sc", "query=bash"],
        capture_output=True,
        text=True,
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))},
    )

    assert "dataset=segments" in done.stdout.split()
