"""model=constant says what its options say."""

from __future__ import annotations

import math

import pytest
import torch
from toy_views import toy_batch

from mapanything_data.errors import ConfigError
from train.models.constant import Constant
from train.models.protocol import Model
from train.views.inputs import Input, visible_views


def predict(batch, **options):
    return Constant(**options).build()(visible_views(batch, [frozenset({Input.images})] * len(batch)))


def test_all_cameras_are_at_the_origin_and_everything_is_at_one_depth():
    predictions = predict(toy_batch(num_views=3), depth_m=12.5)

    assert len(predictions) == 3
    for view in predictions:
        assert torch.equal(view["depth_along_ray"], torch.full((2, 28, 42, 1), 12.5))
        assert torch.equal(view["cam_trans"], torch.zeros(2, 3))
        assert torch.equal(view["cam_quats"], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(2, 4))
        assert torch.equal(view["metric_scaling_factor"], torch.full((2, 1), 12.5))
        assert torch.equal(view["pts3d"], view["pts3d_cam"])
        assert torch.allclose(view["pts3d"].norm(dim=-1), torch.tensor(12.5))
        assert torch.equal(view["conf"], torch.ones(2, 28, 42))
        assert view["non_ambiguous_mask"].all()


@pytest.mark.parametrize("fov", [40.0, 90.0, 130.0])
def test_rays_are_those_of_the_true_camera_where_the_field_of_view_is_right(fov):
    """A pinhole of focal length w / 2 / tan(fov / 2) sees half of the angle half a pixel beyond the last pixel."""
    (view,) = predict(toy_batch(1, num_views=1, height=29, width=43), horizontal_fov_deg=fov)

    x, y, z = view["ray_directions"][0].unbind(-1)
    focal_length = 43 / 2 / math.tan(math.radians(fov) / 2)
    assert torch.allclose(x / z, ((torch.arange(43) - 21) / focal_length).expand(29, 43), atol=1e-6)
    assert torch.allclose(y / z, ((torch.arange(29) - 14) / focal_length)[:, None].expand(29, 43), atol=1e-6)


def test_rays_agree_with_those_of_the_data():
    """The toy camera's focal length is 0.6 widths, so half of its field of view is atan(0.5 / 0.6)."""
    batch = toy_batch(1, num_views=1)
    fov = 2 * math.degrees(math.atan(0.5 / 0.6))

    (view,) = predict(batch, horizontal_fov_deg=fov)

    assert torch.allclose(view["ray_directions"], batch[0]["ray_directions_cam"], atol=1e-6)


def test_it_has_no_weights_and_a_device():
    net = Constant().build()

    assert isinstance(Constant(), Model)
    assert list(net.parameters()) == []
    assert net.state_dict() == {}
    assert next(net.buffers()).device.type == "cpu"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"depth_m": 0.0}, "model.depth_m"),
        ({"horizontal_fov_deg": 180.0}, "model.horizontal_fov_deg"),
        ({"pretrained": "somewhere.pth"}, "model.pretrained"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, key):
    with pytest.raises(ConfigError) as told:
        Constant(**options)

    assert told.value.where == key
