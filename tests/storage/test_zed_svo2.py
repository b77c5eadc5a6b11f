"""Headers of SVO2 recordings, read without Stereolabs' SDK."""

from contextlib import suppress

import pytest
from svo2_files import packed_header, svo2_header, write_svo2

from mapanything_data.errors import DataError
from mapanything_data.storage.zed import read_svo2_header


@pytest.fixture
def path(tmp_path):
    return tmp_path / "18026681.svo2"


def test_the_packed_header_tells_camera_size_and_rate(path):
    header = read_svo2_header(write_svo2(path))
    assert (header.serial, header.width, header.height, header.fps) == ("18026681", 1280, 720, 60.0)
    assert header.found_in == "header"


@pytest.mark.parametrize(
    ("recorded", "eye"),
    [
        ((2560, 720), (1280, 720)),  # both eyes side by side
        ((1280, 720), (1280, 720)),  # one eye
        ((3840, 1080), (1920, 1080)),
        ((1920, 1080), (1920, 1080)),
        ((1920, 600), (960, 600)),  # ZED X: 1920 wide, yet both eyes
        ((1920, 1200), (1920, 1200)),
        ((4416, 1242), (2208, 1242)),
        ((1344, 376), (672, 376)),
    ],
)
def test_a_width_may_be_of_one_eye_or_of_both(path, recorded, eye):
    header = read_svo2_header(write_svo2(path, svo2_header(*recorded)))
    assert (header.width, header.height) == eye


@pytest.mark.parametrize(
    "values",
    [
        {"width": 1280, "height": 720, "serial_number": 24400334, "fps": 15},
        {"Width": 1280, "HEIGHT": 720, "Serial": "24400334", "camera_fps": 15.0},
        {"resolution_width": "1280", "resolution_height": "720", "sn": 24400334, "frame_rate": 15},
    ],
)
def test_plain_keys_are_taken_in_several_spellings(path, values):
    header = read_svo2_header(write_svo2(path, values))
    assert (header.serial, header.width, header.height, header.fps) == ("24400334", 1280, 720, 15.0)
    assert header.found_in == "its own keys"


def test_a_file_whose_end_is_missing_still_tells_its_header(path):
    whole = write_svo2(path, frames=2000).read_bytes()  # 10 MB, so several chunks
    path.write_bytes(whole[: len(whole) // 2])
    assert read_svo2_header(path).serial == "18026681"


def test_a_file_that_ends_within_its_header_is_truncated(path):
    whole = write_svo2(path).read_bytes()
    for size in (20, 60, 150, 300):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"truncated|no topic"):
            read_svo2_header(path)


def test_damaged_bytes_are_told_or_passed_over_and_never_a_traceback(path):
    whole = bytearray(write_svo2(path).read_bytes())
    for position in range(8, 400):
        damaged = whole.copy()
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with suppress(DataError):
            read_svo2_header(path)


def test_an_empty_file_and_one_cut_within_the_magic_are_told(path):
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_svo2_header(path)
    path.write_bytes(b"\x89MCA")
    with pytest.raises(DataError, match="truncated after 4 bytes"):
        read_svo2_header(path)


def test_an_svo_of_version_1_is_told_apart(tmp_path):
    path = tmp_path / "18026681.svo"
    path.write_bytes(b"not what MCAP begins with")
    with pytest.raises(DataError, match="version 1, which only Stereolabs' SDK reads"):
        read_svo2_header(path)


def test_an_encrypted_file_is_told(path):
    path.write_bytes(bytes(range(64)))
    with pytest.raises(DataError, match="may be encrypted"):
        read_svo2_header(path)
    write_svo2(path, payload=bytes(range(200, 256)))
    with pytest.raises(DataError, match="no JSON, as in an encrypted recording"):
        read_svo2_header(path)
    write_svo2(path, svo2_header() | {"encryption": "AES256"})
    with pytest.raises(DataError, match="is encrypted"):
        read_svo2_header(path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"version": "2.0.9", "blob": "x"}, "says no width, height, serial, fps; its keys are blob, version"),
        ({"header": "no base64!"}, "cannot be decoded"),
        ({"header": "pas du base64, é"}, "cannot be decoded"),
        ({"header": packed_header(1280, 720, 1, 60)[:8]}, "cannot be decoded"),
        (svo2_header(width=1000, height=777), "says 1000x777"),
        (svo2_header(serial=0), "of camera 0"),
        (svo2_header(fps=0), "0 frames/s"),
        ({"width": "wide", "height": 720, "serial": 1, "fps": 60}, "no numbers"),
        ([1, 2], "no JSON object"),
    ],
)
def test_a_header_that_says_nothing_sound_is_told(path, values, reason):
    with pytest.raises(DataError, match=reason):
        read_svo2_header(write_svo2(path, values))


def test_an_mcap_of_something_else_is_told(path):
    with pytest.raises(DataError, match="has no topic svo_header"):
        read_svo2_header(write_svo2(path, topic="imu"))
