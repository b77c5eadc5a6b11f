"""The LZF compression of binary_compressed files.

A stream is literal runs (a byte below 32, then that many plus one bytes) and back-references (3 bits of length, 13 bits
of distance, one more byte of length where the bits are full). Own code: `python-lzf` comes as source only and needs a
compiler, h5py keeps its copy to itself, and imagecodecs is large for the 20 ms that it would save a sweep.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_RATIO = 88
"""A back-reference of 3 bytes stands for at most 264: no stream expands more."""

_LONGEST_LITERAL, _LONGEST_MATCH, _FARTHEST = 32, 264, 8192
_SHORTEST_MATCH = 4  # three bytes could be referred to as well, but breaking a literal run costs what they save


def decompress(stream: bytes, size: int) -> bytes:
    """The `size` bytes that a stream holds.

    Raises:
        ValueError: It is damaged, or holds another number of bytes. Never more than `size` + 264 bytes are unpacked.
    """
    output = bytearray()
    place, end = 0, len(stream)
    try:
        while place < end and len(output) <= size:
            control = stream[place]
            place += 1
            if control < _LONGEST_LITERAL:
                output += stream[place : place + control + 1]
                place += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += stream[place]
                place += 1
            length += 2
            distance = ((control & 31) << 8 | stream[place]) + 1
            place += 1
            start = len(output) - distance
            if start < 0:
                raise ValueError(f"a back-reference at byte {place} points before the start")
            # A reference may overlap what it writes: then the bytes repeat.
            found = output[start : start + length]
            output += found if distance >= length else (found * (length // distance + 1))[:length]
    except IndexError:
        place = end + 1
    if place > end:
        raise ValueError("the compressed stream breaks off")
    if len(output) != size:
        raise ValueError(f"the stream unpacks to {'more' if len(output) > size else len(output)} bytes, not to {size}")
    return bytes(output)


def compress(data: bytes) -> bytes:
    """A stream that unpacks to `data`: the same bytes on every machine, at most 1/32 and a byte larger than `data`."""
    output: list[bytes] = []
    done = 0
    for start, stop, distance in zip(*(column.tolist() for column in _repetitions(data)), strict=True):
        place = max(start, done)
        if stop - place < _SHORTEST_MATCH:
            continue
        _add_literals(output, data, done, place)
        while stop - place >= _SHORTEST_MATCH:
            length = min(stop - place, _LONGEST_MATCH)
            high, low = divmod(distance - 1, 256)
            if length < 9:
                output.append(bytes(((length - 2) << 5 | high, low)))
            else:
                output.append(bytes((7 << 5 | high, length - 9, low)))
            place += length
        done = place
    _add_literals(output, data, done, len(data))
    return b"".join(output)


def _repetitions(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Stretches of the data, by start, that equal what stands `distance` bytes before: [M] starts, stops, distances."""
    count = len(data) - _SHORTEST_MATCH + 1
    if count < 2:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    keys = np.ndarray((count,), "<u4", data, strides=(1,)).copy()
    order = np.argsort(keys, kind="stable")
    is_equal = keys[order[1:]] == keys[order[:-1]]
    distances = np.zeros(count, np.int64)  # to the nearest equal four bytes
    distances[order[1:][is_equal]] = (order[1:] - order[:-1])[is_equal]
    distances[distances > _FARTHEST] = 0
    # Neighbours with the same distance are one longer stretch.
    starts = np.flatnonzero(np.diff(distances, prepend=-1))
    stops = np.append(starts[1:], count) + _SHORTEST_MATCH - 1
    is_match = distances[starts] > 0
    return starts[is_match], stops[is_match], distances[starts][is_match]


def _add_literals(output: list[bytes], data: bytes, start: int, stop: int) -> None:
    for place in range(start, stop, _LONGEST_LITERAL):
        piece = data[place : min(place + _LONGEST_LITERAL, stop)]
        output += (bytes((len(piece) - 1,)), piece)
