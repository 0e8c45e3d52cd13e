"""Draws face-like portraits from numbers: soft relief under a lamp, not clip art. Needs numpy and Pillow only.

Everything is laid out in the *head frame*: x to the right, y down, the chin at y = 1, the crown at y = −1, the eyes
near y = 0. A picture is painted as albedo (skin, lips, eyes, beard), then multiplied by the light that falls on a
height field (skull, nose, brow, cheeks, wrinkles), so that every feature is shaded from one direction as in a
photograph.
"""

import dataclasses

import numpy as np
from PIL import Image

_SKIN = np.array([(0.96, 0.83, 0.77), (0.91, 0.74, 0.63), (0.84, 0.64, 0.50), (0.68, 0.47, 0.34), (0.46, 0.30, 0.21)])
_HAIR = {
    "Black_Hair": (0.09, 0.07, 0.07),
    "Brown_Hair": (0.31, 0.19, 0.11),
    "Blond_Hair": (0.80, 0.63, 0.36),
    "Gray_Hair": (0.66, 0.65, 0.64),
}
_IRIS = np.array([(0.24, 0.13, 0.07), (0.36, 0.24, 0.12), (0.30, 0.42, 0.28), (0.30, 0.45, 0.62)])
_HEAD_UNITS = 1.22  # Half the picture's side in head units: the face fills the picture as CelebA-HQ's crops do.
_LIP_RED = np.array((0.70, 0.22, 0.25))


@dataclasses.dataclass(frozen=True)
class Traits:
    """What a drawn face looks like. Lengths are in head units, shares in [0, 1], colours RGB in [0, 1]."""

    male: bool
    age: float
    skin: tuple[float, float, float]
    pale: bool
    hair_name: str
    bald: bool
    bangs: bool
    wavy: bool
    hair_length: float
    hair_volume: float
    hairline: float
    glasses: bool
    smile: float
    mouth_open: float
    lipstick: bool
    moustache: bool
    beard: float
    iris: tuple[float, float, float]
    head_width: float
    jaw: float
    eye_distance: float
    eye_size: float
    brow: float
    nose_width: float
    nose_length: float
    lip: float
    yaw: float
    tilt: float
    shift: tuple[float, float]
    zoom: float
    light: tuple[float, float, float]
    texture_seed: int

    def labels(self) -> dict[str, int]:
        """The attributes that the drawing settles, by CelebA's names, 0 or 1."""
        hair = {name: int(not self.bald and name == self.hair_name) for name in _HAIR}
        flags = {
            "Bald": self.bald,
            "Bangs": self.bangs,
            "Eyeglasses": self.glasses,
            "Male": self.male,
            "Mouth_Slightly_Open": self.mouth_open > 0.0,
            "Mustache": self.moustache,
            "No_Beard": self.beard == 0.0,
            "Pale_Skin": self.pale,
            "Smiling": self.smile > 0.4,
            "Straight_Hair": not self.bald and not self.wavy,
            "Wavy_Hair": not self.bald and self.wavy,
            "Wearing_Lipstick": self.lipstick,
            "Young": self.age < 0.5,
        }
        return {**hair, **{name: int(value) for name, value in flags.items()}}


