"""Results of several evaluations side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mapanything_data.errors import DataError
from train.metrics.names import METRICS

SHOWN = ("depth_abs_rel", "points_abs_rel", "rotation_error_deg", "translation_error", "ate_rmse")
"""The metrics that are compared, unless others are named; all without scale."""

_SAME = ("inputs", "samples", "dataset")


def comparison_table(results: Mapping[str, Mapping[str, Any]], metrics: Sequence[str] = SHOWN) -> str:
    """A row for each evaluation, a column for each metric.

    Args:
        results: What results.json of each evaluation holds, by the name that it shall have.
        metrics: Names of `METRICS`.

    Raises:
        DataError: They saw other inputs, or were measured on other samples, so that they cannot be compared.
    """
    (first, reference), *others = results.items()
    for name, document in others:
        for key in _SAME:
            if document[key] != reference[key]:
                raise _unlike(first, reference[key], name, document[key], key)
    data, seen = reference["dataset"], reference["inputs"]
    lines = [["", *metrics], ["", *(_better(name) for name in metrics)]]
    for name, document in results.items():
        lines.append([name, *(_shown(document["metrics"][metric]["mean"]) for metric in metrics)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    shown = "images only" if seen == ["images"] else ", ".join(seen)
    about = f"{reference['samples']} samples of {data['name']}, split {data.get('test_split', '-')}; seen: {shown}"
    return "\n".join([about, *rows])


def _unlike(first: str, wanted: Any, name: str, found: Any, key: str) -> DataError:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        option = next(each for each in [*wanted, *found] if wanted.get(each) != found.get(each))
        key, wanted, found = f"{key}.{option}", wanted.get(option), found.get(option)
    return DataError(
        f"results of {name}",
        f"{key} is {found}",
        expected=f"{wanted}, as in those of {first}",
        remedy="compare results of the same samples, seen with the same inputs",
    )


def _better(name: str) -> str:
    metric = METRICS[name]
    unit = f"{metric.unit}, " if metric.unit else ""
    return f"({unit}{'higher' if metric.higher_is_better else 'lower'} is better)"


def _shown(value: float | str | None) -> str:
    return "-" if value is None else f"{float(value):.4g}"
