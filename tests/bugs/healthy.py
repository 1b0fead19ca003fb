"""Recipes without a fault, on which bugs are planted: two that are shipped, and a classifier."""

from __future__ import annotations

from typing import Any, Literal

import torch

from gannet import recipe
from gannet.data import Ledger, images, keeping
from gannet.nets.images import Classifier
from gannet.objectives import gan
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


def exact(made: Recipe) -> None:
    """R1 and R2 by double backward."""
    made.objective.penalty = "exact"


def wasserstein(made: Recipe) -> None:
    """WGAN-GP: losses about 0 and below."""
    made.objective.contest, made.objective.penalty, made.objective.gamma = gan.wasserstein, "lipschitz", 10.0


def hinge(made: Recipe) -> None:
    """A generator's loss that begins at 0."""
    made.objective.contest = gan.hinge


def least_squares(made: Recipe) -> None:
    """A contest of somebody's own (Mao et al. 2017, arXiv 1611.04076)."""
    made.objective.contest = gan.Contest(
        critic=lambda real, fake: (real - 1).square() + fake.square(),
        generator=lambda real, fake: (fake - 1).square(),
        expect={"critic": 1.0, "generator": 1.0},
    )


CONTESTS = {change.__name__: change for change in (exact, wasserstein, hinge, least_squares)}

PATHS = ("policy", "gumbel", "cot")
METHODS = ("pqn",)


def build(name: str, *, size: str = "tiny", seed: int = 0, data: str = "digits8", **flags: object) -> Recipe:
    """A healthy recipe, built as `gannet train` builds one."""
    with keeping(Ledger()), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "classifier":
            return classifier(size, data, seed)  # type: ignore[arg-type]
        card = recipe.find("digits" if name in CONTESTS else "write" if name in PATHS else "play" if name in METHODS else name)
        if card.name == "digits":  # bugs are planted on the plainer net
            flags = {"classes": False, **flags}
        if name in PATHS:
            flags = {"gan": name, **flags}
        if card.name == "detect":  # small ones too: what the larger size learns by heart is no matter of its pictures' size
            flags = {"pixels": 48, **flags}
        if name in METHODS:
            flags = {"method": name, **flags}
        data = {"write": "sums", "play": "CartPole-v1"}.get(card.name, data) if data == "digits8" else data
        made = recipe.build(card, recipe.resolve(card, {"size": size, "seed": seed, "data": data, **flags}))
        if name in CONTESTS:
            CONTESTS[name](made)
        return made
