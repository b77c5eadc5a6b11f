"""A small network with the surface of upstream's MapAnything that the adapter builds on.

Same constructor, keys, masks drawn at random, modules under two names, and encoder from torch.hub; nothing else of it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from train.views.prediction import assemble_prediction


class Encoder(nn.Module):
    """Images to a grid of features."""

    def __init__(self, encoder_str, name, size, data_norm_type, with_registers, keep_first_n_layers, **options):
        super().__init__()
        self.data_norm_type, self.patch_size = data_norm_type, 14
        self.keeps_little = options.get("gradient_checkpointing", False)
        self.model = torch.hub.load("facebookresearch/dinov2", f"dinov2_vit{size[0]}14", force_reload=False)
        self.enc_embed_dim = self.model.cls_token.shape[-1]
        del self.model.mask_token
        self.model.blocks = nn.ModuleList(self.model.blocks[:keep_first_n_layers])

    def forward(self, images):
        features = self.model.forward_features
        tokens = (_recomputed(features, images) if self.keeps_little else features(images))["x_norm_patchtokens"]
        return tokens.mT.unflatten(2, (images.shape[2] // 14, images.shape[3] // 14))


class Trunk(nn.Module):
    """Mixes the views of a sample; view 0 differs."""

    def __init__(self, dim, gradient_checkpointing=False, **_):
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(dim, 8 * dim, 1), nn.GELU(), nn.Conv2d(8 * dim, dim, 1))
        self.keeps_little = gradient_checkpointing

    def forward(self, features):  # [V, B, C, h, w]
        mean = features.mean((0, 3, 4), keepdim=True).expand_as(features)
        joined = (features + mean + features[:1]).flatten(0, 1)
        return (_recomputed(self.mix, joined) if self.keeps_little else self.mix(joined)).unflatten(
            0, features.shape[:2]
        )


class FeatureHead(nn.Module):
    """Features to pixels."""

    def __init__(self, dim, checkpoint_gradient=False, **_):
        super().__init__()
        self.grow = nn.Sequential(nn.Upsample(scale_factor=14), nn.Conv2d(dim, 8, 1), nn.GELU(), nn.Conv2d(8, 8, 1))
        self.keeps_little = checkpoint_gradient

    def forward(self, features):
        return _recomputed(self.grow, features) if self.keeps_little else self.grow(features)


class MapAnything(nn.Module):
    """Upstream's surface."""

    def __init__(
        self,
        name,
        encoder_config,
        info_sharing_config,
        pred_head_config,
        geometric_input_config,
        use_register_tokens_from_encoder=False,
        info_sharing_mlp_layer_str="mlp",
    ):
        super().__init__()
        assert encoder_config.pop("uses_torch_hub")
        self.geometric_input_config = geometric_input_config
        self.encoder = Encoder(**encoder_config)
        dim = self.encoder.enc_embed_dim
        self.ray_dirs_encoder = nn.Conv2d(3, dim, 14, 14)
        self.depth_encoder = nn.Conv2d(1, dim, 14, 14)
        self.depth_scale_encoder = nn.Linear(1, dim)
        self.cam_rot_encoder = nn.Linear(4, dim)
        self.cam_trans_encoder = nn.Linear(3, dim)
        self.cam_trans_scale_encoder = nn.Linear(1, dim)
        self.fusion_norm_layer = nn.GroupNorm(1, dim)
        self.info_sharing = Trunk(**info_sharing_config["module_args"] | {"dim": dim})
        self.dpt_feature_head = FeatureHead(dim, **pred_head_config["feature_head"])
        self.dpt_regressor_head = nn.Conv2d(8, pred_head_config["regressor_head"]["output_dim"], 1)
        self.dense_head = nn.Sequential(self.dpt_feature_head, self.dpt_regressor_head)
        self.pose_head = nn.Linear(dim, 7)
        self.scale_head = nn.Linear(dim, 1)

    def forward(self, views):
        features = self.encoder(torch.cat([view["img"] for view in views])).unflatten(0, (len(views), -1))
        features = features + torch.stack([self._geometry(views, number) for number in range(len(views))])
        features = self.info_sharing(self.fusion_norm_layer(features.flatten(0, 1)).unflatten(0, features.shape[:2]))
        scale = self.scale_head(features.mean((0, 3, 4))).exp().clamp(min=1e-8)
        return [self._predict(view, scale) for view in features]

    def _predict(self, features, scale):
        dense = self.dense_head(features).permute(0, 2, 3, 1)
        pose = self.pose_head(features.mean((2, 3)))
        return assemble_prediction(
            rays=normalize(dense[..., :3], dim=-1),
            depth=dense[..., 3:4].exp(),
            quats=normalize(pose[:, 3:], dim=-1),
            trans=pose[:, :3],
            scale=scale,
            conf=1 + dense[..., 4].exp(),
            mask_logits=dense[..., 5],
        )

    def _geometry(self, views, number):
        view, size = views[number], len(views[number]["img"])
        metric = view.get("is_metric_scale", torch.zeros(size, dtype=torch.bool))[:, None, None, None]
        height, width = view["img"].shape[2:]
        rays = view.get("ray_directions_cam", torch.zeros(size, height, width, 3)).permute(0, 3, 1, 2)
        given = self._given("ray_dirs_prob", size) & ("ray_directions_cam" in view)
        out = self.ray_dirs_encoder(rays) * given
        depth = view.get("depth_along_ray", torch.zeros(size, height, width, 1)).permute(0, 3, 1, 2)
        norm = depth.mean((1, 2, 3), keepdim=True).clamp(min=1e-8)
        given = self._given("depth_prob", size) & ("depth_along_ray" in view)
        out = out + self.depth_encoder(depth / norm) * given
        told = given & metric & (torch.rand(size, 1, 1, 1) >= self.geometric_input_config["depth_scale_norm_all_prob"])
        out = out + _everywhere(self.depth_scale_encoder(norm[..., 0, 0].log())) * told
        return out + self._pose(views, number, metric)

    def _pose(self, views, number, metric):
        view, size = views[number], len(views[number]["img"])
        given = self._given("cam_prob", size) & ("camera_pose_quats" in view)
        quats, trans = torch.tensor([[0.0, 0, 0, 1]]).repeat(size, 1), torch.zeros(size, 3)
        if "camera_pose_quats" in view:
            views[0]["camera_pose_quats"]  # upstream, too, takes it for granted that view 0 has a pose
            quats, trans = view["camera_pose_quats"], view["camera_pose_trans"] - views[0]["camera_pose_trans"]
        norm = torch.stack(
            [v["camera_pose_trans"].norm(dim=-1) for v in views if "camera_pose_trans" in v] or [trans[:, 0]]
        )
        norm = norm.mean(0)[:, None].clamp(min=1e-8)
        out = _everywhere(self.cam_rot_encoder(quats) + self.cam_trans_encoder(trans / norm)) * given
        told = given & metric & (torch.rand(size, 1, 1, 1) >= self.geometric_input_config["pose_scale_norm_all_prob"])
        return out + _everywhere(self.cam_trans_scale_encoder(norm.log())) * told

    def _given(self, chance, size):
        options = self.geometric_input_config
        drawn = (torch.rand(size) < options[chance]) & (torch.rand(size) < options["overall_prob"])
        return (drawn & (torch.rand(size) >= options["dropout_prob"]))[:, None, None, None]


def _everywhere(features):
    return features[..., None, None]


def _recomputed(function, argument):
    return checkpoint(function, argument, use_reentrant=False)
