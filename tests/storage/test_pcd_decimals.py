"""Numbers of PCD text: each one correctly rounded, exact integers, and nothing else taken for a number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mapanything_data.storage.pcd.decimals import BadWordError, parse_floats, parse_integers, split_words

INTEGERS = [np.dtype(name) for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]


def floats(*words, dtype="f8"):
    return parse_floats(split_words(" ".join(words).encode()), np.dtype(dtype))


decimals = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.floats(width=32, allow_nan=False).map("{:.9g}".format),
    st.tuples(st.floats(-1e30, 1e30), st.integers(0, 20)).map(lambda pair: f"{pair[0]:.{pair[1]}g}"),
    st.tuples(st.floats(-1e6, 1e6), st.integers(0, 14)).map(lambda pair: f"{pair[0]:.{pair[1]}f}"),
    st.from_regex(r"\A[+-]?([0-9]{1,17}\.?[0-9]{0,17}|\.[0-9]{1,17})([eE][+-]?[0-9]{1,3})?\Z").filter(
        lambda word: abs(float(word)) < float("inf")
    ),
)


@settings(max_examples=500)
@given(st.lists(decimals, min_size=1, max_size=8))
@example(["9007199254740993", "9007199254740993e+00", "0.1", "1e22", "1e23", "8.5e-45", "4.35e-43", "5e-324"])
@example(["123456789012.3456", "999999999999999.", ".999999999999999", "0000000000000001", "1.00000000000000e+00"])
def test_every_number_is_the_double_that_python_reads(words):
    assert floats(*words).tobytes() == np.array([float(word) for word in words]).tobytes()


def test_many_numbers_need_several_blocks():
    values = np.random.default_rng(0).normal(0, 50, 40_000).astype(np.float32)
    words = [f"{value:.{digit}g}" for value, digit in zip(values.tolist(), [3, 6, 8, 9, 17] * 8_000, strict=True)]
    assert floats(*words).tobytes() == np.array(list(map(float, words))).tobytes()


not_numbers = ["1.2.3", ".", "-", "+", "e5", "1e", "1e+", "--1", "1-", "1_0", "0x10", "1,5", "1/2", "12-4", "1e5e3"]
not_numbers += ["-.", "1..", "1e--05", "nan1", "1.5.e+01", "12345.-7", "1:", "/", "1.2345678.234567", "\xb2", "1e+0/"]


@pytest.mark.parametrize("word", not_numbers)
def test_a_word_that_is_no_number_is_refused(word):
    with pytest.raises(BadWordError) as caught:
        floats("1", "2.5", word, "4")
    assert caught.value.index == 2
    with pytest.raises(BadWordError):
        parse_integers(split_words(word.encode("latin-1")), np.dtype("i8"))


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
        with pytest.raises(BadWordError):
            floats(*words)
    else:
        assert np.array_equal(floats(*words), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_exact_up_to_the_limits_of_their_type_and_refused_beyond(dtype):
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    words = f"{low} {high} +7 -0 00000000000000000000000000012"
    assert parse_integers(split_words(words.encode()), dtype).tolist() == [low, high, 7, 0, 12]
    for beyond in (low - 1, high + 1, 10**30, -(10**30), 10**400):
        with pytest.raises(BadWordError, match="lies outside the range"):
            parse_integers(split_words(str(beyond).encode()), dtype)
    for word in ("1.0", "1e2", "1.", "nan"):
        with pytest.raises(BadWordError, match="no whole number"):
            parse_integers(split_words(word.encode()), dtype)


@pytest.mark.parametrize(("word", "dtype"), [("1e39", "f4"), ("-3.5e38", "f4"), ("1e400", "f8"), ("9" * 400, "f8")])
def test_a_number_too_large_for_its_type_is_refused_rather_than_infinite(word, dtype):
    with pytest.raises(BadWordError, match="too large"):
        floats(word, dtype=dtype)
    assert floats("inf", "-inf", "Infinity", dtype=dtype).tolist() == [np.inf, -np.inf, np.inf]


@settings(max_examples=300)
@given(bits=st.lists(st.integers(0, 0xFFFFFF), min_size=1, max_size=20), digits=st.integers(3, 12))
def test_printed_colours_are_parsed_as_numpy_does(bits, digits):
    words = [f"{value:.{digits}g}" for value in np.array(bits, np.uint32).view(np.float32).tolist()]
    expected = np.array([np.float32(word) for word in words])
    assert floats(*words, dtype="f4").tobytes() == expected.tobytes()
