"""One step of the optimiser: forward, loss and backward of its batches, agreement of all ranks, update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
    """False where a gradient overflowed in fp16, which shrinks the scale and tries again with the next step."""
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
        planned = sum(len(plan.indices) for plan, _ in batches)
        sums = [self._backward(plan, batch, step, planned, plan is batches[-1][0]) for plan, batch in batches]
        total = self._agree(torch.stack(sums).sum(0), batches, stop)
        if total["not finite"]:
            raise NotFiniteError("the loss", here=not all(math.isfinite(float(each[0])) for each in sums))
        norm = self._clip()
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise NotFiniteError("the gradient", here=True)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self._average:
            self._average.update()
        samples = max(total["samples"], 1.0)
        return StepReport(
            loss=total["loss"] / samples,
            terms={name: total[name] / samples for name in self._loss.term_names},
            samples=int(total["samples"]),
            images=int(total["images"]),
            broken=int(total["broken"]),
            grad_norm=norm,
            learning_rates=rates,
            updated=self.scaler.get_scale() >= scale,
            stop=total["stop"] > 0,
        )

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
            torch.autograd.backward(self.scaler.scale(loss * (self._ranks.world_size / planned)))
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
        values = [value for view in predictions for value in view.values() if value.requires_grad]
        nothing = torch.stack([value.sum() for value in values]).sum() * 0
        torch.autograd.backward(self.scaler.scale(nothing))
        return torch.zeros(1 + len(self._loss.term_names), dtype=torch.float64, device=self._ranks.device)

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
        parts: dict[str, list[nn.Parameter]] = {}
        for group in self._groups:
            own = group.prefix in self._params.submodules and self._params.submodules[group.prefix].clip_grad
            parts.setdefault(group.prefix if own else "", []).extend(group.parameters)
        norms = [
            nn.utils.clip_grad_norm_(parameters, self._limit(prefix), foreach=True)
            for prefix, parameters in parts.items()
        ]
        full = [norm.full_tensor() if hasattr(norm, "full_tensor") else norm for norm in norms]
        return float(torch.stack(full).square().sum().sqrt())

    def _limit(self, prefix: str) -> float:
        own = self._params.submodules[prefix].clip_grad if prefix else self._params.clip_grad
        return math.inf if own is None else own

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
