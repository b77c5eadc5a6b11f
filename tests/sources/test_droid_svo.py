"""Depth through Stereolabs' SDK, which a stand-in plays; its process crashes, hangs and fails as the real one does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_svo import stand_in_environment, write_svo

from mapanything_data.errors import ConfigError, DataError, MissingDependencyError
from mapanything_data.scene import Distortion
from mapanything_data.sources import zed_sdk
from mapanything_data.sources.droid_intrinsics import IntrinsicsOptions, find_intrinsics
from mapanything_data.sources.droid_svo import DroidSvoSource
from mapanything_data.storage.droid import EpisodeFiles, RecordedCamera

SERIAL = "18026681"


@pytest.fixture(autouse=True)
def _no_process_of_another_test():
    """Each test has its own environment, so no process may outlive one."""
    zed_sdk._forget()
    yield
    zed_sdk._forget()


@pytest.fixture
def sdk(monkeypatch, tmp_path):
    """Makes the stand-in the SDK; returns a function that reads the calls it recorded."""

    def calls():
        return [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]

    def behave(**behaviour):
        for name, value in stand_in_environment(LOG=tmp_path / "calls.jsonl", **behaviour).items():
            monkeypatch.setenv(name, value)
        return calls

    return behave


@pytest.fixture
def episode(tmp_path):
    folder = tmp_path / "AUTOLab/success/2023-08-12/Sat_Aug_12_16:26:07_2023"
    (folder / "recordings" / "SVO").mkdir(parents=True)
    uuid = "AUTOLab+5d05c5aa+2023-08-12-16h-26m-07s"
    return EpisodeFiles(uuid, "AUTOLab", "success", "2023-08-12", folder, folder / f"metadata_{uuid}.json")


def svo_of(episode, serial=SERIAL):
    return episode.folder / "recordings" / "SVO" / f"{serial}.svo"


def read(source, episode, serial=SERIAL):
    with source.open_recording(episode, serial, None) as recording:
        return list(recording.frames())


def test_millimetres_become_metres_and_frame_i_belongs_to_step_i(sdk, episode):
    sdk()
    write_svo(svo_of(episode))
    with DroidSvoSource().open_recording(episode, SERIAL, None) as recording:
        frames = list(recording.frames())
        assert recording.frame_count == 3
        assert recording.depth_method == "ZED SDK 5.1.2 neural, self-calibration off"
    assert [frame.step for frame in frames] == [0, 1, 2]
    for frame in frames:
        assert (frame.depth.shape, frame.depth.dtype) == ((48, 64), np.float32)
        assert frame.image is None
    # The gradient of write_svo: 1000 (t + 1) + 10 y + x millimetres.
    assert frames[1].depth[7, 30] == pytest.approx(2.100)
    assert frames[2].depth[47, 63] == pytest.approx(3.533)


@pytest.mark.parametrize("old", [False, True])
def test_what_was_not_measured_is_0(sdk, episode, old):
    sdk(**({"OLD": 1} if old else {}))  # the old SDK gives float millimetres with NaN and infinity
    depth = np.full((2, 4, 6), 1234, np.uint16)
    depth[0, 1, 2], depth[0, 3, 5], depth[1, 0, 0] = 0, 65000, 64999
    write_svo(svo_of(episode), depth_mm=depth)
    first, second = read(DroidSvoSource(depth_mode="ultra"), episode)
    assert (first.depth[1, 2], first.depth[3, 5]) == (0.0, 0.0)
    assert second.depth[0, 0] == np.float32(64.999)
    assert first.depth.dtype == np.float32
    assert first.depth[0, 0] == np.float32(1.234)


def test_pictures_are_rgb_of_the_left_eye(sdk, episode):
    sdk()
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    write_svo(svo_of(episode), frames=2, images=images)
    for frame, image in zip(read(DroidSvoSource(images=True), episode), images, strict=True):
        np.testing.assert_array_equal(frame.image, image)
        assert frame.image.flags.c_contiguous


def test_the_camera_is_the_rectified_left_eye(sdk, episode):
    sdk()
    write_svo(svo_of(episode), intrinsics=(50, 51, 33, 22))
    with DroidSvoSource().open_recording(episode, SERIAL, None) as recording:
        camera = recording.camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (50, 51, 33, 22)
    assert (camera.width, camera.height, camera.is_distorted) == (64, 48, False)


def test_the_sdk_is_opened_so_that_results_repeat(sdk, episode, tmp_path):
    calls = sdk()
    write_svo(svo_of(episode))
    read(DroidSvoSource(depth_mode="NEURAL_PLUS", min_depth=0.2, max_depth=5.0, calibrations=str(tmp_path)), episode)
    opened = next(arguments for _, name, arguments in calls() if name == "open")
    assert opened == {
        "svo": str(svo_of(episode)),
        "svo_real_time_mode": False,
        "camera_disable_self_calib": True,
        "coordinate_units": "MILLIMETER",
        "depth_mode": "NEURAL_PLUS",
        "depth_stabilization": 0,
        "sdk_verbose": 0,
        "optional_settings_path": str(tmp_path),
        "depth_minimum_distance": 200.0,  # millimetres
        "depth_maximum_distance": 5000.0,
    }
    assert [name for _, name, _ in calls()] == ["open", "close"]


def test_a_process_is_replaced_after_its_number_of_openings(sdk, episode):
    calls = sdk()
    write_svo(svo_of(episode))
    for _ in range(5):
        assert len(read(DroidSvoSource(opens_per_process=2), episode)) == 3
    processes = [process for process, name, _ in calls() if name == "open"]
    assert processes[0] == processes[1] != processes[2] == processes[3] != processes[4]
    assert os.getpid() not in processes


def test_a_crash_names_the_file_and_the_signal_and_the_next_opening_works(sdk, episode):
    sdk(CRASH_AFTER=2)
    write_svo(svo_of(episode))
    source = DroidSvoSource(opens_per_process=100)
    read(source, episode)
    read(source, episode)
    with pytest.raises(DataError, match=r"18026681\.svo: Stereolabs' SDK died by SIGSEGV opening it"):
        read(source, episode)
    assert len(read(source, episode)) == 3  # in a fresh process


def test_a_crash_between_frames_ends_the_recording_only(sdk, episode):
    sdk()
    write_svo(svo_of(episode), crash_at=2)
    write_svo(svo_of(episode, "24400334"))
    seen = []
    recording = DroidSvoSource().open_recording(episode, SERIAL, None)
    with pytest.raises(DataError, match="died by SIGSEGV reading a frame"), recording as frames:
        seen.extend(frame.step for frame in frames.frames())
    assert seen == [0, 1]
    assert len(read(DroidSvoSource(), episode, "24400334")) == 3


def test_a_crash_while_closing_loses_nothing_and_is_not_blamed_on_the_next_recording(sdk, episode):
    calls = sdk(CRASH_IN_CLOSE=1)
    write_svo(svo_of(episode))
    for _ in range(2):
        assert len(read(DroidSvoSource(), episode)) == 3
    assert len({process for process, _, _ in calls()}) == 2


def test_an_sdk_that_waits_for_ever_is_ended(sdk, episode):
    sdk(HANG=1)
    write_svo(svo_of(episode))
    start = time.monotonic()
    with pytest.raises(DataError, match=r"opening it took longer than 0\.5 s\n.*offline it waits"):
        read(DroidSvoSource(open_timeout_s=0.5), episode)
    assert time.monotonic() - start < 10


def test_offline_the_folder_of_calibrations_is_what_it_needs(sdk, episode, tmp_path):
    sdk(OFFLINE=1)
    write_svo(svo_of(episode))
    with pytest.raises(DataError, match="CALIBRATION_FILE_NOT_AVAILABLE"):
        read(DroidSvoSource(), episode)
    (tmp_path / f"SN{SERIAL}.conf").write_text("")
    assert len(read(DroidSvoSource(calibrations=str(tmp_path)), episode)) == 3


def test_what_the_sdk_cannot_open_is_told_by_its_name(sdk, episode):
    sdk()
    svo_of(episode).write_bytes(b"encrypted or truncated")
    with pytest.raises(DataError, match="cannot be opened by Stereolabs' SDK: INVALID_SVO_FILE"):
        read(DroidSvoSource(), episode)
    write_svo(svo_of(episode), open_code="NO_GPU_COMPATIBLE")
    with pytest.raises(DataError, match="NO_GPU_COMPATIBLE"):
        read(DroidSvoSource(), episode)


def test_a_warning_of_the_sdk_is_no_error(sdk, episode):
    sdk()
    write_svo(svo_of(episode), open_code="POTENTIAL_CALIBRATION_ISSUE")
    assert len(read(DroidSvoSource(), episode)) == 3


def test_a_recording_that_breaks_off_is_told(sdk, episode):
    sdk()
    write_svo(svo_of(episode), fail_at=1)
    with pytest.raises(DataError, match="breaks off at frame 1 of 3: CORRUPTED_FRAME"):
        read(DroidSvoSource(), episode)
    write_svo(svo_of(episode), announced=200)
    with pytest.raises(DataError, match="ends after 3 of 200 frames"):
        read(DroidSvoSource(), episode)
    write_svo(svo_of(episode), announced=4)  # the last frame is often missing
    assert len(read(DroidSvoSource(), episode)) == 3
    write_svo(svo_of(episode), announced=0)
    with pytest.raises(DataError, match="has no frames"):
        read(DroidSvoSource(), episode)


def test_a_recording_of_another_camera_or_none_is_told(sdk, episode):
    sdk()
    with pytest.raises(DataError, match=f"no SVO of camera {SERIAL}"):
        read(DroidSvoSource(), episode)
    write_svo(svo_of(episode), serial=24400334)
    with pytest.raises(DataError, match="recorded with camera 24400334"):
        read(DroidSvoSource(), episode)


def test_a_reader_that_leaves_early_does_not_disturb_the_next(sdk, episode):
    sdk()
    write_svo(svo_of(episode), frames=20, width=640, height=360)  # more than the pipe holds
    for _ in range(2):
        with DroidSvoSource().open_recording(episode, SERIAL, None) as recording:
            assert next(recording.frames()).step == 0
    assert [frame.step for frame in read(DroidSvoSource(), episode)] == list(range(20))


def test_two_recordings_can_be_open_at_once(sdk, episode):
    sdk()
    write_svo(svo_of(episode))
    write_svo(svo_of(episode, "24400334"), baseline_mm=63)
    source = DroidSvoSource()
    with source.open_recording(episode, SERIAL, None) as one, source.open_recording(episode, "24400334", None) as other:
        pairs = list(zip(one.frames(), other.frames(), strict=True))
    assert len(pairs) == 3


def test_setup_refuses_a_mode_that_this_sdk_does_not_have_and_lists_those_it_has(sdk):
    sdk(OLD=1)
    DroidSvoSource(depth_mode="quality").setup()
    with pytest.raises(MissingDependencyError) as caught:
        DroidSvoSource(depth_mode="neural").setup()
    assert "SDK 3.3.0 has no depth mode neural" in str(caught.value)
    assert "one of performance, quality, ultra" in str(caught.value)


def test_without_the_sdk_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(zed_sdk.__file__).parents[2]))
    with pytest.raises(MissingDependencyError) as caught:
        DroidSvoSource().setup()
    assert "is not installed" in str(caught.value)
    assert "get_python_api.py" in str(caught.value)
    assert "package index is not Stereolabs'" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"__init__.py": "class Client: ...\n"}, "no pyzed.sl"),
        ({"__init__.py": "", "sl.py": "def login(): ...\n"}, "pyzed.sl has no Camera, InitParameters"),
        ({"__init__.py": "", "sl.py": "import a_library_that_is_not_there\n"}, "a_library_that_is_not_there"),
    ],
)
def test_the_impostor_is_named(monkeypatch, tmp_path, files, named):
    (tmp_path / "pyzed").mkdir()
    for name, text in files.items():
        (tmp_path / "pyzed" / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(zed_sdk.__file__).parents[2]}")
    with pytest.raises(MissingDependencyError) as caught:
        DroidSvoSource().setup()
    assert named in str(caught.value)


def test_the_sdk_is_a_provider_of_intrinsics_without_depth(sdk, episode):
    calls = sdk()
    write_svo(svo_of(episode), intrinsics=(50, 51, 33, 22))
    raw = ask_sdk(episode, model="raw")
    assert raw.left.distortion == Distortion(-0.17, 0.028, 0.0001, -0.0002, 0.003)
    assert raw.left.fx == pytest.approx(51.0)  # 1.02 x 50
    rectified = ask_sdk(episode, model="rectified")
    assert (rectified.provider, rectified.model, rectified.left.fx) == ("sdk", "rectified", 50.0)
    assert rectified.baseline == pytest.approx(0.120)
    assert rectified.origin == f"{SERIAL}.svo, ZED SDK 5.1.2, self-calibration off"
    assert {arguments["depth_mode"] for _, name, arguments in calls() if name == "open"} == {"NONE"}


def test_a_missing_sdk_is_a_reason_and_is_looked_for_once(monkeypatch, episode, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(zed_sdk.__file__).parents[2]))
    write_svo(svo_of(episode))
    (tmp_path / "known.json").write_text('{"18026681": {"fx": 50, "fy": 50, "cx": 640, "cy": 360}}')
    reasons = dict(ask_sdk(episode).tried)
    assert reasons["sdk"].startswith("pyzed.sl: pyzed, the Python part of Stereolabs' SDK, is not installed")
    start = time.monotonic()
    for _ in range(100):
        assert dict(ask_sdk(episode).tried) == reasons
    assert time.monotonic() - start < 1  # 100 processes would take 10 s
    assert ask_sdk(episode, providers=["sdk", "json"], json=str(tmp_path / "known.json")).provider == "json"


def test_why_the_sdk_could_not_tell_is_kept(sdk, episode):
    sdk(HANG=1)
    write_svo(svo_of(episode))
    missing = ask_sdk(episode, sdk_timeout_s=0.3)
    assert dict(missing.tried)["sdk"].startswith(f"{SERIAL}.svo: Stereolabs' SDK was ended")


def ask_sdk(episode, **options):
    camera = RecordedCamera(
        serial=SERIAL,
        kind="external",
        T_world_camera=None,
        T_world_right=None,
        T_flange_camera=None,
        T_flange_right=None,
        capture_times=None,
        matrices={},
    )
    return find_intrinsics(IntrinsicsOptions(**{"providers": ["sdk"]} | options), episode, camera)


def test_the_sdk_dies_with_the_process_that_uses_it(sdk, episode, tmp_path):
    """Also while it waits for ever, where no closed pipe would tell it."""
    calls = sdk(HANG=1)
    write_svo(svo_of(episode))
    program = (
        "import sys; from pathlib import Path; from mapanything_data.sources.zed_sdk import read_sdk_intrinsics\n"
        f"read_sdk_intrinsics(Path(sys.argv[1]), '{SERIAL}', 'raw')"
    )
    paths = os.pathsep.join([os.environ["PYTHONPATH"], str(Path(zed_sdk.__file__).parents[2])])
    user = subprocess.Popen(
        [sys.executable, "-c", program, str(svo_of(episode))], env=os.environ | {"PYTHONPATH": paths}
    )
    log = tmp_path / "calls.jsonl"
    wait_until(lambda: log.is_file() and log.read_text().endswith("\n"))
    user.send_signal(signal.SIGKILL)
    user.wait()
    child = calls()[0][0]
    wait_until(lambda: not is_running(child))


def is_running(process):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def wait_until(holds):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "waited for 20 s"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth_mode": "none"},
        {"depth_mode": ""},
        {"min_depth": 0.0},
        {"max_depth": 90.0},
        {"max_depth": 1.0, "min_depth": 2.0},
        {"opens_per_process": 0},
        {"open_timeout_s": -1.0},
    ],
)
def test_settings_of_the_source_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"source.{next(iter(wrong))}"):
        DroidSvoSource(**wrong)
