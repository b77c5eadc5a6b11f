"""Trainings as commands: killed, stopped, swept, and in several ranks."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest
import torch
import yaml
from tiny_runs import ROOT, LossWithAHole, command, config, environment, numbers, rows, run, same_weights, weights

from mapanything_data.errors import DataError
from train.checkpoints.file import read_checkpoint
from train.settings.distributed import Distributed
from train.stages.finetune import finetune

AVERAGED = ["train_params.ema_decay=0.9", "train_params.limit_eval_samples=3"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run("train_params.save_freq=0.25", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def steps_of(folder):
    log = folder / "log.txt"
    return log.read_text().count('"kind": "train"') if log.exists() else 0


def stopped_after(steps, sent, folder, *overrides):
    """Start the command, send a signal once its log has so many steps; returns the exit code."""
    with subprocess.Popen(
        command("train_params.save_freq=0.25", *overrides, folder=folder),
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while steps_of(folder) < steps and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(sent)
        return process.wait(60)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bits(undisturbed, tmp_path):
    chance = random.Random(0)
    for steps in (2, 5, 7):
        assert stopped_after(steps, signal.SIGKILL, tmp_path) in (0, -signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.05))
    done = run("train_params.save_freq=0.25", folder=tmp_path)

    assert done.returncode == 0
    assert same_weights(weights(tmp_path), weights(undisturbed))
    assert same_weights(weights(tmp_path, "best"), weights(undisturbed, "best"))
    assert rows(tmp_path, "") == rows(undisturbed, "")  # no row twice, none lost


def test_a_run_that_was_asked_to_stop_saves_first(undisturbed, tmp_path):
    code = stopped_after(3, signal.SIGTERM, tmp_path, "train_params.save_freq=10")

    assert code == 128 + signal.SIGTERM
    assert (tmp_path / "checkpoint-last.pth").exists()
    assert "goes on from there" in (tmp_path / "console.log").read_text()
    assert run("train_params.save_freq=0.25", folder=tmp_path).returncode == 0
    assert same_weights(weights(tmp_path), weights(undisturbed))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One rank with the batches of two; three test samples, which is one for the second of two ranks."""
    folder = tmp_path_factory.mktemp("alone")
    done = run("train_params.max_num_of_imgs_per_gpu=4", *AVERAGED, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_learn_as_one_does_with_the_same_batches(alone, tmp_path, strategy):
    """Ranks add up gradients in another order, which differ by 3e-7 of their norm after the first step.

    AdamW divides each by its own size. So one that is nothing but rounding, such as 1e-8 for the bias of a pixel's
    confidence, moves its parameter by a step of the learning rate all the same, in whichever direction, and from the
    second step on that shows.
    """
    two = run("distributed.world_size=2", f"distributed.strategy={strategy}", *AVERAGED, folder=tmp_path)

    assert two.returncode == 0, two.stderr
    tolerances = [(1e-6, 1e-6), (1e-5, 5e-4), (5e-5, 2e-3), (5e-5, 2e-3)]  # of the loss, and of all else
    for left, right, (of_loss, of_all) in zip(rows(alone), rows(tmp_path), tolerances, strict=True):
        assert left["loss"] == pytest.approx(right["loss"], rel=of_loss)
        assert numbers(left) == pytest.approx(numbers(right), rel=of_all, abs=1e-7)
    for left, right in zip(rows(alone, "test"), rows(tmp_path, "test"), strict=True):
        assert numbers(left) == pytest.approx(numbers(right), rel=1e-3, abs=1e-4)
    for name in ("last", "best"):
        ours, theirs = weights(alone, name), weights(tmp_path, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.allclose(ours[key], theirs[key], rtol=0, atol=2e-3) for key in ours)  # two steps of lr


def test_a_rank_without_samples_changes_nothing(tmp_path):
    """Four samples for three ranks: the second step has one, and two ranks have none."""
    three = run("distributed.world_size=3", "train_params.epochs=1", folder=tmp_path / "three")
    one = run("train_params.max_num_of_imgs_per_gpu=6", "train_params.epochs=1", folder=tmp_path / "one")

    assert (three.returncode, one.returncode) == (0, 0), three.stderr
    for left, right, tolerance in zip(rows(tmp_path / "three"), rows(tmp_path / "one"), (1e-6, 5e-4), strict=True):
        assert numbers(left) == pytest.approx(numbers(right), rel=tolerance, abs=1e-7)


def test_a_loss_that_is_no_number_in_one_rank_stops_all_in_the_same_step(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests' / 'train'}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run_of_two = config(tmp_path, loss=LossWithAHole(index=2), distributed=Distributed(world_size=2))

    with pytest.raises(DataError, match=r"step \d: the loss is not finite") as told:
        finetune(run_of_two)

    (dump,) = tmp_path.glob("not-finite-*.pth")  # of the rank that had the sample
    assert f"what went in is in {dump}\n" in str(told.value)
    assert 2 in read_checkpoint(dump)["batches"][0][0]["idx"]


def test_two_ranks_write_into_one_folder_and_tell_once(tmp_path):
    done = run("distributed.world_size=2", "train_params.epochs=1", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished: 1 epochs, 2 steps") == 1
    assert len(list(tmp_path.glob("tensorboard/*"))) == 1


def test_a_sweep_gives_each_run_a_folder_with_its_configuration(tmp_path):
    done = run("-m", "train_params.lr=1e-3,1e-4", "train_params.epochs=1", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    rates = [yaml.safe_load((tmp_path / job / "config.yaml").read_text())["train_params"]["lr"] for job in ("0", "1")]
    assert rates == [1e-3, 1e-4]
    assert not same_weights(weights(tmp_path / "0"), weights(tmp_path / "1"))


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    with subprocess.Popen(
        command("train_params.epochs=1000", folder=tmp_path),
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as first:  # fmt: skip
        while not (tmp_path / "console.log").exists() and first.poll() is None:
            time.sleep(0.01)
        second = run(folder=tmp_path)
        first.kill()

    assert second.returncode == 2
    assert "another run of finetune is writing here" in second.stderr


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_no_bit(undisturbed, tmp_path):
    chance = random.Random(1)
    for _ in range(20):
        with subprocess.Popen(
            command("train_params.save_freq=0.25", folder=tmp_path),
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            time.sleep(chance.uniform(2, 12))
            process.kill()
    assert run("train_params.save_freq=0.25", folder=tmp_path).returncode == 0

    assert same_weights(weights(tmp_path), weights(undisturbed))
    assert rows(tmp_path, "") == rows(undisturbed, "")


@pytest.mark.slow
def test_kills_change_no_bit_with_workers_bf16_an_average_and_groups_of_batches(tmp_path):
    options = [
        "machine.loader_workers=2", "train_params.amp=bf16", "train_params.ema_decay=0.9", "train_params.accum_iter=3",
        "train_params.resolutions=[[28,21],[35,28]]", "train_params.save_freq=0.25", "train_params.epochs=3",
    ]  # fmt: skip
    assert run(*options, folder=tmp_path / "undisturbed").returncode == 0
    chance = random.Random(2)
    for _ in range(6):
        with subprocess.Popen(
            command(*options, folder=tmp_path / "killed"),
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            time.sleep(chance.uniform(3, 12))
            process.kill()
    assert run(*options, folder=tmp_path / "killed").returncode == 0

    for name in ("final", "best"):
        assert same_weights(weights(tmp_path / "killed", name), weights(tmp_path / "undisturbed", name))
    assert rows(tmp_path / "killed", "") == rows(tmp_path / "undisturbed", "")
