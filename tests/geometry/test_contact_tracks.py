"""Points on moving pads, in space and in pictures, derived again with SciPy's rotations and `project`."""

from __future__ import annotations

import numpy as np
import pytest
from contact_motions import LENS, random_motion, static_camera, straight_motion, wrist_camera
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from mapanything_data.geometry import in_image, invert, project, transform_points
from mapanything_data.geometry.contact_tracks import (
    _pixels,
    compose,
    contact_tracks,
    gripper_poses,
    occluded_by_depth,
    project_tracks,
)
from mapanything_data.geometry.gripper import mount, pad_translations
from mapanything_data.scene import Camera, StaticCamera

seeds = st.integers(0, 2**32 - 1)


def derived_points(motion):
    """[T, 2N, 3] float64 of the same points, by SciPy's rotations."""
    everything = []
    for T, closed in zip(motion.T_world_flange, motion.gripper_positions, strict=True):
        in_gripper = (motion.pad_points + pad_translations(closed)[:, None]).reshape(-1, 3)
        in_flange = Rotation.from_matrix(motion.T_flange_gripper[:3, :3].copy()).apply(in_gripper)
        in_flange = in_flange + motion.T_flange_gripper[:3, 3]
        everything.append(Rotation.from_matrix(T[:3, :3].copy()).apply(in_flange) + T[:3, 3])
    return np.array(everything)


def test_a_gripper_that_hangs_above_the_origin_has_its_pads_where_one_expects_them():
    # The flange looks down from 0.5 m: x as in the world, y and z the other way. With the mount's quarter turn the
    # fingers close along the world's -y. Open, the pads' frames are 69.3 + 43.05 mm below the flange, 42.5 mm aside.
    down = np.diag([1.0, -1.0, -1.0, 1.0])
    down[2, 3] = 0.5
    motion = straight_motion([0.0], T_world_flange=np.array([down, down]), T_flange_gripper=mount())
    tracks = contact_tracks(motion)
    left, right = tracks.tracks_3d[0].reshape(2, -1, 3)
    np.testing.assert_allclose(left[:, 1], -0.0425, atol=1e-7)
    np.testing.assert_allclose(right[:, 1], 0.0425, atol=1e-7)
    np.testing.assert_allclose(left[:, 2], 0.5 - 0.11235 - motion.pad_points[0, :, 2], atol=1e-5)
    np.testing.assert_allclose(tracks.contact_frames[0, :3, 0], [0, -1, 0], atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_tracks_agree_with_scipys_rotations(seed):
    motion = random_motion(seed)
    np.testing.assert_allclose(contact_tracks(motion).tracks_3d, derived_points(motion), atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_points_of_a_pad_keep_their_distances(seed):
    motion = random_motion(seed)
    for tracks in contact_tracks(motion).tracks_3d.astype(np.float64):
        for pad, points in zip(tracks.reshape(2, -1, 3), motion.pad_points, strict=True):
            np.testing.assert_allclose(pdist(pad), pdist(points), atol=2e-7)  # float32 at a metre: 6e-8


@given(seeds)
def test_the_pads_of_a_closed_gripper_are_one(seed):
    motion = random_motion(seed, gripper_positions=np.ones(12))
    left, right = np.split(contact_tracks(motion).tracks_3d, 2, axis=1)
    np.testing.assert_array_equal(left, right)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_frames_have_the_grippers_axes_and_their_origin_in_the_mean_of_the_points(seed):
    motion = random_motion(seed)
    tracks, points = contact_tracks(motion), derived_points(motion)
    left, right = np.split(points, 2, axis=1)
    R = motion.T_world_flange[:, :3, :3] @ motion.T_flange_gripper[:3, :3]
    for frames, where in (
        (tracks.contact_frames, points),
        (tracks.left_contact_frames, left),
        (tracks.right_contact_frames, right),
    ):
        np.testing.assert_allclose(frames[:, :3, 3], where.mean(axis=1), atol=1e-14)
        np.testing.assert_allclose(frames[:, :3, :3], R, atol=1e-14)
        np.testing.assert_array_equal(frames[:, 3], np.tile([0, 0, 0, 1], (12, 1)))
    np.testing.assert_array_equal(tracks.contact_centroids, tracks.contact_frames[:, :3, 3])


def test_a_step_has_the_same_bits_alone_and_among_others():
    motion = random_motion(3, steps=70, points=300)  # 27 steps a block
    alone = random_motion(
        3, steps=1, T_world_flange=motion.T_world_flange[60:61], gripper_positions=motion.gripper_positions[60:61],
        pad_points=motion.pad_points, T_flange_gripper=motion.T_flange_gripper,
    )  # fmt: skip
    np.testing.assert_array_equal(contact_tracks(alone).tracks_3d[0], contact_tracks(motion).tracks_3d[60])
    for serial in motion.cameras:
        np.testing.assert_array_equal(
            project_tracks(alone, serial).pixels[0], project_tracks(motion, serial).pixels[60]
        )


@given(seeds)
def test_compose_is_the_product_of_matrices(seed):
    motion = random_motion(seed)
    product = motion.T_world_flange @ motion.T_flange_gripper
    np.testing.assert_allclose(compose(motion.T_world_flange, motion.T_flange_gripper), product, atol=1e-15)
    np.testing.assert_array_equal(gripper_poses(motion), compose(motion.T_world_flange, motion.T_flange_gripper))


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([static_camera(), static_camera(LENS), wrist_camera(), wrist_camera(LENS)]))
def test_pixels_are_those_of_project(seed, camera):
    motion = random_motion(seed, jump=0.3, cameras={"1": camera})  # far enough to pass behind the camera
    tracks = project_tracks(motion, "1")
    T_camera_world = invert(camera.poses(motion.T_world_flange))
    pixels, visible = project(camera.camera, transform_points(T_camera_world[:, None], derived_points(motion)))
    np.testing.assert_array_equal(tracks.is_in_front, visible)
    np.testing.assert_array_equal(np.isnan(tracks.pixels).any(axis=-1), ~visible)
    np.testing.assert_allclose(tracks.pixels, pixels, rtol=1e-6, atol=1e-3)
    np.testing.assert_array_equal(tracks.is_in_image, in_image(camera.camera, tracks.pixels))
    assert tracks.pixels.dtype == np.float32


@pytest.mark.parametrize("distortion", [static_camera().camera.distortion, LENS])
def test_points_on_and_behind_the_cameras_plane_have_no_pixel(distortion):
    # The camera stands in the gripper's centre and looks along the world's x, in which the gripper moves by 3 m.
    axes = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0], [0, -1, 0, 0.112], [0, 0, 0, 1]])
    camera = Camera(640, 480, 500.0, 500.0, 319.5, 239.5, distortion)
    motion = straight_motion([1000.0, 1000.0, 1000.0], cameras={"1": StaticCamera(camera, axes)})
    tracks = project_tracks(motion, "1")
    assert not tracks.is_in_front[:2].any()
    assert np.isnan(tracks.pixels[:2]).all()
    assert tracks.is_in_front[2:].all()
    assert tracks.is_in_image[3].all()


