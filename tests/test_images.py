"""Pictures as bytes: what goes in comes out, the embedded set, IDX files, grids."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from conftest import one_line
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
