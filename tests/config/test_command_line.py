"""The apps as commands: help, errors, exit codes, sweeps; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

APPS = (
    *("capture", "check", "collect", "depth_video", "label", "report", "tracks", "upload"),
    *("train.evaluate", "train.finetune"),
)
HEAVY = {
    "torch",
    "tensorboard",
    "cv2",
    "av",
    "transformers",
    "ultralytics",
    "open3d",
    "rerun",
    "mujoco",
    "pyzed",
    "ray",
    "submitit",
    "huggingface_hub",
}


def module_of(app: str) -> str:
    return app if "." in app else f"mapanything_data.{app}"


def command(app: str, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module_of(app), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "120", **environment},
    )


@pytest.mark.parametrize("app", APPS)
def test_help_names_groups_options_and_two_examples(app):
    help_text = command(app, "--help").stdout

    dataset = {"collect": "opv2v", "label": "opv2v", "tracks": "droid", "upload": "droid"}.get(
        app, "opv2v_ft" if "train" in app else "segments"
    )
    assert help_text.count(f"python -m {module_of(app)} ") >= 3  # usage and two examples
    assert f"dataset={dataset} *" in help_text or app == "depth_video"  # which works on files of any data set
    assert "machine=cluster" in help_text
    assert "Folder that" in help_text or "Folder of the data set." in help_text


def test_help_follows_the_choices_on_the_command_line():
    help_text = command("capture", "source=images", "--help").stdout

    assert "source=images *" in help_text
    assert "source.fps=" in help_text
    assert "source.resize=null" in help_text


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]], ids=["help", "cfg"])
def test_help_and_config_import_nothing_heavy(app, arguments):
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['app', *{arguments!r}]\n"
        "try:\n"
        f"    runpy.run_module('{module_of(app)}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"sys.exit(' '.join(sorted({HEAVY} & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dataset.rot=x"], "dataset.rot: there is no such option; did you mean dataset.root?"),
        (["limt=3"], "limt: there is no such option; did you mean limit?"),
        (["+dataset.color=red", "dataset.root=x"], "dataset.color: there is no such option"),
        (["dataset=segmnets"], "dataset=segmnets: there is no such choice; did you mean dataset=segments?"),
        (["limit=many"], "limit: Value 'many' of type 'str' could not be converted to Integer"),
        (["retry=fialed"], "retry: Invalid value 'fialed', expected one of [none, failed]"),
        ([], "dataset.root: is taken from machine.output_root, which is not set"),
        (
            ["machine=cluster"],
            "machine.output_root: is taken from the environment variable SCRATCH, which is not set",
        ),
        (["dataset.root=x", "limit=-7"], "limit: -7"),
        (["dataset.root=[1"], "cannot be read as an override"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_message(arguments, told):
    done = command("check", *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {told}" if told != "cannot be read as an override" else "error: ")
    assert told in done.stderr
    assert "remedy:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_new_entry_of_a_mapping_is_refused_with_the_way_to_add_it():
    done = command("train.finetune", "train_params.submodules.encoder.lr=0", "output_dir=x", "dataset.root=x")

    assert done.returncode == 2
    assert "train_params.submodules.encoder: there is no such entry yet" in done.stderr
    assert "+train_params.submodules.encoder" in done.stderr


def test_an_unexpected_error_is_one_message_and_its_traceback_is_to_be_had(tmp_path):
    broken_component = "executor=null"

    told = command("check", broken_component, f"dataset.root={tmp_path}")
    asked = command("check", broken_component, f"dataset.root={tmp_path}", MAPANYTHING_TRACEBACK="1")

    assert told.returncode == asked.returncode == 2
    assert "Traceback" not in told.stderr
    assert "MAPANYTHING_TRACEBACK=1" in told.stderr
    assert "Traceback" in asked.stderr


def test_a_folder_where_a_file_must_be_is_named(tmp_path):
    (tmp_path / "manifest.json").mkdir()

    done = command("report", f"dataset.root={tmp_path}")

    assert done.returncode == 2
    assert f"error: {tmp_path}/manifest.json: cannot be read (Is a directory)" in done.stderr


def test_own_choices_come_from_a_config_dir(tmp_path):
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "mine.yaml").write_text(
        "# My own machine.\ndefaults: [default, _self_]\noutput_root: /mine\n"
    )

    shown = command("check", "--config-dir", str(tmp_path), "machine=mine", "--cfg", "job", "--resolve")
    help_text = command("check", "--config-dir", str(tmp_path), "machine=mine", "--help").stdout

    assert "root: /mine/segments" in shown.stdout
    assert "My own machine." in help_text


def test_an_app_leaves_nothing_in_the_current_folder(tmp_path):
    command("check", "dataset.root=nowhere", cwd=tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("profile", ["fixture", "local3090"])
def test_every_machine_profile_composes(profile):
    shown = command("capture", f"machine={profile}", "--cfg", "job", "--resolve")

    assert shown.returncode == 0
    assert "output_root" in shown.stdout


def test_the_flag_of_a_sweep_may_stand_anywhere(tmp_path):
    done = command("check", "machine=fixture", "-m", "dataset.root=/nowhere/a,/nowhere/b", cwd=tmp_path)

    assert "unrecognized" not in done.stderr
    assert "/nowhere/a" in done.stderr


@pytest.mark.parametrize(
    ("app", "choice", "expected"),
    [
        ("capture", ["source=town"], "source=images or source=video"),
        ("capture", ["dataset=opv2v", "source.path=a"], "dataset=segments"),
        ("collect", ["source=video", "source.path=a"], "source=town"),
        ("collect", ["dataset=opv2v_ft"], "dataset=opv2v"),
        ("label", ["dataset=segments"], "dataset=opv2v"),
        ("label", ["labeler=contact_tracks"], "labeler=boxes3d or labeler=lidar_depth"),
        ("capture", ["source=droid_svo"], "source=images or source=video"),
        ("tracks", ["source=video", "source.path=a"], "source=droid_mp4 or source=droid_stereo or source=droid_svo"),
        ("tracks", ["labeler=boxes3d", "dataset.recordings=raw"], "labeler=contact_tracks"),
    ],
)
def test_a_choice_that_is_for_another_app_is_refused_with_those_that_will_do(app, choice, expected, tmp_path):
    done = command(app, *choice, "machine=fixture", "dataset.root=out", cwd=tmp_path)

    assert done.returncode == 2
    assert f"{choice[0]}: is not for this app\n  expected: {expected}\n" in done.stderr
    assert not (tmp_path / "out").exists()
