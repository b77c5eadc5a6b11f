"""What cameras see: colours, exact z-depth and classes."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import ConfigError
from mapanything_data.scene import Camera, Pose
from mapanything_data.sim.town.axes import mujoco_vectors

NEAR, FAR = 0.1, 4000.0
"""Metres: nothing nearer or farther is drawn. MuJoCo hangs its sky at nearly half of FAR."""
SKY = 700.0
"""Metres: what lies deeper is the sky; the town's corners are 622 m apart."""


class Renderer:
    """An off-screen OpenGL context that holds one model; use it as a context manager.

    Every pixel is one sample at its centre, so that colour, depth and class belong to the same point.

    Raises:
        ConfigError: The chosen OpenGL does not work.
    """

    def __init__(self, model: Any, width: int, height: int) -> None:
        import mujoco

        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        model.vis.quality.offsamples = 0
        self._model = model
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        try:
            self._gl: Any = mujoco.GLContext(width, height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except (AttributeError, RuntimeError, mujoco.FatalError) as error:
            raise ConfigError(
                "MUJOCO_GL",
                f"OpenGL with {os.environ.get('MUJOCO_GL')!r} cannot draw here ({error})",
                expected="egl or osmesa, before anything imports mujoco",
                remedy="leave MUJOCO_GL unset, so that what works is chosen",
            ) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        # 1 at the near plane and 0 at the far one, as it is kept: float32 is finest where depth is coarsest.
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the graphics driver holds."""
        if self._gl is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._gl = None

    def update(self, data: Any) -> None:
        """Take over where everything is now."""
        import mujoco

        self._gl.make_current()
        every = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, mujoco.MjvOption(), None, mujoco.MjvCamera(), every, self._scene)

    def draw(self, camera: Camera, T_world_camera: Pose) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Colours [H, W, 3] uint8 RGB and z-depth [H, W] float32 metres, 0 in the sky."""
        self._look(camera, T_world_camera)
        image, window_depth = self._read(with_depth=True)
        depth = window_depth[::-1] * np.float32((FAR - NEAR) / (NEAR * FAR))
        depth += np.float32(1 / FAR)
        np.reciprocal(depth, out=depth)
        depth[depth > SKY] = 0
        return image, depth

    def draw_classes(self, camera: Camera, T_world_camera: Pose) -> NDArray[np.uint8]:
        """The class of every pixel, [H, W] uint8; 0 is the sky."""
        import mujoco

        self._look(camera, T_world_camera)
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        image, _ = self._read(with_depth=False)
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        number = image.astype(np.int32) @ np.array([1, 256, 65536], dtype=np.int32)
        class_of = np.zeros(self._scene.ngeom + 1, dtype=np.uint8)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            class_of[geom.segid + 1] = self._model.geom_user[geom.objid, 0]
        return class_of[number]

    def _look(self, camera: Camera, T_world_camera: Pose) -> None:
        eye = mujoco_vectors(T_world_camera.translation)
        _, down, forward = mujoco_vectors(T_world_camera.rotation.T)
        left, right = (NEAR * (edge - camera.cx) / camera.fx for edge in (-0.5, camera.width - 0.5))
        top, bottom = (NEAR * (camera.cy - edge) / camera.fy for edge in (-0.5, camera.height - 0.5))
        for gl_camera in self._scene.camera:
            gl_camera.pos, gl_camera.forward, gl_camera.up = eye, forward, -down
            gl_camera.frustum_center, gl_camera.frustum_width = (left + right) / 2, (right - left) / 2
            gl_camera.frustum_bottom, gl_camera.frustum_top = bottom, top
            gl_camera.frustum_near, gl_camera.frustum_far = NEAR, FAR

    def _read(self, *, with_depth: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        import mujoco

        size = (self._viewport.height, self._viewport.width)
        image, depth = np.empty((*size, 3), dtype=np.uint8), np.empty(size, dtype=np.float32)
        self._gl.make_current()
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(image, depth if with_depth else None, self._viewport, self._context)
        return np.ascontiguousarray(image[::-1]), depth
