"""What there is to tell about `dataset=opv2v`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.scene import PointCloud
from mapanything_data.storage.opv2v import (
    OPV2V,
    Annotation,
    FrameKey,
    Index,
    Scenario,
    depth_file,
    read_annotation,
    read_cloud,
    read_depth,
    read_image,
    read_index,
)
from mapanything_data.storage.opv2v.layout import CAMERAS, PCD, YAML, camera_part
from mapanything_data.viz.boxes import (
    BOX_COLOUR,
    Colour,
    Image,
    colour_depth,
    draw_boxes,
    draw_map,
    draw_points,
    mosaic,
)
from mapanything_data.viz.report import FULL_WIDTH, ItemReport, Picture, Report

SCENARIOS_WITH_PICTURES = 10
"""A page of more pictures than theirs is slow to open."""
REACH_M = 60.0
"""From the ego to the edge of the map."""

_CAMERA_NAMES = {0: "front", 1: "right", 2: "left", 3: "rear"}
_FROM_THE_LEFT = (2, 0, 1, 3)
_TILE_WIDTH, _MAP_WIDTH = 292, 460
_AGENT_COLOURS: tuple[Colour, ...] = (
    (96, 165, 250),
    (248, 113, 113),
    (74, 222, 128),
    (192, 132, 252),
    (251, 146, 60),
    (45, 212, 191),
    (244, 114, 182),
)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What one agent senses at the moment that is shown; None where a file is missing or damaged."""

    key: FrameKey
    annotation: Annotation | None
    cloud: PointCloud | None


def summarise(dataset: OPV2V) -> Report:
    """Agents, frames, boxes, points and example pictures of every scenario.

    Raises:
        DataError: There is no OPV2V data set in its root.
    """
    index = read_index(dataset.folder)
    items = [
        _describe(dataset, index, scenario, with_pictures=number < SCENARIOS_WITH_PICTURES)
        for number, scenario in enumerate(index.scenarios)
    ]
    facts = {
        "scenarios": len(items),
        "agents": sum(item.facts["agents"] for item in items),
        "frames": sum(item.facts["frames"] for item in items),
        "common frames": sum(item.facts["common frames"] for item in items),
        "pictures": sum(item.facts["pictures"] for item in items),
        "splits": ", ".join(dict.fromkeys(scenario.split for scenario in index.scenarios)),
        "depth maps": dataset.depth_folder.is_dir(),
    }
    return Report(dataset="opv2v", root=dataset.folder, facts=facts, items=items)


def _describe(dataset: OPV2V, index: Index, scenario: Scenario, *, with_pictures: bool) -> ItemReport:
    agents = list(scenario.agents.values())
    frame = _middle_frame(scenario)
    moments = [
        _read_moment(index, scenario.key(agent.id, frame))
        for agent in agents
        if frame is not None and frame in agent.frames
    ]
    lists = [moment.annotation.vehicles.ids for moment in moments if moment.annotation]
    facts = {
        "agents": len(agents),
        "ids": ", ".join(agent.name for agent in agents),
        "frames": sum(len(agent.frames) for agent in agents),
        "common frames": len(scenario.common_frames()),
        "pictures": sum(len(agent.cameras(frame)) for agent in agents for frame in agent.frames),
        "shown frame": frame,
        "vehicles in it": len(np.unique(np.concatenate(lists))) if lists else 0,
        "points in it": sum(len(moment.cloud.points) for moment in moments if moment.cloud),
    }
    pictures = list(_pictures(dataset, scenario, moments)) if with_pictures else []
    return ItemReport(f"{scenario.split}/{scenario.name}", facts, pictures)


