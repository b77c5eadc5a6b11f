"""Weights into a network, with a readable word about what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from mapanything_data.errors import DataError

_SHOWN = 8


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], *, where: Path | str, strict: bool = True) -> str:
    """Copy weights into the parameters and buffers of a network by their names.

    A parameter that a network has under several names needs only one of them: safetensors files hold it once.

    Args:
        network: What takes them.
        weights: By name.
        where: The file that they come from, for the message.
        strict: Whether to refuse weights that lack a name of the network or hold one that it does not have.

    Returns:
        What did not fit, as text of several lines; empty where all did.

    Raises:
        DataError: Names are missing or unexpected and `strict` holds, shapes differ, or no name fits at all.
    """
    own = network.state_dict(keep_vars=True)
    given = {id(value) for name, value in own.items() if name in weights}
    missing = [name for name, value in own.items() if id(value) not in given]
    unexpected = [name for name in weights if name not in own]
    reshaped = [
        f"{name} {list(weights[name].shape)} instead of {list(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    told = "\n".join(
        _listed(title, names)
        for title, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
        if names
    )
    if reshaped or not given or (strict and told):
        raise DataError(
            where,
            f"does not fit the model\n{told}",
            expected=f"{len(own)} tensors with the model's names and shapes",
            remedy="choose the model and its options as they were when it was written"
            + (", or take what fits with model.strict=false" if given and not reshaped else ""),
        )
    network.load_state_dict({name: value for name, value in weights.items() if name in own}, strict=False)
    return told


def _listed(title: str, names: list[str]) -> str:
    more = [f"    and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return "\n".join([f"  {title}: {len(names)}", *(f"    {name}" for name in names[:_SHOWN]), *more])
