"""A network over a test set: predictions from the inputs it may see, measured sample by sample, on all ranks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapanything_data.datasets.samples import BrokenSample, ViewBatch
from mapanything_data.datasets.views import ViewDict
from train.evaluation.evaluation import Evaluation, Picture, SampleRow
from train.evaluation.pictures import draw_sample
from train.losses.protocol import Loss
from train.metrics.sample_metrics import sample_metrics
from train.views.device import to_device
from train.views.inputs import Input, visible_views
from train.views.prediction import Prediction


def measure(
    network: nn.Module,
    batches: Iterable[ViewBatch],
    *,
    inputs: frozenset[Input],
    device: torch.device,
    autocast: AbstractContextManager[Any],
    gather: Callable[[list[Any]], list[list[Any]]],
    loss: Loss | None = None,
    pictures: int = 0,
) -> Evaluation:
    """Measure a network.

    The network sees what `inputs` names and nothing else. It is in evaluation mode meanwhile; its modes and all random
    states are afterwards what they were.

    Args:
        network: On the device.
        batches: This rank's share; batches may be empty.
        inputs: What the network may see.
        device: Where it computes.
        autocast: The context for its forward passes, entered once for each.
        gather: Takes a list of this rank and returns those of all ranks.
        loss: Measured, too, as `loss` and `loss/{term}`.
        pictures: Samples of which pictures are made. Which ones is drawn from their indices, so they are the same in
            each evaluation.
    """
    rows: list[SampleRow] = []
    broken: list[BrokenSample] = []
    album = _Album(pictures)
    # Not inference_mode: what FSDP gathers here is written to in training.
    with _undisturbed(network, device), torch.no_grad():
        network.eval()
        for batch in batches:
            broken += batch.broken
            if not batch:
                continue
            views = to_device(batch, device)
            predictions = _predict(network, views, inputs, autocast)
            values = sample_metrics(views, predictions)
            if loss is not None:
                values |= _loss_values(loss, views, predictions)
            found = _rows(views, values)
            rows += found
            album.look_at(found, views, predictions)
    return Evaluation(
        inputs=inputs,
        rows=_joined(gather(rows), lambda row: (row.dataset, row.idx)),
        broken=_joined(gather(broken), lambda sample: sample.index),
        pictured=album.best(_joined(gather(album.pictures), lambda picture: (picture.dataset, picture.idx))),
    )


def _predict(
    network: nn.Module, views: Sequence[ViewDict], inputs: frozenset[Input], autocast: AbstractContextManager[Any]
) -> list[Prediction]:
    with autocast:
        predictions: list[Prediction] = network(visible_views(views, [inputs] * len(views)))
    return predictions


def _loss_values(loss: Loss, views: Sequence[ViewDict], predictions: Sequence[Prediction]) -> dict[str, Tensor]:
    values = loss(views, predictions)
    return {"loss": values.per_sample, **{f"loss/{name}": term for name, term in values.terms.items()}}


def _rows(views: Sequence[ViewDict], values: Mapping[str, Tensor]) -> list[SampleRow]:
    first = views[0]
    columns = {name: value.tolist() for name, value in values.items()}
    return [
        SampleRow(
            dataset=first["dataset"][number],
            idx=idx,
            label=first["label"][number],
            instance=first["instance"][number],
            num_views=len(views),
            metrics={name: column[number] for name, column in columns.items()},
        )
        for number, idx in enumerate(first["idx"].tolist())
    ]


class _Album:
    """Pictures of the samples that come first in an order that is drawn from their indices.

    The first ones of the data set itself would all be of one scene.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.pictures: list[Picture] = []

    def look_at(self, rows: Sequence[SampleRow], views: Sequence[ViewDict], predictions: Sequence[Prediction]) -> None:
        """Draw those samples of a batch that belong into the album as far as it is known."""
        for number, row in enumerate(rows):
            if self._has_room_for(row.idx):
                drawn = Picture(row.dataset, row.idx, draw_sample(views, predictions, number))
                self.pictures = self.best([*self.pictures, drawn])

    def best(self, pictures: Sequence[Picture]) -> list[Picture]:
        """As many of the pictures as there is room for."""
        return sorted(pictures, key=lambda picture: _lot(picture.idx))[: self._size]

    def _has_room_for(self, idx: int) -> bool:
        if len(self.pictures) < self._size:
            return True
        return self._size > 0 and _lot(idx) < _lot(self.pictures[-1].idx)


def _lot(idx: int) -> int:
    return int(np.random.SeedSequence([idx]).generate_state(1)[0])


def _joined(shares: list[list[Any]], key: Callable[[Any], Any]) -> list[Any]:
    """What all ranks have, in the order of a key, each once."""
    return [entry for _, entry in sorted({key(entry): entry for share in shares for entry in share}.items())]


@contextmanager
def _undisturbed(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Put back the mode of each module, which a part that is frozen may have of its own, and all random states."""
    modes = {module: module.training for module in network.modules()}
    python, legacy_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - others may use it
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            random.setstate(python)
            np.random.set_state(legacy_numpy)  # noqa: NPY002
