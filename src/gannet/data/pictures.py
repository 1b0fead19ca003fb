"""Pictures in a folder or zip of anybody's: found, looked at one by one, cut square, resized, and parted into two splits.

    gallery = read("holiday", pixels=64)          # or holiday.zip
    gallery.split("train"), gallery.split("test")

Nothing in the folder is changed, and no picture that cannot be used stops the others: each is named in `left_out` with the
reason. Folders inside, where all pictures lie in one, are classes; folders called train and test are the two splits. Where
no folders say the classes, a labels.csv, train.csv or classes.csv beside the pictures may.
Shapes: N pictures, C channels (1 grey, 3 RGB, 4 RGB times alpha, then alpha), H = W pixels.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import struct
import sys
import unicodedata
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import psutil
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gannet.data.images import NAMES, Images
from gannet.errors import Wrong
from gannet.files import is_ours

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif"}
WORKERS = min(os.cpu_count() or 1, 8)  # that decode pictures side by side: half a gigabyte each, of a camera's without loss
UNREAD = {".heic", ".heif", ".jp2", ".jxl", ".tga", ".svg", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".exr"}
UNREADABLE = "a kind of picture that is not read here: save it as JPEG or PNG"
SMALLEST = 8  # pixels of a side: below, there is nothing to see
LARGEST = 178_956_970  # pixels of a whole picture: beyond, Pillow takes a file for one that is made to fill the memory
LONGEST = 16  # times the shorter side: beyond, the square in the middle says nothing of the picture
FEWEST = 16  # pictures that one can learn anything from
HELD_OUT = 10  # one in so many is kept from training
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "test", "valid": "test"} | {
    "validation": "test"
}
LISTS = ("labels.csv", "train.csv", "classes.csv")  # CSV files that may say the classes
OF_FILES = ("file", "filename", "file_name", "image", "path", "id")  # heads of columns, the likeliest first
OF_CLASSES = ("class", "label", "category", "breed", "target")
OWN = "a folder or zip of somebody's own; the middle square of each picture, resized"
NAMED = 8  # files that are named on the terminal; all are in recipe.json


#: What a file turned out to be: a picture (H, W, 4), colours times alpha, with remarks; or the reason why it is none.
Looked = tuple[np.ndarray, list[str]] | str


class Unusable(Exception):
    """A picture that cannot be used; its text is the reason."""


@dataclass(frozen=True)
class File:
    """One file that should be a picture.

    Attributes:
        name: under the folder, with slashes; what people are told
        open: gives its bytes as an open file
    """

    name: str
    open: Callable[[], contextlib.AbstractContextManager[IO[bytes]]]


@dataclass
class Gallery:
    """Pictures that were read.

    Attributes:
        name: of the folder or zip
        x_NCHW: uint8
        names_N: of the files, sorted
        labels_N: class numbers, or None
        classes: their names
        test_N: True where a picture is kept from training
        left_out: [file, reason] for each that is not used
        notes: what else to know: how many are cut, animated, and so on
        licence, source: for the model card
    """

    name: str
    x_NCHW: torch.Tensor
    names_N: list[str]
    labels_N: torch.Tensor | None
    classes: list[str]
    test_N: torch.Tensor
    left_out: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    licence: str = "its owner's"
    source: str = OWN

    def split(self, split: str) -> Images:
        """The training or the test pictures."""
        mine = self.test_N if split == "test" else ~self.test_N
        labels = None if self.labels_N is None else self.labels_N[mine]
        digest = hashlib.sha256(self.x_NCHW[mine].numpy().tobytes())
        digest.update(json.dumps([self.classes, [] if labels is None else labels.tolist()]).encode())
        facts: dict[str, Any] = {"sha256": digest.hexdigest()}
        if split == "train":
            facts |= {"left_out": self.left_out, "notes": self.notes}
        words = {"name": self.name, "split": split, "licence": self.licence, "source": self.source}
        return Images(self.x_NCHW[mine], labels, self.classes, **words, more=facts)


def is_place(data: str) -> bool:
    """True for words that mean a folder or a file rather than a named data set: ./mnist is a folder, mnist is not."""
    marked = any(mark in data for mark in ("/", os.sep, "\\")) or data.startswith((".", "~"))
    return data not in NAMES and (marked or Path(data).exists())


def read(place: str | Path, pixels: int | None = None, *, quiet: bool = False) -> Gallery:
    """Read a folder or a zip of pictures, once per process as long as nothing in it changes.

    Args:
        place: the folder or zip, or a CSV file in the folder that gives each picture its class
        pixels: of the sides of the squares they become: 8 to 128; without, as they are where all are of one size up to 64,
            else 64, or 32 where most are smaller than 64
        quiet: say nothing on stderr

    Raises:
        Wrong: where there is no such place, or too few usable pictures in it; the line names the first that was left out.
    """
    check_pixels(pixels)
    path = Path(place).expanduser()
    table = path.name if path.suffix.lower() == ".csv" and path.is_file() else None
    path = path if table is None else path.parent
    try:
        now = stamp(path)
    except (OSError, ValueError) as error:
        raise Wrong(
            "there is no such folder or zip", got=shown(str(place)), try_="the folder that holds the pictures"
        ) from error
    return _read(path.absolute(), now, pixels, quiet, table)


def check_pixels(pixels: int | None) -> None:
    """One line for sides that pictures cannot be given."""
    if pixels is not None and not SMALLEST <= pixels <= 128:
        raise Wrong("pictures can be made of 8 to 128 pixels", got=f"{pixels} pixels", try_="--pixels 64", usage=True)


def stamp(path: Path) -> str:
    """What changes when a file comes, goes or is written (behind a link to a folder, nothing is looked at)."""
    marks = [(str(path), path.stat().st_mtime_ns, path.stat().st_size)]
    for folder, inside, names in os.walk(path):
        inside.sort()
        for name in sorted(names):
            with contextlib.suppress(OSError):  # a link to nothing
                found = os.stat(os.path.join(folder, name))
                marks.append((os.path.join(folder, name), found.st_mtime_ns, found.st_size))
    return hashlib.sha256(repr(marks).encode()).hexdigest()


@functools.lru_cache(maxsize=2)
def _read(path: Path, stamp: str, pixels: int | None, quiet: bool, listed: str | None) -> Gallery:
    left_out: list[tuple[str, str]] = []
    with found_in(path, left_out) as (files, others):
        if not files:
            more = [f"{len(others)} other files"] if others else []
            more += [f"{shown(name)}: {why}" for name, why in left_out[:1]]
            held = f"{shown(str(path))} ({', '.join(more)})" if more else shown(str(path))
            raise Wrong("there is no picture here", got=held, try_=f"files ending in {', '.join(sorted(SUFFIXES)[:6])} …")
        table, classes = _class_list(files, others), None
        if listed is not None:  # whatever folders say
            table = next((other for other in others if other.name == listed), None)
            if table is None:
                raise Wrong("a list whose name begins with a dot is not read", got=shown(listed), try_="another name for it")
        if table is not None:
            files, classes = _listed(table, files, left_out)
        gallery = assemble(shown(path.stem if path.is_file() else path.name), files, pixels, left_out, classes)
    if not quiet:
        print(told(gallery), file=sys.stderr)
    return gallery


def assemble(
    name: str,
    files: list[File],
    pixels: int | None = None,
    left_out: Sequence[tuple[str, str]] = (),
    classes: Mapping[str, str] | None = None,
) -> Gallery:
    """A gallery of files, each opened and looked at; the arguments are those of `read` and `gather`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = pixels or _suitable(files)
    check_memory(name, len(files), pixels)
    made, marks = looked_at(files, pixels)
    return gather(name, [file.name for file in files], made, left_out, classes, marks)


