"""The result of an evaluation on disk and as a table to read; docs/evaluation.md describes the files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.png import encode_png
from mapanything_data.storage.tables import write_csv, write_json
from train.evaluation.evaluation import Evaluation
from train.metrics.names import METRICS
from train.views.inputs import Input

FORMAT_VERSION = 1
RESULTS = "results.json"
_GROUPS = {"scene": "label", "views": "num_views", "dataset": "dataset"}
_MOST_COLUMNS = 6
_PROVENANCE = ("dataset", "idx", "label", "instance", "num_views")


def write_results(folder: Path, evaluation: Evaluation, about: Mapping[str, Any]) -> None:
    """Write results.json, results.tsv, samples.tsv and pictures/; results.json comes last, so where it is, all are.

    Args:
        folder: It exists.
        evaluation: What was found.
        about: What else results.json says: model, checkpoint, data set, software.
    """
    names = list(evaluation.means())
    write_csv(folder / "samples.tsv", [*_PROVENANCE, *names], _sample_rows(evaluation))
    write_csv(folder / "results.tsv", ["group", "name", "samples", *names], _result_rows(evaluation))
    for picture in evaluation.pictured:
        path = folder / "pictures" / f"{picture.dataset}_{picture.idx:06d}.png"
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, encode_png(picture.image))
    write_json(folder / RESULTS, _document(evaluation, about))


def results_table(evaluation: Evaluation) -> str:
    """The means over all samples, and over those of each view count where there are several."""
    counts = {f"{count} views": count for count in evaluation.groups("num_views")}
    by_count = evaluation.means("num_views")
    columns = {"all": evaluation.means()}
    if 1 < len(counts) <= _MOST_COLUMNS:
        columns |= {title: by_count[count] for title, count in counts.items()}
    lines = [[f"seen: {_seen(evaluation)}", *columns, ""]]
    for name in next(iter(columns.values())):
        metric = METRICS.get(name)
        better = f"{'higher' if metric.higher_is_better else 'lower'} is better" if metric else ""
        unit = f"{metric.unit}, " if metric and metric.unit else ""
        lines.append([name, *(_shown(means.get(name, math.nan)) for means in columns.values()), unit + better])
    return "\n".join([_counted(evaluation), *_aligned(lines)])


def _document(evaluation: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    counts = evaluation.counts()
    return {
        "format_version": FORMAT_VERSION,
        "inputs": [kind.value for kind in Input if kind in evaluation.inputs],
        **about,
        "samples": len(evaluation.rows),
        "broken_samples": [{"idx": sample.index, "reason": sample.reason} for sample in evaluation.broken],
        "not_finite_samples": [row.idx for row in evaluation.not_finite],
        "metrics": {
            name: {"mean": _json_number(mean), "samples": counts[name], **_meaning(name)}
            for name, mean in evaluation.means().items()
        },
        **{
            f"by_{title}": {
                name: {"samples": len(evaluation.groups(by)[name]), **_json_numbers(means)}
                for name, means in evaluation.means(by).items()
            }
            for title, by in _GROUPS.items()
        },
    }


def _meaning(name: str) -> dict[str, Any]:
    metric = METRICS.get(name)
    return {"unit": metric.unit, "higher_is_better": metric.higher_is_better} if metric else {}


def _sample_rows(evaluation: Evaluation) -> Iterable[dict[str, Any]]:
    for row in evaluation.rows:
        yield {name: getattr(row, name) for name in _PROVENANCE} | _texts(row.metrics)


def _result_rows(evaluation: Evaluation) -> Iterable[dict[str, Any]]:
    yield {"group": "all", "name": "", "samples": len(evaluation.rows)} | _texts(evaluation.means())
    for title, by in _GROUPS.items():
        rows = evaluation.groups(by)
        for name, means in evaluation.means(by).items():
            yield {"group": title, "name": name, "samples": len(rows[name])} | _texts(means)


def _texts(values: Mapping[str, float]) -> dict[str, str]:
    """Nothing where a value has no meaning."""
    return {name: "" if math.isnan(value) else repr(value) for name, value in values.items()}


def _json_numbers(values: Mapping[str, float]) -> dict[str, float | str | None]:
    return {name: _json_number(value) for name, value in values.items()}


def _json_number(value: float) -> float | str | None:
    """JSON has neither NaN, which means nothing here, nor infinity, which float() reads from its text."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf"


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _seen(evaluation: Evaluation) -> str:
    seen = [kind.value for kind in Input if kind in evaluation.inputs]
    return "images only" if seen == ["images"] else ", ".join(seen)


def _counted(evaluation: Evaluation) -> str:
    scenes = len(evaluation.groups("label"))
    text = f"{len(evaluation.rows)} samples of {scenes} {'scene' if scenes == 1 else 'scenes'}"
    if evaluation.broken:
        text += f", {len(evaluation.broken)} more were broken"
    if evaluation.not_finite:
        text += f", {len(evaluation.not_finite)} have predictions that are no numbers"
    return text


def _aligned(lines: list[list[str]]) -> list[str]:
    """Columns of text: the first and the last to the left, those between, which are numbers, to the right."""
    first, *numbers, last = zip(*lines, strict=True)
    left = [cell.ljust(max(map(len, first))) for cell in first]
    right = [[cell.rjust(max(map(len, column))) for cell in column] for column in numbers]
    return ["  ".join(cells).rstrip() for cells in zip(left, *right, last, strict=True)]
