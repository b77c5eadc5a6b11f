"""The town as a MuJoCo model: fixed things merged by material, and a body that can be placed for every car."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapanything_data.sim.town.buildings import standing_meshes
from mapanything_data.sim.town.cars import KINDS, car_meshes
from mapanything_data.sim.town.ground import ground_meshes
from mapanything_data.sim.town.layout import Layout
from mapanything_data.sim.town.mesh import Mesh
from mapanything_data.sim.town.textures import Image, draw_sky, draw_textures
from mapanything_data.sim.town.traffic import Car

CLASSES = {
    "building": 1, "pole": 5, "road": 7, "sidewalk": 8, "vegetation": 9, "vehicle": 10, "traffic_sign": 12,
    "terrain": 22,
}  # fmt: skip
"""Class of a pixel in the segmentation: the tags of CARLA up to 0.9.13; 0 is the sky."""
_CLASS_OF_MATERIAL = {
    "road": "road", "crossing": "road", "junction": "road", "pavement": "sidewalk", "kerb": "sidewalk",
    "grass": "terrain", "bark": "vegetation", "leaves": "vegetation", "metal": "pole", "signs": "traffic_sign",
    "paint": "vehicle", "trim": "vehicle",
}  # fmt: skip
_SHINE = {"paint": 0.5, "trim": 0.3}


FixedMeshes = dict[tuple[str, str], Mesh]
"""What never moves, by name and material."""


def build_model(rng: np.random.Generator, fixed: FixedMeshes, cars: list[Car]) -> Any:
    """A compiled `mujoco.MjModel`; its mocap bodies are the cars in the given order.

    Every geom has the class of `CLASSES` as its `user[0]`.
    """
    import mujoco

    spec = mujoco.MjSpec()
    spec.nuser_geom = 1
    _add_sun_and_sky(spec, rng)
    for name, image in draw_textures(rng).items():
        _add_material(spec, name, image)
    for (name, material), mesh in fixed.items():
        _add_mesh(spec, name, mesh)
        _place(spec.worldbody, name, material)
    for kind in KINDS:
        for name, mesh in car_meshes(kind).items():
            _add_mesh(spec, f"{kind.name}_{name}", mesh)
    for car in cars:
        body = spec.worldbody.add_body(name=f"car_{car.id}", mocap=True)
        _place(body, f"{car.kind.name}_paint", "paint", car.colour)
        _place(body, f"{car.kind.name}_trim", "trim")
    return spec.compile()


def fixed_meshes(rng: np.random.Generator, layout: Layout) -> FixedMeshes:
    """The streets and everything on them but cars."""
    ground = ground_meshes(layout.hills, layout.streets)
    standing = standing_meshes(rng, layout)
    return {(f"ground_{material}", material): mesh for material, mesh in ground.items()} | {
        (f"standing_{material}", material): mesh for material, mesh in standing.items()
    }


def _add_sun_and_sky(spec: Any, rng: np.random.Generator) -> None:
    import mujoco

    elevation, azimuth = rng.uniform(0.6, 1.0), rng.uniform(0, 2 * np.pi)
    sun = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[100 * axis for axis in sun],
        dir=[-axis for axis in sun],
        diffuse=[0.62, 0.60, 0.55],
        specular=[0.4, 0.4, 0.4],
        ambient=[0.0, 0.0, 0.0],
        castshadow=False,  # MuJoCo's shadows speckle lit ground, for each camera otherwise, and triple the time
    )
    spec.visual.headlight.ambient = [0.52, 0.54, 0.58]
    spec.visual.headlight.diffuse = [0.08, 0.08, 0.08]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    image = draw_sky(rng)
    height, width = image.shape[:2]
    sky = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=width, height=height, nchannel=3)
    sky.data = image.tobytes()


def _add_material(spec: Any, name: str, image: Image) -> None:
    import mujoco

    height, width = image.shape[:2]
    texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3)
    texture.data = image[::-1].tobytes()
    material = spec.add_material(name=name, specular=_SHINE.get(name, 0.0), shininess=0.6)
    textures = material.textures
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    material.textures = textures


def _add_mesh(spec: Any, name: str, mesh: Mesh) -> None:
    import mujoco

    faces = mesh.faces.astype(np.int32).ravel()
    spec.add_mesh(
        name=name,
        uservert=mesh.vertices.astype(np.float32).ravel(),
        usernormal=mesh.normals.astype(np.float32).ravel(),
        usertexcoord=mesh.texcoords.astype(np.float32).ravel(),
        userface=faces,
        userfacetexcoord=faces,
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )


def _place(body: Any, mesh_name: str, material: str, colour: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
    import mujoco

    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=mesh_name,
        material=material,
        rgba=[*colour, 1.0],
        contype=0,
        conaffinity=0,
        userdata=[CLASSES[_CLASS_OF_MATERIAL.get(material, "building")]],
    )
