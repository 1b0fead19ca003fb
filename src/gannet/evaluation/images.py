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

from gannet.data.images import Images, Shaken, grid, straight, to_bytes, to_float
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
FEWEST = 20  # pictures on either side, below which nothing can be said
WATCHED = 77  # seed of the noise behind the watched score: the reported ones have others

#: (n, seed) -> byte pictures (n, C, H, W), and the classes (n,) that were asked for, if any
Draw = Callable[[int, int], tuple[torch.Tensor, torch.Tensor | None]]


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


def no_wishes(what: str, wish: str, full: bool) -> None:
    """One line for `--features` and `--full` where neither means anything; what: how it is judged instead."""
    if wish != "auto" or full:
        raise Wrong(what, got="--full" if full else f"--features {wish}", try_="no such flag", usage=True)


def beside(
    found: Sequence[dict[str, float]], floors: dict[str, float], meanings: dict[str, tuple[str, str]], n: int
) -> dict[str, Score]:
    """Scores of several drawings of n pictures beside their floors."""
    return {
        name: Score(float(np.mean(values)), float(np.std(values, ddof=1)), floor, *meanings[name], n)
        for name, floor in floors.items()
        for values in [[one[name] for one in found]]
    }


class Drawn:
    """What evaluations of generators share: an objective's drawings are what is judged."""

    def classes(self, n: int, seed: int) -> torch.Tensor | None:
        """Which classes to ask for, (n,), or None."""
        return None

    def report(self, draw: Draw, *, wish: str = "auto", full: bool = False, seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
        """Every score of what is drawn."""
        raise NotImplementedError

    def judge(self, objective: Any, **words: Any) -> tuple[dict[str, Any], np.ndarray]:
        """`report` of what an objective draws; its words are those of `report`."""

        def draw(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor | None]:
            y_N = self.classes(n, seed) if objective.classes else None
            return to_bytes(objective.sample(n, seed, y_N)), y_N

        return self.report(draw, **words)


class Pictures(Drawn):
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
        return net, sets.Gaussian.of(net.measure(self.some(COUNT)))

    def some(self, n: int) -> torch.Tensor:
        """n training pictures, always the same ones."""
        return self.train.x_NCHW[Rng(0, 0, "reference").indices(len(self.train), min(n, len(self.train)))]

    def classes(self, n: int, seed: int) -> torch.Tensor | None:
        """n class numbers in the training set's own mix, (n,), each class within one of its share, in random order.

        A model asked for all classes alike would pay for the rarer ones, and one asked by lot for the lot: labels drawn at
        random moved the FID of 10,000 digits from 0.026 to 0.043 (docs/log.md, 2026-11-24). So they are drawn
        systematically, at equal distances from a random beginning.
        """
        if self.train.labels_N is None:
            return None
        ends_K = torch.bincount(self.train.labels_N, minlength=len(self.train.classes)).double().cumsum(0)
        rng = Rng(seed, 0, "classes")
        places_N = (torch.arange(n) + rng.uniform(1).double()) / n * ends_K[-1]
        y_N = torch.searchsorted(ends_K, places_N, right=True).clamp(max=len(ends_K) - 1)
        return y_N[rng.uniform(n).argsort()]

    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training: FID of 2,000 drawn pictures against 10,000 training pictures.

        Higher than the reported one by the bias of a small n, and good for following one run only. Lower is better. And their
        variety, the variance of their features as a share of the training pictures': 1 is as it should be, 0 is one picture.
        """
        net, reference = self._quick
        y_N = self.classes(QUICK, WATCHED) if objective.classes else None
        drawn = sets.Gaussian.of(net.measure(to_bytes(objective.sample(QUICK, WATCHED, y_N))))
        variety = float(np.trace(drawn.covariance_DD) / max(np.trace(reference.covariance_DD), 1e-12))
        return {"fid_2k": sets.frechet(drawn, reference), "variety": variety}

    def report(self, draw: Draw, *, wish: str = "auto", full: bool = False, seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
        """Every score.

        Args:
            draw: the generator
            wish: which features: auto, digits, random, inception or dinov2
            full: also train a classifier on drawn pictures (minutes)
            seed: of the first drawing; the others have the next ones

        Returns:
            JSON values (features, data, n, seeds, scores, counts of classes, which pictures lie closest to training ones),
            and a picture (H, W, C) of those: drawn, the training pictures, the nearest test pictures

        Raises:
            Wrong: for too few pictures, features that cannot be had, and for `full` where nothing knows classes.
        """
        net = features.choose(self.train, wish)
        n = min(COUNT, len(self.test))
        if min(n, len(self.train)) < FEWEST:
            sizes = f"{len(self.train)} training and {len(self.test)} test pictures"
            raise Wrong(f"scores need at least {FEWEST} pictures on either side", got=sizes)
        asked = draw(1, seed)[1] is not None
        known = bool(self.train.classes and self.test.classes and (asked or net.classify))
        if full and not known:
            what = "accuracy on drawn pictures needs classes, and neither the run nor the features know any"
            raise Wrong(what, got=net.name, try_="a run trained with --classes")
        judge = Judge(net, self.train.x_NCHW, self.some(n))
        some = Rng(0, 0, "floor").indices(len(self.test), n)  # all of them, unless there are more than n
        test_ND = net.measure(self.test.x_NCHW[some])
        drawings = [draw(n, seed + i)[0] for i in range(DRAWS)]
        drawn_ND = [net.measure(drawn) for drawn in drawings]
        floors, found = judge.scores(test_ND), [judge.scores(x_ND) for x_ND in drawn_ND]
        scores = beside(found, floors, MEANINGS, n)
        copied, closest = memorised(drawings[0], self.train.x_NCHW, self.test.x_NCHW)
        scores |= copied
        report: dict[str, Any] = {
            "features": net.facts(),
            "reference": {
                "data": f"{self.train.name}/{self.train.split}",
                "items": len(self.train),
                "of": "fid, classes and copies, n of them for the rest",
            },
            "floor": {"data": f"{self.test.name}/{self.test.split}", "items": n},
            "n": n,
            "seeds": list(range(seed, seed + DRAWS)),
            "picture": "The drawn pictures nearest to a training one (top), that one, and the nearest test picture (bottom).",
        }
        if net.classify is not None and judge.mix_K is not None:
            sides = {"drawn": drawn_ND[0], "test": test_ND}
            report["classes"] = {side: class_counts(net.classify(x_ND), judge.mix_K) for side, x_ND in sides.items()}
        if full:
            scores["cas" if asked else "cas_seen"] = self.accuracy_score(draw, net, seed)
        rows = [(drawings[0], "drawn"), (self.train.x_NCHW, "train"), (self.test.x_NCHW, "test")]
        pairs = straight(torch.cat([pictures[[pair[side] for pair in closest]] for pictures, side in rows]))
        report |= {"scores": {name: asdict(score) for name, score in scores.items()}, "closest": closest}
        return report, grid(pairs, columns=len(closest))

    def accuracy_score(self, draw: Draw, net: Features, seed: int, epochs: float = 3) -> Score:
        """CAS: a classifier trained on drawn pictures, tested on real ones (Ravuri and Vinyals 2019, arXiv 1905.10887).

        The floor is the same net trained as long on as many real training pictures. A generator that knows no classes is
        given those that the feature net sees: another score under another name, for that net learnt from real pictures.
        """
        drawn, y_N = draw(len(self.train), seed)
        name = "cas" if y_N is not None else "cas_seen"
        if y_N is None:
            assert net.classify is not None
            y_N = net.classify(net.measure(drawn))
        mine = Images(drawn, y_N, self.test.classes, name="drawn")
        value, floor = (accuracy(classifier(data, seed, epochs), self.test) for data in (mine, self.train))
        return Score(value, None, floor, *MEANINGS[name], len(drawn))


#: name -> (which way is better, what it says)
MEANINGS = {
    "fid": ("lower", "distance between two Gaussians of features"),
    "kid": ("lower", "kernel distance between features, unbiased: may be below 0"),
    "precision": ("higher", "share of drawn pictures that lie among real ones (k = 3)"),
    "recall": ("higher", "share of real pictures that lie among drawn ones (k = 3)"),
    "density": ("higher", "how deep drawn pictures lie among real ones (k = 5)"),
    "coverage": ("higher", "share of real pictures with a drawn one near (k = 5)"),
    "classes_off": ("lower", "share of pictures that would have to change class to give the training set's mix"),
    "nearer_to_training": ("floor", "chance to lie nearer to the training set than a test picture does; copies: 1"),
    "closest_distance": ("floor", "nearest percent's pixel distance to a training picture; copies: 0"),
    "cas": ("higher", "accuracy on real pictures of a classifier trained on drawn ones, classes as asked for"),
    "cas_seen": ("higher", "the same with the classes that the feature net sees in them"),
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
    """Are drawn pictures nearer to the training set than real ones that nobody learnt from? In pixels, where no copy can hide.

    `nearer_to_training`: the chance that a drawn picture lies nearer to its nearest training picture than a test picture
    does to its own (Meehan et al. 2020, arXiv 2004.05675, section 3, the statistic behind C_T). 1 for copies, below a half
    for pictures that are unlike real ones. Its floor asks the same of one half of the test set against the other.
    `closest_distance`: how near the nearest percent come.

    Returns:
        both scores, and the `show` pictures nearest to a training picture: {drawn, train, test: numbers, and distances}
    """
    half = len(test_NCHW) // 2
    drawn, train, test = (to_float(x).flatten(1) / 2 for x in (drawn_NCHW[:half], train_NCHW, test_NCHW))
    order = Rng(0, 0, "memorised").indices(len(test), len(test))  # MNIST's two halves were written by different people
    (near, who), (near_test, _) = sets.nearest(drawn, train), sets.nearest(test[order], train)

    def chance(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(stats.mannwhitneyu(b, a).statistic / (len(a) * len(b)))  # pairs in which a is smaller; a tie counts half

    first = near.argsort()[:show]
    apart, twin = sets.nearest(drawn[first], test)
    closest = [
        {"drawn": int(i), "train": int(who[i]), "distance": float(near[i]), "test": int(j), "test_distance": float(d)}
        for i, j, d in zip(first, twin, apart, strict=True)
    ]
    nearer = chance(near, near_test), chance(near_test[:half], near_test[half:])
    percent = [float(x.quantile(0.01)) for x in (near, near_test)]
    scores = {
        "nearer_to_training": Score(nearer[0], None, nearer[1], *MEANINGS["nearer_to_training"], len(drawn)),
        "closest_distance": Score(percent[0], None, percent[1], *MEANINGS["closest_distance"], len(drawn)),
    }
    return scores, closest


def classifier(
    data: Images, seed: int, epochs: float = 3, *, precision: str = "float32", every: Sequence[loop.Hook] = ()
) -> Classifier:
    """A small classifier trained on shaken pictures for a few passes through the one loop, averaged and in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
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
