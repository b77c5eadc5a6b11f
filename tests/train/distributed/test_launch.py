"""Ranks are started together and end together, however one of them ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from ast import literal_eval
from pathlib import Path

import pytest
import torch
import toy_ranks
from toy_ranks import Toy

from mapanything_data.errors import ConfigError, DataError
from train.distributed import launch as launch_module
from train.distributed.launch import launch
from train.distributed.rank_process import RankError
from train.distributed.ranks import join_ranks
from train.settings.distributed import Backend, Distributed

PROGRAM = toy_ranks.__file__
SECONDS = 20.0
"""More than a failure may take on a busy machine, and less than the 60 seconds after which collectives give up."""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """That of a shell, in which no launcher has set anything."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    roots = [str(Path(PROGRAM).parent), str(Path(PROGRAM).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(roots))
    monkeypatch.setattr(launch_module, "cores_per_worker", lambda workers: 1)


def toy(folder: Path, world_size: int = 2, **options) -> Toy:
    folder.mkdir(exist_ok=True)
    return Toy(distributed=Distributed(world_size=world_size, timeout_s=60, **options), folder=folder)


def seen_by(folder: Path, rank: int) -> dict:
    return literal_eval((folder / f"rank{rank}").read_text())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def pids(folder: Path) -> list[int]:
    """Those of both ranks, when they have told them."""
    deadline = time.monotonic() + 60
    while not all((folder / f"pid{rank}").exists() for rank in (0, 1)):
        assert time.monotonic() < deadline, "the ranks do not start"
        time.sleep(0.02)
    return [int((folder / f"pid{rank}").read_text()) for rank in (0, 1)]


def wait_until_gone(pids: list[int], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a rank is left behind"
        time.sleep(0.02)


def test_a_world_of_one_runs_in_this_process(tmp_path):
    assert launch(toy_ranks.exchange, toy(tmp_path, world_size=1), Distributed(world_size=1)) == 3

    seen = seen_by(tmp_path, 0)
    assert (seen["sum"], seen["gathered"], seen["broadcast"]) == ([1.0, 10.0], [{"rank": 0}], "from 0")
    assert "RANK" not in os.environ


def test_ranks_exchange_what_they_have_and_the_highest_code_is_returned(tmp_path):
    settings = toy(tmp_path)

    assert launch(toy_ranks.exchange, settings, settings.distributed) == 4

    first, second = seen_by(tmp_path, 0), seen_by(tmp_path, 1)
    for seen in (first, second):
        assert seen["sum"] == [3.0, 30.0]  # 1 + 2, 10 + 20
        assert seen["gathered"] == [{"rank": 0}, {"rank": 1}]
        assert seen["broadcast"] == "from 0"
        assert seen["threads"] == 1  # a share of the cores
        assert seen["device"] == "cpu"
    assert (first["kept"], second["kept"]) == ([1.0, 10.0], [2.0, 20.0])  # a sum is a new tensor
    assert (first["is_main"], second["is_main"]) == (True, False)
    assert "RANK" not in os.environ
    assert "MASTER_PORT" not in os.environ


@pytest.mark.parametrize(
    ("function", "ending", "error", "told"),
    [
        (
            toy_ranks.fail,
            "raises",
            RankError,
            ["rank 1: failed", "toy_ranks.py", "ZeroDivisionError: nothing to divide"],
        ),
        (toy_ranks.fail, "crashes", RankError, ["rank 1: was killed by SIGSEGV"]),
        (toy_ranks.fail, "leaves", RankError, ["rank 1: left with exit code 7"]),
        (toy_ranks.fail_in_collective, "refuses", DataError, ["clouds/17.pcd: is empty", "record it again"]),
        (toy_ranks.fail_in_collective, "is_killed", RankError, ["rank 1: was killed by SIGKILL", "out of memory"]),
    ],
)
def test_a_rank_that_ends_badly_ends_all_and_is_the_one_that_is_told_of(tmp_path, function, ending, error, told):
    settings = toy(tmp_path / ending)
    began = time.monotonic()

    with pytest.raises(error) as caught:
        launch(function, settings, settings.distributed)

    assert time.monotonic() - began < SECONDS
    for words in told:
        assert words in str(caught.value)
    assert not any(is_running(pid) for pid in pids(settings.folder))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_all_ranks_save_and_leaves_none_behind(tmp_path, number):
    program = subprocess.Popen([sys.executable, PROGRAM, "wait_for_signal", "2", tmp_path], start_new_session=True)
    ranks = pids(tmp_path)

    if number == signal.SIGINT:  # Ctrl-C in a terminal reaches the ranks, too
        os.killpg(program.pid, number)
    else:
        program.send_signal(number)

    assert program.wait(SECONDS) == 128 + number
    assert [(tmp_path / f"saved{rank}").read_text() for rank in (0, 1)] == ["whole", "whole"]
    assert not any(is_running(pid) for pid in ranks)


def test_a_second_signal_ends_ranks_that_hang(tmp_path):
    folder = toy(tmp_path / "hangs").folder
    program = subprocess.Popen([sys.executable, PROGRAM, "wait_for_signal", "2", folder])
    ranks = pids(folder)

    program.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert program.poll() is None  # they have their time
    program.send_signal(signal.SIGTERM)

    assert program.wait(SECONDS) == 143
    assert not any(is_running(pid) for pid in ranks)


def test_ranks_do_not_outlive_a_parent_that_is_killed(tmp_path):
    program = subprocess.Popen([sys.executable, PROGRAM, "wait_for_signal", "2", tmp_path])
    ranks = pids(tmp_path)

    program.kill()
    program.wait()

    wait_until_gone(ranks, SECONDS)
    assert (tmp_path / "saved0").exists()


def test_a_process_of_torchrun_joins_the_ranks_that_it_started(tmp_path):
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--rdzv-endpoint",
        "127.0.0.1:0",
    ]
    command = [*torchrun, "--rdzv-backend", "c10d", PROGRAM, "train", "7", tmp_path]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoint-last.pth").exists()


def test_tasks_of_slurm_that_do_not_know_each_other_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")

    with pytest.raises(ConfigError, match="srun started 4 tasks"):
        launch(toy_ranks.exchange, toy(tmp_path, world_size=1), Distributed(world_size=1))


def test_nccl_without_a_gpu_for_each_rank_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)

    with (
        pytest.raises(ConfigError, match="nccl with 0 GPUs for 2 ranks"),
        join_ranks(Distributed(backend=Backend.nccl)),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "value"), [("WORLD_SIZE", ""), ("WORLD_SIZE", "two"), ("LOCAL_RANK", ""), ("RANK", "2")]
)
def test_a_variable_that_is_missing_or_makes_no_sense_is_named(monkeypatch, name, value):
    for variable, sound in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(variable, sound)
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=f"^{name}: "), join_ranks(Distributed()):
        pass
