"""Pictures with boxes in them: anybody's, as COCO or YOLO have them, and scenes that are drawn here, whose boxes are exact.

Shapes: N pictures of C channels and P × P pixels, M places for boxes, of which `there` says which are taken. A box is x0, y0,
x1, y1 in pixels of the prepared picture, from its left upper corner; x1 and y1 are the first that lie outside.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from gannet.data import images, ledger
from gannet.data.images import Changed, Images, Stored, remembered, to_float
from gannet.errors import Wrong
from gannet.rng import Rng, permutation

INK = 32  # a pixel this bright, of 255, belongs to a thing
SHORTEST = 3  # pixels of a thing's shorter side in a scene: below, nothing is left of it
TRIES = 12  # places that are tried for a thing before it is left out
WATCHED, TESTED = 256, 1_000  # scenes that are watched, and that are held out


class Batch(NamedTuple):
    """x_NCHW: pictures in [-1, 1]; boxes_NM4: in pixels; kinds_NM: class numbers, int64; there_NM: False where none is."""

    x_NCHW: torch.Tensor
    boxes_NM4: torch.Tensor
    kinds_NM: torch.Tensor
    there_NM: torch.Tensor


class Boxes(Stored):
    """Pictures with boxes.

    Args:
        x_NCHW, classes, words: as for `Stored`
        boxes_NM4, kinds_NM, there_NM: as in `Batch`
    """

    def __init__(
        self,
        x_NCHW: torch.Tensor,
        boxes_NM4: torch.Tensor,
        kinds_NM: torch.Tensor,
        there_NM: torch.Tensor,
        classes: list[str],
        **words: Any,
    ):
        super().__init__(x_NCHW, classes, **words)
        self.boxes_NM4, self.kinds_NM, self.there_NM = boxes_NM4, kinds_NM, there_NM

    @property
    def prepared(self) -> str:
        return "the whole picture in the left upper corner of a square, black beside it, bytes / 127.5 - 1"

    def take(self, i_N: torch.Tensor) -> Batch:
        """The pictures with these numbers."""
        return Batch(to_float(self.x_NCHW[i_N]), self.boxes_NM4[i_N], self.kinds_NM[i_N], self.there_NM[i_N])

    def batch(self, n: int, rng: Rng) -> Batch:
        """n pictures for this process, a function of the rng's seed, step and stream alone."""
        return self.take(rng.indices(self.items, n))

    def parted(self, one_in: int) -> tuple[Boxes, Boxes]:
        """What to learn from, and one picture in `one_in`, at least one with something in it, to watch meanwhile; always the
        same ones."""
        n = len(self.x_NCHW)
        watched_N, row_N = torch.zeros(n, dtype=torch.bool), permutation(0, "watched", 0, n)
        with_N = self.there_NM.any(1)[row_N]
        some_X, bare_X = row_N[with_N], row_N[~with_N]  # with something in them, and with nothing: as many of either
        watched_N[some_X[: max(len(some_X) // one_in, min(len(some_X) // 2, 1))]] = True
        watched_N[bare_X[: len(bare_X) // one_in]] = True
        words: dict[str, Any] = {key: getattr(self, key) for key in ("classes", "name", "licence", "source", "more")}
        parts = []
        for mine_N, split in ((~watched_N, self.split), (watched_N, "watched")):
            held = (self.x_NCHW[mine_N], self.boxes_NM4[mine_N], self.kinds_NM[mine_N], self.there_NM[mine_N])
            parts.append(Boxes(*held, split=split, **words))
        if n != self.items:  # recalled, without pictures
            parts[1].items = max(self.items // one_in, min(self.items // 2, 1))
            parts[0].items = self.items - parts[1].items
        return parts[0], parts[1]

    @classmethod
    def recall(cls, facts: dict[str, Any]) -> Boxes:
        """The data set as a run folder remembers it, without pictures."""
        empty, words = remembered(facts)
        nothing = (torch.empty(0, 1, 4), torch.empty(0, 1, dtype=torch.int64), torch.empty(0, 1, dtype=torch.bool))
        data = cls(empty, *nothing, list(facts["classes"]), **words)
        data.items = facts["items"]
        return data


class Scenes:
    """Scenes that are put together anew for every batch: things of known classes, resized, on black, with exact boxes.

    A thing is cut to its ink, so that its box touches it on all four sides, whatever becomes of its size. Its longer side is
    drawn evenly on a logarithmic scale; where it would hide more than `overlap` of another, or be hidden so, another size and
    place are tried, which small things survive more often, and after twelve tries it is left out: a full scene has one less.

    Args:
        things: pictures of one thing each, on black, with classes
        pixels: sides of a scene
        count: fewest and most things that are wanted in a scene
        sizes: shortest and longest of their longer sides, in pixels
        overlap: most of the smaller one's box that two boxes may share
    """

    def __init__(
        self,
        things: Images,
        pixels: int = 128,
        count: tuple[int, int] = (5, 20),
        sizes: tuple[int, int] = (12, 56),
        overlap: float = 0.3,
    ):
        if not SHORTEST < sizes[0] <= sizes[1] <= pixels:
            raise Wrong(
                "things in a scene are larger than 3 pixels and no larger than it", got=f"{sizes} in {pixels}", try_="(12, 56)"
            )
        self.things, self.pixels, self.count, self.sizes, self.overlap = things, pixels, count, sizes, overlap
        self.channels, self.classes = min(things.channels, 3), things.classes
        self.name, self.split = f"scenes of {things.name}", things.split
        ink_NHW = things.x_NCHW.amax(1) >= INK
        self.ink_N4 = torch.stack([*edges(ink_NHW.any(1)), *edges(ink_NHW.any(2))], 1)[:, [0, 2, 1, 3]]
        self.usable_N = ink_NHW.flatten(1).any(1).nonzero().flatten()
        if len(things.x_NCHW) and not len(self.usable_N):
            raise Wrong("there is nothing to see in any of these pictures", got=things.name)

    def __len__(self) -> int:
        return len(self.things)

    def batch(self, n: int, rng: Rng) -> Batch:
        """n scenes for this process, a function of the rng's seed, step and stream alone."""
        drawn, *rest = self.draw(n, rng)
        return Batch(to_float(drawn), *rest)

    def draw(self, n: int, rng: Rng) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """n scenes as bytes (N, C, P, P), and their boxes, kinds and which of these are there."""
        least, most = self.count
        u_N = rng.uniform(n)
        want_N = least + (u_N * (most - least + 1)).long()
        which_NM = self.usable_N[rng.integers(len(self.usable_N), n * most)].view(n, most)
        u_NMT3 = rng.uniform(n, most, TRIES, 3)
        ink_NM4 = self.ink_N4[which_NM]
        boxes_NM4, there_NM = self.placed(u_NMT3, ink_NM4[..., 2:] - ink_NM4[..., :2], want_N)
        x_NCHW = self.painted(which_NM, boxes_NM4, there_NM)
        labels_N = self.things.labels_N
        assert labels_N is not None
        return x_NCHW, boxes_NM4.float(), labels_N[which_NM] * there_NM, there_NM

    def placed(self, u_NMT3: torch.Tensor, ink_NM2: torch.Tensor, want_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where things go: boxes (N, M, 4), whole pixels, and which there was room for, (N, M).

        Args:
            u_NMT3: even numbers for size, x and y of every try
            ink_NM2: width and height of what is placed
            want_N: how many
        """
        low, high = self.sizes
        long_NMT = (low * (high / low) ** u_NMT3[..., :1]).round()
        share_NM2 = ink_NM2 / ink_NM2.amax(2, keepdim=True).clamp(min=1)
        side_NMT2 = (long_NMT * share_NM2[:, :, None]).round().clamp(min=SHORTEST)
        corner_NMT2 = (u_NMT3[..., 1:] * (self.pixels - side_NMT2 + 1)).floor()
        tries_NMT4 = torch.cat([corner_NMT2, corner_NMT2 + side_NMT2], 3)
        n, m = ink_NM2.shape[:2]
        boxes_NM4, there_NM = torch.zeros(n, m, 4), torch.zeros(n, m, dtype=torch.bool)
        for i in range(m):
            tries_NT4 = tries_NMT4[:, i]
            shared_NTM = intersection(tries_NT4[:, :, None], boxes_NM4[:, None, : max(i, 1)])
            smaller_NTM = torch.minimum(area(tries_NT4)[:, :, None], area(boxes_NM4[:, None, : max(i, 1)])).clamp(min=1)
            fits_NT = (shared_NTM / smaller_NTM).amax(2) <= self.overlap
            first_N = fits_NT.int().argmax(1)
            there_NM[:, i] = fits_NT.any(1) & (there_NM.sum(1) < want_N)
            boxes_NM4[:, i] = tries_NT4[torch.arange(n), first_N] * there_NM[:, i, None]
        return boxes_NM4.long(), there_NM

    def painted(self, which_NM: torch.Tensor, boxes_NM4: torch.Tensor, there_NM: torch.Tensor) -> torch.Tensor:
        """The scenes, bytes: each thing's ink stretched over its box, the brighter one in front."""
        scene_D, place_D = there_NM.nonzero(as_tuple=True)
        box_D4, ink_D4 = boxes_NM4[scene_D, place_D], self.ink_N4[which_NM[scene_D, place_D]].float()
        side = int((box_D4[:, 2:] - box_D4[:, :2]).max()) if len(box_D4) else 1
        at_S = torch.arange(side)
        places, inside, onto = [], [], []
        for low in (0, 1):  # x, then y: the ink's middle of pixel i of s is that of (i + 1/2) / s
            s_D1 = (box_D4[:, low + 2] - box_D4[:, low])[:, None]
            source_DS = ink_D4[:, low, None] + (at_S + 0.5) / s_D1 * (ink_D4[:, low + 2] - ink_D4[:, low])[:, None]
            places.append(2 * source_DS / self.things.pixels - 1)
            inside.append(at_S < s_D1)
            onto.append((box_D4[:, low, None] + at_S).clamp(max=self.pixels - 1))
        grid_DSS2 = torch.stack([places[0][:, None].expand(-1, side, -1), places[1][:, :, None].expand(-1, -1, side)], 3)
        x_DCHW = self.things.x_NCHW[which_NM[scene_D, place_D], : self.channels].float()
        drawn_DCSS = F.grid_sample(x_DCHW, grid_DSS2, align_corners=False, padding_mode="border")
        drawn_DCSS = drawn_DCSS * (inside[0][:, None, None] & inside[1][:, None, :, None])
        cell_DSS = (scene_D[:, None, None] * self.pixels + onto[1][:, :, None]) * self.pixels + onto[0][:, None]
        canvas_CX = torch.zeros(self.channels, len(there_NM) * self.pixels**2)
        cells = cell_DSS.flatten().expand(self.channels, -1)
        canvas_CX.scatter_reduce_(1, cells, drawn_DCSS.transpose(0, 1).flatten(1), "amax")
        x_CNHW = canvas_CX.view(self.channels, len(there_NM), self.pixels, self.pixels)
        return x_CNHW.transpose(0, 1).round().to(torch.uint8).contiguous()

    def fixed(self, n: int, split: str) -> Boxes:
        """n scenes that are always the same ones; none where the things are only remembered."""
        words: dict[str, Any] = {"name": self.name, "split": split, "licence": self.things.licence}
        if not len(self.usable_N):
            return Boxes.recall(self.facts() | {"split": split, "items": n})
        parts = [self.draw(100, Rng(0, step, f"scenes {split}")) for step in range(-(-n // 100))]
        x_NCHW, boxes_NM4, kinds_NM, there_NM = (torch.cat(part)[:n] for part in zip(*parts, strict=True))
        digest = hashlib.sha256(x_NCHW.numpy().tobytes()).hexdigest()
        return Boxes(
            x_NCHW, boxes_NM4, kinds_NM, there_NM, self.classes, source=self._source(), more={"sha256": digest}, **words
        )

    def _source(self) -> str:
        (low, high), (few, many) = self.sizes, self.count
        return f"{few} to {many} of {low} to {high} pixels on black, drawn by gannet from {self.things.source}"

    def facts(self) -> dict[str, Any]:
        """What is known of it; its items are the things."""
        facts = self.things.facts()
        prepared = f"scenes of {self.pixels} pixels, bytes / 127.5 - 1"
        mine = {"name": self.name, "pixels": self.pixels, "channels": self.channels, "prepared": prepared}
        return facts | mine | {"source": self._source()}


class Moved(Changed):
    """Training pictures with boxes, each zoomed, shifted and perhaps mirrored; a box of which under a third stays is dropped.

    Args:
        data: the pictures
        zoom: largest change of size in either direction, as a share of a doubling
        shift: largest shift, as a share of the picture
        mirror: exchange left and right in one picture of two
    """

    def __init__(self, data: Boxes, zoom: float = 0.4, shift: float = 0.2, mirror: bool = True):
        super().__init__(data)
        self.zoom, self.shift, self.mirror = zoom, shift, mirror

    def batch(self, n: int, rng: Rng) -> Batch:
        """n pictures, a function of the rng's seed, step and stream alone."""
        x_NCHW, boxes_NM4, kinds_NM, there_NM = self.data.batch(n, rng)
        u_N4 = rng.uniform(n, 4)
        times_N = 2 ** ((2 * u_N4[:, 0] - 1) * self.zoom)
        shift_N2 = (2 * u_N4[:, 1:3] - 1) * self.shift * self.pixels
        sign_N = torch.where(u_N4[:, 3] < 0.5, -1.0, 1.0) if self.mirror else torch.ones(n)
        half = self.pixels / 2
        # Onto the new picture: x' = half + sign·times·(x - half) + shift; the sampler wants the way back, in halves of a side.
        way_N23 = torch.zeros(n, 2, 3)
        for axis, flip_N in ((0, sign_N), (1, torch.ones(n))):
            way_N23[:, axis, axis] = flip_N / times_N
            way_N23[:, axis, 2] = -shift_N2[:, axis] / half * flip_N / times_N
        places = F.affine_grid(way_N23, list(x_NCHW.shape), align_corners=False)
        x_NCHW = F.grid_sample(x_NCHW + 1, places, align_corners=False) - 1
        scale_N12 = torch.stack([sign_N * times_N, times_N], 1)[:, None]
        ends_NM22 = (boxes_NM4.unflatten(2, (2, 2)) - half) * scale_N12[:, None] + half + shift_N2[:, None, None]
        whole_NM4 = torch.cat([ends_NM22.amin(2), ends_NM22.amax(2)], 2)
        seen_NM4 = whole_NM4.clamp(0, self.pixels)
        there_NM = there_NM & (area(seen_NM4) > area(whole_NM4) / 3) & ((seen_NM4[..., 2:] - seen_NM4[..., :2]).amin(2) >= 1)
        return Batch(x_NCHW, seen_NM4 * there_NM[..., None], kinds_NM * there_NM, there_NM)


def load(name: str, pixels: int = 128, *, mirror: bool = True) -> tuple[Scenes | Moved, Boxes, Boxes]:
    """What to learn from, what to watch meanwhile, and what is held out.

    Args:
        name: a set of pictures with classes, of which scenes are drawn; or a folder or zip with boxes, COCO's or YOLO's
        pixels: of the sides of scenes, or of the squares that a folder's pictures are put into
        mirror: whether a folder's pictures are mirrored, one in two; nothing in scenes is

    Raises:
        Wrong: for what has neither classes nor boxes, and for what cannot be read.
    """
    from gannet.data import annotated, pictures

    if pixels % 4 or not 16 <= pixels <= 1024:
        what = "a detector's pictures have a multiple of 4 pixels, 16 to 1024"
        raise Wrong(what, got=f"{pixels} pixels", try_="--pixels 128", usage=True)
    if pictures.is_place(name):
        made = [
            ledger().open(f"{name}/{split}", lambda split=split: annotated.read(name, pixels).split(split), Boxes.recall)
            for split in ("train", "test")
        ]
        train, watched = made[0].parted(20)
        return Moved(train, mirror=mirror), watched, made[1]
    things = [images.load(name, split) for split in ("train", "test")]
    train, watched = things[0].parted(20)
    if not things[0].classes:
        raise Wrong("scenes are drawn of pictures with classes", got=name, try_="--data mnist, or a folder with boxes")
    if things[0].classes != things[1].classes:
        what = "scenes are drawn of things that are of the same classes in training and test"
        raise Wrong(what, got=name, try_="--data mnist, or a folder with boxes")
    small = min(1.0, pixels / 128)  # a smaller scene has smaller things in it
    sizes = (max(round(12 * small), SHORTEST + 1), max(round(56 * small), SHORTEST + 1))
    learnt, seen, held = (Scenes(part, pixels, sizes=sizes) for part in (train, watched, things[1]))
    return learnt, seen.fixed(WATCHED, "watched"), held.fixed(TESTED, "test")


def edges(any_NL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First True of each row, and one behind the last; 0 and 0 where there is none."""
    length = any_NL.shape[1]
    first_N = any_NL.int().argmax(1)
    behind_N = length - any_NL.flip(1).int().argmax(1)
    return first_N, torch.where(any_NL.any(1), behind_N, first_N)


def area(boxes_4: torch.Tensor) -> torch.Tensor:
    """Area of boxes (..., 4) -> (...)."""
    return (boxes_4[..., 2:] - boxes_4[..., :2]).clamp(min=0).prod(-1)


def intersection(one_4: torch.Tensor, two_4: torch.Tensor) -> torch.Tensor:
    """What boxes (..., 4) share, (...)."""
    low, high = torch.maximum(one_4[..., :2], two_4[..., :2]), torch.minimum(one_4[..., 2:], two_4[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def overlap(one_4: torch.Tensor, two_4: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes (..., 4), (...); 0 where both are empty."""
    shared = intersection(one_4, two_4)
    return shared / (area(one_4) + area(two_4) - shared).clamp(min=1e-9)
