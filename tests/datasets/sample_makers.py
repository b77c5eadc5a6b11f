"""Data sets with small pictures, and how samples are compared."""

from __future__ import annotations

import torch

from mapanything_data.datasets.colour import ColourJitter
from mapanything_data.datasets.opv2v import OPV2VCoopFinetune, OPV2VFinetune

SCENE = "2021_08_16_22_26_00"
SMALL = {"resolution": [28, 14]}
JITTER = ColourJitter(brightness=0.3, hue=0.1, blur=1.0)


def one(root, **options):
    return OPV2VFinetune(root=str(root), **SMALL | options)


def coop(root, **options):
    return OPV2VCoopFinetune(root=str(root), **SMALL | options)


def instances(views):
    return [view["instance"] for view in views]


def same(one_sample, other_sample):
    """Whether two samples agree in every key of every view, bit by bit."""
    return len(one_sample) == len(other_sample) and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for view, other in zip(one_sample, other_sample, strict=True)
        for key, value in view.items()
    )
