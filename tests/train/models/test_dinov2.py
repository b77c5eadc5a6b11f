"""The vision transformer of model=mapanything is DINOv2's."""

from __future__ import annotations

import pytest
import torch

from train.models.mapanything_network.dinov2 import DEPTHS, WIDTHS, VisionTransformer, torch_hub_is_local


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "first", "last"),
    [
        (
            "small",
            [-0.12186, -0.06158, -0.14141, -0.1496, -0.15853, -0.11626, -0.05766],
            [-0.11547, -0.05071, 0.08667, 0.06048, 0.08927, -0.0092, -0.12004],
        ),
        (
            "giant",
            [-0.1019, -0.05451, -0.13562, -0.14384, -0.15295, -0.11003, -0.05058],
            [-0.08928, -0.03841, 0.10085, 0.07442, 0.10363, 0.00353, -0.109],
        ),
    ],
)
def test_tokens_are_those_of_the_released_code(size, first, last, monkeypatch):
    monkeypatch.setitem(WIDTHS, size, 128)
    transformer = VisionTransformer(size, depth=2)
    for number, (_, parameter) in enumerate(sorted(transformer.named_parameters())):
        parameter.copy_(0.1 * torch.arange(parameter.numel()).add(number).sin().view_as(parameter))
    images = torch.arange(3 * 28 * 42).mul(0.1).sin().view(1, 3, 28, 42)

    features = transformer.forward_features(images)

    # Printed by DinoVisionTransformer of facebookresearch/dinov2 at commit b8931f7, with these numbers.
    tokens = torch.cat([features["x_norm_clstoken"][:, None], features["x_norm_patchtokens"]], 1)[0]
    assert tokens.shape == (7, 128)
    torch.testing.assert_close(tokens[:, 0], torch.tensor(first), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tokens[:, 127], torch.tensor(last), rtol=1e-4, atol=1e-5)


def test_a_name_of_torch_hub_gives_the_transformer_of_its_size_with_the_blocks_that_are_wanted():
    original = torch.hub.load

    with torch.device("meta"), torch_hub_is_local(24):
        giant = torch.hub.load("facebookresearch/dinov2", "dinov2_vitg14", force_reload=False, pretrained=True)
    with torch.device("meta"), torch_hub_is_local(None):
        large = torch.hub.load("facebookresearch/dinov2", "dinov2_vitl14")

    assert torch.hub.load is original
    assert (len(giant.blocks), giant.cls_token.shape[-1]) == (24, 1536)
    assert (len(large.blocks), large.cls_token.shape[-1]) == (DEPTHS["large"], 1024)
    # 304 M parameters, as DINOv2's paper says of ViT-L.
    assert round(sum(parameter.numel() for parameter in large.parameters()) / 1e6) == 304
