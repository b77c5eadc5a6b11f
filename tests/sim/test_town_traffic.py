"""Cars stay on their lanes and out of each other, for ever."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapanything_data.sim.town.cars import KINDS, SALOON, car_meshes
from mapanything_data.sim.town.ground import LANE_WIDTH, Hills, ground_meshes
from mapanything_data.sim.town.layout import draw_layout
from mapanything_data.sim.town.mesh import merge
from mapanything_data.sim.town.traffic import NEAR, draw_traffic, pose_on, rings

HILLS = Hills(4.0, (120.0, 150.0), (0.3, 1.1))


def town(seed, agents=5, density=1.0, times=(3.4, 4.4, 6.4)):
    rng = np.random.default_rng(seed)
    layout = draw_layout(rng, 2.0)
    return layout, draw_traffic(rng, layout, agents, density, np.array(times))


def outlines(cars, time, gap=0.0):
    """[N, 4, 2] corners of the cars seen from above; moving ones with half of a gap before and behind them."""
    states = [car.at(time) for car in cars]
    ahead = np.array([[np.cos(heading), np.sin(heading)] for _, heading, _ in states])
    left = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    place = np.array([place for place, _, _ in states])
    length, width = (np.array([[getattr(car.kind, size) / 2] for car in cars]) for size in ("length", "width"))
    length = length + np.array([[gap / 2 if car.ring else 0.0] for car in cars])
    return np.stack([place + a * length * ahead + b * width * left for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))], 1)


def overlap(p, q):
    """Whether convex outlines [..., 4, 2] overlap: no edge's normal separates them."""
    apart = False
    for one in (p, q):
        edges = np.roll(one, -1, axis=-2) - one
        normals = np.stack([-edges[..., 1], edges[..., 0]], axis=-1)
        a, b = (np.einsum("...nk,...ck->...nc", normals, shape) for shape in (p, q))
        apart = apart | ((a.max(-1) < b.min(-1)) | (b.max(-1) < a.min(-1))).any(-1)
    return ~apart


def test_the_overlap_test_of_this_file_can_tell():
    square = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1.0]])
    assert overlap(square, square + np.array([1.9, 1.9]))
    assert not overlap(square, square + np.array([2.1, 0]))
    diamond = square @ np.array([[1, 1], [-1, 1]])  # reaches 2 along the axes
    assert not overlap(square, diamond + np.array([2.1, 2.1]))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1000))
def test_no_two_cars_ever_overlap_and_moving_ones_keep_two_metres(seed, time):
    _, traffic = town(seed)
    shapes = outlines(traffic.cars, time, gap=2.0)
    middles = shapes.mean(axis=1)
    i, j = np.nonzero(np.triu(np.linalg.norm(middles[:, None] - middles, axis=-1) < 7, k=1))

    assert len(i) > 20  # bays stand 6.3 m apart
    assert not overlap(shapes[i], shapes[j]).any()


@pytest.mark.parametrize("seed", range(5))
def test_agents_stay_near_the_first_of_them_and_all_are_saloons(seed):
    times = np.arange(68, 268, 2) / 20
    _, traffic = town(seed, density=0.0, times=times)
    agents = [car for car in traffic.cars if car.id in traffic.agents]
    places = np.array([[car.at(time)[0] for time in times] for car in agents])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1).max(axis=2)

    assert len(traffic.cars) == len(agents) == 5  # density 0 leaves only them
    assert distances.max(axis=1).min() < NEAR
    assert {car.kind for car in agents} == {SALOON}


def test_ids_are_positive_and_unique_and_some_scenario_sorts_them_differently_as_text():
    numbers = [town(seed)[1] for seed in range(4)]

    assert all(len({car.id for car in traffic.cars}) == len(traffic.cars) for traffic in numbers)
    assert all(min(traffic.agents) > 0 and list(traffic.agents) == sorted(traffic.agents) for traffic in numbers)
    assert any(sorted(map(str, traffic.agents)) != [str(agent) for agent in traffic.agents] for traffic in numbers)


