"""The fast way of reading plain RGB files gives the pixels that were stored, or leaves a file to OpenCV."""

from __future__ import annotations

import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapanything_data.errors import DataError
from mapanything_data.storage.png import decode_png, encode_png
from mapanything_data.storage.png_decoder import decode_plain_rgb

sides = st.integers(1, 70)
rgb_images = st.tuples(sides, sides).flatmap(lambda hw: hnp.arrays(np.uint8, (*hw, 3)))
NOISE = np.random.default_rng(0).integers(0, 256, (130, 37, 3), np.uint8)  # more rows than two strips of 64


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows, width, height, between=b"", kind=(8, 2, 0, 0, 0), parts=1):
    """A file of filtered rows, put together after the specification."""
    pixels = zlib.compress(rows.tobytes())
    size = -(-len(pixels) // parts)
    data = b"".join(chunk(b"IDAT", pixels[i : i + size]) for i in range(0, len(pixels), size))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *kind))
    return b"\x89PNG\r\n\x1a\n" + header + between + data + chunk(b"IEND", b"")


def filtered(image, filter_type):
    """Rows behind their filter type: 0 none, 1 less the pixel to the left, 2 less the pixel above."""
    before = np.zeros_like(image)
    if filter_type == 1:
        before[:, 1:] = image[:, :-1]
    if filter_type == 2:
        before[1:] = image[:-1]
    stored = (image.astype(int) - before) % 256
    types = np.full((len(image), 1), filter_type)
    return np.hstack([types, stored.reshape(len(image), -1)]).astype(np.uint8)


@given(rgb_images, st.sampled_from([1, 2]), st.integers(1, 3))
def test_rows_of_one_filter_are_undone(image, filter_type, parts):
    decoded = decode_plain_rgb(png(filtered(image, filter_type), image.shape[1], image.shape[0], parts=parts))

    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("filter_type", [1, 2])
def test_pictures_of_many_rows_are_undone(filter_type):
    np.testing.assert_array_equal(decode_plain_rgb(png(filtered(NOISE, filter_type), 37, 130)), NOISE)


def test_our_own_files_take_the_fast_way():
    np.testing.assert_array_equal(decode_plain_rgb(encode_png(NOISE)), NOISE)


def mixed(image):
    rows = filtered(image, 1)
    rows[-1] = filtered(image, 0)[-1]
    return rows


@pytest.mark.parametrize(
    "data",
    [
        png(mixed(NOISE), 37, 130),
        png(filtered(NOISE, 0), 37, 130),
        png(filtered(NOISE, 1), 37, 130, between=chunk(b"gAMA", struct.pack(">I", 45455))),
        encode_png(NOISE[..., 0]),
        encode_png(NOISE[..., 0].astype(np.uint16)),
        cv2.imencode(".png", cv2.cvtColor(NOISE, cv2.COLOR_RGB2RGBA))[1].tobytes(),
    ],
    ids=["two filters", "no filter", "another chunk", "grey", "16 bits", "alpha"],
)
def test_other_files_are_left_to_opencv(data):
    assert decode_plain_rgb(data) is None


@pytest.mark.parametrize("data", [png(mixed(NOISE), 37, 130), png(filtered(NOISE, 0), 37, 130)])
def test_opencv_reads_what_is_left_to_it(data):
    np.testing.assert_array_equal(decode_png(data), NOISE)


@given(st.integers(8, len(encode_png(NOISE)) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(position, change):
    data = bytearray(encode_png(NOISE))
    data[position] ^= change

    assert decode_plain_rgb(bytes(data)) is None


@pytest.mark.parametrize(("width", "height"), [(37, 129), (37, 131), (36, 130), (2**31 - 1, 2**31 - 1)])
def test_a_header_of_another_size_is_refused(width, height):
    data = png(filtered(NOISE, 2), width, height)

    assert decode_plain_rgb(data) is None
    if (width, height) != (37, 129):  # OpenCV takes the rows that it needs and leaves the rest
        with pytest.raises(DataError):
            decode_png(data)


def test_without_isal_opencv_reads_everything(monkeypatch):
    data = encode_png(NOISE)
    monkeypatch.setitem(sys.modules, "isal", None)

    assert decode_plain_rgb(data) is None
    np.testing.assert_array_equal(decode_png(data), NOISE)
