"""Results side by side: only where they say something about each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mapanything_data.errors import DataError
from mapanything_data.storage.tables import write_json
from train.evaluation.comparison import comparison_table

SCRIPT = Path(__file__).parents[3] / "scripts" / "compare_results.py"


def results(depth=0.25, rotation=None, inputs=("images",), samples=48, **dataset):
    """What results.json holds, as far as it is compared."""
    values = {
        "depth_abs_rel": depth,
        "points_abs_rel": "inf",
        "rotation_error_deg": rotation,
        "translation_error": 0.125,
        "ate_rmse": 0.0625,
    }
    return {
        "inputs": list(inputs),
        "samples": samples,
        "dataset": {"name": "opv2v_ft", "root": "town", "test_split": "test"} | dataset,
        "metrics": {name: {"mean": mean} for name, mean in values.items()},
    }


def test_each_evaluation_has_a_row_and_each_metric_a_column_with_its_unit():
    table = comparison_table({"untrained": results(rotation=127.5), "stage1": results(depth=0.123456)})
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["depth_abs_rel", "points_abs_rel", "rotation_error_deg", "translation_error", "ate_rmse"],
        re.findall(r"\S+", "(lower is better) (lower is better) (deg, lower is better) " + "(lower is better) " * 2),
        ["untrained", "0.25", "inf", "127.5", "0.125", "0.0625"],
        ["stage1", "0.1235", "inf", "-", "0.125", "0.0625"],
    ]


def test_the_first_line_says_what_was_measured_and_what_the_models_saw():
    one = comparison_table({"a": results()}).splitlines()[0]
    assert one == "48 samples of opv2v_ft, split test; seen: images only"
    other = comparison_table({"a": results(inputs=["images", "poses"])}).splitlines()[0]
    assert other.endswith("seen: images, poses")


def test_columns_stand_below_each_other():
    table = comparison_table({"a": results(rotation=1.0), "a_longer_name": results(rotation=120.0)})
    _, names, *rows = table.splitlines()
    assert {len(row) for row in rows} == {len(names)}


@pytest.mark.parametrize(
    ("other", "key"),
    [
        (results(inputs=["images", "depth"]), "inputs"),
        (results(samples=47), "samples"),
        (results(root="other_town"), "dataset.root"),
        (results(resolution=[84, 63]), "dataset.resolution"),
    ],
)
def test_results_that_say_nothing_about_each_other_are_refused(other, key):
    with pytest.raises(DataError, match=rf"results of b: {re.escape(key)} is"):
        comparison_table({"a": results(), "b": other})


def test_the_script_prints_the_table_or_the_error(tmp_path):
    for name, document in {"one": results(), "two": results(depth=0.5), "other": results(samples=3)}.items():
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "results.json", document)

    def compare(*names):
        command = [sys.executable, str(SCRIPT), *(str(tmp_path / name) for name in names)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert compare("one", "two").stdout == comparison_table({"one": results(), "two": results(depth=0.5)}) + "\n"
    refused = compare("one", "other")
    assert refused.returncode == 1
    assert "results of other: samples is 3" in refused.stderr
    assert "Traceback" not in compare("one", "missing").stderr
