"""The synthetic oracle of SeqGAN: what a writer makes is scored by the net that made the data, at seven temperatures.

    python bench/oracle.py --seeds 0 1 2 --out oracle                              (lstm and transformer)
    python bench/oracle.py --seeds 0 --models lstm policy cot --out oracle         (contests, each beside its own warm-up)
    python bench/oracle.py --oracle-params published.npz --length 40 --out oracle

On one core of a busy machine lstm takes two minutes to train and two and a half for its curve, for each oracle; of contests cot
takes seven and policy ten, and the two curves of each five. `--sequences 500 --epochs 1` tries everything in a minute.

The oracle is an LSTM with every parameter drawn from N(0, 1) (Yu et al. 2017, SeqGAN, arXiv 1609.05473, section 5.1). It writes
10,000 sequences to learn from, as many to choose by (watched), and as many to judge with (test), by which nothing is chosen.
Two numbers, in nats per token:

- NLL_oracle, of what the model writes, under the oracle: quality;
- NLL_test, of what the oracle writes, under the model: diversity.

Either alone can be had for nothing, so every model gives a curve over temperatures, and the likelihood's curve belongs beside
every contest's (Caccia et al. 2020, arXiv 1811.02549). No two oracles have the same floor, the entropy of their sequences: it
is measured, and is to be taken off before anything is compared. `--oracle-params` reads a copy of published parameters, for
numbers that can be set beside those of papers.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import math
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from gannet.data.text import Batch, Vocabulary
from gannet.errors import Wrong
from gannet.evaluation.texts import above
from gannet.files import write_json, write_text
from gannet.nets.sequence import Memory, Recurrent, TextCritic, Transformer, Writer, looked_up
from gannet.objectives.language import Language, written
from gannet.objectives.text_gan import Path as Contest
from gannet.objectives.text_gan import TextGan
from gannet.recipe import one_cycle, two_acts
from gannet.rng import Rng
from gannet.training.engine import Engine
from gannet.training.loop import fit

START = 0  # read before the first token; an ordinary token as well
RESERVED = 2  # numbers that our vocabularies keep for the end and the unknown token, which no oracle writes
WARM = 0.6  # share of a contest that is its warm-up
INVERSE_TEMPERATURES = (1.0, 1.1, 1.2, 1.3, 1.5, 2.0, 2.5)
GLANCE = 2_500  # watched sequences that are scored after every epoch: all of them would take a third of the training's time
ROWS = 250  # sequences that are scored or written side by side: their logits are 100 MB
GATES = ("i", "f", "o", "c")

#: Names of the oracle's arrays in the order of SeqGAN's `g_params`, each with its shape in V tokens, E numbers of an embedding
#: and H of a state.
SHAPES: dict[str, str] = {
    "embedding": "VE",
    **{f"{part}_{gate}": shape for gate in GATES for part, shape in (("W", "EH"), ("U", "HH"), ("b", "H"))},
    "W_out": "HV",
    "b_out": "V",
}


#: What the published files call them, in the same order.
PUBLISHED = ["embedding", *(f"{part}{gate}" for gate in ("i", "f", "og", "c") for part in "wub"), "wo", "bo"]


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name."""
    with np.load(path, allow_pickle=False) as file:
        return {name: np.asarray(file[name]) for name in file.files}


