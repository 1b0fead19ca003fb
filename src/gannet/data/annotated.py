"""Pictures with boxes as people keep them: COCO's JSON files and YOLO's folders, read from a folder or zip, and written.

    gallery = read("traffic", pixels=128)           # or traffic.zip
    gallery.split("train"), gallery.split("test")

COCO: one JSON file for each split, or one for all, anywhere in the folder, with `images`, `annotations` and `categories`; a
picture is found by its path or its name. YOLO: a text file for each picture, of the same name, beside it or in `labels` where
that lies in `images`; a line is a class number, then middle and sides as shares of the picture (or the corners of an outline);
names of classes in data.yaml, or in classes.txt, and in the former which pictures are for training. Nothing is changed. What
cannot be used is left out by name, with the reason.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import numpy as np
import torch

from gannet.data import pictures
from gannet.data.boxes import Boxes
from gannet.data.pictures import FEWEST, SPLITS, File, shown
from gannet.errors import Wrong
from gannet.files import check_ours, save_picture, write_json, write_text

MOST = 10_000  # classes that a YOLO folder may have whose names nothing tells
SMALLEST = 1.0  # pixels of a prepared box's sides: below, there is nothing to see
LINES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
OWN = "a folder or zip of somebody's own; the whole of each picture in a square"

#: What lies in a picture: (class number, x0, y0, x1, y1) in pixels of the file, or in shares of it.
Things = list[tuple[int, float, float, float, float]]


@dataclass
class Noted:
    """What annotations say, before a picture is opened.

    Attributes:
        classes: names
        things: for each picture's file, what is in it
        sizes: width and height for which boxes in pixels hold; None for boxes in shares
        splits: train or test, where the annotations say it
        left_out: (file, reason)
        notes: what else to know
        ids: of the categories, as COCO's annotations have them; None where they have none
    """

    classes: list[str]
    things: dict[str, Things] = field(default_factory=dict)
    sizes: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ids: list[int | str] | None = None


@dataclass
class Annotated:
    """Pictures that were read, with their boxes: what `data.boxes.Boxes` wants, and which of them are kept from training."""

    name: str
    whole: Boxes
    test_N: torch.Tensor
    left_out: list[list[str]]
    notes: list[str]
    ids: list[int | str] | None = None

    def split(self, split: str) -> Boxes:
        """The training or the test pictures."""
        mine_N = self.test_N if split == "test" else ~self.test_N
        whole = self.whole
        held = whole.x_NCHW[mine_N], whole.boxes_NM4[mine_N], whole.kinds_NM[mine_N], whole.there_NM[mine_N]
        digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in held))
        digest.update(json.dumps(self.whole.classes).encode())
        more: dict[str, Any] = {"sha256": digest.hexdigest()}
        if split == "train":
            more |= {"left_out": self.left_out, "notes": self.notes}
            more |= {"category_ids": self.ids} if self.ids else {}
        words: dict[str, Any] = {"name": self.name, "split": split, "licence": "its owner's", "source": OWN, "more": more}
        return Boxes(*held, self.whole.classes, **words)


def read(place: str | Path, pixels: int = 128, *, quiet: bool = False) -> Annotated:
    """Read a folder or zip of pictures with boxes.

    Args:
        place: the folder or zip
        pixels: of the squares that pictures are put into
        quiet: say nothing on stderr

    Raises:
        Wrong: where there is no such place, no annotation, none that can be read, or too few usable pictures.
    """
    path = Path(place).expanduser()
    if not path.exists():
        raise Wrong("there is no such folder or zip", got=shown(str(place)), try_="the folder that holds pictures and boxes")
    return _read(path.absolute(), pictures.stamp(path), pixels, quiet)


@functools.lru_cache(maxsize=1)
def _read(path: Path, stamp: str, pixels: int, quiet: bool) -> Annotated:
    """Once for both splits, as long as nothing in it changes."""
    left_out: list[tuple[str, str]] = []
    with pictures.found_in(path, left_out) as (files, others):
        if not files:
            raise Wrong("there is no picture here", got=shown(str(path)), try_="pictures, and their boxes as COCO or YOLO")
        noted = _noted(path, files, others)
        gallery = _gather(shown(path.stem if path.is_file() else path.name), files, noted, left_out, pixels)
    if not quiet:
        print(told(gallery), file=sys.stderr)
    return gallery


def told(gallery: Annotated) -> str:
    """What a person should know before anything is trained on it."""
    n, things = len(gallery.whole), int(gallery.whole.there_NM.sum())
    counts = torch.bincount(gallery.whole.kinds_NM[gallery.whole.there_NM], minlength=len(gallery.whole.classes)).tolist()
    few = ", ".join(f"{name} {count:,}" for name, count in zip(gallery.whole.classes[:8], counts, strict=False))
    lines = [
        f"{gallery.name}: {n:,} pictures, {int(gallery.test_N.sum()):,} of them kept from training; {things:,} boxes: {few}"
    ]
    lines[0] += "".join(f"; {note}" for note in gallery.notes)
    if gallery.left_out:
        lines.append(f"{gallery.name}: {len(gallery.left_out):,} left out:")
        lines += [f"  {name}: {reason}" for name, reason in gallery.left_out[:8]]
        if len(gallery.left_out) > 8:
            lines.append(f"  and {len(gallery.left_out) - 8:,} more, all in the run's recipe.json")
    return "\n".join(lines)


def _noted(path: Path, files: list[File], others: list[File]) -> Noted:
    """What the annotations say: COCO's where there are any, else YOLO's."""
    lists: list[tuple[File, dict[str, Any]]] = []
    odd: list[tuple[str, Wrong]] = []
    for other in others:
        if other.name.lower().endswith(".json"):
            try:
                found = json.loads(_text(other))
            except Wrong as wrong:
                odd.append((other.name, wrong))
                continue
            except ValueError as error:
                odd.append((other.name, Wrong("this JSON file is damaged", got=f"{shown(other.name)}: {error}")))
                continue
            if isinstance(found, dict) and {"images", "annotations", "categories"} <= found.keys():
                lists.append((other, found))
    if lists:
        noted = _of_coco(lists, files)
        noted.left_out += [(name, str(wrong)) for name, wrong in odd]  # it may have been a split's
        return noted
    texts = {other.name: other for other in others if other.name.lower().endswith(".txt")}
    names = {PurePosixPath(name).with_suffix("").as_posix() for name in texts}
    if any(_beside(file.name) in names or _parallel(file.name) in names for file in files):
        return _of_yolo(files, texts, others)
    if odd:
        raise odd[0][1]
    hint = "COCO's JSON (images, annotations, categories), or a YOLO text file for each picture"
    raise Wrong("there are pictures here and no boxes", got=shown(str(path)), try_=hint)


def _text(file: File) -> str:
    try:
        with file.open() as stream:
            return stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Wrong("annotations must be UTF-8", got=shown(file.name), try_="saving it as UTF-8") from error
    except Exception as error:  # of the system, or of a zip
        raise Wrong("this file cannot be read", got=f"{shown(file.name)}: {shown(str(error))}") from error


# ---------------------------------------------------------------------------------------------------------------- COCO


def _of_coco(lists: Sequence[tuple[File, dict[str, Any]]], files: list[File]) -> Noted:
    names: dict[Any, str] = {}
    for file, found in lists:
        for category in _rows(file, found, "categories", ("id", "name")):
            known = names.setdefault(category["id"], str(category["name"]))
            if known != str(category["name"]):
                got = f"{shown(file.name)}: {category['id']} is {shown(known)} and {shown(str(category['name']))}"
                raise Wrong("one category id has two names", got=got, try_="one list of categories for all splits")
    if not names:
        raise Wrong("there is no category in these annotations", got=shown(lists[0][0].name))
    order = sorted(names, key=str) if not all(isinstance(key, int) for key in names) else sorted(names)
    numbers = {key: i for i, key in enumerate(order)}
    noted = Noted(_apart([shown(names[key]) for key in order]), ids=order)
    find = _by_path([file.name for file in files])
    sides: dict[str, set[str]] = {"train": set(), "test": set()}  # by what the lists are called
    for file, found in lists:
        side, mine = _split_of(file.name, words=True), dict[Any, str]()
        for image in _rows(file, found, "images", ("id", "file_name")):
            word = str(image["file_name"])
            fitting = find(word)
            near = [name for name in fitting if PurePosixPath(name).parts[:-1] == PurePosixPath(file.name).parts[:-1]]
            fitting = near if len(near) == 1 else _in_split(fitting, file.name)
            if len(fitting) != 1:
                why = "no such file" if not fitting else f"{len(fitting)} files may be meant"
                noted.left_out.append((word, f"{why}, though {shown(file.name)} names it"))
                continue
            (name,) = fitting
            mine[image["id"]] = name
            if side is not None:
                sides[side].add(name)
            if name in noted.things:  # another file of boxes for the same pictures
                continue
            noted.things[name] = []
            wide, high = image.get("width"), image.get("height")
            noted.sizes[name] = (float(wide), float(high)) if _number(wide) and _number(high) else (math.nan, math.nan)
            if split := _split_of(name) or side:
                noted.splits[name] = split
        for row in _rows(file, found, "annotations", ()):
            which, image, kind = (
                f"annotation {row.get('id', '?')} of {shown(file.name)}",
                row.get("image_id"),
                row.get("category_id"),
            )
            box = row.get("bbox")
            if not isinstance(image, (int, str)) or image not in mine:
                noted.left_out.append((which, f"image {shown(str(image))[:60]} is not there"))
            elif not isinstance(kind, (int, str)) or kind not in numbers:
                noted.left_out.append((which, f"no category has the id {shown(str(kind))[:60]}"))
            elif row.get("iscrowd"):
                noted.left_out.append((which, "a crowd in one box"))
            elif not isinstance(box, list) or len(box) != 4 or not all(map(_number, box)):
                noted.left_out.append((which, f"no box of four numbers: {shown(str(box))[:60]}"))
            else:
                x, y, wide, high = map(float, box)
                thing = (numbers[kind], x, y, x + wide, y + high)
                if thing not in noted.things[mine[image]]:
                    noted.things[mine[image]].append(thing)
    told, both = _told_by(sides)
    noted.splits |= told  # lists for either side say it, whatever the pictures' folders are called
    if both:
        noted.notes.append(f"{both:,} pictures are in lists of both sides, train and test, which are not followed")
    return noted


def _told_by(sides: dict[str, set[str]]) -> tuple[dict[str, str], int]:
    """train or test of each picture, unless either side has none or some are on both; and how many those are."""
    both = len(sides["train"] & sides["test"])
    told = not both and all(sides.values())
    return {name: side for side, found in sides.items() for name in found} if told else {}, both


def _rows(file: File, found: dict[str, Any], key: str, needs: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = found[key]
    if not isinstance(rows, list):
        raise Wrong(f"{key} in a COCO file must be a list", got=f"{shown(file.name)}: {type(rows).__name__}")
    rows = [{key: _whole(value) for key, value in row.items()} if isinstance(row, dict) else row for row in rows]
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or any(not isinstance(row.get(need), (str, int)) for need in needs):
            raise Wrong(f"{key}[{i}] in a COCO file lacks {' or '.join(needs)}", got=f"{shown(file.name)}: {str(row)[:80]}")
    return rows


def _whole(value: Any) -> Any:
    """A whole number that was written as 1.0, as tables in which a row lacked it are written; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any) -> TypeGuard[float]:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _split_of(name: str, *, words: bool = False) -> str | None:
    """train or test, where a folder is called so, the innermost first: train/, images/val2017/; of a list of annotations also
    where a word in its name says it: instances_val2017.json."""
    *folders, last = PurePosixPath(name.lower()).parts
    parts = [*PurePosixPath(last).stem.replace("-", "_").replace(".", "_").split("_")] if words else []
    for part in (*parts, *reversed(folders)):
        if (split := SPLITS.get(part.rstrip("0123456789"))) is not None:
            return split
    return None


