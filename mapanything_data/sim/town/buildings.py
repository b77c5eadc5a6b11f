"""The shapes of houses, trees, lamps and signs."""

from __future__ import annotations

import numpy as np

from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.town.ground import Hills
from mapanything_data.sim.town.layout import House, Layout, Post, Tree
from mapanything_data.sim.town.mesh import Mesh, blob, box, merge, quads, tube, walls
from mapanything_data.sim.town.textures import SIGNS

_FLOOR = 3.0  # metres
_GROUND_FLOOR = 4.0  # metres, from the highest ground that the house touches
_CELLAR = 4.0  # metres of wall below that, so that no hill leaves a gap


def standing_meshes(rng: np.random.Generator, layout: Layout) -> dict[str, Mesh]:
    """Everything that stands on the ground and does not drive, by material."""
    parts: dict[str, list[Mesh]] = {}
    crowns = [blob(rng, 0.14) for _ in range(6)]
    for house in layout.houses:
        _collect(parts, _house(layout.hills, house))
    for tree in layout.trees:
        _collect(parts, _tree(rng, layout.hills, tree, crowns))
    for post in layout.posts:
        _collect(parts, _post(layout.hills, post))
    return {material: merge(meshes) for material, meshes in parts.items()}


def _collect(parts: dict[str, list[Mesh]], new: dict[str, Mesh]) -> None:
    for material, mesh in new.items():
        parts.setdefault(material, []).append(mesh)


def _house(hills: Hills, house: House) -> dict[str, Mesh]:
    (x0, y0), (x1, y1) = house.low, house.high
    outline = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    floor = float(hills.at(outline).max())
    eaves = floor + _GROUND_FLOOR + house.floors * _FLOOR
    facade = f"facade{house.facade}"
    upper = walls(outline, floor + _GROUND_FLOOR, eaves, (12.0, 12.0))
    meshes = {
        "shops": walls(outline, floor, floor + _GROUND_FLOOR, (24.0, _GROUND_FLOOR)),
        "plinth": walls(outline, floor - _CELLAR, floor, (2.0, 2.0)),
    }
    if house.has_gable:
        roof, gables = _gable(house, eaves)
        return meshes | {facade: merge([upper, gables]), "tiles": roof}
    parapet = walls(outline, eaves, eaves + 0.6, (6.0, 6.0))
    inside = walls(outline[::-1], eaves - 0.1, eaves + 0.6, (6.0, 6.0))
    deck = np.array([[[x0, y0, eaves], [x1, y0, eaves], [x1, y1, eaves], [x0, y1, eaves]]])
    cover = quads(deck, deck[0, :, :2] / 6)
    return meshes | {facade: upper, "roof": merge([parapet, inside, cover])}


def _gable(house: House, eaves: float) -> tuple[Mesh, Mesh]:
    """Two slopes with an overhang of 0.4 m, and the triangles below them."""
    (x0, y0), (x1, y1) = house.low, house.high
    along_x = x1 - x0 > y1 - y0
    if not along_x:
        x0, y0, x1, y1 = y0, -x1, y1, -x0  # seen after a quarter turn
    middle, ridge = (y0 + y1) / 2, eaves + 0.42 * (y1 - y0)
    drop = 0.4 * 2 * (ridge - eaves) / (y1 - y0)
    a, b, low, high, base = x0 - 0.3, x1 + 0.3, y0 - 0.4, y1 + 0.4, eaves - drop
    slopes = np.array(
        [
            [[a, low, base], [b, low, base], [b, middle, ridge], [a, middle, ridge]],
            [[b, high, base], [a, high, base], [a, middle, ridge], [b, middle, ridge]],
        ]
    )
    # The fourth corner lies on the edge to the ridge: a triangle as a quad.
    ends = np.array(
        [
            [[x1, y0, eaves], [x1, y1, eaves], [x1, middle, ridge], [x1, (y0 + middle) / 2, (eaves + ridge) / 2]],
            [[x0, y1, eaves], [x0, y0, eaves], [x0, middle, ridge], [x0, (y1 + middle) / 2, (eaves + ridge) / 2]],
        ]
    )
    wide, deep = (b - a) / 6, (high - low) / 2 / 6
    roof = quads(
        np.concatenate([slopes, slopes[:, ::-1] - [0, 0, 0.12]]), np.array([[0, 0], [wide, 0], [wide, deep], [0, deep]])
    )
    plain = quads(ends, [[0.02, 0.02], [0.06, 0.02], [0.04, 0.06], [0.03, 0.04]])
    turn = 0.0 if along_x else np.pi / 2
    return roof.moved([0, 0, 0], turn), plain.moved([0, 0, 0], turn)


def _tree(rng: np.random.Generator, hills: Hills, tree: Tree, crowns: list[Mesh]) -> dict[str, Mesh]:
    foot = np.append(tree.place, hills.at(tree.place))
    top = _above(foot, tree.height)
    parts = []
    for offset, size in (((0, 0, -0.9), 1.0), ((0.45, 0.2, -1.5), 0.72), ((-0.4, -0.3, -1.35), 0.75)):
        crown = crowns[int(rng.integers(len(crowns)))]
        turn = rng.uniform(0, 2 * np.pi)
        parts.append(crown.moved(top + np.array(offset) * tree.crown, turn, tree.crown * size))
    thick = 0.022 * tree.height
    trunk = tube(_above(foot, -0.3), _above(top, -tree.crown), (thick * 1.4, thick), 7, repeat=tree.height / 1.5)
    return {"bark": trunk, "leaves": merge(parts)}


def _post(hills: Hills, post: Post) -> dict[str, Mesh]:
    foot = np.append(post.place, hills.at(post.place))
    towards = np.array([np.cos(post.towards_road), np.sin(post.towards_road), 0.0])
    if post.sign is None:
        head = _above(foot, 6.4)
        pole = tube(foot, head, (0.09, 0.055), 8, repeat=8)
        arm = tube(_above(head, -0.05), head + 1.8 * towards + [0, 0, 0.15], (0.04, 0.035), 6)
        lamp = box([-0.35, -0.13, -0.06], [0.35, 0.13, 0.06]).moved(
            head + 1.9 * towards + [0, 0, 0.15], post.towards_road
        )
        return {"metal": merge([pole, arm, lamp])}
    pole = tube(foot, _above(foot, 2.75), (0.035, 0.035), 6, repeat=4)
    u0, u1 = post.sign / SIGNS, (post.sign + 1) / SIGNS
    front = [[0.05, -0.33, -0.33], [0.05, 0.33, -0.33], [0.05, 0.33, 0.33], [0.05, -0.33, 0.33]]
    back = [[0.04, y, z] for _, y, z in front[::-1]]
    # A sign faces the traffic that comes along the kerb beside it.
    facing = post.towards_road + np.pi / 2
    plate = quads([front], [[u0, 0], [u1, 0], [u1, 1], [u0, 1]]).moved(_above(foot, 2.4), facing)
    reverse = quads([back], [[0, 0], [1, 0], [1, 1], [0, 1]]).moved(_above(foot, 2.4), facing)
    return {"metal": merge([pole, reverse]), "signs": plate}


def _above(point: Floats, metres: float) -> Floats:
    above: Floats = point + np.array([0.0, 0.0, metres])
    return above
