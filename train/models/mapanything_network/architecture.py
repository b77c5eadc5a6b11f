"""The arguments that upstream's MapAnything is built with: from a config.json, or of a released version."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from mapanything_data.errors import ConfigError, DataError
from train.models.pretrained import find_folder

SCENE_REPRESENTATION = "raydirs+depth+pose+confidence+mask"
"""What the released networks say of a scene; it has all keys of `train.views.prediction.Prediction`."""

_PARTS = ("encoder_config", "info_sharing_config", "pred_head_config", "geometric_input_config")
_OPTIONS = ("use_register_tokens_from_encoder", "info_sharing_mlp_layer_str")

# Upstream's own dropping and thinning of inputs: off, since `draw_inputs` decides what a view shows.
_ALL_THAT_IS_GIVEN = {
    "overall_prob": 1.0,
    "dropout_prob": 0.0,
    "ray_dirs_prob": 1.0,
    "depth_prob": 1.0,
    "cam_prob": 1.0,
    "sparse_depth_prob": 0.0,
    "sparsification_removal_percent": 0.0,
    "depth_scale_norm_all_prob": 0.0,
    "pose_scale_norm_all_prob": 0.0,
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """Keyword arguments of upstream's class, and where they come from."""

    source: str
    """A file, or the name of a version."""
    arguments: dict[str, Any]

    def checkpoint_gradients(self, *, encoder: bool, trunk: bool, heads: bool) -> None:
        """Set which parts compute activations again in the backward pass."""
        self.arguments["encoder_config"]["gradient_checkpointing"] = encoder
        self.arguments["info_sharing_config"]["module_args"]["gradient_checkpointing"] = trunk
        for head in ("feature_head", "regressor_head"):
            self.arguments["pred_head_config"][head]["checkpoint_gradient"] = heads


def find_architecture(wanted: str, pretrained: str | None) -> Architecture:
    """The architecture that `model.architecture` names.

    Args:
        wanted: auto, v1.1, v1, or the path of a config.json.
        pretrained: The weights that auto looks beside.

    Raises:
        ConfigError: `wanted` is neither.
        DataError: The file cannot be read, or describes a network that the adapter does not know.
    """
    if wanted == "auto":
        folder = find_folder(pretrained) if pretrained is not None else None
        beside = folder / "config.json" if folder is not None else None
        return _read(beside) if beside is not None and beside.is_file() else _released("v1.1")
    if wanted in _SIZES:
        return _released(wanted)
    path = Path(wanted).expanduser()
    if not path.is_file():
        expected = f"auto, {', '.join(_SIZES)}, or the path of a config.json"
        remedy = "correct model.architecture"
        raise ConfigError("model.architecture", f"{wanted!r} is no file", expected=expected, remedy=remedy)
    return _read(path)


def _read(path: Path) -> Architecture:
    remedy = "download it again, or choose another with model.architecture (v1.1, v1, or a path)"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            path, f"cannot be read: {error}", expected="a config.json of MapAnything", remedy=remedy
        ) from error
    lacking = [part for part in _PARTS if not isinstance(config, dict) or not isinstance(config.get(part), dict)]
    if lacking:
        expected = f"a config.json of MapAnything with {', '.join(_PARTS)}"
        raise DataError(path, f"has no {', '.join(lacking)}", expected=expected, remedy=remedy)
    chosen = {name: config[name] for name in (*_PARTS, *_OPTIONS) if name in config}
    try:
        _check(path, chosen["encoder_config"], chosen["pred_head_config"])
        chosen["info_sharing_config"]["module_args"]
    except KeyError as error:
        raise DataError(path, f"has no {error} where upstream reads it", remedy=remedy) from error
    return _architecture(str(path), chosen)


def _check(path: Path, encoder: dict[str, Any], heads: dict[str, Any]) -> None:
    kind, representation = encoder["encoder_str"], heads["adaptor_type"]
    remedy = "choose weights of MapAnything v1 or v1.1, or of a network that was finetuned from them"
    if kind != "dinov2" or encoder.get("with_registers"):
        found = f"has the encoder {kind}{' with registers' if encoder.get('with_registers') else ''}"
        raise DataError(path, found, expected="dinov2 without registers", remedy=remedy)
    if representation != SCENE_REPRESENTATION:
        raise DataError(path, f"has the outputs {representation}", expected=SCENE_REPRESENTATION, remedy=remedy)


