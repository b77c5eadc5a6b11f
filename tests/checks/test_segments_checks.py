"""Each defect of a segments data set is found, named and comes with a remedy; a sound one has no finding."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from segments_data import FRAMES, HEIGHT, PERIOD, WIDTH, picture, write_dataset, write_rows, write_segment

from mapanything_data.checks.finding import Severity
from mapanything_data.checks.segments import Checks as SegmentsChecks
from mapanything_data.errors import DataError
from mapanything_data.scene import Camera
from mapanything_data.storage.manifest import MANIFEST
from mapanything_data.storage.png import encode_png
from mapanything_data.storage.segments import DamageRow, FrameRow, SegmentsDataset
from mapanything_data.storage.tables import read_json, write_json


@pytest.fixture
def root(tmp_path):
    return tmp_path / "drive"


@pytest.fixture
def segment(root):
    return write_dataset(root)[0]


def checks_of(root):
    return SegmentsChecks(SegmentsDataset(root=str(root)))


def check_item(root, item):
    return checks_of(root).check_item(item, progress=lambda fraction: None)


def findings(root):
    checks = checks_of(root)
    found = [*checks.check_whole(), *(f for item in checks.item_names() for f in check_item(root, item))]
    assert all(finding.remedy for finding in found)
    return [(finding.severity, finding.check, finding.item) for finding in found]


def put(segment, frame, image):
    segment.picture(frame).write_bytes(encode_png(image))


def test_a_sound_data_set_has_no_finding(root):
    write_dataset(root, segments=2)

    assert findings(root) == []


def test_a_missing_picture_is_a_gap(root, segment):
    segment.picture(3).unlink()

    assert findings(root) == [(Severity.fail, "gap", "segment_00")]


def test_a_picture_too_many_is_out_of_line(root, segment):
    put(segment, FRAMES, picture(77))

    assert findings(root) == [(Severity.fail, "alignment", "segment_00")]


def test_a_file_that_is_no_frame_is_a_stray(root, segment):
    (segment.raw / "Thumbs.db").touch()

    assert findings(root) == [(Severity.warn, "stray", "segment_00")]


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_truncated_picture_is_unreadable(root, segment, keep):
    path = segment.picture(2)
    path.write_bytes(path.read_bytes()[:keep])

    assert findings(root) == [(Severity.fail, "unreadable", "segment_00/raw/000002.png")]


@pytest.mark.parametrize(
    "image",
    [
        np.full((HEIGHT, WIDTH + 1, 3), 99, np.uint8),
        np.full((HEIGHT, WIDTH), 99, np.uint8),
        np.full((HEIGHT, WIDTH), 9999, np.uint16),
    ],
    ids=["wider", "grey", "16 bits"],
)
def test_a_picture_of_another_size_or_kind_is_found(root, segment, image):
    put(segment, 4, image)

    assert findings(root) == [(Severity.fail, "size", "segment_00/raw/000004.png")]


def test_intrinsics_for_another_size_are_found(root, segment):
    camera = Camera(2 * WIDTH, HEIGHT, 30, 30, 16, 12)
    segment.write_frames(
        FrameRow(frame=n, timestamp=n * PERIOD, source_frame=n, camera=camera if n == 1 else None)
        for n in range(FRAMES)
    )

    assert findings(root) == [(Severity.fail, "intrinsics", "segment_00/raw/000001.png")]


def test_a_black_picture_is_found_also_with_sensor_noise(root, segment):
    put(segment, 5, np.random.default_rng(0).integers(0, 12, (HEIGHT, WIDTH, 3), np.uint8))

    assert findings(root) == [(Severity.warn, "black", "segment_00/raw/000005.png")]


def test_a_night_picture_with_lamps_is_not_black(root, segment):
    night = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    night[::4, ::8] = 200
    put(segment, 5, night)

    assert findings(root) == []


def test_a_camera_that_stands_still_is_frozen_once_and_not_a_row_of_duplicates(root, segment):
    for frame in (3, 4, 5):
        put(segment, frame, picture(2))  # frames 2 to 5 are now the same

    assert findings(root) == [(Severity.warn, "frozen", "segment_00")]


def test_two_equal_neighbours_are_a_duplicate(root, segment):
    put(segment, 3, picture(2))

    assert findings(root) == [(Severity.warn, "duplicate", "segment_00")]


def test_a_picture_that_comes_again_later_is_a_duplicate(root, segment):
    put(segment, 6, picture(1))

    assert findings(root) == [(Severity.warn, "duplicate", "segment_00/raw/000006.png")]


def test_time_that_stands_still_or_runs_back_is_found(root, segment):
    times = [PERIOD * n for n in range(FRAMES)]
    times[4] = times[3]
    write_rows(segment, list(range(FRAMES)), times)

    assert (Severity.fail, "time", "segment_00/raw/000004.png") in findings(root)


def test_a_pause_in_the_recording_is_a_gap(root, segment):
    times = [PERIOD * n + (0.4 if n >= 5 else 0) for n in range(FRAMES)]
    write_rows(segment, list(range(FRAMES)), times)

    assert findings(root) == [(Severity.warn, "gap", "segment_00/raw/000005.png")]


def test_a_lost_frame_is_told_with_its_reason_and_not_also_as_a_gap(root, segment):
    source_frames = [0, 1, 2, 4, 5, 6, 7]  # frame 3 of the recording is lost
    segment.picture(FRAMES - 1).unlink()
    write_rows(segment, source_frames)
    segment.write_damage([damage(3, captured=False)])

    assert findings(root) == [(Severity.warn, "lost", "segment_00")]


def test_doubtful_frames_of_one_cause_are_one_finding(root, segment):
    segment.write_damage([damage(frame, captured=True) for frame in (5, 4, 3)])

    assert findings(root) == [(Severity.warn, "doubtful", "segment_00")]
    (finding,) = check_item(root, "segment_00")
    assert finding.found.startswith("3 frames, 3 to 5 of drive.mp4 (0.150 to 0.250 s): may show damage")


def damage(frame: int, *, captured: bool) -> DamageRow:
    return DamageRow(source_frame=frame, timestamp=frame * PERIOD, captured=captured, reason="a sector was lost")


def test_frames_that_nobody_accounts_for_are_found(root, segment):
    segment.picture(FRAMES - 1).unlink()
    write_rows(segment, list(range(FRAMES - 1)))

    assert findings(root) == [(Severity.fail, "count", "segment_00")]


def test_frames_out_of_order_are_found(root, segment):
    write_rows(segment, [0, 1, 3, 2, 4, 5, 6, 7], [PERIOD * n for n in range(FRAMES)])

    assert findings(root) == [(Severity.fail, "order", "segment_00/raw/000003.png")]


def test_a_capture_that_was_not_finished_is_found(root, segment):
    segment.frames_file.unlink()

    assert findings(root) == [(Severity.fail, "incomplete", "segment_00")]


def test_a_damaged_table_is_found(root, segment):
    segment.frames_file.write_text('{"frame": 0,')

    assert findings(root) == [(Severity.fail, "table", "segment_00")]


def test_a_missing_segment_is_found(root):
    _, second, _ = write_dataset(root, segments=3)
    shutil.rmtree(second.folder)

    assert findings(root) == [(Severity.fail, "missing", "segment_01")]


def test_a_recording_that_could_not_be_read_is_found(root, segment):
    manifest = read_json(root / MANIFEST)
    manifest["provenance"]["recordings"] = [
        {"name": "b.mp4", "problem": "is empty", "segments": [0, 1]},
        {"name": "c.mp4", "warnings": ["cut"], "segments": [1, 1]},
    ]
    write_json(root / MANIFEST, manifest)

    assert findings(root) == [(Severity.fail, "recording", "b.mp4"), (Severity.warn, "recording", "c.mp4")]


@pytest.mark.parametrize(
    ("layer", "frames", "expected"),
    [
        ("features", range(FRAMES), []),
        ("features", range(FRAMES - 1), [(Severity.fail, "alignment", "segment_00")]),
        ("depth_npy", [*range(FRAMES), 99], [(Severity.fail, "alignment", "segment_00")]),
        ("labels", [0, 3], []),  # a detector may find nothing in a frame
        ("labels", [0, FRAMES], [(Severity.fail, "alignment", "segment_00")]),
    ],
)
def test_other_layers_must_line_up_with_the_pictures(root, segment, layer, frames, expected):
    (segment.folder / layer).mkdir()
    for frame in frames:
        (segment.folder / layer / f"{frame:06d}.npy").touch()

    assert findings(root) == expected


def test_an_empty_data_set_is_a_finding(root):
    write_dataset(root, segments=0)

    assert findings(root) == [(Severity.fail, "empty", "drive")]


@pytest.mark.parametrize("make", ["nothing", "file", "empty folder"])
def test_what_is_no_data_set_is_refused(tmp_path, make):
    root = tmp_path / "x"
    if make == "file":
        root.touch()
    if make == "empty folder":
        root.mkdir()

    with pytest.raises(DataError, match=str(root)):
        checks_of(root).item_names()


def test_segments_beyond_99_keep_their_order(root):
    write_dataset(root, segments=0)
    for number in (100, 99, 9):
        write_segment(root, number, frames=2)

    assert checks_of(root).item_names() == ["segment_09", "segment_99", "segment_100"]


def test_segments_that_a_stopped_capture_left_out_are_missing(root):
    *_, last = write_dataset(root, segments=3)
    shutil.rmtree(last.folder)

    assert findings(root) == [(Severity.fail, "missing", "segment_02")]


def test_a_segment_of_no_recording_is_found_however_high_its_number(root):
    write_dataset(root)
    write_segment(root, 3_000_000, frames=2)

    assert findings(root) == [(Severity.fail, "unplanned", "segment_3000000")]


def test_a_folder_of_pictures_that_is_gone_is_a_gap(root, segment):
    shutil.rmtree(segment.raw)

    assert findings(root) == [(Severity.fail, "gap", "segment_00")]


@pytest.mark.parametrize("name", ["000003.txt", "0000003.png"])
def test_only_the_exact_name_is_a_picture(root, segment, name):
    segment.picture(3).rename(segment.raw / name)

    assert findings(root) == [(Severity.fail, "gap", "segment_00"), (Severity.warn, "stray", "segment_00")]


@pytest.mark.parametrize("row", ['{"frame": 0, "timestamp": null, "source_frame": 0}', '{"frame": "0"}', "{}"])
def test_values_of_a_wrong_type_are_found(root, segment, row):
    segment.frames_file.write_text(f"{row}\n")

    assert findings(root) == [(Severity.fail, "table", "segment_00")]
