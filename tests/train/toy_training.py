"""A small training whose every step is exact: for tests of checkpoints and ranks."""

from __future__ import annotations

import torch
from torch import nn

from train.distributed.wrap import no_sync


class ToyNetwork(nn.Module):
    """Layers in and outside of a list, a frozen one, one that is never used alone, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.unused = nn.Linear(5, 5)
        self.register_buffer("scale", torch.tensor([0.5]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        x = self.frozen(x) * self.scale
        if torch.distributed.is_initialized():  # ranks wait for the gradients of all
            x = x + 0 * sum(parameter.sum() for parameter in self.unused.parameters())
        return x


def toy_training(seed: int = 0) -> tuple[ToyNetwork, torch.Tensor]:
    """A network and 8 inputs, the same in every process."""
    torch.manual_seed(seed)
    return ToyNetwork(), torch.randn(8, 4)


def toy_optimiser(network: nn.Module) -> torch.optim.AdamW:
    """Two groups: matrices with weight decay, biases without."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    biases = [parameter for parameter in trained if parameter.dim() == 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}], betas=(0.9, 0.95)
    )


def toy_steps(wrapped: nn.Module, optimiser: torch.optim.Optimizer, x: torch.Tensor, steps: range) -> None:
    """Steps of two batches each, whose learning rate is another one each time."""
    halves = x.chunk(2)
    for step in steps:
        for group in optimiser.param_groups:
            group["lr"] = 0.01 / (1 + step)
        for number, half in enumerate(halves):
            with no_sync(wrapped, last=number == 1):
                (wrapped(half).square().mean() / 2).backward()
        optimiser.step()
        optimiser.zero_grad()
