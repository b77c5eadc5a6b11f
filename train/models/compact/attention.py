"""The trunk: tokens of all views, mixed in turns over all views and within each view."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Trunk(nn.Module):
    """Alternating attention over the tokens of the patches, one token for each camera and one for the metric scale.

    View 0 is told from the others by an embedding; nothing else says which view is which, so that the order of the
    others does not matter.
    """

    def __init__(self, width_in: int, width: int, layers: int, num_heads: int, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(width_in, width)
        self.camera = _token(width)
        self.scale = _token(width)
        self.reference = _token(width)
        self.layers = nn.ModuleList(Layer(width, num_heads, gradient_checkpointing) for _ in range(layers))

    def forward(self, patches: Tensor) -> tuple[list[Tensor], Tensor]:
        """Mix the patches of V views.

        Args:
            patches: [B, V, N, width_in].

        Returns:
            The tokens [B, V, 1 + N, width] before, halfway and at the end, the camera's first; and the scale token
            [B, width].
        """
        B, V, _, _ = patches.shape
        tokens = torch.cat([self.camera.expand(B, V, 1, -1), self.embed(patches)], dim=2)
        is_reference = (torch.arange(V, device=patches.device) == 0)[:, None, None]
        tokens = tokens + self.reference * is_reference
        scale = self.scale.expand(B, 1, -1)
        levels = [tokens]
        for number, layer in enumerate(self.layers):
            if number % 2 == 0:
                joint = layer(torch.cat([scale, tokens.flatten(1, 2)], dim=1))
                scale, tokens = joint[:, :1], joint[:, 1:].reshape(tokens.shape)
            else:
                tokens = layer(tokens.flatten(0, 1)).reshape(tokens.shape)
            if number + 1 in (len(self.layers) // 2, len(self.layers)):
                levels.append(tokens)
        return levels, scale[:, 0]


class Layer(nn.Module):
    """Attention and a perceptron, each added to its normalised input."""

    def __init__(self, width: int, num_heads: int, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.gradient_checkpointing = gradient_checkpointing
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_perceptron = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """[S, N, width], each of the S sets of tokens apart."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(self._mix, tokens, use_reentrant=False)  # type: ignore[no-any-return]
        return self._mix(tokens)

    def _mix(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._attention(self.norm_attention(tokens))
        mixed: Tensor = tokens + self.perceptron(self.norm_perceptron(tokens))
        return mixed

    def _attention(self, tokens: Tensor) -> Tensor:
        S, N, width = tokens.shape
        packed = self.queries_keys_values(tokens).view(S, N, 3, self.num_heads, width // self.num_heads)
        queries, keys, values = packed.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self.out(mixed.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


def _token(width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02))
