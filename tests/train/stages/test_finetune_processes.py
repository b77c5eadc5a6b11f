"""Trainings as commands: killed, stopped, swept, and in several ranks."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest
import yaml
from tiny_runs import command, environment, rows, run, same_weights, weights


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


def test_two_ranks_learn_as_one_does_with_the_same_batches(tmp_path):
    one = run("train_params.max_num_of_imgs_per_gpu=4", folder=tmp_path / "one")
    two = run("distributed.world_size=2", folder=tmp_path / "two")

    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    for kind in ("train", "test"):
        for left, right in zip(rows(tmp_path / "one", kind), rows(tmp_path / "two", kind), strict=True):
            assert left.keys() == right.keys()
            for key, value in left.items():
                assert value == right[key] or value == pytest.approx(right[key], rel=2e-3, abs=1e-4), key


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
