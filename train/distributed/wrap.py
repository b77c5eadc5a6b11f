"""A network whose gradients are those of all ranks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from train.distributed.ranks import Ranks
from train.settings.distributed import Strategy


def wrap(network: nn.Module, ranks: Ranks, strategy: Strategy) -> nn.Module:
    """Spread a network over the ranks; its gradients are then the mean over them.

    Args:
        network: On the device of the rank, with the same parameters on every rank.
        ranks: In a world of 1 the network is returned as it is, whatever the strategy.
        strategy: ddp keeps all of it on each rank. fsdp shards it in place: each block (a member of an `nn.ModuleList`)
            is gathered when it is computed, the rest with the root.
    """
    if ranks.world_size == 1:
        return network
    if strategy is Strategy.ddp:
        return DistributedDataParallel(
            network,
            device_ids=[ranks.device] if ranks.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            broadcast_buffers=False,
            find_unused_parameters=True,
        )
    mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
    for block in _blocks(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


@contextmanager
def no_sync(wrapped: nn.Module, last: bool) -> Iterator[None]:
    """A block for one of several batches that make one step: only in the last are gradients exchanged.

    Forward and backward both belong in it.
    """
    if last or not isinstance(wrapped, (DistributedDataParallel, FSDPModule)):
        yield
    elif isinstance(wrapped, DistributedDataParallel):
        with wrapped.no_sync():
            yield
    else:
        wrapped.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            wrapped.set_requires_gradient_sync(True)


def _blocks(network: nn.Module) -> list[nn.Module]:
    return [
        block
        for module in network.modules()
        if isinstance(module, nn.ModuleList)
        for block in module
        if block is not None
    ]
