"""Recipes without a fault, on which bugs are planted: two that are shipped, and a classifier."""

from __future__ import annotations

from typing import Any, Literal

import torch

from gannet import recipe
from gannet.data import Ledger, images, keeping
from gannet.nets.images import Classifier
from gannet.objectives.classify import Classify
from gannet.recipe import Recipe


class Accuracy:
    """The evaluation of a classifier: its share of errors on the test set."""

    def __init__(self, test: images.Images):
        self.test = test

    @torch.no_grad()
    def quick(self, objective: Any) -> dict[str, float]:
        (net,) = objective.nets().values()
        wrong = net(images.to_float(self.test.x_NCHW)).argmax(1) != self.test.labels_N
        return {"error": wrong.float().mean().item()}


def classifier(size: Literal["tiny", "small"] = "tiny", data: str = "digits8", seed: int = 0) -> Recipe:
    """Shaken pictures told apart by a residual net."""
    widths = {"tiny": (16, 24), "small": (24, 48)}[size]
    train, test = images.load(data, "train"), images.load(data, "test")
    net = Classifier(train.pixels, train.channels, len(train.classes), widths=widths)
    shaken = images.Shaken(train, turn=0.1, stretch=0.05, shear=0.1, move=0.05)
    return Recipe(shaken, Classify(net, len(train.classes)), evaluation=Accuracy(test), batch=16, examples=16_000, seed=seed)


def build(name: str, *, size: str = "tiny", seed: int = 0, data: str = "digits8") -> Recipe:
    """A healthy recipe, built as `gannet train` builds one."""
    with keeping(Ledger()), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "classifier":
            return classifier(size, data, seed)  # type: ignore[arg-type]
        card = recipe.find(name)
        return recipe.build(card, recipe.resolve(card, {"size": size, "seed": seed, "data": data}))
