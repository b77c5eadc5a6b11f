"""The one-machine Slurm that the cluster tests run on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "local_slurm.sh"
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(shutil.which("slurmctld", path=PATH) is None, reason="Slurm is not installed"),
]


class Cluster:
    def __init__(self, folder: Path):
        self.folder = folder

    def script(self, command: str, path: str = PATH) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, command, self.folder],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, *command: str) -> str:
        environment = {**os.environ, "PATH": PATH, "SLURM_CONF": f"{self.folder}/slurm.conf"}
        return subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()

    def processes(self) -> set[int]:
        """All that live and name the folder in their command or environment: daemons, steps and jobs."""
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:  # it has just ended, or it is another user's
                continue
            if f"{self.folder}/".encode() in words:
                found.add(int(process.name))
        return found


def wait_until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "slurm")
    yield cluster
    cluster.script("stop")


@pytest.fixture
def cluster(stopped: Cluster) -> Cluster:
    started = stopped.script("start")
    assert started.returncode == 0, started.stderr
    return stopped


def test_start_prints_the_line_that_points_a_shell_at_the_cluster(stopped):
    assert stopped.script("start").stdout == f"export SLURM_CONF={stopped.folder}/slurm.conf\n"


def test_a_started_cluster_is_idle_and_runs_a_command(cluster):
    assert cluster.run("sinfo", "--noheader", "--format=%T") == "idle"
    assert cluster.run("srun", "hostname") == os.uname().nodename
    assert cluster.script("status").returncode == 0


def test_starting_twice_makes_one_cluster(cluster):
    before = cluster.processes()

    assert cluster.script("start").returncode == 0

    assert cluster.processes() == before


def test_an_array_of_four_runs_at_once_on_any_machine(cluster):
    meet = "touch arrived.$SLURM_ARRAY_TASK_ID; until [ $(ls arrived.* | wc -l) = 4 ]; do sleep 0.1; done"

    cluster.run("sbatch", "--wait", "--array=0-3", "--output=/dev/null", f"--wrap={meet}")


def test_a_requeued_job_runs_again_within_seconds(cluster):
    life = "touch life.${SLURM_RESTART_COUNT:-0}; sleep 100"
    job = cluster.run("sbatch", "--parsable", "--output=/dev/null", f"--wrap={life}")
    wait_until((cluster.folder / "life.0").exists)

    cluster.run("scontrol", "requeue", job)

    wait_until((cluster.folder / "life.1").exists)


def test_stop_leaves_no_process_and_no_folder(cluster):
    # The first sleep leaves its parent and its session, as a daemon does: Slurm loses it.
    cluster.run("sbatch", "--output=/dev/null", "--wrap=(setsid sleep 100 &); touch running; sleep 100")
    wait_until((cluster.folder / "running").exists)

    assert cluster.script("stop").returncode == 0

    assert cluster.processes() == set()
    assert not cluster.folder.exists()
    assert cluster.script("status").returncode == 1


def test_stop_after_a_crash_of_the_controller_leaves_no_process(cluster):
    # Slurm's own process above a job hides its command and environment, so the job tells who it is.
    cluster.run("sbatch", "--output=/dev/null", "--wrap=echo $PPID > step; touch running; sleep 100")
    wait_until((cluster.folder / "running").exists)
    step = Path("/proc", (cluster.folder / "step").read_text().strip(), "comm")
    assert step.read_text() == "slurmstepd\n"
    os.kill(int((cluster.folder / "slurmctld.pid").read_text()), signal.SIGKILL)

    assert cluster.script("stop").returncode == 0

    assert cluster.processes() == set()
    wait_until(lambda: not step.exists())


def test_a_cluster_whose_daemons_crashed_starts_again(cluster):
    for name in ("munged", "slurmctld", "slurmd"):
        os.kill(int((cluster.folder / f"{name}.pid").read_text()), signal.SIGKILL)

    assert cluster.script("start").returncode == 0

    assert cluster.run("srun", "echo", "back") == "back"


def test_stop_of_one_cluster_leaves_another_alone(cluster, tmp_path):
    other = Cluster(tmp_path / "other")
    other.script("start")

    other.script("stop")

    assert cluster.run("srun", "echo", "still here") == "still here"


def test_a_daemon_that_does_not_start_is_explained_by_its_log_and_leaves_nothing(stopped, tmp_path):
    broken = tmp_path / "bin" / "slurmd"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no such luck\nexit 1\n")
    broken.chmod(0o755)

    started = stopped.script("start", path=f"{broken.parent}:{PATH}")

    assert started.returncode == 1
    assert "slurmd ended at its start" in started.stderr
    assert "no such luck" in started.stderr
    assert started.stdout == ""
    assert stopped.processes() == set()


@pytest.mark.parametrize("command", ["start", "stop"])
def test_a_folder_with_other_things_is_refused_and_kept(stopped, command):
    stopped.folder.mkdir()
    (stopped.folder / "slurm.conf").write_text("the one of the machine")

    assert stopped.script(command).returncode == 1

    assert (stopped.folder / "slurm.conf").read_text() == "the one of the machine"
