"""Damaged PCD files: each is named with what is wrong, and none takes more memory than its size allows."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapanything_data.errors import DataError
from mapanything_data.storage.pcd import lzf, read_pcd

ENCODINGS = ["ascii", "binary", "binary_compressed"]


def pcd(*lines, data="ascii", body=b"", **header):
    """A file of two points `x y z`, with header lines replaced by keyword and left out by None."""
    entries = {"VERSION": "0.7", "FIELDS": "x y z", "SIZE": "4 4 4", "TYPE": "F F F", "COUNT": "1 1 1"}
    entries |= {"WIDTH": "2", "HEIGHT": "1", "VIEWPOINT": "0 0 0 1 0 0 0", "POINTS": "2"} | header
    text = "".join(f"{keyword} {value}\n" for keyword, value in entries.items() if value is not None)
    return (text + f"DATA {data}\n" + "".join(f"{line}\n" for line in lines)).encode() + body


TWO_POINTS = ("1 2 3", "4 5 6")


BINARY = struct.pack("<6f", 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "no DATA line"),
        (pcd().replace(b"DATA ascii\n", b""), "no DATA line"),
        (pcd(*TWO_POINTS).replace(b"DATA ascii\n", b""), "b'1 2 3' stands in the header"),
        (b"\x89PNG\r\n\x1a\n", "not ASCII"),
        (pcd(*TWO_POINTS, FIELDS="x y ä"), "not ASCII"),
        (pcd(*TWO_POINTS, VERSION="0.8"), "VERSION 0.8"),
        (pcd(*TWO_POINTS, TYPE="F F D"), "field z has TYPE D and SIZE 4"),
        (pcd(*TWO_POINTS, SIZE="4 4 2"), "field z has TYPE F and SIZE 2"),
        (pcd(*TWO_POINTS, SIZE="4 4"), "3 FIELDS, 2 SIZE, 3 TYPE, 3 COUNT"),
        (pcd(*TWO_POINTS, COUNT="1 1"), "3 FIELDS, 3 SIZE, 3 TYPE, 2 COUNT"),
        (pcd(*TWO_POINTS, COUNT="1 1 0"), "field z has COUNT 0"),
        (pcd(*TWO_POINTS, COUNT="1 1 -1"), "COUNT -1"),
        (pcd(*TWO_POINTS, COUNT="1 1 1000000000"), "field z has COUNT 1000000000"),
        (pcd(*TWO_POINTS, FIELDS="x y x"), "a name stands twice"),
        (pcd(*TWO_POINTS, FIELDS=None), "no FIELDS"),
        (pcd(*TWO_POINTS, SIZE=None), "no SIZE"),
        (pcd(*TWO_POINTS, TYPE=None), "no TYPE"),
        (pcd(*TWO_POINTS, WIDTH=None), "no WIDTH"),
        (pcd(*TWO_POINTS, WIDTH="2 2"), "WIDTH has 2 values"),
        (pcd(*TWO_POINTS, WIDTH="two"), "WIDTH two"),
        (pcd(*TWO_POINTS, POINTS="3"), "POINTS 3, but WIDTH 2 and HEIGHT 1"),
        (pcd(*TWO_POINTS, VIEWPOINT="0 0 0"), "VIEWPOINT 0 0 0"),
        (pcd(*TWO_POINTS, data="zip"), "DATA zip"),
        (b"WIDTH 2\n" + pcd(*TWO_POINTS), "WIDTH stands in the header twice"),
        (pcd("1 2 3"), "is truncated: 1 points"),
        (pcd(*TWO_POINTS, "7 8 9"), "holds too much: 3 points"),
        (pcd("1 2 3", "4 5"), "point 1 has 2 values"),
        (pcd("1 2", "3 4 5"), "point 0 has 2 values"),
        (pcd("1 2 3", "4 5 x6"), "the word x6 of field z, point 1, is no number"),
        (pcd("1 2 3", "4 5 1e99"), "the word 1e99 of field z, point 1, is too large for float32"),
        (pcd("1 2 3", "4 5 256", SIZE="4 4 1", TYPE="F F U"), "word 256 of field z, point 1, lies outside the range"),
        (pcd("1 2 3", "4 5 6\0"), "point 1, is no number"),
        (pcd(data="binary", body=BINARY[:-1]), "is truncated: 23 bytes of points"),
        (pcd(data="binary", body=BINARY + b"\n"), "holds too much: 25 bytes of points"),
        (pcd(data="binary_compressed", body=b"\0" * 7), "ends 7 bytes behind the header"),
        (pcd(data="binary_compressed", body=struct.pack("<II", 25, 24) + b"a" * 24), "truncated: 24 compressed bytes"),
        (pcd(data="binary_compressed", body=struct.pack("<II", 1, 25) + b"a"), "too much: 25 unpacked bytes"),
        (pcd(data="binary_compressed", body=struct.pack("<II", 0, 24)), "0 compressed bytes that claim to hold 24"),
        (pcd(data="binary_compressed", body=struct.pack("<II", 1, 24) + b"a"), "breaks off"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    path = tmp_path / "000068.pcd"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_pcd(path)
    assert caught.value.where.endswith("000068.pcd")
    assert message in caught.value.found


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"000070\.pcd: the file is missing"):
        read_pcd(tmp_path / "000070.pcd")


def peak_memory(content):
    tracemalloc.start()
    try:
        read_pcd(content)
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("data", ENCODINGS)
@pytest.mark.parametrize("count", ["1 1 1", "1 1 400000000"])
def test_a_short_file_that_claims_a_million_million_points_allocates_nothing(data, count):
    body = struct.pack("<II", 4, 2**32 - 1) + b"1 2\n"
    content = pcd(data=data, body=body, COUNT=count, WIDTH="1000000", HEIGHT="1000000", POINTS="1000000000000")
    with pytest.raises(DataError):
        read_pcd(content)
    assert peak_memory(content) < 100_000


def test_memory_is_a_small_multiple_of_the_file():
    # Two characters for each value are the densest text: 16 bytes say where a word is, 4 are its number.
    text = pcd(*["1 2 3"] * 50_000, WIDTH="50000", POINTS="50000")
    assert peak_memory(text) < 30 * len(text) + 4_000_000
    binary = pcd(data="binary", body=bytes(600_000), WIDTH="50000", POINTS="50000")
    assert peak_memory(binary) < 3 * len(binary)


# Whatever the bytes


def valid_file(encoding, seed):
    rng = np.random.default_rng(seed)
    count = 5
    arrays = [rng.normal(0, 30, (count, 3)).astype(np.float32), rng.integers(0, 200, (count, 2)).astype(np.uint8)]
    header = pcd(
        data=encoding, FIELDS="x _ n", SIZE="4 2 1", TYPE="F I U", COUNT="3 1 2", WIDTH=f"{count}", POINTS=f"{count}"
    )
    rows = zip(arrays[0].tolist(), arrays[1].tolist(), strict=True)
    if encoding == "ascii":
        lines = [f"{x:.8g} {y:.3e} {z} 7 {n} {m}\n" for (x, y, z), (n, m) in rows]
        return header + "".join(lines).encode()
    if encoding == "binary":
        return header + b"".join(struct.pack("<3fhBB", *xyz, 7, *n) for xyz, n in rows)
    columns = arrays[0].tobytes() + bytes(2 * count) + arrays[1].tobytes()
    stream = lzf.compress(columns)
    return header + struct.pack("<II", len(stream), len(columns)) + stream


TOKENS = [b"\n", b" ", b"0", b"-", b"9", b"999999999999", b"nan", b"DATA", b"WIDTH 7\n", b"\xff", b"\0", b".", b"e"]


@st.composite
def mutated_files(draw, encoding):
    content = bytearray(valid_file(encoding, draw(st.integers(0, 3))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        stop = start + draw(st.sampled_from([0, 1, 1, 1, 2, 8, 1000]))
        content[start:stop] = draw(st.one_of(st.binary(max_size=8), st.sampled_from(TOKENS)))
    return bytes(content)


def read_or_refuse(content):
    try:
        cloud = read_pcd(content)
    except DataError:
        return
    for array in cloud.fields.values():
        assert len(array) == cloud.width * cloud.height


def assert_bounded(content):
    # What a stream of n bytes can unpack to is 88 n; the constant is for tables of words and messages.
    assert peak_memory(content) < 3 * lzf.MAX_RATIO * len(content) + 100_000


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_file_to_mutate_is_valid(encoding):
    assert list(read_pcd(valid_file(encoding, 0)).fields) == ["x", "n"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(encoding, data):
    content = data.draw(mutated_files(encoding))
    read_or_refuse(content)
    assert_bounded(content)


@given(st.binary(max_size=200), st.sampled_from([b"", pcd(), pcd(data="binary"), pcd(data="binary_compressed")]))
def test_random_bytes_are_read_or_refused(content, header):
    read_or_refuse(header + content)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_ten_thousand_changed_files_are_read_or_refused(encoding, data):
    content = data.draw(mutated_files(encoding))
    read_or_refuse(content)
    assert_bounded(content)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_cut_at_any_byte_is_refused(encoding):
    content = valid_file(encoding, 0)
    end = len(content) - (1 if encoding == "ascii" else 0)  # without its last line end, text is still whole
    for length in range(end):
        # A number that is cut may still be one: text is whole until a word is lost.
        if encoding == "ascii" and content[:length].split() and len(content[:length].split()) == len(content.split()):
            continue
        with pytest.raises(DataError):
            read_pcd(content[:length])
