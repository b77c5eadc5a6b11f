"""A training from its configuration to its checkpoints, within this process."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml
from tiny_runs import PICTURES, config, rows, same_weights, weights

from mapanything_data.datasets.opv2v_options import OnBrokenSample
from mapanything_data.errors import ConfigError, DataError
from train.checkpoints.file import read_checkpoint, write_checkpoint
from train.losses.overall import OverallLoss, Weights
from train.models.compact import Compact, Size
from train.settings.train_params import Submodule
from train.stages.finetune import finetune


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The order of sums, and so the last bits, depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs with four steps each. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert finetune(config(folder, keep_freq=1, num_pictures=1)) == 0
    return folder


def test_a_run_keeps_checkpoints_logs_pictures_and_its_configuration(finished):
    names = {path.name for path in finished.iterdir()}

    assert names >= {f"checkpoint-{name}.pth" for name in ("last", "previous", "best", "final", "1", "2")}
    assert names >= {"config.yaml", "provenance.json", "console.log", "log.txt", "tensorboard", "pictures"}
    assert yaml.safe_load((finished / "config.yaml").read_text())["train_params"]["lr"] == 1e-3
    assert [path.name for path in sorted((finished / "pictures").iterdir())] == [
        "epoch_0001_sample0.png",
        "epoch_0002_sample0.png",
    ]


def test_each_step_and_each_evaluation_is_a_row(finished):
    assert [(row["epoch"], row["step"]) for row in rows(finished)] == [(n / 4, n) for n in range(1, 9)]
    assert [(row["epoch"], row["step"]) for row in rows(finished, "test")] == [(1, 4), (2, 8)]
    assert {"loss", "world_points", "rays", "lr", "grad_norm"} <= rows(finished)[0].keys()
    assert {"loss", "points_abs_rel", "depth_abs_rel", "rotation_error_deg"} <= rows(finished, "test")[0].keys()


def test_the_learning_rate_warms_up_for_half_an_epoch_and_falls(finished):
    rates = [row["lr"] for row in rows(finished)]

    assert rates[:2] == [pytest.approx(5e-4), pytest.approx(1e-3)]  # two of the four steps of half an epoch
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(5e-7)


def test_training_makes_the_loss_smaller(finished):
    assert rows(finished, "test")[1]["loss"] < rows(finished, "test")[0]["loss"]


def test_best_is_the_checkpoint_of_the_best_evaluation(finished):
    values = [row["points_abs_rel"] for row in rows(finished, "test")]
    best = read_checkpoint(finished / "checkpoint-best.pth")

    assert best["progress"]["best"] == min(values)
    assert same_weights(best["model"], weights(finished, str(1 + values.index(min(values)))))
    assert same_weights(weights(finished, "final"), weights(finished, "last"))


def test_a_checkpoint_says_how_it_was_made(finished):
    saved = json.loads(read_checkpoint(finished / "checkpoint-final.pth")["config"])

    assert saved["model"]["size"] == "tiny"
    assert saved["train_params"]["epochs"] == 2


def test_a_finished_run_has_nothing_left_to_do(finished, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in finished.glob("checkpoint-best.pth")}

    assert finetune(config(finished, keep_freq=1, num_pictures=1)) == 0

    assert "going on from" in capsys.readouterr().out
    assert len(rows(finished)) == 8
    assert {path.name: path.stat().st_mtime_ns for path in finished.glob("checkpoint-best.pth")} == before


def test_the_same_run_gives_the_same_weights(finished, tmp_path):
    finetune(config(tmp_path / "again", keep_freq=1))

    assert same_weights(weights(finished), weights(tmp_path / "again"))


def test_another_seed_gives_other_weights(finished, tmp_path):
    finetune(config(tmp_path / "other", seed=1))

    assert not same_weights(weights(finished), weights(tmp_path / "other"))


def test_more_epochs_go_on_from_the_last_one(finished, tmp_path):
    folder = tmp_path / "more"
    finetune(config(folder, epochs=1, num_pictures=0))
    finetune(config(folder, epochs=2, num_pictures=0))

    assert [row["step"] for row in rows(folder)] == list(range(1, 9))
    assert "changed since: train_params.epochs=1, now 2" in (folder / "console.log").read_text()


def test_a_batch_of_two_is_worth_two_batches_of_one(tmp_path):
    """Two batches of one sample that make one step, against one batch of the same two samples."""
    no_chance = Compact(size=Size.tiny)
    finetune(config(tmp_path / "two", max_num_of_imgs_per_gpu=4, epochs=1, model=no_chance))
    finetune(config(tmp_path / "accumulated", accum_iter=2, epochs=1, model=no_chance))

    for one, other in zip(rows(tmp_path / "two"), rows(tmp_path / "accumulated"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_frozen_parts_stay_as_they_were(tmp_path):
    rules = {"encoder": Submodule(lr=0.0), "heads": Submodule(lr=1e-4, clip_grad=0.1)}
    finetune(config(tmp_path, epochs=1, submodules=rules))

    torch.manual_seed(0)
    untrained = Compact(size=Size.tiny).build().state_dict()
    trained = weights(tmp_path)
    changed = {name.partition(".")[0] for name in trained if not torch.equal(trained[name], untrained[name])}
    assert "encoder" not in changed
    assert {"trunk", "heads"} <= changed
    assert "frozen" in (tmp_path / "console.log").read_text()


def test_the_average_is_what_is_evaluated_and_kept(tmp_path):
    finetune(config(tmp_path, epochs=1, ema_decay=0.9))

    last = read_checkpoint(tmp_path / "checkpoint-last.pth")
    assert same_weights(last["ema"], {name: weights(tmp_path, "best")[name] for name in last["ema"]})
    assert not same_weights(weights(tmp_path, "last"), weights(tmp_path, "best"))


def test_an_epoch_can_be_cut_short(tmp_path):
    finetune(config(tmp_path, limit_train_batches=2, limit_eval_samples=1, epochs=1))

    assert [row["epoch"] for row in rows(tmp_path)] == [0.5, 1.0]


def test_weights_of_a_run_are_where_another_starts(finished, tmp_path):
    started = Compact(size=Size.tiny, pretrained=str(finished / "checkpoint-best.pth"))
    finetune(config(tmp_path, epochs=1, lr=1e-12, model=started))

    for name, value in weights(finished, "best").items():
        torch.testing.assert_close(weights(tmp_path)[name], value, atol=1e-6, rtol=1e-4)


def test_a_damaged_last_checkpoint_is_named_and_the_one_before_serves(tmp_path, capsys):
    finetune(config(tmp_path, epochs=1, save_freq=0.5))
    (tmp_path / "checkpoint-last.pth").write_bytes(b"torn")

    assert finetune(config(tmp_path, epochs=1, save_freq=0.5)) == 0

    told = capsys.readouterr().out
    assert "passed over a damaged checkpoint" in told
    assert "checkpoint-last.pth" in told
    assert "checkpoint-previous.pth" in told


def test_a_loss_that_is_no_number_stops_before_it_reaches_the_weights(tmp_path):
    with pytest.raises(DataError, match="is not finite; the weights are as they were") as told:
        finetune(config(tmp_path, lr=1e30, warmup_epochs=0.0, clip_grad=None, save_freq=0.25))

    (dump,) = tmp_path.glob("not-finite-*.pth")
    assert str(dump) in str(told.value)
    assert read_checkpoint(dump)["batches"][0][0]["img"].shape[-2:] == (21, 28)


def torn(folder, pictures):
    """The data set with some pictures damaged, as options that leave such samples out."""
    root = folder / "data"
    shutil.copytree(PICTURES, root)
    for picture in root.glob(pictures):
        picture.write_bytes(b"torn")
    return {"root": str(root), "depth_root": f"{PICTURES}_depth", "on_broken_sample": OnBrokenSample.skip}


def test_test_samples_that_are_left_out_are_told(tmp_path):
    finetune(config(tmp_path / "run", epochs=1, dataset=torn(tmp_path, "test/*/*/000068_*.png")))

    assert "left out sample 0: " in (tmp_path / "run" / "console.log").read_text()
    assert len(rows(tmp_path / "run")) == 4


def test_an_epoch_of_which_no_sample_can_be_read_ends_the_run(tmp_path):
    with pytest.raises(DataError, match="epoch 1: all its samples were left out"):
        finetune(config(tmp_path / "run", epochs=1, dataset=torn(tmp_path, "train/*/*/*.png")))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"best_metric": "loss"}, r"train_params.best_metric: 'loss'"),
        ({"amp": "fp16"}, r"train_params.amp: fp16\n  expected: none or bf16 on a CPU"),
        ({"eval_inputs": ["image"]}, r"image: there is no such input; did you mean images\?"),
        ({"submodules": {"encodr": Submodule(lr=0.0)}}, r"did you mean encoder"),
        ({"max_num_of_imgs_per_gpu": 1}, r"train_params.max_num_of_imgs_per_gpu"),
        ({"warmup_epochs": 3.0}, r"train_params.warmup_epochs: 3.0\n  expected: at most epochs, 2"),
        ({"resolutions": [28, 21]}, r"train_params.resolutions: \[28, 21\]"),
        ({"seed": 2**64}, r"train_params.seed"),
        ({"resume": "nowhere.pth"}, r"nowhere.pth is not there"),
        ({"model": Compact(size=Size.tiny, agent_embedding=True)}, r"eval_inputs=\[images,agents\]"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        finetune(config(tmp_path, **options))


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "results.json").write_text("{}")

    with pytest.raises(ConfigError, match=r"holds results\.json and no training"):
        finetune(config(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_fewer_epochs_than_are_done_are_refused(tmp_path):
    finetune(config(tmp_path, epochs=2))

    with pytest.raises(ConfigError, match=r"train_params\.epochs: 1, and the run is in epoch 2 already"):
        finetune(config(tmp_path, epochs=1))


def test_a_refused_run_leaves_the_record_of_the_other(finished):
    before = (finished / "config.yaml").read_text()

    with pytest.raises(ConfigError):
        finetune(config(finished, loss=OverallLoss(weights=Weights(mask=0.0))))

    assert (finished / "config.yaml").read_text() == before


def test_a_run_that_goes_on_elsewhere_keeps_a_best_of_its_own(finished, tmp_path):
    finetune(config(tmp_path, resume=str(finished / "checkpoint-last.pth"), epochs=3))

    assert (tmp_path / "checkpoint-best.pth").exists()
    assert [row["step"] for row in rows(tmp_path)] == [9, 10, 11, 12]
    with pytest.raises(ConfigError, match="holds a run of its own"):
        finetune(config(tmp_path, resume=str(finished / "checkpoint-last.pth"), epochs=3))


def test_another_metric_begins_a_best_of_its_own(tmp_path):
    finetune(config(tmp_path, epochs=1))
    finetune(config(tmp_path, epochs=2, best_metric="rotation_error_deg"))

    saved = read_checkpoint(tmp_path / "checkpoint-best.pth")["progress"]
    assert saved["best_metric"] == "rotation_error_deg"
    assert saved["best"] == rows(tmp_path, "test")[-1]["rotation_error_deg"]


def test_a_changed_weight_decay_holds_from_then_on(tmp_path):
    finetune(config(tmp_path, epochs=1))
    finetune(config(tmp_path, epochs=2, weight_decay=0.5))

    groups = read_checkpoint(tmp_path / "checkpoint-last.pth")["optimizer"]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.5, 0.0}


def test_a_checkpoint_of_another_version_is_refused(finished, tmp_path):
    state = read_checkpoint(finished / "checkpoint-last.pth")
    write_checkpoint(tmp_path / "checkpoint-last.pth", state | {"format_version": 99})

    with pytest.raises(DataError, match="has format_version 99"):
        finetune(config(tmp_path, keep_freq=1, num_pictures=1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"resume": "never"}, "never, and .* holds a run"),
        ({"model": Compact(size=Size.tiny, max_agents=3)}, "model.max_agents=16, now 3"),
        ({"loss": OverallLoss(weights=Weights(mask=0.0))}, "loss.weights.mask=0.3, now 0.0"),
        ({"dataset": {"num_views": 4}, "max_num_of_imgs_per_gpu": 4}, "dataset.num_views=2, now 4"),
    ],
)
def test_a_run_does_not_go_on_as_another_one(finished, options, told):
    with pytest.raises(ConfigError, match=told):
        finetune(config(finished, **options))
