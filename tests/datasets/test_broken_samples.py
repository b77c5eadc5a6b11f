"""A file that cannot be read is named, from workers too, and no other sample takes its place."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sample_makers import SCENE, coop, one
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from mapanything_data.datasets.samples import BrokenSample, SampleError, SampleRequest, collate_views
from mapanything_data.errors import DataError
from mapanything_data.storage.plain_yaml import dump_plain_yaml, read_plain_yaml


@pytest.fixture
def broken(root):
    """Frame 68 of agent 962 has half a picture."""
    path = root / f"train/{SCENE}/962/000068_camera1.png"
    path.write_bytes(path.read_bytes()[:2000])
    return path


def test_a_broken_picture_is_an_error_that_names_it(broken, root):
    with pytest.raises(DataError, match="is truncated") as caught:
        one(root).train_dataset()[0]

    assert str(caught.value).startswith(f"{broken}: the PNG is truncated")
    assert str(caught.value).endswith("remedy:   write or copy the file again, or set dataset.on_broken_sample=skip")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def damage(root, damaged):
    """Harm one file of frame 68 of agent 962; gives its path."""
    annotation = root / f"train/{SCENE}/962/000068.yaml"
    depth = root.with_name("opv2v_depth") / f"train/{SCENE}/962/000068_camera0_depth.npy"
    if damaged == "no camera2":
        annotation.write_text(annotation.read_text().replace("camera2:", "camera9:"))
    elif damaged == "skew":
        content = read_plain_yaml(annotation)
        content["camera0"]["intrinsic"][0][1] = 3.0
        annotation.write_text(dump_plain_yaml(content))
    elif damaged == "small depth":
        np.save(depth, np.ones((30, 40), np.float32))
    elif damaged == "half a depth":
        depth.write_bytes(depth.read_bytes()[:500])
    elif damaged == "a folder":
        depth = root / f"train/{SCENE}/962/000068_camera0.png"
        depth.unlink()
        depth.mkdir()
    return annotation if damaged in ("no camera2", "skew") else depth


@pytest.mark.parametrize(
    ("damaged", "found"),
    [
        ("no camera2", "names no camera2"),
        ("skew", "camera0.intrinsic is [["),
        ("small depth", "is 40x30, but its picture is 80x60"),
        ("half a depth", "is no readable .npy array"),
        ("a folder", "cannot be read (Is a directory)"),
    ],
)
def test_whatever_is_broken_is_named(root, damaged, found):
    dataset = one(root).train_dataset()  # lists the files before the damage
    path = damage(root, damaged)

    with pytest.raises(SampleError) as caught:
        dataset[0]

    assert str(caught.value).startswith(f"{path}: {found}")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_error_of_a_worker_is_the_same_one(broken, root):
    batches = iter(DataLoader(one(root).train_dataset(), sampler=[0], num_workers=1, collate_fn=collate_views))

    with pytest.raises(SampleError) as caught:
        next(batches)
    assert list(batches) == []  # a loader that was not read to its end takes five seconds to stop its workers

    assert str(caught.value).startswith(f"{broken}: the PNG is truncated after 2000 bytes\n")
    assert str(caught.value).endswith("or set dataset.on_broken_sample=skip")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("path", ["/data/a: b/x.png", "/data/SampleError: x/y.png"])
def test_no_path_confuses_the_error_of_a_worker(path):
    message = f"{path}: is truncated\n  remedy:   copy it again"
    try:
        raise SampleError(message)
    except SampleError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")

    with pytest.raises(SampleError) as caught:
        wrapped.reraise()

    assert (str(caught.value), caught.value.text) == (message, message)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_skipped_sample_is_missing_from_its_batch_and_listed_there(broken, root, workers):
    dataset = one(root, on_broken_sample="skip").train_dataset()

    batches = list(DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=collate_views))

    assert [len(batch[0]["idx"]) for batch in batches] == [3, 2]
    assert batches[0][0]["idx"].tolist() == [1, 2, 3]
    (lost,) = batches[0].broken
    assert lost.index == 0
    assert lost.reason.startswith(f"{broken}: the PNG is truncated")
    assert batches[1].broken == []


def test_a_batch_of_broken_samples_is_empty(broken, root):
    dataset = one(root, on_broken_sample="skip").train_dataset()

    batch = collate_views([dataset[0]])

    assert (list(batch), [lost.index for lost in batch.broken]) == ([], [0])
    assert isinstance(dataset[0], BrokenSample)


def test_samples_of_different_counts_make_no_batch(sound_root):
    dataset = coop(sound_root).train_dataset()

    with pytest.raises(ValueError, match="samples of 4 to 6 views in one batch"):
        collate_views([dataset[SampleRequest(0, num_views=4)], dataset[SampleRequest(1, num_views=6)]])
