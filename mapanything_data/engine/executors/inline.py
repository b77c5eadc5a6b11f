"""The executor that runs everything in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mapanything_data.config import component
from mapanything_data.engine.cores import allowed_cores
from mapanything_data.engine.options import require_at_least
from mapanything_data.engine.shard import Shard, ShardTask


@component("executor", "inline")
@dataclass(kw_only=True, slots=True)
class InlineExecutor:
    """One item after the other in this process: the simplest to watch and to debug."""

    cores: int = 0
    """Cores that an item may use, for decoding and encoding in parallel; 0 uses all that are allowed."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        require_at_least(0, cores=self.cores)

    def worker_cores(self) -> int:
        """Cores that an item may use."""
        return self.cores or allowed_cores()

    def shard_count(self, items: int) -> int:  # noqa: ARG002 - the protocol asks with the number of items
        """Everything in one shard."""
        return 1

    def map(self, task: ShardTask, shards: Sequence[Shard]) -> None:
        """Run the shards here."""
        for shard in shards:
            task(shard)