def _middle_frame(scenario: Scenario) -> int | None:
    """A frame that all agents have, or else one that the first agent with frames has."""
    agents = [agent for agent in scenario.agents.values() if agent.frames]
    frames = scenario.common_frames() or (sorted(agents[0].frames) if agents else [])
    return frames[len(frames) // 2] if frames else None


def _read_moment(index: Index, key: FrameKey) -> _Moment:
    try:
        annotation = read_annotation(index.root / key.file(YAML))
    except DataError:
        return _Moment(key, None, None)
    try:
        return _Moment(key, annotation, read_cloud(index.root / key.file(PCD), annotation.T_world_lidar))
    except DataError:
        return _Moment(key, annotation, None)


def _pictures(dataset: OPV2V, scenario: Scenario, moments: Sequence[_Moment]) -> Iterator[Picture]:
    colours = {moment.key.agent: _AGENT_COLOURS[n % len(_AGENT_COLOURS)] for n, moment in enumerate(moments)}
    yield from _maps(scenario, moments, colours)
    for moment in moments:
        yield _agent_picture(dataset, moment)


def _maps(scenario: Scenario, moments: Sequence[_Moment], colours: dict[str, Colour]) -> Iterator[Picture]:
    """The scene from above: every agent's cloud in its colour, all vehicles as boxes."""
    ego = scenario.ego()
    centre = next((moment.annotation for moment in moments if moment.annotation and int(moment.key.agent) == ego), None)
    if centre is None:
        return
    clouds = [
        (
            moment.cloud.T_world_lidar @ moment.cloud.points[np.isfinite(moment.cloud.points).all(axis=1)],
            colours[moment.key.agent],
        )
        for moment in moments
        if moment.cloud is not None
    ]
    of_agents = {int(agent): colour for agent, colour in colours.items()}
    boxes = {
        box.id: (box, of_agents.get(box.id, BOX_COLOUR))
        for moment in moments
        if moment.annotation
        for box in moment.annotation.vehicles.boxes()
    }
    T_world_ego = centre.T_world_agent or centre.T_world_lidar
    image = draw_map(clouds, list(boxes.values()), T_world_ego, reach=REACH_M)
    caption = f"frame {moments[0].key.frame} from above, {2 * REACH_M:.0f} m wide; agent {ego} in the middle looks up"
    yield Picture(caption, image, width=_MAP_WIDTH)
    for agent, colour in colours.items() if len(clouds) > 1 else ():
        own = [cloud for cloud in clouds if cloud[1] == colour]
        alone = draw_map(own, list(boxes.values()), T_world_ego, reach=REACH_M)
        yield Picture(f"the cloud of agent {agent} alone", alone)


def _agent_picture(dataset: OPV2V, moment: _Moment) -> Picture:
    """The cameras of an agent side by side: with boxes, with LiDAR, and their depth maps where there are any."""
    numbers = sorted(
        moment.annotation.cameras if moment.annotation else CAMERAS,
        key=lambda number: _FROM_THE_LEFT.index(number) if number in _FROM_THE_LEFT else number,
    )
    columns = [_camera_tiles(dataset, moment, number) for number in numbers]
    rows = list(zip(*columns, strict=True))
    told = [what for what, row in zip(("boxes", "LiDAR", "depth"), rows, strict=True) if _any_picture(row)]
    names = ", ".join(_CAMERA_NAMES.get(number, camera_part(number)) for number in numbers)
    caption = f"agent {moment.key.agent}, frame {moment.key.frame}: {names}; {' / '.join(told) or 'unreadable'}"
    shown = [row for row in rows if _any_picture(row)]
    return Picture(caption, mosaic(shown, _TILE_WIDTH) if shown else None, width=FULL_WIDTH)


def _any_picture(row: Sequence[Image | None]) -> bool:
    return any(tile is not None for tile in row)


def _camera_tiles(dataset: OPV2V, moment: _Moment, number: int) -> tuple[Image | None, Image | None, Image | None]:
    """A camera's picture with boxes, the same with LiDAR, its depth map; None for what is not there or damaged."""
    try:
        image = read_image(dataset.folder / moment.key.file(camera_part(number)))
    except DataError:
        return None, None, None
    annotation = moment.annotation
    depth = _depth_tile(dataset, moment.key, number)
    if annotation is None or number not in annotation.cameras:
        return image, None, depth
    given = annotation.cameras[number]
    camera = given.camera(image.shape[1], image.shape[0])
    with_boxes = draw_boxes(image, camera, given.T_world_camera, annotation.vehicles.boxes())
    if moment.cloud is None:
        return with_boxes, None, depth
    points = moment.cloud.points[np.isfinite(moment.cloud.points).all(axis=1)]
    return with_boxes, draw_points(image // 2 + 40, camera, given.T_camera_lidar @ points), depth


def _depth_tile(dataset: OPV2V, key: FrameKey, number: int) -> Image | None:
    try:
        return colour_depth(read_depth(dataset.depth_folder / depth_file(key, number, dataset.depth_layout)))
    except DataError:
        return None
