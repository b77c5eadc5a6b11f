"""The moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.training.ema import MovingAverage


@pytest.fixture
def network():
    network = nn.Linear(1, 1, bias=True)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.bias.fill_(4.0)
    network.bias.requires_grad_(False)
    return network


def set_weight(network, value):
    with torch.no_grad():
        network.weight.fill_(value)


def test_it_follows_the_weights_by_its_decay(network):
    average = MovingAverage(network, 0.75)
    set_weight(network, 5.0)

    average.update()
    average.update()

    # 1 -> 0.75 * 1 + 0.25 * 5 = 2 -> 0.75 * 2 + 0.25 * 5 = 2.75
    assert average.state_dict()["weight"].item() == pytest.approx(2.75)


def test_the_network_has_it_within_the_block_and_its_own_weights_after(network):
    average = MovingAverage(network, 0.5)
    set_weight(network, 3.0)
    average.update()

    with average.applied():
        assert network.weight.item() == 2.0
        assert network.bias.item() == 4.0
    assert network.weight.item() == 3.0


def test_frozen_parameters_have_none(network):
    assert set(MovingAverage(network, 0.5).state_dict()) == {"weight"}
