"""Intrinsics of DROID's cameras from providers in an order."""

import json
import os
import shutil

import av
import numpy as np
import pytest
from svo2_files import svo2_header, write_svo2

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.scene import Camera, Distortion
from mapanything_data.sources.droid_intrinsics import IntrinsicsOptions, find_intrinsics
from mapanything_data.storage.droid import EpisodeFiles, RecordedCamera, read_intrinsics, write_intrinsics
from mapanything_data.storage.droid.intrinsics_book import read_book

SERIAL = "18026681"
UUID = "AUTOLab+5d05c5aa+2023-08-12-16h-26m-07s"
LEFT = np.array([[523.1, 0, 641.2], [0, 523.1, 352.7], [0, 0, 1]])
ENTRY = {"fx": 530.0, "fy": 531.0, "cx": 640.5, "cy": 355.5, "width": 1280, "height": 720}
RELEASED = {"cameraMatrix": [530.0, 640.5, 531.0, 355.5], "distCoeffs": [0.0] * 12, "width": 1280, "height": 720}
EYE = "fx={fx}\nfy={fx}\ncx={cx}\ncy={cy}\nk1=-0.17\nk2=0.028\np1=0.0001\np2=-0.0002\nk3=0.003\n"
CONF = (
    "".join(
        f"[{eye}_CAM_{name}]\n{EYE.format(fx=700 * scale, cx=640 * scale, cy=360 * scale)}"
        for name, scale in (("HD", 1.0), ("FHD", 1.5))
        for eye in ("LEFT", "RIGHT")
    )
    + "[STEREO]\nBaseline=120\nTY=0\nTZ=0\n"
    + "".join(f"CV_{name}=0.006\nRX_{name}=0\nRZ_{name}=0\n" for name in ("HD", "FHD"))
)


@pytest.fixture
def episode(tmp_path):
    folder = tmp_path / "AUTOLab/success/2023-08-12/Sat_Aug_12_16:26:07_2023"
    for kind in ("SVO", "MP4"):
        (folder / "recordings" / kind).mkdir(parents=True)
    return EpisodeFiles(UUID, "AUTOLab", "success", "2023-08-12", folder, folder / f"metadata_{UUID}.json")


@pytest.fixture
def calibrations(tmp_path):
    (tmp_path / "zed").mkdir()
    (tmp_path / "zed" / f"SN{SERIAL}.conf").write_text(CONF)
    return str(tmp_path / "zed")


@pytest.fixture
def book(tmp_path):
    def write(values):
        path = tmp_path / "intrinsics_of_all.json"
        path.write_text(json.dumps(values))
        return str(path)

    return write


def camera(matrices=None, serial=SERIAL):
    return RecordedCamera(
        serial=serial,
        kind="external",
        T_world_camera=None,
        T_world_right=None,
        T_flange_camera=None,
        T_flange_right=None,
        capture_times=None,
        matrices=matrices or {},
    )


def ask(episode, providers, matrices=None, **options):
    return find_intrinsics(IntrinsicsOptions(providers=providers, **options), episode, camera(matrices))


def reason(episode, provider, matrices=None, **options):
    """Why a single provider could not tell."""
    missing = ask(episode, [provider], matrices, **options)
    ((name, why),) = missing.tried
    assert name == provider
    assert missing.serial == SERIAL
    return why


def write_mp4(path, width, height):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for packet in stream.encode(av.VideoFrame(width, height, "yuv420p")):
            container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def test_the_episodes_own_matrices_are_of_rectified_pictures(episode):
    right = np.array([[523.1, 0, 643.2], [0, 523.1, 352.7], [0, 0, 1]])
    found = ask(episode, ["h5"], {"left": LEFT, "right": right})
    assert (found.provider, found.model, found.is_approximate) == ("h5", "rectified", False)
    assert found.left == Camera(1280, 720, 523.1, 523.1, 641.2, 352.7)
    assert found.right == Camera(1280, 720, 523.1, 523.1, 643.2, 352.7)


