"""One step of the optimiser: forward, loss and backward of its batches, agreement of all ranks, update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mapanything_data.datasets.samples import ViewBatch
from mapanything_data.datasets.views import ViewDict
from train.distributed.ranks import Ranks
from train.distributed.wrap import no_sync
from train.losses.protocol import Loss
from train.sampling.plan import GlobalBatch
from train.settings.geometric_inputs import GeometricInputs
from train.settings.train_params import TrainParams
from train.training.ema import MovingAverage
from train.training.parameter_groups import ParameterGroup
from train.training.precision import autocast, make_scaler
from train.training.schedule import learning_rate
from train.views.device import placeholder_views, to_device
from train.views.inputs import draw_inputs, thin_depth, visible_views
from train.views.prediction import Prediction

Batch = tuple[GlobalBatch, ViewBatch]

_SMALLEST_FP16_SCALE = 1.0
"""Below it, after seventeen overflows in a row, not the scale is at fault."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What came of a step, the same on all ranks."""

    loss: float
    """Mean over the samples."""
    terms: dict[str, float]
    """Likewise, before weights."""
    samples: int
    images: int
    broken: int
    """Samples that could not be read and were left out."""
    grad_norm: float
    """Before clipping."""
    learning_rates: list[float]
    """Of each group of parameters."""
    updated: bool
    """False where a gradient overflowed in fp16, which shrinks the scale for the next step, or no sample was read."""
    stop: bool
    """Whether a rank was asked to stop."""


class NotFiniteError(Exception):
    """The loss or its gradient is infinite or no number, on whichever rank: all ranks raise this in the same step."""

    def __init__(self, what: str, here: bool) -> None:
        super().__init__(what)
        self.what = what
        self.here = here
        """Whether this rank's batches are to blame, as far as can be said."""


