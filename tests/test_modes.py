"""Modes and their evenness against naive twins, known samplers and the figures that the literature has of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from conftest import Command, one_line
from gannet import recipe
from gannet.data import images
from gannet.errors import Wrong
from gannet.evaluation import features
from gannet.evaluation.modes import Modes, divergence


@pytest.fixture(scope="module")
def digits() -> Modes:
    return Modes(images.load("stacked-digits8", "train"), images.load("stacked-digits8", "test"))


def even(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(1000, (n,), generator=torch.Generator().manual_seed(seed))


def test_divergence_against_a_loop() -> None:
    y, weights = torch.tensor([0, 0, 2, 3, 3, 3, 2, 0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    naive = sum(k / 8 * math.log((k / 8) / (weights[i].item() / 10)) for i, k in Counter(y.tolist()).items())
    assert divergence(y, weights) == pytest.approx(naive)
    assert divergence(torch.tensor([1]), torch.tensor([1.0, 0.0])) == math.inf


def test_an_even_sampler_gets_its_known_bias(digits: Modes) -> None:
    """The anchor's simulation: 0.0196 ± 0.0009 at 26,000; without its bias about nothing."""
    sure, found = torch.ones(26_000), []
    for seed in range(5):
        found.append(digits.scores(even(26_000, seed), sure))
    kl = torch.tensor([one["kl"] for one in found])
    assert kl.mean() == pytest.approx(0.0196, abs=0.001)
    assert all(one["modes"] == 1000 for one in found)
    assert abs(sum(one["kl_debiased"] for one in found) / 5) < 0.0015  # the first order of the bias is taken off, 0.0004 remain


def test_collapsed_samplers(digits: Modes) -> None:
    one = digits.scores(torch.zeros(1000, dtype=torch.int64), torch.ones(1000))
    assert one["modes"] == 1
    assert one["kl"] == pytest.approx(math.log(1000))
    half = digits.scores(even(200_000) % 500, torch.ones(200_000))
    assert half["modes"] == 500
    assert half["kl"] == pytest.approx(math.log(2), abs=0.005)


def test_undecided_pictures_are_left_out(digits: Modes) -> None:
    y, sure = even(5_000), torch.ones(5_000)
    sure[:1_000], y[:1_000] = 0.3, 7
    found = digits.scores(y, sure)
    assert found["undecided"] == pytest.approx(0.2)
    assert found["kl_decided"] == pytest.approx(digits.scores(y[1_000:], sure[1_000:])["kl"])
    assert found["kl"] > found["kl_decided"] + 0.5


def test_triples_are_named_channel_by_channel(digits: Modes) -> None:
    test = digits.test
    assert test.labels_N is not None
    named, sure = digits.named(test.x_NCHW[:2_000])
    assert (named == test.labels_N[:2_000]).double().mean() > 0.8  # of 8×8 pixels; three digits must be right
    assert sure.min() > 0
    single = torch.stack([digits.named(test.x_NCHW[:200, [c, c, c]])[0] % 10 for c in range(3)], 1)
    assert torch.equal((single * torch.tensor([100, 10, 1])).sum(1), named[:200])


def test_stacked_pictures_are_those_of_the_grey_set() -> None:
    grey, three = images.load("digits8", "train"), images.load("stacked-digits8", "train")
    assert grey.labels_N is not None
    assert three.labels_N is not None
    assert len(three) == 128_000
    assert three.classes[407] == "407"
    by_bytes = {x.numpy().tobytes(): int(y) for x, y in zip(grey.x_NCHW[:, 0], grey.labels_N, strict=True)}
    for x, y in zip(three.x_NCHW[:200], three.labels_N[:200], strict=True):
        assert int(y) == sum(10 ** (2 - c) * by_bytes[x[c].numpy().tobytes()] for c in range(3))
    assert len(three.labels_N.unique()) == 1000


def test_mnist_is_named_by_the_shipped_classifier() -> None:
    grey = images.load("digits8", "train")
    stacked = images.stacked(grey)
    stacked.name = "stacked-mnist"
    assert Modes(stacked, stacked).net is features.digits()


def test_the_whole_path(gannet: Command) -> None:
    gannet("train", "stacked", "--size", "tiny", "--data", "digits8", "--steps", "20", "--out", "run")
    done = gannet("evaluate", "run")
    report = json.loads(Path("run/evaluation.json").read_text())
    modes_, kl = report["scores"]["modes"], report["scores"]["kl"]
    assert modes_["floor"] == 1000
    assert 1 <= modes_["value"] <= 1000
    assert kl["floor"] < 0.05 < kl["value"]
    assert (modes_["n"], report["seeds"]) == (26_000, [0, 1, 2])
    assert "kl_debiased" in done.stdout
    assert "least sure" in Path("run/README.md").read_text()
    assert "1000 classes: 000, 001, 002, …, 999" in Path("run/README.md").read_text()
    one_line(gannet("evaluate", "run", "--full", status=1).stderr, "needs classes")
    one_line(gannet("evaluate", "run", "--features", "inception", status=2).stderr, "digit classifier")


@pytest.mark.parametrize("data", ["bars", "digits8"])
def test_each_set_has_its_own_number_of_modes(data: str) -> None:
    made = recipe.build(recipe.find("stacked"), recipe.resolve(recipe.find("stacked"), {"size": "tiny", "data": data}))
    assert made.evaluation.modes == {"bars": 8, "digits8": 1000}[data]
    assert made.evaluation.quick(made.objective)["modes_10k"] <= made.evaluation.modes


def test_what_cannot_be_stacked() -> None:
    with pytest.raises(Wrong, match="no data set of pictures has this name"):
        images.load("stacked-emoji")