def test_the_size_of_matrices_comes_from_the_mp4_then_the_svo2_then_the_principal_point(episode):
    matrix = LEFT * [[1.5, 1, 1.5], [1, 1.5, 1.5], [1, 1, 1]]  # of 1920x1080, principal point (961.8, 529.05)
    found = ask(episode, ["h5"], {"left": matrix})
    assert found.origin == "trajectory.h5 camera_intrinsics, size by its principal point"

    write_svo2(episode.folder / f"recordings/SVO/{SERIAL}.svo2", svo2_header(3840, 1080))
    found = ask(episode, ["h5"], {"left": matrix})
    assert found.origin.endswith(f"size by {SERIAL}.svo2")
    assert (found.left.width, found.left.height) == (1920, 1080)

    write_mp4(episode.folder / f"recordings/MP4/{SERIAL}-stereo.mp4", 3840, 1080)
    found = ask(episode, ["h5"], {"left": matrix})
    assert found.origin.endswith(f"size by {SERIAL}-stereo.mp4")
    assert (found.left.width, found.left.height) == (1920, 1080)  # one eye of the two side by side

    write_mp4(episode.folder / f"recordings/MP4/{SERIAL}.mp4", 1920, 1080)
    assert ask(episode, ["h5"], {"left": matrix}).origin.endswith(f"size by {SERIAL}.mp4")


def test_a_matrix_of_pictures_of_another_size_is_refused(episode):
    write_mp4(episode.folder / f"recordings/MP4/{SERIAL}.mp4", 320, 180)
    assert "(641.2, 352.7): not of pictures of 320x180" in reason(episode, "h5", {"left": LEFT})


def test_a_matrix_that_fits_no_size_of_zeds_or_two_is_refused(episode):
    small = np.array([[131, 0, 160.0], [0, 131, 90], [0, 0, 1]])
    assert "fits not just one" in reason(episode, "h5", {"left": small})


def test_a_matrix_that_is_none_and_a_missing_one_are_told(episode):
    assert "no camera_intrinsics" in reason(episode, "h5")
    assert "no intrinsic matrix" in reason(episode, "h5", {"left": LEFT * [1, -1, 1]})
    assert "rectified pictures only" in reason(episode, "h5", {"left": LEFT}, model="raw")


@pytest.mark.parametrize("entry", [ENTRY, RELEASED])
@pytest.mark.parametrize(
    "lay_out",
    [
        lambda entry: {UUID: {SERIAL: entry}},
        lambda entry: {SERIAL: entry},
        lambda entry: {UUID: {**entry, "serial": SERIAL}},
        lambda entry: {UUID: {"24400334": {}}, SERIAL: entry},  # the episode does not list this camera
        lambda entry: {UUID: {SERIAL: entry}, SERIAL: ENTRY | {"fx": 1.0}},  # the episode's own goes first
    ],
)
def test_entries_are_found_by_episode_and_by_serial_number(episode, book, lay_out, entry):
    found = ask(episode, ["json"], json=book(lay_out(entry)))
    assert found.left == Camera(1280, 720, 530.0, 531.0, 640.5, 355.5)
    assert (found.provider, found.model) == ("json", "rectified")
    assert found.origin.startswith("intrinsics_of_all.json ")
    assert "/tmp" not in found.origin


def test_what_intrinsics_json_holds_is_an_entry(episode, book, tmp_path):
    first = ask(episode, ["h5"], {"left": LEFT, "right": LEFT})
    write_intrinsics(tmp_path / "intrinsics.json", first)
    found = ask(episode, ["json"], json=book({SERIAL: json.loads((tmp_path / "intrinsics.json").read_text())}))
    assert (found.left, found.right, found.baseline) == (first.left, first.right, first.baseline)


