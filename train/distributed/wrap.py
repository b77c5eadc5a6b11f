"""A network whose gradients are those of all ranks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from train.distributed.ranks import Ranks
from train.settings.distributed import Strategy

# torch 2.13 renamed the option that shares buffers at each forward; running statistics of a rank stay its own.
_OWN_BUFFERS: dict[str, Any] = (
    {"forward_sync_buffers": False}
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else {"broadcast_buffers": False}
)


def wrap(network: nn.Module, ranks: Ranks, strategy: Strategy) -> nn.Module:
    """Spread a network over the ranks; its gradients are then the mean over them.

    Args:
        network: On the device of the rank. ddp gives all ranks the parameters of rank 0; for fsdp they must be the same
            on every rank already.
        ranks: In a world of 1 the network is returned as it is, whatever the strategy: there is nothing to share.
        strategy: ddp keeps all of it on each rank. fsdp shards it in place: each block (a member of an `nn.ModuleList`)
            is gathered while it is computed, and all other parameters with the root. Only calls of the network, and
            calls of its blocks, gather them: code that reads a parameter of a block from outside gets a shard.

    Returns:
        What to call in place of the network. The optimiser is made after this, from its parameters.
    """
    if ranks.world_size == 1:
        return network
    if strategy is Strategy.ddp:
        return DistributedDataParallel(
            network,
            device_ids=[ranks.device] if ranks.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            **_OWN_BUFFERS,
        )
    mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
    for block in blocks(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


@contextmanager
def no_sync(wrapped: nn.Module, last: bool) -> Iterator[None]:
    """A block for one of several batches whose gradients make one step: only the last exchanges them between ranks.

    Forward and backward both belong into it.
    """
    sharded: object = wrapped
    if last:
        yield
    elif isinstance(wrapped, DistributedDataParallel):
        with wrapped.no_sync():
            yield
    elif isinstance(sharded, FSDPModule):
        sharded.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            sharded.set_requires_gradient_sync(True)
    else:
        yield


@contextmanager
def gathered(network: nn.Module) -> Iterator[None]:
    """A block in which each rank has all parameters and calls the network as it likes, without the others.

    Ranks evaluate different numbers of batches and of views, so their calls of sharded blocks would not match.
    """
    sharded = [module for module in network.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.reshard()
            module.set_reshard_after_forward(module is not network, recurse=False)


def blocks(network: nn.Module) -> list[nn.Module]:
    """The members of each `nn.ModuleList` that have parameters, the innermost first, as FSDP2 wants them."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    members = dict.fromkeys(block for each in lists for block in each)
    containers = (nn.ModuleList, nn.ModuleDict)  # they are never called, so nothing would gather their parameters
    return [
        block
        for block in reversed(list(members))
        if not isinstance(block, containers) and any(True for _ in block.parameters())
    ]
