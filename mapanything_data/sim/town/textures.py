"""What surfaces look like: pictures drawn from a seed, which repeat without a seam.

Every surface carries noise at many scales, so that features can be matched on it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.town.ground import LANE_WIDTH, PARKING_WIDTH, ROAD_HALF_WIDTH, ROAD_TEXTURE_LENGTH

Image = NDArray[np.uint8]

FACADES = 7
_WALL_COLOURS = (
    (196, 178, 150), (158, 92, 74), (205, 204, 198), (170, 150, 118), (142, 150, 158), (214, 190, 132), (178, 120, 96),
)  # fmt: skip
TRIM_CELLS = ("tyre", "rim", "glass", "headlight", "taillight", "plate", "grille", "underbody")
"""Parts of a car in its texture, from left to right, each an eighth of the width."""
SIGNS = 4
_SKY_SIZE = 256


def draw_textures(rng: np.random.Generator) -> dict[str, Image]:
    """All textures of a town by material, [H, W, 3] uint8; the first row is the top (v = 1)."""
    painters: dict[str, Callable[[np.random.Generator], Floats]] = {
        "road": _road,
        "crossing": _crossing,
        "junction": _asphalt,
        "pavement": _pavement,
        "kerb": lambda rng: _noisy(rng, (150, 148, 142), 256, 0.10),
        "plinth": lambda rng: _noisy(rng, (128, 124, 118), 256, 0.12),
        "grass": _grass,
        "roof": _roof,
        "tiles": _tiles,
        "shops": _shops,
        "bark": lambda rng: _noisy(rng, (92, 74, 58), 128, 0.30),
        "leaves": _leaves,
        "metal": lambda rng: _noisy(rng, (112, 116, 120), 64, 0.10),
        "signs": _signs,
        "paint": lambda rng: _noisy(rng, (245, 245, 245), 256, 0.03),
        "trim": _trim,
    }
    painters |= {f"facade{k}": partial(_facade, colour=_WALL_COLOURS[k], style=k % 3) for k in range(FACADES)}
    # A generator for each, so that a change of one picture leaves the others as they are.
    generators = rng.spawn(len(painters))
    return {
        name: np.clip(paint(own), 0, 255).astype(np.uint8)
        for (name, paint), own in zip(painters.items(), generators, strict=True)
    }


def draw_sky(rng: np.random.Generator) -> Image:
    """Blue with clouds: the six faces of a cube from top to bottom, [6 * N, N, 3] uint8, in OpenGL's order and axes.

    The clouds are waves through space, so that no seam shows where faces meet.
    """
    t, s = np.meshgrid(*[(np.arange(_SKY_SIZE) + 0.5) / _SKY_SIZE * 2 - 1] * 2, indexing="ij")
    one = np.ones_like(s)
    faces = [(one, -t, -s), (-one, -t, s), (s, one, t), (s, -one, -t), (s, -t, one), (-s, -t, -one)]
    direction = np.stack([np.stack(face, axis=-1) for face in faces])
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    height = np.maximum(direction[..., 1], 0.0)
    # Clouds lie in a layer: towards the horizon they are seen from the side and crowd together.
    layer = direction / (height + 0.25)[..., None]
    density = np.zeros_like(height)
    for octave in range(1, 6):
        waves = rng.normal(0, 2.2**octave, (6, 3))
        density += (np.sin(layer @ waves.T + rng.uniform(0, 2 * np.pi, 6)) * 1.6**-octave).sum(axis=-1)
    cover = (
        np.clip(density / density.std() * 0.5 + rng.uniform(-0.3, 0.3), 0, 1)[..., None] * np.sqrt(height)[..., None]
    )
    blue = np.array((214, 224, 234)) + (np.array((74, 122, 188)) - (214, 224, 234)) * np.sqrt(height)[..., None]
    sky = blue + cover * (np.array((244, 245, 247)) - blue)
    cube: Image = sky.clip(0, 255).astype(np.uint8).reshape(6 * _SKY_SIZE, _SKY_SIZE, 3)
    return cube


def noise(rng: np.random.Generator, height: int, width: int, roughness: float = 1.1) -> Floats:
    """Clouds [height, width] of mean 0 and deviation 1, which repeat; a large roughness leaves only coarse ones."""
    if height * width > 512 * 512:  # the finest are two pixels wide then, which takes a quarter of the time
        return noise(rng, height // 2, width // 2, roughness).repeat(2, axis=0).repeat(2, axis=1)
    fy, fx = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width
    frequency = np.maximum(np.hypot(fy, fx), 1.0)
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**roughness
    spectrum[0, 0] = 0.0
    clouds = np.fft.irfft2(spectrum, (height, width))
    clouds /= clouds.std()
    return clouds


def _noisy(
    rng: np.random.Generator, colour: ArrayLike, size: int | tuple[int, int], contrast: float, roughness: float = 0.9
) -> Floats:
    height, width = (size, size) if isinstance(size, int) else size
    clouds = contrast * noise(rng, height, width, roughness)
    # The same clouds elsewhere tint each channel a little: a fifth of the time of new ones.
    tint = np.stack([np.roll(clouds, (height // shift, width // shift), (0, 1)) for shift in (2, 3, 5)], axis=-1)
    noisy: Floats = np.asarray(colour) * (1 + clouds[..., None] + 0.15 * tint)
    return noisy


def _asphalt(rng: np.random.Generator) -> Floats:
    image = _noisy(rng, (92, 92, 95), 1024, 0.10, 0.7)
    image[rng.random((1024, 1024)) < 0.02] *= 1.25  # grains of stone
    cracks = np.abs(noise(rng, 1024, 1024, 1.8)) < 0.012
    image[cracks & (noise(rng, 1024, 1024, 2.0) > 0.4)] *= 0.6
    for _ in range(5):  # places that were mended
        x, y, w, h = rng.integers((0, 0, 60, 60), (900, 900, 220, 260))
        image[y : y + h, x : x + w] *= rng.uniform(0.78, 0.92)
    return image


def _road(rng: np.random.Generator) -> Floats:
    """Across: parking, lane, lane, parking; up is along the road."""
    image = _asphalt(rng)
    worn = 0.80 + 0.2 * np.clip(noise(rng, 1024, 1024, 0.9) * 0.5 + 0.6, 0, 1)
    paint = np.array((222, 220, 210)) * worn[..., None]

    per_metre = 1024 / (2 * ROAD_HALF_WIDTH)

    def stripe(x: float, y0: float, y1: float, width: float = 0.14) -> None:
        columns = slice(*(round((x + side * width / 2 + ROAD_HALF_WIDTH) * per_metre) for side in (-1, 1)))
        rows = slice(*(round(edge / ROAD_TEXTURE_LENGTH * 1024) for edge in (y0, y1)))
        image[rows, columns] = paint[rows, columns]

    for start in (1.5, 7.5):
        stripe(0.0, start, start + 3.0)
    for side in (-1, 1):
        stripe(side * LANE_WIDTH, 0.0, ROAD_TEXTURE_LENGTH, 0.10)
        for start in (0.0, 6.0):  # bays for parked cars
            middle = side * (LANE_WIDTH + PARKING_WIDTH / 2)
            stripe(middle, start, start + 0.10, PARKING_WIDTH)
    # Wheels polish and darken two tracks in each lane.
    x = (np.arange(1024) + 0.5) / 1024 * 2 * ROAD_HALF_WIDTH - ROAD_HALF_WIDTH
    tracks = np.exp(-(((np.abs(x)[:, None] - (0.95, 2.55)) / 0.35) ** 2)).sum(axis=1)
    image *= (1 - 0.10 * tracks)[None, :, None]
    return image


def _crossing(rng: np.random.Generator) -> Floats:
    image = _asphalt(rng)[:256]
    x = np.arange(1024) / 1024 * 2 * ROAD_HALF_WIDTH
    bars = (x % 1.0) < 0.5
    worn = 0.78 + 0.22 * np.clip(noise(rng, 256, 1024, 0.9) * 0.5 + 0.6, 0, 1)
    image[20:236, bars] = (np.array((222, 220, 210)) * worn[..., None])[20:236, bars]
    return image


def _pavement(rng: np.random.Generator) -> Floats:
    """Slabs of half a metre."""
    image = _noisy(rng, (164, 158, 150), 1024, 0.07, 0.8)
    slabs = rng.uniform(0.86, 1.08, (12, 12))
    image *= np.kron(slabs, np.ones((86, 86)))[:1024, :1024, None]
    lines = np.arange(1024) % 86 < 3
    image[lines] *= 0.68
    image[:, lines] *= 0.68
    return image


def _grass(rng: np.random.Generator) -> Floats:
    image = _noisy(rng, (88, 112, 56), 1024, 0.20, 0.55)
    dry = np.clip(noise(rng, 1024, 1024, 1.4) - 0.5, 0, 1)[..., None]
    return image * (1 - 0.5 * dry) + np.array((136, 126, 78)) * 0.5 * dry


def _roof(rng: np.random.Generator) -> Floats:
    return _noisy(rng, (108, 104, 102), 256, 0.15, 0.8)


def _tiles(rng: np.random.Generator) -> Floats:
    image = _noisy(rng, (150, 78, 58), 512, 0.10, 0.7)
    image *= np.kron(rng.uniform(0.85, 1.12, (32, 32)), np.ones((16, 16)))[..., None]
    image[np.arange(512) % 16 < 3] *= 0.65
    return image


def _leaves(rng: np.random.Generator) -> Floats:
    dark = noise(rng, 256, 256, 0.5)[..., None]
    return np.array((66, 98, 42)) * (1 + 0.32 * np.clip(dark, -2, 2.2)) + np.array((10, 8, 0)) * dark


def _facade(rng: np.random.Generator, colour: tuple[int, int, int], style: int) -> Floats:
    """Four floors of four windows, 12 m by 12 m."""
    image = _noisy(rng, colour, 1024, 0.07, 0.8)
    if style == 1:
        image *= _bricks(rng)[..., None]
    image *= (1 - 0.10 * np.clip(noise(rng, 1024, 1024, 1.7), 0, 2))[..., None]  # dirt
    frame = np.array((225, 222, 215)) if style != 2 else np.array((70, 62, 56))
    for floor in range(4):
        image[floor * 256 + 244 : floor * 256 + 252] *= 0.80 if style != 2 else 1.12  # ledge between floors
        for bay in range(4):
            x, y = bay * 256 + 72 - 12 * style, floor * 256 + 44
            _window(rng, image, (x, y, 112 + 24 * style, 150), frame)
    return image


def _bricks(rng: np.random.Generator) -> Floats:
    rows, columns = np.arange(1024) // 8, np.arange(1024)
    shifted = columns[None] + 10 * (rows[:, None] % 2)
    bricks = rng.uniform(0.82, 1.12, (128, 52))[rows[:, None], shifted // 20 % 52]
    mortar = (np.arange(1024)[:, None] % 8 < 1) | (shifted % 20 < 2)
    return np.where(mortar, 1.22, bricks)


def _window(rng: np.random.Generator, image: Floats, area: tuple[int, int, int, int], frame: Floats) -> None:
    x, y, w, h = area
    image[y - 8 : y + h + 8, x - 8 : x + w + 8] = frame * rng.uniform(0.9, 1.0)
    rise = np.linspace(1.15, 0.75, h)[:, None, None]
    reflected = 1 + 0.18 * noise(rng, h, w, 1.5)[..., None]
    image[y : y + h, x : x + w] = np.array(rng.choice([(74, 92, 110), (52, 60, 70), (96, 112, 126)])) * rise * reflected
    if rng.random() < 0.4:  # a curtain or blind
        drop = int(h * rng.uniform(0.25, 1.0))
        cloth = np.array(rng.choice([(206, 198, 180), (150, 110, 90), (120, 140, 150), (220, 220, 216)]))
        folds = 1 + 0.12 * np.sin(np.arange(w) * rng.uniform(0.3, 0.9))
        image[y : y + drop, x : x + w] = 0.85 * cloth * folds[None, :, None]
    image[y : y + h, x + w // 2 - 3 : x + w // 2 + 3] = frame * 0.95
    image[y + h // 3 - 3 : y + h // 3 + 3, x : x + w] = frame * 0.95
    image[y + h + 8 : y + h + 16, x - 14 : x + w + 14] *= 0.6  # shade under the sill


def _shops(rng: np.random.Generator) -> Floats:
    """A ground floor of eight bays, 24 m by 4 m: shop windows with awnings, doors, garages."""
    image = _noisy(rng, (138, 130, 122), (352, 2048), 0.08, 0.8)
    for bay in range(8):
        x = bay * 256
        colour = np.array(rng.choice([(150, 40, 36), (38, 84, 120), (40, 96, 66), (190, 150, 60), (84, 60, 96)]))
        if rng.random() < 0.6:
            _window(rng, image, (x + 22, 110, 212, 190), np.array((60, 58, 56)))
            stripes = np.where(np.arange(228) // 19 % 2, 1.0, 0.55 + 0.45 * rng.random())
            image[52:98, x + 14 : x + 242] = colour * stripes[None, :, None]
            letters = np.kron(rng.random((5, 26)) < 0.45, np.ones((5, 7))).astype(bool)
            image[20:45, x + 36 : x + 218][letters] = (235, 230, 215)
        else:
            image[100:352, x + 70 : x + 186] = (70, 62, 56)
            image[110:352, x + 80 : x + 176] = colour * 0.8 * (1 + 0.1 * noise(rng, 242, 96, 1.0)[..., None])
            _window(rng, image, (x + 96, 130, 64, 80), np.array((60, 58, 56)))
    image[336:] *= 0.7
    return image


def _signs(rng: np.random.Generator) -> Floats:
    """Four traffic signs side by side, each 128x128: no entry, speed limit, parking, direction."""
    image = np.full((128, 512, 3), 228.0)
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    radius = np.hypot(x, y)
    red, white, blue, green = (190, 24, 28), (235, 235, 235), (24, 70, 160), (24, 110, 70)
    for sign, (outer, inner) in enumerate(((red, red), (red, white), (blue, blue), (green, green))):
        part = image[:, sign * 128 : sign * 128 + 128]
        part[:] = outer
        part[radius < 0.72] = inner
    image[54:74, 20:108] = 240
    digits = np.kron(
        np.array(
            [
                [1, 1, 1, 0, 1, 1, 1],
                [0, 0, 1, 0, 1, 0, 1],
                [0, 1, 1, 0, 1, 0, 1],
                [0, 0, 1, 0, 1, 0, 1],
                [1, 1, 1, 0, 1, 1, 1],
            ]
        ),
        np.ones((9, 9)),
    )
    image[42:87, 160:223][digits > 0] = 20
    image[24:104, 296:314] = image[24:40, 296:350] = image[58:74, 296:350] = image[24:74, 336:352] = 240
    image[58:70, 404:492] = 240
    image[40:88, 470:480] = 240
    return image * (1 + 0.03 * noise(rng, 128, 512, 0.8)[..., None])


def _trim(rng: np.random.Generator) -> Floats:
    colours = {
        "tyre": (28, 28, 30), "rim": (150, 152, 156), "glass": (38, 46, 56), "headlight": (236, 236, 226),
        "taillight": (160, 22, 24), "plate": (232, 230, 214), "grille": (34, 34, 36), "underbody": (20, 20, 20),
    }  # fmt: skip
    image = np.concatenate([_noisy(rng, colours[cell], 64, 0.06) for cell in TRIM_CELLS], axis=1)
    glass = slice(64 * TRIM_CELLS.index("glass"), 64 * TRIM_CELLS.index("glass") + 64)
    image[:, glass] *= np.linspace(2.0, 0.7, 64)[:, None, None]  # sky above, street below
    grille = 64 * TRIM_CELLS.index("grille")
    image[::8, grille : grille + 64] *= 2.5
    plate = 64 * TRIM_CELLS.index("plate")
    image[20:44, plate + 8 : plate + 56][np.kron(rng.random((6, 12)) < 0.5, np.ones((4, 4))).astype(bool)] = 30
    rim = image[:, 64:128]
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    rim[(np.hypot(x, y) > 0.25) & (np.cos(5 * np.arctan2(y, x)) < -0.2)] *= 0.35  # between five spokes
    return image