class Oracle(NamedTuple):
    """An LSTM that knows its own likelihood.

    i, f, o = sigmoid(x W + h U + b), c' = f c + i tanh(x W_c + h U_c + b_c), h' = o tanh(c'), logits h' W_out + b_out; h and c
    begin at 0 and x at the embedding of the start token. There is no end token.

    Attributes:
        arrays: float32, by the names of SHAPES
    """

    arrays: dict[str, torch.Tensor]

    @classmethod
    def drawn(cls, seed: int, tokens: int = 5_000, embedding: int = 32, hidden: int = 32) -> Oracle:
        """With every parameter from N(0, 1)."""
        sizes = {"V": tokens, "E": embedding, "H": hidden}
        shapes = {name: [sizes[letter] for letter in shape] for name, shape in SHAPES.items()}
        return cls({name: Rng(seed, 0, f"oracle.{name}").normal(*shape) for name, shape in shapes.items()})

    @classmethod
    def load(cls, path: Path) -> Oracle:
        """From an .npz of 15 arrays, or a folder of 15 .npz of one array each.

        Arrays, or the folder's files, are called as in SHAPES, or as in PUBLISHED whatever the case, or arr_0 to arr_14 in that
        order. Nothing in a file is run: arrays of Python objects are refused.

        Raises:
            Wrong: where it is no such file, or arrays are missing, of the wrong shape, or hold what is no number.
        """
        try:
            if path.is_dir():
                found = {file.stem: next(iter(arrays_in(file).values())) for file in sorted(path.glob("*.npz"))}
            else:
                found = arrays_in(path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, StopIteration, TypeError) as error:
            raise Wrong("an oracle's parameters cannot be read", got=f"{path}: {error}", try_="a .npz of 15 arrays") from error
        for names in (PUBLISHED, [f"arr_{number}" for number in range(len(SHAPES))]):
            lower = {name.lower(): array for name, array in found.items()}
            if set(names) <= set(lower):  # never by their order alone: gates in another order are as square
                found = {name: lower[other] for name, other in zip(SHAPES, names, strict=True)}
        missing = [name for name in SHAPES if name not in found]
        if missing:
            raise Wrong(
                f"{path} lacks parameters of an oracle, which are {', '.join(SHAPES)}", got=", ".join(missing), usage=True
            )
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            array = found[name]
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise Wrong(f"{name} in {path} must be finite floating-point numbers", got=array.dtype, usage=True)
            wanted = [sizes.setdefault(letter, size) for letter, size in zip(shape, array.shape, strict=False)]
            if array.ndim != len(shape) or list(array.shape) != wanted:
                raise Wrong(f"{name} in {path} must have the shape {shape}, with {sizes}", got=array.shape, usage=True)
        return cls({name: torch.tensor(found[name], dtype=torch.float32) for name in SHAPES})

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        np.savez(path, **{name: array.numpy() for name, array in self.arrays.items()})  # pyright: ignore[reportArgumentType]

    @property
    def tokens(self) -> int:
        """V."""
        return len(self.arrays["b_out"])

    def start(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """State of n sequences before their first token: h and c, (n, H) each."""
        zeros_NH = torch.zeros(n, len(self.arrays["U_i"]))
        return zeros_NH, zeros_NH

    def step(
        self, token_N: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Read a token (N,) and tell the next: logits (N, V), and the state after."""
        a, (h_NH, c_NH) = self.arrays, state
        x_NE = a["embedding"][token_N]
        i, f, o, c = (x_NE @ a[f"W_{gate}"] + h_NH @ a[f"U_{gate}"] + a[f"b_{gate}"] for gate in GATES)
        c_NH = f.sigmoid() * c_NH + i.sigmoid() * c.tanh()
        h_NH = o.sigmoid() * c_NH.tanh()
        return h_NH @ a["W_out"] + a["b_out"], (h_NH, c_NH)

    @torch.no_grad()
    def write(self, n: int, length: int, rng: Rng) -> torch.Tensor:
        """n sequences, (n, length)."""
        u_NT = rng.uniform(n, length)
        parts = []
        for u in u_NT.split(ROWS):
            token_N, state, told = torch.full((len(u),), START), self.start(len(u)), []
            for t in range(length):
                logits_NV, state = self.step(token_N, state)
                token_N = drawn_by(logits_NV, u[:, t])
                told.append(token_N)
            parts.append(torch.stack(told, 1))
        return torch.cat(parts)

    @torch.no_grad()
    def nll(self, ids_NT: torch.Tensor) -> torch.Tensor:
        """-log p of each token of sequences in nats, (N, T)."""
        parts = []
        for ids in ids_NT.split(ROWS):
            before_N, state, each = torch.full((len(ids),), START), self.start(len(ids)), []
            for token_N in ids.unbind(1):
                logits_NV, state = self.step(before_N, state)
                each.append(F.cross_entropy(logits_NV, token_N, reduction="none"))
                before_N = token_N
            parts.append(torch.stack(each, 1))
        return torch.cat(parts)


def drawn_by(logits_NV: torch.Tensor, u_N: torch.Tensor) -> torch.Tensor:
    """A token for each row (N,), by inverting the distribution function at u in [0, 1): `choose` without its wishes, in half
    the time, in which seven temperatures are written."""
    sum_NV = (logits_NV - logits_NV.amax(1, keepdim=True)).exp_().cumsum(1)
    return torch.searchsorted(sum_NV, u_N[:, None] * sum_NV[:, -1:], right=True)[:, 0].clamp(max=logits_NV.shape[1] - 1)


def mean_and_error(nll_NT: torch.Tensor) -> tuple[float, float]:
    """Mean per token, and its standard error: sequences are independent, their tokens are not."""
    mean_N = nll_NT.double().mean(1)
    return float(mean_N.mean()), float(mean_N.std() / math.sqrt(len(mean_N)))


# ------------------------------------------------------------------------------------------------------------------ models


def vocabulary_of(tokens: int) -> Vocabulary:
    """An oracle's tokens as words, behind the two that it never writes."""
    return Vocabulary("words", ["", "\ufffd", *map(str, range(tokens))])


@dataclass(frozen=True)
class Sequences:
    """A training set of sequences, each begun with the end token, which here is the start.

    Attributes:
        ids_NT: as the oracle numbers them
        tokens: that the oracle knows, seen here or not
    """

    ids_NT: torch.Tensor
    tokens: int

    def some(self, which: torch.Tensor | slice) -> Batch:
        """Those of these numbers."""
        ids_NT = self.ids_NT[which]
        tokens_NT = F.pad(ids_NT + RESERVED, (1, 0), value=Vocabulary.end)
        return Batch(tokens_NT, torch.ones_like(ids_NT, dtype=torch.bool), torch.zeros(len(ids_NT), dtype=torch.int64))

    def batch(self, n: int, rng: Rng) -> Batch:
        """n of them, every epoch a fresh order."""
        return self.some(rng.indices(len(self.ids_NT), n))


class Plain(Writer):
    """The shape of SeqGAN's own generator and of the oracle: one LSTM, neither skipped nor normalised, and a head with a bias.

    Args:
        tokens: V
        width: of embedding and state
        dropout: share of the embedding's numbers and of the state's before the head that are dropped in training
        context: tokens that it is trained on at once
    """

    def __init__(self, tokens: int, *, width: int = 32, dropout: float = 0.0, context: int = 20):
        super().__init__(tokens, width, dropout=dropout)
        self.context = context
        self.cell = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, tokens)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        ids: torch.Tensor,
        y_N: torch.Tensor | None = None,
        z_NZ: torch.Tensor | None = None,
        memory: Memory | None = None,
    ) -> torch.Tensor:
        x_NTC = F.dropout(looked_up(self.embed, ids), self.dropout, self.training)
        h_NTC, state = self.cell(x_NTC, memory[0] if memory else None)
        if memory is not None:
            memory[:] = [state]
        assert self.head is not None
        return self.head(F.dropout(h_NTC, self.dropout, self.training))


