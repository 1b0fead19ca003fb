"""How many of 1,000 modes a generator of stacked digits reaches, and how evenly: StackedMNIST's scores beside their floors.

Each channel of a picture is a digit, which a classifier names: 1,000 triples. Reported since Metz et al. 2017 (arXiv
1611.02163, section 3.3) are the triples that occur among n pictures and the Kullback-Leibler divergence of their histogram
from the even one. Both depend on n: with 26,000, as in PacGAN (Lin et al. 2018, arXiv 1712.04086), an exactly even sampler
gets 0.0196 and real stacked test digits about 0.024, for no finite histogram is even and MNIST's digits are not equally many.

Any grey set with K classes can be stacked: M = K³ modes. Shapes: N pictures, D features.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from gannet.data.images import Images, grid, to_bytes, to_float
from gannet.errors import Wrong
from gannet.evaluation import features
from gannet.evaluation.features import Features
from gannet.evaluation.images import DRAWS, WATCHED, Draw, Drawn, beside

COUNT = 26_000  # pictures behind a score, as in the papers: KL falls with n
QUICK = 10_000  # behind the score that is watched while training
SURE = 0.7  # a digit that the classifier gives less is undecided
SHOWN = 20


class Modes(Drawn):
    """The evaluation of generators of stacked digits.

    Args:
        train: stacked digits with their 1,000 classes: the reference
        test: the same of held-out digits: the floor
    """

    def __init__(self, train: Images, test: Images):
        self.train, self.test = train, test
        self.modes = len(train.classes)
        self.kinds = round(self.modes ** (1 / 3))

    @functools.cached_property
    def net(self) -> Features:
        """What names the digit in a channel: the shipped classifier for MNIST, the nearest real picture for others."""
        return features.digits() if self.train.name == "stacked-mnist" else nearest(self.train, self.kinds)

    def named(self, x_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Byte pictures (N, 3, H, W) -> triples 0 to M - 1 (N,), and how sure the least sure of their digits is (N,)."""
        assert self.net.logits is not None
        logits_N3K = self.net.logits(self.net.measure(x_NCHW.flatten(0, 1)[:, None])).unflatten(0, (-1, 3))
        sure_N3, digit_N3 = logits_N3K.softmax(2).max(2)
        return (digit_N3 * torch.tensor([self.kinds**2, self.kinds, 1])).sum(1), sure_N3.amin(1)

    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training: KL of 10,000 drawn pictures from even (an even sampler gets about 0.05)."""
        y_N, _ = self.named(to_bytes(objective.sample(QUICK, WATCHED)))
        return {"kl_10k": self.from_even(y_N), "modes_10k": float(len(y_N.unique()))}

    def report(self, draw: Draw, *, wish: str = "auto", full: bool = False, seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
        """Every score, and a picture of the drawn ones whose digits are the least decided.

        Args:
            draw: the generator
            wish: auto; there is no other way to name a digit
            full: nothing more can be measured here
            seed: of the first drawing; the others have the next ones

        Raises:
            Wrong: for other features and for `full`.
        """
        if wish not in ("auto", "digits"):
            raise Wrong("modes are counted by a digit classifier", got=f"--features {wish}", try_="auto", usage=True)
        if full:
            raise Wrong("accuracy on drawn pictures needs classes, and a run on stacked digits has none", try_="without --full")
        drawings = [draw(COUNT, seed + i)[0] for i in range(DRAWS)]
        named = [self.named(x) for x in drawings]
        found = [self.scores(*one) for one in named]
        scores = beside(found, self.scores(*self.named(self.test.x_NCHW)), MEANINGS, COUNT)
        least = named[0][1].argsort()[:SHOWN]
        report = {
            "features": self.net.facts(),
            "reference": {"data": f"{self.train.name}/{self.train.split}", "items": len(self.train), "of": "kl_to_data"},
            "floor": {"data": f"{self.test.name}/{self.test.split}", "items": len(self.test)},
            "n": COUNT,
            "seeds": list(range(seed, seed + DRAWS)),
            "scores": {name: asdict(score) for name, score in scores.items()},
            "picture": f"The {SHOWN} drawn pictures, of {COUNT:,}, whose digits the classifier is the least sure of.",
        }
        return report, grid(drawings[0][least], columns=SHOWN // 2)

    def scores(self, y_N: torch.Tensor, sure_N: torch.Tensor) -> dict[str, float]:
        """All scores of pictures' triples (N,) and of how sure they are (N,)."""
        assert self.train.labels_N is not None
        decided_N, kl = y_N[sure_N >= SURE], self.from_even(y_N)
        return {
            "modes": float(len(y_N.unique())),
            "kl": kl,
            "kl_debiased": kl - (self.modes - 1) / (2 * len(y_N)),
            "kl_to_data": divergence(y_N, torch.bincount(self.train.labels_N, minlength=self.modes) + 0.5),
            "undecided": 1 - len(decided_N) / len(y_N),
            "modes_decided": float(len(decided_N.unique())),
            "kl_decided": self.from_even(decided_N),
        }

    def from_even(self, y_N: torch.Tensor) -> float:
        """KL in nats of the triples' histogram from the even one: log M where all are alike."""
        return divergence(y_N, torch.ones(self.modes))


