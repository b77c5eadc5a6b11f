"""LZF streams: hand-made ones unpack, ours unpack to themselves, damaged ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.storage.pcd import lzf


def test_a_stream_with_an_overlapping_reference_unpacks():
    # 02: three literals "abc"; then length 7 + 4 + 2 = 13 from 3 bytes back, which overlaps its own output.
    assert lzf.decompress(bytes([2]) + b"abc" + bytes([7 << 5, 4, 2]), 16) == b"abcabcabcabcabca"


def test_a_far_reference_uses_all_thirteen_bits():
    # 256 runs of 32 literals are 8192 bytes; distance 8192 is stored as 0x1FFF: five bits 0x1F and a byte 0xFF.
    start = bytes(range(256)) * 32
    literals = b"".join(bytes([31]) + start[place : place + 32] for place in range(0, 8192, 32))
    assert lzf.decompress(literals + bytes([1 << 5 | 0x1F, 0xFF]), 8195) == start + bytes([0, 1, 2])


@pytest.mark.parametrize(
    ("stream", "size", "message"),
    [
        (bytes([2]) + b"ab", 3, "breaks off"),
        (bytes([0]) + b"a" + bytes([1 << 5]), 4, "breaks off"),
        (bytes([0]) + b"a" + bytes([7 << 5]), 4, "breaks off"),
        (bytes([0]) + b"a" + bytes([1 << 5, 1]), 4, "before the start"),
        (bytes([1]) + b"ab", 3, "unpacks to 2 bytes, not to 3"),
        (bytes([1]) + b"ab", 1, "more"),
        (b"", 1, "unpacks to 0 bytes"),
    ],
)
def test_a_damaged_stream_is_refused(stream, size, message):
    with pytest.raises(ValueError, match=message):
        lzf.decompress(stream, size)


repetitive = st.lists(st.tuples(st.binary(min_size=1, max_size=12), st.integers(1, 300)), max_size=12).map(
    lambda parts: b"".join(piece * times for piece, times in parts)
)


@given(st.one_of(st.binary(max_size=300), repetitive))
def test_compressed_bytes_unpack_to_themselves(data):
    stream = lzf.compress(data)
    assert lzf.decompress(stream, len(data)) == data
    assert len(stream) <= len(data) + len(data) // 32 + 1


def test_repeated_bytes_become_small():
    # 264 bytes in a reference of 3: 100,000 zeros need 379 references.
    assert len(lzf.compress(bytes(100_000))) < 1200
