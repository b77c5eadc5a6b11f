"""One scene learnt by heart: model, loss, gradients, optimiser and metrics fit together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mapanything_data.storage.tables import read_json

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_points_of_a_scene_that_was_learnt_by_heart_are_right_to_a_tenth(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "scripts" / "overfit_one_scene.sh", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = read_json(tmp_path / "results" / "results.json")["metrics"]
    assert metrics["points_abs_rel"]["mean"] < 0.1
    assert metrics["rotation_error_deg"]["mean"] < 1