#: name -> (which way is better, what it says)
MEANINGS = {
    "modes": ("higher", "triples of classes that occur; of digits there are 1,000"),
    "kl": ("lower", "divergence of their histogram from the even one; 0.0196 for an exactly even sampler of 1,000 modes"),
    "kl_debiased": ("lower", "the same less (modes - 1) / 2n, about what a finite number of pictures adds"),
    "kl_to_data": ("lower", "divergence from the training set's own histogram"),
    "undecided": ("floor", f"share of pictures with a digit that the classifier gives less than {SURE}"),
    "modes_decided": ("higher", "triples among the pictures that are decided"),
    "kl_decided": ("lower", "divergence from even of those that are decided"),
}


def divergence(y_N: torch.Tensor, weights_M: torch.Tensor) -> float:
    """KL(q ‖ p) in nats of a histogram q of modes from p, which is as the weights; infinite where p has a hole and q none."""
    counts_M, p_M = torch.bincount(y_N, minlength=len(weights_M)).double(), weights_M.double() / weights_M.sum()
    q_M, seen = counts_M / max(len(y_N), 1), counts_M > 0
    return float((q_M[seen] * (q_M[seen] / p_M[seen]).log()).sum())


def nearest(train: Images, kinds: int, most: int = 3_000) -> Features:
    """Names a channel's picture after the nearest of a few thousand real ones: what the shipped classifier does not know.

    A class's logit is minus the squared distance to its nearest picture, in units of a tenth of what that is within a class.
    """
    assert train.labels_N is not None
    y_R = torch.stack([train.labels_N // kinds**2, train.labels_N // kinds % kinds, train.labels_N % kinds], 1).flatten()[:most]
    x_RD = to_float(train.x_NCHW.flatten(0, 1)[:most]).flatten(1)
    known = [x_RD[y_R == kind].unique(dim=0) for kind in range(kinds)]

    def apart(x_ND: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
        return torch.cdist(x_ND, one).amin(1).square()

    unit = float(torch.cat([apart(one[1::2], one[::2]) for one in known]).mean()) / 10

    def logits(x_ND: torch.Tensor) -> torch.Tensor:
        return -torch.stack([apart(x_ND, one) for one in known], 1) / unit

    digest = hashlib.sha256(x_RD.numpy().tobytes()).hexdigest()
    note = "a channel is called what the nearest real picture is"
    return Features(f"{train.name}, nearest pictures", "pixels", digest, lambda x: to_float(x).flatten(1), logits, note)