@dataclass(frozen=True)
class Wishes:
    """How models are trained.

    Attributes:
        epochs: over the training sequences
        batch: sequences a step
        rate, dropout, width, decay: where nothing is said, each model's own
    """

    epochs: int = 4
    batch: int = 64
    rate: float | None = None
    dropout: float | None = None
    width: int | None = None
    decay: float | None = None
    say: Callable[[str], None] = print

    def of(self, **own: Any) -> dict[str, Any]:
        """The model's own numbers, but for those that were wished for."""
        return {name: value if getattr(self, name) is None else getattr(self, name) for name, value in own.items()}


@torch.no_grad()
def logits_of(objective: Language, sequences: Sequences) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What a model tells of sequences, in parts: logits over the oracle's tokens (n, T, V), and the tokens (n, T).

    The two reserved tokens are left out as they are when it writes; what is left sums to 1 again.
    """
    for at in range(0, len(sequences.ids_NT), ROWS):
        tokens_NT = sequences.some(slice(at, at + ROWS)).tokens_NT
        yield objective.average(tokens_NT[:, :-1])[..., RESERVED:].float(), tokens_NT[:, 1:] - RESERVED


def nll_of(
    objective: Language, sequences: Sequences, inverse_temperatures: tuple[float, ...] = (1.0,)
) -> list[tuple[float, float]]:
    """A model's mean NLL per token and standard error at each inverse temperature."""
    parts: list[list[torch.Tensor]] = [[] for _ in inverse_temperatures]
    for logits_NTV, ids_NT in logits_of(objective, sequences):
        for part, inverse in zip(parts, inverse_temperatures, strict=True):
            nll = F.cross_entropy((logits_NTV * inverse).flatten(0, 1), ids_NT.flatten(), reduction="none")
            part.append(nll.view_as(ids_NT))
    return [mean_and_error(torch.cat(part)) for part in parts]


