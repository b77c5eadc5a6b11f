"""Every experiment of a training composes, and says what its name promises; each app knows those that are for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from mapanything_data.config import CONFIG_DIR

EXPERIMENTS = sorted(path.stem for path in (CONFIG_DIR / "experiment").glob("opv2v_*.yaml"))


def compose(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "train.finetune", "machine=fixture", *arguments, "--cfg", "job", "--resolve"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_composes_with_each_model(name):
    for model in ("mapanything", "compact"):
        config = compose(f"experiment={name}", f"model={model}", "model.pretrained=weights.pth")

        assert config["output_dir"] == f"outputs/experiments/{name}"
        assert config["model"]["pretrained"] == "weights.pth"


def test_stage_1_sees_four_cameras_of_one_vehicle():
    config = compose("experiment=opv2v_stage1", "model.pretrained=facebook/map-anything")

    assert config["dataset"]["num_views"] == 4
    assert "time_steps" in config["dataset"]
    assert config["train_params"]["max_num_of_imgs_per_gpu"] == 4
    assert (config["train_params"]["lr"], config["train_params"]["epochs"]) == (5e-5, 5)


def test_each_later_stage_begins_where_the_one_before_was_best():
    for stage in (2, 3):
        config = compose(f"experiment=opv2v_stage{stage}")
        before = f"outputs/experiments/opv2v_stage{stage - 1}"
        assert config["model"]["pretrained"] == f"{before}/checkpoint-best.pth"
        assert "coop_min_agents" in config["dataset"]


def test_stage_3_takes_any_number_of_views_in_less_memory():
    config = compose("experiment=opv2v_stage3")
    data = config["dataset"]

    assert (data["coop_min_agents"], data["coop_min_num_views"], data["coop_max_num_views"]) == (1, 4, None)
    assert (data["num_views"], data["allow_variable_view_count"]) == (10, True)
    assert config["model"]["encoder"]["gradient_checkpointing"] is True


def test_the_command_line_wins_over_an_experiment():
    config = compose("experiment=opv2v_stage2", "train_params.lr=1e-6", "distributed.world_size=4", "output_dir=o")

    assert (config["train_params"]["lr"], config["distributed"]["world_size"], config["output_dir"]) == (1e-6, 4, "o")


def test_stage_1_asks_for_weights_rather_than_train_a_large_random_model():
    command = [sys.executable, "-m", "train.finetune", "machine=fixture", "experiment=opv2v_stage1"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.startswith("error: model.pretrained: is not set")


def ask(app, *arguments):
    return subprocess.run([sys.executable, "-m", app, *arguments], capture_output=True, text=True)


def test_the_recipes_of_droid_choose_its_parts():
    for name, steps in (
        ("droid_metadata_only", ["intrinsics", "tracks"]),
        ("droid_full", ["intrinsics", "depth", "tracks"]),
    ):
        shown = ask("mapanything_data.tracks", f"experiment={name}", "machine=fixture", "--cfg", "job", "--resolve")
        assert (shown.returncode, yaml.safe_load(shown.stdout)["steps"]) == (0, steps)


@pytest.mark.parametrize(
    ("app", "experiment", "told", "fitting"),
    [
        ("train.finetune", "droid_full", "it chooses a source, and train.finetune has none", "opv2v_stage1"),
        ("mapanything_data.tracks", "opv2v_stage1", "it chooses a model", "droid_full or experiment=droid_meta"),
    ],
)
def test_an_experiment_of_another_app_is_refused_with_those_that_will_do(app, experiment, told, fitting):
    refused = ask(app, f"experiment={experiment}")

    assert refused.returncode == 2
    assert f"error: experiment={experiment}: is for another app: {told}" in refused.stderr
    assert f"expected: experiment={fitting}" in refused.stderr
    help_text = ask(app, "--help").stdout
    assert f"experiment={fitting.partition(' ')[0]}" in help_text
    assert f"experiment={experiment} " not in help_text


def test_a_group_that_an_app_does_not_have_is_named():
    refused = ask("mapanything_data.check", "experiment=droid_full")

    assert refused.returncode == 2
    assert refused.stderr.startswith("error: experiment: mapanything_data.check has no group of this name\n")


@pytest.mark.parametrize("executor", ["inline", "processes", "ray", "submitit"])
def test_the_full_recipe_of_droid_goes_with_every_executor(executor):
    shown = ask(
        *("mapanything_data.tracks", "experiment=droid_full", f"executor={executor}", "machine=fixture"),
        *("--cfg", "job", "--resolve"),
    )

    assert shown.returncode == 0, shown.stderr
    config = yaml.safe_load(shown.stdout)["executor"]
    assert executor != "processes" or (config["gpus"], config["workers_per_gpu"]) == (-1, 3)
