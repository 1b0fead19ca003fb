"""What drawn pictures are worth: scores that each stand beside the floor that real pictures get.

The reference is the training set, which is what a generator is to learn; the floor is what the test set, real pictures
that no generator saw, scores in the same place. Shapes: N pictures, C channels, H = W pixels, D features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from gannet.data.images import Images, Shaken, to_bytes, to_float
from gannet.errors import Wrong
from gannet.evaluation import features, sets
from gannet.evaluation.features import Features
from gannet.nets.images import Classifier
from gannet.objectives.classify import Classify
from gannet.recipe import cosine
from gannet.rng import Rng
from gannet.training import loop
from gannet.training.engine import Engine

COUNT = 10_000  # pictures behind a score, fixed: FID falls with n (Chong and Forsyth 2019, arXiv 1911.07023)
QUICK = 2_000  # behind the score that is watched while training
DRAWS = 3  # times that many are drawn, for the spread

Draw = Callable[[int, int], tuple[torch.Tensor, torch.Tensor | None]]  # (n, seed) -> bytes (n, C, H, W), classes (n,) if any


@dataclass(frozen=True)
class Score:
    """One number and what gives it meaning.

    Attributes:
        value, spread: mean and standard deviation over the drawings (None where it was measured once)
        floor: what real test pictures get in its place, the same number of them
        better: "lower", "higher", or "floor" where only nearness to the floor counts
        meaning: one line for a reader
        n: pictures in each drawing
    """

    value: float
    spread: float | None
    floor: float
    better: str
    meaning: str
    n: int


class Pictures:
    """The evaluation of everything that draws: what a recipe hands over beside its data.

    Args:
        train: the pictures that are learnt from: the reference
        test: pictures of the same kind that are not learnt from: the floor
    """

    def __init__(self, train: Images, test: Images):
        self.train, self.test = train, test

    @functools.cached_property
    def _quick(self) -> tuple[Features, sets.Gaussian]:
        net = features.choose(self.train)
        return net, sets.Gaussian.of(net.measure(self._some(COUNT)))

    def _some(self, n: int) -> torch.Tensor:
        """n training pictures, always the same ones."""
        return self.train.x_NCHW[Rng(0, 0, "reference").indices(len(self.train), min(n, len(self.train)))]

    def quick(self, objective: Any, seed: int = 0) -> dict[str, float]:
        """The score to watch while training: FID of 2,000 drawn pictures against 10,000 training pictures.

        Higher than the reported one by the bias of a small n, and good for following one run only. Lower is better.
        """
        net, reference = self._quick
        drawn = net.measure(to_bytes(objective.sample(QUICK, seed)))
        return {"fid_2k": sets.frechet(sets.Gaussian.of(drawn), reference)}

    def report(self, draw: Draw, *, wish: str = "auto", full: bool = False, seed: int = 0) -> dict[str, Any]:
        """Every score.

        Args:
            draw: the generator
            wish: which features: auto, digits, random or inception
            full: also train a classifier on drawn pictures (minutes)
            seed: of the first drawing; the others have the next ones

        Returns:
            JSON values: features, data, n, seeds, scores, counts of classes, and which pictures lie closest to training ones

        Raises:
            Wrong: for features that cannot be had, and for `full` where nothing knows classes.
        """
        net = features.choose(self.train, wish)
        named = net.classify is not None or draw(1, seed)[1] is not None
        if full and not (named and self.train.labels_N is not None):
            needs = "a run trained with --classes"
            raise Wrong(
                "accuracy on drawn pictures needs classes; the run and the features know none", got=net.name, try_=needs
            )
        n = min(COUNT, len(self.test))
        judge = Judge(net, self.train.x_NCHW, self._some(n))
        test_ND = net.measure(self.test.x_NCHW[:n])
        drawings = [draw(n, seed + i)[0] for i in range(DRAWS)]
        drawn_ND = [net.measure(drawn) for drawn in drawings]
        floors, found = judge.scores(test_ND), [judge.scores(x_ND) for x_ND in drawn_ND]
        scores = {
            name: Score(float(np.mean(values)), float(np.std(values, ddof=1)), floor, *MEANINGS[name], n)
            for name, floor in floors.items()
            for values in [[one[name] for one in found]]
        }
        copied, closest = memorised(drawings[0], self.train.x_NCHW, self.test.x_NCHW)
        scores |= copied
        report: dict[str, Any] = {
            "features": net.facts(),
            "reference": {"data": f"{self.train.name}/{self.train.split}", "items": len(self.train)},
            "floor": {"data": f"{self.test.name}/{self.test.split}", "items": n},
            "n": n,
            "seeds": list(range(seed, seed + DRAWS)),
        }
        if net.classify is not None and judge.mix_K is not None:
            sides = {"drawn": drawn_ND[0], "test": test_ND}
            report["classes"] = {side: class_counts(net.classify(x_ND), judge.mix_K) for side, x_ND in sides.items()}
        if full:
            scores["cas"] = self.accuracy_score(draw, net, seed)
        return report | {"scores": {name: asdict(score) for name, score in scores.items()}, "closest": closest}

    def accuracy_score(self, draw: Draw, net: Features, seed: int, epochs: float = 3) -> Score:
        """CAS: a classifier trained on drawn pictures, tested on real ones (Ravuri and Vinyals 2019, arXiv 1905.10887).

        The floor is the same net trained as long on as many real training pictures. Pictures of a generator that knows no
        classes get those that the feature net sees in them.
        """
        drawn, y_N = draw(len(self.train), seed)
        y_N = net.classify(net.measure(drawn)) if y_N is None and net.classify is not None else y_N
        mine = Images(drawn, y_N, self.test.classes, name="drawn")
        value, floor = (accuracy(classifier(data, seed, epochs), self.test) for data in (mine, self.train))
        return Score(value, None, floor, *MEANINGS["cas"], len(drawn))


#: name -> (which way is better, what it says)
MEANINGS = {
    "fid": ("lower", "distance between two Gaussians of features"),
    "kid": ("lower", "kernel distance between features, unbiased: may be below 0"),
    "precision": ("higher", "share of drawn pictures that lie among real ones (k = 3)"),
    "recall": ("higher", "share of real pictures that lie among drawn ones (k = 3)"),
    "density": ("higher", "how deep drawn pictures lie among real ones (k = 5)"),
    "coverage": ("higher", "share of real pictures with a drawn one near (k = 5)"),
    "classes_off": ("lower", "share of pictures in the wrong class, for the training set's mix"),
    "nearer_to_training": ("floor", "share nearer to a training picture than to a test picture; copies: 1"),
    "closest_distance": ("floor", "nearest percent's pixel distance to a training picture; copies: 0"),
    "cas": ("higher", "accuracy on real pictures of a classifier trained on drawn ones"),
}


class Judge:
    """Real pictures measured once, against which any number of sets are scored.

    Args:
        net: features
        train_NCHW: all training pictures, bytes: for FID and the mix of classes
        some_NCHW: as many of them as will be judged: for what looks at neighbours
    """

    def __init__(self, net: Features, train_NCHW: torch.Tensor, some_NCHW: torch.Tensor):
        self.net = net
        train_ND = net.measure(train_NCHW)
        self.gaussian = sets.Gaussian.of(train_ND)
        self.some_ND = net.measure(some_NCHW)
        self.neighbours = sets.Neighbours(self.some_ND)
        self.mix_K = None if net.classify is None else shares(net.classify(train_ND))

    def scores(self, x_ND: torch.Tensor) -> dict[str, float]:
        """All scores of a set of pictures' features."""
        found = {
            "fid": sets.frechet(sets.Gaussian.of(x_ND), self.gaussian),
            "kid": float(sets.kernel_distances(self.some_ND, x_ND).mean()),
            **self.neighbours.scores(x_ND),
        }
        if self.net.classify is not None and self.mix_K is not None:
            found["classes_off"] = float((shares(self.net.classify(x_ND)) - self.mix_K).abs().sum() / 2)
        return found


