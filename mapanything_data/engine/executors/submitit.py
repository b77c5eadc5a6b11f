"""The executor that runs shards as jobs of a Slurm cluster, through submitit."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import FrameType
from typing import Any, Protocol

from mapanything_data.config import component
from mapanything_data.engine.cores import allowed_cores
from mapanything_data.engine.deaths import Deaths
from mapanything_data.engine.options import require_at_least
from mapanything_data.engine.shard import Shard, ShardTask
from mapanything_data.errors import UserError, require

_RESTARTS = 1000
"""submitit gives up after so many requeues and raises inside of the item; the journal counts attempts instead."""
_STOP_GRACE_S = 60.0
_RESULT_GRACE_S = 5.0
"""How long a result may take to show up on a shared file system after its job has left the queue."""


class Cluster(str, Enum):
    """Where jobs run."""

    auto = "auto"
    """`slurm` where a Slurm cluster answers, else `local`"""
    slurm = "slurm"
    """an array job on the Slurm cluster that `sbatch` reaches"""
    local = "local"
    """processes on this machine, started and requeued in the same way"""
    debug = "debug"
    """this process, one job after the other"""


@component("executor", "submitit")
@dataclass(kw_only=True, slots=True)
class SubmititExecutor:
    """Jobs of a Slurm cluster whose nodes share the output's file system; requeued when preempted or out of time."""

    cluster: Cluster = Cluster.auto
    """`slurm` for an array job, `local` for processes of this machine, `debug` for this process; `auto` takes `slurm`
    where a cluster answers and else `local`."""
    jobs: int = 8
    """Number of jobs that the items are split into."""
    parallel_jobs: int = 256
    """At most this many jobs run at once."""
    cores: int = 4
    """Cores of each job."""
    gpus: int = 0
    """GPUs of each job."""
    memory_gb: int | None = None
    """Memory of each job, GB; null takes the cluster's default."""
    time_min: int = 240
    """Minutes after which a job is requeued; it goes on where it stopped."""
    signal_delay_s: int = 90
    """Seconds before the end of its time at which a job is told to stop."""
    partition: str | None = None
    """Slurm partition; null takes the cluster's default."""
    account: str | None = None
    """Slurm account; null takes the cluster's default."""
    sbatch_options: str = ""
    """More options of sbatch, as on its command line: --constraint=a100 --exclusive."""
    poll_s: float = 5.0
    """Seconds between two looks at the queue, which are a cost for the cluster's controller."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        require_at_least(1, jobs=self.jobs, parallel_jobs=self.parallel_jobs, cores=self.cores, time_min=self.time_min)
        require_at_least(0, gpus=self.gpus, signal_delay_s=self.signal_delay_s)
        require_at_least(0.05, poll_s=self.poll_s)

    def worker_cores(self) -> int:
        """Cores that an item may use."""
        return self.cores

    def shard_count(self, items: int) -> int:
        """One shard for each job."""
        return max(1, min(self.jobs, items))

    def map(self, task: ShardTask, shards: Sequence[Shard]) -> None:
        """Run each shard as a job; one that died is submitted again.

        Raises:
            MissingDependencyError: submitit is not installed.
            UserError: What a job's `setup` or its disk refused, a job was cancelled, or jobs die before any item.
        """
        if self.cluster is Cluster.auto:
            replace(self, cluster=_find_cluster()).map(task, shards)
            return
        queue = self._open_queue(task)
        deaths = Deaths(task.folder)
        runner = _Runner(replace(task, isolated=self.cluster is not Cluster.debug))
        waiting: list[Shard] = list(shards)
        running: dict[str, tuple[Any, Shard]] = {}
        try:
            while waiting or running:
                room = self._local_places() - len(running) if self.cluster is Cluster.local else len(waiting)
                batch, waiting = waiting[:room], waiting[room:]
                if batch:
                    jobs = queue.submit(runner, batch)
                    running.update({job.job_id: (job, shard) for job, shard in zip(jobs, batch, strict=True)})
                for job_id in queue.ended({job_id: job for job_id, (job, _) in running.items()}):
                    job, shard = running.pop(job_id)
                    if not queue.collect(job):
                        deaths.count(shard.index, f"job {job_id}, log {job.paths.stderr}")
                        waiting.append(shard)
                if running:
                    time.sleep(self.poll_s if self.cluster is Cluster.slurm else 0.1)
        except BaseException:
            queue.cancel([job for job, _ in running.values()])
            raise

    def _local_places(self) -> int:
        """How many jobs this machine can run at once."""
        return max(1, min(self.parallel_jobs, allowed_cores() // self.cores))

    def _open_queue(self, task: ShardTask) -> _Queue:
        require("submitit")
        import submitit

        folder = task.folder.path / "jobs"
        if self.cluster is Cluster.debug:
            return _DebugQueue(submitit.DebugExecutor(folder))
        if self.cluster is Cluster.local:
            executor = submitit.LocalExecutor(folder, max_num_timeout=_RESTARTS)
            executor.update_parameters(timeout_min=self.time_min, signal_delay_s=self.signal_delay_s)
            if self.gpus:
                executor.update_parameters(gpus_per_node=self.gpus)
            return _LocalQueue(executor)
        try:
            executor = submitit.SlurmExecutor(folder, max_num_timeout=_RESTARTS)
        except RuntimeError as error:
            raise UserError(
                "executor.cluster=slurm",
                f"there is no Slurm here ({error})",
                remedy="run this on a node of the cluster that can submit jobs, or use executor.cluster=local",
            ) from error
        name = f"mapanything-{task.work.name}-{task.folder.path.name}"
        executor.update_parameters(**self._sbatch_parameters(name))
        return _SlurmQueue(executor, name)

    def _sbatch_parameters(self, name: str) -> dict[str, Any]:
        parameters = {
            "job_name": name,
            "time": self.time_min,
            "signal_delay_s": self.signal_delay_s,
            "cpus_per_task": self.cores,
            "array_parallelism": self.parallel_jobs,
            "gpus_per_node": self.gpus or None,
            "mem": f"{self.memory_gb}GB" if self.memory_gb else None,
            "partition": self.partition,
            "account": self.account,
            "additional_parameters": {"requeue": True, **self._more_options()},
        }
        return {key: value for key, value in parameters.items() if value is not None}

    def _more_options(self) -> dict[str, str | bool]:
        split = (option.removeprefix("--").partition("=") for option in shlex.split(self.sbatch_options))
        return {name.replace("-", "_"): value if equals else True for name, equals, value in split}


@dataclass(frozen=True)
class _Runner:
    """What a job calls. submitit asks for `checkpoint` when the job is preempted or out of time."""

    task: ShardTask

    def __call__(self, shard: Shard) -> Exception | None:
        """Run the shard; an error is returned, since submitit would make text of it (or start a debugger)."""
        if self.task.isolated:
            signal.signal(signal.SIGTERM, _leave)  # submitit ignores it; waiting for SIGKILL would use up an attempt
        try:
            self.task(shard)
        except Exception as error:  # noqa: BLE001 - it is raised again where the run was started
            return error
        return None

    def checkpoint(self, shard: Shard) -> Any:
        """The same again: the journal and the outputs say what is left of the shard."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, shard)


