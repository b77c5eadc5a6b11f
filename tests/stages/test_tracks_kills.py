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
from hub_process import HubProcess

pytest.importorskip("huggingface_hub")

EPISODES = 3
STEPS = "steps=[intrinsics,depth,tracks]"
FAULTS = ["commit:503:0.1", "commit:drop:0.1", "commit:drop_after:0.2", "paths:503:0.05", "info:429:0.1"]


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


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_loses_no_file_leaves_none_cut_short_and_sends_none_twice(
    kills, raw, undisturbed, tmp_path
):
    root = tmp_path / "made"
    arguments = command(
        raw, root, "steps=[intrinsics,depth,tracks,upload]", "source=droid_stereo", "executor=processes",
        "executor.workers=2", "hub.full_repo=me/full", "hub.metadata_repo=me/metadata", "hub.batch_size=1",
        "hub.backoff_s=0.02", "hub.request_timeout_s=5",
    )  # fmt: skip
    rng = random.Random(kills)
    killed = 0
    with HubProcess(tmp_path / "hub", *FAULTS, seed=kills) as hub:
        for attempt in range(kills):
            killed += run_and_kill(arguments, rng.uniform(0.6, 5.0), HF_ENDPOINT=hub.url, HF_TOKEN="hf_of_nobody")
            for name, content in contents(root).items():  # nothing ever stands under its own name that is not whole
                if name.endswith(("/tracks.npz", "/extrinsics.npz", "/depth.mkv", "/intrinsics.json")):
                    assert content == undisturbed[name], f"{name} after kill {attempt}"
            if complete(root, undisturbed):
                forget_an_episode(root, rng)
        assert killed >= kills // 2

        done = run_command(*arguments, HF_ENDPOINT=hub.url, HF_TOKEN="hf_of_nobody")

        assert done.returncode == 0, done.stdout + done.stderr
        assert contents(root) == undisturbed
        files = {name: content for name, content in undisturbed.items() if name.startswith("MADELab")}
        assert hub.files("me/full") == files
        assert hub.files("me/metadata") == {name: files[name] for name in files if "/depth" not in name}
        assert hub.doubled("me/full") == hub.doubled("me/metadata") == []


def run_and_kill(arguments: list[str], seconds: float, **environment: str) -> bool:
    """Run a command in a session of its own and SIGKILL all its processes after a time, unless it has ended."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", **environment}
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
