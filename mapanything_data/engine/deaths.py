"""Tells a worker that died over an item from workers that cannot even begin one."""

from __future__ import annotations

from collections import Counter

from mapanything_data.engine.folder import RunFolder
from mapanything_data.engine.journal import InFlight, read_entries, read_inflight
from mapanything_data.errors import UserError

DEATHS_WITHOUT_PROGRESS = 3


class Deaths:
    """Counts deaths of the processes that run the shards of one run."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._state: dict[int, tuple[int, InFlight | None]] = {}
        self._in_vain: Counter[int] = Counter()

    def count(self, shard: int, how: str) -> None:
        """Note that a process died with `shard`.

        Each death over an item costs that item an attempt, so these come to an end by themselves.

        Raises:
            UserError: The shard's processes died several times without beginning another item.
        """
        journal = self._folder.journal
        ended = sum(1 for _ in read_entries([journal / f"{shard:05d}.jsonl"]))
        state = (ended, read_inflight(journal / f"{shard:05d}.inflight"))
        self._in_vain[shard] = self._in_vain[shard] + 1 if self._state.get(shard) == state else 0
        self._state[shard] = state
        if self._in_vain[shard] >= DEATHS_WITHOUT_PROGRESS or (state == (0, None) and self._in_vain[shard] >= 1):
            raise UserError(
                self._folder.path,
                f"worker processes die before they begin an item ({how})",
                remedy="run with executor=inline to see why",
            )
