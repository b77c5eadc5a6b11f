"""How a model is trained."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from mapanything_data.config import component
from mapanything_data.errors import ConfigError, require_option


class Amp(str, Enum):
    """Precision of the matrix products of forward and backward; parameters and losses stay float32."""

    none = "none"
    """float32"""
    bf16 = "bf16"
    fp16 = "fp16"
    """with a gradient scaler; GPUs only"""


@dataclass(kw_only=True, slots=True)
class Submodule:
    """What is different for parameters with a prefix; null is as a shorter prefix says, or as for all."""

    lr: float | None = None
    """Peak learning rate; 0 freezes them."""
    min_lr: float | None = None
    """Learning rate at the end."""
    weight_decay: float | None = None
    """Weight decay."""
    clip_grad: float | None = None
    """Norm that their gradients are clipped to, apart from those of the others."""


@component("train_params", "default")
@dataclass(kw_only=True, slots=True)
class TrainParams:
    """Batches, optimiser, schedule, and what is kept of a run."""

    max_num_of_imgs_per_gpu: int = 4
    """Views of a batch of one rank, at most: a batch of samples with V views has this many over V samples."""
    accum_iter: int = 1
    """Batches of each rank whose gradients make one step of the optimiser."""
    resolutions: list[Any] = field(default_factory=list)
    """Sizes [[width, height], ...], of which each training batch has one at random; empty takes dataset.resolution."""
    epochs: int = 5
    """Passes over the training samples; each sample comes once in each."""
    limit_train_batches: int | None = None
    """Batches of each rank in an epoch, at most; null for all."""
    limit_eval_samples: int | None = None
    """Test samples of an evaluation, at most, spread evenly over the data set; null for all."""
    lr: float = 5e-5
    """Peak learning rate."""
    min_lr: float = 5e-7
    """Learning rate at the end."""
    warmup_epochs: float = 0.5
    """Epochs in which the learning rate grows to its peak; from there it falls as half a cosine, step by step."""
    weight_decay: float = 0.05
    """Weight decay of matrices and kernels; biases, norms and embeddings have none."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """Decay of AdamW's averages of gradients and of their squares."""
    clip_grad: float | None = 1.0
    """Norm that gradients are clipped to; null for no limit."""
    submodules: dict[str, Any] = field(default_factory=dict)
    """Other settings (lr, min_lr, weight_decay, clip_grad) by prefix of the parameters' names, as in
    +train_params.submodules.encoder.lr=0, which freezes the encoder; the longest prefix counts."""
    amp: Amp = Amp.bf16
    """Precision of matrix products: none (float32), bf16, or fp16 (GPUs only)."""
    compile: bool = False
    """Whether torch.compile makes faster blocks of the model, which takes a while at the start."""
    ema_decay: float | None = None
    """Decay of a moving average of the weights, such as 0.999, which is then evaluated and kept; null for none."""
    eval_freq: int = 1
    """Epochs from one evaluation to the next; the last epoch always has one. 0 never evaluates."""
    eval_inputs: list[str] = field(default_factory=lambda: ["images"])
    """What the model sees in evaluations: of images, agents, rays, depth, poses, scale."""
    best_metric: str = "points_abs_rel"
    """The metric that decides which checkpoint is checkpoint-best.pth (docs/evaluation.md lists them)."""
    num_pictures: int = 2
    """Samples of which pictures are kept at each evaluation."""
    save_freq: float = 1.0
    """Epochs from one checkpoint-last.pth to the next; 0.25 saves four times in an epoch."""
    keep_freq: int = 0
    """Epochs from one checkpoint-{epoch}.pth, which stays, to the next; 0 keeps none."""
    resume: str = "auto"
    """auto goes on from the checkpoint in output_dir where there is one, never refuses a folder that holds one, and a
    file's name goes on from that file, in its own folder or in a new one."""
    log_freq: int = 10
    """Steps from one line of console.log to the next."""
    seed: int = 0
    """Start of all random numbers of the training: the order of samples, view counts, inputs, weights."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        # Hydra has seen to it already; a script, which may give the plain text, has not.
        require_option("train_params.amp", self.amp, self.amp in list(Amp), f"one of {', '.join(Amp)}")
        self.amp = Amp(self.amp)
        self.submodules = dict(_rules(self.submodules, ""))
        for name in ("max_num_of_imgs_per_gpu", "accum_iter", "epochs", "log_freq"):
            require_option(f"train_params.{name}", getattr(self, name), getattr(self, name) >= 1, "1 or more")
        for name in ("min_lr", "lr", "warmup_epochs", "weight_decay", "eval_freq", "keep_freq", "num_pictures", "seed"):
            require_option(f"train_params.{name}", getattr(self, name), getattr(self, name) >= 0, "0 or more")
        require_option("train_params.seed", self.seed, self.seed < 2**63, "below 2 to the power of 63")
        warm = self.warmup_epochs <= self.epochs
        require_option("train_params.warmup_epochs", self.warmup_epochs, warm, f"at most epochs, {self.epochs}")
        for name in ("limit_train_batches", "limit_eval_samples"):
            limit = getattr(self, name)
            require_option(f"train_params.{name}", limit, limit is None or limit >= 1, "1 or more, or null")
        require_option("train_params.save_freq", self.save_freq, self.save_freq > 0, "epochs above 0")
        positive = self.clip_grad is None or self.clip_grad > 0
        require_option("train_params.clip_grad", self.clip_grad, positive, "a norm above 0, or null")
        decay = self.ema_decay
        require_option("train_params.ema_decay", decay, decay is None or 0 < decay < 1, "between 0 and 1, or null")
        fall = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require_option("train_params.betas", self.betas, fall, "two numbers from 0 to below 1")
        sizes = all(isinstance(size, list | tuple) and _is_size(size) for size in self.resolutions)
        require_option("train_params.resolutions", self.resolutions, sizes, "[[width, height], ...] in pixels")


def _is_size(size: Sequence[Any]) -> bool:
    return len(size) == 2 and all(isinstance(pixels, int) and pixels >= 1 for pixels in size)


def _rules(given: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Submodule]]:
    """Rules by prefix, from mappings in mappings: `heads: {lr: 1e-4, pose: {lr: 0}}` has two, heads and heads.pose."""
    for name, value in given.items():
        path = f"{prefix}{name}"
        if isinstance(value, Submodule):
            yield path, value
        elif isinstance(value, Mapping):
            settings = {key: entry for key, entry in value.items() if not isinstance(entry, Mapping | Submodule)}
            if settings:
                yield path, _rule(path, settings)
            yield from _rules({key: entry for key, entry in value.items() if key not in settings}, f"{path}.")
        else:
            raise _no_setting(f"train_params.submodules.{path}", name)


def _rule(prefix: str, settings: Mapping[str, Any]) -> Submodule:
    known = [each.name for each in fields(Submodule)]
    for key, value in settings.items():
        option = f"train_params.submodules.{prefix}.{key}"
        if key not in known:
            raise _no_setting(option, key)
        least = value is None or (isinstance(value, int | float) and (value > 0 if key == "clip_grad" else value >= 0))
        require_option(option, value, least, "above 0, or null" if key == "clip_grad" else "0 or more, or null")
    return Submodule(**settings)


def _no_setting(option: str, name: str) -> ConfigError:
    known = [each.name for each in fields(Submodule)]
    near = difflib.get_close_matches(name, known, n=1)
    return ConfigError(
        option,
        "there is no such setting" + (f"; did you mean {near[0]}?" if near else ""),
        expected=f"one of {', '.join(known)} behind the prefix of parameters' names",
        remedy="as in +train_params.submodules.encoder.lr=0",
    )
