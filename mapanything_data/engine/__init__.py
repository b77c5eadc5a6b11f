"""Runs per-item work: resumable, on one machine or many.

A stage describes its work (`Work`), an executor says where it runs, `run` does it and returns a `Summary`. This package
imports the standard library, the project's errors and `component`; submitit and ray only inside their executors.
"""

from mapanything_data.engine.options import Retry, RunOptions
from mapanything_data.engine.run import run
from mapanything_data.engine.summary import Summary
from mapanything_data.engine.work import Item, Report, Stats, Work

__all__ = ["Item", "Report", "Retry", "RunOptions", "Stats", "Summary", "Work", "run"]
