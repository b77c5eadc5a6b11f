"""Factory calibrations of ZED cameras."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mapanything_data.errors import DataError
from mapanything_data.storage.zed import read_conf, rectified, size_of_principal_point

REAL = Path(__file__).parents[3] / "shared/data/zed/SN8452341.conf"

EYE = "fx={fx}\nfy={fx}\ncx={cx}\ncy={cy}\nk1=-0.17\nk2=0.028\np1=0.0001\np2=-0.0002\nk3=0.003\n"
HD = (
    "[LEFT_CAM_HD]\n" + EYE.format(fx=700, cx=640, cy=350) + "[RIGHT_CAM_HD]\n" + EYE.format(fx=701, cx=630, cy=360)
) + "[STEREO]\nBaseline=120\nTY=0.03\nTZ=-0.2\nCV_HD=0.006\nRX_HD=-0.001\nRZ_HD=0.0008\n"


@pytest.fixture
def conf(tmp_path):
    def write(text=HD, name="SN18026681.conf"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture
def real():
    if not REAL.is_file():
        pytest.skip("the shared data is not here")
    return read_conf(REAL)


def test_lengths_become_metres_and_angles_stay_radians(conf):
    calibration = read_conf(conf())
    assert calibration.serial == "18026681"
    stereo = calibration.at(1280, 720)
    assert (stereo.left.fx, stereo.left.cx, stereo.right.cx) == (700.0, 640.0, 630.0)
    assert stereo.left.distortion == (-0.17, 0.028, 0.0001, -0.0002, 0.003)  # k1 k2 p1 p2 k3
    np.testing.assert_allclose(stereo.translation, [0.120, 0.00003, -0.0002])
    np.testing.assert_allclose(stereo.rotation_vector, [-0.001, 0.006, 0.0008])  # RX, CV, RZ


def test_names_are_read_in_upper_and_lower_case(conf):
    swapped = read_conf(conf(HD.swapcase()))
    assert swapped.at(1280, 720).left == read_conf(conf()).at(1280, 720).left


def test_a_file_is_parsed_once_until_it_changes(conf):
    first = read_conf(conf())
    assert read_conf(first.path) is first
    conf(HD.replace("fx=700", "fx=7000"))
    assert read_conf(first.path).at(1280, 720).left.fx == 7000.0


def test_zed_x_names_and_offsets_for_each_resolution_are_read(conf):
    text = HD.replace("_HD", "_FHD1200").replace("TY=0.03", "TY_FHD1200=0.04").replace("cy=350", "cy=590")
    stereo = read_conf(conf(text)).at(1920, 1200)
    assert (stereo.left.width, stereo.left.height) == (1920, 1200)
    assert stereo.translation[1] == 0.00004
    svga = read_conf(conf(HD.replace("_HD", "_SVGA"))).at(960, 600)
    assert (svga.left.width, svga.left.height) == (960, 600)


def test_the_real_file_has_the_four_sizes_of_a_zed_2(real):
    assert set(real.stereo) == {(2208, 1242), (1920, 1080), (1280, 720), (672, 376)}
    hd = real.at(1280, 720)
    assert (hd.left.fx, hd.left.cy, hd.right.cx) == (701.88, 344.1835, 633.515)
    assert hd.translation[0] == pytest.approx(0.119978)
    left, right, baseline = rectified(real, 1280, 720)
    assert left == right
    assert baseline == pytest.approx(0.119978, abs=1e-6)
    # Measured with OpenCV 5: the view without black borders is a little narrower than the lens's 701.88.
    assert left.fx == pytest.approx(688.285, abs=1.0)


def test_rectified_eyes_see_a_point_in_the_same_row_and_its_depth_follows_from_the_baseline(conf):
    """Points seen by the raw model, undistorted with OpenCV into the rectified pictures."""
    width, height = 1280, 720
    calibration = read_conf(conf())
    raw = calibration.at(width, height)
    left, right, baseline = rectified(calibration, width, height)
    assert left == right
    assert not left.is_distorted
    assert baseline == pytest.approx(np.sqrt(0.120**2 + 0.00003**2 + 0.0002**2), rel=1e-9)

    # The real relation of the eyes: a point of the left eye is R x + T in the right one.
    R, T = cv2.Rodrigues(raw.rotation_vector)[0], raw.translation.reshape(3, 1)
    Rl, Rr, *_ = cv2.stereoRectify(
        *(raw.left.matrix, np.array(raw.left.distortion), raw.right.matrix, np.array(raw.right.distortion)),
        *((width, height), R, T),
        flags=cv2.CALIB_ZERO_DISPARITY,
        alpha=0,
    )
    points = np.array([[0.3, -0.1, 2.0], [-0.5, 0.2, 3.0], [0.1, 0.3, 1.5]])

    def seen(points, eye, rotation, P):
        coefficients = np.array(eye.distortion)
        pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), eye.matrix, coefficients)
        return cv2.undistortPoints(pixels, eye.matrix, coefficients, R=rotation, P=P)[:, 0]

    in_left = seen(points, raw.left, Rl, left.matrix)
    in_right = seen((R @ points.T + T).T, raw.right, Rr, right.matrix)
    np.testing.assert_allclose(in_left[:, 1], in_right[:, 1], atol=0.01)
    depth = (Rl @ points.T)[2]  # along the axis of the rectified left eye
    np.testing.assert_allclose(np.abs(in_left - in_right)[:, 0], left.fx * baseline / depth, atol=0.01)


def test_rectifying_eyes_that_already_look_alike_changes_nothing_but_the_size_of_the_view(conf):
    eye = "fx=700\nfy=700\ncx=639.5\ncy=359.5\nk1=0\nk2=0\np1=0\np2=0\nk3=0\n"
    text = f"[LEFT_CAM_HD]\n{eye}[RIGHT_CAM_HD]\n{eye}[STEREO]\nBaseline=63\nTY=0\nTZ=0\nCV_HD=0\nRX_HD=0\nRZ_HD=0\n"
    left, _, baseline = rectified(read_conf(conf(text)), 1280, 720)
    assert baseline == pytest.approx(0.063)
    assert left.fx == pytest.approx(700, rel=2e-3)
    np.testing.assert_allclose([left.cx, left.cy], [639.5, 359.5], atol=0.6)


def test_a_size_that_the_file_is_not_for_is_told_with_those_it_has(conf):
    with pytest.raises(DataError, match=r"not for pictures of 1920x1080\n  expected: one of 1280x720"):
        read_conf(conf()).at(1920, 1080)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (HD.replace("fx=700\n", ""), r"\[LEFT_CAM_HD\] fx: is missing"),
        (HD.replace("cy=360", "cy=high"), r"\[RIGHT_CAM_HD\] cy: 'high'"),
        (HD.replace("Baseline=120", "Baseline=nan"), r"\[STEREO\] Baseline: 'nan'"),
        (HD.replace("Baseline=120", "Baseline=-120"), "-120"),
        (HD.replace("CV_HD=0.006\n", ""), r"\[STEREO\] CV_HD: is missing"),
        (HD.replace("fx=700", "fx=0"), r"\[LEFT_CAM_HD\]: is no camera \(fx is 0"),
        (HD.replace("k1=-0.17", "k1=-0.17\nk4=0.5"), r"\[LEFT_CAM_HD\] k4: a rational lens model"),
        (HD.partition("[STEREO]")[0], r"has no section \[STEREO\]"),
        (HD.replace("[RIGHT_CAM_HD]", "[RIGHT]"), r"has no section \[RIGHT_CAM_HD\]"),
        (HD.replace("_HD", "_UHD"), "calibrates no resolution"),
        (HD.replace("fx=700", "fx=700\nfx=800"), "no calibration of a ZED camera .*already exists"),
        ("<html>404 not found</html>", "no calibration of a ZED camera"),
        ("", "is empty"),
        ("\n  \n", "is empty"),
    ],
)
def test_a_broken_file_is_told_with_its_key(conf, broken, reason):
    with pytest.raises(DataError, match=reason) as caught:
        read_conf(conf(broken))
    assert "SN18026681.conf" in str(caught.value)


def test_a_file_named_after_no_camera_and_one_that_is_missing_are_told(conf, tmp_path):
    with pytest.raises(DataError, match="named after no camera"):
        read_conf(conf(name="calibration.conf"))
    with pytest.raises(DataError, match="is missing"):
        read_conf(tmp_path / "SN1.conf")
    (tmp_path / "SN2.conf").write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(DataError, match="no UTF-8"):
        read_conf(tmp_path / "SN2.conf")


@pytest.mark.parametrize(
    ("point", "size"),
    [
        ((641.3, 344.2), (1280, 720)),
        ((1109.6, 592.4), (2208, 1242)),
        ((965.6, 511.4), (1920, 1080)),
        ((950.0, 610.0), (1920, 1200)),
        ((480.0, 300.0), (960, 600)),
        ((336.1, 179.6), (672, 376)),
        ((160.0, 90.0), None),  # RLDS's 320x180 is no size of ZED's
        ((1024.0, 580.0), None),  # between 1920x1080 and 2208x1242
    ],
)
def test_a_principal_point_tells_the_size_only_where_one_fits(point, size):
    assert size_of_principal_point(*point) == size
