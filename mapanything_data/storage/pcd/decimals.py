"""Decimal numbers of a text as arrays: each one correctly rounded, about three times as fast as `numpy.loadtxt`.

Words of up to 16 characters are converted eight characters at a time in the lanes of a uint64, for many words at once;
the others (long ones, `nan`, rounding that is too close to call) go through Python's `float` and `int`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARGIN = 16  # bytes before the first word, so that the 16 before the end of any word exist
# Words that are converted at once. Measured: larger blocks cost page faults, smaller ones cost calls.
_BLOCK = 1 << 14

_ZEROS, _DOT = np.uint64(0x3030303030303030), np.uint64(0x1E)  # '0' in each byte; '.' xor '0'
_ONES, _SIXES = np.uint64(0x0101010101010101), np.uint64(0x0606060606060606)
_HIGH_NIBBLES = np.uint64(0xF0F0F0F0F0F0F0F0)
_PAIRS, _QUADS, _EIGHTS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)
# [2, 17]: which of the 16 bytes before a word's end are its own, by its length; as two little-endian halves.
_OWN_BYTES = np.where(np.arange(16) >= 16 - np.arange(17)[:, None], 255, 0).astype(np.uint8).view("<u8").T.copy()
# By the characters from the dot to the end, 0 for none.
_SHIFTED = np.array([10**19] + [10**tail for tail in range(1, 17)], np.uint64)
_NINE_TENTHS = np.array([0] + [9 * 10 ** (tail - 1) for tail in range(1, 17)], np.uint64)
_SCALES = np.array([1.0] + [10.0 ** (tail - 1) for tail in range(1, 17)])

# 10^-80 to 10^80 as a double plus the double that is nearest to the rest: together 106 bits.
_MAX_POWER = 80
_EXACT_POWERS = [Fraction(10) ** power for power in range(-_MAX_POWER, _MAX_POWER + 1)]
_POWERS = np.array([float(power) for power in _EXACT_POWERS])
_POWER_RESTS = np.array([float(power - Fraction(float(power))) for power in _EXACT_POWERS])


class BadWordError(ValueError):
    """A word that does not fit its number type: its index among the words, and what is wrong."""

    def __init__(self, index: int, found: str) -> None:
        super().__init__(index, found)
        self.index = index
        self.found = found


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, between white space."""

    text: bytes
    """The text, which ends with a line end."""
    gaps: NDArray[np.int64]
    """[N]: the byte before each word in `text`."""
    stops: NDArray[np.int64]
    """[N]: where it stops, exclusive."""
    has_exponents: bool
    """Whether an e stands in any word."""
    line_lengths: NDArray[np.int64]
    """[L]: the number of words of each line that is not blank."""

    def columns(self, count: int, start: int, stop: int) -> Words:
        """Columns `start` to `stop` (exclusive) of a table of `count` columns, row by row; without line lengths."""
        gaps, stops = (ends.reshape(-1, count)[:, start:stop].reshape(-1) for ends in (self.gaps, self.stops))
        return Words(self.text, gaps, stops, self.has_exponents, self.line_lengths[:0])

    def word(self, index: int) -> bytes:
        """One of the words."""
        return self.text[self.gaps[index] + 1 : self.stops[index]]


def split_words(text: bytes, start: int = 0) -> Words:
    """Find the words and lines of a text from byte `start`, where a line starts.

    Raises:
        ValueError: It holds a control character, as a binary file does.
    """
    # A text behind a header is not copied: touching fresh memory costs as much as parsing.
    if start < _MARGIN:
        text, start = b"\n" * _MARGIN + text[start:], _MARGIN
    if not text.endswith(b"\n"):
        text += b"\n"
    characters = np.frombuffer(text, np.uint8, offset=start - 1)
    gaps = np.flatnonzero(characters <= 32)
    kinds = characters[gaps]
    if ((kinds - np.uint8(9) > 4) & (kinds != ord(" "))).any():
        raise ValueError("a control character")
    gaps += start - 1
    gaps, stops = gaps[:-1], gaps[1:]
    is_word = stops - gaps > 1
    ends_line = kinds[1:] == ord("\n")
    if is_word.all():
        words_so_far = np.flatnonzero(ends_line) + 1
    else:
        words_so_far = np.cumsum(is_word)[ends_line]
        gaps, stops = gaps[is_word], stops[is_word]
    line_lengths = np.diff(words_so_far, prepend=0)
    has_exponents = max(text.find(b"e", start), text.find(b"E", start)) >= 0
    return Words(text, gaps, stops, has_exponents, line_lengths[line_lengths > 0])


