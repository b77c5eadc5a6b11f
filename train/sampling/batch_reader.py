"""Reads batches in worker processes.

Workers are started by a fork server. `fork` would copy a process that has CUDA and threads, whose locks then stay shut
in the copy for ever; `spawn` imports torch once for each worker. The server is forked from early, has imported torch
and OpenCV once and has no threads, so that a worker starts in a moment.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from multiprocessing import forkserver
from typing import Any

import torch
from torch.utils.data import DataLoader

from mapanything_data.datasets.protocol import ViewDataset
from mapanything_data.datasets.samples import SampleRequest, ViewBatch
from mapanything_data.errors import DataError
from train.sampling.packing import PackedViews, pack_views, unpack_views

_PRELOADED = ["torch.utils.data", "cv2"]
_PREFETCHED = 2


class BatchReader:
    """Reads the batches of a `batch_sampler`, each time it is iterated over; a context manager that ends its workers.

    It leaves torch's own random numbers alone, so that reading changes nothing in a training.

    Args:
        dataset: What is read.
        batches: Gives the requests of each batch; asked anew for each iteration.
        num_workers: Processes that read; 0 reads in this one.
        device: Where batches go to: for a GPU they come in pinned memory; None says nothing.
    """

    def __init__(
        self,
        dataset: ViewDataset,
        batches: Iterable[list[SampleRequest]],
        *,
        num_workers: int,
        device: torch.device | None,
    ) -> None:
        workers: dict[str, Any] = {}
        if num_workers:
            _start_fork_server()
            workers = {
                "multiprocessing_context": "forkserver",
                "persistent_workers": True,
                "prefetch_factor": _PREFETCHED,
                "worker_init_fn": _begin_worker,
            }
        self._loader: DataLoader[Any] = DataLoader(
            dataset,  # type: ignore[arg-type]  # torch asks for no more than a ViewDataset has
            batch_sampler=batches,
            collate_fn=pack_views,
            num_workers=num_workers,
            pin_memory=device is not None and device.type == "cuda",
            generator=torch.Generator(),  # or each iteration would draw from the global one
            **workers,
        )
        self._reading: Any = None
        self.waited_s = 0.0
        """Seconds that were spent waiting for batches so far."""

    def __iter__(self) -> Iterator[ViewBatch]:
        """The batches, the broken samples of each in `broken`.

        Raises:
            SampleError: A sample cannot be read.
            DataError: A worker has died.
        """
        finished = False
        try:
            began = time.perf_counter()
            self._reading = iter(self._loader)
            while (packed := self._next()) is not None:
                self.waited_s += time.perf_counter() - began
                yield unpack_views(packed)
                del packed  # or its memory would be kept while the next one is made
                began = time.perf_counter()
            finished = True
        finally:
            if not finished:
                self.close()

    def __enter__(self) -> BatchReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; a later iteration starts new ones.

        A DataLoader ends them when its iterator is collected as garbage. After an exception the iterator is part of a
        cycle, whose pipes are collected first: the workers do not hear that they shall end, and it waits five seconds
        for each.
        """
        shut_down = getattr(self._reading, "_shutdown_workers", None)
        self._reading = self._loader._iterator = None
        if shut_down is not None:
            shut_down()

    def _next(self) -> PackedViews | None:
        try:
            packed: PackedViews | None = next(self._reading, None)
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise _death(getattr(self._reading, "_workers", [])) from error
        return packed


def _start_fork_server() -> None:
    """It imports while this process goes on."""
    multiprocessing.set_forkserver_preload(_PRELOADED)
    forkserver.ensure_running()


def _begin_worker(_number: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the rank, which may want to finish its step
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Torch looks whether a worker's parent has changed; here that is the fork server, which waits for its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _death(workers: Iterable[Any]) -> DataError:
    codes = {number: worker.exitcode for number, worker in enumerate(workers) if worker.exitcode is not None}
    how = {
        number: f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        for number, code in codes.items()
    }
    remedy = "see what it printed before; machine.loader_workers=0 reads in the rank itself, where errors show"
    if -signal.SIGKILL in codes.values():
        remedy = "most likely memory ran out: lower machine.loader_workers or train_params.max_num_of_imgs_per_gpu"
    if -signal.SIGBUS in codes.values():
        remedy = (
            "most likely /dev/shm is full: give it more (docker run --shm-size=16g), or lower machine.loader_workers"
        )
    found = ", ".join(f"worker {number} ended with {text}" for number, text in how.items())
    return DataError("reading of samples", found or "a worker has ended", remedy=remedy)
