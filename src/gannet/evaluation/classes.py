"""What a classifier is worth: right or wrong, how sure, and on which classes, each beside a dumb baseline.

The test set is only ever reported on. What is watched while training, and what the temperature is fitted to, are pictures
kept from the training set. Shapes: N pictures, K classes.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import optimize, stats

from gannet.data.images import Images, grid, straight, to_float
from gannet.errors import Wrong
from gannet.evaluation.images import Score, no_wishes
from gannet.rng import Rng
from gannet.training.guard import WORSE

BINS = 15  # of confidence, for the calibration error
SHOWN = 40


class Classes:
    """The evaluation of classifiers.

    Args:
        train: what is learnt from: for the baselines
        watched: kept from training, of the same kind: for the score while training, and for the temperature
        test: held out, looked at by `gannet evaluate` alone

    Raises:
        Wrong: where its classes are others.
    """

    def __init__(self, train: Images, watched: Images, test: Images):
        if test.classes != train.classes:
            got = f"{train.name}: {len(train.classes):,} classes learnt, {len(test.classes):,} others in the test set"
            raise Wrong("what is tested is not of the classes that are learnt", got=got, try_="gannet train faces, for people")
        self.train, self.watched, self.test = train, watched, test
        #: A loss near 0 may jump by tens and mean nothing: only what is worse than knowing nothing, ln K, is a collapse.
        self.level = math.log(len(train.classes)) / WORSE

    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training, on pictures kept from it: cross-entropy in nats, and the share of mistakes."""
        logits_NK, y_N = self._told(objective, self.watched)
        wrong = (logits_NK.argmax(1) != y_N).float().mean()
        return {"loss_watched": float(F.cross_entropy(logits_NK, y_N)), "error_watched": float(wrong)}

    def finish(self, objective: Any) -> dict[str, Any]:
        """What the finished run should remember: its temperature."""
        return {"temperature": temperature(*self._told(objective, self.watched))}

    def sheet(self, objective: Any) -> np.ndarray:
        """The watched pictures (H, W, C) that it gives the least chance to be what they are, worst first."""
        logits_NK, y_N = self._told(objective, self.watched)
        worst = F.cross_entropy(logits_NK, y_N, reduction="none").argsort(descending=True)[:SHOWN]
        return grid(straight(self.watched.x_NCHW[worst]), columns=10)

    def judge(
        self, objective: Any, *, wish: str = "auto", full: bool = False, seed: int = 0
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Every score on the test set, and the confusion matrix as a picture.

        Args:
            objective: whose net is judged
            wish: auto; no feature net is asked
            full: nothing more can be measured here
            seed: of the calibration error's floor

        Raises:
            Wrong: for other features and for `full`.
        """
        no_wishes("a classifier is judged by the test set alone", wish, full)
        logits_NK, y_N = self._told(objective, self.test)
        warm = temperature(*self._told(objective, self.watched))
        right_N = logits_NK.argmax(1) == y_N
        low, high = wilson(int(right_N.sum()), len(y_N))
        assert self.train.labels_N is not None
        mix_K = (torch.bincount(self.train.labels_N, minlength=len(self.train.classes)) + 0.5).double()
        prior = -(mix_K / mix_K.sum()).log()[y_N].mean()
        sure = [(logits_NK / t).softmax(1).amax(1) for t in (1.0, warm)]
        lot = Rng(seed, 0, "calibration").uniform(len(y_N))
        off = [calibration_error(p_N, right_N) for p_N in sure]
        chance = [calibration_error(p_N, lot < p_N) for p_N in sure]  # of a net that is exactly as sure as it is right
        found = {
            "accuracy": (float(right_N.double().mean()), nearest_mean(self.train, self.test)),
            "loss": (float(F.cross_entropy(logits_NK / warm, y_N)), float(prior)),
            "calibration_error": (off[0], chance[0]),
            "calibration_fitted": (off[-1], chance[-1]),
        }
        scores = {name: Score(value, None, other, *MEANINGS[name], len(y_N)) for name, (value, other) in found.items()}
        counts_KK = confusion(y_N, logits_NK.argmax(1), len(self.test.classes))
        common = float((y_N == mix_K.argmax()).double().mean())
        report: dict[str, Any] = {
            "scores": {name: asdict(score) for name, score in scores.items()},
            "columns": ["net", "baseline"],
            "temperature": warm,
            "classes": table(counts_KK, self.test.classes),
            "confusion": counts_KK.tolist(),
            "interval": [low, high],
            "about": f"{self.test.name}/{self.test.split}, {len(self.test):,} pictures, by which nothing was chosen. "
            f"Accuracy's 95% interval (Wilson): {low:.2%} to {high:.2%}. Temperature, fitted on what was watched: {warm:.3f}. "
            f"Always {self.train.classes[int(mix_K.argmax())]}, the commonest, would be right {common:.2%} of the time. "
            f"Watched: {len(self.watched):,} pictures kept from training.",
            "picture": "Rows: what they are; columns: what they were taken for; shares of each row.",
        }
        return report, drawn(counts_KK, self.test.classes)

    def _told(self, objective: Any, data: Images) -> tuple[torch.Tensor, torch.Tensor]:
        """The net's logits (N, K) of a set, and the truth (N,)."""
        assert data.labels_N is not None
        return objective.logits(data.x_NCHW), data.labels_N


#: name -> (which way is better, what it says)
MEANINGS = {
    "accuracy": ("higher", "share that is called what it is; baseline: by the nearest class's mean picture"),
    "loss": ("lower", "cross-entropy in nats at the fitted temperature; baseline: each class's share in training"),
    "calibration_error": ("lower", f"confidence against accuracy in {BINS} bins; baseline: what chance alone makes of it"),
    "calibration_fitted": ("lower", "the same at the fitted temperature"),
}


def wilson(right: int, n: int, sure: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share: it stays within 0 and 1, and is right for shares near them (Wilson 1927)."""
    found = stats.binomtest(right, n).proportion_ci(sure, method="wilson")
    return float(found.low), float(found.high)


def calibration_error(sure_N: torch.Tensor, right_N: torch.Tensor) -> float:
    """Mean distance of confidence and accuracy in bins of equal width, by the pictures in each (Guo et al. 2017,
    arXiv 1706.04599, equation 3)."""
    bin_N = (sure_N * BINS).ceil().long().clamp(1, BINS) - 1
    off_B = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bin_N, sure_N.double() - right_N.double())
    return float(off_B.abs().sum() / max(len(sure_N), 1))


def temperature(logits_NK: torch.Tensor, y_N: torch.Tensor) -> float:
    """The number by which logits are divided that makes the truth likeliest (Guo et al. 2017, section 4.2), 0.05 to 20.

    Beforehand its logarithm is held to be normal with deviation 1/2: a handful of pictures, all right or all wrong, would
    otherwise make a net endlessly sure or unsure; hundreds outweigh that.
    """

    def loss(log_t: float) -> float:
        return float(F.cross_entropy(logits_NK.double() / math.exp(log_t), y_N, reduction="sum")) + 2 * log_t**2

    found: Any = optimize.minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(float(found.x))


def nearest_mean(train: Images, test: Images, part: int = 5_000) -> float:
    """Accuracy of calling each test picture what the nearest class's mean picture is: the dumbest thing that looks."""
    assert train.labels_N is not None
    assert test.labels_N is not None
    mean_KD = class_means(train.x_NCHW, train.labels_N, len(train.classes), part)
    told_N = torch.cat([torch.cdist(to_float(x).flatten(1), mean_KD).argmin(1) for x in test.x_NCHW.split(part)])
    return float((told_N == test.labels_N).double().mean())


def class_means(x_NCHW: torch.Tensor, y_N: torch.Tensor, k: int, part: int = 5_000) -> torch.Tensor:
    """The mean picture of each class, (K, D), of byte pictures; 0 where there is none."""
    sum_KD, n_K = torch.zeros(k, x_NCHW[0].numel()), torch.bincount(y_N, minlength=k).clamp(min=1)
    for x, y in zip(x_NCHW.split(part), y_N.split(part), strict=True):
        sum_KD.index_add_(0, y, to_float(x).flatten(1))
    return sum_KD / n_K[:, None]


def confusion(y_N: torch.Tensor, told_N: torch.Tensor, k: int) -> torch.Tensor:
    """How many of each class (rows) were taken for each (columns), (K, K)."""
    return torch.bincount(y_N * k + told_N, minlength=k * k).view(k, k)


def table(counts_KK: torch.Tensor, names: list[str]) -> dict[str, dict[str, float]]:
    """For each class its pictures, precision, recall and F1 (0 where nothing was taken for it)."""
    right_K, are_K, told_K = counts_KK.diagonal().double(), counts_KK.sum(1).double(), counts_KK.sum(0).double()
    columns = {
        "n": are_K,
        "precision": right_K / told_K.clamp(min=1),
        "recall": right_K / are_K.clamp(min=1),
        "f1": 2 * right_K / (are_K + told_K).clamp(min=1),
    }
    return {name: {key: round(float(column[i]), 4) for key, column in columns.items()} for i, name in enumerate(names)}


def drawn(counts_KK: torch.Tensor, names: list[str]) -> np.ndarray:
    """A confusion matrix as a picture (H, W, 3), bytes; with few classes the shares stand in it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    k = len(names)
    share_KK = (counts_KK.double() / counts_KK.sum(1, keepdim=True).clamp(min=1)).numpy()
    side = max(4.0, min(0.5 * k, 16.0))
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(share_KK, vmin=0, vmax=1, cmap="Blues")
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    if k <= 40:
        axes.set_xticks(range(k), names, rotation=90)
        axes.set_yticks(range(k), names)
    for i, j in np.argwhere(share_KK > 0) if k <= 12 else ():
        ink = "white" if share_KK[i, j] > 0.5 else "black"
        axes.text(j, i, f"{share_KK[i, j]:.3f}".lstrip("0"), ha="center", va="center", fontsize=8, color=ink)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