def test_distortion_makes_an_entry_raw_and_raw_is_kept_apart_from_rectified(episode, book):
    path = book({SERIAL: ENTRY | {"k1": -0.17, "p2": 0.001, "right": ENTRY, "baseline_m": 0.12}})
    assert "is for raw pictures, not for rectified ones" in reason(episode, "json", json=path)
    found = ask(episode, ["json"], json=path, model="raw")
    assert found.left.distortion == Distortion(k1=-0.17, p2=0.001)
    assert (found.model, found.baseline, found.right.fx) == ("raw", 0.12, 530.0)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"IRIS+abc+2023-08-12-16h-26m-07s": {SERIAL: ENTRY}}, "has neither"),  # same second, another collector
        ({UUID: ENTRY}, "does not say which camera it is of"),
        ({UUID: {**ENTRY, SERIAL: ENTRY}}, "at once"),
        ({UUID: {**ENTRY, "serial": "24400334"}}, "has neither"),
        ({UUID: {SERIAL: ENTRY | {"serial": "24400334"}}}, "is of camera 24400334"),
        ({UUID: {"left": ENTRY}}, "no serial numbers"),
        ({UUID: [ENTRY]}, "is no JSON object"),
        ({SERIAL: [530, 640, 530, 355]}, "is no entry"),
        ({SERIAL: RELEASED | {"cameraMatrix": LEFT.tolist()}}, "expected [fx, cx, fy, cy]"),
        ({SERIAL: RELEASED | {"cameraMatrix": [0.0] * 4}}, "is no camera"),  # zeros stand in a part of the release
        ({SERIAL: RELEASED | {"width": 0, "height": 0}}, "expected whole pixels"),
        ({SERIAL: RELEASED | {"distCoeffs": [0, 0, 0, 0, 0, 0.3]}}, "expected k1, k2, p1, p2, k3"),
        ({SERIAL: RELEASED | ENTRY}, "both fx and cameraMatrix"),
        ({SERIAL: {k: v for k, v in ENTRY.items() if k != "cy"}}, "has no cy"),
        ({SERIAL: ENTRY | {"fx": "wide"}}, "is no camera"),
        ({SERIAL: ENTRY | {"model": "fisheye"}}, "expected raw or rectified"),
        ({SERIAL: ENTRY | {"model": "rectified", "k1": 0.1}}, "exclude each other"),
        ({SERIAL: ENTRY | {"k1": "much"}}, "no number"),
        ({SERIAL: ENTRY | {"height": None}}, "expected whole pixels"),
        ({SERIAL: ENTRY | {"right": 5}}, "is no JSON object"),
        ({SERIAL: ENTRY | {"baseline_m": "far"}}, "expected metres"),
        ([ENTRY], "is no JSON object"),
    ],
)
def test_entries_that_are_wrong_or_ambiguous_are_refused(episode, book, values, why):
    assert why in reason(episode, "json", json=book(values))


def test_an_entry_without_size_takes_that_of_the_recording(episode, book):
    path = book({SERIAL: {"fx": 530, "fy": 530, "cx": 640, "cy": 360}})
    assert ask(episode, ["json"], json=path).origin.endswith("size by its principal point")
    write_mp4(episode.folder / f"recordings/MP4/{SERIAL}.mp4", 1280, 720)
    assert ask(episode, ["json"], json=path).origin.endswith(f"size by {SERIAL}.mp4")


def test_the_file_is_parsed_once_until_it_changes(episode, book):
    path = book({SERIAL: ENTRY})
    ask(episode, ["json"], json=path)
    first = read_book(type(episode.folder)(path))
    ask(episode, ["json"], json=path)
    assert read_book(type(episode.folder)(path)) is first
    book({SERIAL: ENTRY | {"fx": 999.0}})
    os.utime(path, ns=(1, 1))
    assert ask(episode, ["json"], json=path).left.fx == 999.0


def test_the_factory_calibration_answers_raw_or_rectified(episode, calibrations):
    raw = ask(episode, ["conf"], calibrations=calibrations, model="raw")
    assert raw.left == Camera(1280, 720, 700, 700, 640, 360, (-0.17, 0.028, 0.0001, -0.0002, 0.003))
    assert (raw.model, raw.is_approximate, raw.baseline) == ("raw", False, 0.12)
    assert raw.origin == f"SN{SERIAL}.conf at 1280x720, size by intrinsics.size"

    rectified = ask(episode, ["conf"], calibrations=calibrations)
    assert (rectified.model, rectified.is_approximate) == ("rectified", True)
    assert not rectified.left.is_distorted
    assert rectified.origin.endswith("rectified with OpenCV")