class TrainingStep:
    """Trains a network by one step at a time.

    Args:
        network: As wrapped for the ranks.
        loss: Compares predictions with the truth.
        groups: The parameters that are trained.
        params: Options.
        inputs: What the network sees beside images.
        average: Takes in the weights after each step, where there is one.
        ranks: Who trains together.
        resolution: Width and height of views where a batch does not say.
        data_norm_type: How the pictures of views are normalised.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        loss: Loss,
        groups: Sequence[ParameterGroup],
        params: TrainParams,
        inputs: GeometricInputs,
        average: MovingAverage | None,
        resolution: tuple[int, int],
        data_norm_type: str,
        ranks: Ranks,
    ) -> None:
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(group.parameters), "lr": group.lr, "weight_decay": group.weight_decay}
                for group in groups
            ],
            betas=(params.betas[0], params.betas[1]),
            fused=True,
        )
        self.scaler = make_scaler(params.amp, ranks.device)
        self._network = network
        self._loss = loss
        self._groups = list(groups)
        self._params = params
        self._inputs = inputs
        self._average = average
        self._ranks = ranks
        self._resolution = resolution
        self._data_norm_type = data_norm_type

    def __call__(self, batches: Sequence[Batch], *, step: int, progress: float, stop: bool) -> StepReport:
        """Train on some batches.

        Args:
            batches: What makes up the step.
            step: Its number, from which inputs are drawn.
            progress: Epochs that are done with it, with fraction.
            stop: Whether this rank was asked to stop.

        Raises:
            NotFiniteError: Weights are as they were before.
        """
        rates = self._set_learning_rates(progress)
        self.optimiser.zero_grad(set_to_none=True)
        planned = sum(len(plan.indices) for plan, _ in batches)
        sums = [self._backward(plan, batch, step, planned, plan is batches[-1][0]) for plan, batch in batches]
        total = self._agree(torch.stack(sums).sum(0), batches, stop)
        if total["not finite"]:
            raise NotFiniteError("the loss", here=not all(math.isfinite(float(each[0])) for each in sums))
        samples = max(total["samples"], 1.0)
        if total["broken"]:
            self._scale_gradients(planned / samples)
        norm = self._clip()
        updated = self._update(norm) if total["samples"] else False
        return StepReport(
            loss=total["loss"] / samples,
            terms={name: total[name] / samples for name in self._loss.term_names},
            samples=int(total["samples"]),
            images=int(total["images"]),
            broken=int(total["broken"]),
            grad_norm=norm,
            learning_rates=rates,
            updated=updated,
            stop=total["stop"] > 0,
        )

    def _update(self, norm: float) -> bool:
        """Step the optimiser, unless fp16 overflowed; returns whether it did."""
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise NotFiniteError("the gradient", here=True)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.scaler.get_scale() < _SMALLEST_FP16_SCALE:
            raise NotFiniteError("the gradient, however small the scale of fp16,", here=True)
        if self.scaler.get_scale() < scale:
            return False
        if self._average:
            self._average.update()
        return True

    def _backward(self, plan: GlobalBatch, batch: ViewBatch, step: int, planned: int, last: bool) -> Tensor:
        """Add the gradients of a batch; returns the sums over its samples of the loss and of each term."""
        with no_sync(self._network, last):
            if not batch:
                return self._backward_of_nothing(plan)
            views = to_device(batch, self._ranks.device)
            predictions = self._predict(views, step)
            values = self._loss(views, predictions)
            loss = values.per_sample.sum()
            # DDP takes the mean over ranks; with this the gradient is that of the mean over all samples of the step.
            self._backward_through(predictions, loss * (self._ranks.world_size / planned))
        return torch.stack([loss.detach(), *(values.terms[name].sum() for name in self._loss.term_names)]).double()

    def _predict(self, views: list[ViewDict], step: int) -> list[Prediction]:
        seed = self._params.seed
        shown = visible_views(views, draw_inputs(self._inputs, len(views), seed, step))
        thin_depth(self._inputs, shown, views, seed, step)
        with autocast(self._params.amp, self._ranks.device):
            predictions: list[Prediction] = self._network(shown)
        return predictions

    def _backward_of_nothing(self, plan: GlobalBatch) -> Tensor:
        """Take part in what the ranks do together, and add nothing to it."""
        width, height = plan.resolution or self._resolution
        views = placeholder_views(plan.num_views, width, height, self._data_norm_type, self._ranks.device)
        with autocast(self._params.amp, self._ranks.device):
            predictions = self._network(views)
        self._backward_through(predictions, None)
        return torch.zeros(1 + len(self._loss.term_names), dtype=torch.float64, device=self._ranks.device)

    def _backward_through(self, predictions: Sequence[Prediction], loss: Tensor | None) -> None:
        """Backward from the loss, and with gradients of zero from all that was predicted.

        So each parameter has a gradient, whatever the loss looks at: ranks wait for the gradients of all.
        """
        roots, gradients = [], []
        if loss is not None:
            scaled = self.scaler.scale(loss)
            roots, gradients = [scaled], [torch.ones_like(scaled)]
        if loss is None or self._ranks.world_size > 1:
            values = [value for view in predictions for value in view.values() if value.requires_grad]
            roots, gradients = [*roots, *values], [*gradients, *map(torch.zeros_like, values)]
        torch.autograd.backward(roots, gradients)

    def _scale_gradients(self, factor: float) -> None:
        """Make up for samples that were counted on and could not be read."""
        for group in self._groups:
            for parameter in group.parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    def _agree(self, sums: Tensor, batches: Sequence[Batch], stop: bool) -> dict[str, float]:
        """Add up over all ranks in one message what each must know to do the same."""
        samples = sum(len(batch[0]["img"]) for _, batch in batches if batch)
        images = sum(len(batch) * len(batch[0]["img"]) for _, batch in batches if batch)
        broken = sum(len(batch.broken) for _, batch in batches)
        counts = [samples, images, broken, stop, not bool(sums[0].isfinite())]
        names = ("loss", *self._loss.term_names, "samples", "images", "broken", "stop", "not finite")
        total = self._ranks.sum(torch.cat([sums, sums.new_tensor(counts)]))
        return dict(zip(names, total.tolist(), strict=True))

    def _clip(self) -> float:
        """Clip the gradients of each part that has a limit of its own, and of the rest; returns their norm before."""
        self.scaler.unscale_(self.optimiser)
        parts: dict[tuple[str, float | None], list[nn.Parameter]] = {}
        for group in self._groups:
            parts.setdefault((group.clipped_with, group.clip_grad), []).extend(group.parameters)
        squares = 0.0
        for (_, limit), parameters in parts.items():
            norm = nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit, foreach=True)
            squares += float(norm.full_tensor() if isinstance(norm, DTensor) else norm) ** 2
        return math.sqrt(squares)

    def _set_learning_rates(self, progress: float) -> list[float]:
        rates = [
            learning_rate(
                progress,
                peak=group.lr,
                floor=group.min_lr,
                warmup=self._params.warmup_epochs,
                epochs=self._params.epochs,
            )
            for group in self._groups
        ]
        for options, rate in zip(self.optimiser.param_groups, rates, strict=True):
            options["lr"] = rate
        return rates
