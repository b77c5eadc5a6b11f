"""Predictions that are off by a known kind of error, and losses of one term, for the tests of losses."""

from __future__ import annotations

from dataclasses import fields

import torch
from toy_views import toy_batch

from mapanything_data.datasets.samples import ViewBatch
from train.losses.overall import OverallLoss, Weights
from train.views.prediction import assemble_prediction

TERMS = [field.name for field in fields(Weights)]
FACTORS = ("rays", "depth", "quats", "trans", "scale", "conf", "mask_logits")


def only(*terms, **options):
    """A loss of these terms, each with weight 1."""
    return OverallLoss(weights=Weights(**{term: float(term in terms) for term in TERMS}), **options)


def mixed_batch(**options):
    """Samples of all kinds: synthetic; measured and in metres; measured and without scale."""
    options = {"num_views": 3, "height": 14, "width": 18, "holes": 0.3} | options
    kinds = [{"dense": True}, {"dense": False}, {"dense": False, "metric": False}]
    return join(*(toy_batch(1, seed=3 * number + 1, **options, **kind) for number, kind in enumerate(kinds)))


def join(*batches):
    """One batch of the samples of several, for the tensors of views."""
    views = zip(*batches, strict=True)
    return ViewBatch([{k: torch.cat([p[k] for p in parts]) for k in tensor_keys(parts[0])} for parts in views], [])


def take(views, rows):
    """Some samples of batched views."""
    return [{k: view[k][rows] for k in tensor_keys(view)} for view in views]


def tensor_keys(view):
    return [key for key, value in view.items() if isinstance(value, torch.Tensor)]


def wrong_factors(batch, noise=0.1, seed=0):
    """For each view the factors of a prediction: the truth with noise, in units of 2 m, and something in each hole."""
    generator = torch.Generator().manual_seed(seed)

    def random(like):
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    factors = []
    for view in batch:
        depth = torch.where(view["depth_along_ray"] > 0, view["depth_along_ray"], 7.0)
        mask = torch.where(view["non_ambiguous_mask"], 1.0, -1.0).to(depth)
        trans = view["camera_pose_trans"]
        values = {
            "rays": view["ray_directions_cam"] + noise * random(view["ray_directions_cam"]),
            "depth": depth / 2 * torch.exp(noise * random(depth)),
            "quats": view["camera_pose_quats"] + noise * random(view["camera_pose_quats"]),
            "trans": trans / 2 + noise * random(trans),
            "scale": 2 * torch.exp(noise * random(trans[:, :1])) if not factors else factors[0]["scale"],
            "conf": 1 + torch.exp(random(mask)),
            "mask_logits": mask + random(mask),
        }
        values["rays"] = values["rays"] / values["rays"].norm(dim=-1, keepdim=True)
        values["quats"] = values["quats"] / values["quats"].norm(dim=-1, keepdim=True)
        factors.append(values)
    return factors


def assemble(factors):
    return [assemble_prediction(**values) for values in factors]


def leaves(factors):
    """The same factors as leaves of a graph, the scale one leaf of all views."""
    scale = factors[0]["scale"].detach().clone().requires_grad_()
    return [{k: scale if k == "scale" else v.detach().clone().requires_grad_() for k, v in f.items()} for f in factors]


def gradients_of(loss, batch, factors):
    """The loss of each sample, and the gradients of their sum by view and factor."""
    inputs = leaves(factors)
    values = loss(batch, assemble(inputs)).per_sample
    values.sum().backward()
    return values.detach(), [{name: values[name].grad for name in FACTORS} for values in inputs]