def write_with(objective: Language, n: int, length: int, inverse: float, rng: Rng) -> torch.Tensor:
    """n sequences of a model at an inverse temperature, in the oracle's numbers (n, length)."""
    parts = []
    for u_NT in rng.uniform(n, length).split(ROWS):

        def pick(logits_NV: torch.Tensor, number: int, u_NT: torch.Tensor = u_NT) -> torch.Tensor:
            return drawn_by(logits_NV[:, RESERVED:].float() * inverse, u_NT[:, number]) + RESERVED

        start_NT = torch.full((len(u_NT), 1), Vocabulary.end)
        parts.append(torch.stack(list(written(objective.average, start_NT, pick, length)), 1) - RESERVED)
    return torch.cat(parts)


def trained(
    objective: Language, train: Sequences, watched: Sequences, seed: int, wishes: Wishes, schedule: Any, keep_best: bool
) -> list[float]:
    """Train and watch once an epoch; the NLL of the first GLANCE of the watched after each.

    Args:
        keep_best: the averaged weights of the epoch that watched best are put back in the end, and two epochs in a row without
            a new best end the training: ten thousand sequences are soon learnt by heart
    """
    engine = Engine(cpu=True)
    engine.prepare(objective)
    each = max(1, len(train.ids_NT) // wishes.batch)
    steps = each * wishes.epochs
    glance = Sequences(watched.ids_NT[:GLANCE], watched.tokens)
    found: list[float] = []
    best: dict[str, torch.Tensor] = {}
    for epoch in range(wishes.epochs):
        words = {"start": epoch * each, "stop": (epoch + 1) * each, "schedule": schedule, "seed": seed}
        fit(objective, train, engine, batch=wishes.batch, steps=steps, **words)
        found.append(nll_of(objective, glance)[0][0])
        wishes.say(f"  epoch {epoch + 1}: watched {found[-1]:.4f}")
        if keep_best and found[-1] == min(found):
            best = copy.deepcopy(objective.average.state_dict())
        if keep_best and min(found) < min(found[-2:]):
            break
    if best:
        objective.average.load_state_dict(best)
    return found


#: What a model is: (train, watched, seed, wishes) -> the objectives to judge, by name.
Model = Callable[[Sequences, Sequences, int, Wishes], dict[str, Language]]


def language(net: Writer, train: Sequences, watched: Sequences, seed: int, wishes: Wishes, **own: Any) -> Language:
    """A writer trained by likelihood, the best watched epoch of it."""
    words: dict[str, Any] = {"longest": train.ids_NT.shape[1], "whole": True, "half_life": len(train.ids_NT) / 4, **own}
    objective = Language(net, vocabulary_of(net.tokens - RESERVED), **words)
    trained(objective, train, watched, seed, wishes, one_cycle, keep_best=True)
    return objective


# Tried on oracle 0 (floor 5.867), width 64, batches of 64, one cycle of a peak rate of 1e-2, watched NLL after each epoch:
#   lstm, dropout 0.3, 4 epochs           7.789 7.749 7.734 7.730    (NLL_test 7.730)
#   lstm, dropout 0.5, 5 epochs           7.818 7.774 7.761 7.752 7.748
#   residual, dropout 0.3, 1 epoch of 3   7.876    (1,500 sequences, on which lstm had 7.794; broken off)
# With these numbers NLL_test is the floor + 1.863, 1.785 and 1.957 on oracles 0, 1 and 2. More dropout is no help.
# More epochs: docs/results.md. Not yet tried: less dropout, other widths and rates.


def lstm(train: Sequences, watched: Sequences, seed: int, wishes: Wishes) -> dict[str, Language]:
    """The oracle's own shape, wider."""
    own = wishes.of(width=64, dropout=0.3, rate=1e-2, decay=0.05)
    width, dropout = own.pop("width"), own.pop("dropout")
    net = Plain(train.tokens + RESERVED, width=width, dropout=dropout, context=train.ids_NT.shape[1])
    return {"lstm": language(net, train, watched, seed, wishes, **own)}


def residual(train: Sequences, watched: Sequences, seed: int, wishes: Wishes) -> dict[str, Language]:
    """The package's own recurrent net."""
    own = wishes.of(width=64, dropout=0.3, rate=1e-2, decay=0.05)
    width, dropout = own.pop("width"), own.pop("dropout")
    shape: dict[str, Any] = {"width": width, "dropout": dropout, "context": train.ids_NT.shape[1]}
    net = Recurrent(train.tokens + RESERVED, kind="lstm", layers=1, **shape)
    return {"residual": language(net, train, watched, seed, wishes, **own)}


def transformer(train: Sequences, watched: Sequences, seed: int, wishes: Wishes) -> dict[str, Language]:
    """A small causal Transformer."""
    own = wishes.of(width=64, dropout=0.3, rate=1e-2, decay=0.05)
    width, dropout = own.pop("width"), own.pop("dropout")
    shape: dict[str, Any] = {"width": width, "dropout": dropout, "context": train.ids_NT.shape[1]}
    net = Transformer(train.tokens + RESERVED, layers=2, heads=4, **shape)
    return {"transformer": language(net, train, watched, seed, wishes, **own)}


def contest(path: Contest, train: Sequences, watched: Sequences, seed: int, wishes: Wishes) -> dict[str, Language]:
    """A contest of the writer of `lstm`, and beside it what it was when the warm-up had ended, from the same run.

    The warm-up lasts as long as `lstm` trains, and the contest comes on top. Nothing of either is chosen by the watched
    sequences: their last weights are judged.
    """
    wishes = dataclasses.replace(wishes, epochs=math.ceil(wishes.epochs / WARM))
    own = wishes.of(width=64, dropout=0.3, rate=1e-2, decay=0.05)
    width, dropout = own.pop("width"), own.pop("dropout")
    tokens, length = train.tokens + RESERVED, train.ids_NT.shape[1]
    net = Plain(tokens, width=width, dropout=dropout, context=length)
    critic = None if path == "cot" else TextCritic(tokens, width=64, heads=4, context=length, dropout=0.1)
    words: dict[str, Any] = {"longest": length, "whole": True, "half_life": len(train.ids_NT) / 4, **own}
    objective = TextGan(net, vocabulary_of(train.tokens), critic=critic, path=path, warm=WARM, **words)
    trained(objective, train, watched, seed, wishes, two_acts(WARM), keep_best=False)
    return {path: objective, f"{path}, warmed": objective.before()}


MODELS: dict[str, Model] = {
    "lstm": lstm,
    "residual": residual,
    "transformer": transformer,
    **{path: functools.partial(contest, path) for path in get_args(Contest)},
}


# ------------------------------------------------------------------------------------------------------------ measurement


def curve(objective: Language, oracle: Oracle, test: Sequences, seed: int) -> list[dict[str, float]]:
    """NLL_oracle and NLL_test with their standard errors at each inverse temperature; as many are written as are told."""
    rows = []
    n, length = test.ids_NT.shape
    for inverse, (told, told_error) in zip(INVERSE_TEMPERATURES, nll_of(objective, test, INVERSE_TEMPERATURES), strict=True):
        ids_NT = write_with(objective, n, length, inverse, Rng(seed, 0, f"oracle.write.{inverse}"))
        wrote, wrote_error = mean_and_error(oracle.nll(ids_NT))
        row = {"inverse_temperature": inverse, "nll_oracle": wrote, "nll_oracle_error": wrote_error}
        rows.append(row | {"nll_test": told, "nll_test_error": told_error})
    return rows


def measured(
    oracle: Oracle, name: str, seed: int, length: int, sequences: int, models: list[str], wishes: Wishes
) -> dict[str, Any]:
    """One oracle: its floor, and the curve of each model."""

    def sequences_for(use: str) -> Sequences:
        return Sequences(oracle.write(sequences, length, Rng(seed, 0, f"oracle.{use}")), oracle.tokens)

    train, watched, test = (sequences_for(use) for use in ("train", "watched", "test"))
    floor, error = mean_and_error(oracle.nll(test.ids_NT))
    wishes.say(f"oracle {name}: floor {floor:.4f} ± {error:.4f}")
    found: dict[str, Any] = {"oracle": name, "seed": seed, "length": length, "sequences": sequences}
    found |= {"floor": floor, "floor_error": error, "models": {}}
    for model in models:
        began = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of the untrained nets
            made = MODELS[model](train, watched, seed, wishes)
        trained_in = (time.perf_counter() - began) / 60
        for called, objective in made.items():
            watched_nll = nll_of(objective, watched)[0][0]
            rows = curve(objective, oracle, test, seed)
            above = rows[0]["nll_test"] - floor
            wishes.say(f"{called}: NLL_test {rows[0]['nll_test']:.4f}, floor + {above:.4f}, trained in {trained_in:.1f} min")
            numbers = {"minutes_of_training": trained_in, "watched": watched_nll, "nll_test_above_floor": above, "curve": rows}
            found["models"][called] = numbers
    return found


def table(found: dict[str, Any]) -> str:
    """One oracle's curves in Markdown: NLL_oracle / NLL_test."""
    heads = " | ".join(f"{inverse:g}" for inverse in INVERSE_TEMPERATURES)
    lines = [
        f"Oracle {found['oracle']}, {found['length']} tokens, {found['sequences']:,} sequences, floor "
        f"{found['floor']:.4f} ± {found['floor_error']:.4f} nats per token. NLL_oracle / NLL_test by inverse temperature:",
        "",
        f"| model | NLL_test - floor | {heads} |",
        "| --- " * (2 + len(INVERSE_TEMPERATURES)) + "|",
    ]
    for model, numbers in found["models"].items():
        cells = " | ".join(f"{row['nll_oracle']:.3f} / {row['nll_test']:.3f}" for row in numbers["curve"])
        lines.append(f"| {model} | {numbers['nll_test_above_floor']:.3f} | {cells} |")
    for model, numbers in found["models"].items():
        if warmed := found["models"].get(f"{model}, warmed"):
            apart = above(numbers["curve"], warmed["curve"], "nll_oracle", "nll_test")
            cells = " | ".join("–" if value is None else f"{value:+.3f}" for value in apart)
            lines.append(f"| {model}: NLL_test above its warm-up's at the same NLL_oracle | | {cells} |")
    return "\n".join([*lines, ""])


def draw(every: list[dict[str, Any]], path: Path) -> None:
    """The curves as a picture, an oracle beside the other; its floor is a cross."""
    figure = Figure(figsize=(5.5 * len(every), 4.5), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, found in zip(figure.subplots(1, len(every), squeeze=False)[0], every, strict=True):
        for model, numbers in found["models"].items():
            points = [(row["nll_test"], row["nll_oracle"]) for row in numbers["curve"]]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=model)
        axes.plot(found["floor"], found["floor"], "kx", markersize=9, label="floor")
        axes.set(title=f"oracle {found['oracle']}", xlabel="NLL_test, nats per token", ylabel="NLL_oracle, nats per token")
        axes.grid(alpha=0.3)
        axes.legend()
    canvas.print_png(path)


PARAMETERS = f"""instead of drawn ones: an .npz, or a folder of .npz of one array each, with
{", ".join(f"{name} ({shape})" for name, shape in SHAPES.items())} for V tokens, E numbers of an embedding and H of a state;
{", ".join(PUBLISHED)} are other names for the same"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the oracle, its sequences and the training")
    words.add_argument("--models", nargs="+", choices=list(MODELS), default=["lstm", "transformer"])
    words.add_argument("--length", type=int, choices=(20, 40), default=20, help="tokens of a sequence")
    words.add_argument("--sequences", type=int, default=10_000, help="to learn from, to watch, to judge with and to write")
    words.add_argument("--oracle-params", type=Path, metavar="FILE", help=PARAMETERS)
    words.add_argument("--epochs", type=int, default=Wishes.epochs)
    words.add_argument("--batch", type=int, default=Wishes.batch)
    for name, kind in (("rate", float), ("dropout", float), ("width", int), ("decay", float)):
        words.add_argument(f"--{name}", type=kind, help="instead of each model's own")
    words.add_argument("--out", type=Path, default=Path("oracle"))
    given = words.parse_args()
    asked = {name: getattr(given, name) for name in ("epochs", "batch", "rate", "dropout", "width", "decay")}
    wishes = Wishes(**asked, say=lambda text: print(text, flush=True))
    try:
        loaded = Oracle.load(given.oracle_params) if given.oracle_params else None
    except Wrong as wrong:
        raise SystemExit(f"oracle: {wrong}") from None
    given.out.mkdir(parents=True, exist_ok=True)
    every: list[dict[str, Any]] = []
    for seed in given.seeds:
        oracle = Oracle.drawn(seed) if loaded is None else loaded
        name = str(seed) if loaded is None else f"{given.oracle_params.name}, seed {seed}"
        every.append(measured(oracle, name, seed, given.length, given.sequences, given.models, wishes))
        print(table(every[-1]), flush=True)
        # After every oracle: what was found is kept whatever comes next.
        write_json(given.out / "oracle.json", {"asked": asked, "oracles": every})
        write_text(given.out / "oracle.md", "\n".join(map(table, every)))
        draw(every, given.out / "oracle.png")


if __name__ == "__main__":
    main()