def _released(version: str) -> Architecture:
    return _architecture(version, deepcopy(_SIZES[version]) | {"pred_head_config": _heads()})


def _architecture(source: str, arguments: dict[str, Any]) -> Architecture:
    geometric = deepcopy(_GEOMETRIC_ENCODERS) | arguments.get("geometric_input_config", {}) | _ALL_THAT_IS_GIVEN
    return Architecture(source, {"name": "mapanything"} | arguments | {"geometric_input_config": geometric})


def _heads() -> dict[str, Any]:
    """A DPT head for rays, depth, confidence and mask of each pixel, a pose of each view, and one metric scale."""
    dense = {
        "name": "dense",
        "ray_directions_mode": "linear",
        "ray_directions_normalize_to_unit_sphere": True,
        "ray_directions_normalize_to_unit_image_plane": False,
        "ray_directions_vmin": -inf,
        "ray_directions_vmax": inf,
        "ray_directions_clamp_min_of_z_dir": False,
        "ray_directions_z_dir_min": -inf,
        "depth_mode": "exp",
        "depth_vmin": 0,
        "depth_vmax": inf,
        "confidence_type": "exp",
        "confidence_vmin": 1,
        "confidence_vmax": inf,
    }
    pose = {
        "name": "pose",
        "cam_trans_mode": "linear",
        "cam_trans_vmin": -inf,
        "cam_trans_vmax": inf,
        "quaternions_mode": "linear",
        "quaternions_normalize": True,
        "quaternions_vmin": -inf,
        "quaternions_vmax": inf,
    }
    return {
        "type": "dpt+pose",
        "adaptor_type": SCENE_REPRESENTATION,
        "feature_head": {"feature_dim": 256, "hooks": [0, 1, 2, 3]},
        "regressor_head": {"output_dim": 6},
        "pose_head": {"num_resconv_block": 2, "rot_representation_dim": 4},
        "scale_head": {"output_dim": 1},
        "dpt_adaptor": dense,
        "pose_adaptor": pose,
        "scale_adaptor": {"name": "scale", "mode": "exp", "vmin": 1e-8, "vmax": inf},
    }


def _trunk(depth: int, taps: list[int], **transformer: Any) -> dict[str, Any]:
    arguments = {
        "name": f"{depth} layers",
        "depth": depth,
        "indices": taps,
        "norm_intermediate": True,
        "distinguish_ref_and_non_ref_views": True,
    }
    return {
        "model_type": "alternating_attention",
        "model_return_type": "intermediate_features",
        "custom_positional_encoding": None,
        "module_args": arguments | transformer,
    }


def _encoder(size: str, **options: Any) -> dict[str, Any]:
    fixed = {"encoder_str": "dinov2", "data_norm_type": "dinov2", "with_registers": False, "uses_torch_hub": True}
    return fixed | {"name": f"dinov2_{size}", "size": size} | options


# Parameter counts: v1.1 1228 M, v1 563 M.
_SIZES: dict[str, dict[str, Any]] = {
    "v1.1": {
        "encoder_config": _encoder("giant", keep_first_n_layers=24, norm_returned_features=False),
        "info_sharing_config": _trunk(
            16, [7, 11], dim=1536, num_heads=24, mlp_ratio=4, qkv_bias=True, qk_norm=False, init_values=1e-5
        ),
        "use_register_tokens_from_encoder": True,
        "info_sharing_mlp_layer_str": "swiglufused",
    },
    "v1": {
        "encoder_config": _encoder("large"),
        "info_sharing_config": _trunk(24, [11, 17]),
    },
}

_GEOMETRIC_ENCODERS: dict[str, Any] = {
    "ray_dirs_encoder_config": {
        "encoder_str": "dense_rep_encoder",
        "name": "ray_dirs_encoder",
        "in_chans": 3,
        "apply_pe": False,
    },
    "depth_encoder_config": {
        "encoder_str": "dense_rep_encoder",
        "name": "depth_encoder",
        "in_chans": 1,
        "apply_pe": False,
    },
    "cam_rot_encoder_config": {"encoder_str": "global_rep_encoder", "name": "cam_rot_quats_encoder", "in_chans": 4},
    "cam_trans_encoder_config": {"encoder_str": "global_rep_encoder", "name": "cam_trans_encoder", "in_chans": 3},
    "scale_encoder_config": {"encoder_str": "global_rep_encoder", "name": "scale_encoder", "in_chans": 1},
}
