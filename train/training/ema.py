"""A moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of all trained parameters, in float32."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self._averages = {name: p.detach().float().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now: average = decay * average + (1 - decay) * weights."""
        weights = [parameter.detach().float() for parameter in self._parameters.values()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - self._decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the network has the averaged weights."""
        trained = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._copy_in(self._averages)
        try:
            yield
        finally:
            self._copy_in(trained)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the parameters' names; writing to them changes the average."""
        return dict(self._averages)

    @torch.no_grad()
    def _copy_in(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
