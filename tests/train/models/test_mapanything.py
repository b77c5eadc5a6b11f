"""model=mapanything is upstream's network: same names, same numbers, and it sees what it is shown.

Every test runs on a stand-in for the package, and on the package itself where that is installed.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest
import standin_mapanything
import torch
from toy_views import toy_batch

from mapanything_data.errors import ConfigError, DataError, MissingDependencyError
from train.models.mapanything import MapAnything, NetworkPart
from train.models.mapanything_network.architecture import find_architecture
from train.models.mapanything_network.dinov2 import WIDTHS, torch_hub_is_local
from train.models.pretrained import load_pretrained
from train.views.inputs import Input, visible_views
from train.views.prediction import assemble_prediction

NETWORK = "train.models.mapanything_network.network"
SHOWN = {
    "images": {Input.images},
    "rays": {Input.images, Input.rays},
    "depth": {Input.images, Input.depth},
    "poses": {Input.images, Input.poses},
    "depth in metres": {Input.images, Input.depth, Input.scale},
    "poses in metres": {Input.images, Input.poses, Input.scale},
    "everything": set(Input),
}


@pytest.fixture(params=["stand-in", "upstream"] if find_spec("mapanything") else ["stand-in"])
def package(request, monkeypatch):
    """The class MapAnything of the package, which the adapter imports in this test."""
    if request.param == "upstream":
        upstream = import_module("mapanything.models.mapanything").MapAnything
    else:
        upstream = standin_mapanything.MapAnything
        monkeypatch.setitem(WIDTHS, "small", 64)  # fast
        for name in ("mapanything", "mapanything.models", "mapanything.models.mapanything"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        sys.modules["mapanything.models.mapanything"].MapAnything = upstream
    monkeypatch.delitem(sys.modules, NETWORK, raising=False)
    yield upstream
    sys.modules.pop(NETWORK, None)


@pytest.fixture
def config(tmp_path):
    """The config.json of a tiny network, of the kind of v1.1."""
    arguments = find_architecture("v1.1", None).arguments
    arguments["encoder_config"] |= {"size": "small", "keep_first_n_layers": 2}
    arguments["info_sharing_config"]["module_args"] |= {"depth": 4, "indices": [1, 2], "dim": 64, "num_heads": 4}
    arguments["pred_head_config"]["feature_head"]["feature_dim"] = 16
    for name, encoder in arguments["geometric_input_config"].items():
        if name.endswith("encoder_config"):
            encoder["intermediate_dims"] = [8, 8]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(arguments))
    return path


def tiny(config, **options):
    """A tiny network in which everything has an effect: the released scales of layers start near 0."""
    torch.manual_seed(0)
    network = MapAnything(architecture=str(config), **options).build().eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


def plain(package, config):
    """Upstream's own network, without the adapter."""
    with torch_hub_is_local(2):
        return package(**find_architecture(str(config), None).arguments).eval()


def shown(batch, kinds):
    return visible_views(batch, [frozenset(kinds)] * len(batch))


def furthest(predictions, others):
    """The largest difference between the numbers of two lists of predictions."""
    pairs = [(a[key].float(), b[key].float()) for a, b in zip(predictions, others, strict=True) for key in a]
    return max((a - b).abs().max().item() for a, b in pairs)


@torch.no_grad()
@pytest.mark.parametrize("kinds", SHOWN.values(), ids=SHOWN)
def test_predictions_are_upstreams_own_whatever_is_shown_and_whatever_the_random_state(package, config, kinds):
    network, batch = tiny(config), toy_batch(2, num_views=3)
    upstream = plain(package, config)
    upstream.load_state_dict(network.state_dict())

    expected = upstream(shown(batch, kinds))

    torch.manual_seed(1)
    assert furthest(network(shown(batch, kinds)), expected) == 0


@torch.no_grad()
def test_each_kind_of_input_has_an_effect(package, config):
    network, batch = tiny(config), toy_batch(2, num_views=3)
    predictions = {name: network(shown(batch, kinds)) for name, kinds in SHOWN.items()}

    names = list(SHOWN)
    pairs = [(a, b) for number, a in enumerate(names) for b in names[:number]]
    assert min(furthest(predictions[a], predictions[b]) for a, b in pairs) > 1e-4


