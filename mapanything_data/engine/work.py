"""What a stage must say about its work so that the engine can run it anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

Report = Callable[[float], None]
"""Tells how much of the item in flight is finished, 0 to 1. Cheap: call it as often as you like."""

Stats = Mapping[str, float]
"""Numbers about a finished item that make sense when they are added up: frames, bytes, lost frames."""


class Item(Protocol):
    """One unit of work: a segment, an episode, a frame group. Pickled when it goes to another process."""

    @property
    def key(self) -> str:
        """A name, unique within the work and the same in every run."""


ItemT = TypeVar("ItemT", bound=Item)


class Work(Protocol[ItemT]):
    """A stage over many items.

    `done` is asked before anything runs and must read the *outputs*: that is what lets another executor, shard count or
    machine go on where this one stopped. `run` may be killed at any moment and is then called again for the same item,
    so it must write atomically and may skip what it finds finished. A `Work` is pickled when it goes to other
    processes; what cannot be pickled (models, open files) is made in `setup`.
    """

    @property
    def name(self) -> str:
        """The stage's name, such as `capture`: names its folder below `output`."""

    @property
    def output(self) -> Path:
        """The folder that holds the outputs; the engine keeps its own records in `.mapanything/` below it."""

    def items(self) -> Sequence[ItemT]:
        """All items, finished or not, in a stable order.

        A run calls it once, when its folder is there and no other run writes to it: the place to write what describes
        the output, such as a manifest, and to refuse an output that holds something else.
        """

    def done(self, item: ItemT) -> bool:
        """Whether the outputs of `item` are complete. Called for every item: keep it to a stat or two."""

    def setup(self) -> None:
        """Called once in every worker before its first item: load models, open devices."""

    def run(self, item: ItemT, report: Report) -> Stats:
        """Make the outputs of `item`. An exception fails this item and no other."""


AnyWork = Work[Any]
