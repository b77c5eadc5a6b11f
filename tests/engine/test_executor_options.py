"""Executors refuse numbers that would hang them, crash them or blame the items."""

from __future__ import annotations

import math

import pytest

from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.engine.executors.ray import RayExecutor
from mapanything_data.engine.executors.submitit import SubmititExecutor
from mapanything_data.engine.options import RunOptions
from mapanything_data.errors import ConfigError


@pytest.mark.parametrize(
    ("executor", "option", "value"),
    [
        (InlineExecutor, "cores", -1),
        (ProcessesExecutor, "workers", -1),
        (ProcessesExecutor, "gpus", -2),
        (ProcessesExecutor, "shards", -1),
        (RayExecutor, "workers", -1),
        (RayExecutor, "cores", 0),
        (RayExecutor, "gpus_per_worker", math.nan),
        (SubmititExecutor, "jobs", 0),
        (SubmititExecutor, "cores", 0),
        (SubmititExecutor, "time_min", -1),
        (SubmititExecutor, "poll_s", 0.0),
    ],
)
def test_a_number_that_is_too_small_is_refused(executor, option, value):
    with pytest.raises(ConfigError, match=rf"executor\.{option}: {value}"):
        executor(**{option: value})


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_a_time_out_is_a_finite_time(seconds):
    with pytest.raises(ConfigError, match="item_timeout_s"):
        RunOptions(item_timeout_s=seconds)
