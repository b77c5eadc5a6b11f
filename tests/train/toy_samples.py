"""A data set of tiny views that workers can be given: it can be told to fail in several ways."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field

import torch

from mapanything_data.datasets.samples import BrokenSample, SampleError


@dataclass
class ToySamples:
    limits: list[tuple[int, int]]
    broken: set[int] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)
    deadly: set[int] = field(default_factory=set)
    seconds: float = 0.0
    weights: float = 1.0

    def __len__(self):
        return len(self.limits)

    def __getitem__(self, request):
        time.sleep(self.seconds)
        if request.index in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if request.index in self.unreadable:
            raise SampleError(f"/data/{request.index}.png: the PNG is truncated\n  remedy:   copy it again")
        if request.index in self.broken:
            return BrokenSample(request.index, "no picture")
        width, height = request.resolution or (4, 3)
        return [
            {
                "img": torch.full((3, height, width), float(1000 * request.index + 10 * request.epoch + view)),
                "idx": request.index,
                "is_metric_scale": True,
                "instance": f"{request.index}/{view}",
                "process": os.getpid(),
            }
            for view in range(request.num_views)
        ]

    def drawn_views(self, index):
        return self.limits[index]

    view_limits = drawn_views

    def available_views(self, index):
        return self.limits[index][1]

    def set_epoch(self, epoch):
        raise AssertionError("workers that outlive an epoch do not hear of it")

    def summary(self):
        return f"{len(self)} samples"


class WeightedToySamples(ToySamples):
    def sample_weights(self):
        import numpy as np

        return np.full(len(self), self.weights)
