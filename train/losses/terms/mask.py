"""The error of the mask that says where depth means something."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from train.losses.terms.comparison import Comparison


def mask(c: Comparison) -> Tensor:
    """Binary cross-entropy of the mask's logits: mean over all pixels of a view.

    Returns:
        [B], summed over views. 0 where the true mask says nothing: where it is True everywhere in a sample that is not
        synthetic, as with projected LiDAR, a model would learn that there is no sky.
    """
    loss = binary_cross_entropy_with_logits(
        c.mask_logits, c.non_ambiguous.to(c.mask_logits.dtype), reduction="none"
    ).mean((2, 3))
    says_something = c.is_synthetic | ~c.non_ambiguous.all(-1).all(-1).all(-1)
    return torch.where(says_something, loss.sum(1), 0.0)
