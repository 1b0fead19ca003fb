"""Pictures held as bytes, and the named data sets of pictures."""

from __future__ import annotations

import difflib
import functools
import hashlib
import itertools
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from gannet.data import catalog, ledger, toys
from gannet.errors import Wrong
from gannet.rng import Rng, permutation

IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
FASHION = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


class Batch(NamedTuple):
    """x_NCHW: pictures in [-1, 1], float32; y_N: class numbers, int64 (all 0 where there are no classes)."""

    x_NCHW: torch.Tensor
    y_N: torch.Tensor


class Stored:
    """Square pictures of one size, as bytes, and what is known of them.

    Args:
        x_NCHW: uint8 pictures, C = 1 (grey), 3 (RGB) or 4 (RGB times alpha, then alpha)
        classes: a name for each class; empty where there are none
        name, split, licence, source: what it is, for the model card
        more: what else is known of where it came from, JSON values: a changed folder is known by its sha256
    """

    labels_N: torch.Tensor | None = None  # one class for each picture, where there is

    def __init__(
        self,
        x_NCHW: torch.Tensor,
        classes: list[str] | None = None,
        *,
        name: str = "pictures",
        split: str = "train",
        licence: str = "unknown",
        source: str = "",
        more: dict[str, Any] | None = None,
    ):
        if x_NCHW.dtype != torch.uint8 or x_NCHW.ndim != 4 or x_NCHW.shape[2] != x_NCHW.shape[3]:
            raise Wrong("pictures must be square bytes (N, C, H, H)", got=f"{tuple(x_NCHW.shape)} {x_NCHW.dtype}")
        self.x_NCHW, self.classes = x_NCHW, classes or []
        self.channels, self.pixels = x_NCHW.shape[1], x_NCHW.shape[2]
        self.items = len(x_NCHW)
        self.name, self.split, self.licence, self.source, self.more = name, split, licence, source, more or {}

    def __len__(self) -> int:
        return self.items

    @property
    def prepared(self) -> str:
        """What is done to the bytes before a net is fed them."""
        return "colours times alpha, bytes / 127.5 - 1" if self.channels == 4 else "bytes / 127.5 - 1"

    def facts(self) -> dict[str, Any]:
        """What is known of it without the pictures themselves."""
        return {
            "name": self.name,
            "split": self.split,
            "items": self.items,
            "pixels": self.pixels,
            "channels": self.channels,
            "classes": self.classes,
            "prepared": self.prepared,
            "licence": self.licence,
            "source": self.source,
            **({"more": self.more} if self.more else {}),
        }


