"""What the system refuses to read is told by every reader as a DataError that names the file."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest

from mapanything_data.errors import DataError
from mapanything_data.scene import Pose
from mapanything_data.storage.arrays import read_npy, read_npy_dtype
from mapanything_data.storage.detections import read_yolo
from mapanything_data.storage.opv2v import read_annotation, read_cameras, read_cloud, read_depth, read_image
from mapanything_data.storage.pcd import read_pcd
from mapanything_data.storage.plain_yaml import read_plain_yaml
from mapanything_data.storage.png import decode_png, read_png_size
from mapanything_data.storage.reading import read_bytes
from mapanything_data.storage.tables import cut_torn_line, read_csv, read_json, read_jsonl

READERS = {
    "content": read_bytes,
    "annotation": read_annotation,
    "cameras": read_cameras,
    "cloud": partial(read_cloud, T_world_lidar=Pose.identity()),
    "csv": read_csv,
    "depth.npy": read_depth,
    "depth.png": read_depth,
    "image": read_image,
    "json": read_json,
    "jsonl": read_jsonl,
    "npy": read_npy,
    "npy dtype": read_npy_dtype,
    "pcd": read_pcd,
    "png": decode_png,
    "png size": read_png_size,
    "torn jsonl": cut_torn_line,
    "yaml": read_plain_yaml,
    "yolo": partial(read_yolo, class_names=("vehicle",), width=4, height=4),
}


def make_folder(path):
    path.mkdir()


def make_loop(path):
    path.symlink_to(path)


def make_forbidden(path):
    path.write_bytes(b"content")
    path.chmod(0)


def nothing(path):
    assert not path.exists()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("make", "found"),
    [
        (nothing, "the file is missing"),
        (make_folder, "cannot be read (Is a directory)"),
        (make_loop, "cannot be read (Too many levels of symbolic links)"),
        pytest.param(
            make_forbidden,
            "cannot be read (Permission denied)",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything"),
        ),
    ],
)
def test_every_reader_names_what_it_cannot_read(name, make, found, tmp_path):
    path = tmp_path / name
    make(path)

    with pytest.raises(DataError) as caught:
        READERS[name](path)

    assert (caught.value.where, caught.value.found) == (str(path), found)
    assert caught.value.remedy


def test_a_failing_disk_is_named(tmp_path):
    # A process's own memory is a file whose first bytes are not mapped: reading them is an I/O error.
    with pytest.raises(DataError, match=r"cannot be read \(Input/output error\)"):
        read_bytes(tmp_path.__class__("/proc/self/mem"), most=1)


def test_only_the_start_of_a_file_is_read_on_demand(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")

    assert read_bytes(tmp_path / "file", most=4) == b"0123"
    assert read_bytes(tmp_path / "file") == b"0123456789"


def test_an_archive_of_arrays_is_no_array(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, depth=np.ones(3))

    with pytest.raises(DataError, match=r"a\.npy: is no readable \.npy array"):
        read_npy(tmp_path / "a.npy")


def test_an_array_that_claims_more_than_memory_is_refused(tmp_path):
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**8)}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)

    with pytest.raises(DataError, match=r"a\.npy: is no readable \.npy array"):
        read_npy(tmp_path / "a.npy")


def test_the_type_of_an_array_is_told_from_its_header(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float64))

    assert read_npy_dtype(tmp_path / "a.npy") == np.float64


def test_a_table_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"frame\n\xff\n")

    with pytest.raises(DataError, match=r"a\.csv: is no UTF-8 text"):
        read_csv(tmp_path / "a.csv")
