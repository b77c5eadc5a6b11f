"""YAML is read as data only, and whatever else a file holds is one error that names it."""

from __future__ import annotations

import os
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mapanything_data.errors import DataError
from mapanything_data.storage.plain_yaml import dump_plain_yaml, read_plain_yaml

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "600"))
FRAME = b"""camera0:
  cords: [38.8, -27.4, 1.0, -2.1, 8.6, 0.5]
  intrinsic:
  - - 335.6
    - 0.0
vehicles:
  1007:
    angle: [0.0, 10.0, 0.0]
    location: [1.0e-05, .5, -3]
RSU: true
"""

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=15,
)


def write(tmp_path, data):
    path = tmp_path / "000068.yaml"
    path.write_bytes(data)
    return path


@given(content=plain)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_dumped_is_read_back(tmp_path, content):
    assert read_plain_yaml(write(tmp_path, dump_plain_yaml(content).encode())) == content


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"a: !!python/object/apply:os.system ['true']", "could not determine a constructor for the tag"),
        (b"a: !!python/name:os.system", "could not determine a constructor for the tag"),
        (b"a: &anchor [1]\nb: *anchor", "has an anchor or alias in line 1"),
        (b"a: 1\nb: &x 2", "has an anchor or alias in line 2"),
        (b"a: \xff\xfe", "is no UTF-8 text"),
        (b"a: [1, 2", "is no plain YAML"),
        (b"a: 1\n\tb: 2", "is no plain YAML"),
        (b"a: 2021-13-41", "holds a value that is none"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"- " * 100_000, "is nested too deeply"),
        (b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 3000)), "is nested too deeply"),
        (b"? " * 5000, "is nested too deeply"),
        (b"a: {" * 200, "is nested too deeply"),
        (b"a: 1\n--- \nb: 2", "is no plain YAML"),
    ],
)
def test_anything_but_plain_data_is_refused_with_its_reason(tmp_path, data, found):
    path = write(tmp_path, data)

    with pytest.raises(DataError, match=r".*") as caught:
        read_plain_yaml(path)

    assert caught.value.where == str(path)
    assert found in caught.value.found


def test_text_may_hold_the_characters_of_anchors(tmp_path):
    assert read_plain_yaml(write(tmp_path, b"name: 'Bonnie & Clyde * 2'")) == {"name": "Bonnie & Clyde * 2"}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="the file is missing"):
        read_plain_yaml(tmp_path / "none.yaml")


def test_a_file_that_is_far_too_large_is_not_even_read(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(40_000_000)  # sparse: takes no room on the disk

    with pytest.raises(DataError, match="has 40000000 bytes"):
        read_plain_yaml(path)


@st.composite
def damaged_frames(draw):
    """A frame with a few bytes replaced, repeated or cut out."""
    data = bytearray(FRAME)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 40)))
        inserted = draw(
            st.binary(max_size=8) | st.sampled_from([b"[", b"{", b"- ", b"&a ", b"*a", b"!!", b"\t", b"? "])
        )
        data[start:stop] = inserted * draw(st.sampled_from([1, 1, 1, 50, 3000]))
    return bytes(data)


@given(data=damaged_frames() | st.binary(max_size=300))
@example(data=b"0" * 10_000)  # more digits than Python turns into an integer
@example(data=b"!!int 1e5")
@example(data=b"=: 1")
@example(data=b"{[1]: 2}")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_is_read_or_refused_and_never_anything_else(tmp_path, data):
    path = write(tmp_path, data)
    tracemalloc.start()
    try:
        with suppress(DataError):
            read_plain_yaml(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400 * len(data) + 1_000_000