def remembered(facts: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
    """Of a data set as a run folder remembers it: no picture (0, C, H, W), and the words that it is made with."""
    empty = torch.empty(0, facts["channels"], facts["pixels"], facts["pixels"], dtype=torch.uint8)
    words = {key: facts[key] for key in ("name", "split", "licence", "source")}
    return empty, words | {"more": facts.get("more")}


class Images(Stored):
    """Pictures with or without classes.

    Args:
        x_NCHW, classes, words: as for `Stored`
        labels_N: class numbers, int64, or None
    """

    def __init__(
        self, x_NCHW: torch.Tensor, labels_N: torch.Tensor | None = None, classes: list[str] | None = None, **words: Any
    ):
        super().__init__(x_NCHW, classes, **words)
        self.labels_N = labels_N

    def batch(self, n: int, rng: Rng) -> Batch:
        """n pictures for this process, a function of the rng's seed, step and stream alone."""
        i_N = rng.indices(self.items, n)
        y_N = torch.zeros(n, dtype=torch.int64) if self.labels_N is None else self.labels_N[i_N]
        return Batch(to_float(self.x_NCHW[i_N]), y_N)

    def without_classes(self) -> Images:
        """The same pictures, their labels left out."""
        words: dict[str, Any] = {key: getattr(self, key) for key in ("name", "split", "licence", "source", "more")}
        bare = Images(self.x_NCHW, **words)
        bare.items = self.items
        return bare

    def parted(self, one_in: int) -> tuple[Images, Images]:
        """What to learn from, and one picture in `one_in` to watch meanwhile, whose split is called watched.

        Always the same ones, in their order, of all classes alike: a class of two or more has a picture in both parts. A data
        set as a run folder remembers it is parted by its number of items; what comes of it differs from what came of the
        pictures only where a class has fewer than `one_in`.

        Raises:
            Wrong: where one in fewer than two would leave nothing to learn from.
        """
        if one_in < 2:
            raise Wrong("one picture in two or more can be kept to watch", got=one_in, try_="10")
        words: dict[str, Any] = {key: getattr(self, key) for key in ("name", "licence", "source", "more")}
        watched_N = self._watched(one_in)
        parts = []
        for mine_N, split in ((~watched_N, self.split), (watched_N, "watched")):
            labels_N = None if self.labels_N is None else self.labels_N[mine_N]
            parts.append(Images(self.x_NCHW[mine_N], labels_N, self.classes, split=split, **words))
        if len(self.x_NCHW) != self.items:  # recalled, without pictures
            parts[1].items = max(self.items // one_in, min(self.items // 2, 1))
            parts[0].items = self.items - parts[1].items
        return parts[0], parts[1]

    def _watched(self, one_in: int) -> torch.Tensor:
        """True where a picture is kept to watch, (N,): of a shuffled row that is sorted by class, every `one_in`-th."""
        n = len(self.x_NCHW)
        y_N = torch.zeros(n, dtype=torch.int64) if self.labels_N is None else self.labels_N
        counts_K = torch.bincount(y_N)
        row_N = permutation(0, "watched", 0, n)
        row_N = row_N[y_N[row_N].argsort(stable=True)]
        row_M = row_N[counts_K[y_N[row_N]] > 1]  # a class of one picture is learnt from
        watched_N = torch.zeros(n, dtype=torch.bool)
        watched_N[row_M[one_in - 1 :: one_in]] = True
        passed_K = (counts_K > 1) & (torch.bincount(y_N[watched_N], minlength=len(counts_K)) == 0)
        first_M = torch.cat([torch.ones(1, dtype=torch.bool), y_N[row_M].diff() != 0])[: len(row_M)]
        watched_N[row_M[first_M & passed_K[y_N[row_M]]]] = True
        return watched_N

    @classmethod
    def recall(cls, facts: dict[str, Any]) -> Images:
        """The data set as a run folder remembers it: sizes, classes and licence, and no picture."""
        empty, words = remembered(facts)
        labels = torch.empty(0, dtype=torch.int64) if facts["classes"] else None
        data = cls(empty, labels, list(facts["classes"]), **words)
        data.items = facts["items"]
        return data


class Changed:
    """A training set whose pictures are changed at random as they are drawn; all else that is known of it is as it was."""

    def __init__(self, data: Any):
        self.data = data
        self.name, self.split, self.classes = data.name, data.split, data.classes
        self.channels, self.pixels = data.channels, data.pixels

    def __len__(self) -> int:
        return len(self.data)

    def facts(self) -> dict[str, Any]:
        """What is known of the pictures, as they are stored."""
        return self.data.facts()


class Shaken(Changed):
    """A training set whose pictures are turned, resized, sheared and moved a little at random, each in its own way.

    The range is what a hand does to a digit and keeps its class; nothing is mirrored.

    Args:
        data: the pictures
        turn: largest angle, radians
        stretch: largest change of size, in either direction on its own, as a share
        shear: largest slant
        move: largest shift, as a share of half the picture
    """

    def __init__(self, data: Images, turn: float = 0.25, stretch: float = 0.15, shear: float = 0.2, move: float = 0.15):
        super().__init__(data)
        self.turn, self.stretch, self.shear, self.move = turn, stretch, shear, move

    def batch(self, n: int, rng: Rng) -> Batch:
        """n pictures, a function of the rng's seed, step and stream alone."""
        x_NCHW, y_N = self.data.batch(n, rng)
        u_N6 = rng.uniform(n, 6) * 2 - 1
        angle = u_N6[:, 0] * self.turn
        wide, high = (1 + u_N6[:, 1] * self.stretch), (1 + u_N6[:, 2] * self.stretch)
        slant = u_N6[:, 3] * self.shear
        cos, sin = angle.cos(), angle.sin()
        top = torch.stack([cos * wide, (slant * cos - sin) * high, u_N6[:, 4] * self.move], 1)
        bottom = torch.stack([sin * wide, (slant * sin + cos) * high, u_N6[:, 5] * self.move], 1)
        places = F.affine_grid(torch.stack([top, bottom], 1), list(x_NCHW.shape), align_corners=False)
        return Batch(F.grid_sample(x_NCHW + 1, places, align_corners=False) - 1, y_N)  # outside is -1, as the margin is


class Cropped(Changed):
    """A training set of things seen by a camera: moved by whole pixels, mirrored, and hidden in part, each in its own way.

    What a shift brings in from outside is the picture's own mirror image. The hidden part is a rectangle of 2 to 20 % of the
    area, its sides rounded to whole pixels, filled with even noise: random erasing (Zhong et al. 2017, arXiv 1708.04896,
    algorithm 1). Their ratio of the sides, 0.3 to 1/0.3, is drawn evenly in its logarithm here, so that tall is as likely as
    wide; at 20 % no side is then longer than 0.82 of the picture, and nothing need be drawn again.

    Args:
        data: the pictures
        move: largest shift, in pixels, in either direction on its own
        mirror: exchange left and right in one picture of two
        erase: probability that a part is hidden
    """

    def __init__(self, data: Images, move: int = 4, mirror: bool = True, erase: float = 0.0):
        super().__init__(data)
        if not 0 <= move < data.pixels:
            what = f"pictures of {data.pixels} pixels can be moved by 0 to {data.pixels - 1}"
            raise Wrong(what, got=f"move={move}", try_=f"move={data.pixels // 8}")
        if not 0 <= erase <= 1:
            raise Wrong("a part is hidden with a probability of 0 to 1", got=f"erase={erase}", try_="erase=0.25")
        self.move, self.mirror, self.erase = move, mirror, erase

    def batch(self, n: int, rng: Rng) -> Batch:
        """n pictures, a function of the rng's seed, step and stream alone."""
        x_NCHW, y_N = self.data.batch(n, rng)
        u_N8 = rng.uniform(n, 8)
        last = self.pixels - 1
        at_2NH = (u_N8[:, :2].T * (2 * self.move + 1)).long()[..., None] - self.move + torch.arange(self.pixels)
        row_NH, column_NW = last - (last - at_2NH.abs()).abs()  # reflected at the first and the last pixel
        if self.mirror:
            column_NW = torch.where(u_N8[:, 2:3] < 0.5, column_NW.flip(1), column_NW)
        x_NHWC = x_NCHW.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], row_NH[:, :, None], column_NW[:, None]]
        x_NCHW = x_NHWC.permute(0, 3, 1, 2).contiguous()
        if self.erase:
            noise_NCHW = rng.uniform(n, *x_NCHW.shape[1:]) * 2 - 1
            noise_NCHW[:, 3:] = 1  # alpha, where there is one: what hides is opaque
            x_NCHW = torch.where(self._hidden(u_N8[:, 3:])[:, None], noise_NCHW, x_NCHW)
        return Batch(x_NCHW, y_N)

    def _hidden(self, u_N5: torch.Tensor) -> torch.Tensor:
        """True inside each picture's rectangle, (N, H, W); nowhere where it has none."""
        area_N = (0.02 + 0.18 * u_N5[:, 1]) * self.pixels**2
        ratio_N = ((2 * u_N5[:, 2] - 1) * math.log(0.3)).exp()
        inside = []
        for side_N, place_N in (((area_N * ratio_N).sqrt(), u_N5[:, 3]), ((area_N / ratio_N).sqrt(), u_N5[:, 4])):
            long_N = side_N.round().clamp(min=1)
            first_N = (place_N * (self.pixels - long_N + 1)).floor()
            from_NH = torch.arange(self.pixels) - first_N[:, None]
            inside.append((from_NH >= 0) & (from_NH < long_N[:, None]))
        return inside[0][:, :, None] & inside[1][:, None] & (u_N5[:, 0] < self.erase)[:, None, None]