@torch.no_grad()
def test_the_factors_of_a_prediction_make_up_its_points(package, config):
    for prediction in tiny(config)(shown(toy_batch(2), set(Input))):
        scale = prediction["metric_scaling_factor"]
        assembled = assemble_prediction(
            rays=prediction["ray_directions"],
            depth=prediction["depth_along_ray"] / scale[:, None, None],
            quats=prediction["cam_quats"],
            trans=prediction["cam_trans"] / scale,
            scale=scale,
            conf=prediction["conf"],
            mask_logits=prediction["non_ambiguous_mask_logits"],
        )

        assert set(prediction) == set(assembled)
        for key, value in assembled.items():
            assert prediction[key].dtype == value.dtype
            torch.testing.assert_close(prediction[key], value, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_without_scale_the_size_of_the_scene_tells_nothing(package, config):
    network, batch = tiny(config), toy_batch(2, num_views=3)
    sizes = ("depth_along_ray", "camera_pose_trans")
    larger = [view | {key: 5 * view[key] for key in sizes} for view in batch]
    proportions = set(Input) - {Input.scale}

    assert furthest(network(shown(batch, proportions)), network(shown(larger, proportions))) < 1e-4
    assert furthest(network(shown(batch, set(Input))), network(shown(larger, set(Input)))) > 1e-3


@torch.no_grad()
def test_a_sample_that_is_not_metric_does_not_tell_its_size_even_with_scale(package, config):
    network = tiny(config)

    told = network(shown(toy_batch(2, metric=False), set(Input)))
    untold = network(shown(toy_batch(2, metric=False), set(Input) - {Input.scale}))

    assert furthest(told, untold) == 0


@torch.no_grad()
def test_a_sample_alone_is_predicted_as_in_a_batch(package, config):
    network, batch = tiny(config), shown(toy_batch(3, num_views=2), set(Input))
    alone = [{key: value[:1] for key, value in view.items()} for view in batch]

    together = [{key: value[:1] for key, value in view.items()} for view in network(batch)]

    assert furthest(network(alone), together) < 1e-4


@torch.no_grad()
def test_poses_of_other_views_serve_where_view_0_goes_without(package, config):
    network, batch = tiny(config), toy_batch(2, num_views=3)
    images, posed = frozenset({Input.images}), frozenset({Input.images, Input.poses})
    moved = [batch[0], batch[1] | {"camera_pose_trans": batch[1]["camera_pose_trans"] + 1}, batch[2]]

    seen = network(visible_views(batch, [images, posed, posed]))

    assert furthest(seen, network(visible_views(moved, [images, posed, posed]))) > 1e-4
    assert furthest(seen, network(visible_views(batch, [images, images, images]))) > 1e-4


@torch.no_grad()
def test_depth_of_which_no_pixel_is_left_gives_finite_numbers(package, config):
    views = [view | {"depth_along_ray": torch.zeros_like(view["depth_along_ray"])} for view in toy_batch(1)]

    assert all(
        torch.isfinite(value).all() for view in tiny(config)(shown(views, set(Input))) for value in view.values()
    )


@pytest.mark.parametrize("name", ["images", "everything"])
def test_every_parameter_has_a_gradient_in_every_step(package, config, name):
    network = tiny(config)
    predictions = network(shown(toy_batch(1), SHOWN[name]))

    sum(v.square().mean() for view in predictions for v in view.values() if v.requires_grad).backward()

    assert [n for n, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []


@pytest.mark.parametrize("part", ["encoder", "trunk", "heads"])
def test_gradient_checkpointing_keeps_less_and_predicts_the_same(package, config, part):
    views, kept = shown(toy_batch(1), {Input.images}), []

    def forward(**options):
        network = tiny(config, **options)
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(_count, lambda tensor: tensor):
            return network(views)

    def _count(tensor):
        kept[-1] += tensor.numel()
        return tensor

    usual, sparing = forward(), forward(**{part: NetworkPart(gradient_checkpointing=True)})

    assert kept[1] < kept[0]
    assert furthest(usual, sparing) == 0


def test_checkpoints_go_both_ways(package, config, tmp_path):
    ours, theirs = tiny(config), plain(package, config)
    torch.save({"model": theirs.state_dict()}, tmp_path / "theirs.pth")

    provenance = load_pretrained(ours, MapAnything(pretrained=str(tmp_path / "theirs.pth")))

    assert provenance.unfit == ""
    assert same_weights(ours, theirs)
    theirs.load_state_dict(tiny(config).state_dict(), strict=True)
    assert same_weights(tiny(config), theirs)


def test_a_folder_of_the_hub_brings_its_architecture_and_names_each_tensor_once(package, config):
    safetensors = pytest.importorskip("safetensors.torch")
    theirs, file = plain(package, config), config.parent / "model.safetensors"
    safetensors.save_model(theirs, str(file))
    model = MapAnything(pretrained=str(config.parent))
    ours = model.build()

    assert len(safetensors.load_file(file)) < len(
        ours.state_dict()
    )  # dense_head holds dpt_feature_head and dpt_regressor_head
    assert load_pretrained(ours, model).unfit == ""
    assert same_weights(ours, theirs)


def test_no_encoder_comes_from_torch_hub_which_is_left_as_it_was(package, config, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load", refuse)

    tiny(config)

    assert torch.hub.load is refuse


def test_pictures_of_another_normalisation_are_refused(package, config):
    views = [view | {"data_norm_type": ["identity"]} for view in shown(toy_batch(1), {Input.images})]

    with pytest.raises(ConfigError, match=r"data_norm_type: identity\n.*dinov2, as the encoder was trained"):
        tiny(config)(views)


def test_sides_that_patches_do_not_cover_are_refused(package, config):
    with pytest.raises(ConfigError, match=r"dataset\.resolution: 40x28\n.*multiples of 14"):
        tiny(config)(shown(toy_batch(1, width=40), {Input.images}))


def test_an_architecture_that_upstream_refuses_is_told(package, config):
    arguments = json.loads(config.read_text())
    arguments["pred_head_config"]["regressor_head"] = {}
    config.write_text(json.dumps(arguments))

    with pytest.raises(DataError, match=r"config\.json: upstream's MapAnything refuses this architecture: "):
        tiny(config)


def test_a_missing_package_is_told_with_the_command_that_installs_it(config, monkeypatch):
    forget_the_package(monkeypatch)
    monkeypatch.setitem(sys.modules, "mapanything", None)

    with pytest.raises(
        MissingDependencyError, match=r"not installed\n.*pip install git\+https://github\.com/facebookresearch"
    ):
        MapAnything(architecture=str(config)).build()


def test_a_package_that_cannot_be_imported_is_told_with_the_reason(config, monkeypatch, tmp_path):
    (tmp_path / "mapanything").mkdir()
    (tmp_path / "mapanything/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    forget_the_package(monkeypatch)

    with pytest.raises(MissingDependencyError, match=r"cannot be imported: operator torchvision::nms does not exist"):
        MapAnything(architecture=str(config)).build()


def test_weights_alone_are_of_v1_1_unless_told_otherwise(tmp_path):
    (tmp_path / "weights.pth").touch()

    assert find_architecture("auto", str(tmp_path / "weights.pth")).source == "v1.1"
    assert find_architecture("auto", None).source == "v1.1"
    assert find_architecture("v1", str(tmp_path / "weights.pth")).source == "v1"


def test_what_is_no_architecture_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'v2' is no file\n.*auto, v1\.1, v1, or the path"):
        find_architecture("v2", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("encoder_config"), r"has no encoder_config"),
        (
            lambda c: c["encoder_config"].update(encoder_str="radio"),
            r"has the encoder radio\n.*dinov2 without registers",
        ),
        (lambda c: c["encoder_config"].update(with_registers=True), r"has the encoder dinov2 with registers"),
        (lambda c: c["pred_head_config"].update(adaptor_type="pointmap"), r"has the outputs pointmap\n.*raydirs"),
        (lambda c: c["info_sharing_config"].pop("module_args"), r"has no 'module_args' where upstream reads it"),
    ],
)
def test_a_config_of_another_kind_of_network_is_refused(config, change, message):
    arguments = json.loads(config.read_text())
    change(arguments)
    config.write_text(json.dumps(arguments))

    with pytest.raises(DataError, match=message):
        find_architecture(str(config), None)


def test_a_config_that_is_no_json_is_refused(config):
    config.write_text("<html>")

    with pytest.raises(DataError, match=r"config\.json: cannot be read"):
        find_architecture("auto", str(config.parent))


def forget_the_package(monkeypatch):
    for name in [name for name in sys.modules if name == NETWORK or name.split(".")[0] == "mapanything"]:
        monkeypatch.delitem(sys.modules, name)


def same_weights(network, other):
    mine, others = network.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in mine.items())
