"""Gradient checkpointing of model=compact changes memory, not results."""

from __future__ import annotations

import pytest
import torch
from compact_networks import network, score, seen
from toy_views import toy_batch

from train.models.compact import EncoderOptions, HeadsOptions, TrunkOptions

SHAPE = {
    "encoder": EncoderOptions(),
    "trunk": TrunkOptions(width=32, num_heads=2),
    "heads": HeadsOptions(width=8),
}


def checkpointed(part):
    options = type(SHAPE[part])(
        **{name: getattr(SHAPE[part], name) for name in SHAPE[part].__slots__} | {"gradient_checkpointing": True}
    )
    return SHAPE | {part: options}


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("part", SHAPE)
def test_gradients_are_the_same(part, autocast):
    views = seen(toy_batch(num_views=3))
    plain, lean = network(**SHAPE), network(**checkpointed(part))

    for net in (plain, lean):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            predictions = net(views)
        score(predictions).backward()

    for (name, one), other in zip(plain.named_parameters(), lean.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("part", ["trunk", "heads"])
def test_less_is_kept_for_the_backward_pass(part):
    views = seen(toy_batch(num_views=3))

    assert kept_bytes(network(**checkpointed(part)), views) < 0.8 * kept_bytes(network(**SHAPE), views)


def test_the_patch_encoder_recomputes_its_embedding():
    views = seen(toy_batch(num_views=3))
    counts = []
    for net in (network(**SHAPE), network(**checkpointed("encoder"))):
        calls = []
        net.encoder.embed.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        score(net(views)).backward()
        counts.append(len(calls))

    assert counts == [1, 2]


def kept_bytes(net, views):
    """Bytes of the different tensors that a forward pass leaves for the backward pass."""
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        predictions = net(views)
    assert predictions[0]["pts3d"].requires_grad
    return sum(storages.values())
