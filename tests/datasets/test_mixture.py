"""Several data sets in one training."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sample_makers import coop, instances, one, same

from mapanything_data.config import CONFIG_DIR
from mapanything_data.config.app import hydra_version_base, register_schemas
from mapanything_data.config.build import build
from mapanything_data.datasets.mixture import Mixture
from mapanything_data.datasets.opv2v import OPV2VCoopFinetune, OPV2VFinetune
from mapanything_data.datasets.protocol import ViewDatasets, WeightedViewDataset
from mapanything_data.datasets.samples import BrokenSample, SampleRequest
from mapanything_data.errors import ConfigError
from mapanything_data.stages.check import check
from mapanything_data.storage.opv2v import OPV2V


@pytest.fixture
def parts(sound_root):
    """6 samples of one vehicle and 3 of two vehicles, which have 8 views at most."""
    return {"single": one(sound_root), "coop": coop(sound_root)}


def test_the_samples_of_the_parts_come_one_part_after_the_other(parts):
    mixed = Mixture(parts=parts).train_dataset()
    single, together = (part.train_dataset() for part in parts.values())

    assert len(mixed) == 9
    for index in range(9):
        own = single[index] if index < 6 else together[index - 6]
        assert same([view | {"idx": index} for view in own], mixed[index])
    assert [view["idx"] for view in mixed[7]] == [7] * len(mixed[7])


def test_requests_reach_the_part(parts):
    mixed = Mixture(parts=parts).train_dataset()
    views = mixed[SampleRequest(8, num_views=6, resolution=(14, 28), epoch=3)]

    again = parts["coop"].train_dataset()[SampleRequest(2, num_views=6, resolution=(14, 28), epoch=3)]
    assert instances(views) == instances(again)
    assert views[0]["img"].shape == (3, 28, 14)
    mixed.set_epoch(3)
    assert same(mixed[SampleRequest(8, num_views=6, resolution=(14, 28))], views)


def test_view_counts_are_those_of_the_parts(parts):
    mixed = Mixture(parts=parts).train_dataset()

    assert [mixed.view_limits(index) for index in (0, 5, 6, 8)] == [(1, 4), (1, 4), (4, 8), (4, 8)]
    assert [mixed.drawn_views(index) for index in (0, 5, 6, 8)] == [(4, 4), (4, 4), (4, 8), (4, 8)]
    assert [mixed.available_views(index) for index in (5, 6)] == [4, 8]


def test_samples_beyond_the_end_are_refused(parts):
    mixed = Mixture(parts=parts).train_dataset()

    for index in (-1, 9):
        with pytest.raises(IndexError, match="only 0 to 8"):
            mixed[index]


def test_weights_belong_to_the_training_samples_of_a_part(parts):
    mixture = Mixture(parts=parts, weights={"coop": 0.5})

    assert mixture.train_dataset().sample_weights().tolist() == [1.0] * 6 + [0.5] * 3
    assert mixture.test_dataset().sample_weights().tolist() == [1.0] * 9
    assert isinstance(mixture.train_dataset(), WeightedViewDataset)
    assert not isinstance(parts["coop"].train_dataset(), WeightedViewDataset)


def test_the_summary_tells_each_part(parts, sound_root):
    assert Mixture(parts=parts, weights={"coop": 2}).train_dataset().summary() == (
        f"single (weight 1): train: 6 samples of 1 scenes in {sound_root}\n"
        f"coop (weight 2): train: 3 samples of 1 scenes in {sound_root}"
    )


def test_a_broken_sample_has_its_index_in_the_mixture(root):
    for path in root.glob("train/*/962/000068_camera1.png"):
        path.write_bytes(path.read_bytes()[:2000])
    parts = {"first": one(root), "second": one(root, on_broken_sample="skip")}
    broken = Mixture(parts=parts).train_dataset()[6]

    assert isinstance(broken, BrokenSample)
    assert broken.index == 6
    assert "is truncated" in broken.reason


def test_workers_can_be_given_a_mixture(parts):
    mixed = Mixture(parts=parts).train_dataset()

    assert same(pickle.loads(pickle.dumps(mixed))[7], mixed[7])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weights": {"cop": 2.0}}, "dataset.weights.cop: 2.0\n  expected: a part; there are single, coop"),
        ({"weights": {"coop": -1.0}}, "dataset.weights.coop: -1.0\n  expected: 0 or more"),
        ({"weights": {"coop": np.inf}}, "dataset.weights.coop: inf\n  expected: 0 or more"),
        ({"weights": {"coop": np.nan}}, "dataset.weights.coop: nan\n  expected: 0 or more"),
        ({"weights": {"coop": 0, "single": 0}}, "dataset.weights: {'coop': 0, 'single': 0}\n  expected: one above 0"),
        ({"parts": {}}, "dataset.parts: {}\n  expected: one data set or more"),
    ],
)
def test_what_cannot_be_mixed_is_refused(parts, options, told):
    with pytest.raises(ConfigError) as caught:
        Mixture(**{"parts": parts} | options)

    assert str(caught.value).startswith(told)


def test_a_part_that_gives_no_views_is_refused(parts, sound_root):
    with pytest.raises(ConfigError, match=r"dataset\.parts\.plain: OPV2V gives no views to train on"):
        Mixture(parts=parts | {"plain": OPV2V(root=str(sound_root))})


@pytest.mark.parametrize(("option", "value"), [("resolution", [14, 14]), ("data_norm_type", "identity")])
def test_parts_whose_views_differ_in_kind_are_refused(parts, sound_root, option, value):
    with pytest.raises(ConfigError, match=rf"dataset\.parts\.other\.{option}: .*\n.*as dataset\.parts\.single has"):
        Mixture(parts=parts | {"other": one(sound_root, **{option: value})})


def compose_mixture(*overrides):
    from hydra import compose, initialize_config_dir

    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        arguments = ["dataset=opv2v_mixture", "machine=fixture", "output=unused", *overrides]
        return build(compose("check", arguments)).dataset


def test_the_shipped_mixture_has_both_kinds_of_samples_with_their_shipped_values():
    mixture = compose_mixture("dataset.parts.coop.num_views=8", "dataset.weights.coop=2")

    assert isinstance(mixture, ViewDatasets)
    assert [type(part) for part in mixture.parts.values()] == [OPV2VFinetune, OPV2VCoopFinetune]
    assert (mixture.parts["single"].num_views, mixture.parts["coop"].num_views) == (4, 8)
    assert mixture.parts["coop"].root == "outputs/opv2v"
    assert mixture.weights == {"single": 1.0, "coop": 2.0}
    assert (mixture.resolution, mixture.data_norm_type) == ([518, 392], "dinov2")


def test_a_mistyped_option_of_a_part_is_told():
    with pytest.raises(ConfigError, match=r"num_viws: there is no such option; did you mean dataset\.parts\.coop\."):
        compose_mixture("+dataset.parts.coop.num_viws=8")


def test_help_describes_the_options_of_each_part(capsys):
    from mapanything_data.config.help import print_help
    from mapanything_data.stages.check import CheckConfig

    print_help(check, CheckConfig, ["dataset=opv2v_mixture", "machine=fixture"])
    told = capsys.readouterr().out

    assert "Here: single, coop." in " ".join(told.split())
    assert "dataset.parts.single.time_steps=1" in told
    assert "dataset.parts.coop.num_views=10" in told
    assert "dataset.parts.coop.colour.hue=0.05" in told
