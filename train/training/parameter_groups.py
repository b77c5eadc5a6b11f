"""Learning rate, weight decay and clipping of each parameter, by the rules of `train_params.submodules`."""

from __future__ import annotations

import difflib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from mapanything_data.errors import ConfigError
from train.settings.train_params import Submodule, TrainParams


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that are treated alike."""

    prefix: str
    """The rule of `train_params.submodules`; empty for the parameters that none applies to."""
    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    lr: float
    """Peak learning rate, above 0."""
    min_lr: float
    weight_decay: float
    clip_grad: float | None
    """Norm that their gradients are clipped to; None for no limit."""
    clipped_with: str
    """The prefix whose parameters are clipped together with them."""


def freeze_parameters(network: nn.Module, params: TrainParams) -> None:
    """Freeze the parameters that have a learning rate of 0, which the ranks must know before they share gradients.

    Raises:
        ConfigError: A rule applies to no parameter, or nothing is left to train.
    """
    _refuse_idle_rules(network, params.submodules)
    for name, parameter in network.named_parameters():
        prefix = longest_prefix(name, params.submodules)
        parameter.requires_grad_(_setting(params, prefix, "lr")[0] > 0)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(
            "train_params", "leave no parameter to train: all learning rates are 0", remedy="give train_params.lr=5e-5"
        )


def group_parameters(network: nn.Module, params: TrainParams) -> list[ParameterGroup]:
    """Sort the parameters of a network that are not frozen.

    Biases, norms, embeddings and tokens have no weight decay.

    Args:
        network: As it is trained: sharding puts other parameters in the places of those that were there.
        params: Rates, decays and rules.
    """
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    members: dict[tuple[str, bool], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            prefix = longest_prefix(name, params.submodules)
            members.setdefault((prefix, _decays(name, parameter, embeddings)), []).append((name, parameter))
    return [_group(params, prefix, decays, named) for (prefix, decays), named in members.items()]


def _group(params: TrainParams, prefix: str, decays: bool, named: Sequence[tuple[str, nn.Parameter]]) -> ParameterGroup:
    clip_grad, clipped_with = _setting(params, prefix, "clip_grad")
    return ParameterGroup(
        prefix=prefix,
        names=tuple(name for name, _ in named),
        parameters=tuple(parameter for _, parameter in named),
        lr=_setting(params, prefix, "lr")[0],
        min_lr=_setting(params, prefix, "min_lr")[0],
        weight_decay=_setting(params, prefix, "weight_decay")[0] if decays else 0.0,
        clip_grad=clip_grad,
        clipped_with=clipped_with,
    )


def longest_prefix(name: str, prefixes: Mapping[str, object]) -> str:
    """The longest prefix that a parameter's name begins with, up to a dot or its end; empty where none does."""
    fitting = [prefix for prefix in prefixes if name == prefix or name.startswith(f"{prefix}.")]
    return max(fitting, key=len, default="")


def _refuse_idle_rules(network: nn.Module, rules: Mapping[str, Submodule]) -> None:
    names = [name for name, _ in network.named_parameters()]
    modules = sorted({".".join(name.split(".")[:depth]) for name in names for depth in (1, 2, 3)})
    for prefix in rules:
        if not any(longest_prefix(name, {prefix: None}) for name in names):
            near = difflib.get_close_matches(prefix, modules, n=1)
            top = sorted({name.partition(".")[0] for name in names})
            raise ConfigError(
                f"train_params.submodules.{prefix}",
                "no parameter of the model has a name that begins so" + (f"; did you mean {near[0]}?" if near else ""),
                expected=f"such as {', '.join(top)}, or what lies in them",
                remedy="correct the prefix",
            )


def _setting(params: TrainParams, prefix: str, option: str) -> tuple[Any, str]:
    """The value for parameters with a prefix, and the prefix whose rule says it: its own, a shorter one, or none."""
    while prefix:
        rule = params.submodules.get(prefix)
        value = getattr(rule, option) if rule else None
        if value is not None:
            return value, prefix
        prefix = prefix.rpartition(".")[0]
    return getattr(params, option), ""


def _decays(name: str, parameter: nn.Parameter, embeddings: Container[int]) -> bool:
    """Whether it is a matrix or a kernel: what is added to tokens, or is one, is no module's `weight`."""
    return parameter.ndim >= 2 and name.endswith("weight") and id(parameter) not in embeddings
