"""What a net that writes is worth: how well it foretells held-out text, and what it writes, each beside a floor or a baseline.

Neither quality nor variety alone means anything: at a low temperature a writer repeats the few likeliest sentences and scores
as better than real text (Caccia et al. 2020, "Language GANs Falling Short", arXiv 1811.02549). So both are measured over
temperatures, and what counts is the curve. Shapes: N examples, T tokens, V vocabulary.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from gannet.data.text import Batch, Texts
from gannet.evaluation import ngrams
from gannet.evaluation.images import Score, no_wishes
from gannet.training.guard import WORSE

TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
WATCHED = 256  # examples of the score while training
JUDGED = 4_000  # examples of the held-out score
WRITTEN = 500  # texts at each temperature
PIECE = 64  # tokens of a piece of a continuous text, where single texts are compared


class Writing:
    """The evaluation of nets that write.

    Args:
        train: what is learnt from: for the baseline, and for what is copied
        watched: kept from training: for the score while training
        test: held out, looked at by `gannet evaluate` alone
    """

    def __init__(self, train: Texts, watched: Texts, test: Texts):
        self.train, self.watched, self.test = train, watched, test
        #: Only what is worse than knowing nothing, ln V, is a collapse.
        self.level = math.log(len(train.vocabulary)) / WORSE

    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training, on text kept from it: nats per token."""
        return {"loss_watched": per_token(objective, self.watched.windows(WATCHED))}

    def judge(
        self, objective: Any, *, wish: str = "auto", full: bool = False, seed: int = 0
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Every score on the test text, and the curve of quality and variety as a picture.

        Args:
            objective: whose net is judged
            wish: auto; no feature net is asked
            full: nothing more can be measured here
            seed: of what is written

        Raises:
            Wrong: for other features and for `full`.
        """
        no_wishes("a writer is judged by the test text alone", wish, full)
        batch = self.test.windows(JUDGED)
        surprise_NT = objective.surprise(batch)
        tokens = int(batch.there_NT.sum())
        nats, base = float(surprise_NT.sum() / tokens), bigram(self.train, batch)
        per_letter = letters(self.test, batch)
        real = pieces(self.test, WRITTEN)
        references = pieces(self.train, 5_000, spread=True)
        points = [self.point(objective, t, references, seed) for t in TEMPERATURES]
        at_one = points[TEMPERATURES.index(1.0)]
        floor = {"bleu5": ngrams.bleu(real, references), "self_bleu5": ngrams.self_bleu(real)}
        copied = ngrams.copy_report(at_one["texts"], whole_of(self.train), real)
        found = {
            "nats_per_token": (nats, base, tokens),
            "bits_per_character": (nats / math.log(2) / per_letter, base / math.log(2) / per_letter, tokens),
            "bleu5": (at_one["bleu5"], floor["bleu5"], len(at_one["texts"])),
            "self_bleu5": (at_one["self_bleu5"], floor["self_bleu5"], len(at_one["texts"])),
        }
        names = {"copied_whole": "copied_texts", "copied_mean": "longest_copy"}
        found |= {name: (*copied[key], len(at_one["texts"])) for key, name in names.items()}
        found |= self._form(at_one["texts"], real)
        scores = {name: Score(value, None, beside, *MEANINGS[name], n) for name, (value, beside, n) in found.items()}
        curve = [{key: value for key, value in point.items() if key != "texts"} for point in points]
        curves = {"this run": curve}
        if hasattr(objective, "before"):  # a contest: what it was at the end of its warm-up by likelihood
            warmed = objective.before()
            curves["its warm-up"] = [
                {key: value for key, value in self.point(warmed, t, references, seed).items() if key != "texts"}
                for t in TEMPERATURES
            ]
        report: dict[str, Any] = {
            "scores": {name: asdict(score) for name, score in scores.items()},
            "columns": ["net", "beside"],
            "curves": curves,
            "real": floor,
            "about": f"{self.test.name}/{self.test.split}, {tokens:,} tokens of {self.test.items:,} texts, by which nothing "
            f"was chosen. {WRITTEN} texts at each of the temperatures {', '.join(map(str, TEMPERATURES))}; what is said of "
            "single texts is of those at 1.",
            "picture": "Quality and variety over temperatures: to the right and below is better; the cross is real text.",
        }
        if "its warm-up" in curves:
            report["warmed_nats_per_token"] = per_token(objective.before(), batch)
        return report, drawn(curves, floor)

    def point(self, objective: Any, temperature: float, references: list[list[int]], seed: int) -> dict[str, Any]:
        """What is written at one temperature: {"temperature", "bleu5", "self_bleu5", "texts"}."""
        length = PIECE if self.train.whole else None
        texts = objective.ids(WRITTEN, seed, temperature=temperature, length=length)
        scores = {"bleu5": ngrams.bleu(texts, references), "self_bleu5": ngrams.self_bleu(texts)}
        return {"temperature": temperature, **scores, "texts": texts}

    def _form(self, texts: list[list[int]], real: list[list[int]]) -> dict[str, tuple[float, float, int]]:
        """Of Chinese verse: the shares that keep its form."""
        decode = self.train.vocabulary.decode
        held = ngrams.poem_form([decode(ids) for ids in real])
        if (held["regulated"] or 0) < 0.5:  # no verse of such a form
            return {}
        mine = ngrams.poem_form([decode(ids) for ids in texts])
        found = {name: (mine[key], held[key]) for key, name in (("regulated", "form"), ("rhyme", "rhyme"))}
        return {name: (a, b, len(texts)) for name, (a, b) in found.items() if a is not None and b is not None}


#: name -> (which way is better, what it says)
MEANINGS = {
    "nats_per_token": ("lower", "cross-entropy on the test text; beside: two tokens' counts in training, smoothed"),
    "bits_per_character": ("lower", "the same, by the characters that tokens stand for"),
    "bleu5": ("floor", "runs of up to 5 tokens that stand in training texts too; beside: real test texts"),
    "self_bleu5": ("floor", "… in other texts that it wrote: sameness; beside: real test texts"),
    "copied_texts": ("floor", "share of texts that stand in training word for word; beside: real test texts"),
    "longest_copy": ("floor", "mean longest run copied from training, as a share of the text; beside: real test texts"),
    "form": ("floor", "poems of 4 or 8 lines of 5 or of 7 characters; beside: real test poems"),
    "rhyme": ("floor", "even lines that rhyme, by today's Mandarin; beside: real test poems"),
}


def per_token(objective: Any, batch: Batch) -> float:
    """Mean -log p in nats of the tokens that are to be told."""
    return float(objective.surprise(batch).sum() / batch.there_NT.sum())


def letters(texts: Texts, batch: Batch) -> float:
    """Characters for each token that is told; an end of a text counts as one."""
    told = batch.tokens_NT[:, 1:][batch.there_NT].tolist()
    counts, vocabulary = Counter(told), texts.vocabulary
    if vocabulary.kind == "characters":
        return 1.0
    many = sum(n * max(1, len(vocabulary.decode([token]))) for token, n in counts.items())
    if vocabulary.kind == "words" and vocabulary.decode([2, 2]).count(" "):
        many += len(told)  # the space behind each word
    return many / max(1, len(told))


def bigram(train: Texts, batch: Batch) -> float:
    """Nats per token of the dumbest model that looks at anything: two tokens' counts, interpolated with one's and with none.

    p(b | a) = (n(a, b) + 5 p(b)) / (n(a) + 5) with p(b) = (n(b) + 1/2) / (n + V/2): a Dirichlet prior of five tokens, one of
    half a token.
    """
    ids, size = np.asarray(train.ids, dtype=np.int64), len(train.vocabulary)
    one_V = np.bincount(ids, minlength=size) + 0.5
    p_V = one_V / one_V.sum()
    keys, counts = np.unique(ids[:-1] * size + ids[1:], return_counts=True)
    a, b = (part[batch.there_NT].numpy() for part in (batch.tokens_NT[:, :-1], batch.tokens_NT[:, 1:]))
    at = np.searchsorted(keys, a * size + b).clip(max=len(keys) - 1)
    both = np.where(keys[at] == a * size + b, counts[at], 0)
    before_V = np.bincount(ids[:-1], minlength=size)
    return float(-np.log((both + 5 * p_V[b]) / (before_V[a] + 5)).mean())


def whole_of(texts: Texts) -> list[list[int]]:
    """All documents as tokens, without ends."""
    return [texts.ids[a + 1 : b].tolist() for a, b in zip(texts.starts[:-1], texts.starts[1:], strict=True)]


def pieces(texts: Texts, n: int, *, spread: bool = False) -> list[list[int]]:
    """n documents as tokens, or n pieces of a continuous text; the first, or spread evenly over all."""
    if texts.whole:
        ids = np.concatenate([texts.ids[a + 1 : b] for a, b in zip(texts.starts[:-1], texts.starts[1:], strict=True)])
        found = [ids[at : at + PIECE].tolist() for at in range(0, len(ids) - PIECE, PIECE)]
    else:
        found = [texts.ids[a + 1 : b].tolist() for a, b in zip(texts.starts[:-1], texts.starts[1:], strict=True)]
    if spread and len(found) > n:
        found = [found[at] for at in np.linspace(0, len(found) - 1, n).astype(int)]
    return found[:n]


def drawn(curves: dict[str, list[dict[str, float]]], real: dict[str, float]) -> np.ndarray:
    """Curves of quality and variety over temperatures as one picture (H, W, 3).

    Args:
        curves: name -> points with "temperature", "bleu5", "self_bleu5" and, over seeds, "bleu5_spread", "self_bleu5_spread"
        real: the same two scores of real text
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in curves.items():
        x, y = ([point[key] for point in points] for key in ("bleu5", "self_bleu5"))
        (line,) = axes.plot(x, y, marker="o", markersize=4, label=name)
        wide, high = ([point.get(f"{key}_spread", 0.0) for point in points] for key in ("bleu5", "self_bleu5"))
        if any(wide) or any(high):
            axes.errorbar(x, y, xerr=wide, yerr=high, fmt="none", ecolor=line.get_color(), alpha=0.4)
        for point in points:
            where = (point["bleu5"], point["self_bleu5"])
            axes.annotate(f"{point['temperature']:g}", where, xytext=(4, -9), textcoords="offset points", fontsize=7)
    axes.plot(
        [real["bleu5"]], [real["self_bleu5"]], marker="x", markersize=9, color="black", linestyle="none", label="real text"
    )
    axes.set_xlabel("BLEU-5 against training text: quality")
    axes.set_ylabel("self-BLEU-5: sameness")
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))