class _Queue(Protocol):
    """What the clusters do in different ways."""

    def submit(self, runner: _Runner, shards: Sequence[Shard]) -> list[Any]:
        """Submit a job for each shard."""

    def ended(self, jobs: dict[str, Any]) -> list[str]:
        """Ids of those jobs that have ended, well or not."""

    def collect(self, job: Any) -> bool:
        """Take the result of a job that ended, or raise what its task raised; False means that it died without one."""

    def cancel(self, jobs: Sequence[Any]) -> None:
        """End jobs and wait until they are gone."""


class _DebugQueue:
    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, runner: _Runner, shards: Sequence[Shard]) -> list[Any]:
        return [self._executor.submit(runner, shard) for shard in shards]

    def ended(self, jobs: dict[str, Any]) -> list[str]:
        return list(jobs)

    def collect(self, job: Any) -> bool:
        error = job.result()  # the call is made now, in this process
        if error is not None:
            raise error
        return True

    def cancel(self, jobs: Sequence[Any]) -> None:
        """Nothing runs on its own."""


class _LocalQueue:
    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, runner: _Runner, shards: Sequence[Shard]) -> list[Any]:
        return list(self._executor.map_array(runner, shards))

    def ended(self, jobs: dict[str, Any]) -> list[str]:
        return [job_id for job_id, job in jobs.items() if job.done()]

    def collect(self, job: Any) -> bool:
        return _take_result(job)

    def cancel(self, jobs: Sequence[Any]) -> None:
        for job in jobs:
            job.cancel()
        _wait_until(lambda: all(job.done() for job in jobs))