def looked_at(files: list[File], pixels: int, how: Callable[..., Any] | None = None) -> tuple[list[Any], list[str]]:
    """What `look` makes of each file, and the `mark` of those that are pictures, several files side by side."""
    with warnings.catch_warnings(), ThreadPoolExecutor(WORKERS) as pool:
        warnings.simplefilter("ignore")  # Pillow's of bombs and odd metadata; of the whole process, so not in a thread
        made = list(pool.map(lambda file: look(file, pixels, how), files))
        return made, list(pool.map(lambda file, found: "" if isinstance(found, str) else mark(file), files, made))


def check_memory(name: str, many: int, pixels: int) -> None:
    """One line where so many pictures would not fit into the memory that is free."""
    need, free = many * pixels**2 * 4 * 3, psutil.virtual_memory().available  # three copies while they are sorted
    if need > 0.8 * free:
        what = f"{many:,} pictures of {pixels} pixels need about {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        raise Wrong(what, got=name, try_="fewer --pixels, or a part of the folder")


def gather(
    name: str,
    files: list[str],
    made: Sequence[Looked],
    left_out: Sequence[tuple[str, str]] = (),
    classes: Mapping[str, str] | None = None,
    marks: Sequence[str] | None = None,
) -> Gallery:
    """A gallery of pictures that were looked at: without copies, with as many channels as they need, in splits and classes.

    Args:
        name: of the whole
        files: their names, sorted; the folders in them are classes or splits
        made: what each of them is
        left_out: (file, reason) for what was not even looked at
        classes: the class of each file; without, the folders say it
        marks: of each file what decides whether it is kept from training (`mark`); without, the picture's own hash

    Raises:
        Wrong: where too few can be used.
    """
    out, kept, first, notes = list(left_out), [], {}, Counter[str]()
    strays = _strays(_unwrapped(files), classed=classes is not None)
    for file, found, marked, stray in zip(files, made, marks or [None] * len(files), strays, strict=True):
        if isinstance(found, str) or stray:
            out.append((file, found if isinstance(found, str) else stray))
            continue
        picture, remarks = found
        digest = hashlib.sha256(picture.tobytes()).hexdigest()
        if digest in first:
            out.append((file, f"the same as {first[digest]}"))
            continue
        first[digest] = file
        notes.update(remarks)
        kept.append((file, picture, marked or digest))
    told_out = [[shown(file), shown(reason)] for file, reason in sorted(out)]
    if len(kept) < FEWEST:
        why = f"; left out: {told_out[0][0]} ({told_out[0][1]})" if told_out else ""
        more = f" and {len(told_out) - 1} more" if len(told_out) > 1 else ""
        what = f"{len(kept)} usable pictures are too few to learn from{why}{more}"
        raise Wrong(what, got=name, try_=f"at least {FEWEST} pictures")
    names = [file for file, _, _ in kept]
    test, parts = _test(_unwrapped(names), [marked for _, _, marked in kept])
    labels, kinds = _classes(parts) if classes is None else _numbered([classes[file] for file in names])
    if labels is not None and not _one_each(labels, test):
        labels, kinds = None, []  # as many classes as pictures: nothing could be kept from training
        test[0] = True
    said, loose = [], [file for file, part in zip(names, parts, strict=True) if len(part) == 1]
    if classes is None and 0 < len(loose) < len(names):
        more = f" and {len(loose) - 1:,} more lie" if len(loose) > 1 else " lies"
        said = [f"no classes, for {shown(loose[0])}{more} in no folder of a class"]
    return Gallery(
        name,
        as_channels(np.stack([picture for _, picture, _ in kept])),
        [shown(file) for file in names],
        None if labels is None else torch.tensor(labels),
        [shown(one) for one in kinds],
        torch.tensor(test),
        told_out,
        said + flat(names, [picture for _, picture, _ in kept]) + [f"{count} {what}" for what, count in sorted(notes.items())],
    )


