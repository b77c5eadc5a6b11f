"""Which parameters are trained, how fast, and with how much decay."""

from __future__ import annotations

import pytest
from torch import nn

from mapanything_data.errors import ConfigError
from train.models.compact import Compact, Size
from train.settings.train_params import Submodule, TrainParams
from train.training.parameter_groups import freeze_parameters, group_parameters


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
        self.encoder_norm = nn.LayerNorm(3)
        self.heads = nn.ModuleDict({"dense": nn.Conv2d(3, 1, 1), "pose": nn.Linear(3, 7)})
        self.scale_token = nn.Parameter(nn.init.zeros_(nn.Linear(2, 2).weight))


def grouped(network, **options):
    """Prefix, rate and decay by the name of each trained parameter."""
    params = TrainParams(**options)
    freeze_parameters(network, params)
    groups = group_parameters(network, params)
    return {name: (group.prefix, group.lr, group.weight_decay) for group in groups for name in group.names}


def test_without_rules_all_are_trained_alike_and_only_matrices_decay():
    found = grouped(Network(), lr=1e-3, weight_decay=0.1)

    assert found["encoder.0.weight"] == ("", 1e-3, 0.1)
    assert found["heads.dense.weight"] == ("", 1e-3, 0.1)
    assert found["encoder.0.bias"] == ("", 1e-3, 0.0)
    assert found["encoder.1.weight"] == ("", 1e-3, 0.0)  # a norm's scale has one dimension
    assert found["scale_token"] == ("", 1e-3, 0.0)
    assert len(found) == len(list(Network().parameters()))


def test_a_rule_applies_to_whole_names_up_to_a_dot():
    found = grouped(Network(), lr=1e-3, submodules={"encoder": Submodule(lr=1e-5)})

    assert found["encoder.0.weight"][:2] == ("encoder", 1e-5)
    assert found["encoder_norm.weight"][:2] == ("", 1e-3)


def test_the_longest_prefix_counts():
    rules = {"heads": Submodule(lr=1e-4, weight_decay=0.5), "heads.pose": Submodule(weight_decay=0.2)}

    found = grouped(Network(), lr=1e-3, submodules=rules)

    assert found["heads.dense.weight"] == ("heads", 1e-4, 0.5)
    assert found["heads.pose.weight"] == ("heads.pose", 1e-4, 0.2)


def test_what_a_prefix_leaves_open_is_as_a_shorter_one_says():
    rules = {"heads": Submodule(lr=1e-5, clip_grad=0.5), "heads.pose": Submodule(weight_decay=0.0)}
    network, params = Network(), TrainParams(lr=1e-3, clip_grad=1.0, submodules=rules)

    groups = {group.prefix: group for group in group_parameters(network, params)}

    assert groups["heads.pose"].lr == 1e-5
    assert (groups["heads.pose"].clip_grad, groups["heads.pose"].clipped_with) == (0.5, "heads")
    assert (groups[""].clip_grad, groups[""].clipped_with) == (1.0, "")


def test_tokens_and_embeddings_do_not_decay_but_kernels_that_make_tokens_do():
    transformers = pytest.importorskip("transformers")
    options = transformers.Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    dinov2, compact = transformers.Dinov2Model(options), Compact(size=Size.tiny, agent_embedding=True).build()

    decays = {name: decay > 0 for network in (dinov2, compact) for name, (_, _, decay) in grouped(network).items()}

    assert decays["embeddings.patch_embeddings.projection.weight"]
    assert decays["trunk.layers.0.queries_keys_values.weight"]
    for name in ("embeddings.cls_token", "embeddings.position_embeddings", "geometric_encoder.agents", "trunk.scale"):
        assert not decays[name], name


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"heads": {"lrr": 0}}, r"train_params.submodules.heads.lrr: there is no such setting; did you mean lr\?"),
        ({"heads": {"clip_grad": 0}}, "train_params.submodules.heads.clip_grad: 0\n  expected: above 0"),
        ({"heads": {"lr": "fast"}}, "train_params.submodules.heads.lr: 'fast'"),
        ({"lr": 0}, "train_params.submodules.lr: there is no such setting"),
    ],
)
def test_rules_that_say_nothing_are_refused(rules, told):
    with pytest.raises(ConfigError, match=told):
        TrainParams(submodules=rules)


def test_rules_may_lie_in_each_other():
    rules = TrainParams(submodules={"heads": {"lr": 1e-4, "pose": {"lr": 0}}}).submodules

    assert rules == {"heads": Submodule(lr=1e-4), "heads.pose": Submodule(lr=0)}


def test_a_rate_of_zero_freezes():
    network = Network()

    found = grouped(network, submodules={"encoder": Submodule(lr=0.0)})

    assert not any(name.startswith("encoder.") for name in found)
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())
    assert network.heads["pose"].weight.requires_grad


def test_only_the_named_parts_are_trained_where_the_rate_of_all_others_is_zero():
    assert set(grouped(Network(), lr=0.0, submodules={"heads.pose": Submodule(lr=1e-4)})) == {
        "heads.pose.weight",
        "heads.pose.bias",
    }


def test_a_rule_for_nothing_is_refused_with_the_name_that_was_meant():
    with pytest.raises(ConfigError, match=r"train_params.submodules.head.dense: .* did you mean heads.dense\?"):
        grouped(Network(), submodules={"head.dense": Submodule(lr=0.0)})


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match="no parameter to train"):
        grouped(Network(), lr=0.0)