def shares(y_N: torch.Tensor, classes: int = 10) -> torch.Tensor:
    """How often each class occurs, (classes,), adding up to 1."""
    return torch.bincount(y_N, minlength=classes).double() / len(y_N)


def memorised(
    drawn_NCHW: torch.Tensor, train_NCHW: torch.Tensor, test_NCHW: torch.Tensor, show: int = 20
) -> tuple[dict[str, Score], list[dict[str, Any]]]:
    """Are drawn pictures nearer to training pictures than to held-out ones? In pixels, where a copy has nowhere to hide.

    `nearer_to_training` (after Meehan et al. 2020, arXiv 2004.05675): the share of pictures whose nearest neighbour among
    m training pictures is nearer than the one among m test pictures; its floor asks the same of the other half of the
    test set. `closest_distance`: how near the nearest percent come to any training picture at all.

    Returns:
        both scores, and the `show` pictures nearest to a training picture: {drawn, train, test: numbers, and distances}
    """
    half = len(test_NCHW) // 2
    drawn, train, test = (to_float(x).flatten(1) / 2 for x in (drawn_NCHW[:half], train_NCHW, test_NCHW))
    rng = Rng(0, 0, "memorised")
    train_some = train[rng.indices(len(train), min(half, len(train)))]
    order = rng.indices(len(test), len(test))  # its halves are not alike as they come: MNIST's were written by different people
    held, other = test[order[:half]], test[order[half:]]

    def nearer(x: torch.Tensor) -> float:
        to_train, to_test = sets.nearest(x, train_some)[0], sets.nearest(x, held)[0]
        return float((to_train < to_test).double().mean() + (to_train == to_test).double().mean() / 2)

    (near, who), (near_other, _) = sets.nearest(drawn, train), sets.nearest(other, train)
    first = near.argsort()[:show]
    apart, twin = sets.nearest(drawn[first], test)
    closest = [
        {"drawn": int(i), "train": int(who[i]), "distance": float(near[i]), "test": int(j), "test_distance": float(d)}
        for i, j, d in zip(first, twin, apart, strict=True)
    ]
    percent = [float(x.quantile(0.01)) for x in (near, near_other)]
    n = len(drawn)
    scores = {
        "nearer_to_training": Score(nearer(drawn), 0.5 / n**0.5, nearer(other), *MEANINGS["nearer_to_training"], n),
        "closest_distance": Score(percent[0], None, percent[1], *MEANINGS["closest_distance"], n),
    }
    return scores, closest


