"""What a training is made of, as one mapping of plain values and whole tensors by name, and back.

The same mapping comes from a plain network, one in DDP, sharded by FSDP2 or compiled, and goes into each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from mapanything_data.errors import DataError

_KEYS = ("model", "optimizer", "ema", "scaler", "random", "progress")
_SHOWN = 8


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
        network: What `wrap` returned.
        optimiser: Of its parameters.
        ema: Averages of weights by name, whole or sharded.
        scaler: Of fp16.
        random: The `random_states` of each rank.
        progress: Plain values: the epoch, the step, and what else the trainer goes on from.

    Returns:
        On rank 0 `model`, `optimizer` (by names of parameters), `ema`, `scaler`, `random`, `progress`, for
        `write_checkpoint`. Tensors are on the CPU, and may be those of the network: write them before the next step.
        On other ranks nothing.
    """
    state = {
        "model": model_state(network),
        "optimizer": _optimiser_state(network, optimiser),
        "ema": None if ema is None else {name: _whole(tensor) for name, tensor in ema.items()},
        "scaler": None if scaler is None else scaler.state_dict(),
        "random": list(random),
        "progress": dict(progress),
    }
    return state if _is_main() else {}


def model_state(network: nn.Module) -> dict[str, Tensor]:
    """The network's parameters and buffers by name, whole and on the CPU; every rank calls it, rank 0 gets them."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(network, options=options))


def restore(
    state: Mapping[str, Any],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    ema: Mapping[str, Tensor] | None = None,
    scaler: torch.amp.GradScaler | None = None,
    where: Path | str = "checkpoint",
) -> dict[str, Any]:
    """Bring a training into a state that `capture` gave, on any number of ranks; every rank calls it.

    Args:
        state: Whole, on every rank.
        network: As for `capture`, of the same model.
        optimiser: With the same groups of parameters. Their options, such as weight decay, stay as they are.
        ema: Takes the saved averages in place, or the weights where the checkpoint has none.
        scaler: Takes the saved scale, if there is one.
        where: The file, for messages.

    Returns:
        The progress.

    Raises:
        DataError: It is not a whole state of this model and optimiser. The training is as it was.
    """
    missing = [key for key in _KEYS if key not in state]
    if missing:
        raise DataError(
            where,
            f"has no {', '.join(missing)}",
            expected="the state of a training",
            remedy="weights alone start a new training: model.pretrained takes them",
        )
    _require_fit(state["model"], cast(dict[str, Tensor], get_model_state_dict(network)), where, "weights")
    averages = state["model"] if state["ema"] is None else state["ema"]
    if ema is not None:
        _require_fit(averages, ema, where, "averaged weights", strict=state["ema"] is not None)
    _require_groups(state["optimizer"], network, optimiser, where)
    set_model_state_dict(network, dict(state["model"]), options=StateDictOptions(full_state_dict=True))
    _load_optimiser(state["optimizer"], network, optimiser)
    with torch.no_grad():
        for name, tensor in (ema or {}).items():
            tensor.copy_(_like(averages[name], tensor))
    if scaler is not None and state["scaler"]:
        scaler.load_state_dict(state["scaler"])
    return dict(state["progress"])


def _optimiser_state(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state by name of the parameter instead of its number.

    torch's `get_optimizer_state_dict` is not used: it makes a step of an optimiser that has not made one, and refuses
    to load where a parameter never had a gradient.
    """
    names = _names(network)
    held = [
        parameter for group in optimiser.param_groups for parameter in group["params"] if optimiser.state.get(parameter)
    ]
    return {
        "state": {
            names[parameter]: {
                key: _whole(value) if isinstance(value, Tensor) else value
                for key, value in optimiser.state[parameter].items()
            }
            for parameter in held
        },
        "param_groups": [
            {**group, "params": [names[parameter] for parameter in group["params"]]} for group in optimiser.param_groups
        ],
    }


def _require_groups(
    saved: Mapping[str, Any], network: nn.Module, optimiser: torch.optim.Optimizer, where: Path | str
) -> None:
    names = _names(network)
    before = {frozenset(group["params"]) for group in saved["param_groups"]}
    own = {frozenset(names[parameter] for parameter in group["params"]) for group in optimiser.param_groups}
    if own != before:
        moved = sorted(frozenset().union(*(own ^ before)))
        only_one = sorted(frozenset().union(*own) ^ frozenset().union(*before))
        told = only_one or moved
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        raise DataError(
            where,
            f"its optimiser has other groups of parameters; different are {', '.join(told[:_SHOWN])}{more}",
            expected="train_params.submodules and the frozen parts as they were",
            remedy="restore these options, or start a new training from its weights with model.pretrained",
        )


def _load_optimiser(saved: Mapping[str, Any], network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    names = _names(network)
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    numbers = {parameter: number for number, parameter in enumerate(parameters)}
    optimiser.load_state_dict(
        {
            "state": {
                numbers[parameter]: {
                    key: _like(value, parameter) if isinstance(value, Tensor) else value
                    for key, value in saved["state"][names[parameter]].items()
                }
                for parameter in parameters
                if names[parameter] in saved["state"]
            },
            "param_groups": [
                {**group, "params": [numbers[parameter] for parameter in group["params"]]}
                for group in optimiser.param_groups
            ],
        }
    )


def _require_fit(
    saved: Mapping[str, Tensor], own: Mapping[str, Tensor], where: Path | str, what: str, strict: bool = True
) -> None:
    missing = [f"{name}: missing" for name in own if name not in saved]
    unexpected = [f"{name}: unexpected" for name in saved if name not in own] if strict else []
    reshaped = [
        f"{name}: {list(saved[name].shape)} instead of {list(value.shape)}"
        for name, value in own.items()
        if name in saved and saved[name].shape != value.shape
    ]
    wrong = [*reshaped, *missing, *unexpected]
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise DataError(
            where,
            f"its {what} are of another model\n" + "\n".join(f"    {line}" for line in [*wrong[:_SHOWN], *more]),
            expected=f"{len(own)} tensors with the model's names and shapes",
            remedy="choose the model and its options as they were, or start anew in another output_dir",
        )


def _names(network: nn.Module) -> dict[nn.Parameter, str]:
    """Names of parameters without the prefixes of wrappers."""
    wrapped = network.module if isinstance(network, DistributedDataParallel) else getattr(network, "_orig_mod", None)
    if wrapped is not None:
        return _names(wrapped)
    return {parameter: name.replace("_orig_mod.", "") for name, parameter in network.named_parameters()}


def _whole(tensor: Tensor) -> Tensor:
    """On the CPU of rank 0; the other ranks, which only help to gather it, keep nothing."""
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole.detach().cpu() if _is_main() else torch.empty(0)


def _is_main() -> bool:
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def _like(whole: Tensor, model: Tensor) -> Tensor:
    """A copy of a whole tensor that lies on the device of `model`, sharded where that is; a count stays as it is."""
    if isinstance(model, DTensor) and whole.shape == model.shape:
        return distribute_tensor(whole.to(model.device), model.device_mesh, model.placements)
    return whole.to(model.device if whole.shape == model.shape else whole.device, copy=True)
