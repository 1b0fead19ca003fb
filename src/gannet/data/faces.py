"""Faces drawn by the project, of nobody, and the parting of any set of people by who they are.

A person is a point of a continuous space (`WHO`): shape of the head, hair, eyes, brows, nose, mouth, colours, moles. A
picture of one is another (`HOW`): turned and tilted, near or far, lit from somewhere in light of some colour, with an
expression, before some background, blurred and noisy. Both are functions of (seed, person, picture number).
Shapes: N pictures, H = W pixels.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from gannet.data import Ledger, images, keeping, ledger
from gannet.data.images import Images
from gannet.errors import Wrong
from gannet.rng import Rng, permutation

PIXELS = 48
PEOPLE = {"train": (0, 1_500, 12), "test": (1_500, 300, 12)}  # the first, how many, pictures of each
SOURCE = "drawn by gannet: of nobody"
FEWEST = 12  # people with several pictures: five to learn from, three to watch, four for the test

#: What makes a person: name -> lowest and highest, drawn evenly.
WHO = {
    "wide": (0.40, 0.54), "high": (0.54, 0.68), "jaw": (-0.05, 0.34), "skin": (0, 1), "warm": (-0.05, 0.05),
    "ears": (0.07, 0.14), "hair": (0, 1), "line": (-0.85, -0.40), "part": (-0.30, 0.30), "fringe": (-0.35, 0.45),
    "volume": (0.03, 0.24), "long": (-0.2, 1.15), "bald": (0, 1),
    "apart": (0.30, 0.47), "eyes_at": (-0.16, 0.06), "eye_wide": (0.085, 0.135), "eye_high": (0.6, 1.0),
    "slant": (-0.25, 0.25), "iris": (0, 1), "iris_wide": (0.48, 0.72),
    "brow_up": (0.17, 0.31), "brow_thick": (0.012, 0.038), "brow_long": (0.10, 0.17), "brow_slant": (-0.35, 0.35),
    "nose_long": (0.22, 0.38), "nose_wide": (0.05, 0.11), "mouth_at": (0.46, 0.62), "mouth_wide": (0.15, 0.28),
    "lips": (0.02, 0.055), "red": (0, 1), "beard": (0, 1), "beard_at": (0.40, 0.66),
    "mole_x": (-0.6, 0.6), "mole_y": (-0.35, 0.6), "mole": (0, 1),
    "spot_x": (-0.6, 0.6), "spot_y": (-0.35, 0.6), "spot": (0, 1),
}  # fmt: skip
#: What makes a picture of one.
HOW = {
    "yaw": (-0.45, 0.45), "pitch": (-0.28, 0.28), "tilt": (-0.22, 0.22), "size": (0.90, 1.16),
    "right": (-0.12, 0.12), "down": (-0.10, 0.14), "light_x": (-1, 1), "light_y": (-1, 0.5), "strength": (0.1, 0.65),
    "red_cast": (-0.18, 0.18), "green_cast": (-0.08, 0.08), "blue_cast": (-0.22, 0.22), "exposure": (-0.30, 0.22),
    "smile": (-0.35, 1.0), "open": (-0.9, 1.0), "lids": (0.5, 1.15), "raise": (-0.04, 0.06),
    "look_x": (-1, 1), "look_y": (-1, 1), "glasses": (0, 1), "frame": (0, 1),
    "back_1": (0, 1), "back_2": (0, 1), "back_3": (0, 1), "back_4": (0, 1), "back_5": (0, 1), "back_6": (0, 1),
    "fall_x": (-1, 1), "fall_y": (-1, 1), "blob_x": (-1, 1), "blob_y": (-1, 1), "blob": (0.2, 0.7),
    "cloth_1": (0, 1), "cloth_2": (0, 1), "cloth_3": (0, 1), "blur": (-0.5, 0.8), "noise": (0.0, 0.04),
}  # fmt: skip

SKINS = ((1.00, 0.87, 0.77), (0.95, 0.75, 0.60), (0.78, 0.55, 0.39), (0.46, 0.30, 0.21))
HAIRS = ((0.09, 0.08, 0.09), (0.28, 0.17, 0.10), (0.50, 0.30, 0.15), (0.70, 0.33, 0.14), (0.90, 0.74, 0.40), (0.80, 0.80, 0.82))
IRISES = ((0.22, 0.13, 0.07), (0.45, 0.30, 0.12), (0.30, 0.48, 0.25), (0.25, 0.47, 0.75), (0.50, 0.58, 0.64))
LIPS = ((0.66, 0.36, 0.32), (0.80, 0.22, 0.28))
FRAMES = ((0.08, 0.08, 0.10), (0.45, 0.20, 0.12), (0.20, 0.25, 0.45))

Traits = dict[str, torch.Tensor]  # by name, (N, 1, 1) each


def drawn(
    people: Sequence[int], numbers: Sequence[int], *, seed: int = 0, pixels: int = PIXELS, part: int = 48
) -> torch.Tensor:
    """Pictures of people, bytes (N, 3, H, W): picture k shows person people[k], for the numbers[k]-th time."""
    chunks = []
    for start in range(0, len(people), part):  # as much as a processor's cache holds
        chunk = slice(start, start + part)
        chunks.append(_drawn(list(people[chunk]), list(numbers[chunk]), seed, pixels))
    return torch.cat(chunks)


def _drawn(people: list[int], numbers: list[int], seed: int, pixels: int) -> torch.Tensor:
    who = {i: Rng(seed, i, "person").uniform(len(WHO)) for i in dict.fromkeys(people)}
    how, grain = [], []
    for i, k in zip(people, numbers, strict=True):
        rng = Rng(seed, i, f"picture {k}")
        how.append(rng.uniform(len(HOW)))
        grain.append(rng.normal(3, pixels, pixels))
    t = _named(torch.stack([who[i] for i in people]), WHO) | _named(torch.stack(how), HOW)
    x_NCHW = _cast(_painted(t, pixels), t)
    return (x_NCHW + t["noise"][:, None] * torch.stack(grain)).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def _named(u_NT: torch.Tensor, ranges: dict[str, tuple[float, float]]) -> Traits:
    return {name: (low + (high - low) * u_NT[:, i])[:, None, None] for i, (name, (low, high)) in enumerate(ranges.items())}


def _ramp(u_N11: torch.Tensor, stops: Sequence[Sequence[float]]) -> torch.Tensor:
    """Colours (N, 3) at places 0 to 1 between stops (K, 3)."""
    stops_K3 = torch.tensor(stops)
    at_N = u_N11.flatten() * (len(stops) - 1)
    low_N = at_N.long().clamp(max=len(stops) - 2)
    return torch.lerp(stops_K3[low_N], stops_K3[low_N + 1], (at_N - low_N)[:, None])


def _rgb(t: Traits, name: str, first: int = 1) -> torch.Tensor:
    """Three traits as a colour (N, 3), neither black nor glaring."""
    return 0.2 + 0.7 * torch.cat([t[f"{name}_{first + i}"].flatten(1) for i in range(3)], 1)


class _Canvas:
    """Pictures being painted, layer over layer; every shape is a distance to its edge, negative inside, in face units."""

    def __init__(self, t: Traits, pixels: int):
        at_H = (torch.arange(pixels) + 0.5) * (2 / pixels) - 1
        self.X, self.Y = at_H[None, None, :], at_H[None, :, None]
        cos, sin = t["tilt"].cos() / t["size"], t["tilt"].sin() / t["size"]
        right, down = self.X - t["right"], self.Y - t["down"]
        self.x, self.y = cos * right + sin * down, cos * down - sin * right
        self.soft = 2.4 / pixels / t["size"]  # an edge is a little over a pixel wide
        fall = (0.5 + 0.5 * (t["fall_x"] * self.X + t["fall_y"] * self.Y)).clamp(0, 1)[:, None]
        self.rgb = torch.lerp(_rgb(t, "back")[..., None, None], _rgb(t, "back", 4)[..., None, None], fall).contiguous()

    def inside(self, d: torch.Tensor) -> torch.Tensor:
        """How much of each pixel lies inside, (N, H, W)."""
        return (0.5 - d / self.soft).clamp_(0, 1)

    def paint(self, d: torch.Tensor, colour_N3: torch.Tensor, within: torch.Tensor | float = 1.0) -> torch.Tensor:
        """A colour where a distance is negative, as strongly as `within` says; returns how much of each pixel it took."""
        alpha = self.inside(d) * within
        self.rgb = self.rgb.lerp_(colour_N3[..., None, None], alpha[:, None])
        return alpha

    def ellipse(self, x: Any, y: Any, wide: Any, high: Any) -> torch.Tensor:
        """Distance to an ellipse's edge, nearly."""
        away = (((self.x - x) / wide).square() + ((self.y - y) / high).square()).sqrt()
        return (away - 1) * torch.minimum(torch.as_tensor(wide), torch.as_tensor(high))

    def line(self, x: Any, y: Any, to_x: Any, to_y: Any, thick: Any) -> torch.Tensor:
        """Distance to a line with round ends."""
        dx, dy = to_x - x, to_y - y
        along = (((self.x - x) * dx + (self.y - y) * dy) / (dx * dx + dy * dy)).clamp_(0, 1)
        return ((self.x - x - along * dx).square() + (self.y - y - along * dy).square()).sqrt_() - thick