def classifier(
    data: Images, seed: int, epochs: float = 3, *, precision: str = "float32", every: Sequence[loop.Hook] = ()
) -> Classifier:
    """A small classifier trained on shaken pictures for a few passes through the one loop, averaged and in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(data.pixels, data.channels, len(data.classes))
    objective = Classify(net, len(data.classes))
    engine = Engine(precision)
    engine.prepare(objective)
    batch = min(128, len(data))
    steps = max(1, round(epochs * len(data) / batch))
    loop.fit(objective, Shaken(data), engine, batch=batch, steps=steps, schedule=cosine, seed=seed, every=every)
    net.load_state_dict(objective.average.state_dict())
    return net.eval()


def accuracy(net: Classifier, data: Images) -> float:
    """Share of pictures told right."""
    assert data.labels_N is not None
    device = next(net.parameters()).device
    logits_NK = features.in_parts(lambda x: net(x.to(device)).cpu(), data.x_NCHW)
    return float((logits_NK.argmax(1) == data.labels_N).double().mean())


def class_counts(y_N: torch.Tensor, mix_K: torch.Tensor) -> dict[str, Any]:
    """Counts of each class, and the probability that the mix `mix_K` gives counts as uneven as these (Pearson's test)."""
    counts = torch.bincount(y_N, minlength=len(mix_K))
    return {"counts": counts.tolist(), "p": float(stats.chisquare(counts.numpy(), mix_K.numpy() * len(y_N)).pvalue)}