def flat(names: Sequence[str], made: Sequence[np.ndarray]) -> list[str]:
    """In words, which pictures (H, W, ...) are of one colour all over: preflight stops at more than one in a thousand."""
    found = [shown(name) for name, picture in zip(names, made, strict=True) if bool((picture == picture[0, 0]).all())]
    more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
    return [f"of one colour all over: {', '.join(found[:3])}{more}"] if found else []


def told(gallery: Gallery) -> str:
    """What a person should know of a folder before anything is trained on it."""
    n, channels, pixels, _ = gallery.x_NCHW.shape
    kind = {1: "grey", 3: "in colour", 4: "in colour with transparency"}[channels]
    held = int(gallery.test_N.sum())
    lines = [f"{gallery.name}: {n:,} pictures {kind}, {pixels}x{pixels}, {held:,} of them kept from training"]
    if gallery.classes:
        assert gallery.labels_N is not None
        counts = torch.bincount(gallery.labels_N, minlength=len(gallery.classes)).tolist()
        few = ", ".join(f"{name} {count:,}" for name, count in zip(gallery.classes[:NAMED], counts, strict=False))
        lines[0] += f"; {len(gallery.classes)} classes: {few}{', …' if len(gallery.classes) > NAMED else ''}"
    if gallery.notes:
        lines[0] += f"; {', '.join(gallery.notes)}"
    if gallery.left_out:
        lines.append(f"{gallery.name}: {len(gallery.left_out):,} left out:")
        lines += [f"  {name}: {reason}" for name, reason in gallery.left_out[:NAMED]]
        if len(gallery.left_out) > NAMED:
            lines.append(f"  and {len(gallery.left_out) - NAMED:,} more, all in the run's recipe.json")
    return "\n".join(lines)