def parse_floats(words: Words, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The words as float64, correctly rounded, or as the float32 nearest to that; [N].

    `nan` and `inf` are numbers, with or without a sign.

    Raises:
        BadWordError: A word is no number, or too large for `dtype`.
    """
    values = np.empty(len(words.stops), dtype)
    scratch = np.empty((4, 2, min(_BLOCK, len(values))), np.uint64)
    for first, text, starts, stops in _blocks(words):
        negative, heads = _signs(text, starts)
        powers, ends = _exponents(text, heads, stops) if words.has_exponents else (None, stops)
        mantissas, tail, is_plain = _plain_decimals(words.text, heads, ends, scratch)
        numbers = mantissas.astype(np.float64) / _SCALES[tail]  # exact operands (Clinger 1990), or a scale of 1
        if powers is not None:
            scaled = np.flatnonzero(ends < stops)
            exponents = powers[scaled] - np.maximum(tail[scaled] - 1, 0)
            numbers[scaled], is_rounded = _times_power_of_ten(mantissas[scaled], exponents)
            is_plain[scaled] &= is_rounded
        numbers *= 1.0 - 2.0 * negative
        for index in np.flatnonzero(~is_plain).tolist():
            numbers[index] = _word(words, first + index, _to_float)
        with np.errstate(over="ignore", under="ignore"):
            rounded = numbers.astype(dtype)
        overflows = np.flatnonzero(np.isinf(rounded) & np.isfinite(numbers))
        if overflows.size:
            raise BadWordError(first + int(overflows[0]), f"is too large for {dtype}")
        values[first : first + len(numbers)] = rounded
    return values


def parse_integers(words: Words, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The words as whole numbers; [N].

    Raises:
        BadWordError: A word is no whole number, or lies outside the range of `dtype`.
    """
    values = np.empty(len(words.stops), dtype)
    scratch = np.empty((4, 2, min(_BLOCK, len(values))), np.uint64)
    limits = np.iinfo(dtype)
    largest = np.array([limits.max, -limits.min], np.uint64)
    for first, text, starts, stops in _blocks(words):
        negative, heads = _signs(text, starts)
        magnitudes, tail, is_plain = _plain_decimals(words.text, heads, stops, scratch)
        for index in np.flatnonzero(~is_plain | (tail > 0)).tolist():
            value = _word(words, first + index, _to_int)
            if not limits.min <= value <= limits.max:
                raise BadWordError(first + index, f"lies outside the range of {dtype}")
            magnitudes[index] = abs(value)
        beyond = np.flatnonzero(magnitudes > largest[negative.astype(np.intp)])
        if beyond.size:
            raise BadWordError(first + int(beyond[0]), f"lies outside the range of {dtype}")
        block = magnitudes.astype(dtype)
        np.negative(block, where=negative, out=block)
        values[first : first + len(block)] = block
    return values


def _blocks(words: Words) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]]:
    text = np.frombuffer(words.text, np.uint8)
    for first in range(0, len(words.stops), _BLOCK):
        yield first, text, words.gaps[first : first + _BLOCK] + 1, words.stops[first : first + _BLOCK]