def _by_path(names: list[str]) -> Callable[[str], list[str]]:
    """What gives the files that a word may mean: those of its last part, where one's folders end as the other's do."""
    ends: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        ends[PurePosixPath(name).name].append(name)

    def find(word: str) -> list[str]:
        wanted = [part for part in word.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        found = []
        for name in ends[wanted[-1]] if wanted else []:
            parts = list(PurePosixPath(name).parts)
            few = min(len(parts), len(wanted))
            if parts[-few:] == wanted[-few:]:
                found.append(name)
        return found

    return find


def _in_split(names: list[str], beside: str) -> list[str]:
    """Of several files those of the split that the annotation file is of."""
    if len(names) < 2:
        return names
    return [name for name in names if _split_of(name) == _split_of(beside, words=True)]


# ---------------------------------------------------------------------------------------------------------------- YOLO


def _beside(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _parallel(name: str) -> str:
    """The last folder called images, called labels instead."""
    parts = list(PurePosixPath(name).with_suffix("").parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i].lower() == "images":
            parts[i] = "labels"
            break
    return PurePosixPath(*parts).as_posix()


def _of_yolo(files: list[File], texts: dict[str, File], others: list[File]) -> Noted:
    said, at = _said(others)
    names, pose = _names(others, said, at), "kpt_shape" in said
    splits, notes = _yaml_splits(said, at, [file.name for file in files], texts)
    labels = {PurePosixPath(name).with_suffix("").as_posix(): text for name, text in texts.items()}
    noted, most = Noted(names, notes=notes), -1
    told = {file.name: labels.get(_parallel(file.name)) or labels.get(_beside(file.name)) for file in files}
    folders = {str(PurePosixPath(name).parent) for name, text in told.items() if text is not None}
    empty = 0
    for file in files:
        text = told[file.name]
        if str(PurePosixPath(file.name).parent) not in folders:  # nobody has looked for anything there
            noted.left_out.append((file.name, "no label file, as no picture of its folder has one"))
            continue
        if splits and file.name not in splits:
            noted.left_out.append((file.name, f"{shown(at)} has it in no split"))
            continue
        noted.things[file.name], noted.sizes[file.name] = [], None
        if (split := splits.get(file.name) or _split_of(file.name)) is not None:
            noted.splits[file.name] = split
        if text is None:  # a picture with nothing in it needs no file
            empty += 1
            continue
        try:
            lines = _text(text).splitlines()
        except Wrong as wrong:
            noted.left_out.append((text.name, str(wrong)))
            del noted.things[file.name], noted.sizes[file.name]
            continue
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words:
                continue
            which = f"{shown(text.name)}, line {number}"
            try:
                kind, values = int(words[0]), [float(word) for word in words[1:]]
            except ValueError:
                noted.left_out.append((which, f"no class number and shares: {shown(line)[:60]}"))
                continue
            values = values[:4] if pose else values
            if not all(map(math.isfinite, values)) or not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
                noted.left_out.append((which, f"{len(values)} shares instead of 4, or of pairs of an outline"))
            elif not 0 <= kind < (len(names) or MOST):
                noted.left_out.append((which, f"no class has the number {kind}"))
            else:
                if len(values) == 4:
                    x, y, wide, high = values
                    ends = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
                else:
                    ends = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
                noted.things[file.name].append((kind, *ends))
                most = max(most, kind)
    if not names:
        noted.classes = [str(i) for i in range(most + 1)]
    if empty:
        noted.notes.append(f"{empty:,} without a label file, taken for empty")
    return noted


def _said(others: list[File]) -> tuple[dict[str, Any], str]:
    """What YOLO's data.yaml says, and its name: the uppermost that tells classes or splits; nothing where none does."""
    import yaml

    those = [other for other in others if PurePosixPath(other.name).name.lower() in LINES]
    those.sort(key=lambda other: (other.name.count("/"), other.name))
    for other in those:
        try:
            found = yaml.safe_load(_text(other)) or {}
        except (yaml.YAMLError, ValueError) as error:
            raise Wrong("this list of classes is no YAML", got=shown(other.name)) from error
        if isinstance(found, dict) and {"names", "train", "val"} & found.keys():
            return found, other.name
    return {}, those[0].name if those else ""


def _names(others: list[File], said: dict[str, Any], at: str) -> list[str]:
    """Names of YOLO's classes, by the first file that tells any; none where there is no such file."""
    for other in others:
        if PurePosixPath(other.name).name.lower() in ("classes.txt", "obj.names") and (told := _text(other).rstrip()):
            return _apart([shown(line.strip()) for line in told.splitlines()])
        names = said.get("names") if other.name == at else None
        if isinstance(names, dict) and all(names.get(i) is not None for i in range(len(names))):
            names = [names[i] for i in range(len(names))]
        if isinstance(names, list) and names:
            return _apart([shown(str(name)) for name in names])
    if at:
        raise Wrong("this file names no classes", got=shown(at), try_="names: [cat, dog]")
    return []


def _yaml_splits(said: dict[str, Any], at: str, names: list[str], texts: dict[str, File]) -> tuple[dict[str, str], list[str]]:
    """train or test of each picture by data.yaml's `train`, `val` and `test`: each a folder, a text file that lists pictures,
    or several; and what else to know. No split is told where either side is empty or one picture is on both."""
    known, homes = set(names), (PurePosixPath(at).parent.parts, ())
    sides: dict[str, set[str]] = {"train": set(), "test": set()}
    nowhere = []
    for key in ("train", "val", "validation", "test"):
        entries = said.get(key) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            found: set[str] = set()
            if str(entry).lower().endswith(".txt"):
                for place in [place for place in _places(str(entry), homes) if place in texts][:1]:
                    beside = (PurePosixPath(place).parent.parts, *homes)  # ./ is the list's folder
                    for line in _text(texts[place]).splitlines():
                        found.update([one for one in _places(line.strip(), beside) if one in known][:1])
            else:
                for place in _places(str(entry), homes):
                    if found := {name for name in names if not place or name.startswith(f"{place}/")}:
                        break
            sides["train" if key == "train" else "test"] |= found
            nowhere += [] if found else [f"{key}: {shown(str(entry))}"]
    more = f" and {len(nowhere) - 3} more" if len(nowhere) > 3 else ""
    notes = [f"{shown(at)} has {', '.join(nowhere[:3])}{more}, where no picture is"] if nowhere else []
    told, both = _told_by(sides)
    if told:
        return told, notes
    if not both:
        notes = [f"{note}, so that its split is not followed" for note in notes]
    elif sides["train"] != sides["test"]:
        notes.append(f"{shown(at)} has {both:,} pictures on both sides of its split, which is not followed")
    return {}, notes


def _places(path: str, homes: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Where a path may lead that somebody wrote on another machine: from each home, the whole of it, then less and less of its
    beginning."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(max(1, len(parts))):
        for home in homes:
            yield "/".join((*home, *parts[start:]))


def _apart(names: list[str]) -> list[str]:
    """Names of classes, of which no two are the same."""
    counts = Counter(names)
    return [f"{name} ({number})" if counts[name] > 1 or not name else name for number, name in enumerate(names)]


# --------------------------------------------------------------------------------------------------------- the pictures


def _gather(name: str, files: list[File], noted: Noted, left_out: list[tuple[str, str]], pixels: int) -> Annotated:
    out, notes = [*left_out, *noted.left_out], Counter[str]()
    pictures.check_memory(name, len(noted.things), pixels)
    made: list[np.ndarray] = []
    kept: list[tuple[str, str]] = []  # name, and what decides on which side of the split it is
    held: list[list[tuple[int, list[float]]]] = []
    known = {name for name, _ in out}
    unnamed = [file.name for file in files if file.name not in noted.things]
    out += [(one, "the annotations do not name it") for one in unnamed if one not in known]
    files = [file for file in files if file.name in noted.things]
    for file, found, marked in zip(files, *pictures.looked_at(files, pixels, pictures.decode_whole), strict=True):
        if isinstance(found, str):
            out.append((file.name, found))
            continue
        picture, (wide, high) = found
        meant = noted.sizes[file.name]
        if meant is not None and not any(map(math.isnan, meant)) and meant != (wide, high):
            out.append((file.name, f"{wide}x{high} pixels, though its boxes are for {meant[0]:g}x{meant[1]:g}"))
            continue
        across, down = pictures.fitting((wide, high), pixels)
        times = (across, down) if meant is None else (across / wide, down / high)
        boxes = []
        for kind, *ends in noted.things[file.name]:
            box = [ends[i] * times[i % 2] for i in range(4)]
            inside = [min(max(box[i], 0.0), (across, down)[i % 2]) for i in range(4)]
            if ends[2] <= ends[0] or ends[3] <= ends[1]:
                out.append((file.name, f"a box without an area: {', '.join(f'{v:g}' for v in ends)}"))
            elif inside[2] <= inside[0] or inside[3] <= inside[1]:
                out.append((file.name, f"a box outside the picture: {', '.join(f'{v:g}' for v in ends)}"))
            elif min(inside[2] - inside[0], inside[3] - inside[1]) < SMALLEST:
                notes[f"boxes under a pixel at {pixels} pixels left out"] += 1
            else:
                notes["boxes reached over the edge and were cut there"] += any(
                    abs(a - b) > 0.5 for a, b in zip(box, inside, strict=True)
                )
                boxes.append((kind, inside))
        made.append(picture)
        kept.append((file.name, marked))
        held.append(boxes)
    told_out = [[shown(one), shown(why)] for one, why in sorted(out)]
    things = sum(map(len, held))
    if len(made) < FEWEST or not things:
        why = f"; left out: {told_out[0][0]} ({told_out[0][1]})" if told_out else ""
        more = f" and {len(told_out) - 1} more" if len(told_out) > 1 else ""
        what = f"{len(made)} usable pictures with {things} boxes are too few to learn from{why}{more}"
        raise Wrong(what, got=name, try_=f"at least {FEWEST} pictures, and boxes in them")
    most = max(1, *(len(boxes) for boxes in held))
    boxes_NM4, kinds_NM = torch.zeros(len(made), most, 4), torch.zeros(len(made), most, dtype=torch.int64)
    there_NM = torch.zeros(len(made), most, dtype=torch.bool)
    for i, boxes in enumerate(held):
        for m, (kind, box) in enumerate(boxes):
            boxes_NM4[i, m], kinds_NM[i, m], there_NM[i, m] = torch.tensor(box), kind, True
    x_NCHW = pictures.as_channels(np.stack(made))[:, :3].contiguous()
    test = _held_out(kept, noted.splits, there_NM)
    words = noted.notes + pictures.flat([name for name, _ in kept], made)
    words += [f"{count:,} {what}" for what, count in sorted(notes.items()) if count]
    whole = Boxes(x_NCHW, boxes_NM4, kinds_NM, there_NM, noted.classes, name=name)
    return Annotated(name, whole, test, told_out, words, noted.ids)


def _held_out(kept: list[tuple[str, str]], splits: dict[str, str], there_NM: torch.Tensor) -> torch.Tensor:
    """Which pictures are kept from training: those of the test split where there are two, else one in ten by file hash."""
    said = [splits.get(name) for name, _ in kept]
    if {"train", "test"} <= set(said):
        test = [one == "test" for one in said]
    else:
        test = [int(marked[:8], 16) % pictures.HELD_OUT == 0 for _, marked in kept]
    test_N = torch.tensor(test)
    with_N = there_NM.any(1)
    for want, side in ((True, test_N), (False, ~test_N)):
        if not (side & with_N).any():  # either side has something to find
            spare_N = with_N & ~side
            test_N[spare_N.nonzero().flatten()[:1]] = want
    return test_N


# ------------------------------------------------------------------------------------------------------------- writing


def coco_box(box: Sequence[float]) -> dict[str, Any]:
    """A box (x0, y0, x1, y1) as COCO's annotations have it."""
    x0, y0, x1, y1 = box
    wide, high = round(x1 - x0, 4), round(y1 - y0, 4)
    return {"bbox": [x0, y0, wide, high], "area": wide * high, "iscrowd": 0}


def coco_categories(classes: Sequence[str], ids: Sequence[int | str] | None = None) -> list[dict[str, Any]]:
    """Names of classes as COCO has them: by their own ids, or numbered from 1."""
    return [{"id": k, "name": name} for k, name in zip(ids or range(1, len(classes) + 1), classes, strict=True)]


def yolo_line(kind: int, box: Sequence[float], wide: float, high: float) -> str:
    """A class number and a box (x0, y0, x1, y1) in a picture of this size as a line of YOLO's."""
    x0, y0, x1, y1 = box
    shares = (x0 + x1) / 2 / wide, (y0 + y1) / 2 / high, (x1 - x0) / wide, (y1 - y0) / high
    return f"{kind} {' '.join(f'{share:.6f}' for share in shares)}\n"


def write_coco(data: Boxes, folder: str | Path) -> Path:
    """Write pictures as PNGs and their boxes as COCO's JSON, which is returned, into a new or empty folder.

    Raises:
        Wrong: where the folder holds anything, and nothing is written.
    """
    folder = _with_pictures(data, folder)
    rows = [
        {"id": number, "image_id": i, "category_id": int(data.kinds_NM[i, m]) + 1, **coco_box(data.boxes_NM4[i, m].tolist())}
        for number, (i, m) in enumerate(data.there_NM.nonzero().tolist(), 1)
    ]
    size = {"width": data.pixels, "height": data.pixels}
    made = {
        "info": {"description": data.name, "licence": data.licence},
        "images": [{"id": i, "file_name": f"images/{i:06d}.png", **size} for i in range(len(data.x_NCHW))],
        "categories": coco_categories(data.classes),
        "annotations": rows,
    }
    write_json(folder / "annotations.json", made)
    return folder / "annotations.json"


def write_yolo(data: Boxes, folder: str | Path) -> Path:
    """Write pictures as PNGs, a text file of boxes for each, and data.yaml, which is returned, into a new or empty folder.

    Raises:
        Wrong: where the folder holds anything, and nothing is written.
    """
    import yaml

    folder = _with_pictures(data, folder)
    for i, (boxes_M4, kinds_M, there_M) in enumerate(zip(data.boxes_NM4, data.kinds_NM, data.there_NM, strict=True)):
        pairs = zip(kinds_M[there_M].tolist(), boxes_M4[there_M].tolist(), strict=True)
        lines = [yolo_line(kind, box, data.pixels, data.pixels) for kind, box in pairs]
        write_text(folder / "labels" / f"{i:06d}.txt", "".join(lines))
    names = yaml.safe_dump({"train": "images", "val": "images", "names": dict(enumerate(data.classes))})
    write_text(folder / "data.yaml", names)
    return folder / "data.yaml"


def _with_pictures(data: Boxes, folder: str | Path) -> Path:
    """The folder, with images/ in it."""
    folder = Path(folder)
    check_ours(folder, "")  # no note makes it ours: training data are somebody's
    for i, x_CHW in enumerate(data.x_NCHW):
        save_picture(x_CHW.permute(1, 2, 0).contiguous().numpy(), folder / "images" / f"{i:06d}.png")
    return folder
