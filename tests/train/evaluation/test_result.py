"""Result files: rows and means as they are, no meaning as nothing, infinity as a word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mapanything_data.datasets.samples import BrokenSample
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.tables import read_csv, read_json
from train.evaluation.evaluation import Evaluation, Picture, SampleRow
from train.evaluation.result import results_table, write_results
from train.views.inputs import Input


def row(idx, views, scene, **metrics):
    return SampleRow("opv2v", idx, scene, f"9/0000{idx}/camera0", views, metrics)


@pytest.fixture
def evaluation():
    """Two scenes, 2 and 4 views; one sample without pairs, one with a prediction that is no number."""
    return Evaluation(
        inputs=frozenset({Input.depth, Input.images}),
        rows=[
            row(0, 2, "test/a", points_abs_rel=0.1, pose_auc_5=math.nan),
            row(1, 4, "test/a", points_abs_rel=0.3, pose_auc_5=50.0),
            row(2, 4, "test/b", points_abs_rel=math.inf, pose_auc_5=0.0),
        ],
        broken=[BrokenSample(3, "d.png: is cut short")],
        pictured=[Picture("opv2v", 1, np.full((4, 6, 3), 7, np.uint8))],
    )


def test_results_say_what_was_seen_and_what_was_not_measured(evaluation, tmp_path):
    write_results(tmp_path, evaluation, {"model": {"name": "tiny"}})
    found = read_json(tmp_path / "results.json")

    assert found["inputs"] == ["images", "depth"]
    assert found["model"] == {"name": "tiny"}
    assert found["samples"] == 3
    assert found["broken_samples"] == [{"idx": 3, "reason": "d.png: is cut short"}]
    assert found["not_finite_samples"] == [2]


def test_means_are_those_of_samples_with_a_meaning(evaluation, tmp_path):
    write_results(tmp_path, evaluation, {})
    found = read_json(tmp_path / "results.json")

    assert found["metrics"]["pose_auc_5"] == {"mean": 25.0, "samples": 2, "unit": "%", "higher_is_better": True}
    assert found["metrics"]["points_abs_rel"]["mean"] == "inf"
    assert found["by_scene"]["test/a"] == {"samples": 2, "points_abs_rel": pytest.approx(0.2), "pose_auc_5": 50.0}
    assert found["by_views"] == {
        "2": {"samples": 1, "points_abs_rel": 0.1, "pose_auc_5": None},
        "4": {"samples": 2, "points_abs_rel": "inf", "pose_auc_5": 25.0},
    }
    assert found["by_dataset"]["opv2v"]["samples"] == 3


def test_tables_have_a_row_for_each_sample_and_each_group(evaluation, tmp_path):
    write_results(tmp_path, evaluation, {})
    samples, groups = read_csv(tmp_path / "samples.tsv"), read_csv(tmp_path / "results.tsv")

    assert samples[0] == {
        "dataset": "opv2v",
        "idx": "0",
        "label": "test/a",
        "instance": "9/00000/camera0",
        "num_views": "2",
        "points_abs_rel": "0.1",
        "pose_auc_5": "",
    }
    assert [float(sample["points_abs_rel"]) for sample in samples] == [0.1, 0.3, math.inf]
    assert [(group["group"], group["name"], group["samples"]) for group in groups] == [
        ("all", "", "3"),
        ("scene", "test/a", "2"),
        ("scene", "test/b", "1"),
        ("views", "2", "1"),
        ("views", "4", "2"),
        ("dataset", "opv2v", "3"),
    ]


def test_pictures_are_named_after_their_samples(evaluation, tmp_path):
    write_results(tmp_path, evaluation, {})

    assert decode_png(tmp_path / "pictures" / "opv2v_000001.png").tolist() == np.full((4, 6, 3), 7).tolist()


def test_the_table_begins_with_counts_and_has_a_column_for_each_view_count(evaluation):
    assert results_table(evaluation).splitlines() == [
        "3 samples of 2 scenes, 1 more were broken, 1 have predictions that are no numbers",
        "seen: images, depth  all  2 views  4 views",
        "points_abs_rel       inf      0.1      inf  lower is better",
        "pose_auc_5            25        -       25  %, higher is better",
    ]


def test_an_evaluation_without_samples_can_be_told(tmp_path):
    nothing = Evaluation(frozenset({Input.images}), [], [BrokenSample(0, "gone")], [])
    write_results(tmp_path, nothing, {})

    assert read_json(tmp_path / "results.json")["samples"] == 0
    assert results_table(nothing) == "0 samples of 0 scenes, 1 more were broken\nseen: images only  all"