def shown(name: str) -> str:
    """A file's name as text that can be printed and written anywhere: bytes that are no text stand as \\xNN."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace") if isinstance(name, str) else str(name)
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


# ---------------------------------------------------------------------------------------------------- finding files


@contextlib.contextmanager
def found_in(path: Path, left_out: list[tuple[str, str]]) -> Iterator[tuple[list[File], list[File]]]:
    """The files that should be pictures, sorted by name, and the others."""
    if path.is_dir():
        yield _in_folder(path, left_out)
        return
    if not zipfile.is_zipfile(path):
        raise Wrong("this is neither a folder nor a zip", got=shown(str(path)), try_="the folder that holds the pictures")
    try:
        with zipfile.ZipFile(path) as archive:
            yield _in_zip(archive, left_out)
    except (zipfile.BadZipFile, OSError) as error:
        raise Wrong("this zip is damaged", got=f"{shown(str(path))}: {error}") from error


def _in_folder(root: Path, left_out: list[tuple[str, str]]) -> tuple[list[File], list[File]]:
    def relative(path: str) -> str:
        return os.path.relpath(path, root).replace(os.sep, "/")

    def unreadable(error: OSError) -> None:
        left_out.append((relative(error.filename), f"a folder that cannot be read: {error.strerror}"))

    files: list[File] = []
    others: list[File] = []
    seen: set[str] = set()
    tops = [os.fspath(root)]  # of what is still to be walked: links come after all folders that are where they seem to be
    while tops:
        top = tops.pop(0)
        if os.path.realpath(top) in seen:
            left_out.append((relative(top), "a link to a folder that was read already"))
            continue
        for folder, inside, names in os.walk(top, onerror=unreadable):
            seen.add(os.path.realpath(folder))
            inside.sort()
            below = [(name, os.path.join(folder, name)) for name in inside if not name.startswith(".") and name != "__MACOSX"]
            mine = {path for _, path in below if is_ours(path)}  # of runs/, which goes on growing
            left_out += [(relative(path), "written by gannet, no data") for path in sorted(mine)]
            below = [(name, path) for name, path in below if path not in mine]
            tops += [path for _, path in below if os.path.islink(path)]
            inside[:] = [name for name, path in below if not os.path.islink(path) and os.path.realpath(path) not in seen]
            for name in names:
                if name.startswith("."):
                    continue
                path = os.path.join(folder, name)
                suffix = os.path.splitext(name)[1].lower()
                if suffix in UNREAD:
                    left_out.append((relative(path), UNREADABLE))
                else:
                    (files if suffix in SUFFIXES else others).append(on_disk(path, relative(path)))
    return sorted(files, key=lambda file: file.name), sorted(others, key=lambda file: file.name)


def on_disk(path: str, name: str | None = None) -> File:
    """A file that lies on the disk."""
    return File(name or path, functools.partial(_regular, path))


def _regular(path: str) -> io.BufferedReader:
    """An open file; a pipe or a device, on which reading could wait for ever, is none."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise Unusable("no ordinary file")
    return open(path, "rb")


def _in_zip(archive: zipfile.ZipFile, left_out: list[tuple[str, str]]) -> tuple[list[File], list[File]]:
    files, others = [], []
    for info in archive.infolist():
        parts = PurePosixPath(info.filename).parts
        if info.is_dir() or any((part[0] == "." and part != "..") or part == "__MACOSX" for part in parts):
            continue
        file = File(info.filename, functools.partial(_unzipped, archive, info))
        suffix = PurePosixPath(info.filename).suffix.lower()
        if suffix in UNREAD:
            left_out.append((info.filename, UNREADABLE))
        elif suffix not in SUFFIXES:
            others.append(file)
        elif info.flag_bits & 1:
            left_out.append((info.filename, "it has a password"))
        elif info.file_size > LARGEST * 4:
            left_out.append((info.filename, f"{info.file_size / 1e9:.1f} GB: too large"))
        else:
            files.append(file)
    return sorted(files, key=lambda file: file.name), sorted(others, key=lambda file: file.name)


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> io.BytesIO:
    return io.BytesIO(archive.read(info))


def emoji(folder: Path) -> Gallery:
    """Twemoji from the sheet of all drawings (66 pixels apart, a margin of 1) and emoji.json, which says where each lies."""
    with Image.open(folder / "64.png") as sheet:
        all_HWC = np.asarray(sheet.convert("RGBa"))
    places = {}
    for entry in json.loads((folder / "emoji.json").read_text(encoding="utf-8")):
        for one in (entry, *entry.get("skin_variations", {}).values()):
            places[f"{entry['category']}/{one['image']}"] = (66 * one["sheet_x"] + 1, 66 * one["sheet_y"] + 1)
    files = sorted(places)
    made = [(all_HWC[y : y + 64, x : x + 64].copy(), []) for x, y in map(places.__getitem__, files)]
    return gather("emoji", files, made)


# -------------------------------------------------------------------------------------------------- looking at a file


