"""Says what is wrong with a configuration: the key, what was found, what is valid, what to type instead."""

from __future__ import annotations

import difflib
import re
from typing import Any

from mapanything_data.config.experiments import experiments_for
from mapanything_data.config.registry import field_docs
from mapanything_data.errors import EXTRAS, ConfigError, DataError, MissingDependencyError, UserError


def explain(error: Exception, program: str) -> UserError:
    """The readable form of what Hydra or OmegaConf raised; anything else comes back as the unexpected error it is."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return MissingDependencyError.of(error.name)
    cause = error.__cause__
    if isinstance(cause, UserError):
        return cause
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error)
    if isinstance(error, HydraException) and "Ambiguous value" in str(error):
        return ConfigError(
            "command line",
            _first_line(error),
            expected="one value, or -m for a sweep over several",
            remedy="a name with a comma needs two kinds of quotes: 'source.path=\"a,b.mp4\"'",
        )
    if isinstance(error, OverrideParseException):
        return ConfigError(
            error.override or "command line",
            "cannot be read as an override",
            expected="key=value; quote values that hold commas, brackets, spaces or =",
            remedy="for a path with special characters: 'key=\"my (clip).mp4\"', with both kinds of quotes",
        )
    if isinstance(cause, OmegaConfBaseException):
        return _bad_value(cause)
    if isinstance(error, OmegaConfBaseException):
        return _bad_value(error)
    if isinstance(error, HydraException) and "Could not override" in str(error):
        return _group_of_another_app(_first_line(error), program)
    if isinstance(error, HydraException):
        return ConfigError(program, _first_line(error), remedy=f"see python -m {program} --help")
    if isinstance(error, OSError) and error.strerror:
        return DataError(
            error.filename or program,
            error.strerror.lower(),
            remedy="see that the path is right, may be read and written, and that its disk has room",
        )
    return UnexpectedError(
        type(error).__name__,
        str(error) or "no message",
        remedy="this is a defect of the program: run again with MAPANYTHING_TRACEBACK=1 and report what it shows",
    )


class UnexpectedError(UserError):
    """An error that nobody foresaw."""


def unknown_key(full_key: str, schema: Any) -> ConfigError:
    """The error for an option that `schema` does not have."""
    parent, _, key = full_key.rpartition(".")
    names = list(field_docs(schema))
    near = difflib.get_close_matches(key, names, n=1)
    shown = f"{parent}.{near[0]}" if near and parent else (near[0] if near else "")
    return ConfigError(
        full_key,
        "there is no such option" + (f"; did you mean {shown}?" if shown else ""),
        expected="one of " + ", ".join(names),
        remedy="--help describes every option",
    )


def dead_interpolation(full_key: str, value: str, error: Exception) -> ConfigError:
    """The error for an option whose value `${...}` cannot be followed."""
    sources = re.findall(r"\$\{([^}]+)\}", value)
    found = f"is taken from {' and '.join(sources)}, which is not set"
    environment = [name.partition(":")[2].partition(",")[0] for name in sources if name.startswith("oc.env:")]
    if environment:
        return ConfigError(
            full_key,
            f"is taken from the environment variable {environment[0]}, which is not set",
            remedy=f"export {environment[0]}=..., or give {full_key}=...",
        )
    if "not found" in str(error):
        found = f"is taken from {' and '.join(sources)}, and there is no such option"
    others = "".join(f", or {source}=..." for source in sources)
    return ConfigError(
        full_key, found, remedy=f"give {full_key}=...{others}, or choose a machine profile (machine=NAME)"
    )


def _unknown_choice(error: Any) -> ConfigError:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    choices = [option for option in error.options or [] if not option.startswith("schema")]
    near = difflib.get_close_matches(name, choices, n=1)
    if not group or not choices:
        return ConfigError("configuration", _first_line(error), remedy="check --config-dir and the defaults lists")
    return ConfigError(
        f"{group}={name}",
        "there is no such choice" + (f"; did you mean {group}={near[0]}?" if near else ""),
        expected=f"one of {', '.join(choices)}",
        remedy=f"put your own in a folder of yours, as {group}/{name}.yaml, and add --config-dir FOLDER",
    )


def _group_of_another_app(said: str, program: str) -> ConfigError:
    """The error for an experiment that chooses what the app does not have, and for a group that it does not have."""
    fitting = " or ".join(f"experiment={name}" for name in experiments_for(program.rpartition(".")[2]))
    chooses = re.match(r"In '(experiment)/(.+?)': Could not override '(.+?)'", said)
    if chooses:
        experiment, name, group = chooses.groups()
        return ConfigError(
            f"{experiment}={name}",
            f"is for another app: it chooses a {group}, and {program} has none",
            expected=fitting,
            remedy="choose one of these, or run the app that the experiment is for",
        )
    group = (re.search(r"Could not override '(.+?)'", said) or [said, said])[1].partition("@")[0]
    return ConfigError(
        group, f"{program} has no group of this name", remedy=f"leave it out; python -m {program} --help lists groups"
    )


def _bad_value(error: Any) -> ConfigError:
    from omegaconf import errors

    key = str(error.full_key or error.key or "configuration")
    doc = _doc_of(error)
    has_schema = hasattr(error.object_type, "__dataclass_fields__")
    if isinstance(error, errors.ConfigAttributeError | errors.ConfigKeyError) and has_schema:
        return unknown_key(key, error.object_type)
    if isinstance(error, errors.ConfigAttributeError | errors.ConfigKeyError) and "not in struct" in str(error):
        return ConfigError(key, "there is no such entry yet", remedy=f"put + in front to add one: +{key}...")
    if isinstance(error, errors.MissingMandatoryValue):
        return ConfigError(key, "is not set", expected=doc or "a value", remedy=f"add {key}=...")
    if isinstance(error, errors.ValidationError):
        return ConfigError(key, _first_line(error), expected=doc, remedy=f"correct {key}; --help describes it")
    return ConfigError(key, _first_line(error), remedy="--help describes every option")


def _doc_of(error: Any) -> str:
    schema = error.object_type
    if not hasattr(schema, "__dataclass_fields__"):
        return ""
    return field_docs(schema).get(str(error.key), "").rstrip(".")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
