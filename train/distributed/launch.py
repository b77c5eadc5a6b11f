"""Starts the ranks of this machine, and ends them all when one of them ends badly."""

# torch's elastic launcher would do most of this. It is not used because it tells of the wrong rank when one is killed
# and others fail over it in the same tenth of a second, waits half a minute for ranks that hang in a collective, and
# turns Ctrl-C into a KeyboardInterrupt in the middle of a step.

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from types import FrameType
from typing import TypeVar

from mapanything_data.engine.cores import cores_per_worker
from mapanything_data.errors import ConfigError, UserError
from train.distributed.rank_process import STOP_GRACE_S, RankProcess
from train.settings.distributed import Distributed

_FAILURE_GRACE_S = 5.0
_SETTLE_S = 0.5
"""Time in which others may fail over the first failure, so that all are known when the one to tell is chosen."""

ConfigT = TypeVar("ConfigT")


def launch(function: Callable[[ConfigT], int], config: ConfigT, settings: Distributed) -> int:
    """Call a function on every rank.

    Ctrl-C and SIGTERM reach each rank as SIGTERM, so that it may write a checkpoint and return.

    Args:
        function: At the top level of a module, so that another process finds it; it joins with `join_ranks`.
        config: Goes to every rank.
        settings: `world_size` ranks are started, unless RANK is set: then this process is one already.

    Returns:
        The highest exit code that a rank returned; 128 and the signal's number after SIGINT or SIGTERM.

    Raises:
        UserError: What the first rank that failed raised, if it was one.
        RankError: The first rank that failed died, or raised something else, which comes with its traceback.
        ConfigError: Slurm started several tasks that know nothing of each other.
    """
    if "RANK" in os.environ:
        return function(config)
    _refuse_strangers()
    if settings.world_size == 1:
        return function(config)
    with _rendezvous(settings.world_size) as environment, _signals() as signals:
        ranks: list[RankProcess] = []
        grace = _FAILURE_GRACE_S
        try:
            for rank in range(settings.world_size):
                ranks.append(RankProcess(rank, environment, function, config))  # noqa: PERF401 - each needs its end
            stopped_by = _wait(ranks, signals)
            failure = _failure(ranks, stopped_by)
            grace = 0.0 if stopped_by else _FAILURE_GRACE_S
        finally:
            _end(ranks, grace)
    if failure is not None:
        raise failure
    return 128 + stopped_by if stopped_by else max(rank.last_word.code for rank in ranks if rank.last_word)


def _wait(ranks: Sequence[RankProcess], signals: int) -> int:
    """Wait until all ranks have ended or one failed, or those that were asked to stop have had their time.

    Args:
        ranks: All of them.
        signals: The reading end of a pipe with a byte for each signal.

    Returns:
        The signal that asked them to stop, or 0.
    """
    stopped_by = 0
    deadline = float("inf")
    while running := [rank for rank in ranks if rank.is_alive]:
        left = min(max(0.0, deadline - time.monotonic()), 3600.0)
        ready = connection.wait([signals, *(news for rank in running for news in rank.news)], left)
        for rank in ranks:
            rank.look()
        if signals in ready:
            number = os.read(signals, 1)[0]
            if stopped_by:  # asked for twice
                return stopped_by
            stopped_by, deadline = number, time.monotonic() + STOP_GRACE_S
            for rank in ranks:
                rank.ask_to_stop()
        if time.monotonic() >= deadline:
            return stopped_by
        if not stopped_by and any(rank.died or rank.raised for rank in ranks):
            time.sleep(_SETTLE_S)
            return 0
    return stopped_by


def _failure(ranks: Sequence[RankProcess], stopped_by: int) -> UserError | None:
    """What to tell of ranks that failed; after a signal only what a user can mend.

    A rank that died without a word comes first: others fail over its absence, but none dies over an error of theirs.
    """
    for rank in ranks:
        rank.look()
    died = [] if stopped_by else [rank for rank in ranks if rank.died]
    told = [(rank.last_word, rank) for rank in ranks if rank.last_word and rank.raised]
    raised = [rank for word, rank in sorted(told, key=lambda pair: pair[0].time) if word.error or not stopped_by]
    return next((rank.failure() for rank in [*died, *raised]), None)


def _end(ranks: Sequence[RankProcess], grace: float) -> None:
    for rank in ranks:
        rank.ask_to_stop()
    deadline = time.monotonic() + grace
    for rank in ranks:
        rank.end(deadline)


def _refuse_strangers() -> None:
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks != "1":
        raise ConfigError(
            "RANK",
            f"not set, and srun started {tasks} tasks, which would train apart from each other",
            expected="RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT in the environment of each task",
            remedy="export them from SLURM_PROCID, SLURM_NTASKS and SLURM_LOCALID, as docs/distributed.md shows",
        )


@contextmanager
def _rendezvous(world_size: int) -> Iterator[Mapping[str, str]]:
    """The environment in which ranks find each other: at a store that this process holds, on a port that is free."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    yield {
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # torch's way to say that the store is there and rank 0 makes none
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores_per_worker(world_size))),
    }
    del store


@contextmanager
def _signals() -> Iterator[int]:
    """The reading end of a pipe that gets a byte, its number, for each SIGINT and SIGTERM."""
    reading, writing = os.pipe()

    def tell(number: int, _frame: FrameType | None) -> None:
        os.write(writing, bytes([number]))

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