def _suitable(files: list[File], some: int = 200) -> int:
    """How many pixels suit these files, by the shorter sides of some of them."""
    sides = []
    for file in files[:: -(-len(files) // some) or 1]:
        with contextlib.suppress(Exception), file.open() as stream, Image.open(stream) as picture:
            sides.append(min(picture.size))  # only its head is read
    if not sides:
        return 64
    if min(sides) == max(sides) and SMALLEST <= sides[0] <= 64:
        return sides[0]
    return 64 if float(np.median(sides)) >= 64 else 32


def look(file: File, pixels: int, how: Callable[..., Any] | None = None) -> Any:
    """A file as a picture (`Looked`, or what another decoder makes of it), or why it is none."""
    try:
        with file.open() as stream:
            return (how or decode)(stream, pixels)
    except Unusable as unusable:
        return str(unusable)
    except UnidentifiedImageError:
        return "no picture, whatever its name says"
    except Image.DecompressionBombError:
        return f"over {LARGEST:,} pixels: too large"
    except FileNotFoundError:
        return "a link to nothing"
    except PermissionError:
        return "not allowed to read it"
    except Exception as error:  # a decoder raises half a dozen types for a damaged file
        return f"damaged: {' '.join(str(error).split()) or type(error).__name__}"


def mark(file: File) -> str:
    """Hash of a file's bytes: by it a picture is kept from training or not, at whatever size it is looked at; "" where it
    cannot be read."""
    try:
        with file.open() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # pyright: ignore
    except Exception:  # `look` says why
        return ""


def prepared(path: Path, pixels: int, channels: int) -> torch.Tensor:
    """A picture file as a run with such pictures would have been fed it, bytes (C, H, W).

    Raises:
        Wrong: for a file that is no picture, or one of which no square can be made.
    """
    return _in_channels(_looked(path, pixels, decode)[0], channels)


@dataclass(frozen=True)
class Fit:
    """How a whole picture lies in the left upper corner of a square.

    Attributes:
        size: width and height of the picture
        inside: what of the square it takes
    """

    size: tuple[int, int]
    inside: tuple[int, int]

    def back(self, boxes_Q4: torch.Tensor) -> torch.Tensor:
        """Boxes in pixels of the square, as those of the picture, cut at its edges (Q, 4)."""
        inside_4 = torch.tensor([*self.inside, *self.inside])
        return boxes_Q4.clamp(min=0).minimum(inside_4) * torch.tensor([*self.size, *self.size]) / inside_4

    def shows(self, boxes_Q4: torch.Tensor) -> torch.Tensor:
        """True for boxes in pixels of the square that lie in the picture, not in the black beside it (Q,)."""
        boxes_Q4 = self.back(boxes_Q4)
        return (boxes_Q4[:, 2:] - boxes_Q4[:, :2]).amin(1) > 0


def upright(path: Path) -> Image.Image:
    """A picture file that can be used, as it is looked at, in eight bits of red, green and blue."""
    with Image.open(path) as picture:
        return _whole(picture, max(picture.size))[0].convert("RGBA").convert("RGB")


def fitted(path: Path, pixels: int, channels: int) -> tuple[torch.Tensor, Fit]:
    """A picture file in the left upper corner of a square, bytes (C, H, W), and how it lies there.

    Raises:
        Wrong: for a file that is no picture, or one that is too small or too long.
    """
    picture, size = _looked(path, pixels, decode_whole)
    return _in_channels(picture, channels), Fit(size, fitting(size, pixels))


def _looked(path: Path, pixels: int, how: Callable[..., Any]) -> Any:
    """What a decoder makes of a file, or one line that says why it makes nothing."""
    found = look(on_disk(str(path)), pixels, how) if os.path.lexists(path) else "no such file"
    if isinstance(found, str):
        raise Wrong("this picture cannot be used", got=f"{path}: {found}")
    return found


def _in_channels(picture: np.ndarray, channels: int) -> torch.Tensor:
    """A picture (H, W, 4) as bytes (C, H, W)."""
    x_CHW = torch.from_numpy(picture).permute(2, 0, 1)
    if channels == 4:
        return x_CHW
    if channels == 3:
        return x_CHW[:3]
    weights = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601, as everywhere
    return (x_CHW[:3].float() * weights[:, None, None]).sum(0, keepdim=True).round().to(torch.uint8)


def decode(stream: IO[bytes], pixels: int) -> tuple[np.ndarray, list[str]]:
    """One picture: its middle square at this size, (H, W, 4) uint8, colours times alpha, and what should be said of it.

    Raises:
        Unusable: for a picture without a usable square; others, as Pillow raises them, for a damaged one.
    """
    with Image.open(stream) as picture:
        whole, remarks, _ = _whole(picture, pixels)
        side = min(whole.size)
        left, top = (whole.width - side) // 2, (whole.height - side) // 2
        if whole.width != whole.height:
            remarks.append("not square, of which the middle counts")
        box = (left, top, left + side, top + side)
        small = whole.resize((pixels, pixels), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
        if side < pixels / 2:
            remarks.append("less than half as large, and blurred")
    return _bounded(np.array(small)), remarks


def decode_whole(stream: IO[bytes], pixels: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The whole of one picture in the left upper corner of a square, (H, W, 4) uint8, black and opaque beside it, and its
    width and height as it is looked at; raises what `decode` does."""
    with Image.open(stream) as picture:
        wide, high = picture.size
        whole, _, turned = _whole(picture, pixels)
        size = (high, wide) if turned else (wide, high)
        inside = fitting(size, pixels)
        small = whole.resize(inside, Image.Resampling.LANCZOS, reducing_gap=3.0)
    square = np.zeros((pixels, pixels, 4), np.uint8)
    square[..., 3] = 255
    square[: inside[1], : inside[0]] = _bounded(np.array(small))
    return square, size


def fitting(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side is made of so many pixels."""
    across, down = (max(1, round(side * pixels / max(size))) for side in size)
    return across, down


def _bounded(made: np.ndarray) -> np.ndarray:
    """Colours no brighter than their alpha, in place: sharpening overshoots."""
    made[..., :3] = np.minimum(made[..., :3], made[..., 3:])
    return made


def _whole(picture: Image.Image, pixels: int) -> tuple[Image.Image, list[str], bool]:
    """An opened picture upright and in eight bits, what should be said of it, and whether it lay on its side.

    Pillow turns a TIFF itself, and says its sides as they are then.
    """
    remarks, turned = [], False
    wide, high = picture.size
    if wide * high > LARGEST:
        raise Unusable(f"{wide:,}x{high:,} pixels: too large")
    if min(wide, high) < SMALLEST:
        raise Unusable(f"{wide:,}x{high:,} pixels: too small, a side has at least {SMALLEST}")
    if max(wide, high) > LONGEST * min(wide, high):
        raise Unusable(f"{wide:,}x{high:,} pixels: too long for a square")
    if getattr(picture, "n_frames", 1) > 1:
        remarks.append("animated, of which the first frame counts")
        picture.seek(0)
    picture.draft("RGB", (2 * pixels, 2 * pixels))  # a JPEG of a camera is decoded at a fraction of its size
    picture.load()
    try:
        turned = picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        upright = ImageOps.exif_transpose(picture)
    except (SyntaxError, struct.error, KeyError, TypeError, ValueError, OSError):  # of metadata: the pixels are there already
        upright, turned = picture, False
        remarks.append("with metadata that cannot be read, taken as they lie")
    return _eight_bits(upright), remarks, turned


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Any mode as RGBa: eight bits, colours multiplied by alpha, so that what nobody can see does not count."""
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture).astype(np.float64)
        if not np.isfinite(values).all():
            raise Unusable("pixels that are no numbers")
        top = 65535.0 if picture.mode.startswith("I") else (1.0 if values.max() <= 1 else 255.0)
        if values.min() < 0 or values.max() > top:
            raise Unusable(f"pixels from {values.min():g} to {values.max():g}: no known scale")
        picture = Image.fromarray(np.round(values * (255 / top)).astype(np.uint8))
    if picture.mode not in ("RGBA", "RGBa"):
        picture = picture.convert("RGBA") if picture.has_transparency_data else picture.convert("RGB").convert("RGBA")
    return picture if picture.mode == "RGBa" else picture.convert("RGBa")


def as_channels(x_NHWC: np.ndarray) -> torch.Tensor:
    """(N, H, W, 4) -> (N, C, H, W): grey where all is grey, with alpha where any pixel lets something through."""
    if (x_NHWC[..., 3] < 255).any():
        x_NHWC = x_NHWC[..., :4]
    elif (x_NHWC[..., 0] == x_NHWC[..., 1]).all() and (x_NHWC[..., 1] == x_NHWC[..., 2]).all():
        x_NHWC = x_NHWC[..., :1]
    else:
        x_NHWC = x_NHWC[..., :3]
    return torch.from_numpy(np.ascontiguousarray(x_NHWC.transpose(0, 3, 1, 2)))


# ------------------------------------------------------------------------------------------------- splits and classes


def _parts(name: str) -> tuple[str, ...]:
    """A name's folders and its last part; one in a zip may begin with / or ./"""
    return tuple(part for part in PurePosixPath(name).parts if part != "/")


def _unwrapped(names: list[str]) -> list[tuple[str, ...]]:
    """Names as folders and file, without the folders that all share: a zip often holds one folder with everything in it."""
    parts = [_parts(name) for name in names]
    while parts and all(len(part) > 1 and part[0] == parts[0][0] for part in parts):
        parts = [part[1:] for part in parts]
    return parts


def _in_splits(parts: list[tuple[str, ...]]) -> bool:
    """True where every picture lies in a folder called train or test, in whatever words, and both are there."""
    return set(_sides(parts)) == {"train", "test"}


def _strays(parts: list[tuple[str, ...]], classed: bool) -> list[str]:
    """Why pictures are left out by where they lie, "" for those that are not.

    Nobody asked to learn from what lies in neither of the two where there are folders for both; and where folders are classes
    of what is learnt, and no list says them (`classed`), a test picture in none of them tests nothing, nor does one of a class
    that is not learnt.
    """
    sides = _sides(parts)
    if not {"train", "test"} <= set(sides):
        return [""] * len(parts)
    taught = [part[1:-1] for part, side in zip(parts, sides, strict=True) if side == "train"]
    kinds = not classed and all(taught) and len({folders[0] for folders in taught}) > 1
    outside, bare = "neither in train nor in test", "in no class's folder, as those to learn from are"
    untaught = "of a class of which there is nothing to learn from"
    known = {folders[0] for folders in taught if folders}
    tested = ["" if not kinds else bare if len(part) < 3 else "" if part[1] in known else untaught for part in parts]
    return [{"": outside, "train": "", "test": why}[side] for why, side in zip(tested, sides, strict=True)]


def _sides(parts: list[tuple[str, ...]]) -> list[str]:
    """train or test, as the first folder of each says, in whatever words; "" where it says neither."""
    return [SPLITS.get(part[0].lower(), "") if len(part) > 1 else "" for part in parts]


def _test(parts: list[tuple[str, ...]], digests: list[str]) -> tuple[list[bool], list[tuple[str, ...]]]:
    """Which pictures are kept from training, and where each lies below its split.

    Without folders for it, one in ten by its file's hash, so that neither more pictures later nor another size move one to the
    other side.
    """
    if _in_splits(parts):
        return [SPLITS[part[0].lower()] == "test" for part in parts], [part[1:] for part in parts]
    test = [int(digest[:8], 16) % HELD_OUT == 0 for digest in digests]
    if not any(test):
        test[min(range(len(digests)), key=digests.__getitem__)] = True
    return test, parts


def below_splits(names: list[str]) -> list[tuple[str, ...]]:
    """Where pictures lie, as folders and file, below the folders that all share and below train and test."""
    parts = _unwrapped(names)
    return [part[1:] for part in parts] if _in_splits(parts) else parts


def _classes(parts: list[tuple[str, ...]]) -> tuple[list[int] | None, list[str]]:
    """A number for each picture's folder and the folders' names, where every picture lies in one and there are several."""
    if any(len(part) == 1 for part in parts):
        return None, []
    return _numbered([part[0] for part in parts])


def _numbered(kinds: list[str]) -> tuple[list[int] | None, list[str]]:
    """A number for each picture's class and the classes' names, where there are several."""
    names = sorted(set(kinds))
    if len(names) < 2:
        return None, []
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers[kind] for kind in kinds], names


def _one_each(labels: list[int], test: list[bool]) -> bool:
    """Let each class have a picture to learn from, and the test set one at least, in place; False where that cannot be."""
    taught = {label for label, held in zip(labels, test, strict=True) if not held}
    for i, label in enumerate(labels):
        if label not in taught:
            taught.add(label)
            test[i] = False
    if not any(test):
        counts = Counter(labels)
        spare = next((i for i, label in enumerate(labels) if counts[label] > 1), None)
        if spare is None:
            return False
        test[spare] = True
    return True


# ------------------------------------------------------------------------------------------------------- a class list


def _class_list(files: list[File], others: list[File]) -> File | None:
    """The one CSV that may say the classes: it lies in a folder that holds all the pictures, and no folders are classes."""
    places = [_parts(file.name) for file in files]
    found = []
    for other in others:
        if PurePosixPath(other.name).name.lower() in LISTS:
            above = _parts(other.name)[:-1]
            if all(place[: len(above)] == above for place in places):
                found.append(other)
    parts = _unwrapped([file.name for file in files])
    parts = [part for part, stray in zip(parts, _strays(parts, classed=True), strict=True) if not stray]
    if _in_splits(parts):
        parts = [part[1:] for part in parts]
    folders = _classes(parts)[1]
    # A folder for each picture says nothing of classes; any fewer do, and then they win.
    return found[0] if len(found) == 1 and not 0 < len(folders) < len(files) else None


def _listed(table: File, files: list[File], left_out: list[tuple[str, str]]) -> tuple[list[File], dict[str, str]]:
    """The files to which a class list gives a class, and their classes by name; the rest is added to `left_out`.

    Raises:
        Wrong: where the list cannot be read, gives a file two classes, or names what several files might be.
    """
    name, above = shown(PurePosixPath(table.name).name), len(_parts(table.name)) - 1
    # Files that are left out already are found too: they keep their reason.
    find = _finder([*(file.name for file in files), *(file for file, _ in left_out)], above)
    classes: dict[str, str] = {}
    lines: dict[str, int] = {}
    gone: set[tuple[str, str]] = set()
    for line, word, kind in _rows(table):
        fitting = find(word)
        if len(fitting) > 1:
            got = f"{shown(word)} in line {line}: {', '.join(map(shown, fitting[:3]))}"
            what = f"{name} names what {len(fitting)} files might be"
            raise Wrong(what, got=got, try_="the file's folder and suffix in the list too")
        if not fitting:
            gone.add((word, f"no such file, though {name} names it") if word else (name, f"line {line} names no file"))
            continue
        (file,) = fitting
        lines.setdefault(file, line)
        if classes.setdefault(file, kind) != kind:
            got = f"{shown(file)} is '{shown(classes[file])}' in line {lines[file]} and '{shown(kind)}' in line {line}"
            raise Wrong(f"{name} gives one file two classes", got=got, try_="one row for each file")
    left_out += sorted(gone)
    kept = []
    for file in files:
        if classes.get(file.name):
            kept.append(file)
        else:
            none = f"{name} gives it no class" if file.name in classes else f"{name} does not name it"
            left_out.append((file.name, none))
    return kept, {file.name: classes[file.name] for file in kept}


def _finder(names: list[str], above: int) -> Callable[[str], list[str]]:
    """What gives the files that a word in a list might mean.

    It is a file's path; where no file has it, a path without its suffix, then a name without its folders, then without both.

    Args:
        names: of the files
        above: how many folders the list itself lies in
    """

    def plain(word: str) -> str:
        # A list may come from Windows, and an accent from a Mac in two characters.
        return "/".join(_parts(unicodedata.normalize("NFC", word.replace("\\", "/"))))

    kinds: list[defaultdict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
    for name in sorted(set(names)):  # a zip may hold a name twice
        path = plain("/".join(_parts(name)[above:]))
        last = path.rpartition("/")[2]
        keys = (path, os.path.splitext(path)[0], last, os.path.splitext(last)[0])
        for kind, key in zip(kinds, keys, strict=True):
            kind[key].append(name)

    def find(word: str) -> list[str]:
        word = plain(word)
        return next((kind[word] for kind in kinds if word and word in kind), [])

    return find


def _rows(table: File) -> list[tuple[int, str, str]]:
    """A class list's rows: the line, the word for the file, the class.

    Raises:
        Wrong: where it is no such list: unreadable, not UTF-8, no CSV, empty, or without the columns.
    """
    name = shown(PurePosixPath(table.name).name)
    try:
        with table.open() as stream:
            data = stream.read().removeprefix(codecs.BOM_UTF8)
    except Exception as error:  # of the system, or of a zip: a password, or damage
        raise Wrong("this class list cannot be read", got=f"{name}: {shown(str(error))}") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Wrong("a class list must be UTF-8", got=f"{name}, line {line}", try_="saving it as UTF-8") from error
    head = next(iter(text.lstrip().splitlines()), "")
    delimiter = max(",;\t", key=head.count)  # spreadsheets write semicolons where a comma is a decimal point
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise Wrong("this class list is no CSV", got=f"{name}, line {reader.line_num}: {error}") from error
    if len(rows) < 2:
        raise Wrong("this class list is empty", got=name, try_=f"a line {OF_FILES[0]},{OF_CLASSES[0]} and one for each picture")
    heads = [cell.lower() for cell in rows[0][1]]
    places = []
    for what, words in (("files", OF_FILES), ("classes", OF_CLASSES)):
        word = next((word for word in words if word in heads), None)
        if word is None:
            got = f"{name}, which has {', '.join(shown(cell) for cell in rows[0][1])}"
            raise Wrong(
                f"this class list has no column of {what}",
                got=got,
                try_=f"one called {', '.join(words)}; or another name for the file",
            )
        places.append(heads.index(word))
    file, kind = places
    rows = [(line, row + [""] * (len(heads) - len(row))) for line, row in rows[1:]]  # short ones made whole
    return [(line, row[file], row[kind]) for line, row in rows]
