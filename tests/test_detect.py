"""Detection: scenes with exact boxes, other people's annotations, the loss and its decoding against plain twins, the scores."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from conftest import Command, one_line
from gannet import explain, nearest, preflight, recipe, run
from gannet.data import annotated, boxes, images, pictures
from gannet.data.boxes import Batch, Boxes, Moved, Scenes
from gannet.data.images import Images, to_float
from gannet.errors import Wrong
from gannet.evaluation import boxes as scores
from gannet.nets.detector import STRIDE, Detector
from gannet.objectives import detect
from gannet.objectives.detect import Detect, Told
from gannet.rng import Rng

NONE = {"all": "to be quick"}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes(images.load("digits8"), 64, count=(2, 9), sizes=(8, 28))


@pytest.fixture(scope="module")
def some(scenes: Scenes) -> Batch:
    return scenes.batch(6, Rng(0, 0, "some"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detect") / "bars"
    return run.train("detect", size="tiny", data="bars", steps=400, out=folder, skip=NONE, precision="float32").folder


# --------------------------------------------------------------------------------------------------------------- scenes


def test_a_box_touches_its_ink_on_all_four_sides() -> None:
    """One thing in a scene: what is bright is exactly what the box holds."""
    alone = Scenes(images.load("digits8"), 48, count=(1, 1), sizes=(8, 40))
    x, at, _, there = alone.draw(40, Rng(0, 0, "alone"))
    assert there.all()
    for picture, box in zip(x, at[:, 0].long().tolist(), strict=True):
        rows, columns = (picture[0] > 0).nonzero(as_tuple=True)
        x0, y0, x1, y1 = box
        # Stretching by bilinear interpolation may leave the outermost row too dark to see, never by more than one.
        assert x0 <= columns.min() <= x0 + 1 and x1 - 1 <= columns.max() + 1 <= x1
        assert y0 <= rows.min() <= y0 + 1 and y1 - 1 <= rows.max() + 1 <= y1


def test_scenes_are_what_was_asked_for(scenes: Scenes) -> None:
    x, at, kinds, there = scenes.draw(64, Rng(0, 0, "asked"))
    counts = there.sum(1)
    assert counts.min() >= 2 and counts.max() <= 9 and len(counts.unique()) > 4
    sides = (at[..., 2:] - at[..., :2])[there]
    assert sides.amax(1).min() >= 8 and sides.amax(1).max() <= 28 and at.min() >= 0 and at.max() <= 64
    for i in range(64):
        mine = at[i][there[i]].tolist()
        for a, b in itertools.combinations(mine, 2):
            wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            smaller = min((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
            assert max(wide, 0) * max(high, 0) <= 0.3 * smaller + 1e-6
    assert set(kinds[there].tolist()) == set(range(10)) and not kinds[~there].any()
    again = scenes.draw(64, Rng(0, 0, "asked"))
    assert torch.equal(x, again[0]) and not torch.equal(x, scenes.draw(64, Rng(0, 1, "asked"))[0])


def test_a_scene_is_the_same_on_one_process_and_on_two(scenes: Scenes) -> None:
    whole = scenes.batch(4, Rng(0, 3, "a"))
    parts = [scenes.batch(2, Rng(0, 3, "a", rank, 2)) for rank in (0, 1)]
    for one, two in zip(whole, map(torch.cat, zip(*parts, strict=True)), strict=True):
        assert torch.equal(one, two)


def test_held_out_scenes_are_of_held_out_things_and_always_the_same() -> None:
    train, watched, test = boxes.load("digits8", 48)
    assert isinstance(train, Scenes)
    assert (len(watched), len(test), test.split) == (boxes.WATCHED, boxes.TESTED, "test")
    assert torch.equal(test.x_NCHW, boxes.load("digits8", 48)[2].x_NCHW)
    assert len(train.things) + len(train.things) // 19 == pytest.approx(1437, abs=8)  # the watched twentieth is not learnt from


def test_moved_pictures_take_their_boxes_along() -> None:
    """A filled rectangle is where its box says, after any zoom, shift and mirroring."""
    n, p = 40, 64
    x, at = torch.zeros(n, 1, p, p, dtype=torch.uint8), torch.zeros(n, 1, 4)
    u = Rng(0, 0, "rectangles").uniform(n, 4)
    for i in range(n):
        x0, y0 = (20 * u[i, :2]).int().tolist()
        x1, y1 = x0 + 10 + int(20 * u[i, 2]), y0 + 10 + int(20 * u[i, 3])
        x[i, 0, y0:y1, x0:x1] = 255
        at[i, 0] = torch.tensor([x0, y0, x1, y1])
    data = Moved(Boxes(x, at, torch.zeros(n, 1, dtype=torch.int64), torch.ones(n, 1, dtype=torch.bool), ["a"]))
    moved = data.batch(n, Rng(0, 0, "moved"))
    assert 0 < moved.there_NM.sum() <= n
    for picture, box, there in zip(moved.x_NCHW, moved.boxes_NM4[:, 0], moved.there_NM[:, 0], strict=True):
        if there:
            rows, columns = (picture[0] > 0).nonzero(as_tuple=True)
            seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
            assert (seen - box).abs().max() <= 1


# ---------------------------------------------------------------------------------------------------------- annotations


def photos(folder: Path, n: int = 20, size: tuple[int, int] = (40, 30)) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(folder / f"{i:03d}.png")
    return sorted(folder.glob("*.png"))


def as_coco(folder: Path, files: list[Path], rows: list[dict[str, Any]], **more: Any) -> Path:
    found = {
        "images": [{"id": i, "file_name": file.name, "width": 40, "height": 30} for i, file in enumerate(files)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [{"id": i, **row} for i, row in enumerate(rows)],
    }
    path = folder / "boxes.json"
    path.write_text(json.dumps(found | more))
    return path


def whole(gallery: annotated.Annotated) -> Boxes:
    return gallery.whole


def test_coco_and_yolo_say_the_same(tmp_path: Path) -> None:
    """One set of boxes in both; in COCO's pixels and YOLO's shares, of classes by id and by place."""
    files = photos(tmp_path / "coco" / "pictures")
    rows = [{"image_id": i, "category_id": (3, 7)[i % 2], "bbox": [i % 7, 2, 10 + i % 3, 12]} for i in range(20)]
    as_coco(tmp_path / "coco", files, rows)
    photos(tmp_path / "yolo" / "images")
    (tmp_path / "yolo" / "labels").mkdir()
    for i, row in enumerate(rows):
        x, y, wide, high = row["bbox"]
        words = [(x + wide / 2) / 40, (y + high / 2) / 30, wide / 40, high / 30]
        (tmp_path / "yolo" / "labels" / f"{i:03d}.txt").write_text(f"{i % 2} " + " ".join(map(str, words)) + "\n")
    (tmp_path / "yolo" / "data.yaml").write_text("names: {0: dog, 1: cat}\n")
    one, two = (whole(annotated.read(tmp_path / kind, 32, quiet=True)) for kind in ("coco", "yolo"))
    assert one.classes == two.classes == ["dog", "cat"]
    for a, b in ((one.x_NCHW, two.x_NCHW), (one.kinds_NM, two.kinds_NM), (one.there_NM, two.there_NM)):
        assert torch.equal(a, b)
    assert torch.allclose(one.boxes_NM4, two.boxes_NM4, atol=1e-4)
    x, y, wide, high = (v * 32 / 40 for v in rows[5]["bbox"])
    assert one.boxes_NM4[5, 0].tolist() == pytest.approx([x, y, x + wide, y + high])
    assert not one.x_NCHW[:, :, 24:].any()  # 40 by 30 in a square of 32: black below


@pytest.mark.parametrize("write", [annotated.write_coco, annotated.write_yolo])
def test_what_is_written_is_read_again(write: Any, tmp_path: Path, scenes: Scenes) -> None:
    data = scenes.fixed(24, "test")
    write(data, tmp_path / "out")
    again = whole(annotated.read(tmp_path / "out", 64, quiet=True))
    assert torch.equal(again.x_NCHW, data.x_NCHW) and again.classes == data.classes
    for i in range(24):
        mine, theirs = (
            sorted(zip(one.kinds_NM[i][one.there_NM[i]].tolist(), one.boxes_NM4[i][one.there_NM[i]].tolist(), strict=True))
            for one in (data, again)
        )
        assert [kind for kind, _ in mine] == [kind for kind, _ in theirs]
        np.testing.assert_allclose([box for _, box in mine], [box for _, box in theirs], atol=1e-3)


@pytest.mark.parametrize("write", [annotated.write_coco, annotated.write_yolo])
def test_nothing_is_written_over_what_is_somebodys(write: Any, scenes: Scenes) -> None:
    Path("mine/images").mkdir(parents=True)
    Path("mine/images/000000.png").write_bytes(b"mine")
    with pytest.raises(Wrong, match="holds other things"):
        write(scenes.fixed(2, "test"), "mine")
    assert [path for path in Path("mine").rglob("*") if path.is_file()] == [Path("mine/images/000000.png")]
    assert Path("mine/images/000000.png").read_bytes() == b"mine"
    assert write(scenes.fixed(2, "test"), "new").is_file()  # a place as the page has it


def yolo(folder: Path, says: str) -> Path:
    """18 pictures in a/images and in b/images, 3 in c/images, a box in each, and what data.yaml says beside its names."""
    for place in ("a", "b", "c"):
        for file in photos(folder / place / "images", 18 if place != "c" else 3):
            label = folder / place / "labels" / f"{file.stem}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("0 0.5 0.5 0.4 0.4\n")
    (folder / "data.yaml").write_text(f"names: [thing]\n{says}")
    return folder


def test_yolo_s_own_list_says_which_pictures_are_for_training(tmp_path: Path) -> None:
    def split(name: str, says: str) -> tuple[int, int, annotated.Annotated]:
        gallery = annotated.read(yolo(tmp_path / name, says=says), 32, quiet=True)
        return len(gallery.split("train")), len(gallery.split("test")), gallery

    # As Roboflow writes them, as Ultralytics does with the path of another machine, and as a list of folders.
    for number, says in enumerate(("train: ../a/images\nval: ../b/images\n", "path: /home/me/all\ntrain: a\nval: b/images\n")):
        train, test, gallery = split(f"{number}", says)
        assert (train, test) == (18, 18) and {why for _, why in gallery.left_out} == {"data.yaml has it in no split"}
        assert len(gallery.left_out) == 3
    assert split("several", "train: [a/images, c/images]\nval: b/images\n")[:2] == (21, 18)
    listed = yolo(tmp_path / "listed", says="train: train.txt\nval: /elsewhere/val.txt\n")
    (listed / "train.txt").write_text("\n".join(f"./a/images/{i:03d}.png" for i in range(14)))
    (listed / "val.txt").write_text("b/images/003.png\n/home/me/b/images/004.png\n")
    gallery = annotated.read(listed, 32, quiet=True)
    assert (len(gallery.split("train")), len(gallery.split("test"))) == (14, 2)
    # What tells no two sides apart is no split: then one in ten is kept, as without it.
    train, test, gallery = split("both", "train: a/images\nval: a/images\n")
    assert train + test == 39 and test < 18 and not gallery.left_out
    train, test, gallery = split("nowhere", "train: a/images\nval: seen/nowhere.txt\n")
    told = "data.yaml has val: seen/nowhere.txt, where no picture is, so that its split is not followed"
    assert train + test == 39 and gallery.notes == [told]
    train, test, gallery = split("shared", "train: [a/images, b/images]\nval: b/images\n")
    assert train + test == 39 and "18 pictures on both sides" in gallery.notes[0]
    # A folder that is not there is not another one of the same last name.
    train, test, gallery = split("missing", "train: a/images\nval: b/images\ntest: ../d/images\n")
    assert (train, test) == (18, 18) and gallery.notes == ["data.yaml has test: ../d/images, where no picture is"]
    train, test, gallery = split("only", "train: ../a/images\nval: ../valid/images\n")
    assert train + test == 39 and "val: ../valid/images, where no picture is" in gallery.notes[0]
    shutil.copytree(tmp_path / "0", tmp_path / "nested" / "old")  # whose a/images is another
    (tmp_path / "nested" / "old" / "data.yaml").unlink()
    train, test, gallery = split("nested", "train: a/images\nvalidation: b/images\n")
    assert (train, test) == (18, 18) and len(gallery.left_out) == 42
    (tmp_path / "listed" / "a" / "images" / "train.txt").write_text("003.png\n" * 2)  # beside what it lists, and twice
    (tmp_path / "listed" / "data.yaml").write_text("names: [thing]\ntrain: [train.txt, a/images/train.txt]\nval: b\n")
    gallery = annotated.read(tmp_path / "listed", 32, quiet=True)
    assert (len(gallery.split("train")), len(gallery.split("test"))) == (14, 18)
    for number, odd in enumerate(("{a: b}", "5", "[[a], null]", "null", "''")):
        train, test, _ = split(f"odd{number}", f"train: {odd}\nval: b\n")
        assert train + test == 39


def test_of_several_lists_of_yolo_s_the_upper_one_counts_and_names_may_stand_elsewhere(tmp_path: Path) -> None:
    mine = yolo(tmp_path / "mine", "train: a\nval: b\n")
    (mine / "a" / "data.yaml").write_text("names: [other]\ntrain: images\nval: nowhere\n")
    gallery = annotated.read(mine, 32, quiet=True)
    assert (len(gallery.split("train")), len(gallery.split("test"))) == (18, 18) and gallery.whole.classes == ["thing"]
    (mine / "data.yaml").write_text("train: a\nval: b\n")
    (mine / "classes.txt").write_text("car\n")
    gallery = annotated.read(mine, 32, quiet=True)
    assert gallery.whole.classes == ["car"] and len(gallery.split("test")) == 18


def test_a_zip_and_outlines_and_splits(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for file in photos(tmp_path / "a" / split / "images", 18):
            label = tmp_path / "a" / split / "labels" / f"{file.stem}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("0 0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.8\n")  # an outline of four corners
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "a").rglob("*.*")):
            archive.write(file, file.relative_to(tmp_path))
    gallery = annotated.read(tmp_path / "a.zip", 40, quiet=True)
    assert len(gallery.split("train")) == len(gallery.split("test")) == 18
    assert gallery.whole.boxes_NM4[0, 0].tolist() == pytest.approx([4, 6, 20, 24])
    assert gallery.whole.classes == ["0"]


def test_what_cannot_be_used_is_left_out_by_name(tmp_path: Path) -> None:
    files = photos(tmp_path / "a")
    (tmp_path / "a" / "004.png").write_bytes(b"no picture")
    good = [{"image_id": i, "category_id": 7, "bbox": [1, 1, 20, 20]} for i in range(20)]
    bad = [
        {"image_id": 0, "category_id": 9, "bbox": [1, 1, 5, 5]},
        {"image_id": 99, "category_id": 7, "bbox": [1, 1, 5, 5]},
        {"image_id": 1, "category_id": 7, "bbox": [100, 100, 5, 5]},
        {"image_id": 2, "category_id": 7, "bbox": [1, 1, 0, 5]},
        {"image_id": 3, "category_id": 7, "bbox": [1, 1, "x", 5]},
        {"image_id": 3, "category_id": 7, "bbox": [30, 20, 100, 100]},  # over the edge: cut, and kept
    ]
    as_coco(tmp_path / "a", files, good + bad)
    gallery = annotated.read(tmp_path / "a", 40, quiet=True)
    reasons = "\n".join(f"{name}: {why}" for name, why in gallery.left_out)
    for words in ("004.png: no picture", "no category has the id 9", "image 99 is not there", "001.png: a box outside",
                  "002.png: a box without an area", "annotation 24 of boxes.json: no box of four numbers"):  # fmt: skip
        assert words in reasons
    assert len(gallery.whole) == 19 and gallery.notes == ["1 boxes reached over the edge and were cut there"]
    at = gallery.whole.boxes_NM4[3][gallery.whole.there_NM[3]]
    assert at[-1].tolist() == pytest.approx([30, 20, 40, 30])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: [p.unlink() for p in f.glob("*.png")], ["no picture", "a"]),
        (lambda f: (f / "boxes.json").unlink(), ["no boxes", "COCO", "YOLO"]),
        (lambda f: (f / "boxes.json").write_text("{"), ["boxes.json", "damaged"]),
        (lambda f: as_coco(f, sorted(f.glob("*.png")), []), ["0 boxes", "too few"]),
        (lambda f: as_coco(f, sorted(f.glob("*.png"))[:3], [{"image_id": 0, "category_id": 7, "bbox": [1, 1, 9, 9]}]),
         ["3 usable pictures", "do not name it"]),
        (lambda f: as_coco(f, [], [], categories=[]), ["no category", "boxes.json"]),
        (lambda f: as_coco(f, [], [], annotations={"a": 1}), ["annotations", "must be a list", "dict"]),
        (lambda f: as_coco(f, [], [], images=[{"id": 1}]), ["images[0]", "file_name"]),
    ],
)  # fmt: skip
def test_annotations_that_nothing_can_be_learnt_from(spoil: Any, words: list[str], tmp_path: Path, gannet: Command) -> None:
    as_coco(tmp_path / "a", photos(tmp_path / "a"), [{"image_id": 0, "category_id": 7, "bbox": [1, 1, 9, 9]}])
    spoil(tmp_path / "a")
    one_line(gannet("train", "detect", "--size", "tiny", "--data", str(tmp_path / "a"), status=1).stderr, *words)


def test_a_picture_is_found_by_its_path_and_never_by_another_folders(tmp_path: Path) -> None:
    files = photos(tmp_path / "a" / "cam1")
    rows = [{"image_id": i, "category_id": 7, "bbox": [1, 1, 20, 20]} for i in range(20)]
    for prefix, kept in (
        ("cam1/", 20),
        ("C:\\\\data\\\\cam1\\\\", 20),
        ("/home/x/cam1/", 20),
        ("../cam1/", 20),
        ("", 20),
        ("cam2/", 0),
    ):
        path = as_coco(tmp_path / "a", files, rows)
        path.write_text(path.read_text().replace('"file_name": "', f'"file_name": "{prefix}'))
        if kept:
            assert len(annotated.read(tmp_path / "a", 40, quiet=True).whole) == kept
        else:
            with pytest.raises(Wrong, match="0 usable pictures"):
                annotated.read(tmp_path / "a", 40, quiet=True)


def test_two_lists_of_the_same_pictures_are_one(tmp_path: Path) -> None:
    files = photos(tmp_path / "a")
    both = [[{"image_id": i, "category_id": kind, "bbox": [i, 1, 9, 9]} for i in range(20)] for kind in (7, 3)]
    as_coco(tmp_path / "a", files, both[0] + both[0]).rename(tmp_path / "a" / "one.json")
    as_coco(tmp_path / "a", files, both[1]).rename(tmp_path / "a" / "two.json")
    gallery = annotated.read(tmp_path / "a", 40, quiet=True)
    assert int(gallery.whole.there_NM.sum()) == 40 and gallery.whole.kinds_NM[0].tolist() == [1, 0]  # in the order of names


@pytest.mark.parametrize(
    ("place", "listed", "held"),
    [
        ("", {"train.json": range(15), "test.json": range(15, 20)}, set(range(15, 20))),
        ("", {"annotations.json": range(20), "train.json": range(15), "test.json": range(15, 20)}, set(range(15, 20))),
        ("train2017", {"instances_train.json": range(12), "instances_val.json": range(12, 20)}, set(range(12, 20))),
        ("", {"train.json": range(20), "val.json": range(15, 20)}, None),  # one in ten, by its file
    ],
    ids=["two lists", "and one of all", "of one folder", "some on both sides"],
)
def test_splits_are_said_by_lists(place: str, listed: dict[str, range], held: set[int] | None, tmp_path: Path) -> None:
    files = photos(tmp_path / "a" / place)
    for name, numbers in listed.items():
        rows = [{"image_id": k, "category_id": 7, "bbox": [1 + i, 1, 9, 9]} for k, i in enumerate(numbers)]
        as_coco(tmp_path / "a", [files[i] for i in numbers], rows).rename(tmp_path / "a" / name)
    gallery = annotated.read(tmp_path / "a", 40, quiet=True)
    tested = {i for i in range(20) if gallery.test_N[i]}
    if held is None:
        assert gallery.notes == ["5 pictures are in lists of both sides, train and test, which are not followed"]
        assert 0 < len(tested) < 8
    else:
        assert tested == held and gallery.notes == []


def test_a_named_set_is_no_folder_here(apart: Path) -> None:
    photos(apart / "bars")
    train, _, _ = boxes.load("bars", 48)
    assert isinstance(train, Scenes) and train.pixels == 48
    with pytest.raises(Wrong, match="no boxes"):
        boxes.load("./bars", 48)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train/a.jpg", "train"), ("images/val2017/a.jpg", "test"), ("valid/images/a.jpg", "test"),
        ("my-test-set/train/a.jpg", "train"), ("railway_train/test/a.jpg", "test"),
        ("images/train_station.png", None), ("images/Val_Kilmer.jpg", None),
    ],
)  # fmt: skip
def test_splits_are_said_by_folders(name: str, split: str | None) -> None:
    assert annotated._split_of(name) == split
    assert annotated._split_of("annotations/instances_val2017.json", words=True) == "test"


def test_odd_lines_of_yolo(tmp_path: Path) -> None:
    files = photos(tmp_path / "a", 18)
    lines = ["0 .5 .5 .5 .5 .1 .1 2 .2 .2 2", "3 .5 .5 .2 .2", "x y", "0 .5 .5 .5", "0 nan .5 .5 .5", "-1 .5 .5 .2 .2"]
    for file in files:
        file.with_suffix(".txt").write_text("\ufeff0 0.5 0.5 0.5 0.5\r\n", encoding="utf-8")
    files[0].with_suffix(".txt").write_text("\n".join(lines))
    (tmp_path / "a" / "data.yaml").write_text("names: [cat, cat, dog]\nkpt_shape: [2, 3]\n")
    gallery = annotated.read(tmp_path / "a", 40, quiet=True)
    assert gallery.whole.classes == ["cat (0)", "cat (1)", "dog"]
    assert gallery.whole.boxes_NM4[0][gallery.whole.there_NM[0]].tolist() == [[10, 7.5, 30, 22.5]]
    reasons = dict(gallery.left_out)
    assert [f"000.txt, line {n}" in reasons for n in range(1, 7)] == [False, True, True, True, True, True]
    (tmp_path / "a" / "data.yaml").unlink()
    files[0].with_suffix(".txt").write_text("3000000 .5 .5 .2 .2")
    assert annotated.read(tmp_path / "a", 40, quiet=True).whole.classes == ["0"]
    (tmp_path / "a" / "data.yaml").write_text("date: 2024-13-45\n")
    with pytest.raises(Wrong, match="no YAML"):
        annotated.read(tmp_path / "a", 40, quiet=True)


def test_a_folder_without_label_files_is_not_taken_for_empty(tmp_path: Path) -> None:
    """In others a picture without one is, and how many are is said."""
    for split in ("train", "val"):
        photos(tmp_path / "a" / "images" / split, 18)
    (tmp_path / "a" / "labels" / "train").mkdir(parents=True)
    for i in range(16):
        (tmp_path / "a" / "labels" / "train" / f"{i:03d}.txt").write_text("0 .5 .5 .5 .5\n")
    gallery = annotated.read(tmp_path / "a", 40, quiet=True)
    assert len(gallery.whole) == 18 and gallery.notes == ["2 without a label file, taken for empty"]
    assert dict(gallery.left_out)["images/val/003.png"] == "no label file, as no picture of its folder has one"
    assert len(gallery.left_out) == 18 and "2 without a label file" in annotated.told(gallery)


def test_a_damaged_list_beside_a_good_one_is_named(tmp_path: Path) -> None:
    files = photos(tmp_path / "a")
    rows = [{"image_id": float(i), "category_id": 7.0, "bbox": [1, 1, 20, 20]} for i in range(20)]  # as tables write them
    path = as_coco(tmp_path / "a", files, rows)
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"images": [image | {"id": float(image["id"])} for image in found["images"]]}))
    (tmp_path / "a" / "instances_val.json").write_text(path.read_text()[:200])
    gallery = annotated.read(tmp_path / "a", 40, quiet=True)
    assert int(gallery.whole.there_NM.sum()) == 20 and gallery.ids == [3, 7]
    ((name, why),) = gallery.left_out
    assert name == "instances_val.json" and "damaged" in why


def test_few_boxes_among_many_pictures_are_no_fault() -> None:
    """One picture of a hundred has any: a batch of 64 may have none."""
    few = Scenes(images.load("digits8"), 48, count=(1, 3), sizes=(12, 28)).fixed(300, "test")
    few.there_NM[torch.arange(300) % 100 > 0] = False
    net = Detector(48, 1, 10, widths=(8, 12), blocks=1)
    made = recipe.Recipe(Moved(few), Detect(net, 10), 8, examples=80, evaluation=None)
    rows = {row.name: row for row in preflight.fly(preflight.Case(made))}
    assert rows["boxes"].verdict == "pass" and rows["boxes-fit"].verdict in ("pass", "info")
    few.there_NM[:] = False
    rows = {row.name: row for row in preflight.fly(preflight.Case(made))}
    assert rows["boxes"].verdict == "fail" and "no box in 1,280 pictures" in rows["boxes"].measured


def test_odd_values_of_coco_are_left_out_by_name(tmp_path: Path) -> None:
    files = photos(tmp_path / "a")
    rows: list[dict[str, Any]] = [{"image_id": i, "category_id": 7, "bbox": [1, 1, 20, 20]} for i in range(20)]
    rows += [{"image_id": 1, "category_id": None, "bbox": [1, 1, 5, 5]}, {"image_id": 2, "bbox": [1, 1, 5, 5]},
             {"image_id": 3, "category_id": 7, "bbox": [1, 1, 10**400, 5]}, {"image_id": 4, "category_id": 7}]  # fmt: skip
    as_coco(tmp_path / "a", files, rows)
    gallery = annotated.read(tmp_path / "a", 40, quiet=True)
    assert len(gallery.left_out) == 4 and int(gallery.whole.there_NM.sum()) == 20


def test_pictures_with_nothing_in_them_are_no_fault_and_never_all_that_is_watched(tmp_path: Path, gannet: Command) -> None:
    few = Scenes(images.load("digits8"), 48, count=(1, 3), sizes=(12, 28)).fixed(60, "test")
    few.there_NM[torch.arange(60) % 5 > 0] = False
    annotated.write_yolo(few, tmp_path / "mine")
    for seed in ("0", "1"):
        words = ("--size", "tiny", "--data", "mine", "--steps", "6", "--seed", seed, "--out", f"run{seed}")
        gannet("train", "detect", *words)
    for parts in (few.parted(20), few.parted(2)):
        assert all(bool(part.there_NM.any()) for part in parts)
        assert sum(map(len, parts)) == 60


def test_a_folder_of_ones_own_from_training_to_boxes(tmp_path: Path, gannet: Command, scenes: Scenes) -> None:
    annotated.write_yolo(scenes.fixed(60, "test"), tmp_path / "mine")
    gannet("train", "detect", "--size", "tiny", "--data", "mine", "--pixels", "48", "--out", "boxes", "--steps", "12")
    gannet("evaluate", "boxes")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "000000.png").write_bytes(b"mine")
    kept = gannet("predict", "boxes", "mine/images/000000.png", "--least", "0", "--out", "full", status=1)
    one_line(kept.stderr, "full", "other things", "nothing was written")
    assert (tmp_path / "full" / "000000.png").read_bytes() == b"mine"
    card = (tmp_path / "boxes" / "README.md").read_text()
    assert "the whole picture in the left upper corner" in card and "ap_50" in card
    found = json.loads(gannet("predict", "boxes", "mine/images/000000.png", "--json", "--least", "0").stdout)
    assert found[0]["boxes"] and (tmp_path / "boxes" / "predicted" / "000000.png").is_file()


def test_what_is_told_of_a_cocos_pictures_has_its_own_category_ids(tmp_path: Path, gannet: Command) -> None:
    files = photos(tmp_path / "traffic" / "pictures", 24)
    rows = [{"image_id": i, "category_id": (3, 7)[i % 2], "bbox": [i % 7, 2, 10 + i % 3, 12]} for i in range(24)]
    as_coco(tmp_path / "traffic", files, rows)
    words = ("--size", "tiny", "--data", "traffic", "--pixels", "32", "--steps", "4")
    gannet("train", "detect", *words, "--out", "boxes")
    gannet("predict", "boxes", str(files[0]), "--least", "0")
    told = json.loads((tmp_path / "boxes" / "predicted" / "coco.json").read_text())
    assert told["categories"] == [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]
    assert told["annotations"] and {row["category_id"] for row in told["annotations"]} <= {3, 7}


def test_a_picture_is_kept_from_training_at_every_size_or_at_none(tmp_path: Path) -> None:
    files = photos(tmp_path / "pictures", 60)
    as_coco(tmp_path, files, [{"image_id": i, "category_id": 3, "bbox": [2, 2, 20, 20]} for i in range(60)])
    small, large = (annotated.read(tmp_path, pixels, quiet=True).test_N for pixels in (32, 64))
    assert torch.equal(small, large) and 1 <= int(small.sum()) <= 15


def test_boxes_beside_the_picture_are_neither_told_nor_explained() -> None:
    fit = pictures.Fit((40, 20), (32, 16))  # the lower half of the square of 32 is black
    boxes_Q4 = torch.tensor([[2.0, 2, 10, 10], [2, 18, 10, 30], [4, 12, 12, 24]])
    assert fit.shows(boxes_Q4).tolist() == [True, False, True]


# -------------------------------------------------------------------------------------------------------- the objective


def test_the_heat_map_is_the_papers(some: Batch) -> None:
    side = 64 // STRIDE
    made = detect.heat(some, 10, side)
    expected = torch.zeros_like(made)
    for n, m in some.there_NM.nonzero().tolist():
        x0, y0, x1, y1 = (some.boxes_NM4[n, m] / STRIDE).tolist()
        cx, cy = math.floor((x0 + x1) / 2), math.floor((y0 + y1) / 2)
        sx, sy = max(0.54 * (x1 - x0) / 6, 0.3), max(0.54 * (y1 - y0) / 6, 0.3)
        for y, x in itertools.product(range(side), range(side)):
            value = math.exp(-((x - cx) ** 2) / (2 * sx**2) - (y - cy) ** 2 / (2 * sy**2))
            k = int(some.kinds_NM[n, m])
            expected[n, k, y, x] = max(float(expected[n, k, y, x]), value)
    assert torch.allclose(made, expected, atol=1e-5)
    assert (made == 1).sum() >= some.there_NM.sum() - 2  # two of a class may share a cell


def test_the_focal_loss_is_the_papers() -> None:
    rng = Rng(0, 0, "focal")
    logits, target = rng.normal(2, 3, 4, 4) * 3, rng.uniform(2, 3, 4, 4)
    target[0, 0, 0, 0] = target[1, 2, 3, 3] = 1
    p = logits.sigmoid().double()
    expected = torch.where(target == 1, -((1 - p) ** 2) * p.log(), -((1 - target.double()) ** 4) * p**2 * (1 - p).log())
    assert torch.allclose(detect.focal(logits, target).double(), expected, atol=1e-5)


def test_generalised_overlap_is_the_papers() -> None:
    corners = Rng(0, 0, "giou").uniform(200, 2, 4) * 10
    one, two = (torch.cat([c[:, :2], c[:, :2] + c[:, 2:] + 0.1], 1) for c in corners.unbind(1))
    made, plain = detect.generalised(one, two)
    for i, (a, b) in enumerate(zip(one.tolist(), two.tolist(), strict=True)):
        shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
        union = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - shared
        hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
        assert float(made[i]) == pytest.approx(shared / union - (hull - union) / hull, abs=1e-5)
        assert float(plain[i]) == pytest.approx(shared / union, abs=1e-5)
        assert float(boxes.overlap(one[i], two[i])) == pytest.approx(shared / union, abs=1e-5)


def test_each_cell_tells_the_smallest_box_near_whose_middle_it_lies(some: Batch) -> None:
    side = 64 // STRIDE
    owner, cells = detect.owners(some, side)
    for n in range(len(owner)):
        things = some.there_NM[n].nonzero().flatten().tolist()
        for y, x in itertools.product(range(side), range(side)):
            fitting = []
            for m in things:
                x0, y0, x1, y1 = (some.boxes_NM4[n, m] / STRIDE).tolist()
                cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
                holds = (math.floor(cx), math.floor(cy)) == (x, y)
                across = abs(x + 0.5 - cx) <= 0.25 * (x1 - x0) or math.floor(cx) == x
                down = abs(y + 0.5 - cy) <= 0.25 * (y1 - y0) or math.floor(cy) == y
                if across and down:
                    fitting.append((not holds, (x1 - x0) * (y1 - y0), m))
            assert int(owner[n, y, x]) == (min(fitting)[2] if fitting else -1)
        for m in things:
            assert int(cells[n, m]) == max(1, int((owner[n] == m).sum()))


def perfect(batch: Batch, classes: int, side: int) -> torch.Tensor:
    """What a net that sees everything would tell."""
    told = torch.full((len(batch.x_NCHW), classes + 4, side, side), -12.0)
    owner, _ = detect.owners(batch, side)
    for n, y, x in (owner >= 0).nonzero().tolist():
        x0, y0, x1, y1 = batch.boxes_NM4[n, owner[n, y, x]].tolist()
        told[n, classes:, y, x] = torch.tensor([
            (x0 + x1) / 2 / STRIDE - x - 0.5, (y0 + y1) / 2 / STRIDE - y - 0.5,
            math.log((x1 - x0) / 16), math.log((y1 - y0) / 16),
        ])  # fmt: skip
    for n, m in batch.there_NM.nonzero().tolist():
        x0, y0, x1, y1 = (batch.boxes_NM4[n, m] / STRIDE).tolist()
        told[n, int(batch.kinds_NM[n, m]), int((y0 + y1) / 2), int((x0 + x1) / 2)] = 12.0
    return told


def test_a_perfect_map_costs_nothing_and_gives_the_boxes_back() -> None:
    alone = Scenes(images.load("digits8"), 64, count=(1, 4), sizes=(12, 28), overlap=0.0)
    batch = alone.batch(8, Rng(0, 0, "perfect"))
    told = perfect(batch, 10, 16)
    objective = Detect(Detector(64, 1, 10, widths=(8, 8), blocks=1), 10)
    values, weights, notes = objective.compared(told, batch)
    assert weights is not None and torch.equal(weights, batch.there_NM.sum(1).float())
    assert values.max() < 0.01 and float(notes["overlap"]) > 0.999
    found = detect.peaks(told, 10, 20)
    for n in range(8):
        sure = found.chance_NQ[n] > 0.5
        mine = sorted(zip(found.kinds_NQ[n][sure].tolist(), found.boxes_NQ4[n][sure].tolist(), strict=True))
        true = sorted(zip(batch.kinds_NM[n][batch.there_NM[n]].tolist(), batch.boxes_NM4[n][batch.there_NM[n]].tolist(),
                          strict=True))  # fmt: skip
        assert [k for k, _ in mine] == [k for k, _ in true]
        np.testing.assert_allclose([b for _, b in mine], [b for _, b in true], atol=1e-3)


def test_a_picture_with_nothing_in_it_has_a_finite_loss() -> None:
    batch = Batch(torch.zeros(2, 1, 32, 32), torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64),
                  torch.zeros(2, 3, dtype=torch.bool))  # fmt: skip
    objective = Detect(Detector(32, 1, 5, widths=(8, 8), blocks=1), 5)
    values, weights, notes = objective.loss("detector", batch, Rng(0, 0, "x"))
    assert torch.isfinite(values).all() and weights is not None and torch.equal(weights, torch.ones(2))
    values.mean().backward()
    assert all(math.isfinite(float(v)) for v in notes.values())


@pytest.mark.parametrize("pixels", [16, 20, 36, 64])
def test_the_net_has_a_cell_for_every_four_pixels(pixels: int) -> None:
    net = Detector(pixels, 3, 7, widths=(8, 12, 16), blocks=1)
    told = net(torch.zeros(2, 3, pixels, pixels)).detach()
    assert told.shape == (2, 11, pixels // 4, pixels // 4)
    assert float(told[:, :7].sigmoid().mean()) == pytest.approx(0.01) and not told[:, 7:].any()
    with pytest.raises(Wrong, match="multiple of 4"):
        Detector(30, 3, 7)


def test_a_sets_fullest_picture_costs_no_other_batch_anything(some: Batch) -> None:
    n, many = some.there_NM.shape
    boxes_NM4 = torch.cat([some.boxes_NM4, torch.full((n, 500, 4), 7.0)], 1)
    kinds_NM = torch.cat([some.kinds_NM, torch.ones(n, 500, dtype=torch.int64)], 1)
    roomy = Batch(some.x_NCHW, boxes_NM4, kinds_NM, torch.cat([some.there_NM, torch.zeros(n, 500, dtype=torch.bool)], 1))
    assert detect.trimmed(roomy).boxes_NM4.shape[1] <= many
    objective = Detect(Detector(64, 1, 10, widths=(8, 12), blocks=1), 10)
    told = objective.players["detector"].net(some.x_NCHW).float()
    for mine, naive in zip(objective.compared(told, roomy)[:2], objective.compared(told, some)[:2], strict=True):
        assert torch.equal(mine, naive)
    nothing = roomy._replace(there_NM=torch.zeros_like(roomy.there_NM))
    assert detect.trimmed(nothing).boxes_NM4.shape[1] == 1


def test_the_first_loss_is_the_one_that_is_expected(some: Batch) -> None:
    objective = Detect(Detector(64, 1, 10, widths=(8, 12), blocks=1), 10)
    _, _, notes = objective.loss("detector", some, Rng(0, 0, "x"))
    assert float(notes["heat"]) == pytest.approx(objective.expect()["detector"], rel=0.01)


# --------------------------------------------------------------------------------------------------------------- scores


def as_told(data: Boxes, spoil: float = 0.0) -> Told:
    noise = Rng(0, 0, "told").normal(*data.boxes_NM4.shape) * spoil
    return Told(data.boxes_NM4 + noise * data.there_NM[..., None], data.kinds_NM, data.there_NM.float() * 0.9)


def test_the_scores_of_the_truth_and_of_nonsense(scenes: Scenes) -> None:
    data = scenes.fixed(40, "test")
    best, classes = scores.coco(as_told(data), data)
    assert best["ap"] == best["ap_50"] == best["ap_75"] == pytest.approx(1) and set(classes) == set(data.classes)
    assert best["ap_small"] == pytest.approx(1) and best["ap_medium"] == best["ap_large"] == -1  # there are none
    near, _ = scores.coco(as_told(data, 0.8), data)
    assert near["ap_75"] < near["ap_50"] <= 1 and near["ap"] < 1
    wrong = as_told(data)
    other, _ = scores.coco(Told(wrong.boxes_NQ4, (wrong.kinds_NQ + 1) % 10, wrong.chance_NQ), data)
    assert other["ap_50"] < 0.05
    assert scores.coco(Told(wrong.boxes_NQ4, wrong.kinds_NQ, wrong.chance_NQ * 0), data)[0]["ap"] == 0


def test_claims_are_matched_as_a_loop_would(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = scenes.fixed(30, "test")
    rng = Rng(0, 0, "claims")
    twice = torch.cat([data.boxes_NM4, data.boxes_NM4 + rng.normal(*data.boxes_NM4.shape)], 1)
    chance = rng.uniform(*twice.shape[:2])
    order = chance.argsort(1, descending=True)
    told = Told(twice.gather(1, order[..., None].expand(-1, -1, 4)), data.kinds_NM.repeat(1, 2).gather(1, order),
                chance.gather(1, order))  # fmt: skip
    made = scores.claimed(told, data)
    for i in range(30):
        taken: set[int] = set()
        for q in range(made.shape[1]):
            near = [
                (float(boxes.overlap(told.boxes_NQ4[i, q], data.boxes_NM4[i, m])), m)
                for m in data.there_NM[i].nonzero().flatten().tolist()
                if m not in taken and data.kinds_NM[i, m] == told.kinds_NQ[i, q]
            ]
            hit = bool(near) and max(near)[0] >= 0.5
            assert bool(made[i, q]) == hit
            taken |= {max(near)[1]} if hit else set()
    least, f1 = scores.threshold(told, data)
    monkeypatch.setattr(scores, "claimed", lambda *given: made)  # the same at every level, and what the loop says
    tried = []
    for level in told.chance_NQ.flatten().tolist():
        precise, found = scores.matched(told, data, level)
        tried.append((2 * precise * found / max(precise + found, 1e-9), level))
    assert f1 == pytest.approx(max(tried)[0], abs=1e-6) and (f1, least) == pytest.approx(max(tried), abs=1e-6)


def test_the_baseline_finds_what_touches_nothing() -> None:
    things = images.load("bars")
    apart = Scenes(things, 64, count=(1, 3), sizes=(20, 28), overlap=0.0).fixed(30, "test")
    told = scores.blobs(apart, things)
    found, _ = scores.coco(told, apart)
    assert 0.05 < found["ap_50"] <= 1


def test_of_more_blobs_than_are_told_the_largest_are() -> None:
    things = images.load("digits8")
    x = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    x[..., 0:40:2, 0:64:2] = 255  # 640 specks
    x[..., 48:60, 10:30] = 255
    told = scores.blobs(
        Boxes(x, torch.zeros(1, 1, 4), torch.zeros(1, 1).long(), torch.zeros(1, 1).bool(), things.classes), things
    )
    assert told[0][0, 0].tolist() == [10, 48, 30, 60] and int((told[2] > 0).sum()) == 100


def test_things_with_transparency_are_blobs_too() -> None:
    x_NCHW = torch.zeros(40, 4, 16, 16, dtype=torch.uint8)
    x_NCHW[:20, :, 2:14, 6:10] = 255
    x_NCHW[20:, :, 6:10, 2:14] = 255
    things = Images(x_NCHW, torch.arange(2).repeat_interleave(20), ["up", "across"])
    apart = Scenes(things, 64, count=(1, 3), sizes=(20, 28), overlap=0.0).fixed(20, "test")
    assert apart.channels == 3
    assert scores.coco(scores.blobs(apart, things), apart)[0]["ap_50"] > 0.2


def test_things_are_counted_by_their_size() -> None:
    ends = [[[10, 10], [40, 40], [100, 120]], [[5, 5], [9, 9], [50, 50]]]
    boxes_NM4 = torch.nn.functional.pad(torch.tensor(ends).float(), (2, 0))
    there_NM = torch.tensor([[True, True, True], [True, False, True]])
    x_NCHW = torch.zeros(2, 1, 128, 128, dtype=torch.uint8)
    data = Boxes(x_NCHW, boxes_NM4, torch.zeros(2, 3, dtype=torch.int64), there_NM, ["a"])
    assert scores.by_size(data) == {"ap_small": 2, "ap_medium": 2, "ap_large": 1}


# -------------------------------------------------------------------------------------------------------- the whole path


def test_from_training_to_boxes_in_a_photo(trained: Path, gannet: Command, tmp_path: Path) -> None:
    report = json.loads(gannet("evaluate", str(trained), "--json").stdout)
    assert set(report["scores"]) >= {"ap", "ap_50", "ap_75"} and report["columns"] == ["net", "baseline"]
    assert report["scores"]["ap_50"]["value"] > 0.02  # in twelve seconds it has begun to see
    held = boxes.load("bars", 48)[2]
    wide = Image.new("L", (400, 300))  # four times as large, and not square
    wide.paste(Image.fromarray(held.x_NCHW[0, 0].numpy()).resize((300, 300), Image.Resampling.NEAREST))
    wide.save(tmp_path / "photo.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    done = gannet("predict", str(trained), "photo.png", "broken.png", "--json", "--least", "0.01", "--out", "seen", status=1)
    one_line(done.stderr, "1 of 2", "broken.png")
    first, second = json.loads(done.stdout)
    assert "wrong" in second and first["boxes"]
    for thing in first["boxes"]:
        x0, y0, x1, y1 = thing["box"]
        assert thing["class"] in ("across", "down") and 0 <= x0 < x1 <= 400 and 0 <= y0 < y1 <= 300
    index = json.loads((tmp_path / "seen" / "coco.json").read_text())
    assert index["images"][0]["width"] == 400 and len(index["annotations"]) == len(first["boxes"])
    lines = (tmp_path / "seen" / "labels" / "photo.txt").read_text().splitlines()
    assert len(lines) == len(first["boxes"])
    with Image.open(tmp_path / "seen" / "photo.png") as seen:
        assert seen.size == (400, 300)
    # Boxes in the photo are those in the prepared picture, enlarged.
    made = run.load(trained)
    with Image.open(tmp_path / "photo.png") as photo:
        small = np.array(photo.resize((48, 36), Image.Resampling.LANCZOS, reducing_gap=3.0))
    square = np.zeros((48, 48), np.uint8)
    square[:36] = small
    (same,) = made.predict(square[None, :, :, None], least=0.01)
    seen = [[*np.multiply(one["box"], 400 / 48)] for one in same["boxes"]]
    seen = [[x0, y0, x1, min(y1, 300)] for x0, y0, x1, y1 in seen if y0 < 300]  # what lies in the black below is not told
    np.testing.assert_allclose([one["box"] for one in first["boxes"]], seen, atol=0.6)


def test_wrong_uses_of_a_detector(trained: Path, gannet: Command) -> None:
    for words, expected in (
        (("sample", str(trained)), ["draws nothing"]),
        (("predict", str(trained)), ["no picture"]),
        (("predict", str(trained), "a.png", "--least", "2"), ["--least", "2.0"]),
        (("evaluate", str(trained), "--full"), ["--full", "boxes"]),
        (("train", "detect", "--size", "tiny", "--data", "bars", "--pixels", "30"), ["30", "multiple of 4"]),
    ):
        one_line(gannet(*words, status=2).stderr, *expected)


def test_things_of_other_classes_test_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, split: str) -> Images:
        kinds = ["anna", "bert"] if split == "train" else ["cleo", "dora"]
        return Images(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]), kinds, name=name, split=split)

    monkeypatch.setattr(images, "load", load)
    with pytest.raises(Wrong, match="same classes in training and test"):
        boxes.load("faces", 48)


def test_things_of_no_class_make_no_scenes(tmp_path: Path) -> None:
    bare = Images(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), ["a"])
    with pytest.raises(Wrong, match="nothing to see"):
        Scenes(bare)
    with pytest.raises(Wrong, match="larger than 3 pixels"):
        Scenes(images.load("bars"), sizes=(2, 300))


def test_a_box_is_explained(trained: Path, gannet: Command, tmp_path: Path) -> None:
    held = boxes.load("bars", 48)[2]
    Image.fromarray(held.x_NCHW[1, 0].numpy()).resize((96, 96), Image.Resampling.NEAREST).save(tmp_path / "photo.png")
    record = json.loads((trained / "recipe.json").read_text())
    seen = json.loads(gannet("predict", str(trained), "photo.png", "--json").stdout)[0]["boxes"]
    assert seen, record["trained"]
    report = json.loads(gannet("explain", str(trained), "photo.png", "--box", "0", "--out", "why", "--json").stdout)
    assert (tmp_path / "why" / "explain.png").is_file() and set(report["maps"]) == {"saliency", "integrated", "hirescam"}
    assert report["class"] == seen[0]["class"] and report["chance"] == pytest.approx(seen[0]["chance"], abs=0.02)
    np.testing.assert_allclose(report["box"], seen[0]["box"], atol=1)
    near = report["nearest"]["examples"]
    assert len(near) == nearest.NEAR and [one["distance"] for one in near] == sorted(one["distance"] for one in near)
    assert near[0]["class"] == report["class"] and near[0]["distance"] < 0.5 * report["nearest"]["median"]
    assert "scenes drawn as those of training" in report["nearest"]["among"]
    for words, expected in (
        (("--box", "99"), ["99", "numbered from 0"]),
        (("--stage", "down 9"), ["down 9", "down 1", "up 1"]),
        (("--beside", "photo.png"), ["compares no faces"]),
    ):
        one_line(gannet("explain", str(trained), "photo.png", *words, status=2).stderr, *expected)


def test_the_nearest_things_are_those_whose_middles_are_told_by_the_like(trained: Path) -> None:
    """Against a loop over every thing of every training picture; and a thing that was learnt from is nearest to itself."""
    loaded = run.load(trained)
    net, scenes = loaded.nets["detector"], boxes.load("bars", 48)[0]
    drawn = scenes.fixed(nearest.LOOKED_THROUGH, "explained")
    x, cells, far = to_float(drawn.x_NCHW), 48 // 4, []
    x0, y0, x1, y1 = drawn.boxes_NM4[5, 1].tolist()
    cell = int((y0 + y1) / 8) * cells + int((x0 + x1) / 8)
    with torch.no_grad():
        mine = net.features(x[5:6])[0].flatten(1)[:, cell]
        for i in range(len(x)):
            told = net.features(x[i : i + 1])[0]
            for m in range(drawn.boxes_NM4.shape[1]):
                if drawn.there_NM[i, m]:
                    x0, y0, x1, y1 = drawn.boxes_NM4[i, m].tolist()
                    far.append((float((told[:, int((y0 + y1) / 8), int((x0 + x1) / 8)] - mine).norm()), i, m))
    report, cut = nearest.things(loaded, net, x[5:6], cell)
    near = report["examples"]
    assert [one["distance"] for one in near] == pytest.approx([one[0] for one in sorted(far)[: nearest.NEAR]], abs=1e-3)
    first = near[0]
    assert first["number"] == 5 and first["box"] == pytest.approx(drawn.boxes_NM4[5, 1].tolist(), abs=0.1)
    assert first["class"] == drawn.classes[int(drawn.kinds_NM[5, 1])] and first["distance"] < 1e-3
    assert f"{len(far):,} things of {len(x)}" in report["among"]
    assert cut.shape == (nearest.NEAR, 1, 64, 64) and cut[0].max() > 100


def test_neighbours_are_looked_for_where_something_is(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of which most pictures are empty; and what training changes in them is not looked at."""
    loaded, some = run.load(trained), boxes.load("bars", 48)[2]
    many = 600
    bare = Boxes(
        some.x_NCHW[:1].expand(many, -1, -1, -1),
        some.boxes_NM4[:1].expand(many, -1, -1),
        some.kinds_NM[:1].expand(many, -1),
        torch.arange(many)[:, None].eq(577) & some.there_NM[:1],
        some.classes,
    )
    made = SimpleNamespace(evaluation=object(), data=Moved(Moved(bare)))
    monkeypatch.setattr(nearest, "reopened", lambda *words, **more: contextlib.nullcontext(made))
    x_1CHW = to_float(some.x_NCHW[:1])
    report, cut = nearest.things(loaded, loaded.nets["detector"], x_1CHW, 0)
    assert {one["number"] for one in report["examples"]} == {577} and "of 1 training pictures" in report["among"]
    assert len(cut) == min(nearest.NEAR, int(some.there_NM[0].sum()))
    bare.there_NM = torch.zeros_like(bare.there_NM)
    report, cut = nearest.things(loaded, loaded.nets["detector"], x_1CHW, 0)
    assert "nothing in any" in report["left_out"] and len(cut) == 0


