"""A tiny network behind the contract of models, and batches that it takes a moment for."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from toy_views import toy_sample

from mapanything_data.config import component
from mapanything_data.datasets.samples import collate_views
from train.settings.geometric_inputs import GeometricInputs
from train.views.prediction import assemble_prediction


class TinyNetwork(nn.Module):
    """Depth and rotation from colours, by a linear layer, and from depth where it may see that, by adding it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 6, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.seen = []
        self.said = []

    def forward(self, views):
        self.seen.append([set(view) for view in views])
        said = [self._view(view, number) for number, view in enumerate(views)]
        self.said.append([{key: value.clone() for key, value in view.items()} for view in said])
        return said

    def _view(self, view, number):
        values = self.drop(self.layer(view["img"])).float()
        rays = nn.functional.normalize(values[:, :3].permute(0, 2, 3, 1) * 0.1 + torch.tensor([0.0, 0.0, 1.0]), dim=-1)
        depth = values[:, 3, ..., None].exp() + view.get("depth_along_ray", torch.zeros(()))
        mean = values.mean((2, 3))
        quats = torch.cat([mean[:, :3] * number, torch.ones_like(mean[:, :1])], 1)
        return assemble_prediction(
            rays=rays,
            depth=depth,
            quats=nn.functional.normalize(quats, dim=-1),
            trans=mean[:, 3:] * number,
            scale=torch.full_like(mean[:, :1], 2.0),
            conf=1 + values[:, 4].exp(),
            mask_logits=values[:, 5],
        )


@component("model", "tiny")
@dataclass(kw_only=True, slots=True)
class TinyModel:
    """Options of the tiny network."""

    pretrained: str | None = None
    strict: bool = True
    geometric_inputs: GeometricInputs = field(default_factory=GeometricInputs)

    def build(self):
        return TinyNetwork()


def batch_of(*indices, **options):
    return collate_views([toy_sample(seed=index, height=14, width=14, **options) for index in indices])