class _SlurmQueue:
    """Asks squeue alone: submitit's own job states need sacct, which many clusters do not offer."""

    def __init__(self, executor: Any, name: str) -> None:
        self._executor = executor
        self._name = name
        self._absent_since: dict[str, float] = {}

    def submit(self, runner: _Runner, shards: Sequence[Shard]) -> list[Any]:
        from submitit.core.utils import FailedJobError

        try:
            return list(self._executor.map_array(runner, shards))
        except FailedJobError as error:
            last_line = str(error).strip().rpartition("\n")[2]
            raise UserError(
                "executor.cluster=slurm",
                f"sbatch refused the jobs ({last_line})",
                remedy="correct partition, account or sbatch_options, or use executor.cluster=local",
            ) from error

    def ended(self, jobs: dict[str, Any]) -> list[str]:
        listed = self._listed()
        if listed is None:
            return []
        now = time.monotonic()
        ended = []
        for job_id, job in jobs.items():
            if job_id in listed:
                self._absent_since.pop(job_id, None)
            elif job.paths.result_pickle.exists() or now - self._absent_since.setdefault(job_id, now) > _RESULT_GRACE_S:
                ended.append(job_id)
        return ended

    def collect(self, job: Any) -> bool:
        if _take_result(job):
            return True
        found = _slurm("squeue", "--noheader", "--states=all", f"--jobs={job.job_id}", "--format=%T")
        if "CANCELLED" in found.stdout:
            raise UserError(
                f"job {job.job_id}",
                "was cancelled, so the run stops",
                remedy="run the same command again: it goes on where it stopped",
            )
        return False

    def cancel(self, jobs: Sequence[Any]) -> None:  # noqa: ARG002 - by name, which also meets jobs of an unfinished submission
        _slurm("scancel", f"--name={self._name}")
        _wait_until(lambda: not self._listed())

    def _listed(self) -> set[str] | None:
        """Ids of the jobs that wait, run or are just ending; None when the controller does not answer."""
        found = _slurm("squeue", "--noheader", "--array", f"--name={self._name}", "--format=%i")
        return set(found.stdout.split()) if found.returncode == 0 else None


def _take_result(job: Any) -> bool:
    """Read the result of a job that ended; False means that it died without one."""
    if not job.paths.result_pickle.exists():
        return False
    from submitit.core.utils import pickle_load

    outcome, error = pickle_load(job.paths.result_pickle)
    if outcome == "error":
        last_line = str(error).strip().rpartition("\n")[2]
        raise UserError(f"job {job.job_id}", last_line, remedy=f"see {job.paths.stderr}")
    if error is not None:
        raise error
    return True


def _find_cluster() -> Cluster:
    if shutil.which("sinfo") and _slurm("sinfo", "--noheader").returncode == 0:
        return Cluster.slurm
    print("submitit: no Slurm cluster answers here, so the jobs run on this machine", file=sys.stderr)  # noqa: T201
    return Cluster.local


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _STOP_GRACE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)


def _leave(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)
