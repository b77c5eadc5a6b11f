"""Mixed precision: which the device can do, and the contexts that it needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from mapanything_data.errors import ConfigError
from train.settings.train_params import Amp

_TYPES = {Amp.bf16: torch.bfloat16, Amp.fp16: torch.float16}


def require_precision(key: str, amp: Amp, device: torch.device) -> None:
    """Make sure that a device computes in a precision.

    Raises:
        ConfigError: It does not.
    """
    if device.type == "cpu" and amp is Amp.fp16:
        raise ConfigError(key, "fp16", expected="none or bf16 on a CPU", remedy=f"give {key}=none")
    if device.type == "cuda" and amp is Amp.bf16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        raise ConfigError(key, f"bf16, which {name} does not compute in", remedy=f"give {key}=fp16 or {key}=none")


def autocast(amp: Amp, device: torch.device) -> AbstractContextManager[object]:
    """The context for a forward pass."""
    return nullcontext() if amp is Amp.none else torch.autocast(device.type, _TYPES[amp])


def make_scaler(amp: Amp, device: torch.device) -> torch.amp.GradScaler:
    """The gradient scaler, which does nothing but for fp16."""
    return torch.amp.GradScaler(device.type, enabled=amp is Amp.fp16)
