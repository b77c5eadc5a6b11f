"""The executor that spreads shards over a Ray cluster, or over this machine through Ray."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mapanything_data.config import component
from mapanything_data.engine.cores import allowed_cores
from mapanything_data.engine.deaths import Deaths
from mapanything_data.engine.executors.processes import SHARDS_PER_WORKER
from mapanything_data.engine.options import require_at_least
from mapanything_data.engine.shard import Shard, ShardTask
from mapanything_data.errors import UserError, require


@component("executor", "ray")
@dataclass(kw_only=True, slots=True)
class RayExecutor:
    """Actors on a Ray cluster whose machines share the output's file system; one that dies is replaced."""

    address: str | None = None
    """Address of a running cluster, `auto` to find one; null starts Ray on this machine for the run."""
    workers: int = 0
    """Number of actors; 0 takes one for each core that is allowed here."""
    cores: int = 1
    """Cores that Ray reserves for each actor."""
    gpus_per_worker: float = 0.0
    """GPUs that Ray reserves for each actor; fractions share one."""
    shards: int = 0
    """Into how many parts the items are split; 0 takes 16 for each worker."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        require_at_least(0, workers=self.workers, gpus_per_worker=self.gpus_per_worker, shards=self.shards)
        require_at_least(1, cores=self.cores)

    def worker_cores(self) -> int:
        """Cores that an item may use."""
        return self.cores

    def shard_count(self, items: int) -> int:
        """Several shards for each worker, so that all end at about the same time."""
        return max(1, min(self.shards or SHARDS_PER_WORKER * self._worker_count(), items))

    def map(self, task: ShardTask, shards: Sequence[Shard]) -> None:
        """Run the shards in actors.

        Raises:
            MissingDependencyError: Ray is not installed.
            UserError: What a worker's `setup` or its disk refused, or workers die before they begin an item.
        """
        ray = _import_ray()
        ours = not ray.is_initialized()
        if ours:
            local = {"num_cpus": self._worker_count() * self.cores} if self.address is None else {}
            ray.init(
                address=self.address or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **local,
            )
        try:
            self._map(ray, replace(task, isolated=True), shards)
        finally:
            if ours:
                ray.shutdown()

    def _map(self, ray: Any, task: ShardTask, shards: Sequence[Shard]) -> None:
        available = ray.cluster_resources()
        if available.get("GPU", 0) < self.gpus_per_worker or available.get("CPU", 0) < self.cores:
            raise UserError(
                "executor.gpus_per_worker, executor.cores",
                f"no actor with {self.gpus_per_worker:g} GPUs and {self.cores} cores can ever start",
                expected=f"at most {available.get('GPU', 0):g} GPUs and {available.get('CPU', 0):g} cores",
                remedy="ask for less, or join a cluster with executor.address=...",
            )
        actor_class = ray.remote(num_cpus=self.cores, num_gpus=self.gpus_per_worker)(_Runner)
        waiting = deque(shards)
        deaths = Deaths(task.folder)
        idle = [actor_class.remote(task) for _ in range(min(self._worker_count(), len(shards)))]
        running: dict[Any, tuple[Any, Shard]] = {}
        try:
            while waiting or running:
                while idle and waiting:
                    actor, shard = idle.pop(), waiting.popleft()
                    running[actor.run.remote(shard)] = (actor, shard)
                ready, _ = ray.wait(list(running), num_returns=1)
                actor, shard = running.pop(ready[0])
                try:
                    ray.get(ready[0])
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayActorError as error:
                    deaths.count(shard.index, str(error).partition("\n")[0])
                    waiting.appendleft(shard)
                    actor = actor_class.remote(task)
                idle.append(actor)
        finally:
            for actor in [*idle, *(actor for actor, _ in running.values())]:
                ray.kill(actor)

    def _worker_count(self) -> int:
        return self.workers or allowed_cores()


class _Runner:
    """What an actor does: it keeps the task, which sets itself up once."""

    def __init__(self, task: ShardTask) -> None:
        self._task = task

    def run(self, shard: Shard) -> None:
        self._task(shard)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to others from runs that we start
    require("ray")
    import ray

    return ray
