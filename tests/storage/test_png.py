"""PNG files: exact pixels, readable by others, never half a picture."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mapanything_data.errors import DataError
from mapanything_data.storage.png import decode_png, encode_png, read_png_size

sides = st.integers(1, 40)
rgb_images = st.tuples(sides, sides).flatmap(lambda hw: hnp.arrays(np.uint8, (*hw, 3)))
grey_images = hnp.arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(sides, sides))
images = st.one_of(rgb_images, grey_images)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def written_by_opencv(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def written_by_pillow(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


@given(images)
def test_a_picture_survives_exactly(image):
    decoded = decode_png(encode_png(image))
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)


@given(images)
def test_pillow_reads_the_same_pixels(image):
    read = Image.open(io.BytesIO(encode_png(image)))
    np.testing.assert_array_equal(np.asarray(read), image)


@given(images)
def test_opencv_reads_the_same_pixels(image):
    read = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read if image.ndim == 2 else read[..., ::-1], image)


@given(rgb_images)
def test_pictures_of_opencv_and_pillow_are_read_exactly(image):
    np.testing.assert_array_equal(decode_png(written_by_opencv(image)), image)
    np.testing.assert_array_equal(decode_png(written_by_pillow(image)), image)


def test_red_is_red_in_other_readers():
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    png = encode_png(red)
    assert Image.open(io.BytesIO(png)).getpixel((0, 0)) == (255, 0, 0)
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[0, 0].tolist() == [0, 0, 255]  # BGR
    assert decode_png(png)[0, 0].tolist() == [255, 0, 0]


def test_a_view_with_strides_is_written_like_its_copy():
    bgr = noise(12, 20)
    flipped = bgr[::-1, ::2, ::-1]
    assert encode_png(flipped) == encode_png(flipped.copy())


def test_the_same_pixels_give_the_same_bytes_on_any_number_of_threads():
    frames = [noise(120, 160, seed) for seed in range(8)]
    alone = [encode_png(frame) for frame in frames]
    for threads in (2, 5):
        with ThreadPoolExecutor(threads) as pool:
            assert list(pool.map(encode_png, frames)) == alone


@pytest.mark.parametrize("write", [encode_png, written_by_opencv, written_by_pillow])
def test_a_file_cut_at_any_byte_is_an_error(write):
    png = write(noise(9, 7))
    assert decode_png(png).shape == (9, 7, 3)
    for length in range(len(png)):
        with pytest.raises(DataError):
            decode_png(png[:length])


def test_a_damaged_byte_never_gives_another_picture():
    image = noise(9, 7)
    png = encode_png(image)
    for place in range(len(png)):
        damaged = png[:place] + bytes([png[place] ^ 0x10]) + png[place + 1 :]
        with pytest.raises(DataError):
            decode_png(damaged)


def test_the_error_names_the_file_and_what_it_lacks(tmp_path):
    path = tmp_path / "000041.png"
    path.write_bytes(encode_png(noise(9, 7))[:-1])
    with pytest.raises(DataError, match=r"000041\.png: the PNG is truncated after \d+ bytes"):
        decode_png(path)


def test_another_format_is_named_as_no_png(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(cv2.imencode(".jpg", noise(9, 7))[1].tobytes())
    with pytest.raises(DataError, match=r"photo\.png: not a PNG"):
        decode_png(path)


def test_an_alpha_channel_is_refused_rather_than_dropped():
    rgba = np.dstack([noise(4, 4), np.full((4, 4), 7, np.uint8)])
    with pytest.raises(DataError, match="4 channels of uint8"):
        decode_png(written_by_pillow(rgba))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4), np.float32),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_picture_is_refused(image):
    with pytest.raises(ValueError, match=r"not \[.*\] (uint|float)"):
        encode_png(image)


def test_the_file_says_its_size_depth_and_colour_as_the_specification_lays_out():
    depth = encode_png(np.zeros((2, 3), np.uint16))
    colour = encode_png(np.zeros((2, 3, 3), np.uint8))
    # IHDR: width, height, bit depth, colour type (0 grey, 2 RGB), deflate, adaptive filters, not interlaced
    assert depth[8:29] == struct.pack(">I4sIIBBBBB", 13, b"IHDR", 3, 2, 16, 0, 0, 0, 0)
    assert colour[8:29] == struct.pack(">I4sIIBBBBB", 13, b"IHDR", 3, 2, 8, 2, 0, 0, 0)


def test_the_size_is_told_without_decoding(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((2, 3, 3), np.uint8))[:40])  # the rest is not looked at

    assert read_png_size(tmp_path / "a.png") == (3, 2)


@pytest.mark.parametrize("content", [b"", b"no picture", encode_png(np.zeros((2, 3), np.uint8))[:20]])
def test_a_file_that_does_not_begin_as_a_png_has_no_size(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)

    with pytest.raises(DataError, match=r"a\.png"):
        read_png_size(tmp_path / "a.png")
    with pytest.raises(DataError, match="missing"):
        read_png_size(tmp_path / "b.png")


def test_a_smooth_frame_with_sensor_noise_is_no_larger_than_opencv_writes_it():
    y, x = np.mgrid[:480, :640]
    scene = np.stack([128 + 60 * np.sin(x / 60) * np.cos(y / 45 + k) for k in range(3)], axis=-1)
    luma_noise = np.random.default_rng(0).normal(0, 1.5, (480, 640, 1))  # a camera delivers chroma at half size
    frame = np.clip(scene + luma_noise, 0, 255).astype(np.uint8)
    assert len(encode_png(frame)) <= len(written_by_opencv(frame))
