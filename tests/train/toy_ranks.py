"""What ranks do in the tests: functions at the top level, so that other processes find them."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mapanything_data.errors import DataError
from train.distributed.launch import launch
from train.settings.distributed import Distributed, Strategy

# What needs torch is imported where it is used: ranks that need none start in a tenth of a second.


@dataclass(kw_only=True, slots=True)
class Toy:
    """A configuration: a component with enums, and a folder for what the ranks have to say."""

    distributed: Distributed
    folder: Path
    steps: int = 3
    resumes: bool = False


def exchange(toy: Toy) -> int:
    """Each rank writes what it learnt from the others; its exit code is 3 and its number."""
    import torch

    from train.distributed.ranks import join_ranks

    with join_ranks(toy.distributed) as ranks:
        mine = torch.tensor([1.0, 10.0]) * (ranks.rank + 1)
        seen = {
            "world_size": ranks.world_size,
            "device": str(ranks.device),
            "sum": ranks.sum(mine).tolist(),
            "kept": mine.tolist(),
            "gathered": ranks.gather({"rank": ranks.rank}),
            "broadcast": ranks.broadcast(f"from {ranks.rank}"),
            "threads": torch.get_num_threads(),
            "is_main": ranks.is_main,
        }
        ranks.gather(None)
    (toy.folder / f"rank{ranks.rank}").write_text(repr(seen))
    return 3 + ranks.rank


def train(toy: Toy) -> int:
    """Train, write a checkpoint; each rank sees its part of the inputs."""
    import torch
    from toy_training import toy_optimiser, toy_steps, toy_training

    from train.checkpoints.file import read_checkpoint
    from train.checkpoints.keep import LAST, write_last
    from train.checkpoints.random_state import random_states
    from train.checkpoints.state import capture, restore
    from train.distributed.ranks import join_ranks
    from train.distributed.wrap import wrap

    with join_ranks(toy.distributed) as ranks:
        network, x = toy_training()
        wrapped = wrap(network, ranks, toy.distributed.strategy)
        optimiser = toy_optimiser(wrapped)
        begin = 0
        if toy.resumes:
            begin = int(restore(read_checkpoint(toy.folder / LAST), wrapped, optimiser)["step"])
        end = begin + toy.steps
        # Halves of the batch are the batches of a step, so each rank has its part of each half.
        mine = torch.cat([half[ranks.rank :: ranks.world_size] for half in x.chunk(2)])
        toy_steps(wrapped, optimiser, mine, range(begin, end))
        random = ranks.gather(random_states())
        state = capture(wrapped, optimiser, ema=None, scaler=None, random=random, progress={"step": end})
        if ranks.is_main:
            write_last(toy.folder, state)
        else:
            assert state == {}
    return 0


def fail(toy: Toy) -> int:
    """Rank 1 fails as the folder's name says, while rank 0 has more to do."""
    rank = _tell_pid(toy)
    if rank == 0:
        time.sleep(60)
    return _fail(toy)


def fail_in_collective(toy: Toy) -> int:
    """Rank 1 fails as the folder's name says, while rank 0 waits for it."""
    import torch

    from train.distributed.ranks import join_ranks

    with join_ranks(toy.distributed) as ranks:
        _tell_pid(toy)
        ranks.gather(None)
        if ranks.rank == 1:
            _fail(toy)
        ranks.sum(torch.zeros(1))
    return 0


def wait_for_signal(toy: Toy) -> int:
    """Work until SIGTERM comes, then write a file, as a trainer its checkpoint; or hang, by the folder's name."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    rank = _tell_pid(toy)
    while not stopped or toy.folder.name == "hangs":
        time.sleep(0.02)
    time.sleep(0.5)
    (toy.folder / f"saved{rank}").write_text("whole")
    return 0


def _fail(toy: Toy) -> int:
    match toy.folder.name:
        case "raises":
            raise ZeroDivisionError("nothing to divide by")
        case "refuses":
            raise DataError("clouds/17.pcd", "is empty", remedy="record it again")
        case "is_killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crashes":
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        case "leaves":
            sys.exit(7)
    raise AssertionError(toy.folder.name)


def _tell_pid(toy: Toy) -> int:
    rank = os.environ["RANK"]
    unfinished = toy.folder / f".pid{rank}"
    unfinished.write_text(str(os.getpid()))
    unfinished.rename(toy.folder / f"pid{rank}")
    return int(rank)


def write_for_ever(folder: Path) -> None:
    """Write one checkpoint after the other, each all of one number, and tell each one that is there."""
    import torch

    from train.checkpoints.keep import write_last

    number = 0
    while True:
        number += 1
        write_last(folder, {"model": {"w": torch.full((300_000,), float(number))}, "progress": {"number": number}})
        (folder / "written").write_text(str(number))


if __name__ == "__main__":
    if sys.argv[1] == "write_for_ever":
        write_for_ever(Path(sys.argv[2]))
    name, world_size, folder = sys.argv[1:4]
    strategy = Strategy(sys.argv[4]) if len(sys.argv) > 4 else Strategy.ddp
    toy = Toy(distributed=Distributed(world_size=int(world_size), strategy=strategy, timeout_s=60), folder=Path(folder))
    toy.resumes = "resumes" in sys.argv
    sys.exit(launch(globals()[name], toy, toy.distributed))
