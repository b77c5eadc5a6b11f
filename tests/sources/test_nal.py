"""Units of H.264 and HEVC packets."""

import pytest

from mapanything_data.sources.nal import Units

SLICE, IDR = b"\x41\x9a\x00\x00\x03\x01\x80", b"\x65\x88\x84"
AVCC = bytes([1, 66, 0, 30, 0xFF, 0xE1])  # lengths of four bytes


def with_lengths(*units):
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def test_units_are_split_by_their_lengths():
    assert Units.of("h264", AVCC).split(with_lengths(SLICE, IDR)) == [SLICE, IDR]


def test_units_are_split_at_start_codes():
    assert Units.of("h264", None).split(b"\0\0\0\1" + SLICE + b"\0\0\1" + IDR) == [SLICE, IDR]


@pytest.mark.parametrize("hole", [b"\0\0\0", b"\0\0\1", b"\0\0\2"])
def test_a_pattern_that_the_standard_forbids_inside_a_unit_is_damage(hole):
    assert Units.of("h264", AVCC).split(with_lengths(b"\x41\x9a" + hole + b"\x99")) is None


def test_zeros_between_start_codes_are_damage():
    assert Units.of("hevc", None).split(b"\0\0\0\1\x02\x01\xd0" + bytes(40) + b"\x77\x11") is None


def test_zeros_in_front_of_a_start_code_are_none():
    assert Units.of("hevc", None).split(b"\0\0\0\1\x02\x01\xd0" + bytes(4) + b"\0\0\1\x26\x01") == [
        b"\x02\x01\xd0",
        b"\x26\x01",
    ]


def test_lengths_that_do_not_add_up_are_damage():
    assert Units.of("h264", AVCC).split(with_lengths(SLICE)[:-2]) is None


def test_other_codecs_have_no_units():
    assert Units.of("vp9", None) is None


# Unit type 6 holds messages: kind, size, content; kind 6 is a recovery point, its content begins with ue(v):
# 1.. is 0 frames, 0001001. is 8 frames.
@pytest.mark.parametrize(
    ("units", "clean"),
    [
        ([IDR], True),
        ([b"\x06\x06\x01\xc4\x80", SLICE], True),
        ([b"\x06\x06\x01\x12\x80", SLICE], False),
        ([b"\x06\x00\x02\x06\x01\x06\x01\x12\x80", SLICE], False),
        ([SLICE], True),
    ],
)
def test_decoding_starts_where_a_picture_is_whole_at_once(units, clean):
    assert Units.of("h264", AVCC).starts_clean(units) is clean
