"""How a run treats its items: how many, how often, how long."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mapanything_data.errors import ConfigError

MAX_TIMEOUT_S = 30 * 24 * 3600.0
"""A month; what waits longer waits for ever."""


def require_at_least(minimum: float, **values: float) -> None:
    """Refuse executor options that are too small.

    Args:
        minimum: The least that makes sense.
        values: Options of the executor by name.

    Raises:
        ConfigError: Names the first option that is smaller.
    """
    for name, value in values.items():
        if not minimum <= value:
            raise ConfigError(
                f"executor.{name}", str(value), expected=f"{minimum:g} or more", remedy=f"correct executor.{name}"
            )


class Retry(str, Enum):
    """What to do about items that failed in an earlier run."""

    none = "none"
    """leave them: run only what was never tried or was interrupted"""
    failed = "failed"
    """run them again, and nothing else"""


@dataclass(kw_only=True, slots=True)
class RunOptions:
    """Options that every stage shares."""

    limit: int = -1
    """Run at most this many unfinished items; -1 runs all."""
    retry: Retry = Retry.none
    """`none` leaves items that failed in an earlier run, `failed` runs exactly those again."""
    retries: int = 1
    """How often an item that fails is tried again within this run."""
    item_timeout_s: float | None = None
    """Seconds after which an item counts as failed; null waits for ever."""
    max_failures: int = -1
    """Stop the run once this many items have failed; -1 never stops."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.limit < -1:
            raise ConfigError("limit", str(self.limit), expected="-1 or a count", remedy="limit=-1 runs all items")
        if self.retries < 0:
            raise ConfigError("retries", str(self.retries), expected="0 or more", remedy="retries=0 tries once")
        if self.item_timeout_s is not None and not 0 < self.item_timeout_s < MAX_TIMEOUT_S:
            raise ConfigError(
                "item_timeout_s",
                str(self.item_timeout_s),
                expected="seconds above 0, or null",
                remedy="item_timeout_s=null",
            )
        if self.max_failures == 0 or self.max_failures < -1:
            raise ConfigError(
                "max_failures",
                str(self.max_failures),
                expected="-1 or a count from 1",
                remedy="max_failures=-1",
            )
