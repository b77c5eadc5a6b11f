"""Folders of images."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.scene import Frame
from mapanything_data.sim.clip import Drive, read_frame_number
from mapanything_data.sources.clip import BrokenClip, LostFrame
from mapanything_data.sources.images import ImagesSource


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures, 1.png to 12.png, that carry the numbers 0 to 11."""
    write_pictures(tmp_path / "ride", 12)
    return tmp_path / "ride"


def write_pictures(folder, count, width=96, height=64):
    folder.mkdir(parents=True)
    drive = Drive(width, height)
    for number in range(count):
        Image.fromarray(drive.draw(number, number / 10)).save(folder / f"{number + 1}.png")


def read(path, **settings):
    source = ImagesSource(path=str(path), **settings)
    (clip,) = source.clips()
    return [frame for _, frame in source.frames(clip, 0, len(clip.source_frames))]


def test_images_are_read_in_natural_order(folder):
    frames = read(folder)
    assert [read_frame_number(frame.image) for frame in frames] == list(range(12))
    assert [frame.source_frame for frame in frames] == list(range(12))


def test_the_rate_makes_the_time_stamps(folder):
    np.testing.assert_allclose([frame.timestamp for frame in read(folder)], np.arange(12) / 10)
    np.testing.assert_allclose([frame.timestamp for frame in read(folder, fps=4.0)], np.arange(12) / 4)


def test_time_range_and_stride_select_images(folder):
    frames = read(folder, start=0.2, end=0.8, stride=3)
    assert [read_frame_number(frame.image) for frame in frames] == [2, 5]
    assert [frame.source_frame for frame in frames] == [2, 5]


def test_a_part_of_the_selection_can_be_read_and_parts_of_it_skipped(folder):
    source = ImagesSource(path=str(folder))
    (clip,) = source.clips()
    assert [index for index, _ in source.frames(clip, 3, 8, skip={4, 7})] == [3, 5, 6]


def test_pixels_are_those_of_the_file(folder):
    assert np.array_equal(read(folder)[0].image, np.asarray(Image.open(folder / "1.png")))


def test_resize_and_intrinsics_go_together(folder):
    frame = read(folder, resize=[48, 16], intrinsics=[80, 80, 47.5, 31.5])[0]
    assert frame.image.shape == (16, 48, 3)
    # Width halves, height quarters; the principal point keeps its place between the picture's outer edges.
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy) == (40, 20, 23.5, 7.5)


def test_each_folder_is_a_recording(tmp_path):
    for name in ("2 left/images", "10 right/images"):
        write_pictures(tmp_path / name, 2)
    clips = ImagesSource(path=str(tmp_path / "*" / "images")).clips()
    assert [clip.name for clip in clips] == ["2 left/images", "10 right/images"]


def test_exif_orientation_is_honoured(tmp_path):
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:20, :30] = (250, 20, 20)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(stored).save(tmp_path / "1.jpg", exif=exif, quality=95)
    (frame,) = read(tmp_path)
    assert frame.image.shape == (60, 40, 3)
    assert frame.image[10, 30].tolist() == pytest.approx([250, 20, 20], abs=12)


@pytest.mark.parametrize("mode", ["gray", "gray16", "rgb16", "rgba"])
def test_gray_16_bit_and_transparent_images_become_rgb_bytes(tmp_path, mode):
    values = np.arange(64 * 48).reshape(48, 64)
    written = {
        "gray": (values % 256).astype(np.uint8),
        "gray16": (values * 20).astype(np.uint16),
        "rgb16": np.stack([values * 20] * 3, axis=-1).astype(np.uint16),
        "rgba": np.stack([values % 256] * 3 + [values % 7 * 40], axis=-1).astype(np.uint8),
    }[mode]
    cv2.imwrite(str(tmp_path / "1.png"), written)
    gray = values * 20 >> 8 if "16" in mode else values % 256
    (frame,) = read(tmp_path)
    assert np.array_equal(frame.image, np.repeat(gray[..., None], 3, axis=-1).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_an_image_that_is_not_whole_is_lost_and_the_others_come_out(tmp_path, suffix, share):
    for number in range(3):
        Image.fromarray(Drive(96, 64).draw(number, 0)).save(tmp_path / f"{number}{suffix}")
    broken = tmp_path / f"1{suffix}"
    broken.write_bytes(broken.read_bytes()[: int(broken.stat().st_size * share)])
    first, lost, last = read(tmp_path)
    assert isinstance(first, Frame)
    assert lost == LostFrame(1, 0.1, f"1{suffix} cannot be read as an image")
    assert last.source_frame == 2


def test_an_image_of_another_size_is_lost_and_named(folder):
    Image.new("RGB", (50, 40)).save(folder / "5.png")
    assert read(folder)[4] == LostFrame(4, 0.4, "5.png is 50x40, expected 96x64, as 1.png is")


def test_an_image_that_vanished_is_lost(folder):
    source = ImagesSource(path=str(folder))
    (clip,) = source.clips()
    (folder / "3.png").unlink()
    frames = dict(source.frames(clip, 0, 12))
    assert frames[2].reason.startswith("3.png cannot be opened")
    assert isinstance(frames[3], Frame)


def test_a_folder_without_a_readable_image_does_not_stop_the_others(tmp_path):
    write_pictures(tmp_path / "good", 1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_text("this is a text")
    bad, good = ImagesSource(path=str(tmp_path / "*")).clips()
    assert isinstance(bad, BrokenClip)
    assert "none of its 1 images can be read" in str(bad.error)
    assert len(good.source_frames) == 1


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no images"):
        ImagesSource(path=str(tmp_path)).clips()


def test_a_rate_of_zero_is_refused(folder):
    with pytest.raises(ConfigError, match=r"source\.fps"):
        ImagesSource(path=str(folder), fps=0.0).clips()
