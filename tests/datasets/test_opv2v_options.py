"""Options that cannot give samples are refused; the shipped configurations are sound."""

from __future__ import annotations

import pytest
import torch
import yaml
from sample_makers import coop, one

from mapanything_data.config import CONFIG_DIR
from mapanything_data.config.app import hydra_version_base, register_schemas
from mapanything_data.config.build import build
from mapanything_data.datasets.opv2v import OPV2VCoopFinetune, OPV2VFinetune
from mapanything_data.datasets.opv2v_options import OnBrokenSample
from mapanything_data.errors import ConfigError
from mapanything_data.stages.check import check
from mapanything_data.storage.opv2v.layout import split_of_folder


@pytest.mark.parametrize(
    ("make", "options", "key"),
    [
        (one, {"test_split": "train"}, "test_split"),
        (one, {"train_split": "test_culver_city", "test_split": "test_culvercity"}, "test_split"),
        (one, {"train_split": "training"}, "train_split"),
        (one, {"camera_ids": [0, 0]}, "camera_ids"),
        (one, {"camera_ids": []}, "camera_ids"),
        (one, {"camera_ids": [1, 2]}, "reference_camera"),
        (one, {"camera_ids": [0, 7]}, "camera_ids"),
        (one, {"num_views": 5}, "num_views"),
        (one, {"time_steps": 2, "num_views": 4}, "num_views"),  # all of the first time
        (one, {"camera_ids": [0, 1], "time_steps": 3, "num_views": 4}, "num_views"),  # none of the third time
        (one, {"time_stride": 0, "time_steps": 2, "num_views": 8}, "time_stride"),
        (one, {"time_stride": 2}, "time_stride"),  # with one time
        (one, {"num_views": 0}, "num_views"),
        (one, {"time_steps": 0}, "time_steps"),
        (one, {"resolution": [518]}, "resolution"),
        (one, {"data_norm_type": "clip"}, "data_norm_type"),
        (one, {"on_broken_sample": "retry"}, "on_broken_sample"),
        (one, {"seed": -1}, "seed"),
        (one, {"max_scenes": 0}, "max_scenes"),
        (one, {"depth_layout": "zip"}, "depth_layout"),
        (coop, {"coop_min_agents": 0}, "coop_min_agents"),
        (coop, {"coop_max_num_views": 3}, "coop_max_num_views"),
        (coop, {"num_views": 2, "coop_min_num_views": 4}, "num_views"),
        (coop, {"main_agent": -1}, "main_agent"),  # a roadside unit
    ],
)
def test_options_that_cannot_give_samples_are_refused(tmp_path, make, options, key):
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, **options)

    assert caught.value.where == f"dataset.{key}"


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (one, {"camera_ids": [0, 1], "time_steps": 3, "num_views": 5}),
        (coop, {"num_views": 2, "allow_variable_view_count": False}),  # the limits are of no use then
        (coop, {"num_views": 12, "allow_variable_view_count": False}),
        (coop, {"num_views": 10, "coop_max_num_views": 6}),
        (coop, {"num_views": 12, "coop_max_num_views": None}),
        (coop, {"num_views": 4, "coop_min_num_views": 4, "coop_max_num_views": 4}),
    ],
)
def test_options_at_the_limits_of_each_other_are_sound(tmp_path, make, options):
    assert make(tmp_path, **options).num_views == options["num_views"]


@pytest.mark.parametrize("name", ["opv2v_ft", "opv2v_coop_ft", "opv2v_ft_smoke"])
def test_shipped_configurations_test_on_another_split_than_they_train_on(name):
    from hydra import compose, initialize_config_dir

    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        dataset = build(compose("check", [f"dataset={name}", "machine=fixture"])).dataset

    assert split_of_folder(dataset.train_split) != split_of_folder(dataset.test_split)


SHOWN = {"root", "depth_root", "depth_is_dense", "camera_ids", "resolution", "num_views"}
SHOWN_COOP = {
    "coop_min_agents", "coop_min_num_views", "coop_max_num_views", "allow_variable_view_count", "main_agent",
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "name", "shown"),
    [(OPV2VFinetune, "opv2v_ft", SHOWN), (OPV2VCoopFinetune, "opv2v_coop_ft", SHOWN | SHOWN_COOP)],
)
def test_shipped_configurations_show_what_users_change_with_the_values_of_the_schema(schema, name, shown):
    values = yaml.safe_load((CONFIG_DIR / "dataset" / f"{name}.yaml").read_text())
    defaults = schema()

    assert shown <= values.keys()
    assert {key: values[key] for key in shown - {"root"}} == {key: getattr(defaults, key) for key in shown - {"root"}}


def test_what_a_broken_sample_does_is_one_of_a_closed_set_for_hydra_too():
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        arguments = ["dataset=opv2v_ft", "machine=fixture"]
        built = build(compose("check", [*arguments, "dataset.on_broken_sample=skip"])).dataset
        with pytest.raises(HydraException) as caught:
            compose("check", [*arguments, "dataset.on_broken_sample=retry"])

    assert built.on_broken_sample is OnBrokenSample.skip
    assert "expected one of [error, skip]" in str(caught.value.__cause__)


def test_the_command_of_stage_3_composes():
    from hydra import compose, initialize_config_dir

    register_schemas(check)
    overrides = ["coop_min_agents=1", "coop_min_num_views=4", "coop_max_num_views=null", "num_views=10"]
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        arguments = ["dataset=opv2v_coop_ft", "machine=fixture", *(f"dataset.{override}" for override in overrides)]
        dataset = build(compose("check", arguments)).dataset

    assert (dataset.coop_min_agents, dataset.coop_max_num_views, dataset.resolution) == (1, None, [518, 392])


def test_the_smoke_configuration_gives_samples_of_the_checked_in_town(monkeypatch):
    from hydra import compose, initialize_config_dir

    monkeypatch.chdir(CONFIG_DIR.parent)
    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        dataset = build(compose("check", ["dataset=opv2v_ft_smoke", "machine=fixture"])).dataset

    for samples in (dataset.train_dataset(), dataset.test_dataset()):
        views = samples[0]
        assert len(views) == 4
        assert views[0]["img"].shape == (3, 42, 56)
        # The checked-in depth is the simulator's own: all but the sky has one, and what has none is known to be sky.
        assert views[0]["valid_mask"].float().mean() > 0.5
        assert torch.equal(views[0]["non_ambiguous_mask"], views[0]["valid_mask"])
        assert not views[0]["valid_mask"].all()
        assert views[0]["is_synthetic"]


def test_the_smoke_configuration_says_what_it_is_for():
    assert (CONFIG_DIR / "dataset" / "opv2v_ft_smoke.yaml").read_text().startswith("# DEBUG ONLY")
