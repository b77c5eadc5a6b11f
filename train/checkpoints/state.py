"""What a training is made of, as one mapping of plain values and whole tensors by name, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel


def capture(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    ema: Mapping[str, Tensor] | None,
    scaler: torch.amp.GradScaler | None,
    random: Sequence[Mapping[str, Any]],
    progress: Mapping[str, Any],
) -> dict[str, Any]:
    """The state of a training; every rank calls it.

    Args:
        network: Plain, DDP, FSDP2 or compiled; names come without the prefixes of these.
        optimiser: Of the network's parameters; its state is kept by their names.
        ema: Averages of weights by name.
        scaler: Of fp16.
        random: `random_states` of each rank.
        progress: Plain values: epoch, step and what else the trainer needs.

    Returns:
        On rank 0, tensors on the CPU that may be those of the network: write them before the next step. On the other
        ranks the tensors are left out.
    """
    return {
        "model": model_state(network),
        "optimizer": _optimiser_state(network, optimiser),
        "ema": None if ema is None else {name: _whole(tensor) for name, tensor in ema.items()},
        "scaler": None if scaler is None else scaler.state_dict(),
        "random": list(random),
        "progress": dict(progress),
    }


def model_state(network: nn.Module) -> dict[str, Tensor]:
    """The network's parameters and buffers by name, whole and on the CPU; every rank calls it, rank 0 gets them."""
    state: dict[str, Tensor] = get_model_state_dict(
        network, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    return state


def restore(
    state: Mapping[str, Any],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    ema: Mapping[str, Tensor] | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Mapping[str, Any]:
    """Bring a training into a state that `capture` gave, on whatever number of ranks; every rank calls it.

    Returns:
        The progress.
    """
    set_model_state_dict(network, dict(state["model"]), options=StateDictOptions(full_state_dict=True))
    _restore_optimiser(state["optimizer"], network, optimiser)
    for name, tensor in (ema or {}).items():
        tensor.copy_(_like(state["ema"][name], tensor))
    if scaler is not None and state["scaler"] is not None:
        scaler.load_state_dict(state["scaler"])
    return state["progress"]


def _optimiser_state(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """torch.optim's state by name of the parameter, not by number.

    `get_optimizer_state_dict` of torch does so too, but steps an optimiser that has not stepped yet, and refuses one
    that has no state for a parameter that never had a gradient.
    """
    names = _names(network)
    return {
        "state": {
            names[parameter]: {
                key: _whole(value) if isinstance(value, Tensor) else value
                for key, value in optimiser.state[parameter].items()
            }
            for group in optimiser.param_groups
            for parameter in group["params"]
            if parameter in optimiser.state
        },
        "param_groups": [
            {**group, "params": [names[parameter] for parameter in group["params"]]} for group in optimiser.param_groups
        ],
    }


def _restore_optimiser(saved: Mapping[str, Any], network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    names = _names(network)
    optimiser.state.clear()
    for group, saved_group in zip(optimiser.param_groups, saved["param_groups"], strict=True):
        group.update({key: value for key, value in saved_group.items() if key != "params"})
        for parameter in group["params"]:
            values = saved["state"].get(names[parameter])
            if values is not None:
                optimiser.state[parameter] = {
                    key: _like(value, parameter) if isinstance(value, Tensor) else value
                    for key, value in values.items()
                }


def _names(network: nn.Module) -> dict[nn.Parameter, str]:
    if isinstance(network, DistributedDataParallel):
        return _names(network.module)
    if hasattr(network, "_orig_mod"):
        return _names(network._orig_mod)
    return {parameter: name.replace("_orig_mod.", "") for name, parameter in network.named_parameters()}


def _whole(tensor: Tensor) -> Tensor:
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach().cpu()


def _like(whole: Tensor, parameter: Tensor) -> Tensor:
    if whole.dim() == 0:
        return whole.clone()
    if isinstance(parameter, DTensor):
        return distribute_tensor(whole.to(parameter.device), parameter.device_mesh, parameter.placements)
    return whole.to(parameter.device, copy=True)
