"""RGB values of decoded pictures, against the matrices of the standards written out by hand."""

from pathlib import Path

import numpy as np
import pytest

from mapanything_data.sim.clip import PATCHES, patch_boxes, write_clip
from mapanything_data.sources.video import VideoSource, to_rgb

CARND = Path(__file__).parents[2].parent / "shared" / "data" / "carnd" / "test_video.mp4"
# Luma weights of red and blue: ITU-R BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4; FFmpeg's numbers of the tags.
BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
TAGS = {5: BT601, 6: BT601, 1: BT709, 9: BT2020, 2: BT601}
LIMITED, FULL = 1, 2
SAMPLES = [(100, 90, 170), (180, 140, 100), (60, 128, 128), (120, 200, 110), (16, 128, 128), (235, 128, 128)]


def expected_rgb(y, cb, cr, weights, colour_range, bits=8):
    """R'G'B' of Y'CbCr: R' = Y' + 2 (1 - Kr) Cr, B' = Y' + 2 (1 - Kb) Cb, and G' from Y' = Kr R' + Kg G' + Kb B'."""
    step, top = 1 << (bits - 8), (1 << bits) - 1
    if colour_range == FULL:
        luma, blue, red = y / top, (cb - 128 * step) / top, (cr - 128 * step) / top
    else:
        luma, blue, red = (y / step - 16) / 219, (cb / step - 128) / 224, (cr / step - 128) / 224
    kr, kb = weights
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.array([r, g, b]) * 255, 0, 255)


def rgb_of(pixel_format, values, matrix=2, colour_range=0, size=(32, 24)):
    import av
    from av.video.reformatter import VideoReformatter

    picture = av.VideoFrame(*size, pixel_format)
    dtype = np.uint16 if picture.format.components[0].bits > 8 else np.uint8
    planes = [values[:1], values[1:]] if pixel_format == "nv12" else [[value] for value in values]
    for plane, content in zip(picture.planes, planes, strict=True):
        count = plane.buffer_size // (len(content) * np.dtype(dtype).itemsize)
        plane.update(np.tile(np.array(content, dtype), count).tobytes())
    picture.colorspace, picture.color_range = matrix, colour_range
    image = to_rgb(picture, VideoReformatter())
    assert image.shape == (size[1], size[0], 3)
    assert np.ptp(image, axis=(0, 1)).max() == 0
    return image[0, 0].astype(float)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", TAGS)
def test_matrix_and_range_tags_are_honoured(pixel_format, colour_range, matrix):
    bits, tolerance = (10, 1.3) if "10" in pixel_format else (8, 1.0)  # FFmpeg shifts 10 bits down: 1023 is not 255
    for sample in SAMPLES:
        values = [value << (bits - 8) for value in sample]
        want = expected_rgb(*values, TAGS[matrix], colour_range, bits)
        assert np.abs(rgb_of(pixel_format, values, matrix, colour_range) - want).max() <= tolerance, sample


def test_worked_example_bt709_and_bt601_differ():
    # Y'CbCr (100, 90, 170), limited: E'y = 84/219 = 0.38356, Cb = -38/224 = -0.16964, Cr = 42/224 = 0.18750.
    # BT.709: R' = 0.38356 + 1.5748 * 0.18750 = 0.67884 -> 173.1; B' = 0.38356 - 1.8556 * 0.16964 = 0.06877 -> 17.5;
    #         G' = (0.38356 - 0.2126 * 0.67884 - 0.0722 * 0.06877) / 0.7152 = 0.32756 -> 83.5
    # BT.601: R' = 0.38356 + 1.402 * 0.18750 = 0.64644 -> 164.8; B' = 0.38356 - 1.772 * 0.16964 = 0.08296 -> 21.2;
    #         G' = (0.38356 - 0.299 * 0.64644 - 0.114 * 0.08296) / 0.587 = 0.30804 -> 78.5
    np.testing.assert_allclose(rgb_of("yuv420p", (100, 90, 170), 1, LIMITED), [173.1, 83.5, 17.5], atol=1)
    np.testing.assert_allclose(rgb_of("yuv420p", (100, 90, 170), 6, LIMITED), [164.8, 78.5, 21.2], atol=1)


def test_untagged_pictures_are_bt601_in_limited_range_of_any_size():
    want = expected_rgb(100, 90, 170, BT601, LIMITED)
    for size in ((32, 24), (1920, 1080)):
        assert np.abs(rgb_of("yuv420p", (100, 90, 170), size=size) - want).max() <= 1


def test_the_jpeg_pixel_format_is_full_range_without_a_tag():
    want = expected_rgb(100, 90, 170, BT601, FULL)
    assert np.abs(rgb_of("yuvj420p", (100, 90, 170)) - want).max() <= 1


@pytest.mark.parametrize(("pixel_format", "shift"), [("gray", 0), ("gray10le", 2)])
def test_gray_pictures_honour_the_range(pixel_format, shift):
    # Limited: (126 - 16) * 255 / 219 = 128.1. Full: as it is. FFmpeg takes untagged gray for full.
    assert np.abs(rgb_of(pixel_format, (126 << shift,), 2, LIMITED) - 128.1).max() <= 1
    assert np.abs(rgb_of(pixel_format, (126 << shift,), 2, FULL) - 126).max() <= 1
    assert np.abs(rgb_of(pixel_format, (126 << shift,), 2, 0) - 126).max() <= 1


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("drive.mp4", {"options": {"crf": "8"}}),
        ("odd.mp4", {"width": 161, "height": 97, "pixel_format": "yuv444p", "options": {"crf": "8"}}),
        (
            "ten-bits.mkv",
            {"codec": "libx265", "pixel_format": "yuv420p10le", "options": {"x265-params": "log-level=none"}},
        ),
        ("lossless.mkv", {"codec": "ffv1"}),
    ],
)
def test_the_colour_chart_survives_the_way_through_a_file(tmp_path, name, settings):
    size = {"width": 320, "height": 240, **settings}
    path = write_clip(tmp_path / name, frames=2, **size)
    source = VideoSource(path=str(path))
    (clip,) = source.clips()
    _, frame = next(source.frames(clip, 0, 1))
    assert frame.image.shape == (size["height"], size["width"], 3)
    for patch, (left, top, right, bottom) in patch_boxes(size["width"], size["height"]).items():
        middle = frame.image[top + 3 : bottom - 3, left + 3 : right - 3].reshape(-1, 3)
        assert np.abs(np.median(middle, axis=0) - PATCHES[patch]).max() <= 4, patch


def test_the_real_drive_shows_the_colours_that_opencv_shows():
    if not CARND.exists():
        pytest.skip("the real clip is not on this machine")
    import cv2

    source = VideoSource(path=str(CARND))
    (clip,) = source.clips()
    capture = cv2.VideoCapture(str(CARND))
    for _, frame in source.frames(clip, 0, 3):
        _, theirs = capture.read()
        difference = frame.image.astype(int) - theirs[:, :, ::-1]
        assert np.abs(difference.mean(axis=(0, 1))).max() < 2
        assert np.abs(difference).mean() < 2
    capture.release()
