"""What a net that writes is worth: how well it foretells held-out text, and what it writes, each beside a floor or a baseline.

Neither quality nor variety alone means anything: at a low temperature a writer repeats the few likeliest sentences and scores
as better than real text (Caccia et al. 2020, "Language GANs Falling Short", arXiv 1811.02549). So both are measured over
temperatures, and what counts is the curve. Shapes: N examples, T tokens, V vocabulary.
"""

from __future__ import annotations

import io
import math
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from gannet.data.text import Batch, Texts, evenly
from gannet.evaluation import ngrams
from gannet.evaluation.images import Score, no_wishes
from gannet.evaluation.kneser_ney import KneserNey
from gannet.training.guard import WORSE

TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
WATCHED = 256  # examples of the score while training
JUDGED = 4_000  # examples of the held-out score
WRITTEN = 500  # texts at each temperature
LOOKED = 8_000_000  # tokens of training text, its first, that are counted and in which copies are looked for
FULL_AT = (0.7, 0.85, 1.0)  # temperatures at which …
FULL_WRITTEN = 2_000  # … so many texts are written for language models to judge and to learn from
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
            full: also what a language model of counts says of what is written, and one that learnt from it of test text
            seed: of what is written

        Raises:
            Wrong: for other features.
        """
        no_wishes("a writer is judged by the test text alone", wish, False)
        batch = self.test.windows(JUDGED)
        surprise_NT = objective.surprise(batch)
        tokens = int(batch.there_NT.sum())
        nats, base = float(surprise_NT.sum() / tokens), bigram(self.train, batch)
        per_letter = letters(self.test, batch)
        real = pieces(self.test, WRITTEN, objective.longest)
        several = len(real) > 1  # of one text or none nothing can be said of texts
        references = pieces(self.train, 5_000, objective.longest)
        writers = {"this run": objective}
        if hasattr(objective, "before"):  # a contest: what it was at the end of its warm-up by likelihood
            writers["its warm-up"] = objective.before()
        texts = {name: {t: self.texts(writer, t, seed) for t in TEMPERATURES} for name, writer in writers.items()}
        curves = {name: curve(some, references) for name, some in texts.items()}
        told, n = texts["this run"][1.0], WRITTEN
        at_one = curves["this run"][TEMPERATURES.index(1.0)]
        floor = {"bleu5": ngrams.bleu(real, references), "self_bleu5": ngrams.self_bleu(real)} if several else {}
        found: dict[str, tuple[float, float, int]] = {"nats_per_token": (nats, base, tokens)}
        if per_letter is not None:
            found["bits_per_character"] = (nats / math.log(2) / per_letter, base / math.log(2) / per_letter, tokens)
        if several:
            found |= {name: (at_one[name], beside, n) for name, beside in floor.items()}
            copied = ngrams.copy_report(told, looked_at(self.train), real)
            names = {"copied_whole": "copied_texts", "copied_mean": "longest_copy"}
            found |= {name: (*copied[key], n) for key, name in names.items()}
            found |= self._form(told, real)
        scores = {name: Score(value, None, beside, *MEANINGS[name], n) for name, (value, beside, n) in found.items()}
        report: dict[str, Any] = {
            "scores": {name: asdict(score) for name, score in scores.items()},
            "columns": ["net", "beside"],
            "curves": curves,
            "real": floor,
            "about": f"{self.test.name}/{self.test.split}, {tokens:,} tokens, evenly out of {self.test.items:,} texts, by "
            f"which nothing was chosen. {WRITTEN} texts at each of the temperatures {', '.join(map(str, TEMPERATURES))}; "
            f"what is said of single texts is of those at 1. Counts and copies: {min(self.train.tokens, LOOKED):,} tokens of "
            "training text.",
            "picture": "Quality and variety over temperatures: to the right and below is better; the cross is real text.",
        }
        if not several:
            report["about"] += " The test part is too small for what compares its texts with those that were written."
        if "its warm-up" in curves:
            report["warmed_nats_per_token"] = per_token(writers["its warm-up"], batch)
        picture = drawn(curves, floor, BLEUS)
        if full and several:
            report["judged"], report["judged_real"] = self._judged(writers, seed)
            other = drawn(report["judged"], report["judged_real"], MODELS)
            picture = np.concatenate([picture, other], 1)
            report["picture"] += " Right: the same by language models of counts, in nats; to the left and below is better."
        return report, picture

    def _judged(self, writers: dict[str, Any], seed: int) -> tuple[dict[str, list[dict[str, float]]], dict[str, float]]:
        """LM score and reverse LM score (Zhao et al. 2018, arXiv 1706.04223; Caccia et al. 2020), both in nats.

        The first is what a model of the training text says of what was written: quality. The second is what a model of what was
        written says of the test text: variety, and quality too. Both models count (`KneserNey`), so that no net judges itself.

        Returns:
            name -> points over temperatures, and the same two of real text: of test texts, and of as many training texts
        """
        size, end, longest = len(self.train.vocabulary), self.train.vocabulary.end, writers["this run"].longest
        test = pieces(self.test, FULL_WRITTEN, longest)
        real = pieces(self.train, FULL_WRITTEN, longest)
        judge = KneserNey(looked_at(self.train), size, end)

        def point(texts: list[list[int]]) -> dict[str, float]:
            return {"lm": judge.nats(texts), "reverse_lm": KneserNey(texts, size, end).nats(test)}

        found = {
            name: [{"temperature": t, **point(self.texts(writer, t, seed, FULL_WRITTEN))} for t in FULL_AT]
            for name, writer in writers.items()
        }
        return found, {"lm": judge.nats(test), "reverse_lm": KneserNey(real, size, end).nats(test)}

    def texts(self, objective: Any, temperature: float, seed: int, n: int = WRITTEN) -> list[list[int]]:
        """n texts that are written at one temperature, as tokens."""
        return objective.ids(n, seed, temperature=temperature, length=PIECE if self.train.whole else None)

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


def curve(texts: dict[float, list[list[int]]], references: list[list[int]]) -> list[dict[str, float]]:
    """Quality and sameness of what is written at each temperature."""
    return [
        {"temperature": t, "bleu5": ngrams.bleu(some, references), "self_bleu5": ngrams.self_bleu(some)}
        for t, some in texts.items()
    ]


def above(points: list[dict[str, float]], base: list[dict[str, float]], quality: str, other: str) -> list[float | None]:
    """How far each point of one curve lies above another curve at the same quality; None where that one has no such quality.

    Between its points the other curve is a monotone cubic (Fritsch and Carlson 1980). Straight lines would lie above a curve
    that is bent as these are, and make whatever is compared with it look better than it is, by more than contests differ.
    """
    x_P, k_P = np.unique([point[quality] for point in base], return_inverse=True)
    y_P = np.bincount(k_P, [point[other] for point in base]) / np.bincount(k_P)  # of points of one quality their mean
    told = PchipInterpolator(x_P, y_P, extrapolate=False) if len(x_P) > 1 else lambda x: y_P[0] if x == x_P[0] else np.nan
    found = [point[other] - float(told(point[quality])) for point in points]
    return [None if math.isnan(value) else value for value in found]


def per_token(objective: Any, batch: Batch) -> float:
    """Mean -log p in nats of the tokens that are to be told."""
    return float(objective.surprise(batch).sum() / batch.there_NT.sum())


def letters(texts: Texts, batch: Batch) -> float | None:
    """Characters for each token that is told; an end of a text counts as one. None where words are told that are not known:
    nothing has spelt them, so that bits for a character would be too few, and how many characters they are is lost."""
    told, vocabulary = batch.tokens_NT[:, 1:][batch.there_NT].numpy(), texts.vocabulary
    spelt = vocabulary.kind == "words"
    if spelt and (told == vocabulary.unknown).any():
        return None
    ends = int((told == vocabulary.end).sum())
    behind_the_last = ends * len(vocabulary.join) if spelt else 0  # each word was counted with what joins it to the next
    return (vocabulary.characters(told) - behind_the_last + ends) / max(1, len(told))


def bigram(train: Texts, batch: Batch) -> float:
    """Nats per token of the dumbest model that looks at anything: two tokens' counts, interpolated with one's and with none.

    p(b | a) = (n(a, b) + 5 p(b)) / (n(a) + 5) with p(b) = (n(b) + 1/2) / (n + V/2): a Dirichlet prior of five tokens, one of
    half a token.
    """
    ids, size = np.asarray(train.ids[:LOOKED], dtype=np.int64), len(train.vocabulary)
    one_V = np.bincount(ids, minlength=size) + 0.5
    p_V = one_V / one_V.sum()
    keys, counts = np.unique(ids[:-1] * size + ids[1:], return_counts=True)
    a, b = (part[batch.there_NT].numpy() for part in (batch.tokens_NT[:, :-1], batch.tokens_NT[:, 1:]))
    at = np.searchsorted(keys, a * size + b).clip(max=len(keys) - 1)
    both = np.where(keys[at] == a * size + b, counts[at], 0)
    before_V = np.bincount(ids[:-1], minlength=size)
    return float(-np.log((both + 5 * p_V[b]) / (before_V[a] + 5)).mean())


def looked_at(texts: Texts) -> list[list[int]]:
    """Documents as tokens, up to LOOKED of them: a text may be larger than the memory."""
    found, left = [], LOOKED
    for ids in texts.bodies():
        found.append(ids[:left].tolist())
        left -= len(found[-1])
        if left <= 0:
            break
    return found


def pieces(texts: Texts, n: int, longest: int) -> list[list[int]]:
    """n documents as tokens, or n pieces of a continuous text, evenly over those that are looked at.

    Of a document that is longer than what is written, `longest` tokens, its beginning, as what is written is one: beside whole
    plays everything that a small writer says would be too short, and copy a larger share.
    """
    found = looked_at(texts)
    if texts.whole:
        found = [ids[at : at + PIECE] for ids in found for at in range(0, len(ids) - PIECE, PIECE)]
    else:
        found = [ids[:longest] for ids in found]
    return [found[at] for at in evenly(np.arange(len(found)), n)]


#: (score, words) of the two axes of a picture.
Axes = tuple[tuple[str, str], tuple[str, str]]
BLEUS: Axes = (("bleu5", "BLEU-5 against training text: quality"), ("self_bleu5", "self-BLEU-5: sameness"))
MODELS: Axes = (("lm", "LM score, nats: what is written"), ("reverse_lm", "reverse LM score, nats: test text"))


def drawn(curves: dict[str, list[dict[str, float]]], real: dict[str, float], axes_of: Axes) -> np.ndarray:
    """Curves of quality and variety over temperatures as one picture (H, W, 3).

    Args:
        curves: name -> points with "temperature", the two scores of the axes and, over seeds, each score's "…_spread"
        real: the same two scores of real text, or nothing
        axes_of: which scores, and what they are called
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    keys = [key for key, _ in axes_of]
    figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in curves.items():
        x, y = ([point[key] for point in points] for key in keys)
        (line,) = axes.plot(x, y, marker="o", markersize=4, label=name)
        wide, high = ([point.get(f"{key}_spread", 0.0) for point in points] for key in keys)
        if any(wide) or any(high):
            axes.errorbar(x, y, xerr=wide, yerr=high, fmt="none", ecolor=line.get_color(), alpha=0.4)
        for point in points:
            where = (point[keys[0]], point[keys[1]])
            axes.annotate(f"{point['temperature']:g}", where, xytext=(4, -9), textcoords="offset points", fontsize=7)
    if real:
        cross = {"marker": "x", "markersize": 9, "color": "black", "linestyle": "none"}
        axes.plot([real[keys[0]]], [real[keys[1]]], label="real text", **cross)
    axes.set_xlabel(axes_of[0][1])
    axes.set_ylabel(axes_of[1][1])
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))
