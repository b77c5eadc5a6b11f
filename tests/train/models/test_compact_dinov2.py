"""model=compact with a DINOv2: from a folder, without the hub."""

from __future__ import annotations

import logging

import pytest
import torch
from compact_networks import IMAGES, score, seen
from toy_views import toy_batch
from transformers import Dinov2Config, Dinov2Model, ViTConfig

from mapanything_data.errors import ConfigError, MissingDependencyError
from train.models.compact import Compact, EncoderOptions, Size, TrunkOptions


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    from transformers.utils import logging as told

    told.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.CRITICAL)
    yield
    told.enable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.WARNING)


@pytest.fixture
def folder(tmp_path):
    """A random DINOv2 of width 48 with positions for 5x5 patches of 14 pixels."""
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=70, patch_size=14)
    Dinov2Model(config).save_pretrained(tmp_path)
    return tmp_path


def build(folder, **options):
    torch.manual_seed(0)
    return Compact(size=Size.tiny, encoder=EncoderOptions(name=str(folder), **options)).build()


def test_features_are_those_of_transformers_without_the_class_token(folder):
    net = build(folder)
    images = torch.randn(2, 3, 42, 56)
    theirs = Dinov2Model.from_pretrained(folder)(images).last_hidden_state

    features = net.encoder(images)

    assert features.shape == (2, 3 * 4, 48)
    assert torch.equal(features, theirs[:, 1:])
    assert (net.encoder.patch_size, net.encoder.width) == (14, 48)


def test_every_parameter_has_a_gradient_with_checkpoints_as_without(folder):
    views = seen(toy_batch(num_views=2, height=42, width=56), IMAGES)
    plain, lean = build(folder), build(folder, gradient_checkpointing=True)
    layers_run = []
    lean.encoder.model.encoder.layer[0].mlp.register_forward_pre_hook(lambda *_: layers_run.append(1))

    for net in (plain, lean):
        with torch.no_grad():
            for parameter in net.heads.parameters():
                parameter.add_(0.05 * torch.ones_like(parameter))
        score(net(views)).backward()

    assert len(layers_run) == 2  # forward, and once more in backward
    for (name, one), other in zip(plain.named_parameters(), lean.named_parameters(), strict=True):
        assert one.grad is not None, name
        assert torch.allclose(one.grad, other[1].grad, rtol=1e-4, atol=1e-5), name


def test_weights_in_half_precision_become_float32(folder):
    Dinov2Model.from_pretrained(folder).half().save_pretrained(folder)

    assert {parameter.dtype for parameter in build(folder).parameters()} == {torch.float32}


def test_the_patch_size_is_that_of_the_dinov2(folder):
    with pytest.raises(ConfigError, match=r"model.encoder.patch_size: 7"):
        build(folder, patch_size=7)

    assert build(folder, patch_size=14).encoder.patch_size == 14


def _truncate_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _change_config(before, after):
    def change(folder):
        config = folder / "config.json"
        assert before in config.read_text()
        config.write_text(config.read_text().replace(before, after))

    return change


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (_truncate_weights, "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no file named model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "not a valid JSON"),
        (lambda folder: ViTConfig().save_pretrained(folder), "is a vit, no dinov2"),
        (_change_config('"num_hidden_layers": 2', '"num_hidden_layers": 3'), "lacks 18 parameters"),
        (_change_config('"hidden_size": 48', '"hidden_size": 96'), "parameters that its config.json asks for"),
    ],
)
def test_a_folder_that_does_not_hold_a_whole_dinov2_is_refused_with_the_files_to_put_there(folder, damage, found):
    damage(folder)

    with pytest.raises(ConfigError, match=found) as told:
        build(folder)

    assert told.value.where == "model.encoder.name"
    assert str(folder) in told.value.found
    assert "put config.json and model.safetensors" in told.value.remedy


def test_a_name_that_is_neither_a_folder_nor_in_reach_on_the_hub_is_refused(monkeypatch):
    from transformers import AutoConfig

    def unreachable(name):
        raise OSError(f"We couldn't connect to 'https://huggingface.co' for {name}")

    monkeypatch.setattr(AutoConfig, "from_pretrained", unreachable)

    with pytest.raises(ConfigError, match=r"couldn't connect .* for facebook/dinov2-base"):
        build("facebook/dinov2-base")


def test_without_transformers_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)

    with pytest.raises(MissingDependencyError, match=r"mapanything-data\[train\]"):
        build(folder)


def test_a_trunk_of_another_width_goes_with_any_dinov2(folder):
    trunk = TrunkOptions(width=64, num_heads=2)
    net = Compact(size=Size.tiny, encoder=EncoderOptions(name=str(folder)), trunk=trunk).build()

    (view,) = net(seen(toy_batch(1, num_views=1, height=42, width=56), IMAGES))

    assert view["pts3d"].shape == (1, 42, 56, 3)
