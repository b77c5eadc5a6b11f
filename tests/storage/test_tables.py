"""Rows come back as they were written, and damage is named with its line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mapanything_data.errors import DataError
from mapanything_data.storage.arrays import read_npy, write_npy
from mapanything_data.storage.tables import (
    read_csv,
    read_json,
    read_jsonl,
    write_csv,
    write_json,
    write_jsonl,
)

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


@given(st.lists(st.dictionaries(st.text(), VALUES)))
def test_json_lines_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write_jsonl(path, rows)

    assert read_jsonl(path) == rows


WITHOUT_NUL = st.text(st.characters(codec="utf-8", exclude_characters="\0"))  # Python 3.10 cannot write it


@given(st.lists(st.fixed_dictionaries({"a": WITHOUT_NUL, "b, c": WITHOUT_NUL})))
def test_csv_round_trips_commas_quotes_and_line_breaks(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    write_csv(path, ["a", "b, c"], rows)

    assert read_csv(path) == rows


@given(
    arrays(
        st.sampled_from([np.float32, np.float16, np.uint16, np.int64, np.bool_]),
        array_shapes(min_dims=0, min_side=0),
    )
)
def test_arrays_round_trip_bit_for_bit(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("array") / "array.npy"
    write_npy(path, array)

    back = read_npy(path)

    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"depth": float("nan")})


def test_objects_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npy(tmp_path / "x.npy", np.array([{}], dtype=object))
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_in_an_array_file_is_refused(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)

    with pytest.raises(DataError, match=r"evil\.npy"):
        read_npy(tmp_path / "evil.npy")


@pytest.mark.parametrize("cut", [0, 5, 40, 100])
def test_a_truncated_array_is_refused(tmp_path, cut):
    write_npy(tmp_path / "x.npy", np.arange(10.0))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:cut])

    with pytest.raises(DataError, match=r"x\.npy"):
        read_npy(tmp_path / "x.npy")


@pytest.mark.parametrize(("text", "line"), [('{"a": 1}\n{"a":\n', 2), ("[1]\n", 1), ('{"a": 1}\n\n', 2)])
def test_a_damaged_line_is_named(tmp_path, text, line):
    (tmp_path / "x.jsonl").write_text(text)

    with pytest.raises(DataError, match=rf"x\.jsonl:{line}:"):
        read_jsonl(tmp_path / "x.jsonl")


def test_a_row_longer_or_shorter_than_the_header_is_named(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(DataError, match=r"x\.csv:3:"):
        read_csv(tmp_path / "x.csv")

    (tmp_path / "x.csv").write_text("a,b\n1\n")
    with pytest.raises(DataError, match=r"x\.csv:2:"):
        read_csv(tmp_path / "x.csv")


@pytest.mark.parametrize("read", [read_json, read_jsonl, read_csv, read_npy])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(DataError, match=r"absent.*missing"):
        read(tmp_path / "absent")


def test_a_tsv_has_tabs_for_commas(tmp_path):
    write_csv(tmp_path / "t.tsv", ["a", "b"], [{"a": "1,5", "b": "x\ty"}])

    assert (tmp_path / "t.tsv").read_bytes() == b'a\tb\r\n1,5\t"x\ty"\r\n'
    assert read_csv(tmp_path / "t.tsv") == [{"a": "1,5", "b": "x\ty"}]