def sample_traits(seed: int, index: int) -> Traits:
    """The traits of face `index` (at least 0) of a series; the same for the same seed and index, on every machine."""
    rng = np.random.default_rng([seed, index])
    male, age, tone = bool(rng.random() < 0.5), float(rng.beta(1.3, 1.6)), float(rng.beta(1.0, 1.4))
    skin = [np.interp(tone * (len(_SKIN) - 1), range(len(_SKIN)), _SKIN[:, channel]) for channel in range(3)]
    bald = bool(male and rng.random() < 0.08 + 0.25 * age)
    bearded = bool(male and rng.random() < 0.4)
    smile = float(rng.choice([rng.uniform(-0.2, 0.25), rng.uniform(0.55, 1.0)]))
    return Traits(
        male=male,
        age=age,
        skin=tuple(skin),
        pale=tone < 0.12,
        hair_name=_sample_hair(rng, age, tone),
        bald=bald,
        bangs=bool(not bald and rng.random() < 0.25),
        wavy=bool(rng.random() < 0.45),
        hair_length=float(rng.uniform(-0.15, 0.25) if male else rng.uniform(0.7, 1.9)),
        hair_volume=float(rng.uniform(0.07, 0.20) + (0.0 if male else 0.06)),
        hairline=float(rng.uniform(-0.68, -0.52) - 0.1 * age * male),
        glasses=bool(rng.random() < 0.22 + 0.12 * age),
        smile=smile,
        mouth_open=float(rng.uniform(0.4, 1.0) if rng.random() < (0.65 if smile > 0.4 else 0.12) else 0.0),
        lipstick=bool(not male and rng.random() < 0.6),
        moustache=bool(male and rng.random() < (0.8 if bearded else 0.15)),
        beard=float(rng.uniform(0.35, 0.95)) if bearded else 0.0,
        iris=tuple(_IRIS[rng.integers(len(_IRIS) if tone < 0.5 else 2)] * rng.uniform(0.8, 1.2)),
        head_width=float(rng.uniform(0.68, 0.77)),
        jaw=float(rng.uniform(0.12, 0.24) if male else rng.uniform(0.22, 0.34)),
        eye_distance=float(rng.uniform(0.27, 0.32)),
        eye_size=float(rng.uniform(0.85, 1.1) + (0.0 if male else 0.12)),
        brow=float(rng.uniform(0.7, 1.3) if male else rng.uniform(0.4, 0.8)),
        nose_width=float(rng.uniform(0.8, 1.3)),
        nose_length=float(rng.uniform(0.34, 0.43)),
        lip=float(rng.uniform(0.75, 1.35)),
        yaw=float(np.clip(rng.normal(0, 0.35), -0.8, 0.8)),
        tilt=float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)),
        shift=(float(rng.normal(0, 0.03)), float(rng.normal(0.05, 0.03))),
        zoom=float(rng.uniform(0.92, 1.08)),
        light=(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.7, -0.15)), float(rng.uniform(0.7, 1.0))),
        texture_seed=int(rng.integers(2**31)),
    )


def _sample_hair(rng: np.random.Generator, age: float, tone: float) -> str:
    if rng.random() < max(0.0, age - 0.45) * 1.6:
        return "Gray_Hair"
    blond = 0.33 if tone < 0.45 else 0.04
    return str(rng.choice(["Black_Hair", "Brown_Hair", "Blond_Hair"], p=[0.38 + (0.33 - blond), 0.29, blond]))


LABEL_NAMES = tuple(sorted(sample_traits(0, 0).labels()))


def draw(traits: Traits, size: int) -> np.ndarray:
    """Draws one face, uint8 [size, size, 3]; size from 16 to 1024."""
    if not 16 <= size <= 1024:
        raise ValueError(f"size must be from 16 to 1024, got {size}")
    return _Portrait(traits, 2 * size).render(size)


def _soft(distance: np.ndarray, width: float) -> np.ndarray:
    """A mask that is 1 where `distance` is negative, 0 where positive, with an edge of `width`."""
    return np.clip(0.5 - distance / width, 0.0, 1.0)


