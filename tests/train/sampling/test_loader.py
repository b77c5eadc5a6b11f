"""Reading: resume, chance, broken samples, and how workers come to their end."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from toy_samples import ToySamples
from toy_views import toy_sample

from mapanything_data.datasets.samples import BrokenSample, SampleError, SampleRequest, ViewBatch, collate_views
from mapanything_data.errors import DataError
from train.sampling.loader import TrainLoader
from train.sampling.loader import test_loader as reader_of
from train.sampling.packing import pack_views, unpack_views
from train.sampling.sampler import BudgetBatchSampler


def loader(dataset=None, **options):
    dataset = dataset or ToySamples([(2, 4)] * 20)
    reading = {"num_workers": options.pop("num_workers", 0), "device": options.pop("device", None)}
    return TrainLoader(dataset, BudgetBatchSampler(dataset, **{"images_per_rank": 8, "seed": 1} | options), **reading)


def content(pairs):
    return [
        (plan.num_views, [[*view["instance"], *view["img"][:, 0, 0, 0].tolist()] for view in b]) for plan, b in pairs
    ]


@pytest.fixture(scope="module")
def with_workers():
    with loader(num_workers=2) as workers:
        yield workers


def test_a_packed_batch_is_the_batch_that_collating_makes():
    samples = [toy_sample(num_views=3, seed=seed) for seed in range(2)]
    samples.insert(1, BrokenSample(5, "no picture"))

    ours, theirs = unpack_views(pack_views(samples)), collate_views(samples)

    assert isinstance(ours, ViewBatch)
    assert ours.broken == theirs.broken == [BrokenSample(5, "no picture")]
    assert len(ours) == len(theirs) == 3
    for view, other in zip(ours, theirs, strict=True):
        assert view.keys() == other.keys()
        for key, value in other.items():
            same = torch.equal(view[key], value) if isinstance(value, torch.Tensor) else view[key] == value
            assert same, key


def test_pinning_memory_finds_all_tensors(monkeypatch):
    from torch.utils.data._utils.pin_memory import pin_memory

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.double())  # there may be no GPU here
    packed = pack_views([toy_sample(num_views=2), BrokenSample(5, "no picture")])
    batch = unpack_views(pin_memory(packed))

    assert batch[1]["img"].dtype == torch.float64
    assert batch.broken == [BrokenSample(5, "no picture")]


def test_batches_hold_what_the_plan_says(with_workers):
    for plan, batch in with_workers.epoch(0):
        assert [view["idx"].tolist() for view in batch] == [plan.indices.tolist()] * plan.num_views


def test_workers_change_nothing(with_workers):
    alone = loader()
    for epoch in (0, 1):
        pairs = list(with_workers.epoch(epoch))
        assert content(pairs) == content(alone.epoch(epoch))
        assert len(pairs) == len(alone.plan(epoch))


def test_the_rest_of_an_epoch_is_the_end_of_the_whole_one(with_workers):
    whole = content(with_workers.epoch(2))

    assert content(with_workers.epoch(2, start=3)) == whole[3:]


def test_samples_are_read_in_the_workers(with_workers):
    processes = {int(process) for _, batch in with_workers.epoch(0) for process in batch[0]["process"]}

    assert len(processes) == 2
    assert os.getpid() not in processes


def test_workers_outlive_an_epoch(with_workers):
    first, second = ({int(b[0]["process"][0]) for _, b in with_workers.epoch(epoch)} for epoch in (0, 1))

    assert first == second


def test_reading_leaves_the_random_numbers_of_torch_alone(with_workers):
    before = torch.random.get_rng_state()
    list(with_workers.epoch(0))
    list(loader().epoch(0))

    assert torch.equal(torch.random.get_rng_state(), before)


def test_waiting_is_measured():
    slow = loader(ToySamples([(4, 4)] * 4, seconds=0.02))  # 4 samples of 20 ms, read by the rank itself
    began = time.perf_counter()
    for _ in slow.epoch(0):
        time.sleep(0.05)  # is no waiting: 2 batches

    assert 0.08 <= slow.waited_s <= time.perf_counter() - began - 0.1


def test_a_rank_without_a_sample_gets_an_empty_batch(with_workers):
    shares = [list(loader(ToySamples([(8, 8)]), rank=rank, world_size=2).epoch(0)) for rank in range(2)]

    assert [[len(batch) for _, batch in share] for share in shares] == [[8], [0]]


def test_broken_samples_are_missing_and_listed():
    ((_, batch),) = loader(ToySamples([(2, 2)] * 3, broken={1})).epoch(0)

    assert sorted(batch[0]["idx"].tolist()) == [0, 2]
    assert batch.broken == [BrokenSample(1, "no picture")]


def test_a_sample_that_cannot_be_read_says_so_itself_and_the_workers_end_at_once():
    dataset = ToySamples([(8, 8)] * 4)
    broken = loader(dataset, num_workers=1)
    last = int(broken.plan(0)[-1].indices[0])
    dataset.unreadable = {last}
    try:
        for _ in broken.epoch(0):
            began = time.perf_counter()
    except SampleError as error:
        told = str(error)
    del broken
    gc.collect()  # of what the exception holds on to: there a DataLoader that was not closed takes five seconds

    assert time.perf_counter() - began < 1
    assert told == f"/data/{last}.png: the PNG is truncated\n  remedy:   copy it again"


def test_an_epoch_that_is_given_up_ends_its_workers_at_once():
    given_up = loader(num_workers=2)
    batches = given_up.epoch(0)
    next(batches)
    began = time.perf_counter()
    batches.close()

    assert time.perf_counter() - began < 1
    assert content(given_up.epoch(0)) == content(loader().epoch(0))  # with new workers
    given_up.close()


def test_a_killed_worker_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr("torch.utils.data.dataloader._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
    monkeypatch.setattr(
        "torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data.__defaults__", (0.2,)
    )  # how long it waits before it looks after the workers: 5 s
    deadly = loader(ToySamples([(8, 8)] * 6, deadly={4}), num_workers=1)
    with pytest.raises(DataError) as caught:
        list(deadly.epoch(0))

    assert str(caught.value) == (
        "reading of samples: worker 0 ended with signal SIGKILL\n"
        "  remedy:   most likely memory ran out: lower machine.loader_workers or train_params.max_num_of_imgs_per_gpu"
    )


def test_other_errors_of_a_data_set_stay_what_they_are():
    with pytest.raises(AttributeError):
        list(reader_of(ToySamples([(1, 1)]), [[None]], num_workers=0, device=None))


def test_given_batches_are_read_in_order():
    dataset = ToySamples([(2, 2)] * 4)
    batches = [[SampleRequest(3, 2, epoch=0)], [], [SampleRequest(0, 1, epoch=0), SampleRequest(2, 1, epoch=0)]]
    with reader_of(dataset, batches, num_workers=0, device=None) as reader:
        read = list(reader)

    assert [[view["idx"].tolist() for view in batch] for batch in read] == [[[3], [3]], [], [[0, 2]]]


def test_ctrl_c_is_left_to_the_rank(with_workers):
    whole = content(with_workers.epoch(0))
    pairs = []
    for plan, batch in with_workers.epoch(0):  # what a terminal does: every process of the group gets the signal
        os.kill(int(batch[0]["process"][0]), signal.SIGINT)
        pairs.append((plan, batch))

    assert content(pairs) == whole


TRAINING = """
import time
from toy_samples import ToySamples
from train.sampling.loader import TrainLoader
from train.sampling.sampler import BudgetBatchSampler

if __name__ == "__main__":
    samples = ToySamples([(2, 2)] * 100)
    sampler = BudgetBatchSampler(samples, images_per_rank=2, seed=0)
    loader = TrainLoader(samples, sampler, num_workers=1, device=None)
    for _, batch in loader.epoch(0):
        print(int(batch[0]["process"][0]), flush=True)
        time.sleep(0.1)
"""


def is_running(process):
    command = Path(f"/proc/{process}/cmdline")
    return command.exists() and command.read_bytes() != b""  # empty for what has ended and waits for its parent


def test_workers_do_not_outlive_a_killed_rank(tmp_path):
    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as training:
        worker = int(training.stdout.readline())
        training.kill()
    deadline = time.monotonic() + 3
    while is_running(worker):
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.02)
