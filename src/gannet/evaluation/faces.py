"""What a net that tells people apart is worth, on people it has never seen, beside what needs no net at all.

Two pictures are said to be of one person where their vectors' cosine is above a threshold. The test people are only ever
reported on: what is watched while training, and what the run's threshold is fitted to, are other people, kept from training.
Shapes: N pictures, D numbers of a vector of length 1, K people, P pairs, S same pairs, O pairs of others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from gannet.data.images import Images, grid, straight, to_float
from gannet.evaluation.images import Score, no_wishes
from gannet.rng import permutation
from gannet.training.guard import WORSE

FOLDS, PAIRS = 10, 300  # LFW's: ten folds of 300 pairs of each kind
RATES = (0.01, 0.001)  # false accepts that are allowed
MOST = 4_000  # pictures, all of whose pairs are compared
ENROLLED = 3  # pictures by which a person is known, or half of them where there are fewer than six
PART = 1_000  # pictures that are numbers at once
SHOWN = 10  # hardest pairs of either kind

Embed = Callable[[torch.Tensor], torch.Tensor]  # byte pictures (N, C, H, W) -> vectors of length 1 (N, D)


class Verification:
    """The evaluation of nets that tell people apart.

    Args:
        watched: people kept from training: for the score while training, and for the threshold
        unseen: other people, looked at by `gannet evaluate` alone
    """

    def __init__(self, watched: Images, unseen: Images):
        self.watched, self.unseen = watched, unseen
        #: An error near 0 may jump by tens and mean nothing: only what is worse than chance is a collapse.
        self.level = 0.5 / WORSE

    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training, on people kept from it: equal error rate, and what FAR 1 % misses."""
        same_S, other_O = scores_of(objective.embed(self.watched.x_NCHW), labels(self.watched))
        return {"eer_watched": equal_error(same_S, other_O), "missed_watched": 1 - accepted(same_S, other_O, RATES[0])[0]}

    def finish(self, objective: Any) -> dict[str, Any]:
        """What the finished run should remember: the threshold that takes one pair in a hundred of different people, of those
        watched, for one person; its error rates there; how many people and pairs, same and other, these are of; and under
        "gallery" the same of a picture beside somebody who is known by several."""
        e_ND, y_N = objective.embed(self.watched.x_NCHW), labels(self.watched)
        found = fitted(*scores_of(e_ND, y_N))
        return {**found, "watched_people": len(self.watched.classes), "gallery": fitted(*against_people(e_ND, y_N))}

    def sheet(self, objective: Any) -> np.ndarray:
        """Watched pairs (H, W, C), side by side: two rows of one person's that look least alike, two of different people
        that look most alike; of each person once."""
        e_ND, y_N = objective.embed(self.watched.x_NCHW), labels(self.watched)
        pairs = [*hardest(e_ND, y_N, same=True)[:SHOWN], *hardest(e_ND, y_N, same=False)[:SHOWN]]
        return grid(straight(self.watched.x_NCHW[torch.tensor(pairs).flatten()]), columns=min(SHOWN, len(pairs)))

    def judge(
        self, objective: Any, *, wish: str = "auto", full: bool = False, seed: int = 0
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Every score on the unseen people, and the trade between false accepts and true ones as a picture.

        Args:
            objective: whose vectors are judged
            wish: auto; no feature net is asked
            full: nothing more can be measured here
            seed: of the pairs of LFW's protocol

        Raises:
            Wrong: for other features and for `full`.
        """
        no_wishes("who is who is judged by the test people alone", wish, full)
        ways: dict[str, Embed] = {"net": objective.embed, "pixels": pixels, "colours": colours}
        found, spreads, curves, counts, thresholds = {}, {}, {}, {}, {}
        for name, embed in ways.items():
            e_ND, y_N = embed(self.unseen.x_NCHW), labels(self.unseen)
            same_S, other_O = scores_of(e_ND, y_N)
            thresholds[name] = threshold_at(scores_of(embed(self.watched.x_NCHW), labels(self.watched))[1], RATES[0])
            folds, n_folds = lfw(e_ND, y_N, seed)
            hit, n_hit = first_rank(e_ND, y_N)
            told, n_told = open_set(e_ND, y_N, RATES[0])
            wrongly, missed = errors(same_S, other_O, thresholds[name])
            found[name] = {
                "accuracy": float(np.mean(folds)),
                "tar_far_1": accepted(same_S, other_O, RATES[0])[0],
                "tar_far_01": accepted(same_S, other_O, RATES[1])[0],
                "eer": equal_error(same_S, other_O),
                "rank_1": hit,
                "dir_fpir_1": told,
                "false_accept": wrongly,
                "false_reject": missed,
            }
            spreads[name] = float(np.std(folds, ddof=1)) if len(folds) > 1 else None
            curves[name] = curve(same_S, other_O)
            counts = dict.fromkeys(("tar_far_1", "tar_far_01", "false_reject"), len(same_S))
            counts |= {"eer": len(same_S) + len(other_O), "false_accept": len(other_O)}
            counts |= {"accuracy": n_folds, "rank_1": n_hit, "dir_fpir_1": n_told}
        scores = {}
        for key, (better, meaning) in MEANINGS.items():
            best = (max if better == "higher" else min)(found[other][key] for other in ("pixels", "colours"))
            spread = spreads["net"] if key == "accuracy" else None
            scores[key] = asdict(Score(found["net"][key], spread, best, better, meaning, counts[key]))
        report: dict[str, Any] = {
            "scores": scores,
            "columns": ["net", "baseline"],
            "ways": found,
            "threshold": thresholds["net"],
            "about": f"{self.unseen.name}/{self.unseen.split}: {len(self.unseen):,} pictures of {len(self.unseen.classes):,} "
            f"people, none of whom was learnt from, by whom nothing was chosen. Baseline: the better of raw pixels (TAR at FAR "
            f"1 %: {found['pixels']['tar_far_1']:.3f}) and colours' histogram ({found['colours']['tar_far_1']:.3f}), judged in "
            f"the same way. Accuracy: mean ± standard deviation over folds. Threshold fitted on {len(self.watched.classes):,} "
            f"other people kept from training.",
            "picture": "True accepts over false accepts, on people never seen: the net, raw pixels, colours' histogram.",
        }
        return report, drawn(curves)


#: name -> (which way is better, what it says)
MEANINGS = {
    "accuracy": ("higher", "share of LFW's pairs called right, half of them same; threshold from the other folds' people"),
    "tar_far_1": ("higher", "share of same pairs accepted where 1 % of pairs of others are"),
    "tar_far_01": ("higher", "the same where 0.1 % are"),
    "eer": ("lower", "error where as many of either kind are wrong; chance: 0.5"),
    "rank_1": ("higher", f"share of pictures whose nearest person, known by {ENROLLED} pictures, is right"),
    "dir_fpir_1": ("higher", "the same with half of the people strangers, 1 % of whose pictures are called somebody"),
    "false_accept": ("lower", "share of pairs of others taken for one person at the run's threshold"),
    "false_reject": ("lower", "share of same pairs not recognised at the run's threshold"),
}


def labels(data: Images) -> torch.Tensor:
    """Who is on each picture, (N,)."""
    assert data.labels_N is not None
    return data.labels_N


def few(n: int) -> torch.Tensor:
    """Which of n pictures are compared with one another: all, or as many as memory is for, always the same."""
    return torch.arange(n) if n <= MOST else permutation(0, "compared", 0, n)[:MOST].sort().values


def scores_of(e_ND: torch.Tensor, y_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of all pairs of one person (S,) and of all pairs of different people (O,)."""
    some = few(len(y_N))
    e_ND, y_N = e_ND[some], y_N[some]
    above = torch.ones(len(y_N), len(y_N), dtype=torch.bool).triu_(1)
    cos_NN, alike = e_ND @ e_ND.T, y_N[:, None] == y_N
    return cos_NN[above & alike], cos_NN[above & ~alike]


def threshold_at(other_O: torch.Tensor, rate: float) -> float:
    """The least threshold above which no more than this share of the pairs of others lie."""
    allowed = int(rate * len(other_O))
    return float(other_O.kthvalue(len(other_O) - allowed).values)


def fitted(same_S: torch.Tensor, other_O: torch.Tensor) -> dict[str, Any]:
    """A threshold that takes no more than one other in a hundred, its error rates, and of how many scores they are."""
    at = threshold_at(other_O, RATES[0])
    wrongly, missed = errors(same_S, other_O, at)
    behind = [len(same_S), len(other_O)]
    return {"threshold": at, "false_accept": wrongly, "false_reject": missed, "watched_pairs": behind}


def errors(same_S: torch.Tensor, other_O: torch.Tensor, at: float) -> tuple[float, float]:
    """False accepts and false rejects, each as a share, where what lies above the threshold is accepted."""
    return float((other_O > at).double().mean()), float((same_S <= at).double().mean())


def accepted(same_S: torch.Tensor, other_O: torch.Tensor, rate: float) -> tuple[float, float]:
    """True accepts where no more than this share of the pairs of others are accepted (TAR at FAR), and the threshold."""
    at = threshold_at(other_O, rate)
    return 1 - errors(same_S, other_O, at)[1], at


def rates(same_S: torch.Tensor, other_O: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """False accepts and false rejects with the threshold just below each same pair's score, then at each, (2S,) both."""
    at_S, other_O = same_S.sort().values, other_O.sort().values
    wrongly = [1 - torch.searchsorted(other_O, at_S, right=right).double() / len(other_O) for right in (False, True)]
    missed = [torch.searchsorted(at_S, at_S, right=right).double() / len(at_S) for right in (False, True)]
    return torch.cat(wrongly), torch.cat(missed)


def equal_error(same_S: torch.Tensor, other_O: torch.Tensor) -> float:
    """The error where false accepts and false rejects are equal: their mean where they are nearest to it."""
    wrongly_T, missed_T = rates(same_S, other_O)
    best = (wrongly_T - missed_T).abs().argmin()
    return float((wrongly_T + missed_T)[best]) / 2


def curve(same_S: torch.Tensor, other_O: torch.Tensor, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """False and true accepts, evenly in the logarithm of the false ones from 1 in 10,000 to all."""
    other_O, far = other_O.sort(descending=True).values, np.logspace(-4, 0, points)
    at = other_O[torch.from_numpy(far * len(other_O)).long().clamp(max=len(other_O) - 1)]
    same_S = same_S.sort().values
    return far, 1 - torch.searchsorted(same_S, at, right=True).double().numpy() / len(same_S)


def lfw(e_ND: torch.Tensor, y_N: torch.Tensor, seed: int = 0) -> tuple[list[float], int]:
    """Accuracy in each of ten folds, and how many pairs all of them have (Huang et al. 2007, Labeled Faces in the Wild).

    Nobody is in two folds; a fold has 300 pairs of one person and as many of two, or what there is of them. The threshold is
    the one that is right most often on the nine others. Fewer than twenty people make fewer folds, of two at least.
    """
    some = few(len(y_N))
    e_ND, y_N = e_ND[some], y_N[some]
    people = y_N.unique()
    folds = min(FOLDS, len(people) // 2)
    fold_K = torch.zeros(int(people.max()) + 1, dtype=torch.int64)
    fold_K[people[permutation(seed, "folds", 0, len(people))]] = torch.arange(len(people)) % folds
    found = []
    for fold in range(folds):
        i_N = (fold_K[y_N] == fold).nonzero().flatten()
        one_P, two_P = torch.triu_indices(len(i_N), len(i_N), 1)
        alike = y_N[i_N[one_P]] == y_N[i_N[two_P]]
        kinds = [alike.nonzero().flatten(), (~alike).nonzero().flatten()]
        n = min(PAIRS, *map(len, kinds))
        chosen = [kind[permutation(seed, f"pairs {fold}", k, len(kind))[:n]] for k, kind in enumerate(kinds)]
        found.append([(e_ND[i_N[one_P[c]]] * e_ND[i_N[two_P[c]]]).sum(1) for c in chosen])
    right = []
    for fold in range(folds):
        rest = [pair for other, pair in enumerate(found) if other != fold and len(pair[0])] or found  # one alone fits its own
        at = most_right(torch.cat([same for same, _ in rest]), torch.cat([other for _, other in rest]))
        same, other = found[fold]
        if len(same):  # a fold without pairs is right about nothing
            right.append(float(torch.cat([same > at, other <= at]).double().mean()))
    return right or [math.nan], sum(2 * len(same) for same, _ in found)


def most_right(same_S: torch.Tensor, other_O: torch.Tensor) -> float:
    """The threshold above which most same pairs and fewest others lie: between two scores, the lowest of equally good ones."""
    score_P, order = torch.cat([same_S, other_O]).sort()
    is_same_P = (torch.arange(len(order)) < len(same_S))[order].long()
    # Right with the threshold above the first i scores: others among these, and same ones among the rest.
    right = F.pad((1 - is_same_P).cumsum(0), (1, 0)) + F.pad(is_same_P.flip(0).cumsum(0).flip(0), (0, 1))
    allowed = torch.cat([torch.tensor([True]), score_P.diff() > 0, torch.tensor([True])])  # not between equals
    best = int(torch.where(allowed, right, -1).argmax())
    low, high = score_P[max(best - 1, 0)], score_P[min(best, len(score_P) - 1)]
    return float((low + high) / 2) if 0 < best < len(score_P) else float(low) - 1.0 if best == 0 else float(high)


def enrolled(e_ND: torch.Tensor, y_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Each person's first pictures as one vector (K, D), who that is (K,), and which pictures are left (N,)."""
    centres, people, left_N = [], y_N.unique(), torch.ones(len(y_N), dtype=torch.bool)
    for person in people.tolist():
        mine = (y_N == person).nonzero().flatten()
        first = mine[: max(1, min(ENROLLED, len(mine) // 2))]
        left_N[first] = False
        centres.append(F.normalize(e_ND[first].mean(0), dim=0))
    return torch.stack(centres), people, left_N


def against_people(e_ND: torch.Tensor, y_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of pictures with the person on them, enrolled by others (S,), and with everybody else enrolled (O,)."""
    centre_KD, people_K, left_N = enrolled(e_ND, y_N)
    cos_NK, alike = e_ND[left_N] @ centre_KD.T, y_N[left_N][:, None] == people_K
    return cos_NK[alike], cos_NK[~alike]


def first_rank(e_ND: torch.Tensor, y_N: torch.Tensor) -> tuple[float, int]:
    """Share of pictures whose nearest enrolled person is the right one, and how many pictures."""
    centre_KD, people_K, left_N = enrolled(e_ND, y_N)
    told = people_K[(e_ND[left_N] @ centre_KD.T).argmax(1)]
    return float((told == y_N[left_N]).double().mean()), len(told)


def open_set(e_ND: torch.Tensor, y_N: torch.Tensor, rate: float) -> tuple[float, int]:
    """Where every other person is a stranger: share of the others' pictures that are called right, at the threshold above
    which no more than this share of the strangers' pictures are called somebody (DIR at FPIR); and how many pictures."""
    known_N = torch.isin(y_N, y_N.unique()[::2])
    centre_KD, people_K, left_N = enrolled(e_ND[known_N], y_N[known_N])
    at = threshold_at((e_ND[~known_N] @ centre_KD.T).amax(1), rate)
    cos_N, who_N = (e_ND[known_N][left_N] @ centre_KD.T).max(1)
    right = (people_K[who_N] == y_N[known_N][left_N]) & (cos_N > at)
    return float(right.double().mean()), len(right)


def hardest(e_ND: torch.Tensor, y_N: torch.Tensor, *, same: bool) -> list[tuple[int, int]]:
    """Each person's hardest pair as numbers of pictures, hardest first: least alike of one person, or most of two."""
    some = few(len(y_N))
    cos_NN, alike = e_ND[some] @ e_ND[some].T, y_N[some][:, None] == y_N[some]
    hard_NN = torch.where(alike, -cos_NN, -torch.inf) if same else torch.where(alike, -torch.inf, cos_NN)
    hard_N, mate_N = hard_NN.max(1)
    pairs, taken = [], set()
    for i in hard_N.argsort(descending=True, stable=True).tolist():
        one, two = int(some[i]), int(some[mate_N[i]])
        if one == two or {int(y_N[one]), int(y_N[two])} & taken or not bool(torch.isfinite(hard_N[i])):
            continue
        taken |= {int(y_N[one]), int(y_N[two])}
        pairs.append((one, two))
    return pairs


def pixels(x_NCHW: torch.Tensor) -> torch.Tensor:
    """The dumbest vector that looks: the pixels themselves, less their mean."""
    parts = (to_float(some).flatten(1) for some in x_NCHW.split(PART))
    return torch.cat([F.normalize(x_ND - x_ND.mean(1, keepdim=True)) for x_ND in parts])


def colours(x_NCHW: torch.Tensor, bins: int = 8) -> torch.Tensor:
    """One that does not: roots of how often each of bins^C colours occurs, whose product is Bhattacharyya's coefficient."""
    c = min(x_NCHW.shape[1], 3)
    place_C = bins ** torch.arange(c)
    found = []
    for some in x_NCHW.split(PART):  # eight bytes a number, and two of them at once
        at_NP = ((some[:, :c].long() * bins // 256) * place_C[:, None, None]).sum(1).flatten(1)
        counts = torch.zeros(len(some), bins**c).scatter_add_(1, at_NP, torch.ones_like(at_NP, dtype=torch.float32))
        found.append(F.normalize(counts.sqrt()))
    return torch.cat(found)


def drawn(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The trade between false and true accepts as a picture (H, W, 3), bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, (far, tar) in curves.items():
        axes.plot(far, tar, label=name)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false accepts")
    axes.set_ylabel("true accepts")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