#: How training pictures may be changed: as a hand would, as a camera would, or by what the set is.
HANDWRITTEN = ("mnist", "digits8")
#: Things that fill their picture from edge to edge: shifts of three pixels cost a point (docs/log.md, 2026-11-24).
FRAMED = ("fashion-mnist",)


def shaken(data: Images, change: str = "auto", mirror: bool = True) -> Images | Shaken | Cropped:
    """A training set with the changes that suit it, an eighth of a picture's side at most.

    Args:
        data: the pictures
        change: hand (turned, slanted, resized, moved), photo (moved, mirrored, hidden in part), none, or auto: hand for sets
            of handwriting, photo for all others, but unmirrored where they are grey and not known
        mirror: False where left and right are not the same: arrows, letters, traffic signs
    """
    known = data.name.rpartition("/")[2].removeprefix("stacked-")
    # Grey pictures of nobody knows what may be letters, and a b must not be taught to be a d.
    mirror = mirror and (change == "photo" or data.channels > 1 or known == "fashion-mnist")
    if change == "auto":
        change = "hand" if known in HANDWRITTEN else "photo"
    if change == "hand":
        return Shaken(data)
    if change != "photo":
        return data
    if known in FRAMED:
        return Cropped(data, move=data.pixels // 16, mirror=mirror, erase=0.1)
    return Cropped(data, move=data.pixels // 8, mirror=mirror, erase=0.25)


def with_classes(data: Images) -> Images:
    """The same pictures.

    Raises:
        Wrong: where they are of no classes, or of one.
    """
    if len(data.classes) < 2:
        hint = "every picture in a folder of its class, or a labels.csv beside the pictures"
        raise Wrong("there are no classes to tell apart", got=data.name, try_=hint)
    if data.labels_N is not None and len(data.labels_N) and int(torch.bincount(data.labels_N).max()) < 2:
        what = "every class has one picture to learn from, and none can be kept to watch"
        raise Wrong(what, got=f"{data.name}, {len(data)} pictures", try_="two at least of some class")
    return data


def to_float(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Bytes -> float32 in [-1, 1]."""
    return x_NCHW.float().div_(127.5).sub_(1)


def to_bytes(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Float pictures in [-1, 1] -> bytes, rounded, with what lies outside cut off."""
    return x_NCHW.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def straight(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Bytes as a picture file wants them: colours divided by alpha, where there is alpha; anything else as it is."""
    if x_NCHW.shape[1] != 4:
        return x_NCHW
    colour, alpha = x_NCHW[:, :3].float(), x_NCHW[:, 3:].float()
    return torch.cat([(colour * 255 / alpha.clamp(min=1)).round().clamp(0, 255), alpha], 1).to(torch.uint8)


def times_alpha(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Bytes as a run was fed them: colours multiplied by alpha, where there is alpha, as `straight` divides them again."""
    if x_NCHW.shape[1] != 4:
        return x_NCHW
    colour, alpha = x_NCHW[:, :3].float(), x_NCHW[:, 3:].float()
    return torch.cat([(colour * alpha / 255).round(), alpha], 1).to(torch.uint8)


def load(name: str, split: str = "train", pixels: int | None = None) -> Images:
    """A set of pictures: a folder or zip of one's own, a Hugging Face data set (owner/name), or one that has a name here.

    These are mnist, fashion-mnist, emoji, faces (drawn here), digits8 (embedded), bars, cifar-10 and cifar-100 (where their
    binary version lies in the cache), and three at a time of a grey one: stacked-mnist …

    A folder's pictures and faces become squares of `pixels`; other named sets come as they are: of 28, 64 (emoji), 32 (cifar)
    or 8 pixels.
    Where mnist is neither cached nor to be reached, digits8 stands in for it and one line on stderr says so.

    Raises:
        Wrong: for an unknown name or split, and for data that can neither be found nor replaced.
    """
    return ledger().open(f"{name}/{split}", lambda: _read(name, split, pixels), Images.recall)


def _read(name: str, split: str, pixels: int | None) -> Images:
    if split not in IDX_FILES:
        raise Wrong("no such split", got=split, try_="train or test", usage=True)
    from gannet.data import hub, pictures  # which make Images of what they find

    if name not in NAMES and hub.is_name(name):
        return hub.read(name, pixels).split(split)
    if pictures.is_place(name):
        return pictures.read(name, pixels).split(split)
    if name == "digits8":
        return _digits8(split)
    if name == "faces":
        from gannet.data import faces  # which makes Images of what it draws

        return faces.read(split, pixels)
    if name in CIFARS:
        return _cifar(name, split)
    if name in STACKS:
        return stacked(_read(name.removeprefix("stacked-"), split, None))
    if name == "bars":
        x, y = toys.bars(2000 if split == "train" else 500, seed=0 if split == "train" else 1)
        return Images(x, y, ["across", "down"], name=name, split=split, licence="CC0", source="drawn by gannet")
    if name not in NAMES:
        near = difflib.get_close_matches(name.lower(), NAMES, 1, 0.5)
        hint = near[0] if near else f"{', '.join(NAMES)}, or a folder or zip of pictures"
        raise Wrong("no data set of pictures has this name", got=name, try_=hint, usage=True)
    try:
        folder = catalog.fetch(name, offline=ledger().offline)
    except catalog.OutOfReach as reason:
        if name != "mnist":
            raise
        _tell_once(f"gannet: MNIST is not here, so scikit-learn's 8x8 digits stand in for it: {reason}")
        return _digits8(split)
    entry = catalog.get(name)
    if name == "emoji":
        gallery = pictures.emoji(folder)
        gallery.licence, gallery.source = entry.licence, entry.source
        return gallery.split(split)
    drawn, labels = IDX_FILES[split]
    x = torch.from_numpy(read_idx(folder / drawn)).unsqueeze(1)
    y = torch.from_numpy(read_idx(folder / labels)).long()
    classes = FASHION if name == "fashion-mnist" else [str(i) for i in range(10)]
    return Images(x, y, classes, name=name, split=split, licence=entry.licence, source=entry.source)


@functools.cache
def _tell_once(line: str) -> None:
    """A line on stderr, however often it is called for: both splits of a data set are opened."""
    print(line, file=sys.stderr)


STACKS = ("stacked-mnist", "stacked-fashion-mnist", "stacked-digits8", "stacked-bars")
#: The files of the two splits, the one with the names of the classes, and the label bytes of a record.
CIFARS: dict[str, tuple[dict[str, list[str]], str, int]] = {
    "cifar-10": (
        {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]},
        "batches.meta.txt",
        1,
    ),
    "cifar-100": ({"train": ["train.bin"], "test": ["test.bin"]}, "fine_label_names.txt", 2),
}
NAMES = ("mnist", "fashion-mnist", "emoji", "faces", "digits8", "bars", *CIFARS, *STACKS)


@functools.cache
def _embedded() -> tuple[torch.Tensor, torch.Tensor]:
    """Scikit-learn's digits (N, 1, 8, 8), bytes, and what they are (N,)."""
    from sklearn.datasets import load_digits  # seconds to import, so only where it is asked for

    bunch: Any = load_digits()
    x_NCHW = torch.from_numpy(np.asarray(bunch.images) * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    return x_NCHW, torch.from_numpy(np.asarray(bunch.target)).long()


def _digits8(split: str) -> Images:
    x, y = _embedded()
    # The file is ordered by writer, so its last fifth is a fair held-out set: other hands.
    cut = slice(0, 1437) if split == "train" else slice(1437, None)
    source = "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, as embedded in scikit-learn"
    classes = [str(i) for i in range(10)]
    return Images(x[cut], y[cut], classes, name="digits8", split=split, licence="CC BY 4.0", source=source)


STACKED = {"train": 128_000, "test": 26_000}  # as in VEEGAN's and PacGAN's protocol


def stacked(grey: Images) -> Images:
    """Three pictures of a grey set with K classes as red, green and blue: K³ classes, 1,000 of digits.

    Metz et al. 2017 (arXiv 1611.02163, section 3.3), with 128,000 pictures to learn from as in VEEGAN (Srivastava et al. 2017,
    arXiv 1705.07761). Each channel's picture is drawn evenly from all and on its own; class K²·red + K·green + blue.
    """
    assert grey.labels_N is not None
    n, k = STACKED[grey.split], len(grey.classes)
    which_N3 = Rng(0, 0, f"stacked {grey.split}").integers(len(grey), 3 * n).view(n, 3)
    y_N = (grey.labels_N[which_N3] * torch.tensor([k * k, k, 1])).sum(1)
    between = "" if max(map(len, grey.classes)) == 1 else "+"
    names = [between.join(triple) for triple in itertools.product(grey.classes, repeat=3)]
    words: dict[str, Any] = {"split": grey.split, "licence": grey.licence, "source": f"three at a time of {grey.source}"}
    return Images(grey.x_NCHW[which_N3, 0], y_N, names, name=f"stacked-{grey.name}", **words)


def read_idx(path: Path) -> np.ndarray:
    """One IDX file of bytes (LeCun's format: 0, 0, type 8, dimensions, big-endian sizes, data).

    Raises:
        Wrong: where the file is no IDX file of bytes or its length does not match its header.
    """
    raw = path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise Wrong("this file does not begin like an IDX file of bytes", got=path)
    shape = np.frombuffer(raw, ">i4", raw[3], 4)
    if len(raw) != 4 + 4 * raw[3] + int(np.prod(shape)):
        raise Wrong(f"an IDX file's length does not match its header {shape.tolist()}", got=f"{path}, {len(raw)} bytes")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy()


def _cifar(name: str, split: str) -> Images:
    """Nobody may hand CIFAR on here, so its owner's copy is read where the user has put it: the binary version, no pickles."""
    files, words, labels = CIFARS[name]
    home = catalog.home() / "data" / name
    wanted = [words, *files[split]]
    for folder in (home, *sorted(path for path in home.glob("*") if path.is_dir())):
        if all((folder / file).is_file() for file in wanted):
            break
    else:
        got = f"{home} lacks {wanted[0]}, {wanted[1]}{' …' if len(wanted) > 2 else ''}"
        mend = f"unpacking {name}-binary.tar.gz there, or --data uoft-cs/{name.replace('-', '')} from Hugging Face"
        raise Wrong(f"{name} is not here, and gannet does not download it", got=got, try_=mend)
    classes = (folder / words).read_text(encoding="utf-8", errors="replace").split()
    if len(classes) != CIFAR_CLASSES[labels]:
        raise Wrong(f"{CIFAR_CLASSES[labels]} names of classes belong here", got=f"{folder / words}, {len(classes)} names")
    pairs = [read_cifar(folder / file, labels) for file in files[split]]
    x_NCHW, y_N = torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])
    digest = hashlib.sha256(x_NCHW.numpy().tobytes())  # the catalogue vouches for none of these files
    digest.update(y_N.numpy().tobytes())
    source = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    return Images(x_NCHW, y_N, classes, name=name, split=split, source=source, more={"sha256": digest.hexdigest()})


CIFAR_CLASSES = {1: 10, 2: 100}  # by label bytes of a record


def read_cifar(path: Path, labels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One file of CIFAR's binary version: x uint8 (N, 3, 32, 32), y int64 (N,).

    Args:
        path: records of label bytes, then 3·32·32 bytes, channels first
        labels: label bytes of a record: 1 in CIFAR-10; 2 in CIFAR-100, coarse and fine, of which the fine one is read

    Raises:
        Wrong: where the file is no whole number of records, or a class has no name.
    """
    raw, record = path.read_bytes(), labels + 3 * 32 * 32
    if not raw or len(raw) % record:
        raise Wrong(f"no whole number of CIFAR's records of {record:,} bytes", got=f"{path}, {len(raw):,} bytes")
    rows_NB = torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(-1, record).copy())
    y_N = rows_NB[:, labels - 1].long()
    if y_N.max() >= CIFAR_CLASSES[labels]:
        first = int((y_N >= CIFAR_CLASSES[labels]).int().argmax())
        raise Wrong(f"a class beyond CIFAR's {CIFAR_CLASSES[labels]}", got=f"{path}, record {first}: class {int(y_N[first])}")
    return rows_NB[:, labels:].reshape(-1, 3, 32, 32), y_N


def grid(x_NCHW: torch.Tensor, columns: int | None = None) -> np.ndarray:
    """Bytes (N, C, H, W) -> one picture (rows·H, columns·W, C), row by row; empty places are black."""
    n, c, h, w = x_NCHW.shape
    columns = columns or max(1, round(n**0.5))
    rows = -(-n // columns)
    full = torch.zeros(rows * columns, c, h, w, dtype=torch.uint8)
    full[:n] = x_NCHW
    return full.view(rows, columns, c, h, w).permute(0, 3, 1, 4, 2).reshape(rows * h, columns * w, c).numpy()