@pytest.mark.parametrize("turn", [0, 1])
def test_a_ring_is_driven_smoothly_at_unit_speed_with_the_heading_of_its_motion(turn):
    ring = rings((40.0, 36.0))[turn]
    s = np.linspace(0, 2 * ring.length, 20_001)
    place, heading = ring.at(s)
    step, chord = np.diff(place, axis=0), np.diff(s)

    assert np.allclose(np.linalg.norm(step, axis=1), chord, rtol=1e-4)
    along = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    assert ((step / chord[:, None] * along[1:]).sum(axis=1) > 0.999).all()
    # Right-hand traffic: the lane lies to the right of the middle of the street x = 40, which is driven north (outer,
    # counter-clockwise) or south (inner).
    on_east_street = (np.abs(place[:, 1]) < 20) & (place[:, 0] > 0)
    assert np.allclose(place[on_east_street, 0], 40 + (LANE_WIDTH / 2 if turn else -LANE_WIDTH / 2))
    assert np.allclose(along[on_east_street, 1], 1 if turn else -1)


def test_speed_is_the_derivative_of_the_place():
    _, traffic = town(3)
    moving = [car for car in traffic.cars if car.ring]
    h = 1e-4
    speeds = [np.linalg.norm(car.at(5 + h)[0] - car.at(5 - h)[0]) / (2 * h) for car in moving]

    assert np.allclose(speeds, [car.at(5)[2] for car in moving], rtol=1e-4)
    assert all(3 < speed < 9 for speed in speeds)


def test_a_car_on_a_slope_stands_upright_on_the_ground():
    place = np.array([17.0, -9.0])
    R, t = pose_on(HILLS, place, heading=0.7)

    assert np.allclose(R.T @ R, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)
    assert t[2] == HILLS.at(place)
    ahead, left = place + 0.01 * R[:2, 0], place + 0.01 * R[:2, 1]
    assert HILLS.at(ahead) - t[2] == pytest.approx(0.01 * R[2, 0], abs=1e-6)
    assert HILLS.at(left) - t[2] == pytest.approx(0.01 * R[2, 1], abs=1e-6)
    assert np.arctan2(R[1, 0], R[0, 0]) == pytest.approx(0.7)
    assert abs(np.rad2deg(np.arcsin(R[2, 0]))) > 0.5  # it does pitch


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_box_of_a_car_encloses_its_geometry_and_touches_it_on_all_six_sides(kind):
    vertices = merge(car_meshes(kind).values()).vertices

    # MuJoCo's x, y, z are length, width and height; the box starts on the road.
    half_width, half_height, half_length = kind.extent
    assert np.allclose(vertices.min(axis=0), [-half_length, -half_width, 0], atol=1e-9)
    assert np.allclose(vertices.max(axis=0), [half_length, half_width, 2 * half_height], atol=1e-9)


def test_the_ground_has_no_crack():
    """Every upward face shares its edges: inside the town each edge of the grid belongs to two faces, or to a kerb."""
    meshes = ground_meshes(HILLS, (40.0, 36.0))
    surface = merge(meshes.values())
    edges = np.concatenate([surface.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    names = np.rint(edges * 1e6).astype(np.int64)
    names = np.where(
        (names[:, :1] < names[:, 1:]).any(axis=2, keepdims=True) & _first_is_less(names)[:, None, None],
        names,
        names[:, ::-1],
    )
    _, count = np.unique(names.reshape(len(names), 6), axis=0, return_counts=True)
    lonely = np.unique(names.reshape(len(names), 6), axis=0)[count == 1].reshape(-1, 2, 3) / 1e6
    on_rim = (np.abs(lonely[..., :2]) > 219.9).any(axis=-1).all(axis=1)
    upright = np.abs(lonely[:, 0, :2] - lonely[:, 1, :2]).max(axis=1) < 1e-5  # where two kerbs meet end to end

    assert (on_rim | upright).all()


def _first_is_less(names):
    a, b = names[:, 0], names[:, 1]
    differs = (a != b).argmax(axis=1)
    row = np.arange(len(a))
    return a[row, differs] < b[row, differs]
