"""Numbers of PCD text: each one correctly rounded, exact integers, and nothing else taken for a number."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mapanything_data.errors import DataError
from mapanything_data.storage.pcd import read_pcd

INTEGERS = [np.dtype(name) for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]


def text_of(words, dtype, separator="\n"):
    """A file of one field with a word for each point."""
    dtype = np.dtype(dtype)
    header = (
        f"VERSION 0.7\nFIELDS x\nSIZE {dtype.itemsize}\nTYPE {dtype.kind.upper()}\nCOUNT 1\nWIDTH {len(words)}\n"
        f"HEIGHT 1\nPOINTS {len(words)}\nDATA ascii\n"
    )
    return (header + "".join(f"{word}{separator}" for word in words)).encode("latin-1")


def parse(*words, dtype="f8"):
    return read_pcd(text_of(words, dtype)).fields["x"]


decimals = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.floats(width=32, allow_nan=False).map("{:.9g}".format),
    st.tuples(st.floats(-1e30, 1e30), st.integers(0, 20)).map(lambda pair: f"{pair[0]:.{pair[1]}g}"),
    st.tuples(st.floats(-1e6, 1e6), st.integers(0, 14)).map(lambda pair: f"{pair[0]:.{pair[1]}f}"),
    st.from_regex(r"\A[+-]?([0-9]{1,17}\.?[0-9]{0,17}|\.[0-9]{1,17})([eE][+-]?[0-9]{1,3})?\Z").filter(
        lambda word: abs(float(word)) < float("inf")
    ),
)


def without_signs_of_zero(values):
    return (values + 0.0).tobytes()


@settings(max_examples=500)
@given(st.lists(decimals, min_size=1, max_size=8))
@example(["9007199254740993", "9007199254740993e+00", "0.1", "1e22", "1e23", "8.5e-45", "4.35e-43", "5e-324"])
@example(["123456789012.3456", "999999999999999.", ".999999999999999", "0000000000000001", "1.00000000000000e+00"])
def test_every_number_is_the_double_that_python_reads(words):
    expected = np.array([float(word) for word in words])

    assert without_signs_of_zero(parse(*words)) == without_signs_of_zero(expected)


@pytest.mark.parametrize("separator", ["\n", "\r\n", " \n", "  \n\n"])
def test_the_same_numbers_are_read_whatever_white_space_parts_them(separator):
    words = [f"{value:.9g}" for value in np.random.default_rng(0).normal(0, 50, 500).tolist()]

    read = read_pcd(text_of(words, "f8", separator)).fields["x"]

    assert read.tolist() == [float(word) for word in words]


def test_without_simdjson_the_same_numbers_are_read(monkeypatch):
    words = [f"{value:.9g}" for value in np.random.default_rng(0).normal(0, 50, 500).tolist()]
    with_simdjson = parse(*words)
    monkeypatch.setitem(sys.modules, "simdjson", None)

    assert np.array_equal(parse(*words), with_simdjson)


not_numbers = ["1.2.3", ".", "-", "+", "e5", "1e", "1e+", "--1", "1-", "1_0", "0x10", "1,5", "1/2", "12-4", "1e5e3"]
not_numbers += ["-.", "1..", "1e--05", "nan1", "1.5.e+01", "12345.-7", "1:", "/", "1.2345678.234567", "\xb2", "1e+0/"]


@pytest.mark.parametrize("word", not_numbers)
def test_a_word_that_is_no_number_is_refused(word):
    with pytest.raises(DataError, match="point 2, is no number"):
        parse("1", "2.5", word, "4")
    with pytest.raises(DataError, match="point 0, is no"):
        parse(word, dtype="i8")


@pytest.mark.parametrize("line", ["1,2 3", "[1, 2], 3", "1 [2 3]", "{1 2 3}"])
def test_what_is_json_and_no_pcd_is_refused(line):
    header = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 1\nDATA ascii\n"

    with pytest.raises(DataError):
        read_pcd(f"{header}{line}\n".encode())


alphabet = st.text("0123456789.-+eE/:;,_ naif\t", max_size=24)


@settings(max_examples=1000)
@given(alphabet)
def test_python_and_the_parser_agree_on_what_is_a_number(text):
    words = text.split()
    try:
        expected = np.array([float(word.replace("_", "?")) for word in words])
    except ValueError:
        expected = None
    overflows = expected is not None and any(
        np.isinf(value) and "inf" not in word for value, word in zip(expected, words, strict=True)
    )
    if expected is None or overflows:
        with pytest.raises(DataError):
            parse(*words)
    else:
        assert np.array_equal(parse(*words), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_exact_up_to_the_limits_of_their_type_and_refused_beyond(dtype):
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    words = [str(low), str(high), "+7", "-0", "00000000000000000000000000012", "5.0", "1e2"]
    assert parse(*words, dtype=dtype).tolist() == [low, high, 7, 0, 12, 5, 100]
    assert parse(str(low), str(high), dtype=dtype).tolist() == [low, high]
    for beyond in (low - 1, high + 1, 10**30, -(10**30), 10**400):
        with pytest.raises(DataError, match="lies outside the range"):
            parse(str(beyond), dtype=dtype)
    for word in ("1.5", "1e-2", "nan", "inf"):
        with pytest.raises(DataError, match="no whole number"):
            parse(word, dtype=dtype)


@pytest.mark.parametrize(("word", "dtype"), [("1e39", "f4"), ("-3.5e38", "f4"), ("1e400", "f8"), ("9" * 400, "f8")])
def test_a_number_too_large_for_its_type_is_refused_rather_than_infinite(word, dtype):
    with pytest.raises(DataError, match="too large"):
        parse(word, dtype=dtype)
    assert parse("inf", "-inf", "Infinity", dtype=dtype).tolist() == [np.inf, -np.inf, np.inf]


@settings(max_examples=300)
@given(bits=st.lists(st.integers(0, 0xFFFFFF), min_size=1, max_size=20), digits=st.integers(3, 12))
def test_printed_colours_are_parsed_as_numpy_does(bits, digits):
    words = [f"{value:.{digits}g}" for value in np.array(bits, np.uint32).view(np.float32).tolist()]
    expected = np.array([np.float32(word) for word in words])
    assert parse(*words, dtype="f4").tobytes() == expected.tobytes()
