"""Small networks of model=compact whose heads are not silent, and what they may see."""

from __future__ import annotations

import torch

from train.models.compact import Compact, HeadsOptions, Size, TrunkOptions
from train.views.inputs import Input, visible_views

IMAGES = frozenset({Input.images})
EVERYTHING = frozenset(Input)
FACTORS = ("pts3d", "ray_directions", "depth_along_ray", "cam_quats", "cam_trans", "metric_scaling_factor", "conf")


def network(seed=0, **options):
    """A network of width 32 for patches of 7 pixels, all of whose parameters are random, those of the heads, too."""
    options = {"trunk": TrunkOptions(width=32, num_heads=2), "heads": HeadsOptions(width=8)} | options
    torch.manual_seed(seed)
    built = Compact(size=Size.tiny, **options).build()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return built


def seen(batch, kinds=EVERYTHING):
    """The views of a batch with the same kinds of input in each."""
    return visible_views(batch, [kinds] * len(batch))


def score(predictions):
    """One number that every factor of every view has a part in, by weights that differ."""
    generator = torch.Generator().manual_seed(0)
    keys = (*FACTORS, "non_ambiguous_mask_logits")
    return sum(
        (view[key] * torch.randn(view[key].shape, generator=generator)).sum() for view in predictions for key in keys
    )


def assert_same(one, other, tolerance=1e-4):
    """Two lists of predictions agree, relative to the size of what they say."""
    for view, same in zip(one, other, strict=True):
        for key in FACTORS:
            off = (view[key] - same[key]).abs().max()
            assert off <= tolerance * view[key].abs().max(), (key, float(off))


def differ(one, other):
    """Whether a pixel of any view differs by more than rounding."""
    return any((view["pts3d"] - same["pts3d"]).abs().max() > 1e-3 for view, same in zip(one, other, strict=True))