def test_surroundings_are_cut_with_black_beyond_the_picture() -> None:
    x = torch.zeros(1, 16, 16, dtype=torch.uint8)
    x[0, 2:6, 0:3] = 200
    cut = nearest.surroundings(x, torch.tensor([0.0, 2.0, 3.0, 6.0]), side=6)  # three pixels either way of (1.5, 4)
    assert torch.equal(cut[0], F.pad(x, (6,) * 4)[0, 7:13, 4:10]) and int((cut == 200).sum()) == 12


def test_the_score_that_is_explained_is_the_boxs() -> None:
    torch.manual_seed(0)
    net = Detector(32, 1, 3, widths=(8, 12), blocks=1).eval()
    torch.nn.init.normal_(net.tell.weight, std=0.3)
    x = Rng(0, 0, "x").normal(5, 1, 32, 32)
    target = explain.of_detector(net, 32)
    y = torch.tensor([(k * 8 + row) * 8 + column for k, row, column in ((0, 0, 0), (1, 2, 3), (2, 7, 7), (2, 0, 5), (1, 4, 4))])
    told = net(x)
    expected = [told[0, 0, 0, 0], told[1, 1, 2, 3], told[2, 2, 7, 7], told[3, 2, 0, 5], told[4, 1, 4, 4]]
    assert torch.allclose(target.score(x, y), torch.stack(expected), atol=1e-4)
    for stage in target.stages:
        assert explain.maps(target, x, y, "gradcam", stage=stage).shape == (5, 32, 32)


