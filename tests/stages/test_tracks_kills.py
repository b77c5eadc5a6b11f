"""A recipe that is killed again and again ends with the files of one that was never disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from droid_runs import command, contents, draw_episodes, run_command

EPISODES = 3
STEPS = "steps=[intrinsics,depth,tracks]"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("droid") / "raw"
    draw_episodes(root, EPISODES)
    return root


@pytest.fixture(scope="module")
def undisturbed(raw, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed") / "made"
    done = run_command(*command(raw, root, STEPS, "source=droid_stereo"))
    assert done.returncode == 0, done.stderr
    return contents(root)


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_loses_no_file_and_leaves_none_cut_short(kills, raw, undisturbed, tmp_path):
    root = tmp_path / "made"
    arguments = command(raw, root, STEPS, "source=droid_stereo", "executor=processes", "executor.workers=2")
    rng = random.Random(kills)

    killed = 0
    for attempt in range(kills):
        killed += run_and_kill(arguments, rng.uniform(0.4, 4.0))
        for name, content in contents(root).items():  # nothing ever stands under its own name that is not whole
            if name.endswith(("/tracks.npz", "/extrinsics.npz", "/depth.mkv", "/intrinsics.json")):
                assert content == undisturbed[name], f"{name} after kill {attempt}"
        if complete(root, undisturbed):
            forget_an_episode(root, rng)
    assert killed >= kills // 2

    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr
    assert contents(root) == undisturbed


def run_and_kill(arguments: list[str], seconds: float) -> bool:
    """Run a command in a session of its own and SIGKILL all its processes after a time, unless it has ended."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.05)
        return True
    return False


def complete(root: Path, undisturbed: dict[str, bytes]) -> bool:
    return root.is_dir() and contents(root).keys() >= undisturbed.keys()


def forget_an_episode(root: Path, rng: random.Random) -> None:
    """Take the result of an episode away, so that there is something to do, and to kill, again."""
    quality = rng.choice(sorted(root.glob("*/*/*/*/quality.json")))
    for path in sorted(quality.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
