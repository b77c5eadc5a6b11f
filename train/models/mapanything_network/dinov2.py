"""DINOv2's vision transformer, so that nothing has to come from torch.hub, where upstream takes its encoder from.

Written from its paper (Oquab et al., arXiv:2304.07193); names of parameters and numbers agree with the released code,
which docs/mapanything.md tells how it was checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 14
WIDTHS = {"small": 384, "base": 768, "large": 1024, "giant": 1536}
"""Width of the tokens; each attention head has 64 of them."""
DEPTHS = {"small": 12, "base": 12, "large": 24, "giant": 40}

_PATCHES = 37  # a side of the pictures of 518 pixels that positions were learned at
_OFFSET = 0.1  # part of a patch that the released code adds when it resizes positions; the weights expect it


class VisionTransformer(nn.Module):
    """Patch and class tokens of images whose sides are multiples of 14.

    Args:
        size: A key of `WIDTHS`.
        depth: How many of its blocks.
    """

    def __init__(self, size: str, depth: int) -> None:
        super().__init__()
        width = WIDTHS[size]
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, PATCH)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + _PATCHES**2, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of DINOv2's own training; upstream deletes it
        self.blocks = nn.ModuleList([_Block(width, gated=size == "giant") for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        nn.init.normal_(self.cls_token, std=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward_features(self, images: Tensor) -> dict[str, Tensor | None]:
        """Tokens of images [B, 3, H, W], under the names that upstream reads.

        Returns:
            `x_norm_clstoken` [B, C], `x_norm_patchtokens` [B, H/14 * W/14, C] row by row, `x_norm_regtokens` None.
        """
        patches = self.patch_embed["proj"](images)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches.flatten(2).mT], 1)
        tokens = tokens + self.interpolate_pos_encoding(*patches.shape[-2:]).to(tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return {"x_norm_clstoken": tokens[:, 0], "x_norm_patchtokens": tokens[:, 1:], "x_norm_regtokens": None}

    def interpolate_pos_encoding(self, rows: int, columns: int) -> Tensor:
        """Position embeddings [1, 1 + rows * columns, C] of that many patches."""
        if rows == columns == _PATCHES:
            return self.pos_embed
        learned = self.pos_embed[:, 1:].float().view(1, _PATCHES, _PATCHES, -1).permute(0, 3, 1, 2)
        factors = ((rows + _OFFSET) / _PATCHES, (columns + _OFFSET) / _PATCHES)
        resized = functional.interpolate(learned, scale_factor=factors, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1].float(), resized.flatten(2).mT], 1)


@contextmanager
def torch_hub_is_local(depth: int | None) -> Iterator[None]:
    """While upstream builds its encoder, `torch.hub.load` gives a `VisionTransformer` and downloads nothing.

    Args:
        depth: How many blocks are wanted; None for all of its size.
    """
    letters = {name[0]: name for name in WIDTHS}
    original: Callable[..., Any] = torch.hub.load

    def load(repository: str, model: str, *_: Any, **__: Any) -> VisionTransformer:
        assert repository == "facebookresearch/dinov2", repository
        size = letters[model.removeprefix("dinov2_vit").removesuffix("14")]
        return VisionTransformer(size, DEPTHS[size] if depth is None else depth)

    torch.hub.load = load  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.hub.load = original


class _Block(nn.Module):
    """Attention and a perceptron, each behind a norm and a learned scale."""

    def __init__(self, width: int, *, gated: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width)
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _GatedPerceptron(width) if gated else _Perceptron(width)
        self.ls2 = _Scale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        out: Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return out


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_heads = width // 64
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Identity()  # upstream calls it

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.num_heads, 64)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


class _GatedPerceptron(nn.Module):
    """SwiGLU (Shazeer, arXiv:2002.05202), two thirds as wide as a perceptron, a multiple of 8."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = (4 * width * 2 // 3 + 7) // 8 * 8
        self.w12 = nn.Linear(width, 2 * hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        gate, values = self.w12(tokens).chunk(2, -1)
        out: Tensor = self.w3(functional.silu(gate) * values)
        return out