def _signs(text: NDArray[np.uint8], starts: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which words are negative, and where its digits start."""
    first = text[starts]
    negative = first == ord("-")
    return negative, starts + (negative | (first == ord("+")))


def _plain_decimals(
    text: bytes, starts: NDArray[np.int64], stops: NDArray[np.int64], scratch: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.intp], NDArray[np.bool_]]:
    """Read `digits[.digits]` of up to 16 characters.

    Returns:
        The digits as a number; the characters from the dot to the end, or 0; which words have this form.
    """
    lengths = stops - starts
    sixteens = np.ndarray((len(text) - 15,), "V16", text, strides=(1,))
    digits, dots, flaws, terms = scratch[:, :, : len(stops)]  # [2, N]: the first eight characters, the last eight
    _OWN_BYTES.take(lengths, axis=1, mode="clip", out=digits)
    digits &= np.bitwise_xor(sixteens[stops - 16].view("<u8").reshape(-1, 2).T, _ZEROS, out=terms)
    # Of the characters that can be part of a number only the dot has the bit 0x10 now: 256^j for a dot at byte j.
    np.right_shift(digits, 4, out=dots)
    dots &= _ONES
    digits ^= np.multiply(dots, _DOT, out=terms)
    # A byte that is no digit from 0 to 9, or had that bit and was no dot, reaches the upper half of its byte.
    np.multiply(dots, np.uint64(9), out=flaws)
    flaws += _SIXES
    flaws += digits
    flaws |= digits
    flaws &= _HIGH_NIBBLES
    # Neighbours are joined: eight digits to four numbers of two digits, to two of four, to one of eight.
    for factor, shift, mask in ((10, 8, _PAIRS), (100, 16, _QUADS), (10_000, 32, _EIGHTS)):
        digits *= np.uint64(factor * 2**shift + 1)
        digits >>= shift
        digits &= mask
    numbers = digits[0] * np.uint64(10**8) + digits[1]
    # 256^j times these constants brings 16 - j and 8 - j to the top byte.
    tail = (dots[0] * np.uint64(0x100F0E0D0C0B0A09) >> 56) + (dots[1] * np.uint64(0x0807060504030201) >> 56)
    either = dots[0] | (dots[1] << 1)
    is_plain = (flaws[0] | flaws[1] | (either & (either - np.uint64(1)))) == 0  # and one dot at most
    is_plain &= (lengths <= 16) & (lengths > (tail > 0))
    tail = np.where(is_plain, tail, 0).astype(np.intp)
    # The dot was read as a digit 0. Nine tenths of what that adds to the part before it are taken away again.
    numbers -= numbers // _SHIFTED[tail] * _NINE_TENTHS[tail]
    return numbers, tail, is_plain


def _exponents(
    text: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Look for an exponent with a sign and two digits, as printf writes it: its value, and where the rest stops."""
    powers, ends = np.zeros(len(stops), np.intp), stops.copy()
    found = np.flatnonzero(((text[stops - 4] | 32) == ord("e")) & (stops - 4 > starts))
    sign, tens, ones = (text[stops[found] - place] for place in (3, 2, 1))
    tens, ones = tens - np.uint8(ord("0")), ones - np.uint8(ord("0"))
    is_power = ((sign == ord("-")) | (sign == ord("+"))) & (tens <= 9) & (ones <= 9)
    powers[found] = (10 * tens.astype(np.intp) + ones) * np.where(sign == ord("-"), -1, 1)
    ends[found] -= 4 * is_power
    return powers, ends


def _times_power_of_ten(
    mantissas: NDArray[np.uint64], exponents: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Whole numbers times powers of ten, and which results are surely the nearest doubles.

    The product is formed exactly with the power's first 53 bits (Dekker 1971) and to 2^-103 of its size with the next
    53. A result is certain if it is the same at both ends of a wider interval (Ziv 1991).
    """
    indices = np.clip(exponents + _MAX_POWER, 0, 2 * _MAX_POWER)
    numbers, powers = mantissas.astype(np.float64), _POWERS[indices]
    products = numbers * powers
    a, b = _halves(numbers)
    c, d = _halves(powers)
    rests = (((a * c - products) + a * d) + b * c) + b * d
    rests += numbers * _POWER_RESTS[indices]
    margins = products * 2.0**-100
    values = products + (rests - margins)
    is_certain = values == products + (rests + margins)
    return values, is_certain & (mantissas <= 2**53) & (abs(exponents) <= _MAX_POWER)


def _halves(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each number as a sum of two with at most 26 bits, so that products of halves are exact."""
    scaled = numbers * (2.0**27 + 1)
    upper = scaled - (scaled - numbers)
    return upper, numbers - upper


def _word(words: Words, index: int, convert: Callable[[bytes], Any]) -> Any:
    try:
        return convert(words.word(index))
    except ValueError as error:
        raise BadWordError(index, str(error)) from None


def _to_float(word: bytes) -> float:
    try:
        # Python takes 1_000, other readers do not.
        value = None if b"_" in word else float(word)
    except ValueError:
        value = None
    if value is None:
        raise ValueError("is no number")
    if abs(value) == float("inf") and b"n" not in word.lower():
        raise ValueError("is too large for float64")
    return value


def _to_int(word: bytes) -> int:
    digits = word[1:] if word[:1] in (b"-", b"+") else word
    if not digits.isdigit():
        raise ValueError("is no whole number")
    if len(digits) > 100:  # beyond every range; Python refuses to convert more than 4300 digits
        word = word[:101]
    return int(word)
