"""The evaluate app on a small OPV2V root: files, inputs, weights, broken samples, ranks, sweeps."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from opv2v_data import write_root
from tiny_model import TinyModel, TinyNetwork

from mapanything_data.datasets.opv2v import OPV2VCoopFinetune, OPV2VFinetune
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.storage.opv2v import OPV2V
from mapanything_data.storage.tables import read_csv, read_json
from train.distributed.ranks import Ranks
from train.models.constant import Constant
from train.settings.distributed import Distributed, Strategy
from train.settings.train_params import Amp
from train.stages.evaluate import EvaluateConfig, evaluate, run_evaluation

ALONE = Ranks(0, 1, 0, torch.device("cpu"))


@pytest.fixture(autouse=True)
def listings_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    """Splits train and validate, agents 962 and 1007, frames 68 and 70."""
    return write_root(tmp_path / "opv2v", splits=("train", "validate"), frames=(68, 70))


def config(root, tmp_path, dataset=OPV2VFinetune, model=None, dataset_options=None, **options):
    options = {"amp": Amp.none, "pictures": 0, "output_dir": str(tmp_path / "results")} | options
    return EvaluateConfig(
        machine={"loader_workers": 0},
        dataset=dataset(root=str(root), resolution=[28, 14], **dataset_options or {}),
        model=model or TinyModel(),
        distributed=Distributed(),
        **options,
    )


def results_of(config):
    run_evaluation(config, ALONE)
    return read_json(Path(config.output_dir) / "results.json")


def test_every_test_sample_is_measured_and_written(root, tmp_path, capsys):
    found = results_of(config(root, tmp_path, pictures=1))

    folder = tmp_path / "results"
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "results.json", "results.tsv", "samples.tsv", "pictures",
    }  # fmt: skip
    rows = read_csv(folder / "samples.tsv")
    assert [row["idx"] for row in rows] == ["0", "1", "2", "3"]
    mean = np.mean([float(row["points_abs_rel"]) for row in rows])
    assert found["metrics"]["points_abs_rel"]["mean"] == pytest.approx(mean)
    assert found["model"]["name"] == "tiny"
    assert (found["dataset"]["name"], found["dataset"]["test_split"]) == ("opv2v_ft", "validate")
    assert found["dataset"]["summary"].startswith("validate: 4 samples of 1 scenes")
    assert found["run"]["software"]["torch"] == torch.__version__
    assert len(list((folder / "pictures").iterdir())) == 1
    assert "seen: images only" in capsys.readouterr().out


def test_images_only_is_the_default_and_the_result_names_other_inputs(root, tmp_path):
    assert results_of(config(root, tmp_path))["inputs"] == ["images"]
    more = config(root, tmp_path, inputs=["poses", "images"], output_dir=str(tmp_path / "more"))
    assert results_of(more)["inputs"] == ["images", "poses"]


def test_other_depth_on_the_disk_changes_errors_and_no_prediction(root, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(TinyModel, "build", lambda self: said.append(TinyNetwork()) or said[-1])
    one = results_of(config(root, tmp_path))
    for path in root.with_name("opv2v_depth").rglob("*.npy"):
        depth = np.load(path)
        np.save(path, np.where(depth > 0, depth * 1.7 + 3, 5).astype(depth.dtype))
    other = results_of(config(root, tmp_path, output_dir=str(tmp_path / "other")))

    for batch, twin in zip(said[0].said, said[1].said, strict=True):
        for view, same in zip(batch, twin, strict=True):
            assert all(torch.equal(value, same[key]) for key, value in view.items())
    assert one["metrics"]["points_abs_rel"]["mean"] != other["metrics"]["points_abs_rel"]["mean"]


def test_weights_are_loaded_and_named_by_their_digest(root, tmp_path):
    torch.manual_seed(3)
    weights = tmp_path / "weights.pth"
    torch.save({"model": TinyNetwork().state_dict()}, weights)

    loaded = results_of(config(root, tmp_path, model=TinyModel(pretrained=str(weights))))
    by_seed = results_of(config(root, tmp_path, seed=3, output_dir=str(tmp_path / "seed")))
    other = results_of(config(root, tmp_path, seed=4, output_dir=str(tmp_path / "other")))

    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert loaded["weights"] == {"source": str(weights), "sha256": {str(weights): digest}}
    assert by_seed["weights"] is None
    assert loaded["metrics"] == by_seed["metrics"] != other["metrics"]


def test_batches_hold_samples_of_one_view_count_and_a_limit_takes_fewer(root, tmp_path):
    for path in (root / "validate").glob("*/1007/000070*"):
        path.unlink()
    options = {"num_views": 6, "coop_min_agents": 1}
    coop = config(root, tmp_path, OPV2VCoopFinetune, dataset_options=options, max_num_of_imgs_per_gpu=20)
    limited = config(root, tmp_path, limit=2, output_dir=str(tmp_path / "limited"))

    assert {views: group["samples"] for views, group in results_of(coop)["by_views"].items()} == {"4": 1, "6": 1}
    assert results_of(limited)["samples"] == 2


def test_broken_samples_are_counted_where_they_are_skipped(root, tmp_path):
    next((root / "validate").glob("*/962/000068_camera1.png")).write_bytes(b"no picture")
    skipping = config(root, tmp_path, dataset_options={"on_broken_sample": "skip"})
    stopping = config(root, tmp_path, output_dir=str(tmp_path / "stopping"))

    found = results_of(skipping)

    assert found["samples"] == 3
    ((idx, reason),) = [sample.values() for sample in found["broken_samples"]]
    assert idx == 0
    assert "000068_camera1.png" in reason
    with pytest.raises(DataError, match=r"000068_camera1\.png"):
        run_evaluation(stopping, ALONE)


def test_nothing_but_broken_samples_is_an_error_that_leaves_the_list(root, tmp_path):
    for path in (root / "validate").rglob("*_camera0.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="all samples are broken"):
        run_evaluation(config(root, tmp_path, dataset_options={"on_broken_sample": "skip"}), ALONE)

    assert len(read_json(tmp_path / "results" / "results.json")["broken_samples"]) == 4


def test_results_are_not_written_over_others(root, tmp_path):
    once = config(root, tmp_path)

    assert evaluate(once) == 0
    with pytest.raises(ConfigError, match="holds results already"):
        evaluate(once)


def test_what_makes_no_sense_is_refused_before_anything_is_written(root, tmp_path):
    wrong = config(root, tmp_path, inputs=["images", "pose"])
    with pytest.raises(ConfigError, match=r"inputs: pose: there is no such input; did you mean poses\?"):
        evaluate(wrong)
    sharded = config(root, tmp_path)
    sharded.distributed.strategy = Strategy.fsdp
    with pytest.raises(ConfigError, match=r"distributed\.strategy: 'fsdp'"):
        evaluate(sharded)
    no_views = config(root, tmp_path)
    no_views.dataset = OPV2V(root=str(root))
    with pytest.raises(ConfigError, match=r"(?s)dataset=opv2v: is not for this app.*dataset=opv2v_coop_ft"):
        evaluate(no_views)
    with pytest.raises(ConfigError, match="limit: 0"):
        config(root, tmp_path, limit=0)
    assert not (tmp_path / "results").exists()


def command(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "train.evaluate", "machine=fixture", "model=constant", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Together:
    """A rank among two threads of one process."""

    def __init__(self, rank, mailbox, barrier):
        self.rank, self.world_size, self.device, self.is_main = rank, 2, torch.device("cpu"), rank == 0
        self._mailbox, self._barrier = mailbox, barrier

    def gather(self, value):
        self._mailbox[self.rank] = value
        self._barrier.wait()
        values = [self._mailbox[rank] for rank in range(2)]
        self._barrier.wait()
        return values


def test_two_ranks_write_what_one_does(root, tmp_path):
    one = config(root, tmp_path, model=Constant(), pictures=2, max_num_of_imgs_per_gpu=4)
    two = config(
        root, tmp_path, model=Constant(), pictures=2, max_num_of_imgs_per_gpu=4, output_dir=str(tmp_path / "two")
    )
    run_evaluation(one, ALONE)
    mailbox, barrier = {}, Barrier(2, timeout=60)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda rank: run_evaluation(two, Together(rank, mailbox, barrier)), range(2)))

    files = sorted(path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*.*"))
    assert len(files) == 6
    for file in files:
        if file.name not in ("config.yaml", "results.json"):
            assert (tmp_path / "results" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    assert read_json(tmp_path / "two" / "results.json")["ranks"] == 2


def test_by_itself_a_run_has_a_folder_of_its_own_and_help_loads_no_torch(tmp_path):
    shown = command("--cfg", "job", "--resolve", cwd=tmp_path)
    program = "import sys, train.stages.evaluate; sys.exit(' '.join({'torch', 'cv2'} & set(sys.modules)) or 0)"
    light = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )

    assert "output_dir: outputs/experiments/evaluations/20" in shown
    assert (light.returncode, light.stderr) == (0, "")