def test_the_factory_calibration_follows_the_size_of_the_mp4(episode, calibrations):
    write_mp4(episode.folder / f"recordings/MP4/{SERIAL}.mp4", 1920, 1080)
    assert ask(episode, ["conf"], calibrations=calibrations, model="raw").left.fx == 1050.0
    write_mp4(episode.folder / f"recordings/MP4/{SERIAL}.mp4", 640, 360)
    assert "not for pictures of 640x360" in reason(episode, "conf", calibrations=calibrations)


def test_without_any_size_the_factory_calibration_is_not_asked(episode, calibrations):
    assert "intrinsics.size is empty" in reason(episode, "conf", calibrations=calibrations, size=[])


def test_the_svo2_header_picks_the_resolution_of_the_factory_calibration(episode, calibrations):
    svo = write_svo2(episode.folder / f"recordings/SVO/{SERIAL}.svo2", svo2_header(3840, 1080))
    found = ask(episode, ["svo2"], calibrations=calibrations, model="raw")
    assert (found.provider, found.left.fx, found.left.width) == ("svo2", 1050.0, 1920)
    write_svo2(svo, svo2_header(serial=24400334))
    assert "recorded with camera 24400334" in reason(episode, "svo2", calibrations=calibrations)
    svo.write_bytes(svo.read_bytes()[:100])
    assert "truncated" in reason(episode, "svo2", calibrations=calibrations)


def test_a_provider_that_fails_does_not_hide_the_next(episode, book, calibrations):
    (episode.folder / f"recordings/SVO/{SERIAL}.svo").write_bytes(b"of version 1")
    found = ask(episode, ["h5", "json", "svo2", "conf"], json=book([]), calibrations=calibrations)
    assert found.provider == "conf"


def test_the_order_decides(episode, book, calibrations):
    known = {"json": book({SERIAL: ENTRY}), "calibrations": calibrations}
    assert ask(episode, ["h5", "json", "conf"], {"left": LEFT}, **known).provider == "h5"
    assert ask(episode, ["conf", "json", "h5"], {"left": LEFT}, **known).provider == "conf"


def test_where_nothing_answers_every_reason_is_kept_without_folders_of_this_machine(episode, calibrations, tmp_path):
    shutil.rmtree(calibrations)
    missing = ask(episode, ["h5", "json", "svo2", "conf", "sdk"], calibrations=calibrations)
    assert dict(missing.tried) == {
        "h5": "trajectory.h5: has no camera_intrinsics of this camera",
        "json": "intrinsics.json: is not set",
        "svo2": f"{episode.folder.name}: has no SVO of this camera",
        "conf": f"SN{SERIAL}.conf: the file is missing",
        "sdk": f"{episode.folder.name}: has no SVO of this camera",
    }
    assert [name for name, _ in missing.tried] == ["h5", "json", "svo2", "conf", "sdk"]


def test_a_calibration_of_another_size_and_a_broken_one_are_reasons(episode, calibrations, tmp_path):
    path = tmp_path / "zed" / f"SN{SERIAL}.conf"
    path.write_text(CONF.replace("fx=700.0", "fx=seven"))
    assert reason(episode, "conf", calibrations=calibrations) == f"SN{SERIAL}.conf:[LEFT_CAM_HD] fx: 'seven'"


def test_what_was_found_comes_back_from_its_file(episode, calibrations, tmp_path):
    found = ask(episode, ["conf"], calibrations=calibrations)
    write_intrinsics(tmp_path / "intrinsics.json", found)
    assert read_intrinsics(tmp_path / "intrinsics.json") == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"providers": ["h5", "guess"]},
        {"providers": []},
        {"providers": ["h5", "h5"]},
        {"model": "fisheye"},
        {"size": [1280]},
        {"size": [0, 720]},
        {"sdk_timeout_s": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"intrinsics.{next(iter(wrong))}"):
        IntrinsicsOptions(**wrong)


def test_a_file_or_folder_that_is_not_there_is_told_before_the_work(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        IntrinsicsOptions(json=str(tmp_path / "no.json")).setup()
    with pytest.raises(DataError, match=r"correct machine\.zed_calibrations"):
        IntrinsicsOptions(calibrations=str(tmp_path / "no")).setup()
    IntrinsicsOptions().setup()
