"""Expected failures: what a user can mend, told in one message without a traceback."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


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
    def of(cls, module: str) -> MissingDependencyError:
        """The error for a module of `EXTRAS`."""
        found = "the package is not installed"
        return cls(module, found, remedy=f"pip install 'mapanything-data[{EXTRAS[module]}]'")


EXTRAS = {
    "av": "media",
    "cv2": "media",
    "h5py": "droid",
    "huggingface_hub": "upload",
    "isal": "media",
    "mcap": "droid",
    "mujoco": "sim",
    "ray": "ray",
    "safetensors": "train",
    "submitit": "slurm",
    "tensorboard": "train",
    "torch": "torch",
    "transformers": "train",
}
"""Which extra of this project installs an optional module."""


def require(*modules: str) -> None:
    """Make sure that optional modules can be imported, before work begins that needs them.

    Raises:
        MissingDependencyError: One of them is not installed.
    """
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise MissingDependencyError.of(module) from error


def require_option(key: str, value: Any, sound: bool, expected: str, remedy: str = "") -> None:
    """Refuse the value of an option.

    Args:
        key: Full name, such as `dataset.num_views`.
        value: What was given.
        sound: Whether it makes sense.
        expected: What would.
        remedy: The next step, where it says more than to correct the option.

    Raises:
        ConfigError: It is not sound.
    """
    if not sound:
        raise ConfigError(key, repr(value), expected=expected, remedy=remedy or f"correct {key}; --help describes it")


def _rebuild(cls: type[UserError], where: str, found: str, expected: str, remedy: str) -> UserError:
    return cls(where, found, expected=expected, remedy=remedy)