def _step(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """The smooth step from 0 at `low` to 1 at `high`."""
    ramp = np.clip((value - low) / (high - low), 0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)


def _bump(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)


def _paint(canvas: np.ndarray, mask: np.ndarray, colour) -> None:
    """Blends `colour` (a triple or a picture) over `canvas`, in place, by `mask` [height, width]."""
    canvas += mask[..., None] * (np.asarray(colour, np.float32) - canvas)


class _Portrait:
    """One picture being painted at `side` pixels; coordinates in head units."""

    def __init__(self, traits: Traits, side: int):
        self.traits = traits
        self.rng = np.random.default_rng(traits.texture_seed)
        self.side = side
        self.skin = np.array(traits.skin, np.float32)
        self.hair = np.clip(np.array(_HAIR[traits.hair_name]) * self.rng.uniform(0.8, 1.2, 3).mean(), 0, 1)
        self.edge = 5.0 * _HEAD_UNITS / side  # Edges are 2.5 pixels wide: no jaggies, no blur.
        # Picture to head frame: zoom and shift, then the head's tilt.
        axis = np.linspace(-_HEAD_UNITS, _HEAD_UNITS, side, dtype=np.float32)
        x, y = np.meshgrid(axis / traits.zoom - traits.shift[0], axis / traits.zoom - traits.shift[1])
        cosine, sine = np.cos(traits.tilt), np.sin(traits.tilt)
        self.x, self.y = cosine * x + sine * y, cosine * y - sine * x
        # The features sit on the front of a rounded head: turning it moves them sideways, most where it bulges.
        bulge = np.sqrt(np.clip(1.0 - (self.x / traits.head_width) ** 2 - self.y**2, 0.0, 1.0))
        self.u = self.x - 0.22 * traits.yaw * bulge
        self.v = self.y
        self.outline = self._head(self.x, self.y, 0.0)
        self.parting = self.rng.uniform(-0.25, 0.25)
        self.mouth_y = 0.60 + 0.02 * traits.mouth_open

    def render(self, size: int) -> np.ndarray:
        canvas = self._background()
        hair = self._hair_colours()
        if not self.traits.bald:
            _paint(canvas, self._back_hair(), hair * 0.62)
        self._body(canvas)
        self._ears(canvas)
        light = self._lamp(self._relief())
        # Skin lets red light through: its shadows are warmer than its lit side.
        warm_light = light[..., None] ** np.array((0.85, 1.05, 1.15))
        face = self._face_albedo() * warm_light + 0.25 * np.clip(light - 0.95, 0, 1)[..., None]
        _paint(canvas, _soft(self.outline, 0.03), face)
        if not self.traits.bald:
            self._front_hair(canvas, hair)
        if self.traits.glasses:
            self._glasses(canvas)
        return self._develop(canvas, size)

    def noise(self, cells_x: int, cells_y: int) -> np.ndarray:
        """Smooth noise in [0, 1] with about so many features across and down."""
        grid = self.rng.random((max(2, cells_y), max(2, cells_x)), np.float32)
        picture = Image.fromarray(grid).resize((self.side, self.side), Image.Resampling.BICUBIC)
        return np.clip(np.asarray(picture), 0.0, 1.0)

    def _head(self, x: np.ndarray, y: np.ndarray, outset: float) -> np.ndarray:
        """Roughly the distance to the head's outline, grown by `outset`; negative inside."""
        taper = 1.0 - self.traits.jaw * _step(0.1, 1.05, y) - 0.05 * _step(0.3, 1.0, -y)
        across = np.abs(x) / ((self.traits.head_width + outset) * taper)
        return ((across**2.2 + np.abs(y / (1.0 + outset)) ** 2.4) ** (1 / 2.3) - 1.0) * self.traits.head_width

    # What is behind the face.

    def _background(self) -> np.ndarray:
        base, other = self._muted(0.30), self._muted(0.45)
        blend = 0.6 * self.noise(3, 3) + 0.4 * _step(-1.4, 1.4, self.y + self.rng.uniform(-1, 1) * self.x)
        canvas = base + blend[..., None] * (other - base)
        if self.rng.random() < 0.6:  # Lights and objects out of focus.
            for _ in range(int(self.rng.integers(3, 9))):
                x, y = self.rng.uniform(-1.5, 1.5, 2)
                radius, stretch = self.rng.uniform(0.12, 0.45), self.rng.uniform(0.6, 2.5)
                distance = np.hypot((self.x - x) * stretch, self.y - y) - radius
                _paint(canvas, 0.45 * _soft(distance, 0.15), self._muted(0.8))
        return canvas * (0.97 + 0.06 * self.noise(30, 30)[..., None])

    def _muted(self, saturation: float) -> np.ndarray:
        """A random colour of a random brightness, no more saturated than rooms and clothes mostly are."""
        grey = self.rng.uniform(0.08, 0.88)
        return np.clip(grey + saturation * self.rng.uniform(-0.5, 0.5, 3), 0.02, 0.98).astype(np.float32)

    def _body(self, canvas: np.ndarray) -> None:
        traits = self.traits
        broad = 0.42 if traits.male else 0.32
        neck = _soft(np.abs(self.x) - broad - 0.35 * _step(1.0, 1.6, self.y) ** 2, 0.06) * _step(0.4, 0.6, self.y)
        round_neck = 1.0 - 0.33 * (self.x / broad) ** 2
        shadow = 1.0 - 0.42 * _soft(self._head(self.x, self.y - 0.16, 0.02), 0.22)
        side = 1.0 + 0.25 * traits.light[0] * self.x
        _paint(canvas, neck, self.skin * np.clip(0.88 * round_neck * shadow * side, 0.2, 1.2)[..., None])
        collar = 1.18 + 0.25 * (np.abs(self.x) / 0.5) ** 2 if traits.male else 1.32 + 0.1 * self.x**2
        opening = self.rng.uniform(0.05, 0.3) * np.clip(1.0 - np.abs(self.x) / 0.35, 0.0, 1.0)
        shoulders = np.maximum(1.02 + 0.42 * np.abs(self.x) ** 1.6, collar * (np.abs(self.x) < broad) + opening)
        cloth = self._muted(0.6) * (0.75 + 0.4 * self.noise(5, 8)[..., None])
        fold = 0.85 + 0.25 * self.noise(18, 4)
        _paint(canvas, _soft(shoulders - self.y, 0.04), np.clip(cloth * (fold * side)[..., None], 0, 1))

    def _ears(self, canvas: np.ndarray) -> None:
        for side in (-1, 1):
            x = (self.x - side * (self.traits.head_width + 0.01) + 0.05 * self.traits.yaw) * side
            y = self.y - 0.13
            ear = _soft(np.hypot(x / 0.10, (y + 0.3 * x) / 0.23) - 1.0, 0.25)
            inner = _bump(x - 0.02, y, 0.05, 0.13)
            lit = 0.80 + 0.18 * side * self.traits.light[0]
            _paint(canvas, ear, (self.skin * (0.98, 0.90, 0.88)) * (lit - 0.3 * inner)[..., None])

    # The face.

    def _relief(self) -> np.ndarray:
        """The height of the face above the picture plane, in head units."""
        traits, u, v = self.traits, self.u, self.v
        inside = 1.0 - np.clip(self.outline / traits.head_width + 1.0, 0.0, 1.0) ** 2
        # Beyond the outline the surface goes on falling: a flat rim would catch the light.
        height = 0.62 * np.sqrt(inside + 0.01) - 2.5 * np.clip(self.outline, 0.0, 0.1)
        length, wide = traits.nose_length, traits.nose_width
        ridge = _step(-0.12, length, v) * (1.0 - _step(length, length + 0.10, v))
        height += 0.17 * ridge * np.exp(-((u / (0.055 + 0.04 * wide * _step(-0.1, length, v))) ** 2))
        height += 0.045 * _bump(u, v - length, 0.065 * wide, 0.06)
        for side in (-1, 1):
            x = (u - side * traits.eye_distance) * side
            height += 0.035 * _bump(u - side * 0.10 * wide, v - length - 0.01, 0.045, 0.045)
            height -= 0.075 * _bump(x + 0.02, v, 0.17, 0.11)  # The socket,
            height += 0.030 * _bump(x, v - 0.005, 0.11, 0.06)  # the eyeball in it,
            height += 0.040 * _bump(x + 0.02, v + 0.19, 0.20, 0.06)  # the brow ridge,
            height += (0.05 + 0.03 * traits.smile) * _bump(x - 0.02, v - 0.30, 0.16, 0.13)  # the cheek.
            fold = 0.10 + 0.16 * (v - length) + 0.05 * wide
            depth = 0.006 + 0.016 * traits.age + 0.012 * max(traits.smile, 0.0)
            height -= depth * np.exp(-(((u * side - fold - 0.03) / 0.028) ** 2)) * _bump(0 * v, v - 0.47, 1, 0.13)
            height -= 0.014 * traits.age * _bump(x, v - 0.12 - 0.5 * x**2, 0.12, 0.018)  # Bags under the eyes.
        height += 0.05 * _bump(u, v - self.mouth_y, 0.22, 0.11) + 0.045 * _bump(u, v - 0.88, 0.16, 0.10)
        height -= 0.028 * _bump(u, v - self.mouth_y - 0.15, 0.14, 0.035) + 0.010 * _bump(u, v - 0.48, 0.022, 0.05)
        for line in (-0.36, -0.44, -0.52):
            wave = line + 0.02 * np.sin(6 * u + 40 * line)
            height -= 0.010 * max(traits.age - 0.35, 0.0) * _bump(u, v - wave, 0.35, 0.014)
        return height + (0.0015 + 0.002 * traits.age) * (self.noise(60, 60) - 0.5)

    def _lamp(self, height: np.ndarray) -> np.ndarray:
        """How bright the relief is under the lamp and the sky light, about 0.3 to 1.2."""
        step = 2 * _HEAD_UNITS / self.side
        down, across = np.gradient(height, step)
        lamp = np.array(self.traits.light) / np.linalg.norm(self.traits.light)
        facing = (-across * lamp[0] - down * lamp[1] + lamp[2]) / np.sqrt(across**2 + down**2 + 1.0)
        sky = (0.5 - 0.2 * down / np.sqrt(across**2 + down**2 + 1.0)) * 0.6
        return 0.16 + sky + 0.62 * np.clip(facing, 0.0, 1.0)

    def _face_albedo(self) -> np.ndarray:
        traits, u, v = self.traits, self.u, self.v
        albedo = np.broadcast_to(self.skin, (*u.shape, 3)).astype(np.float32)
        albedo *= (0.96 + 0.08 * self.noise(9, 9) + 0.04 * (self.noise(70, 70) - 0.5))[..., None]
        for side in (-1, 1):
            flush = 0.22 * _bump(u - side * 0.36, v - 0.30, 0.17, 0.14)
            _paint(albedo, flush, self.skin * (1.0, 0.70, 0.68))
        _paint(albedo, 0.25 * _bump(u, v - traits.nose_length, 0.12, 0.08), self.skin * (1.0, 0.75, 0.72))
        if traits.beard or traits.moustache:
            self._beard(albedo)
        self._mouth(albedo)
        for side in (-1, 1):
            self._brow(albedo, side)
            self._eye(albedo, side)
            nostril = _bump(u - side * 0.068 * traits.nose_width, v - traits.nose_length - 0.055, 0.035, 0.017)
            _paint(albedo, 0.8 * nostril, self.skin * 0.22)
        return albedo

    def _beard(self, albedo: np.ndarray) -> None:
        traits, u, v = self.traits, self.u, self.v
        curls = 0.55 + 0.75 * self.noise(self.side // 4, self.side // 5)
        cover = np.zeros_like(u)
        if traits.beard:
            line = 0.78 - 1.5 * np.clip(np.abs(u) - 0.28, 0.0, 0.5) + 0.06 * (self.noise(14, 14) - 0.5)
            cover = _step(-0.02, 0.16, v - line) * traits.beard
            cover = np.maximum(cover, 0.9 * traits.beard * _bump(u, v - 0.86, 0.20, 0.12))
        if traits.moustache:
            arch = v - traits.nose_length - 0.125 - 0.7 * u**2
            cover = np.maximum(cover, 0.9 * _soft(np.hypot(arch / 0.075, u / 0.30) - 1.0, 0.45))
        _paint(albedo, np.clip(cover * curls, 0.0, 0.95), self.hair * 0.8)

    def _mouth(self, albedo: np.ndarray) -> None:
        traits, u = self.traits, self.u
        half = 0.23 + 0.075 * max(traits.smile, 0.0)
        arch = np.clip(1.0 - (u / half) ** 2, 0.0, 1.0)
        y = self.v - self.mouth_y + 1.15 * traits.smile * u**2 - 0.03 * traits.smile
        gap = (0.06 + 0.03 * max(traits.smile, 0.0)) * traits.mouth_open * arch**0.8
        bow = 1.0 - 0.3 * np.exp(-((u / 0.035) ** 2)) + 0.1 * np.exp(-(((np.abs(u) - 0.06) / 0.04) ** 2))
        upper, lower = 0.062 * traits.lip * arch * bow, 0.085 * traits.lip * arch
        lips = _soft(np.maximum(-y - upper - 0.3 * gap, y - lower - gap), self.edge + 0.015) * (arch > 0)
        mix = 0.75 if traits.lipstick else 0.38
        colour = self.skin * (0.92, 0.68, 0.66) * (1 - mix) + _LIP_RED * mix * (0.55 + 0.45 * self.skin[0])
        ripple = 0.9 + 0.2 * self.noise(self.side // 5, 6)
        shade = ripple * (1.0 - 0.22 * (y < 0)) + 0.15 * _bump(u, y - 0.5 * lower - gap, 0.10, 0.02)
        _paint(albedo, 0.9 * lips, colour * shade[..., None])
        if traits.mouth_open:
            inner = _soft(np.maximum(-y - 0.3 * gap, y - gap), self.edge) * (gap > 0.003)
            _paint(albedo, inner, (0.16, 0.05, 0.05))
            fissures = 1.0 - 0.18 * np.exp(-((((u / 0.045) % 1.0 - 0.5) / 0.09) ** 2))
            teeth = inner * _soft(y - 0.62 * gap, self.edge) * _step(0.0, 0.4, arch)
            _paint(albedo, 0.95 * teeth, np.array((0.93, 0.90, 0.85)) * fissures[..., None])
        else:
            _paint(albedo, 0.75 * np.exp(-((y / 0.011) ** 2)) * (arch > 0), colour * 0.38)
        for side in (-1, 1):
            corner = _bump(u - side * half, y, 0.035, 0.03)
            _paint(albedo, 0.45 * corner, self.skin * 0.55)

    def _brow(self, albedo: np.ndarray, side: int) -> None:
        traits = self.traits
        along = (self.u * side - traits.eye_distance) / 0.19
        lift = 0.03 if traits.male else 0.05
        curve = -0.185 - lift * (1.0 - (along - 0.25) ** 2) + 0.01 * traits.smile
        thick = 0.036 * traits.brow * np.clip(0.875 - 0.55 * along, 0.25, 1.2)
        hairs = 0.65 + 0.5 * self.noise(self.side // 4, self.side // 6)
        mask = _soft(np.abs(self.v - curve) / thick - 1.0, 0.9) * _soft(np.abs(along) - 1.0, 0.25)
        _paint(albedo, np.clip(0.85 * mask * hairs, 0.0, 0.92), self.hair * 0.62 + self.skin * 0.06)

    def _eye(self, albedo: np.ndarray, side: int) -> None:
        traits = self.traits
        x = (self.u * side - traits.eye_distance) / traits.eye_size
        y = (self.v + 0.05 * x) / traits.eye_size
        arch = np.clip(1.0 - (x / 0.135) ** 2, -1.0, 1.0)
        upper, lower = 0.062 * arch, (0.040 - 0.010 * max(traits.smile, 0.0)) * arch
        _paint(albedo, 0.28 * _bump(x, y + 0.05, 0.15, 0.07), self.skin * (0.72, 0.60, 0.58))
        crease = 0.5 * np.exp(-(((y + upper + 0.035) / 0.012) ** 2)) * _step(0.0, 0.5, arch + 0.3)
        _paint(albedo, crease, self.skin * 0.55)
        opening = _soft(np.maximum(-y - upper, y - lower), self.edge)
        lid_shadow = 1.0 - 0.35 * _step(-0.02, 0.03, -y - upper + 0.045)
        _paint(albedo, opening, np.array((0.92, 0.90, 0.89)) * lid_shadow[..., None])
        gaze = 0.025 * traits.yaw * side
        radius = np.hypot(x - gaze, y + 0.012)
        spokes = 0.8 + 0.4 * self.noise(self.side // 4, self.side // 4)
        iris = np.array(traits.iris) * (spokes * (1.25 - 9.0 * np.clip(radius, 0.0, 0.06)))[..., None]
        _paint(albedo, opening * _soft(radius - 0.060, self.edge), iris)
        _paint(albedo, opening * _soft(radius - 0.026, self.edge), (0.02, 0.02, 0.02))
        lash = 0.013 if traits.male else 0.020
        _paint(albedo, 0.85 * np.exp(-(((y + upper) / lash) ** 2)) * (arch > -0.1), (0.07, 0.05, 0.05))
        _paint(albedo, 0.35 * np.exp(-(((y - lower) / 0.012) ** 2)) * (arch > 0), self.skin * 0.5)
        glint = np.hypot(x * side - gaze * side - 0.022 * np.sign(traits.light[0]), y + 0.032)
        _paint(albedo, opening * _soft(glint - 0.013, self.edge), (1.25, 1.25, 1.25))

    # Hair, glasses, the camera.

    def _hair_colours(self) -> np.ndarray:
        """Strands that fall from the parting, with a band of gloss, float [side, side, 3]."""
        wave = 0.10 * np.sin(7.0 * self.y + 5.0 * self.noise(4, 4)) if self.traits.wavy else 0.02 * self.noise(5, 5)
        angle = np.arctan2(self.x + wave * _step(-1.0, 0.5, self.y) - self.parting, self.y + 1.25)
        strands = np.interp(angle * 110, np.arange(-350, 350), self.rng.random(700))
        coarse = np.interp(angle * 18, np.arange(-60, 60), self.rng.random(120))
        gloss = np.exp(-(((self.y + 0.80 - 0.35 * self.x**2) / 0.16) ** 2))
        side = 1.0 + 0.28 * self.traits.light[0] * self.x
        tone = (0.66 + 0.26 * strands + 0.36 * coarse) * side
        return np.clip(self.hair * tone[..., None] + (0.13 * gloss * coarse)[..., None], 0.0, 1.0)

    def _hair_outline(self) -> np.ndarray:
        """Roughly the distance to the hair's outer edge, negative inside, with loose strands."""
        volume = self.traits.hair_volume
        loose = (0.10 if self.traits.wavy else 0.04) * (self.noise(12, 12) - 0.5) + 0.03 * (self.noise(50, 50) - 0.5)
        top = self._head(self.x, np.minimum(self.y, 0.0), volume)
        fall = np.abs(self.x) - self.traits.head_width - volume - 0.08 * _step(0.2, 1.4, self.y)
        return np.where(self.y < 0.0, top, fall) + loose

    def _back_hair(self) -> np.ndarray:
        return _soft(self._hair_outline(), 0.06) * _soft(self.y - self.traits.hair_length, 0.25)

    def _front_hair(self, canvas: np.ndarray, hair: np.ndarray) -> None:
        traits = self.traits
        tips = 0.10 * (self.noise(22, 3) - 0.5)
        line = traits.hairline + 0.75 * np.abs(self.u - 0.6 * self.parting) ** 2.0 + tips
        if traits.bangs:
            line = line + 0.32 * _soft(np.abs(self.u) - 0.5, 0.5) + tips
        sides = traits.head_width - 0.08 - (0.02 if traits.male else 0.10) * _step(-0.4, 0.3, self.y) + 0.6 * tips
        window = np.minimum(self.y - line, sides - np.abs(self.x))
        cover = _soft(self._hair_outline(), 0.05) * _soft(window, 0.09)
        cover *= _soft(self.y - min(traits.hair_length, 0.9) + 0.4 * tips, 0.30)
        under = _soft(window - 0.05, 0.12) * _soft(self.outline, 0.03) * _soft(self.y - traits.hair_length + 0.1, 0.3)
        canvas *= (1.0 - 0.30 * under)[..., None]
        _paint(canvas, cover, hair)

    def _glasses(self, canvas: np.ndarray) -> None:
        width, height = self.rng.uniform(0.19, 0.23), self.rng.uniform(0.13, 0.18)
        power, thick = self.rng.uniform(2.0, 5.0), self.rng.uniform(0.009, 0.022)
        frame = self.rng.uniform(0.02, 0.35) * self.rng.uniform(0.6, 1.0, 3)
        bridge = np.abs(self.u) < self.traits.eye_distance - width * 0.9
        rim = np.where(bridge, np.abs(self.v + 0.03 - 0.4 * self.u**2) - thick * 0.7, 1.0)
        for side in (-1, 1):
            x, y = np.abs(self.u - side * self.traits.eye_distance) / width, np.abs(self.v - 0.01) / height
            lens = ((x**power + y**power) ** (1 / power) - 1.0) * height
            _paint(canvas, 0.10 * _soft(lens, 0.02) * _step(-0.3, 0.3, self.u - self.v), (1.0, 1.0, 1.0))
            rim = np.minimum(rim, np.abs(lens) - thick)
        arm = np.where(
            np.abs(self.u) > self.traits.eye_distance + width * 0.95, np.abs(self.v + 0.04) - thick * 0.6, 1.0
        )
        rim = np.minimum(rim, np.where(np.abs(self.x) < self.traits.head_width, arm, 1.0))
        canvas *= (1.0 - 0.2 * _soft(np.roll(rim, self.side // 60, axis=0), 0.05))[..., None]
        _paint(canvas, 0.95 * _soft(rim, self.edge + 0.008), frame)

    def _develop(self, canvas: np.ndarray, size: int) -> np.ndarray:
        warm = 1.0 + self.rng.uniform(-0.07, 0.07) * np.array((1.0, 0.1, -1.0))
        exposure = self.rng.uniform(0.85, 1.12)
        corner = 1.0 - 0.10 * np.clip(np.hypot(self.x, self.y) - 1.0, 0.0, 1.0)
        fine = np.uint8(np.clip(canvas * warm * exposure * corner[..., None], 0.0, 1.0) * 255)
        picture = np.asarray(Image.fromarray(fine).resize((size, size), Image.Resampling.BOX), np.float32)
        grain = self.rng.normal(0.0, self.rng.uniform(0.8, 3.0), picture.shape)
        return np.uint8(np.round(np.clip(picture + grain, 0, 255)))
