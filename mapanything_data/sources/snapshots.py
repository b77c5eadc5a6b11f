"""What `collect` needs of a source: scenarios of several agents, each a `Snapshot` at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mapanything_data.scene import Snapshot


@dataclass(frozen=True, slots=True)
class Scenario:
    """A drive of several agents through the same streets.

    Attributes:
        split: Such as `train`.
        name: Unique within the split.
        agents: Ids of the agents, increasing.
        frames: Numbers of the moments, increasing; every agent has all of them.
        cameras: Numbers of the cameras that every agent has, each with its exact depth.
    """

    split: str
    name: str
    agents: tuple[int, ...]
    frames: tuple[int, ...]
    cameras: tuple[int, ...]


class Recorder(Protocol):
    """An open scenario."""

    def snapshot(self, agent: int, frame: int) -> Snapshot:
        """What an agent senses at a moment: the same whenever and wherever it is asked for."""


@runtime_checkable
class SnapshotSource(Protocol):
    """A source of scenarios."""

    def scenarios(self) -> list[Scenario]:
        """All of them, in a stable order.

        Raises:
            ConfigError: The options allow none.
        """

    def settings(self) -> Mapping[str, Any]:
        """What decides the content of a scenario: a data set may grow by more scenarios of the same settings."""

    def setup(self) -> None:
        """Make sure that what draws is there.

        Raises:
            MissingDependencyError: A package is not installed.
        """

    def open(self, scenario: Scenario) -> AbstractContextManager[Recorder]:
        """Prepare a scenario: build its world, open its renderer."""
