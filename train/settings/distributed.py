"""The processes that train together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mapanything_data.config import component
from mapanything_data.errors import require_option


class Backend(str, Enum):
    """How ranks talk to each other."""

    auto = "auto"
    """nccl where each rank has a GPU, else gloo"""
    nccl = "nccl"
    gloo = "gloo"


class Strategy(str, Enum):
    """How a model is spread over ranks."""

    ddp = "ddp"
    """each rank holds all of it"""
    fsdp = "fsdp"
    """parameters, gradients and the optimiser's state are sharded (FSDP2)"""


@component("distributed", "default")
@dataclass(kw_only=True, slots=True)
class Distributed:
    """How many ranks train, and how they share the work.

    Where RANK is set, as torchrun does, the process joins those ranks and `world_size` is theirs.
    """

    world_size: int = 1
    """Ranks that the app starts on this machine; each takes a GPU where there are any."""
    backend: Backend = Backend.auto
    """auto takes nccl where each rank has a GPU and gloo otherwise."""
    strategy: Strategy = Strategy.ddp
    """ddp keeps the whole model in each rank, fsdp shards it."""
    timeout_s: float = 1800.0
    """Seconds after which a rank gives up waiting for the others."""

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        require_option("distributed.world_size", self.world_size, self.world_size >= 1, "1 or more")
        require_option("distributed.timeout_s", self.timeout_s, self.timeout_s > 0, "seconds above 0")
