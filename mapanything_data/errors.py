"""Expected failures: what a user can mend, told in one message without a traceback."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """A failure that the person at the keyboard can mend.

    Args:
        where: The file, folder or configuration key that is wrong.
        found: What was found there.
        expected: What should have been there; left out where `found` says it already.
        remedy: The next step that mends it.
    """

    def __init__(self, where: str | Path, found: str, *, expected: str = "", remedy: str) -> None:
        super().__init__(str(where), found, expected, remedy)
        self.where = str(where)
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders; keyword-only arguments do not survive the default way.
        return _rebuild, (type(self), self.where, self.found, self.expected, self.remedy)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.found}"]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        lines.append(f"  remedy:   {self.remedy}")
        return "\n".join(lines)


class ConfigError(UserError):
    """A configuration that cannot be composed or does not make sense."""


class DataError(UserError):
    """A recording or data set that cannot be read or written as it is."""


class MissingDependencyError(UserError):
    """An optional package that the chosen component needs is not installed."""

    @classmethod
    def of(cls, package: str, extra: str) -> MissingDependencyError:
        """The error for `package`, which the extra `extra` of this project installs."""
        return cls(package, "the package is not installed", remedy=f"pip install 'mapanything-data[{extra}]'")


def _rebuild(cls: type[UserError], where: str, found: str, expected: str, remedy: str) -> UserError:
    return cls(where, found, expected=expected, remedy=remedy)
