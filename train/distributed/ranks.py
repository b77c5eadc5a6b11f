"""The processes that train together, as each of them sees the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from mapanything_data.errors import ConfigError
from train.settings.distributed import Backend, Distributed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together. A world of 1 has no process group and waits for nobody."""

    rank: int
    """Number of this process, from 0."""
    world_size: int
    """How many there are."""
    local_rank: int
    """Number of this process among those of its machine."""
    device: torch.device
    """Where its tensors are."""

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and tells the user."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all ranks, as a new tensor on the device of the given one."""
        if self.world_size == 1:
            return tensor.detach().clone()
        total = tensor.detach().to(self.device, copy=True).contiguous()
        dist.all_reduce(total)
        return total.to(tensor.device)

    def gather(self, value: T) -> list[T]:
        """The values of all ranks in their order, on every rank; any object that can be pickled."""
        if self.world_size == 1:
            return [value]
        values: list[T | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # each has been filled

    def broadcast(self, value: T) -> T:
        """The value of rank 0, on every rank; what the others give is ignored."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]


@contextmanager
def join_ranks(settings: Distributed) -> Iterator[Ranks]:
    """Join the ranks that RANK, WORLD_SIZE and LOCAL_RANK tell of; without RANK this is a world of 1.

    What is raised in the block must end the process: then the others do not wait for it any longer.

    Raises:
        ConfigError: nccl is asked for without a GPU for each rank, or the variables are not numbers that fit.
    """
    if "RANK" not in os.environ:
        yield Ranks(0, 1, 0, _device(0))
        return
    local_rank = _number("LOCAL_RANK")
    ranks = Ranks(_number("RANK"), _number("WORLD_SIZE"), local_rank, _device(local_rank))
    if ranks.rank >= ranks.world_size:
        raise ConfigError(
            "RANK",
            str(ranks.rank),
            expected=f"less than WORLD_SIZE, which is {ranks.world_size}",
            remedy="correct them",
        )
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if ranks.world_size == 1:
        yield ranks
        return
    backend = _backend(settings.backend, local_rank)
    _meet(ranks, backend, settings.timeout_s)
    yield ranks
    dist.barrier()  # a rank that leaves while another is still in their last exchange can make that one abort
    # Not after an error, which must end this process: the others fail when its links close, and would tell of that
    # before it has told of the cause; and nccl would wait here for collectives that the others never join.
    dist.destroy_process_group()


def _meet(ranks: Ranks, backend: Backend, timeout_s: float) -> None:
    try:
        dist.init_process_group(
            backend.value,
            timeout=timedelta(seconds=timeout_s),
            device_id=ranks.device if backend is Backend.nccl else None,
        )
    except (dist.DistError, ValueError) as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise ConfigError(
            "MASTER_ADDR, MASTER_PORT",
            f"rank {ranks.rank} of {ranks.world_size} cannot meet the others at {address}: {error}",
            remedy="see that all ranks were started, and that this machine reaches rank 0 there",
        ) from error


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    if not value.isdecimal():
        raise ConfigError(
            name,
            repr(value) if value else "not set",
            expected="a number, since RANK is set",
            remedy="start with torchrun, export RANK, WORLD_SIZE and LOCAL_RANK, or unset RANK",
        )
    return int(value)


def _device(local_rank: int) -> torch.device:
    """A GPU where there are any: ranks beyond their number share them, which gloo allows and nccl does not."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def _backend(wanted: Backend, local_rank: int) -> Backend:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    local_ranks = int(os.environ.get("LOCAL_WORLD_SIZE", local_rank + 1))
    if wanted is Backend.auto:
        wanted = Backend.nccl if gpus >= local_ranks else Backend.gloo
        # Without LOCAL_WORLD_SIZE a rank knows only whether there is a GPU for itself, so ranks might differ.
        if wanted is Backend.gloo and gpus and "LOCAL_WORLD_SIZE" not in os.environ:
            wanted = Backend.nccl
    if wanted is Backend.nccl and gpus < local_ranks:
        raise ConfigError(
            "distributed.backend",
            f"nccl with {gpus} GPUs for {local_ranks} ranks of this machine",
            expected="a GPU for each rank",
            remedy="lower distributed.world_size, or set distributed.backend=gloo",
        )
    return wanted