def test_the_sheet_shows_what_enters_a_detector() -> None:
    made = recipe.build(recipe.find("detect"), recipe.resolve(recipe.find("detect"), {"size": "tiny", "data": "bars"}))
    sheet = preflight.sheet(preflight.Case(made))
    assert sheet is not None and sheet.shape[0] > 3 * 48  # a batch, and below it what enters the net: boxes are no labels


def test_large_watched_pictures_go_through_in_parts() -> None:
    big = Scenes(images.load("digits8"), 320, count=(1, 3), sizes=(40, 80)).fixed(12, "watched")
    objective = Detect(Detector(320, 1, 10, widths=(4, 4), blocks=1), 10)
    assert (once := objective.many // 320**2) < 12  # more than go through at once
    sizes: list[int] = []
    for net in objective.nets().values():
        net.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    assert math.isfinite(scores.Detection(big, big, big).quick(objective)["loss_watched"])
    assert sum(sizes) >= 12 and 0 < max(sizes) <= max(1, once), sizes


def test_a_folder_whose_test_pictures_are_learnt_from_is_refused(gannet: Command, scenes: Scenes) -> None:
    for split in ("train", "test"):  # the same pictures in both
        annotated.write_yolo(scenes.fixed(20, "test"), Path("leaky", split))
    done = gannet("train", "detect", "--size", "tiny", "--data", "leaky", "--steps", "2", status=1)
    one_line(done.stderr.splitlines()[-1], "leak failed")
