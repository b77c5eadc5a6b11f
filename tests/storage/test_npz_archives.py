"""Archives of arrays: `np.load` reads ours, we read NumPy's, and damage never passes for data."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapanything_data.errors import DataError
from mapanything_data.storage.npz import read_npz, write_npz

pytest.importorskip("isal")

plain_dtypes = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(),
    hnp.unicode_string_dtypes(),
)  # fmt: skip
any_array = hnp.arrays(plain_dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
names = st.text("abcxyz_09é", min_size=1, max_size=8)
NOISE = np.random.default_rng(0).integers(0, 256, 64, dtype=np.uint8)  # stored, not deflated
SAMPLE = {
    "noise": NOISE,
    "floats": np.arange(12.0).reshape(3, 4),
    "text": np.array("é"),
    "flags": np.array([True, False]),
}


def assert_same(arrays, expected):
    assert list(arrays) == list(expected)
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("npz")


@settings(deadline=None)  # a disk may be busy
@given(st.dictionaries(names, any_array, min_size=1, max_size=4), st.integers(0, 3))
def test_numpy_and_we_read_back_what_was_written(folder, arrays, level):
    path = folder / "a.npz"
    write_npz(path, arrays, level)
    assert_same(read_npz(path), arrays)
    with np.load(path, allow_pickle=False) as loaded:
        assert_same(dict(loaded), arrays)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_we_read_what_numpy_writes(tmp_path, save):
    save(tmp_path / "a.npz", **SAMPLE)
    assert_same(read_npz(tmp_path / "a.npz"), SAMPLE)


def test_arrays_of_any_order_in_memory_are_written(tmp_path):
    grid = np.arange(24).reshape(4, 6)
    views = {"fortran": np.asfortranarray(grid), "strided": grid[::2, ::-3], "broadcast": np.broadcast_to(1.5, (3, 2))}
    write_npz(tmp_path / "a.npz", views)
    for name, array in read_npz(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(array, views[name])


def test_large_arrays_pass_in_pieces(tmp_path):
    # 2.4 MB are three pieces of a megabyte; the last is a part.
    array = np.sin(np.arange(300_000))
    write_npz(tmp_path / "a.npz", {"a": array})
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz")["a"], array)


def test_an_array_that_deflate_does_not_shrink_is_stored(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8)
    write_npz(tmp_path / "a.npz", {"noise": noise, "zeros": np.zeros(100_000)})
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        noise_entry, zeros_entry = archive.infolist()
    assert noise_entry.compress_type == zipfile.ZIP_STORED
    assert noise_entry.compress_size == noise_entry.file_size
    assert zeros_entry.compress_type == zipfile.ZIP_DEFLATED
    assert zeros_entry.compress_size < 5_000


def test_the_same_arrays_are_the_same_bytes_on_any_day(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name, SAMPLE)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_python_objects_are_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, SAMPLE)
    with pytest.raises(ValueError, match="odd holds Python objects"):
        write_npz(path, {"odd": np.array([{}, None])})
    assert_same(read_npz(path), SAMPLE)


def test_an_archive_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no arrays"):
        write_npz(tmp_path / "a.npz", {})


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_npz(path, SAMPLE)
    monkeypatch.setattr("mapanything_data.storage.npz._write_directory", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_npz(path, {"a": np.zeros(5)})
    assert_same(read_npz(path), SAMPLE)
    assert list(tmp_path.iterdir()) == [path]


def full_disk(file, members):
    raise OSError(28, "No space left on device")


def test_a_file_that_ends_anywhere_before_its_end_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, SAMPLE)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"is no readable \.npz"):
            read_npz(path)


@pytest.mark.parametrize("bit", [0, 4, 7])
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path, bit):
    path = tmp_path / "a.npz"
    write_npz(path, SAMPLE)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << bit
        path.write_bytes(spoiled)
        try:
            assert_same(read_npz(path), SAMPLE)
        except DataError:
            refused += 1
    assert refused > len(whole) / 2


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_words(folder, content):
    path = folder / "odd.npz"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_npz(path)


def test_pickles_are_never_opened(tmp_path):
    np.savez(tmp_path / "a.npz", odd=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="allow_pickle=False"):
        read_npz(tmp_path / "a.npz")


def test_members_that_are_no_arrays_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"readme\.txt is no \.npy array"):
        read_npz(tmp_path / "a.npz")


def test_an_array_followed_by_more_bytes_is_refused(tmp_path):
    write_npz(tmp_path / "a.npz", SAMPLE)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        content = archive.read("flags.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("flags.npy", content + b"\0")
    with pytest.raises(DataError, match=r"flags\.npy has more bytes than its array"):
        read_npz(tmp_path / "a.npz")


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(DataError, match="the file is missing"):
        read_npz(Path(tmp_path / "none.npz"))
