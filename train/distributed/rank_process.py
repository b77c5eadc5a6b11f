"""A rank as a process of its own: how its parent sees it, and how it lives."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import NoReturn, TypeVar

from mapanything_data.errors import UserError

STOP_GRACE_S = 120.0
"""Time that a rank has to write a checkpoint after it was asked to stop."""

ConfigT = TypeVar("ConfigT")


class RankError(UserError):
    """A rank that died, or raised what it should not have."""


@dataclass(frozen=True, slots=True)
class LastWord:
    """What a rank says at its end: the code that its function returned, or what it raised."""

    time: float
    """On the monotonic clock, which all processes of a machine share; seconds."""
    code: int = 0
    error: UserError | None = None
    traceback: str = ""
    left: bool = False
    """Whether something called `sys.exit`."""


class RankProcess:
    """A started rank, as its parent sees it: what is known of it is what `look` found last."""

    def __init__(
        self, rank: int, environment: Mapping[str, str], function: Callable[[ConfigT], int], config: ConfigT
    ) -> None:
        context = get_context("spawn")
        self.rank = rank
        self.is_alive = True
        self.last_word: LastWord | None = None
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_live, args=(theirs, function, config), name=f"rank {rank}")
        # torch reads some of these when it is imported, which is before `_live` could set them.
        with _environment({**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}):
            self._process.start()
        theirs.close()

    @property
    def news(self) -> list[Connection | int]:
        """What becomes ready when the rank says its last word or ends."""
        return [self._process.sentinel] if self.last_word else [self._process.sentinel, self._pipe]

    def look(self) -> None:
        """Find out whether it still runs and what it said; nothing else changes what is known of it."""
        self.is_alive = self._process.exitcode is None  # first: what it said before it ended is in the pipe then
        if self.last_word is None and self._pipe.poll():
            try:
                self.last_word = self._pipe.recv()
            except EOFError:  # it died without one
                self._process.join()
                self.is_alive = False

    @property
    def died(self) -> bool:
        """Whether it ended without a word."""
        return self.last_word is None and not self.is_alive

    @property
    def raised(self) -> bool:
        """Whether its last word is an error, or it left with one."""
        word = self.last_word
        return word is not None and (word.error is not None or word.traceback != "" or (word.left and word.code != 0))

    def failure(self) -> UserError:
        """What to tell of a rank that died or raised."""
        if self.last_word is None:
            return _death(self.rank, self._process.exitcode or 0)
        if self.last_word.left:
            return _death(self.rank, self.last_word.code)
        if self.last_word.error is not None:
            return self.last_word.error
        return RankError(
            f"rank {self.rank}",
            f"failed\n{self.last_word.traceback}",
            remedy="the last line says why; distributed.world_size=1 shows whether it fails alone, too",
        )

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until a moment of the monotonic clock, then kill it."""
        self._process.join(max(0.0, deadline - time.monotonic()))
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._pipe.close()


def _death(rank: int, exit_code: int) -> RankError:
    if exit_code >= 0:
        return RankError(
            f"rank {rank}",
            f"left with exit code {exit_code} before its work was done",
            remedy="see what it wrote above",
        )
    name = signal.Signals(-exit_code).name
    memory = "the machine may have been out of memory (dmesg tells): fewer loader workers or smaller batches need less"
    return RankError(
        f"rank {rank}",
        f"was killed by {name}",
        remedy=memory if name == "SIGKILL" else "see what it wrote above",
    )


def _live(pipe: Connection, function: Callable[[ConfigT], int], config: ConfigT) -> NoReturn:
    """The life of a rank."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()
    try:
        code = function(config)
        word = LastWord(time.monotonic(), code=code)
    except UserError as error:
        word = LastWord(time.monotonic(), code=1, error=error)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        word = LastWord(time.monotonic(), code=code, left=True)
    except Exception:  # noqa: BLE001 - the parent tells it
        word = LastWord(time.monotonic(), code=1, traceback=traceback.format_exc())
    pipe.send(word)
    failed = bool(word.error or word.traceback or word.left)
    del word  # with the frames that its error holds, and the queues of loader workers in them,
    if failed:
        gc.collect()  # which give back their semaphores now, or Python would complain of them
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # an orderly exit might wait for what other ranks never finish
    sys.exit(0)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # ranks are always started by one
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in changes:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
