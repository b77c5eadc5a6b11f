"""The executor that spreads shards over processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import FrameType

from mapanything_data.config import component
from mapanything_data.engine.cores import allowed_cores, cores_per_worker
from mapanything_data.engine.deaths import Deaths
from mapanything_data.engine.gpus import allowed_gpus
from mapanything_data.engine.options import require_at_least
from mapanything_data.engine.shard import Shard, ShardTask

SHARDS_PER_WORKER = 16
"""Enough that workers end at about the same time, few enough that each shard holds many short items."""
_STOP_GRACE_S = 10.0


@component("executor", "processes")
@dataclass(kw_only=True, slots=True)
class ProcessesExecutor:
    """Processes on this machine, each with its share of the cores and GPUs; one that dies is replaced."""

    workers: int = 0
    """Number of processes; 0 takes one for each allowed core."""
    gpus: int = 0
    """GPUs to share out: worker i sees GPU i modulo this number and no other; 0 leaves GPUs alone, -1 finds them."""
    workers_per_gpu: int = 0
    """Processes for each GPU that is shared out; 0, or where there is no GPU, leaves their number to `workers`."""
    shards: int = 0
    """Into how many parts the items are split; 0 takes 16 for each worker."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        require_at_least(0, workers=self.workers, workers_per_gpu=self.workers_per_gpu, shards=self.shards)
        require_at_least(-1, gpus=self.gpus)

    def worker_cores(self) -> int:
        """Cores that an item may use."""
        return cores_per_worker(self._worker_count())

    def shard_count(self, items: int) -> int:
        """Several shards for each worker, so that all end at about the same time."""
        return max(1, min(self.shards or SHARDS_PER_WORKER * self._worker_count(), items))

    def map(self, task: ShardTask, shards: Sequence[Shard]) -> None:
        """Run the shards in spawned processes.

        Raises:
            UserError: What a worker's `setup` or its disk refused, or workers die before they begin an item.
        """
        waiting = deque(shards)
        deaths = Deaths(task.folder)
        task = replace(task, isolated=True)
        workers = [_Worker(task, self._environment(slot)) for slot in range(min(self._worker_count(), len(shards)))]
        try:
            while waiting or any(worker.shard for worker in workers):
                for worker in workers:
                    if worker.shard is None and waiting:
                        worker.begin(waiting.popleft())
                for worker in _wait_for_any(workers):
                    if not worker.collect():
                        assert worker.shard is not None  # only busy workers are waited for
                        deaths.count(worker.shard.index, f"exit code {worker.exit_code()}")
                        waiting.appendleft(worker.shard)
                        workers[workers.index(worker)] = _Worker(task, worker.environment)
            for worker in workers:
                worker.dismiss()
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()

    def _worker_count(self) -> int:
        return len(self._gpus()) * self.workers_per_gpu or self.workers or allowed_cores()

    def _gpus(self) -> list[str]:
        """The GPUs to share out; a number that was asked for is believed where no driver lists any."""
        if not self.gpus:
            return []
        found = allowed_gpus()
        if self.gpus < 0:
            return found
        return found[: self.gpus] or [str(gpu) for gpu in range(self.gpus)]

    def _environment(self, slot: int) -> dict[str, str]:
        cores = str(self.worker_cores())
        # OpenCV's threads are its own: it does not read the variable of OpenMP.
        names = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
        environment = {name: os.environ.get(name, cores) for name in names}
        if gpus := self._gpus():
            environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        return environment


class _Worker:
    """A process that runs one shard at a time, and the shard that it has."""

    def __init__(self, task: ShardTask, environment: Mapping[str, str]) -> None:
        context = get_context("spawn")
        self.environment = environment
        self.shard: Shard | None = None
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs,), daemon=False)
        with _environment(environment):  # spawn imports the app's main module before `_serve` could set anything
            self.process.start()
        theirs.close()
        self._send(task)

    def begin(self, shard: Shard) -> None:
        self.shard = shard
        self._send(shard)

    def collect(self) -> bool:
        """Take the word that the shard ended, or raise what it raised; False means that the process died with it."""
        try:
            error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return False
        if error is not None:
            raise error
        self.shard = None
        return True

    def exit_code(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def dismiss(self) -> None:
        """Let an idle process end by itself, so that what it holds is closed in order."""
        self._send(None)
        self.process.join(_STOP_GRACE_S)

    def terminate(self) -> None:
        self.process.terminate()

    def join(self) -> None:
        self.process.join(_STOP_GRACE_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.connection.close()

    def _send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except BrokenPipeError:  # it died; whoever waits for it finds out
            return


def _wait_for_any(workers: Sequence[_Worker]) -> list[_Worker]:
    busy = {worker.connection: worker for worker in workers if worker.shard}
    return [busy[ready] for ready in connection.wait(list(busy)) if isinstance(ready, Connection)]


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_leave_with_parent, name="parent watch", daemon=True).start()
    task = pipe.recv()
    while (shard := pipe.recv()) is not None:
        try:
            task(shard)
        except Exception as error:  # noqa: BLE001 - it is raised again in the parent
            pipe.send(error)
        else:
            pipe.send(None)


def _leave(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _leave_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # workers are always started by one
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
