"""Pictures of a Hugging Face data set: what becomes of its columns and splits. The hub itself is not asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pytest
import torch

from conftest import Command, one_line
from gannet import run
from gannet.data import Ledger, hub, images, keeping
from gannet.errors import Wrong


def pictures(n: int, seed: int = 0, size: int = 12) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8))


def rows(n: int, seed: int = 0, labels: list[int] | None = None, names: tuple[str, ...] = ("cat/dog", "ox")) -> Any:
    columns: dict[str, Any] = {"number": list(range(n)), "image": pictures(n, seed)}
    features: dict[str, Any] = {"number": datasets.Value("int64"), "image": datasets.Image()}
    if names:
        columns["label"] = labels or [i % len(names) for i in range(n)]
        features["label"] = datasets.ClassLabel(names=list(names))
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The sets that the hub would have: name -> splits; and under "asked" what was asked of it."""
    there: dict[str, Any] = {"asked": []}

    def load_dataset(name: str, config: str | None) -> Any:
        there["asked"].append((name, config, datasets.config.HF_HUB_OFFLINE))
        if name not in there:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")
        return datasets.DatasetDict(there[name])

    def dataset_info(self: Any, name: str, timeout: float) -> None:
        assert not datasets.config.HF_HUB_OFFLINE
        if name == "no/network":
            raise OSError("name or service not known")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    hub.read.cache_clear()
    return there


def test_names() -> None:
    for data in ("somebody/cats", "hf:mnist", "hf:some-body/c.ats", "somebody/cats:small"):
        assert hub.is_name(data), data
    for data in ("mnist", "./cats/dogs", "/cats/dogs", "~/cats", "a/b/c", "cats.zip", "somebody/", "-a/b", str(Path.cwd())):
        assert not hub.is_name(data), data


def test_a_folder_that_is_there_wins(apart: Path) -> None:
    (apart / "somebody" / "cats").mkdir(parents=True)
    assert not hub.is_name("somebody/cats")


def test_splits_classes_and_pictures(asked: dict[str, Any]) -> None:
    asked["somebody/cats"] = {"train": rows(20), "test": rows(8, seed=1), "extra": rows(5, seed=2)}
    train, test = images.load("somebody/cats:small"), images.load("somebody/cats:small", "test")
    assert (len(train), len(test), train.pixels, train.channels) == (20, 8, 12, 3)
    assert train.classes == ["cat-dog", "ox"] and torch.bincount(train.labels_N).tolist() == [10, 10]
    mine = {np.transpose(x, (2, 0, 1)).tobytes(): i % 2 for i, x in enumerate(pictures(20))}
    theirs = {x.numpy().tobytes(): int(y) for x, y in zip(train.x_NCHW, train.labels_N, strict=True)}
    assert theirs == mine
    assert train.source == "Hugging Face data set somebody/cats, small"
    assert asked["asked"] == [("somebody/cats", "small", False)]  # once for both splits


def test_one_split_without_classes_is_parted_like_a_folder(asked: dict[str, Any]) -> None:
    asked["cats"] = {"train": rows(60, names=())}
    with keeping(Ledger(offline=True)):
        train, test = images.load("hf:cats"), images.load("hf:cats", "test")
    assert len(train) + len(test) == 60 and 0 < len(test) < 20 and not train.classes
    assert asked["asked"] == [("cats", None, True)] and not datasets.config.HF_HUB_OFFLINE


def test_without_a_network_the_cache_is_asked(asked: dict[str, Any]) -> None:
    asked["no/network"] = {"train": rows(20)}
    assert len(hub.read("no/network").x_NCHW) == 20 and asked["asked"] == [("no/network", None, True)]


def test_a_test_split_whose_classes_are_a_secret_is_not_used(asked: dict[str, Any]) -> None:
    asked["a/b"] = {"train": rows(30), "validation": rows(9, seed=1), "test": rows(7, seed=2, labels=[-1] * 7)}
    assert len(images.load("a/b", "test")) == 9


def test_an_empty_row_is_left_out(asked: dict[str, Any]) -> None:
    some = rows(20).map(lambda row: {"image": None} if row["number"] == 3 else row)
    asked["a/b"] = {"train": some}
    gallery = hub.read("a/b")
    assert gallery.left_out == [["ox/00000003", "an empty row"]] and len(gallery.x_NCHW) == 19


def test_trained_on_and_found_again(asked: dict[str, Any], apart: Path) -> None:
    asked["a/b"] = {"train": rows(40, names=())}
    made = run.train("images", size="tiny", data="a/b", steps=2, out="run", skip={"all": "to be quick"})
    assert made.record["data"]["a/b/train"]["source"].endswith("a/b")
    del asked["a/b"]  # drawing asks for nothing
    assert run.load("run").sample(3).shape == (3, 12, 12, 3)


def test_what_cannot_be_had(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, gannet: Command) -> None:
    with pytest.raises(Wrong) as error:
        images.load("some/where")
    one_line(str(error.value), "neither a folder here nor", "some/where: Dataset", "doesn't exist")
    asked["a/text"] = {"train": rows(20).remove_columns("image")}
    with pytest.raises(Wrong) as error:
        images.load("a/text")
    one_line(str(error.value), "no column of pictures", "number (Value)")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(Wrong) as error:
        images.load("some/where")
    one_line(str(error.value), "no folder here has this name", "gannet[hub]")
