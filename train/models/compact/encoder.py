"""What makes features of each picture alone: a patch embedding of our own, or a DINOv2."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mapanything_data.errors import ConfigError, require

PATCH = "patch"


class PatchEncoder(nn.Module):
    """Each patch times a matrix, plus sines and cosines of its place, which are there for pictures of any size."""

    def __init__(self, width: int, patch_size: int, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.width = width
        self.patch_size = patch_size
        self.gradient_checkpointing = gradient_checkpointing
        self.embed = nn.Conv2d(3, width, patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Features [N, h * w, width] of images [N, 3, H, W], row by row."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            features = checkpoint(self.embed, images, use_reentrant=False)
        else:
            features = self.embed(images)
        h, w = features.shape[-2:]
        placed: Tensor = features.flatten(2).transpose(1, 2) + place_embedding(h, w, self.width, images.device)
        return placed


class Dinov2Encoder(nn.Module):
    """A DINOv2 of transformers, without what only its training needs."""

    def __init__(self, model: nn.Module, gradient_checkpointing: bool) -> None:
        super().__init__()
        config: Any = model.config
        self.width: int = config.hidden_size
        self.patch_size: int = config.patch_size
        self.model = model
        if gradient_checkpointing:
            # The name of transformers 5.0 until it got a new one.
            enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})

    def forward(self, images: Tensor) -> Tensor:
        """Features [N, h * w, width] of images [N, 3, H, W], row by row; the class token is left out."""
        features: Tensor = self.model(pixel_values=images).last_hidden_state[:, 1:]
        return features


def build_encoder(name: str, width: int, patch_size: int, gradient_checkpointing: bool) -> PatchEncoder | Dinov2Encoder:
    """The encoder of a name; width and patch size are those of `patch`, a DINOv2 has its own."""
    if name == PATCH:
        return PatchEncoder(width, patch_size, gradient_checkpointing)
    return Dinov2Encoder(load_dinov2(name), gradient_checkpointing)


def load_dinov2(name: str) -> nn.Module:
    """A DINOv2 with its weights.

    Args:
        name: A folder, or a name on the Hugging Face hub, which is asked only where its cache lacks the files.

    Raises:
        ConfigError: The files cannot be had, or are those of something else.
        MissingDependencyError: transformers is not installed.
    """
    require("transformers", "safetensors")
    from safetensors import SafetensorError
    from transformers import AutoConfig, Dinov2Model

    try:
        config = AutoConfig.from_pretrained(str(Path(name).expanduser()))
        if config.model_type != "dinov2":
            raise _unfit(name, f"is a {config.model_type}, no dinov2")
        loaded: Any = Dinov2Model.from_pretrained(
            str(Path(name).expanduser()),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # told below, in our words
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unfit(name, f"cannot be loaded ({str(error).splitlines()[0]})") from error
    model, loading = loaded
    amiss = sorted({*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])})
    if amiss:
        raise _unfit(name, f"lacks {len(amiss)} parameters that its config.json asks for, such as {amiss[0]}")
    # Not used here, and a parameter without a gradient would stop training on several ranks.
    model.embeddings.mask_token = None
    return model.train()  # type: ignore[no-any-return]


def _unfit(name: str, found: str) -> ConfigError:
    return ConfigError(
        "model.encoder.name",
        f"{name} {found}",
        expected="patch; or a DINOv2: facebook/dinov2-small, -base, -large or -giant, or a folder with one",
        remedy="where the hub is out of reach, put config.json and model.safetensors of "
        "https://huggingface.co/facebook/dinov2-base (or another size) into a folder and set "
        "model.encoder.name to its path",
    )


def place_embedding(h: int, w: int, width: int, device: torch.device) -> Tensor:
    """Sines and cosines of the places of h x w patches: [h * w, width].

    Places are counted from the middle of the picture, in halves of its longer side. So one field of view has one
    embedding, whatever the resolution.
    """
    half = max(h, w) / 2
    y = (torch.arange(h, device=device) + 0.5 - h / 2) / half
    x = (torch.arange(w, device=device) + 0.5 - w / 2) / half
    # From a quarter of a wave between middle and edge up to 16 waves: half a wave from one of 64 patches to the next.
    frequencies = math.pi / 2 * torch.logspace(0, 6, width // 4, base=2, device=device)
    waves_y, waves_x = y[:, None] * frequencies, x[:, None] * frequencies
    rows = torch.cat([waves_y.sin(), waves_y.cos()], dim=-1)[:, None].expand(h, w, -1)
    columns = torch.cat([waves_x.sin(), waves_x.cos()], dim=-1)[None].expand(h, w, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)