def _painted(t: Traits, pixels: int) -> torch.Tensor:
    """Faces before background, lit, in [0, 1], (N, 3, H, W)."""
    on = _Canvas(t, pixels)
    w, h, yaw, pitch = t["wide"], t["high"], t["yaw"], t["pitch"]
    skin = (_ramp(t["skin"], SKINS) + t["warm"].flatten(1) * torch.tensor([1.0, 0.0, -1.0])).clamp(0, 1)
    hair = _ramp(t["hair"], HAIRS)
    shade = skin * 0.78
    ink = torch.tensor([0.10, 0.07, 0.08]).expand_as(skin)
    blob = ((on.X - t["blob_x"]).square() + (on.Y - t["blob_y"]).square()).sqrt() - t["blob"]
    on.paint(blob, _rgb(t, "cloth").flip(1))

    def place(fx: Any, fy: Any, depth: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Where a point of the head is seen, in units of half its width and height, and how much it faces us."""
        fz = (depth**2 - fx * fx - 0.5 * fy * fy).clamp(min=0.05).sqrt()
        z = fz * yaw.cos() - fx * yaw.sin()
        return w * (fx * yaw.cos() + fz * yaw.sin()), h * (fy * pitch.cos() + 0.6 * z * pitch.sin()), z.clamp(0.25, 1)

    # Behind the head: hair, neck and shoulders. Who is bald has none.
    has = (t["bald"] < 0.92).float()
    big, back_x, back_y = t["volume"] * has, -0.35 * w * yaw.sin(), -0.2 * h * pitch.sin()
    lower = torch.maximum((on.x - back_x).abs() - (w + 0.6 * big), on.y - h * t["long"])
    behind = torch.minimum(on.ellipse(back_x, back_y, w + big, h + big), torch.maximum(lower, -on.y))
    person = on.paint(behind, hair * 0.8, has)
    cloth = on.ellipse(0.0, h + 0.62, w + 0.42, 0.48)
    neck = torch.maximum((on.x - 0.1 * w * yaw.sin()).abs() - 0.55 * w, (on.y - 0.7 * h).abs() - 0.5 * h)
    person = torch.maximum(person, on.paint(neck, shade))
    on.paint(cloth, _rgb(t, "cloth"))
    for side in (-1.0, 1.0):
        ear_x, ear_y, _ = place(torch.tensor(side * 0.999), t["eyes_at"] + 0.12)
        near = 1 - side * 0.9 * yaw.sin()
        on.paint(on.ellipse(ear_x * 1.02, ear_y, t["ears"] * near.clamp(0.4, 1.2), t["ears"] * 1.5), shade)

    # The head, its beard and the hair in front of it.
    narrow = 1 - t["jaw"] * (on.y / h).clamp(min=0).pow(1.5)
    away = ((on.x / (w * narrow)).square() + (on.y / h).square()).sqrt()
    head = (away - 1) * w
    face = on.paint(head, skin)
    person = torch.maximum(person, face)
    chin_x, chin_y, _ = place(torch.tensor(0.0), t["beard_at"])
    bearded = (t["beard"] > 0.75).float() * (0.4 + 0.5 * (t["beard"] - 0.75) / 0.25)
    low = chin_y - on.y - 0.9 * ((on.x - chin_x).abs() / w).square() * h * 0.5
    on.paint(low, hair * 0.9, face * bearded)

    # Eyes: white, iris, pupil, a light; above them lids and brows.
    slopes = t["slant"]
    for side in (-1.0, 1.0):
        x, y, faces = place(side * t["apart"], t["eyes_at"])
        wide, high = t["eye_wide"] * faces, t["eye_wide"] * t["eye_high"] * t["lids"].clamp(0.5, 1.0)
        tilted = on.y - y - slopes * side * (on.x - x)
        oval = ((((on.x - x) / wide).square() + (tilted / high).square()).sqrt() - 1) * torch.minimum(wide, high)
        lid = ((((on.x - x) / wide).square() + ((tilted + 0.018) / high).square()).sqrt() - 1) * torch.minimum(wide, high)
        on.paint(lid - 0.018, ink)
        white = on.paint(oval, torch.tensor([0.97, 0.97, 0.95]).expand_as(skin))
        r = t["eye_wide"] * t["iris_wide"]
        ix, iy = x + 0.3 * t["look_x"] * (wide - 0.5 * r), y + 0.2 * t["look_y"] * high
        apart = ((on.x - ix).square() + (on.y - iy).square()).sqrt()
        on.paint(apart - r, _ramp(t["iris"], IRISES), white)
        on.paint(apart - 0.48 * r, ink, white)
        glint = ((on.x - ix + 0.3 * r).square() + (on.y - iy + 0.35 * r).square()).sqrt() - 0.25 * r
        on.paint(glint, torch.ones_like(skin), white)
        long, up = t["brow_long"] * faces, t["brow_up"] * h * 0.9 + t["raise"]
        rise = t["brow_slant"] * long
        ends = (x - side * long, y - up + rise, x + side * long, y - up - rise)
        on.paint(on.line(*ends, t["brow_thick"]), hair * 0.55)
        spectacles = (t["glasses"] > 0.78).float()
        frame = ((((on.x - x) / (0.19 * faces)).square() + ((on.y - y) / 0.16).square()).sqrt() - 1).abs() * 0.16 - 0.014
        on.paint(frame, _ramp(t["frame"], FRAMES), spectacles)
        inner_x, _, _ = place(side * (t["apart"] - 0.40).clamp(min=0.06), t["eyes_at"], 1.1)
        on.paint(on.line(inner_x, y, x - side * 0.19 * faces, y, 0.012), _ramp(t["frame"], FRAMES), spectacles)

    # The nose stands out: it moves further than the rest when the head turns.
    top_x, top_y, _ = place(torch.tensor(0.0), t["eyes_at"] + 0.10, 1.05)
    tip_x, tip_y, faces = place(torch.tensor(0.0), t["eyes_at"] + t["nose_long"], 1.32)
    on.paint(on.line(top_x, top_y, tip_x, tip_y, 0.25 * t["nose_wide"]), shade, face * 0.6)
    on.paint(on.ellipse(tip_x, tip_y, t["nose_wide"], 0.6 * t["nose_wide"]), shade)
    on.paint(on.ellipse(tip_x, tip_y - 0.02, 0.75 * t["nose_wide"], 0.5 * t["nose_wide"]), (skin * 1.06).clamp(max=1))

    # The mouth: two lips along a bow, what is between them dark with teeth.
    x, y, faces = place(torch.tensor(0.0), t["mouth_at"], 1.06)
    long = t["mouth_wide"] * faces * (1 + 0.15 * t["smile"])
    u = ((on.x - x) / long).clamp(-1.5, 1.5)
    lens, middle = (1 - u * u), y + 0.09 * t["smile"] * (0.5 - u * u)
    open_ = t["open"].clamp(min=0) * 0.085
    off, within = on.y - middle, on.inside((on.x - x).abs() - long)
    on.paint(off.abs() - lens * (open_ + t["lips"]), _ramp(t["red"], LIPS) * (0.6 + 0.4 * skin), within)
    on.paint(off.abs() - lens * (open_ + 0.008), ink + 0.12 * (open_ > 0.02).float().flatten(1), within)
    on.paint((off + 0.45 * open_).abs() - lens * 0.35 * open_, torch.full_like(skin, 0.95), within * (open_ > 0.03))

    for name in ("mole", "spot"):
        x, y, faces = place(t[f"{name}_x"], t[f"{name}_y"])
        there = (t[name] > 0.55).float()
        on.paint(on.ellipse(x, y, 0.036 * faces, 0.036), skin * 0.4, face * there)

    # Hair in front falls from a parting; seen from the side it moves with the head.
    part_x, part_y, _ = place(t["part"], t["line"])
    across = (on.x - part_x) / w
    hem = part_y + h * t["fringe"] * across * across + 0.2 * h * t["part"] * across
    crown = on.ellipse(0.3 * back_x, 0.3 * back_y, w + 0.45 * big, h + 0.6 * big)
    front = on.paint(torch.maximum(crown, on.y - hem), hair, has)
    person = torch.maximum(person, front)

    # Light on a round head: from somewhere, softly.
    nx, ny = (on.x / w).clamp(-1.2, 1.2), (on.y / h).clamp(-1.2, 1.2)
    nz = (1.6 - nx * nx - ny * ny).clamp(min=0.05).sqrt()
    length = (t["light_x"].square() + t["light_y"].square() + 0.6).sqrt() * 1.26
    lit = (nx * t["light_x"] + ny * t["light_y"] + nz * 0.77) / length
    glow = 1 + t["strength"] * (lit - 0.55)
    return on.rgb * torch.lerp(torch.ones_like(glow), glow, person)[:, None]


def _cast(x_NCHW: torch.Tensor, t: Traits) -> torch.Tensor:
    """The camera: light of a colour, exposure, and blur."""
    gains = torch.cat([(t[f"{name}_cast"] + t["exposure"]).exp().flatten(1) for name in ("red", "green", "blue")], 1)
    x_NCHW = x_NCHW * gains[..., None, None]
    x_NCHW = x_NCHW / (1 + (x_NCHW - 0.8).clamp(min=0))  # bright light does not clip at once
    row = F.pad(x_NCHW, (0, 0, 1, 1), mode="replicate")
    soft = 0.25 * row[:, :, :-2] + 0.5 * x_NCHW + 0.25 * row[:, :, 2:]
    row = F.pad(soft, (1, 1, 0, 0), mode="replicate")
    soft = 0.25 * row[..., :-2] + 0.5 * soft + 0.25 * row[..., 2:]
    return torch.lerp(x_NCHW, soft, t["blur"].clamp(min=0)[:, None])


@functools.lru_cache(maxsize=2)
def read(split: str, pixels: int | None = None) -> Images:
    """The drawn faces: 12 pictures each of 1,500 people to learn from and of 300 others to be tested on."""
    first, people, each = PEOPLE[split]
    who_N = torch.arange(people).repeat_interleave(each)
    x_NCHW = drawn((first + who_N).tolist(), list(range(each)) * people, pixels=pixels or PIXELS)
    names = [f"person {first + i:04d}" for i in range(people)]
    return Images(x_NCHW, who_N, names, name="faces", split=split, licence="CC0", source=SOURCE)


# --------------------------------------------------------------------------------------------- parted by who they are


def load(name: str, split: str, pixels: int | None = None) -> Images:
    """People of a set that are only in this split: train to learn from, watched while training, test to be told apart.

    The drawn faces keep their own test people. Of a folder with a folder for each person, and of any other set with classes,
    all pictures are put together and parted by person: a fifth of them is for the test, a tenth is watched, at least four and
    three. Who has a single picture is only learnt from. Of bars each place of one, across or down, counts as somebody.

    Raises:
        Wrong: for an unknown split or set, one person, too few people, or people with a single picture each.
    """
    if split not in ("train", "watched", "test"):
        raise Wrong("no such split of people", got=split, try_="train, watched or test", usage=True)
    return ledger().open(f"{name}/{split}", lambda: _parts(name, pixels, ledger().offline)[split], Images.recall)


def _parts(name: str, pixels: int | None, offline: bool) -> dict[str, Images]:
    """Every split, read apart from the ledger in force, which shall know of the parts alone."""
    with keeping(Ledger(offline=offline)):
        train = images.load(name, "train", pixels)
        if name == "faces":
            learnt, watched = parted(train, {"train": 0, "watched": 100}).values()
            return {"train": learnt, "watched": watched, "test": images.load(name, "test", pixels)}
        whole = _whole(name, train, images.load(name, "test", pixels), pixels)
    assert whole.labels_N is not None
    several = int((torch.bincount(whole.labels_N) > 1).sum())
    people = len(whole.classes)
    if people < 2:
        raise Wrong("one person alone cannot be told from others", got=name, try_="a folder for each of several people")
    if several == 0:
        what = "every person has one picture, and nothing says what two of the same look like"
        raise Wrong(what, got=f"{name}, {people} people", try_="two pictures or more of each")
    if several < FEWEST:
        what = f"of {FEWEST} people at least two pictures are needed: some to learn from, others to be tested on"
        raise Wrong(what, got=f"{name}, {several} of {people} people", try_="more people, or more pictures of each")
    return parted(whole, {"train": 0, "watched": max(3, several // 10), "test": max(4, several // 5)}, by_name=True)


def _whole(name: str, train: Images, test: Images, pixels: int | None) -> Images:
    """All pictures of a set, with a label for each person."""
    x_NCHW = torch.cat([train.x_NCHW, test.x_NCHW])
    words: dict[str, Any] = {key: getattr(train, key) for key in ("name", "licence", "source", "more")}
    if train.name == "bars":
        light_N2H = torch.stack([x_NCHW[:, 0].amin(2), x_NCHW[:, 0].amin(1)], 1)  # rows, columns that are bright all along
        names = [f"{way} {place}" for way in ("across", "down") for place in range(train.pixels)]
        return Images(x_NCHW, light_N2H.flatten(1).argmax(1), names, **words)
    if train.labels_N is not None and test.labels_N is not None:
        return Images(x_NCHW, torch.cat([train.labels_N, test.labels_N]), train.classes, **words)
    return _foldered(name, pixels, words)  # no classes: there is one folder, or as many as pictures, or pictures beside them


def _foldered(name: str, pixels: int | None, words: dict[str, Any]) -> Images:
    """The pictures of somebody's own place, where all lie in folders."""
    from gannet.data import pictures

    if not pictures.is_place(name):
        raise Wrong("nothing says who is who", got=name, try_="a folder for each person")
    gallery = pictures.read(name, pixels)
    parts = pictures.below_splits(gallery.names_N)
    loose = [file for file, part in zip(gallery.names_N, parts, strict=True) if len(part) == 1]
    if len(loose) == len(parts) and all("/" in file for file in loose):
        parts = [("somebody", *part) for part in parts]  # one folder, of one person
    elif len(loose) == len(parts):
        raise Wrong("nothing says who is who", got=name, try_="a folder for each person")
    elif loose:
        more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
        what = "pictures that lie in nobody's folder: nothing says who they are"
        raise Wrong(what, got=f"{name}: {loose[0]}{more}", try_="each in a person's folder, or elsewhere")
    who = [part[0] for part in parts]
    names = sorted(set(who))
    return Images(gallery.x_NCHW, torch.tensor([names.index(one) for one in who]), names, **words)


def parted(data: Images, counts: dict[str, int], *, by_name: bool = False) -> dict[str, Images]:
    """People of a set in parts that share nobody, always the same ones.

    Args:
        data: pictures, labelled by person
        counts: for each part how many people with several pictures it gets; the first gets everybody who is left
        by_name: the hash of a name decides where a person stands in line, so that one more person moves few others
    """
    assert data.labels_N is not None
    shown_K = torch.bincount(data.labels_N, minlength=len(data.classes))
    row_K = permutation(0, "people", 0, len(data.classes))
    if by_name:
        marks = [hashlib.sha256(name.encode()).digest() for name in data.classes]
        row_K = torch.tensor(sorted(range(len(marks)), key=marks.__getitem__))
    row_M = row_K[shown_K[row_K] > 1]
    first, *others = counts
    part_K, at = torch.zeros(len(data.classes), dtype=torch.int64), 0
    for number, split in enumerate(others, 1):
        part_K[row_M[at : at + counts[split]]] = number
        at += counts[split]
    parts = {}
    for number, split in enumerate((first, *others)):
        mine_K = (part_K == number) & (shown_K > 0)
        mine_N = mine_K[data.labels_N]
        labels_N = (mine_K.cumsum(0) - 1)[data.labels_N[mine_N]]
        names = [name for name, mine in zip(data.classes, mine_K.tolist(), strict=True) if mine]
        x_NCHW = data.x_NCHW[mine_N]
        more: dict[str, Any] = {}
        if data.more:  # a folder of somebody's own is known by its content
            digest = hashlib.sha256(x_NCHW.numpy().tobytes())
            digest.update(repr((names, labels_N.tolist())).encode())
            more = {**(data.more if split == "train" else {}), "sha256": digest.hexdigest()}
        words: dict[str, Any] = {key: getattr(data, key) for key in ("name", "licence", "source")}
        parts[split] = Images(x_NCHW, labels_N, names, split=split, **words, more=more)
    return parts
