"""Upstream's network behind our contract: our visible views in, our predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from io import StringIO

import torch
from mapanything.models.mapanything import MapAnything as Upstream

from mapanything_data.datasets.views import ViewDict
from mapanything_data.errors import ConfigError, DataError
from train.models.mapanything_network.architecture import Architecture
from train.models.mapanything_network.dinov2 import torch_hub_is_local
from train.views.inputs import KEYS, Input
from train.views.prediction import Prediction

# Upstream reads our keys by their own names, and its predictions have those of `Prediction`.
_READ = tuple(key for kind in Input if kind is not Input.agents for key in KEYS[kind])
_QUATS, _TRANS = KEYS[Input.poses]


class MapAnythingNetwork(Upstream):  # type: ignore[misc]  # upstream has no types
    """Upstream's MapAnything; a subclass, so that parameters keep upstream's names."""

    def forward(self, views: Sequence[ViewDict]) -> list[Prediction]:
        """See `train.models.protocol.Model`.

        Raises:
            ConfigError: Pictures are normalised otherwise than the encoder expects, or their sides are no multiples of
                its patches.
        """
        self._check(views[0])
        predictions: list[Prediction] = super().forward(_as_upstream_reads(views))
        return predictions

    def _check(self, view: ViewDict) -> None:
        norm, wanted = view["data_norm_type"][0], self.encoder.data_norm_type
        if norm != wanted:
            remedy = f"set dataset.data_norm_type={wanted}"
            raise ConfigError(
                "dataset.data_norm_type", norm, expected=f"{wanted}, as the encoder was trained", remedy=remedy
            )
        height, width = view["img"].shape[-2:]
        side = self.encoder.patch_size
        if height % side or width % side:
            expected = f"sides that are multiples of {side}, such as 518x294"
            remedy = "correct dataset.resolution or train_params.resolutions"
            raise ConfigError("dataset.resolution", f"{width}x{height}", expected=expected, remedy=remedy)


def build_network(architecture: Architecture) -> MapAnythingNetwork:
    """The network with random weights.

    Raises:
        DataError: Upstream refuses the architecture.
    """
    arguments = deepcopy(architecture.arguments)  # upstream writes into it
    try:
        # Upstream prints that it downloads an encoder, which it does not here.
        with torch_hub_is_local(arguments["encoder_config"].get("keep_first_n_layers")), redirect_stdout(StringIO()):
            return MapAnythingNetwork(**arguments)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        found = f"upstream's MapAnything refuses this architecture: {type(error).__name__}: {error}"
        remedy = "install the version of the package that docs/mapanything.md names, or choose model.architecture=v1.1"
        raise DataError(architecture.source, found, remedy=remedy) from error


def _as_upstream_reads(views: Sequence[ViewDict]) -> list[ViewDict]:
    seen = [{key: view[key] for key in _READ if key in view} for view in views]
    if any(_QUATS in view for view in seen) and _QUATS not in seen[0]:
        # Upstream looks for the frame of all poses here. It is the identity by definition, so this tells nothing.
        image = seen[0]["img"]
        identity = torch.tensor([0.0, 0.0, 0.0, 1.0], device=image.device)
        seen[0] |= {_QUATS: identity.repeat(len(image), 1), _TRANS: identity.new_zeros(len(image), 3)}
    return seen
