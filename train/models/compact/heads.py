"""From tokens to predictions. An untrained network says: rays straight ahead, depth 1, no rotation, scale 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from train.views.prediction import Prediction, assemble_prediction

LARGEST_EXPONENT = 10.0
"""Exponentials lie between 4.5e-5 and 22026, so they neither overflow nor reach SMALLEST_SCALE."""


class Heads(nn.Module):
    """The dense head for pixels, and one each for poses and for the scale of a sample.

    They compute in float32 under autocast: bfloat16 knows a distance to 0.4 % only.
    """

    def __init__(self, width: int, head_width: int, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.dense = DenseHead(width, head_width)
        self.pose = _perceptron(width, 7)
        self.scale = _perceptron(width, 1)
        self.gradient_checkpointing = gradient_checkpointing

    def forward(
        self, levels: Sequence[Tensor], scale: Tensor, grid: tuple[int, int], size: tuple[int, int]
    ) -> list[Prediction]:
        """Predict V views.

        Args:
            levels: Tokens [B, V, 1 + N, width] of the trunk, the camera's first, from its start to its end.
            scale: [B, width], the scale token.
            grid: Rows and columns of the N patches.
            size: Height and width of the pictures, pixels.
        """
        with torch.autocast(scale.device.type, enabled=False):
            levels = [level.float() for level in levels]
            metres = bounded_exp(self.scale(scale.float()))
            quats, trans = self._poses(levels[-1][:, :, 0])
            # View by view, so that a checkpoint computes the insides of one view at a time.
            return [
                assemble_prediction(
                    **self._dense([level[:, view, 1:] for level in levels], grid, size),
                    quats=quats[:, view],
                    trans=trans[:, view],
                    scale=metres,
                )
                for view in range(quats.shape[1])
            ]

    def _poses(self, cameras: Tensor) -> tuple[Tensor, Tensor]:
        """Unit quaternions [B, V, 4] and translations [B, V, 3] of camera tokens [B, V, width].

        View 0 is the frame, so its pose is the identity by definition and not predicted. Its token still goes through
        the head: with one view the head's parameters need a gradient, too, if only zero.
        """
        is_other = torch.arange(cameras.shape[1], device=cameras.device) > 0
        trans, turn = (self.pose(cameras) * is_other[:, None]).split([3, 4], dim=-1)
        identity = torch.tensor([0.0, 0.0, 0.0, 1.0], device=turn.device)
        return functional.normalize(turn + identity, dim=-1), trans

    def _dense(self, levels: list[Tensor], grid: tuple[int, int], size: tuple[int, int]) -> dict[str, Tensor]:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            pixels = checkpoint(self.dense, levels, grid, size, use_reentrant=False)
        else:
            pixels = self.dense(levels, grid, size)
        sideways, depth, conf, mask_logits = pixels.permute(0, 2, 3, 1).split([3, 1, 1, 1], dim=-1)
        ahead = torch.tensor([0.0, 0.0, 1.0], device=pixels.device)
        return {
            "rays": functional.normalize(sideways + ahead, dim=-1),
            "depth": bounded_exp(depth),
            "conf": 1 + bounded_exp(conf)[..., 0],
            "mask_logits": mask_logits[..., 0],
        }


class DenseHead(nn.Module):
    """Tokens of three levels become a picture: the last at the patches' resolution, the others at 2 and 4 times it."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        scales = (1, 2, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in scales)
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(width, head_width, scale, stride=scale) for scale in scales)
        self.refine = nn.ModuleList(Residual(head_width) for _ in scales)
        self.pixels = nn.Sequential(
            nn.Conv2d(head_width, head_width // 2, 3, padding=1), nn.GELU(), _silent(nn.Conv2d(head_width // 2, 6, 1))
        )

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """[B, 6, H, W] of tokens [B, N, width] from the trunk's start to its end."""
        picture: Tensor | None = None
        for level, norm, enlarge, refine in zip(reversed(levels), self.norms, self.enlarge, self.refine, strict=True):
            detail = enlarge(norm(level).transpose(1, 2).unflatten(2, grid))
            picture = refine(detail if picture is None else detail + _resize(picture, detail.shape[-2:]))
        assert picture is not None
        return self.pixels(_resize(picture, size))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, picture: Tensor) -> Tensor:
        """[B, width, h, w]."""
        refined: Tensor = picture + self.convolutions(picture)
        return refined


def bounded_exp(exponent: Tensor) -> Tensor:
    """The exponential of an exponent that is bent to stay within +-LARGEST_EXPONENT; near 0 it is not bent."""
    return torch.exp(LARGEST_EXPONENT * torch.tanh(exponent / LARGEST_EXPONENT))


def _resize(picture: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(picture, size=tuple(size), mode="bilinear", align_corners=False)


def _perceptron(width: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), _silent(nn.Linear(width, width_out)))


def _silent(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """The layer with zero parameters, so that an untrained head says the neutral thing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
