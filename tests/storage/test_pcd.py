"""PCD files: every number exact in every encoding, read and written as PCL and Open3D do."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapanything_data.storage.pcd import pack_rgb, read_pcd, unpack_rgb, write_pcd

ENCODINGS = ["ascii", "binary", "binary_compressed"]
DTYPES = [np.dtype(name) for name in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]


def pcd(*lines, data="ascii", body=b"", **header):
    """A file of two points `x y z`, with header lines replaced by keyword and left out by None."""
    entries = {"VERSION": "0.7", "FIELDS": "x y z", "SIZE": "4 4 4", "TYPE": "F F F", "COUNT": "1 1 1"}
    entries |= {"WIDTH": "2", "HEIGHT": "1", "VIEWPOINT": "0 0 0 1 0 0 0", "POINTS": "2"} | header
    text = "".join(f"{keyword} {value}\n" for keyword, value in entries.items() if value is not None)
    return (text + f"DATA {data}\n" + "".join(f"{line}\n" for line in lines)).encode() + body


TWO_POINTS = ("1 2 3", "4 5 6")


@st.composite
def clouds(draw):
    count = draw(st.integers(0, 12))
    names = draw(st.lists(st.sampled_from(["x", "y", "z", "rgb", "intensity", "t", "1", "#"]), min_size=1, unique=True))
    shapes = st.sampled_from([(count,), (count, 1), (count, 3)])
    return {name: draw(hnp.arrays(st.sampled_from(DTYPES), shapes)) for name in names}


def assert_same(read, written, encoding):
    assert list(read) == list(written)
    for name, array in written.items():
        expected = array[:, 0] if array.shape[1:] == (1,) else array
        assert read[name].dtype == array.dtype
        if encoding == "ascii":
            np.testing.assert_array_equal(read[name], expected)
            has_sign = ~np.isnan(expected) & (expected != 0)
            np.testing.assert_array_equal(np.signbit(read[name][has_sign]), np.signbit(expected[has_sign]))
        else:
            assert read[name].tobytes() == expected.tobytes()


# What a file says


def test_the_points_of_a_small_text_file_are_read():
    cloud = read_pcd(pcd("0.5 -1.25 3e2", "nan 7 -0", VIEWPOINT="1 2 3 0.5 0.5 0.5 0.5"))
    np.testing.assert_array_equal(cloud.fields["x"], np.float32([0.5, np.nan]))
    np.testing.assert_array_equal(cloud.fields["y"], np.float32([-1.25, 7]))
    np.testing.assert_array_equal(cloud.fields["z"], np.float32([300, 0]))
    assert np.signbit(cloud.fields["z"][1])
    assert (cloud.width, cloud.height) == (2, 1)
    assert cloud.viewpoint.tolist() == [1, 2, 3, 0.5, 0.5, 0.5, 0.5]


def test_the_points_of_a_small_binary_file_are_read():
    # 1.0 is 3F800000, -2.0 is C0000000 (IEEE 754); little-endian; a byte of padding stands between x and the label.
    body = bytes.fromhex("0000803F FF 0102 000000C0 EE FFFF")
    cloud = read_pcd(pcd(data="binary", body=body, FIELDS="x _ label", SIZE="4 1 2", TYPE="F U U"))
    assert {name: array.tolist() for name, array in cloud.fields.items()} == {"x": [1, -2], "label": [0x0201, 0xFFFF]}


def test_the_fields_of_a_compressed_file_stand_one_after_the_other():
    # Unpacked: x of both points, then y of both. Two literals 01 02 (run 1), then back 1 byte for 3 bytes: 02 02 02.
    body = struct.pack("<II", 5, 5) + bytes([1, 1, 2, 1 << 5 | 0, 0])
    header = {"FIELDS": "x y _", "SIZE": "1 1 1", "TYPE": "U U U", "COUNT": "2 2 1", "WIDTH": "1", "POINTS": "1"}
    cloud = read_pcd(pcd(data="binary_compressed", body=body, **header))
    assert {name: array.tolist() for name, array in cloud.fields.items()} == {"x": [[1, 2]], "y": [[2, 2]]}


def test_a_field_with_a_count_has_a_row_for_each_point():
    cloud = read_pcd(pcd("1 10 20 30", "2 40 50 60", FIELDS="x n", SIZE="4 2", TYPE="F I", COUNT="1 3"))
    assert cloud.fields["n"].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert cloud.fields["n"].dtype == np.int16


def test_padding_in_text_is_skipped():
    assert list(read_pcd(pcd(*TWO_POINTS, FIELDS="_ y _")).fields) == ["y"]


def test_an_organised_cloud_keeps_its_shape():
    cloud = read_pcd(pcd(*TWO_POINTS, WIDTH="1", HEIGHT="2"))
    assert (cloud.width, cloud.height) == (1, 2)


@pytest.mark.parametrize("left_out", ["VERSION", "COUNT", "HEIGHT", "VIEWPOINT", "POINTS"])
def test_what_pcl_can_do_without_may_be_missing(left_out):
    cloud = read_pcd(pcd(*TWO_POINTS, **{left_out: None}))
    assert cloud.fields["z"].tolist() == [3, 6]
    assert (cloud.width, cloud.height) == (2, 1)
    assert cloud.viewpoint.tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_points_alone_give_the_shape():
    cloud = read_pcd(pcd(*TWO_POINTS, WIDTH=None, HEIGHT=None))
    assert (cloud.width, cloud.height) == (2, 1)


@pytest.mark.parametrize("version", ["0.7", ".7", "0.6", ".6"])
def test_both_versions_are_read(version):
    assert read_pcd(pcd(*TWO_POINTS, VERSION=version)).fields["x"].tolist() == [1, 4]


def test_comments_blank_lines_windows_line_ends_and_another_order_change_nothing():
    lines = pcd(*TWO_POINTS).decode().splitlines()
    mixed = ["# a comment: ä", "", *lines[8::-1], "   # another", lines[9], "", " 1\t2  3 ", "", "4 5 6"]
    cloud = read_pcd("\r\n".join(mixed).encode())
    assert [cloud.fields[name].tolist() for name in "xyz"] == [[1, 4], [2, 5], [3, 6]]


def test_a_binary_file_with_windows_line_ends_in_its_header_is_read():
    body = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    cloud = read_pcd(pcd(data="binary").replace(b"\n", b"\r\n") + body)
    assert cloud.fields["z"].tolist() == [3, 6]


@pytest.mark.parametrize(("data", "body"), [("ascii", b""), ("binary", b""), ("binary_compressed", bytes(8))])
def test_a_cloud_may_be_empty(data, body):
    cloud = read_pcd(pcd(data=data, body=body, WIDTH="0", POINTS="0", COUNT="1 1 7"))
    assert {name: array.shape for name, array in cloud.fields.items()} == {"x": (0,), "y": (0,), "z": (0, 7)}


# Round trips


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=clouds())
def test_fields_survive_exactly(tmp_path, encoding, fields):
    path = tmp_path / "cloud.pcd"
    write_pcd(path, fields, encoding)
    cloud = read_pcd(path)
    assert_same(cloud.fields, fields, encoding)
    assert (cloud.width, cloud.height) == (len(next(iter(fields.values()))), 1)
    first = path.read_bytes()
    write_pcd(path, fields, encoding)
    assert path.read_bytes() == first


def test_the_text_that_is_written(tmp_path):
    fields = {"x": np.float32([0.1, -2]), "n": np.array([[1, 2], [3, 255]], np.uint8)}
    write_pcd(tmp_path / "cloud.pcd", fields, "ascii")
    assert (tmp_path / "cloud.pcd").read_text().splitlines() == [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        "FIELDS x n",
        "SIZE 4 1",
        "TYPE F U",
        "COUNT 1 2",
        "WIDTH 2",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        "POINTS 2",
        "DATA ascii",
        "0.100000001 1 2",
        "-2 3 255",
    ]


def test_big_endian_and_strided_arrays_are_written_by_value(tmp_path):
    fields = {"x": np.arange(10, dtype=">f4")[::3], "n": np.arange(12, dtype=">i2").reshape(3, 4).T}
    for encoding in ENCODINGS:
        write_pcd(tmp_path / "cloud.pcd", fields, encoding)
        read = read_pcd(tmp_path / "cloud.pcd").fields
        assert read["x"].tolist() == [0, 3, 6, 9]
        assert read["n"].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"x": np.zeros(2, np.float32), "y": np.zeros(3, np.float32)},
        {"x": np.zeros(2, np.float16)},
        {"x": np.zeros(2, bool)},
        {"x": np.zeros((2, 2, 2), np.float32)},
        {"x": np.zeros((2, 0), np.float32)},
        {"": np.zeros(2, np.float32)},
        {"_": np.zeros(2, np.float32)},
        {"two words": np.zeros(2, np.float32)},
        {"höhe": np.zeros(2, np.float32)},
    ],
)
def test_fields_that_no_file_can_hold_are_refused_before_anything_is_written(tmp_path, fields):
    with pytest.raises(ValueError, match=r"PCD file|one length"):
        write_pcd(tmp_path / "cloud.pcd", fields, "binary")
    assert list(tmp_path.iterdir()) == []


# Packed colours


@pytest.mark.parametrize("dtype", [np.float32, np.uint32, np.int32])
@given(colours=hnp.arrays(np.uint8, st.tuples(st.integers(0, 9), st.just(3))))
def test_colours_survive_packing(dtype, colours):
    packed = pack_rgb(colours, dtype)
    assert packed.dtype == dtype
    np.testing.assert_array_equal(unpack_rgb(packed), colours)


def test_red_is_the_third_byte():
    assert pack_rgb(np.array([[0x12, 0x34, 0x56]], np.uint8), np.uint32).tolist() == [0x123456]
    assert unpack_rgb(np.array([0xFF123456], np.uint32)).tolist() == [[0x12, 0x34, 0x56]]  # alpha is left out


def test_a_colour_in_text_is_read_to_the_bit():
    # 2.3418052e-38 is 0x00FF0000 as a float32: 2^-126 * (1 + 0x7F0000 / 2^23) = 2^-126 * 1.9921875, pure red.
    cloud = read_pcd(pcd("2.3418052e-38", "9.183409e-41", FIELDS="rgb", SIZE="4", TYPE="F", COUNT="1"))
    # 9.183409e-41 is 0x0000FFFF, a denormal: 65535 * 2^-149.
    assert unpack_rgb(cloud.fields["rgb"]).tolist() == [[255, 0, 0], [0, 255, 255]]
    assert cloud.fields["rgb"].tolist() == [2.0**-126 * 1.9921875, 65535 * 2.0**-149]


@pytest.mark.parametrize("bad", [np.zeros((2, 3), np.float32), np.zeros(2, np.float64)])
def test_numbers_that_are_no_packed_colours_are_refused(bad):
    with pytest.raises(ValueError, match="packed colours"):
        unpack_rgb(bad)
    with pytest.raises(ValueError, match="colours are"):
        pack_rgb(bad)


# Open3D


def colourful_cloud(open3d):
    rng = np.random.default_rng(0)
    points, colours = rng.normal(0, 30, (500, 3)).astype(np.float32), rng.integers(0, 256, (500, 3))
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
    cloud.colors = open3d.utility.Vector3dVector(colours / 255)
    return cloud, points, colours


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_files_of_open3d_are_read(tmp_path, encoding):
    open3d = pytest.importorskip("open3d")
    cloud, points, colours = colourful_cloud(open3d)
    path = str(tmp_path / "cloud.pcd")
    options = {"write_ascii": encoding == "ascii", "compressed": encoding == "binary_compressed"}
    assert open3d.io.write_point_cloud(path, cloud, **options)
    fields = read_pcd(tmp_path / "cloud.pcd").fields
    np.testing.assert_array_equal(np.stack([fields[name] for name in "xyz"], axis=1), points)
    np.testing.assert_array_equal(unpack_rgb(fields["rgb"]), colours)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.uint32])
def test_open3d_reads_what_is_written(tmp_path, encoding, dtype):
    open3d = pytest.importorskip("open3d")
    _, points, colours = colourful_cloud(open3d)
    fields = dict(zip("xyz", points.T, strict=True)) | {"rgb": pack_rgb(colours.astype(np.uint8), dtype)}
    write_pcd(tmp_path / "cloud.pcd", fields, encoding)
    legacy = open3d.io.read_point_cloud(str(tmp_path / "cloud.pcd"))
    # Open3D reads text with 32-bit or 64-bit parsing, by release: nine digits are half a unit of the ninth from exact.
    np.testing.assert_allclose(np.asarray(legacy.points), points, rtol=5e-9 * 10)
    np.testing.assert_array_equal(np.round(np.asarray(legacy.colors) * 255), colours)
    tensor = open3d.t.io.read_point_cloud(str(tmp_path / "cloud.pcd"))
    np.testing.assert_array_equal(tensor.point.positions.numpy(), points)
