"""Depth, colour and class of a pixel are those of the point that its centre looks at."""

import mujoco_gl
import numpy as np
import pytest

from mapanything_data.geometry.projection import pixel_grid, project
from mapanything_data.scene import Camera, Pose
from mapanything_data.sim.town.axes import OPENCV_FROM_MUJOCO, mujoco_vectors, opencv_transform
from mapanything_data.sim.town.renderer import Renderer

mujoco = mujoco_gl.load()

CAMERA = Camera.from_fov(200, 150, np.deg2rad(100))
WORLD = """
<mujoco><size nuser_geom="1"/><worldbody>
  <geom type="box" size="500 500 1" pos="0 0 -1" rgba="0 0.5 0 1" user="7" group="0"/>
  <geom name="target" type="box" size="0.5 0.4 0.3" rgba="1 0 0 1" user="10" {box}/>
  <geom type="box" size="0.1 0.1 0.1" pos="0 0 -50" user="1"/>
</worldbody></mujoco>
"""
BOX_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.4, 0.4) for z in (-0.3, 0.3)])


def scene(box):
    model = mujoco.MjModel.from_xml_string(WORLD.format(box=box))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def looking(position, yaw=0.0, pitch=0.0):
    """Pose of a camera in MuJoCo's world: radians to the left and upwards from x."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    R = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]]) @ np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]])
    return Pose(opencv_transform(R, position))


def draw(model, data, pose, camera=CAMERA):
    with Renderer(model, camera.width, camera.height) as renderer:
        renderer.update(data)
        return (*renderer.draw(camera, pose), renderer.draw_classes(camera, pose))


def test_the_change_of_axes_is_a_rotation_and_takes_x_y_z_to_minus_y_minus_z_x():
    assert np.linalg.det(OPENCV_FROM_MUJOCO) == 1
    assert (OPENCV_FROM_MUJOCO @ [1, 2, 3] == [-2, -3, 1]).all()
    assert (mujoco_vectors([-2, -3, 1]) == [1, 2, 3]).all()


@pytest.mark.parametrize("pitch", [0.0, -0.07])
def test_depth_of_the_ground_is_exact(pitch):
    """A camera 1.5 m above the plane z = 0: the pixel's ray, scaled to depth 1, sinks by -d_z, so z = 1.5 / -d_z."""
    model, data = scene('pos="0 0 -20"')
    pose = looking([0, 0, 1.5], yaw=0.3, pitch=pitch)
    _, depth, _ = draw(model, data, pose)

    rays = np.concatenate([(pixel_grid(CAMERA) - [CAMERA.cx, CAMERA.cy]) / CAMERA.fx, np.ones((150, 200, 1))], axis=2)
    sink = -mujoco_vectors(rays @ pose.rotation.T)[..., 2]
    expected = np.where(sink > 0, 1.5 / np.maximum(sink, 1e-9), np.inf)

    near, far = expected < 20, (expected >= 20) & (expected < 120)
    assert near.sum() > 5000
    assert far.sum() > 200
    assert np.abs(depth - expected)[near].max() < 1e-3
    assert np.abs(depth - expected)[far].max() < 1e-2
    assert (depth[sink < 0] == 0).all()


@pytest.mark.parametrize("shift", [0.15, 0.4, 0.65, 0.9])
def test_a_box_covers_exactly_the_pixels_whose_centres_lie_in_its_outline(shift):
    """The front of the box is 4 m away, so its edges move by fx / 4 * metres: they take four places within a pixel, and
    a picture that is off by half a pixel cannot agree at all of them."""
    metre = CAMERA.fx / 4
    y, z = (10.03 + shift) / metre, 20 + (7.03 + shift) / metre
    model, data = scene(f'pos="4.5 {y} {z}"')
    pose = looking([0, 0, 20])
    image, depth, classes = draw(model, data, pose)

    front = np.array([[4, y + side_y * 0.4, z + side_z * 0.3] for side_y in (-1, 1) for side_z in (-1, 1)])
    pixels, _ = project(CAMERA, pose.inverse() @ (front @ OPENCV_FROM_MUJOCO.T))
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    u, v = np.moveaxis(pixel_grid(CAMERA), 2, 0)
    inside = (u > left) & (u < right) & (v > top) & (v < bottom)

    assert inside.sum() > 150
    assert np.array_equal(np.abs(depth - 4) < 1e-5, inside)
    assert np.array_equal(image[..., 0] > 0, classes == 10)
    assert (classes[inside] == 10).all()


def test_depth_of_a_turned_box_lies_on_its_surface():
    model, data = scene('pos="3 0.2 1.2" euler="20 30 40"')
    pose = looking([0, 0, 1.5])
    _, depth, classes = draw(model, data, pose)
    seen = classes == 10
    rays = np.concatenate([(pixel_grid(CAMERA) - [CAMERA.cx, CAMERA.cy]) / CAMERA.fx, np.ones((150, 200, 1))], axis=2)
    world = mujoco_vectors(pose @ (rays * depth[..., None].astype(float))[seen])
    body = (world - data.geom_xpos[1]) @ data.geom_xmat[1].reshape(3, 3)

    assert seen.sum() > 300
    assert np.abs((np.abs(body) / [0.5, 0.4, 0.3]).max(axis=1) - 1).max() < 1e-5


def test_classes_tell_road_from_car_from_sky():
    model, data = scene('pos="3 0 1"')
    _, depth, classes = draw(model, data, looking([0, 0, 1.5]))

    assert set(np.unique(classes)) == {0, 7, 10}
    assert ((classes == 0) == (depth == 0)).all()
