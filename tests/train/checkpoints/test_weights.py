"""Weights go into a network by name, and what does not fit is told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mapanything_data.errors import DataError
from train.checkpoints.weights import load_weights


class Shared(nn.Module):
    """A layer under two names."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2, bias=False)
        self.heads = nn.Sequential(self.head)


def test_weights_that_fit_are_copied_and_nothing_is_told():
    network = nn.Linear(2, 1)

    told = load_weights(network, {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}, where="w.pth")

    assert told == ""
    assert network(torch.tensor([1.0, 1.0])).item() == 1 + 2 + 3


def test_what_does_not_fit_is_refused_with_the_names():
    with pytest.raises(DataError) as caught:
        load_weights(nn.Linear(2, 1), {"weight": torch.ones(1, 2), "scale": torch.ones(1)}, where="w.pth")

    assert str(caught.value) == (
        "w.pth: does not fit the model\n  missing: 1\n    bias\n  unexpected: 1\n    scale\n"
        "  expected: 2 tensors with the model's names and shapes\n"
        "  remedy:   choose the model and its options as they were when it was written, or take what fits with "
        "model.strict=false"
    )


def test_without_strict_what_fits_is_taken_and_the_rest_told():
    network = nn.Linear(2, 1)

    told = load_weights(network, {"weight": torch.ones(1, 2), "scale": torch.ones(1)}, where="w.pth", strict=False)

    assert told == "  missing: 1\n    bias\n  unexpected: 1\n    scale"
    assert network.weight.tolist() == [[1, 1]]


@pytest.mark.parametrize("strict", [True, False])
def test_another_shape_is_always_refused_and_nothing_is_changed(strict):
    network = nn.Linear(2, 1)
    before = network.bias.item()

    with pytest.raises(DataError, match=r"of another shape: 1\n    weight \[1, 3\] instead of \[1, 2\]"):
        load_weights(network, {"weight": torch.ones(1, 3), "bias": torch.ones(1)}, where="w.pth", strict=strict)

    assert network.bias.item() == before


def test_weights_of_which_no_name_fits_are_refused_even_without_strict():
    with pytest.raises(DataError, match=r"as they were when it was written$"):
        load_weights(nn.Linear(2, 1), {"a": torch.ones(1)}, where="w.pth", strict=False)


def test_a_parameter_with_two_names_needs_one_of_them():
    network = Shared()

    assert load_weights(network, {"heads.0.weight": torch.eye(2)}, where="model.safetensors") == ""
    assert network.head.weight.tolist() == [[1, 0], [0, 1]]


def test_long_lists_are_cut():
    weights = {f"layer{number}": torch.ones(1) for number in range(20)} | nn.Linear(2, 1).state_dict()

    with pytest.raises(DataError, match=r"unexpected: 20\n    layer0\n(    layer\d\n){7}    and 12 more\n"):
        load_weights(nn.Linear(2, 1), weights, where="w.pth")
