"""Starts the ranks of this machine, and ends them all when one of them ends badly."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mapanything_data.errors import UserError
from train.settings.distributed import Distributed

ConfigT = TypeVar("ConfigT")


def launch(function: Callable[[ConfigT], int], config: ConfigT, settings: Distributed) -> int:
    """Call a function on every rank.

    Args:
        function: At the top level of a module, so that another process finds it. It joins with `join_ranks`.
        config: Goes to every rank.
        settings: `world_size` ranks are started, unless RANK is set: then this process is one already.

    Returns:
        The highest exit code of the ranks; 128 and the signal's number after SIGINT or SIGTERM.
    """
    if settings.world_size == 1 or "RANK" in os.environ:
        return function(config)
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    cores = max(1, len(os.sched_getaffinity(0)) // settings.world_size)
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    for name in ("torch.distributed", "torch.distributed.elastic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        launch_config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=settings.world_size,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            run_id="ranks",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            codes = elastic_launch(launch_config, _serve)(function, config)
        except SignalException as error:
            return 128 + int(error.sigval)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            print(f"error: rank {rank}: exit code {failure.exitcode}", file=sys.stderr)  # noqa: T201 - the command line
            return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    return max(codes.values())


def _serve(function: Callable[[ConfigT], int], config: ConfigT) -> int:
    try:
        return function(config)
    except UserError as error:
        print(f"error: rank {os.environ['RANK']}: {error}", file=sys.stderr)  # noqa: T201
        os._exit(2)
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
