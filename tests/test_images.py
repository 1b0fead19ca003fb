"""Pictures as bytes: what goes in comes out, the embedded set, IDX files, grids."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from conftest import one_line
from gannet.cli import main
from gannet.data import Ledger, images, keeping, toys
from gannet.errors import Wrong
from gannet.rng import Rng


def test_every_byte_survives_the_way_to_floats_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = images.to_float(every)
    assert floats.min() == -1
    assert floats.max() == 1
    assert torch.equal(images.to_bytes(floats), every)


def test_values_outside_are_cut_off() -> None:
    assert images.to_bytes(torch.tensor([[-9.0, 9.0]])).tolist() == [[0, 255]]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    data = images.load("bars")
    one, same, other = (data.batch(16, Rng(0, step, "critic")) for step in (3, 3, 4))
    assert torch.equal(one.x_NCHW, same.x_NCHW)
    assert torch.equal(one.y_N, same.y_N)
    assert not torch.equal(one.x_NCHW, other.x_NCHW)


def test_labels_stay_with_their_pictures() -> None:
    data = images.load("bars")
    x, y = data.batch(64, Rng(0, 0, "critic"))
    down = (x[:, 0] > 0).all(1).any(1)  # a column that is bright all the way
    assert torch.equal(down, y.bool())


def test_without_classes() -> None:
    bare = images.load("bars").without_classes()
    assert bare.classes == []
    assert (bare.batch(8, Rng(0, 0, "x")).y_N == 0).all()


def test_embedded_digits() -> None:
    train, test = images.load("digits8", "train"), images.load("digits8", "test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.x_NCHW.shape[1:] == (1, 8, 8)
    assert train.x_NCHW.max() == 255
    assert set(test.labels_N.tolist()) == set(range(10))


def test_what_is_written_down_rebuilds_the_data_set() -> None:
    with keeping(Ledger()) as book:
        data = images.load("bars", "test")
    with keeping(Ledger(facts=book.facts, recalled=True)):
        shell = images.load("bars", "test")
    assert shell.facts() == data.facts()
    assert (shell.pixels, shell.channels, shell.classes, len(shell)) == (8, 1, ["across", "down"], 500)


@pytest.mark.parametrize(("name", "split", "part"), [("mnits", "train", "try mnist"), ("bars", "tset", "train or test")])
def test_unknown_names(name: str, split: str, part: str) -> None:
    with pytest.raises(Wrong) as error:
        images.load(name, split)
    one_line(str(error.value), part, name if split == "train" else split)


def test_fashion_has_no_stand_in() -> None:
    with keeping(Ledger(offline=True)), pytest.raises(Wrong) as error:
        images.load("fashion-mnist")
    one_line(str(error.value), "fashion-mnist", "offline")


@settings(max_examples=30, deadline=None)
@given(shape=some.lists(some.integers(1, 5), min_size=1, max_size=3))
def test_idx_files(shape: list[int]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = Path("x.idx")
    path.write_bytes(struct.pack(f">HBB{len(shape)}i", 0, 8, len(shape), *shape) + array.tobytes())
    assert np.array_equal(images.read_idx(path), array)


@pytest.mark.parametrize(
    ("raw", "part"), [(b"", "begin"), (b"\0\0\x0d\1\0\0\0\1x", "begin"), (b"\0\0\x08\1\0\0\0\2x", "length")]
)
def test_bad_idx_files(raw: bytes, part: str) -> None:
    Path("bad.idx").write_bytes(raw)
    with pytest.raises(Wrong) as error:
        images.read_idx(Path("bad.idx"))
    one_line(str(error.value), "bad.idx", part)


@pytest.mark.parametrize(("n", "columns", "shape"), [(1, None, (3, 3)), (9, None, (9, 9)), (10, 5, (6, 15)), (7, 3, (9, 9))])
def test_grid_against_a_loop(n: int, columns: int | None, shape: tuple[int, int]) -> None:
    x = torch.randint(256, (n, 3, 3, 3), dtype=torch.uint8)
    made = images.grid(x, columns)
    assert made.shape == (*shape, 3)
    across = made.shape[1] // 3
    for k in range(n):
        row, column = divmod(k, across)
        assert np.array_equal(made[3 * row : 3 * row + 3, 3 * column : 3 * column + 3], x[k].permute(1, 2, 0).numpy())


def test_pictures_must_be_square_bytes() -> None:
    with pytest.raises(Wrong, match="square bytes"):
        images.Images(torch.zeros(2, 1, 4, 5, dtype=torch.uint8))
    with pytest.raises(Wrong, match="float32"):
        images.Images(torch.zeros(2, 1, 4, 4))


def test_toys_are_what_they_say() -> None:
    x, y = toys.bars(100)
    for picture, kind in zip(x[:, 0], y, strict=True):
        lines = (picture > 0).all(int(not kind))  # rows for 0, columns for 1
        assert lines.sum() == 1
        assert (picture > 0).sum() == 8
    points = toys.ring(1000, modes=8)
    assert points.norm(dim=1).mean() == pytest.approx(2, abs=0.02)


# ------------------------------------------------------------------------------------------------------------- CIFAR


def records(n: int, labels: tuple[int, ...], first: int = 0) -> bytes:
    """n records of CIFAR's binary version: record k's classes are k modulo `labels`, its channels k, k + 1 and k + 2."""
    out = b""
    for k in range(first, first + n):
        out += bytes(k % kinds for kinds in labels) + b"".join(bytes([(k + c) % 256]) * 1024 for c in range(3))
    return out


def cifar10(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for i in range(5):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(records(4, (10,), 4 * i))
    (folder / "test_batch.bin").write_bytes(records(3, (10,), 100))
    (folder / "batches.meta.txt").write_text("\n".join(f"kind{i}" for i in range(10)) + "\n\n")
    return folder


def cifar100(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.bin").write_bytes(records(200, (20, 100)))
    (folder / "test.bin").write_bytes(records(50, (20, 100)))
    (folder / "fine_label_names.txt").write_text("\n".join(f"fine{i}" for i in range(100)) + "\n")
    return folder


@pytest.mark.parametrize("below", [".", "cifar-10-batches-bin"])
def test_cifar_10(apart: Path, below: str) -> None:
    cifar10(apart / "cache/data/cifar-10" / below)
    train, test = images.load("cifar-10"), images.load("cifar-10", "test")
    assert (len(train), len(test), train.channels, train.pixels) == (20, 3, 3, 32)
    assert train.labels_N.tolist() == [*range(10)] * 2 and train.classes[3] == "kind3"
    assert (train.x_NCHW[:, 1] == torch.arange(1, 21)[:, None, None]).all()  # channels first, files in order
    assert test.x_NCHW[2, :, 0, 0].tolist() == [102, 103, 104]
    assert train.facts()["licence"] == "unknown" and "Krizhevsky" in train.facts()["source"]
    assert train.facts()["more"]["sha256"] != test.facts()["more"]["sha256"]


def test_cifar_100_has_its_fine_classes(apart: Path) -> None:
    cifar100(apart / "cache/data/cifar-100/cifar-100-binary")
    train = images.load("cifar-100")
    assert train.labels_N.tolist() == [*range(100)] * 2 and train.classes[99] == "fine99"
    assert train.x_NCHW[7, :, 5, 5].tolist() == [7, 8, 9]


def test_cifar_that_is_absent(apart: Path) -> None:
    for name, hub in (("cifar-10", "uoft-cs/cifar10"), ("cifar-100", "uoft-cs/cifar100")):
        with pytest.raises(Wrong) as error:
            images.load(name)
        one_line(str(error.value), name, apart / "cache/data" / name, f"{name}-binary.tar.gz", f"--data {hub}")
    (cifar10(apart / "cache/data/cifar-10") / "data_batch_4.bin").unlink()
    assert len(images.load("cifar-10", "test")) == 3
    with pytest.raises(Wrong, match="cifar-10 is not here"):
        images.load("cifar-10")


def test_cifar_is_listed(apart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cifar100(apart / "cache/data/cifar-100/cifar-100-binary")
    assert main(["data", "list"]) == 0
    states = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert (states["cifar-10"], states["cifar-100"]) == ("absent", "yours")


@pytest.mark.parametrize(
    ("raw", "labels", "part"),
    [
        (b"", 1, "no whole number of CIFAR's records of 3,073 bytes"),
        (records(2, (10,))[:-1], 1, "6,145 bytes"),
        (records(2, (10,)), 2, "records of 3,074 bytes"),
        (records(11, (11,)), 1, "record 10: class 10"),
        (records(102, (1, 101)), 2, "record 100: class 100"),
    ],
)
def test_bad_cifar_files(raw: bytes, labels: int, part: str) -> None:
    Path("bad.bin").write_bytes(raw)
    with pytest.raises(Wrong) as error:
        images.read_cifar(Path("bad.bin"), labels)
    one_line(str(error.value), "bad.bin", part)


def test_cifar_with_names_missing(apart: Path) -> None:
    (cifar10(apart / "cache/data/cifar-10") / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(Wrong) as error:
        images.load("cifar-10")
    one_line(str(error.value), "10 names of classes", "batches.meta.txt, 2 names")


# ------------------------------------------------------------------------------------------------------ augmentation


def some_pictures(channels: int = 3, pixels: int = 16, n: int = 40) -> images.Images:
    x = torch.randint(256, (n, channels, pixels, pixels), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images.Images(x, torch.arange(n) % 4, ["a", "b", "c", "d"], name="noise")


def cropped_one_by_one(data: images.Images, n: int, rng: Rng, move: int, mirror: bool, erase: float) -> torch.Tensor:
    """What `Cropped` does, a picture at a time: padded, cut, turned round, and a rectangle painted over."""
    x_NCHW, _ = data.batch(n, rng)
    u_N8, side = rng.uniform(n, 8), data.pixels
    noise_NCHW = rng.uniform(n, data.channels, side, side) * 2 - 1
    out = []
    for x, u, noise in zip(x_NCHW, u_N8, noise_NCHW, strict=True):
        down, right = (int(u[i] * (2 * move + 1)) for i in range(2))
        padded = np.pad(x.numpy(), ((0, 0), (move, move), (move, move)), "reflect")
        made = padded[:, down : down + side, right : right + side]
        if mirror and u[2] < 0.5:
            made = made[:, :, ::-1]
        made = made.copy()
        if u[3] < erase:
            area, ratio = (0.02 + 0.18 * u[4]) * side**2, 0.3 ** (2 * float(u[5]) - 1)
            high, wide = (max(1, round(math.sqrt(one))) for one in (area * ratio, area / ratio))
            top, left = int(u[6] * (side - high + 1)), int(u[7] * (side - wide + 1))
            hole = noise[:, top : top + high, left : left + wide].numpy().copy()
            hole[3:] = 1
            made[:, top : top + high, left : left + wide] = hole
        out.append(torch.from_numpy(made))
    return torch.stack(out)


@pytest.mark.parametrize(
    ("channels", "pixels", "move", "mirror", "erase"),
    [(3, 16, 4, True, 0.0), (1, 8, 7, False, 1.0), (4, 16, 2, True, 0.5), (3, 32, 0, False, 0.25), (2, 9, 3, True, 1.0)],
)
def test_cropped_against_a_loop(channels: int, pixels: int, move: int, mirror: bool, erase: float) -> None:
    data = some_pictures(channels, pixels)
    cropped = images.Cropped(data, move=move, mirror=mirror, erase=erase)
    for step in range(4):
        made, y_N = cropped.batch(64, Rng(5, step, "net"))
        naive = cropped_one_by_one(data, 64, Rng(5, step, "net"), move, mirror, erase)
        assert torch.equal(made, naive)
        assert torch.equal(y_N, data.batch(64, Rng(5, step, "net")).y_N)


def test_cropped_is_a_function_of_seed_and_step_on_any_number_of_processes() -> None:
    cropped = images.Cropped(some_pictures(), erase=0.5)
    whole = cropped.batch(32, Rng(0, 3, "net")).x_NCHW
    assert torch.equal(whole, cropped.batch(32, Rng(0, 3, "net")).x_NCHW)
    assert not torch.equal(whole, cropped.batch(32, Rng(0, 4, "net")).x_NCHW)
    parts = [cropped.batch(16, Rng(0, 3, "net", rank, 2)).x_NCHW for rank in range(2)]
    assert torch.equal(whole, torch.cat(parts))


def test_cropped_moves_mirrors_and_erases_as_often_and_as_much_as_it_says() -> None:
    x = torch.arange(32, dtype=torch.uint8).expand(1, 1, 32, 32) * 8  # each column its own grey
    plain = images.Cropped(images.Images(x), move=4, erase=0.0).batch(4000, Rng(0, 0, "x")).x_NCHW
    middle = images.to_bytes(plain[:, 0, 0, 15:17]).int() // 8
    mirrored = middle[:, 0] > middle[:, 1]
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.03)
    shift = torch.where(mirrored, middle[:, 1], middle[:, 0]) - 15
    assert torch.bincount(shift + 4).float().div(4000).tolist() == pytest.approx([1 / 9] * 9, abs=0.02)
    black = images.Images(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))
    erased = images.Cropped(black, erase=0.25).batch(4000, Rng(0, 0, "x")).x_NCHW[:, 0] != -1
    share = erased.float().mean((1, 2))
    assert (share > 0).float().mean() == pytest.approx(0.25, abs=0.03)
    assert share[share > 0].min() > 0.01 and share.max() < 0.22 and share[share > 0].mean() == pytest.approx(0.11, abs=0.01)
    high, wide = erased.any(2).sum(1), erased.any(1).sum(1)
    assert torch.equal(high * wide, erased.sum((1, 2)))  # one whole rectangle


def test_what_hides_a_part_of_a_picture_with_alpha_is_opaque() -> None:
    clear = images.Images(torch.zeros(1, 4, 16, 16, dtype=torch.uint8))
    x = images.Cropped(clear, erase=1.0).batch(16, Rng(0, 0, "x")).x_NCHW
    assert ((x[:, 3] == 1) | (x == -1).all(1)).all() and (x[:, 3] == 1).any()


@pytest.mark.parametrize("changed", [images.Shaken, images.Cropped])
def test_changed_pictures_are_known_as_they_were(changed: type[images.Shaken | images.Cropped]) -> None:
    data = some_pictures()
    made = changed(data)
    assert made.facts() == data.facts() and len(made) == len(data) == 40 and made.data is data
    for word in ("classes", "channels", "pixels", "name", "split"):
        assert getattr(made, word) == getattr(data, word)
    assert made.batch(8, Rng(0, 0, "x")).x_NCHW.shape == (8, 3, 16, 16)


@pytest.mark.parametrize(
    ("words", "part"),
    [({"move": 16}, "move=16"), ({"move": -1}, "0 to 15"), ({"erase": 1.5}, "erase=1.5"), ({"erase": -0.1}, "-0.1")],
)
def test_cropped_refuses_what_cannot_be(words: dict[str, float], part: str) -> None:
    with pytest.raises(Wrong) as error:
        images.Cropped(some_pictures(), **words)
    one_line(str(error.value), part)


# ---------------------------------------------------------------------------------------------------------- in parts


def numbered(counts: list[int]) -> images.Images:
    """Picture k is k, in two bytes; so many of each class, mixed."""
    labels = torch.cat([torch.full((count,), kind) for kind, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    k = torch.arange(len(labels))
    x = torch.stack([k // 256, k % 256], 1).to(torch.uint8)[:, :, None, None].expand(-1, -1, 4, 4).contiguous()
    names = [f"kind{i}" for i in range(len(counts))]
    return images.Images(x, labels, names, name="n", licence="CC0", source="here", more={"sha256": "5"})


def which(data: images.Images) -> list[int]:
    return (data.x_NCHW[:, 0, 0, 0].int() * 256 + data.x_NCHW[:, 1, 0, 0]).tolist()


@settings(max_examples=60, deadline=None)
@given(counts=some.lists(some.integers(0, 40), min_size=1, max_size=6), one_in=some.integers(2, 12))
def test_parts_are_of_all_classes_alike(counts: list[int], one_in: int) -> None:
    data = numbered(counts)
    larger, watched = data.parted(one_in)
    mine, kept = which(larger), which(watched)
    assert sorted(mine) == mine and sorted(kept) == kept and sorted(mine + kept) == [*range(sum(counts))]
    assert (larger.split, watched.split) == ("train", "watched") and (len(larger), len(watched)) == (len(mine), len(kept))
    of_K = torch.bincount(watched.labels_N, minlength=len(counts)).tolist()
    for count, held in zip(counts, of_K, strict=True):
        assert held == 0 if count < 2 else max(1, count // one_in) <= held <= -(-count // one_in) < count
    for part in (larger, watched):
        assert torch.equal(part.labels_N, data.labels_N[which(part)])
        words = {key: part.facts()[key] for key in ("name", "licence", "source", "classes", "more", "pixels")}
        assert words == {key: data.facts()[key] for key in words}
    assert which(data.parted(one_in)[1]) == kept


def test_parts_without_classes_and_of_what_a_run_remembers() -> None:
    data = numbered([60, 45])
    bare = data.without_classes().parted(10)
    assert [len(part) for part in bare] == [95, 10] and bare[1].labels_N is None
    recalled = images.Images.recall(data.facts())
    for one_in in (2, 7, 10):
        for shell, real in zip(recalled.parted(one_in), data.parted(one_in), strict=True):
            assert shell.facts() == real.facts() and len(shell.x_NCHW) == 0
    again = images.Images.recall(recalled.parted(10)[1].facts())
    assert (again.split, len(again)) == ("watched", 10)
    for items, parts in ((0, [0, 0]), (1, [1, 0]), (2, [1, 1]), (25, [23, 2])):
        shell = images.Images.recall({**data.facts(), "items": items}).parted(10)
        assert [len(part) for part in shell] == parts


def test_one_in_one_leaves_nothing_to_learn_from() -> None:
    with pytest.raises(Wrong) as error:
        numbered([4]).parted(1)
    one_line(str(error.value), "one picture in two or more", "1")