coordinates = st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e-200, -1e-200, 1e160, 5e-324, np.nan])


@settings(max_examples=300)
@given(st.lists(st.tuples(coordinates, coordinates, coordinates), min_size=1, max_size=5))
def test_the_fast_way_of_a_pinhole_is_project_at_every_odd_point(points):
    camera = static_camera().camera
    columns, rows, visible = _pixels(camera, np.array(points).T.copy())
    pixels, expected = project(camera, points)
    np.testing.assert_array_equal(visible, expected)
    np.testing.assert_array_equal(np.stack([columns, rows], axis=-1), pixels)


@settings(max_examples=30)
@given(seeds, st.floats(0, 1))
def test_a_wrist_camera_sees_the_pads_by_the_aperture_alone(seed, closed):
    apertures = np.array([closed, 0.0, closed, 1.0, closed])
    motion = random_motion(seed, steps=5, gripper_positions=apertures)
    pixels = project_tracks(motion, "11").pixels
    np.testing.assert_array_equal(pixels[0], pixels[2])
    np.testing.assert_array_equal(pixels[0], pixels[4])


def test_pads_close_towards_each_other_in_the_wrist_camera():
    # The camera's y is the flange's, along which the fingers close, so the left pad comes from below (+y).
    motion = random_motion(0, steps=3, gripper_positions=np.array([0.0, 0.5, 1.0]), T_flange_gripper=mount())
    tracks = project_tracks(motion, "11")
    left, right = (rows.mean(axis=1) for rows in np.split(tracks.pixels[..., 1], 2, axis=1))
    assert left[0] > left[1] > left[2]
    assert right[0] < right[1] < right[2]
    assert left[2] == pytest.approx(right[2])
    assert tracks.is_in_image.all()


def occlusion(depth, tolerance=0.01, motion=None):
    motion = motion or random_motion(1, steps=3)
    return motion, occluded_by_depth(motion, "12", [(1, depth)], tolerance)


def depths_of_points(motion, serial):
    camera = motion.cameras[serial]
    return transform_points(invert(camera.poses(motion.T_world_flange))[:, None], derived_points(motion))[..., 2]


def test_what_stands_before_a_point_by_more_than_the_tolerance_hides_it():
    motion = random_motion(1, steps=3)
    nearest = depths_of_points(motion, "12")[1].min()
    _, hidden = occlusion(np.full((480, 640), nearest - 0.011, np.float32))
    assert hidden[1].all()
    assert not hidden[[0, 2]].any()  # steps without a map
    _, hidden = occlusion(np.full((480, 640), nearest - 0.009, np.float32))
    assert not hidden[1, depths_of_points(motion, "12")[1].argmin()]


@pytest.mark.parametrize("metres", [0.0, 50.0, np.nan, np.inf])
def test_nothing_measured_and_what_stands_behind_hide_nothing(metres):
    _, hidden = occlusion(np.full((480, 640), metres, np.float32))
    assert not hidden.any()


def test_only_the_pixel_of_a_point_is_looked_at():
    motion = random_motion(1, steps=3)
    tracks = project_tracks(motion, "12")
    assert tracks.is_in_image[1].all()
    column, row = np.rint(tracks.pixels[1, 4]).astype(int)
    depth = np.zeros((480, 640), np.float32)
    depth[row, column] = 0.05
    _, hidden = occlusion(depth)
    same_pixel = (np.rint(tracks.pixels[1]) == [column, row]).all(axis=-1)
    np.testing.assert_array_equal(hidden[1], same_pixel)


def test_points_beside_the_picture_are_not_hidden():
    motion = random_motion(1, steps=3, jump=3.0)
    depth = np.full((480, 640), 1e-3, np.float32)
    hidden = occluded_by_depth(motion, "12", [(step, depth) for step in range(3)], 0.0)
    tracks = project_tracks(motion, "12")
    np.testing.assert_array_equal(hidden, tracks.is_in_image)


def test_depth_of_another_size_or_step_is_refused():
    with pytest.raises(ValueError, match=r"depth has shape \[3, 4\], expected \[480, 640\]"):
        occlusion(np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="step 3 has a depth map"):
        occluded_by_depth(random_motion(1, steps=3), "12", [(3, np.zeros((480, 640), np.float32))], 0.0)
