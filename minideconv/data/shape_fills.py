"""The fills of `Shapes`: colours and textures that all classes and the background share."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image

__all__ = ["CHANNELS", "background_colour", "contrasting_colour", "fill"]

# A loop over these is quicker than NumPy's over three neighbours, pixel by pixel.
CHANNELS = range(3)
_TEXTURES = ("flat", "gradient", "stripes", "checks", "dots", "mottle")


def background_colour(rng: np.random.Generator, muted: float) -> np.ndarray:
    """Draw one colour, (3,) float32 in 0..255, the greyer the more `muted` (0..1)."""
    return _colour(rng, 0.15 * (1 - 0.85 * muted), 0.85 * (1 - 0.85 * muted))


def _colour(rng: np.random.Generator, least: float, most: float) -> np.ndarray:
    """Draw any hue, a saturation between the two, neither black nor glaring."""
    hue, saturation, value = rng.random(), rng.uniform(least, most), rng.uniform(0.3, 0.97)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return np.array([255 * red, 255 * green, 255 * blue], dtype=np.float32)


def contrasting_colour(
    rng: np.random.Generator, other: np.ndarray, contrast: float, muted: float
) -> np.ndarray:
    """Draw a colour `contrast` or more away from `other`, or the farthest of 13.

    It is one of an object or of clutter, the more vivid the more `muted` the background is.
    """
    best, best_distance = other, -1.0
    for _ in range(13):
        colour = _colour(rng, 0.15 + 0.45 * muted, 0.85 + 0.1 * muted)
        distance = float(np.sqrt(((colour - other) ** 2).sum()))
        if distance > best_distance:
            best, best_distance = colour, distance
        if best_distance >= contrast:
            break
    return best


def _wave(u: np.ndarray, period: float, phase: float) -> np.ndarray:
    return np.sin(u * np.float32(2 * np.pi / period) + np.float32(phase))


def _texture(
    rng: np.random.Generator, size: tuple[int, ...], unit: float, strength: float
) -> np.ndarray:
    """Draw a (height, width) float32 field within +-`strength`; `unit` is the image's side."""
    height, width = size
    kind = _TEXTURES[int(rng.integers(len(_TEXTURES)))]
    angle, period = rng.uniform(0, 2 * np.pi), unit * rng.uniform(0.06, 0.16)
    first, second = (float(phase) for phase in rng.uniform(0, 2 * np.pi, 2))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    u, v = x * cos + y * sin, y * cos - x * sin
    if kind == "flat":
        field = np.zeros_like(u)
    elif kind == "gradient":
        low, high = float(u.min()), float(u.max())
        field = (u - low) * (2 / max(high - low, 1.0)) - 1
    elif kind == "stripes":
        field = np.clip(2 * _wave(u, period, first), -1, 1)
    elif kind == "checks":
        field = np.clip(4 * _wave(u, 1.5 * period, first) * _wave(v, 1.5 * period, second), -1, 1)
    elif kind == "dots":
        field = np.clip(3 * (_wave(u, period, first) + _wave(v, period, second)) - 3, -1, 1)
    else:  # mottle: coarse noise, smoothly enlarged
        cells = np.maximum(2, np.round(np.array([height, width]) / (0.8 * period))).astype(int)
        coarse = rng.random((cells[0], cells[1]), dtype=np.float32) * 2 - 1
        bicubic = Image.Resampling.BICUBIC
        field = np.asarray(Image.fromarray(coarse).resize((width, height), bicubic))
    return np.asarray(field * np.float32(strength), dtype=np.float32)


def fill(
    rng: np.random.Generator,
    size: tuple[int, ...],
    unit: float,
    colour: np.ndarray,
    strength: float,
) -> np.ndarray:
    """Return (*size, 3) float32: `colour` with a random texture of up to `strength`."""
    tint = rng.uniform(0.5, 1.0, 3).astype(np.float32)
    tint /= np.sqrt((tint**2).mean())
    field = _texture(rng, size, unit, strength)
    painted = np.empty((*size, 3), np.float32)
    for channel in CHANNELS:
        np.multiply(field, tint[channel], out=painted[..., channel])
        painted[..., channel] += colour[channel]
    return painted
