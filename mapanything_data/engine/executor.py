"""What an executor is: a map over shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mapanything_data.engine.shard import Shard, ShardTask


class Executor(Protocol):
    """Runs shards somewhere."""

    def worker_cores(self) -> int:
        """How many cores an item may use, for threads inside a stage."""

    def shard_count(self, items: int) -> int:
        """Into how many shards `items` items should be split, at least 1."""

    def map(self, task: ShardTask, shards: Sequence[Shard]) -> None:
        """Run `task` on every shard and return when all have ended.

        A process that dies with a shard is replaced and given the same shard again; the task knows what to do. When
        `task` itself raises, or a signal unwinds this call, what still runs is stopped and the error goes on.
        """
