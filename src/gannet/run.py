"""The run folder: train into one, resume one, load one. Here data, objective, loop and folder come together.

recipe.json        what was asked, what it became, and what the data was
model.safetensors  the nets of the finished model
best.safetensors   the nets where the score watched while training was best; either file says of which step it is
metrics.jsonl      numbers, a line per interval
preflight.json     what was looked at before it began
evaluation.json    what `gannet evaluate` measured
samples/           what it drew from the same noise while it learnt, and a GIF of that
resume/STEP.pt     everything that going on needs; resume/good.pt is the last whose score was no collapse
README.md          the model card
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import inspect
import io
import itertools
import json
import math
import platform
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes

from gannet import __version__, card, folders, preflight, recipe, telling
from gannet.data import Ledger, images, keeping
from gannet.data.play import options_of
from gannet.errors import Wrong
from gannet.files import save_picture, write_bytes, write_json, write_text
from gannet.objectives import nets_of
from gannet.rng import Rng
from gannet.rng import number as mixed
from gannet.training import checkpoint, guard, loop
from gannet.training.engine import Engine, bfloat16_pays
from gannet.training.log import Log, whole_lines

if TYPE_CHECKING:
    from gannet.evaluation.play import Episode

FRAMES = 48  # pictures in `samples/`, spread evenly over the run
KEPT = 2  # checkpoints in `resume/`
LARGE = 10**9  # bytes of a memory, from which on checkpoints are few
SCORED = 16  # times that the cheap score is taken, evenly over the run …
SCORED_APART = 5_000  # … but with at least so many examples between
LONGER = 1.5  # times the steps that a run with --minutes must have time for to begin anew
ABOUT = ("step", "examples", "seconds")  # what a line of metrics.jsonl says beside its numbers
PRECISIONS = ("auto", "float32", "bfloat16")
CLASS = re.compile(r"(?!highway_env\.)[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")  # package.module.Class
WEIGHTS = {"last": "model.safetensors", "best": "best.safetensors"}


class Stopped(Wrong):
    """A signal asked the run to stop; everything is saved."""


class _Timed(Exception):
    """Enough steps have been timed."""


class Collapsed(Exception):
    """The watched score says that the run has collapsed: at which step, and why."""

    def __init__(self, step: int, why: str):
        super().__init__(f"collapsed at step {step}: {why}")
        self.step, self.why = step, why


class Reached(Exception):
    """The score that was asked for is reached: at which step."""

    def __init__(self, step: int):
        super().__init__(f"reached at step {step}")
        self.step = step


class Quicker(Exception):
    """Steps take far less time than when they were timed: for how many there would be time, and minutes left for them."""

    def __init__(self, steps: int, minutes: float):
        super().__init__(f"time for {steps} steps")
        self.steps, self.minutes = steps, minutes


class Run:
    """A run folder, loaded: its nets are ordinary torch modules, rebuilt from the folder alone.

    Attributes:
        folder: where it lies
        record: recipe.json
        objective: players and losses; `nets` are the finished model's
        step: after which the loaded weights were saved
        trust: code that the folder names may be run: an environment of somebody's own
    """

    def __init__(self, folder: Path, record: dict[str, Any], objective: Any, step: int, trust: bool = False):
        self.folder, self.record, self.objective, self.step, self.trust = folder, record, objective, step, trust

    @property
    def nets(self) -> dict[str, torch.nn.Module]:
        """The model's nets by name, in eval mode, weights loaded."""
        return self.objective.nets()

    @property
    def classes(self) -> list[str]:
        """Names of the classes that the model learnt; empty where it learnt none."""
        facts = next(iter(self.record["data"].values()))
        return facts["classes"] if self.objective.classes else []

    def sample(
        self, n: int = 64, *, seed: int = 0, label: int | str | None = None, truncation: float = 1.0, best_of: int = 1
    ) -> np.ndarray:
        """Draw n pictures.

        Args:
            n: how many; picture k is the same whatever n is
            seed: of the noise
            label: a class's name or number; without one, classes take turns
            truncation: what noise is multiplied by: below 1, pictures are more usual and more alike
            best_of: so many are drawn for each picture, and the critic rejects all but the one it takes most for real

        Returns:
            uint8 array (n, H, W, C), C = 1 for grey, 3 for RGB and 4 for RGBA.

        Raises:
            Wrong: for n < 1, a truncation that is not above 0, best_of < 1, and for a class that the model does not have.
        """
        if not hasattr(self.objective, "sample"):
            other = "write(n) of the run" if hasattr(self.objective, "write") else "gannet predict RUN FILES"
            other = "play(n) of the run" if hasattr(self.objective, "decide") else other
            raise Wrong("this run draws nothing", got=self.record["recipe"], try_=other, usage=True)
        check_number(n)
        check_truncation(truncation)
        if best_of < 1:
            raise Wrong("--best-of must be at least 1", got=best_of, try_="--best-of 4", usage=True)
        wishes = {"truncation": (truncation, 1), "best_of": (best_of, 1)}
        more = {name: wish for name, (wish, usual) in wishes.items() if wish != usual}  # others' objectives may not know them
        x_NCHW = self.objective.sample(n, seed, self.class_number(label), **more)
        return images.straight(images.to_bytes(x_NCHW)).permute(0, 2, 3, 1).contiguous().numpy()

    def write(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        label: int | str | None = None,
        prompt: str = "",
        temperature: float = 1.0,
        top_p: float = 1.0,
        length: int | None = None,
    ) -> list[str]:
        """Write n texts.

        Args:
            n: how many; text k is the same whatever n is, but for rounding
            seed: of the random numbers
            label: a class's name or number; without one, classes take turns
            prompt: what they begin with
            temperature: below 1 the likely is likelier still; at 0 nothing is left to chance
            top_p: only the likeliest tokens that together have this chance
            length: tokens of each at most, the prompt's apart; without, as long as texts of its kind are

        Raises:
            Wrong: for a run that writes nothing, numbers out of their range, and a prompt with characters never seen.
        """
        words = self._words(n, label, prompt, temperature, top_p, length)
        return self.objective.write(n, seed, self.class_number(label), **words)

    def stream(self, *, number: int = 0, seed: int = 0, label: int | str | None = None, **wishes: Any) -> Iterator[str]:
        """Text `number` of `write`, in pieces as they come; `wishes` are those of `write`."""
        words = self._words(1, label, **wishes)
        return self.objective.stream(seed, self.class_number(label), number=number, **words)

    def check_texts(self, n: int, *, seed: int = 0, label: int | str | None = None, **wishes: Any) -> None:
        """Look over what is wished for of texts, without writing any; as for `write`."""
        self._words(n, label, **wishes)
        self.class_number(label)

    def _words(
        self,
        n: int,
        label: int | str | None,
        prompt: str = "",
        temperature: float = 1.0,
        top_p: float = 1.0,
        length: int | None = None,
    ) -> dict[str, Any]:
        """What is wished for of texts, looked over."""
        if not hasattr(self.objective, "write"):
            raise Wrong("this run writes nothing", got=self.record["recipe"], try_="gannet sample RUN", usage=True)
        check_number(n)
        if not 0 <= temperature < math.inf:
            raise Wrong("--temperature is 0 or above", got=temperature, try_="--temperature 0.8", usage=True)
        if not 0 < top_p <= 1:
            raise Wrong("--top-p is a chance above 0, at most 1", got=top_p, try_="--top-p 0.9", usage=True)
        if length is not None and length < 1:
            raise Wrong("--length must be at least 1", got=length, try_="--length 500", usage=True)
        self.objective.beginning(prompt)  # says which characters were never seen, before anything is written
        return {"prompt": prompt, "temperature": temperature, "top_p": top_p, "length": length}

    def play(self, n: int = 1, *, seed: int = 0, greedy: bool = False, frames: bool = False) -> list[Episode]:
        """Play n episodes.

        Args:
            n: how many; episode k is the same whatever n is
            seed: of the environments and of the choices
            greedy: the likeliest action is taken always, instead of being drawn
            frames: keep what a person would have seen, (T + 1, H, W, 3) bytes of each: slow, and large

        Returns:
            of each its returns (the sum of its rewards), its length in steps, whether it came to an end, and its frames.

        Raises:
            Wrong: for a run that does not play, n < 1, an environment that is somebody's own code and not trusted, one that is
                not installed, and, where frames are asked for, one that cannot draw itself.
        """
        from gannet.evaluation import play as playing

        check_number(n)
        choose, which = playing.agent(self.agent(), greedy), playing.seeds(playing.SHOWN, n, seed)
        if frames:
            return [playing.filmed(self.objective.play, choose, one, seed=seed) for one in which]
        return playing.played(self.objective.play, choose, which, seed=seed)

    def agent(self) -> Any:
        """The objective of a run that plays.

        Raises:
            Wrong: where it does not, or its environment is somebody's own code, which the run was not loaded to trust.
        """
        if not hasattr(self.objective, "decide"):
            raise Wrong("this run does not play", got=self.record["recipe"], try_="gannet sample RUN", usage=True)
        check_own(self.record, self.trust)
        return self.objective

    def predict(self, pictures: telling.Pictures, *, least: float | None = None) -> list[dict[str, Any]]:
        """What a classifier takes pictures for, at the temperature fitted when it was trained; or what a detector sees.

        Args:
            pictures: files, made square as the training pictures were; or bytes (N, H, W, C) of the run's size
            least: of a detector: chance from which a box is told; without, the threshold that was chosen when it was trained

        Returns:
            for each {"file" (of files), "class", "chance", "chances": {name: chance}, likeliest first}; of a detector
            {"file", "boxes": [{"class", "chance", "box": [x0, y0, x1, y1] in pixels}]}; {"file", "wrong"} for a file that
            cannot be used.

        Raises:
            Wrong: for a run that tells nothing, and for an array of another shape.
        """
        if not hasattr(self.objective, "logits") and not hasattr(self.objective, "boxes"):
            other = "gannet.matching" if hasattr(self.objective, "embed") else "gannet sample RUN"
            raise Wrong("this run tells nothing apart", got=self.record["recipe"], try_=other, usage=True)
        facts = next(iter(self.record["data"].values()))
        return telling.tell(self.objective, facts, self.record.get("trained", {}), pictures, least)

    def digest(self) -> str:
        """sha256 of what the model does: of what it draws or writes, or of what it says or sees in noise."""
        if hasattr(self.objective, "write"):
            return hashlib.sha256("\0".join(self.objective.write(4, 0, length=64)).encode()).hexdigest()
        if hasattr(self.objective, "sample"):
            return hashlib.sha256(self.sample(16).tobytes()).hexdigest()
        noise = self.random_inputs(16)
        if hasattr(self.objective, "decide"):
            said = [part for part in self.objective.decide(noise) if part is not None]
        elif hasattr(self.objective, "boxes"):
            said = [*self.objective.boxes(noise)]
        else:
            said = [(self.objective.embed if hasattr(self.objective, "embed") else self.objective.logits)(noise)]
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in said)).hexdigest()

    def random_inputs(self, n: int) -> torch.Tensor:
        """n inputs of chance as a net that plays or looks takes them: observations (n, ...), or byte pictures (n, C, H, W)."""
        facts = next(iter(self.record["data"].values()))
        plays = hasattr(self.objective, "decide")
        shape = (n, *(facts["shape"] if plays else (facts["channels"], facts["pixels"], facts["pixels"])))
        x = Rng(0, 0, "digest").integers(256, math.prod(shape)).view(shape)
        return x / 64 - 2 if plays and not facts["bytes"] else x.to(torch.uint8)

    def class_number(self, label: int | str | None) -> int | None:
        """A class's number from its name or number."""
        if label is None:
            return None
        if not self.classes:
            again = f"gannet train {self.record['recipe']} --classes"
            raise Wrong("this run has not learnt classes", got=f"class {label}", try_=again, usage=True)
        if str(label) in self.classes:
            return self.classes.index(str(label))
        if str(label).isdecimal() and int(label) < len(self.classes):
            return int(label)
        raise Wrong("this run has no such class", got=label, try_=", ".join(self.classes), usage=True)


def check_own(record: dict[str, Any], trust: bool) -> None:
    """One line for code that playing a run would import, and that nobody has said to trust: an environment that it names as
    module:class, and a class among its options, as highway-env takes them.

    Anybody can write a run folder: so every data set in it is looked at, and what it says its recipe was asked for.
    """
    played = [facts for facts in record["data"].values() if facts.get("kind") == "play"]
    if trust or not played:
        return
    names = [facts["name"] for facts in played] + [record["arguments"].get("data")]
    own = [name for name in names if isinstance(name, str) and ":" in name and not name.startswith(("gannet.", "ale_py:"))]
    options = [options_of(record["arguments"].get("options")), *(facts["options"] for facts in played)]
    own += [word for word in _leaves(options) if CLASS.fullmatch(word)]
    if own:
        what = "this run's environment is code of somebody's own, and playing it runs that code"
        raise Wrong(what, got=own[0], try_="--trust")


def _leaves(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    elif isinstance(value, str):
        yield value


def check_number(n: int) -> None:
    """One line for a number of samples that cannot be drawn or written."""
    if n < 1:
        raise Wrong("the number of samples must be at least 1", got=n, try_="-n 64", usage=True)


def check_truncation(truncation: float) -> None:
    """One line for what noise cannot be multiplied by."""
    if not 0 < truncation < float("inf"):
        raise Wrong("--truncation must be above 0", got=truncation, try_="--truncation 0.7", usage=True)


def load(folder: str | Path, *, weights: str = "last", trust: bool = False) -> Run:
    """Load a run folder: no data set, no network, no code from the folder unless `trust`.

    Args:
        folder: as written by `train`
        weights: last, or best by the score that was watched while training
        trust: run the folder's own recipe.py, where the run was somebody's own recipe file

    Raises:
        Wrong: for a folder that is missing, incomplete, damaged, or written by a newer version.
    """
    if weights not in WEIGHTS:
        raise Wrong("no such weights", got=weights, try_=" or ".join(WEIGHTS), usage=True)
    folder = Path(folder)
    record = folders.read_record(folder)
    card_ = _card(folder, record, trust)
    with keeping(Ledger(facts=record["data"], recalled=True)), torch.random.fork_rng(devices=[]):
        made = recipe.build(card_, record["arguments"])
    path = folder / WEIGHTS[weights]
    if weights == "best" and not path.is_file():
        raise Wrong("this run has kept no best weights", got=folder, try_="--weights last")
    if not path.is_file():
        raise Wrong("this run has not saved a model yet", got=folder, try_=f"{record['command']} to go on with it")
    note = _fill(made.objective.nets(), path, record)
    if weights == "best" and "of_best" in record.get("trained", {}):  # what was found of these weights when the run ended
        record = record | {"trained": record["trained"] | record["trained"]["of_best"]}
    _on_cpu(made.objective, record)
    return Run(folder, record, made.objective, note.get("step", 0), trust)


def _on_cpu(objective: Any, record: dict[str, Any]) -> None:
    """An objective as it is used when it is loaded: on the CPU, in the precision that it was trained in, or in full where that
    would be slow."""
    for net in nets_of(objective):
        net.cpu()
    if hasattr(objective, "precision"):
        fast = record["precision"] == "bfloat16" and bfloat16_pays(torch.device("cpu"))
        objective.precision = "bfloat16" if fast else "float32"


def _fill(nets: dict[str, torch.nn.Module], path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Load a file of weights into nets, in place, and put them into eval mode; returns the note that it carries.

    Raises:
        Wrong: where it is damaged, a weight is no number, or it does not fit.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
            note = _note(file)
    except (SafetensorError, OSError) as error:
        raise Wrong("the run's model is damaged", got=f"{path}: {error}") from error
    for name, net in nets.items():
        state = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        _check_finite(state, path)
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            written = f"{path}, written by gannet {record['gannet']}, read by {__version__}"
            raise Wrong("the run's model does not fit its recipe", got=written) from error
        net.eval()
    return note


def evaluate(
    folder: str | Path,
    *,
    weights: str = "last",
    features: str = "auto",
    full: bool = False,
    seed: int = 0,
    greedy: bool = False,
    episodes: int | None = None,
    offline: bool = False,
    trust: bool = False,
) -> dict[str, Any]:
    """Score a run beside its floors; write evaluation.json, samples/closest.png, and the scores into a finished run's card.

    Args:
        folder: as written by `train`
        weights: last or best
        features: auto (the digit classifier for mnist, a fixed random net otherwise), digits, random, inception or dinov2
        full: also train a classifier on drawn pictures; of texts, two LM scores (minutes)
        seed: of the first of three drawings
        greedy: of an agent: its likeliest action is taken always, instead of being drawn
        episodes: of an agent: how many are played
        offline: never touch the network
        trust: run the folder's own recipe.py, or an environment of somebody's own

    Returns:
        evaluation.json.

    Raises:
        Wrong: for a run that cannot be loaded, data that are not those of the run, and what cannot be measured.
    """
    loaded = load(folder, weights=weights, trust=trust)
    where, record, objective = loaded.folder, loaded.record, loaded.objective
    more = {"greedy": True} if greedy else {}
    more |= {} if episodes is None else {"episodes": episodes}
    if more and not hasattr(objective, "decide"):
        raise Wrong("this run plays no episodes", got=f"--{next(iter(more))}", try_="no such flag", usage=True)
    check_own(record, trust)
    with reopened(loaded, offline=offline, trust=trust) as made:
        if foreign := more.keys() - inspect.signature(made.evaluation.judge).parameters.keys():
            what = "this recipe's evaluation has its own way of playing"
            raise Wrong(what, got=f"--{min(foreign)}", try_="without it", usage=True)
        scores, closest = made.evaluation.judge(objective, wish=features, full=full, seed=seed, **more)
    report = {"weights": weights, "step": loaded.step, **scores}
    write_json(where / "evaluation.json", report)
    save_picture(closest, where / "samples" / "closest.png")
    if folders.finished(where, record):
        write_text(where / "README.md", card.write(record, report, _looked(where)))
    return report


@contextlib.contextmanager
def reopened(run: Run, *, offline: bool = False, trust: bool = False) -> Iterator[recipe.Recipe]:
    """A run's recipe again, this time with its data, for as long as the block lasts; its nets are untrained.

    Raises:
        Wrong: where it has no evaluation, the data cannot be had, or they are not those that the run was trained on.
    """
    with keeping(Ledger(offline=offline)) as book:
        with torch.random.fork_rng(devices=[]):
            made = recipe.build(_card(run.folder, run.record, trust), run.record["arguments"])
        if made.evaluation is None:
            needs = "evaluation=Pictures(train, test) in its Recipe(...)"
            raise Wrong("this run's recipe has no evaluation", got=run.record["recipe"], try_=needs)
        _same_data(_with_own(book.facts, made), run.record, "the data that it was trained on")
        yield made


def _card(folder: Path, record: dict[str, Any], trust: bool) -> recipe.Card:
    if not record["own"]:
        if str(record["recipe"]).endswith(".py"):  # a shipped recipe has a name; a file is somebody's code
            raise Wrong("the run's recipe.json names a file as a shipped recipe", got=record["recipe"])
        return recipe.find(record["recipe"])
    if not trust:
        raise Wrong(
            "this run was made by a recipe file of somebody's own; loading it runs that file", got=folder, try_="--trust"
        )
    return recipe.read(folder / "recipe.py", shipped=False)


def _check_finite(tensors: dict[str, torch.Tensor], path: Path, try_: str | None = None) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise Wrong("a saved weight is not finite; nothing was loaded", got=f"{name} in {path}", try_=try_)


def train(
    name: str,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    new: bool = False,
    more: int | None = None,
    offline: bool = False,
    precision: str = "auto",
    skip: dict[str, str] | None = None,
    start: str | Path | None = None,
    until: str | None = None,
    command: str | None = None,
    **flags: Any,
) -> Run:
    """Look a recipe over, then train it into a run folder; the same call again goes on where it stopped.

    Args:
        name: a recipe's name, or the path of a recipe file
        minutes: train for about this long; the first steps are timed, which fixes the number of steps
        steps: train for this many steps instead
        out: the run folder; otherwise runs/NAME-NUMBER under the current folder
        new: begin a new run even where an unfinished one could go on
        more: lengthen the finished run in `out` by this many steps; an unfinished one goes on as it is
        offline: never touch the network
        precision: float32, bfloat16, or auto: bfloat16 where the recipe is none the worse for it and the machine is faster
        skip: preflight checks to leave out, each with its reason, which is kept in the run; {"all": reason} leaves out all
        start: a run whose nets a new run begins with, as far as their sizes are the same: fine-tuning
        until: stop where the watched score is low enough: "fid<0.5"
        command: what to write down as the command that made the run
        flags: the recipe's own arguments

    Returns:
        The finished run, loaded.

    Raises:
        Wrong: for bad arguments, a preflight check that fails, data that cannot be had, a loss that is not finite, a full disk.
            Also for a run that collapses a second time; after the first it goes on from its last good state by itself.
        Stopped: after SIGINT or SIGTERM, when everything has been saved.
    """
    where, _ = _train(
        name, minutes=minutes, steps=steps, out=out, new=new, more=more, offline=offline, precision=precision, skip=skip,
        start=start, until=until, command=command, **flags,
    )  # fmt: skip
    return load(where, trust=True)


def _train(
    name: str,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    new: bool = False,
    more: int | None = None,
    offline: bool = False,
    precision: str = "auto",
    skip: dict[str, str] | None = None,
    start: str | Path | None = None,
    until: str | None = None,
    command: str | None = None,
    **flags: Any,
) -> tuple[Path, recipe.Recipe | None]:
    """`train`, up to the folder and, unless it was finished already, the recipe with the nets as they were trained."""
    chosen = recipe.find(str(name))
    arguments = recipe.resolve(chosen, flags)
    _check_numbers(minutes, steps, more, precision, out)
    preflight.check_skip(skip)
    engine = Engine()
    request = {"recipe": chosen.name, "own": not chosen.shipped, "arguments": arguments, "minutes": minutes}
    request |= {"steps": steps, "precision": precision}
    if start is not None:
        request["start"] = str(start)
    if until is not None:
        guard.target(until)
        request["until"] = until
    if not chosen.shipped:  # an edited file is another recipe
        request["recipe_sha256"] = hashlib.sha256(chosen.path.read_bytes()).hexdigest()
    with contextlib.ExitStack() as stack:
        book = stack.enter_context(keeping(Ledger(offline=offline)))
        where, record = engine.agree(lambda: folders.choose(chosen, request, out, new=new, more=more, stack=stack))
        finished = engine.agree(lambda: record is not None and folders.finished(where, record))  # before anybody writes
        if record is not None and finished and more is None:
            if engine.first:
                print(f"{where} is finished ({record['steps']} steps); --more STEPS lengthens it", file=sys.stderr)
            return where, None
        # What a recipe chose for itself when the run began, and a newer version or another machine might choose otherwise.
        asked = (record["arguments"], record["precision"]) if record else (arguments, precision)
        made, filled = _build(chosen, *asked, engine)
        book.facts = _with_own(book.facts, made)
        if record is None:
            begun = {} if start is None else {"start_sha256": hashlib.sha256(_begun_with(start).read_bytes()).hexdigest()}
            to_come = {"steps": steps, "minutes": minutes, "folder": Path(out) if out else folders.RUNS}
            rows = engine.agree(lambda: _look(preflight.Case(made, engine, **to_come), chosen, arguments, skip))
            length = int(engine.broadcast(_length(made, engine, minutes, steps)))
            record = _record(request, made, book, length, engine, command, chosen) | begun | {"arguments": filled}
            where = engine.agree(lambda: folders.create(where, record, chosen, stack, numbered=out is None))
            if engine.first:
                write_json(where / "preflight.json", preflight.record(rows))
        else:
            _same_data(book.facts, record, "--new for a run on these data")
            if more is not None and finished:  # an interrupted lengthening goes on instead
                record = record | {"steps": record["steps"] + more, "lengthened": [*record.get("lengthened", []), more]}
                record.pop("trained", None)  # what the shorter run came to
                record["examples"] = record["steps"] * record["batch"]
                record["checkpoint_every"] = _apart(record["steps"], made.objective)
                record.pop("until", None)  # the goal is no longer that of the shorter run
                record |= {} if until is None else {"until": until}
                if engine.first:
                    write_json(where / "recipe.json", record)
                    (where / "README.md").unlink(missing_ok=True)  # the card of the shorter run: this one is not finished
            minutes = None  # that is settled
        while True:
            try:
                _go(where, record, made, engine, minutes)
            except Quicker as quicker:
                record, minutes = engine.agree(functools.partial(_anew, where, record, made, quicker)), quicker.minutes
                made, _ = _build(chosen, record["arguments"], record["precision"], engine)
            else:
                break
    engine.wait()
    return where, made


def _build(
    chosen: recipe.Card, arguments: dict[str, Any], precision: str, engine: Engine
) -> tuple[recipe.Recipe, dict[str, Any]]:
    """A recipe, ready to train on the engine in the precision that is settled here, and its arguments with what was left open
    filled in: a flag `batch` that is None becomes the recipe's own batch, or what of it the memory holds."""

    def build(arguments: dict[str, Any]) -> recipe.Recipe:
        with torch.random.fork_rng(devices=[]):  # the nets' first weights; a caller's own numbers stay as they were
            torch.default_generator.manual_seed(arguments.get("seed", 0))
            made = recipe.build(chosen, arguments)
        engine.share(made.batch)
        engine.prepare(made.objective)
        engine.settle(precision, made.bfloat16)
        if hasattr(made.objective, "precision"):
            made.objective.precision = engine.precision
        return made

    if arguments.get("batch") is not None and arguments["batch"] < 1:
        raise Wrong("a batch has at least one example", got=f"--batch {arguments['batch']}", try_="--batch 64", usage=True)
    made = build(arguments)
    if "batch" not in arguments or arguments["batch"] is not None:
        return made, arguments
    arguments = arguments | {"batch": int(engine.broadcast(preflight.fitting(preflight.Case(made, engine))))}
    if arguments["batch"] != made.batch:
        if engine.first:
            print(f"batches of {arguments['batch']} instead of {made.batch}: the memory that is free", file=sys.stderr)
        made = build(arguments)
    return made, arguments


def _look(
    case: preflight.Case, chosen: recipe.Card, arguments: dict[str, Any], skip: dict[str, str] | None
) -> list[preflight.Row]:
    """The fast checks before a run; warnings are told, a failure stops it before there is a folder."""
    rows = preflight.fly(case, skip=skip)
    if preflight.failed(rows):
        raise preflight.refuse(rows, _words(chosen, arguments))
    for row in rows:
        if row.verdict == "warn":
            print(f"preflight: {row.name}: {row.measured}; expected {row.expected}; {row.cause}", file=sys.stderr)
    counts = preflight.record(rows)["counts"]
    took = sum(row.seconds for row in rows)
    left_out = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    will = "".join(f"; {row.measured}" for row in rows if row.name == "length")
    print(f"preflight: {counts['pass']} checks passed in {took:.1f} s{left_out}{will}", file=sys.stderr)
    return rows


def _words(chosen: recipe.Card, arguments: dict[str, Any]) -> str:
    """A recipe and its flags as they are typed."""
    words = [chosen.name if chosen.shipped else f"./{chosen.path.name}"]
    for flag in chosen.flags:
        value, dashed = arguments[flag.name], flag.name.replace("_", "-")
        if value != flag.default:
            words += [f"--{'' if value else 'no-'}{dashed}"] if isinstance(value, bool) else [f"--{dashed}", str(value)]
    return shlex.join(words)


def look_over(
    name: str,
    *,
    out: str | Path | None = None,
    skip: dict[str, str] | None = None,
    offline: bool = False,
    precision: str = "auto",
    tell: Callable[[preflight.Row], None] | None = None,
    **flags: Any,
) -> list[preflight.Row]:
    """All preflight checks of a recipe; nothing is trained, and nothing of the recipe's is changed.

    Args:
        name: a recipe's name, or the path of a recipe file
        out: folder for preflight.json and fed.png or fed.txt, what the nets are really fed; otherwise preflight/NAME
        skip: checks to leave out, each with its reason
        offline: never touch the network
        precision: float32 or bfloat16
        tell: told of each check as it is done
        flags: the recipe's own arguments

    Raises:
        Wrong: for bad arguments and for data that cannot be had; a check that fails is no error but a row.
    """
    chosen = recipe.find(str(name))
    arguments = recipe.resolve(chosen, flags)
    preflight.check_skip(skip)
    _check_numbers(None, None, None, precision, out)

    def build(size: str | None = None) -> recipe.Recipe:
        with keeping(Ledger(offline=offline)), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(arguments.get("seed", 0))
            return recipe.build(chosen, arguments | ({"size": size} if size else {}))

    engine = Engine()
    if engine.world > 1:
        raise Wrong("preflight looks in one process", got=f"{engine.world} processes", try_="without torchrun", usage=True)
    with keeping(Ledger(offline=offline)):
        made, filled = _build(chosen, arguments, precision, engine)
    sizes = next((typing.get_args(flag.kind) for flag in chosen.flags if flag.name == "size"), ())
    case = preflight.Case(
        made,
        engine,
        again=build if {"tiny", "small"} <= set(sizes) else None,
        rehearse=lambda: rehearse(name, offline=offline, precision=precision, **filled),
    )
    rows = preflight.fly(case, full=True, skip=skip, tell=tell)
    folder = Path(out) if out else Path("preflight") / chosen.name
    write_json(folder / "preflight.json", preflight.record(rows))
    if any(preflight.LOST in row.measured for row in rows):  # nothing more can be drawn on that card
        return rows
    fed, sheet = preflight.fed_text(case), preflight.sheet(case)
    if fed is not None:
        write_text(folder / "fed.txt", fed)
    if sheet is not None:
        save_picture(sheet, folder / "fed.png")
    return rows


DIGEST = """
import sys
from gannet.run import load
print(load(sys.argv[1], trust=True).digest())
"""


def rehearse(name: str, **words: Any) -> tuple[str, str]:
    """Two steps of a recipe into a folder that is thrown away: digest of what the nets that were trained do, and of what
    the folder's do in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                where, made = _train(name, steps=2, out=Path(folder) / "run", skip={"all": "a rehearsal"}, **words)
        except Stopped as stopped:  # by somebody at the keyboard, who does not mean the rehearsal
            raise KeyboardInterrupt from stopped
        assert made is not None
        record = folders.read_record(where)
        _on_cpu(made.objective, record)
        live = Run(where, record, made.objective, 2).digest()
        fresh = subprocess.run([sys.executable, "-c", DIGEST, where], capture_output=True, text=True)
    if fresh.returncode:
        raise Wrong("the run cannot be loaded in a fresh process", got=fresh.stderr.strip().splitlines()[-1])
    return live, fresh.stdout.strip()


def _check_numbers(minutes: float | None, steps: int | None, more: int | None, precision: str, out: Any) -> None:
    if minutes is not None and steps is not None:
        raise Wrong("--minutes and --steps are both given: keep one", got=f"{minutes} and {steps}", usage=True)
    for flag, value in (("--minutes", minutes), ("--steps", steps), ("--more", more)):
        if value is not None and not 0 < value < float("inf"):
            raise Wrong(f"{flag} must be above 0", got=value, usage=True)
    if more is not None and out is None:
        raise Wrong("--more lengthens a run that is named", got=f"--more {more}", try_="--out RUN beside it", usage=True)
    if precision not in PRECISIONS:
        raise Wrong("no such precision", got=precision, try_=", ".join(PRECISIONS), usage=True)


def _length(made: recipe.Recipe, engine: Engine, minutes: float | None, steps: int | None) -> int:
    """Steps of the whole run; for a number of minutes, timed on a throwaway copy of everything that training changes."""
    if minutes is None:
        return steps or max(1, made.examples // made.batch)
    trial = copy.deepcopy(made.objective)
    settings: dict[str, Any] = {"batch": made.batch, "steps": 10**9, "schedule": made.schedule, "seed": made.seed}
    ends: list[float] = []  # of every fifth step; those before the first pay for caches and memory

    def note(step: int, seen: dict[str, float]) -> None:
        ends.append(time.perf_counter())
        enough = ends[-1] - ends[0] >= min(4.0, 6 * minutes) and len(ends) > 3
        if engine.broadcast(enough):  # all processes stop timing together
            raise _Timed

    with contextlib.suppress(_Timed):
        loop.fit(trial, made.data, engine, **settings, every=[(5, note)])
    spent = [later - earlier for earlier, later in itertools.pairwise(ends)]
    began = time.perf_counter()
    if made.show:
        _show(trial, made)
    frames = FRAMES * (time.perf_counter() - began)
    return max(1, round((60 * minutes - min(frames, 6 * minutes)) / (statistics.median(spent) / 5)))


def _record(
    request: dict[str, Any],
    made: recipe.Recipe,
    book: Ledger,
    steps: int,
    engine: Engine,
    command: str | None,
    chosen: recipe.Card,
) -> dict[str, Any]:
    """recipe.json of a run that begins."""
    sizes = {name: sum(p.numel() for p in player.net.parameters()) for name, player in made.objective.players.items()}
    return {
        "format": folders.FORMAT,
        "gannet": __version__,
        **request,
        "request": request,
        "arm": chosen.arm,
        "command": command or _call(chosen, request),
        "seed": made.seed,
        "batch": made.batch,
        "steps": steps,
        "examples": steps * made.batch,
        "checkpoint_every": _apart(steps, made.objective),
        "precision": engine.precision,
        "parameters": sizes,
        "draws": bool(made.show),
        "data": book.facts,
        "processes": engine.world,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {engine.device.type}",
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe_sha256": hashlib.sha256(chosen.path.read_bytes()).hexdigest(),
    }


def _apart(steps: int, objective: Any) -> int:
    """Steps between checkpoints: a twentieth of the run or less; a fifth where a memory makes each of them large."""
    memory = getattr(objective, "memory", None)  # 1.6 GB twenty times took 4 of 49 minutes
    many = 5 if memory is not None and memory.nbytes > LARGE else 20
    return min(max(steps // many, 1), 2000)


def _call(chosen: recipe.Card, request: dict[str, Any]) -> str:
    """The Python call that makes this run."""
    name = chosen.name if chosen.shipped else chosen.path.name
    defaults = {flag.name: flag.default for flag in chosen.flags} | {
        "minutes": None,
        "steps": None,
        "precision": "auto",
        "start": None,
        "until": None,
    }
    words = {**request["arguments"], **{key: request.get(key) for key in ("minutes", "steps", "precision", "start", "until")}}
    given = [f"{key}={value!r}" for key, value in words.items() if value != defaults[key]]
    return f"gannet.train({', '.join([repr(name), *given])})"


def _with_own(facts: dict[str, Any], made: recipe.Recipe) -> dict[str, Any]:
    """The facts of all data that a recipe opened, the training set first; one that the recipe made itself is "own/train"."""
    mine = made.data.facts()
    key = f"{mine['name']}/{mine['split']}"
    # Recorded episodes are always opened through the ledger, under a name that leaves out how a road was set up.
    return facts if key in facts or mine.get("kind") == "episodes" else {"own/train": mine, **facts}


def _same_data(facts: dict[str, Any], record: dict[str, Any], try_: str) -> None:
    for key, then in record["data"].items():
        now = facts.get(key, {})
        if now.get("more", {}).get("sha256") != then.get("more", {}).get("sha256"):
            what = "texts" if then.get("kind") == "text" else "pictures"
            raise Wrong(f"the {what} are not those that the run began with", got=key, try_=try_)
        for word in (word for word in then if word != "more"):
            if now.get(word) != then[word]:
                raise Wrong(
                    f"the data are not those that the run began with: {word} of {key} was {then[word]!r}",
                    got=repr(now.get(word)),
                    try_=try_,
                )


def _anew(where: Path, record: dict[str, Any], made: recipe.Recipe, quicker: Quicker) -> dict[str, Any]:
    """The record of a run that begins again with more steps; nothing of the shorter one is left in its folder."""
    # First the checkpoints, then the record: a kill between them leaves a run that begins from nothing.
    for folder in ("resume", "samples"):
        shutil.rmtree(where / folder, ignore_errors=True)
    for name in ("metrics.jsonl", *WEIGHTS.values()):
        (where / name).unlink(missing_ok=True)
    steps = quicker.steps
    words = f"{where}: quicker than when it was timed: begins anew with {steps} steps instead of {record['steps']}"
    print(words, file=sys.stderr)
    changed = record | {"steps": steps, "examples": steps * record["batch"], "checkpoint_every": _apart(steps, made.objective)}
    write_json(where / "recipe.json", changed)
    return changed


def _go(where: Path, record: dict[str, Any], made: recipe.Recipe, engine: Engine, minutes: float | None = None) -> None:
    """Train from the last checkpoint to the end, saving on the way; a collapse is undone once.

    Raises:
        Quicker: where a run that began for a number of minutes has time for many more steps.
    """
    objective, batch = made.objective, record["batch"]
    start = restore(where, objective, engine) if folders.checkpoints(where) else 0
    if start == 0 and "start" in record["request"]:
        words = begin_with(objective, record["request"]["start"], record["start_sha256"])
        if engine.first:
            print(f"{where}: {words}", file=sys.stderr)
    players = list(objective.players)
    if engine.first:
        print(f"{where}: {_headline(record, made, start, engine)}", file=sys.stderr)
    while True:
        words = {"steps": record["steps"], "batch": batch, "start": start, "players": players}
        if hasattr(made.data, "frames"):
            words |= {"unit": "steps", "frames": made.data.frames}
        log = Log(where / "metrics.jsonl", **words, quiet=not engine.first)
        try:
            with contextlib.closing(log):
                _through(where, record, made, engine, log, start, minutes)
        except Collapsed as collapse:
            (record, start), minutes = _set_back(where, record, objective, engine, collapse), None
            continue
        except Reached as reached:
            if engine.first:
                print(f"{where}: {record['until']} at step {reached.step} of {record['steps']}", file=sys.stderr)
            record = record | {"steps": reached.step, "examples": reached.step * batch, "asked_for": record["steps"]}
        break
    steps = record["steps"]
    several = made.evaluation is not None and len(getattr(objective, "averages", ())) > 1
    if several and engine.first:
        with log.apart():
            record = record | {"half_life": objective.choose(lambda: next(iter(made.evaluation.quick(objective).values())))}
        log.scored_at = -1  # what was scored may have been another average
    if engine.first and made.evaluation is not None and log.scored_at < steps:
        with log.apart():
            found = made.evaluation.quick(objective)
            keep_best(where, objective, steps, found)
        log.score(steps, found)
    if several or not folders.checkpoints(where) or folders.step_of(folders.checkpoints(where)[-1]) != steps:
        if engine.first:
            save_checkpoint(where, objective, steps)
        engine.wait()
    if engine.first:
        spent = log.spent()
        record = _finish(where, record, made, log.before + spent)
        speed = f"{(steps - start) * batch / max(spent, 1e-9):,.0f} {log.unit}/s"
        took = f"{spent / 60:.1f} min" + (f" and {log.scoring / 60:.1f} min of scoring" if log.scoring else "")
        print(f"{where}: finished {steps} steps, {speed}, {took}{log.scored}", file=sys.stderr)
        if "trend" in record["trained"]:
            print(f"{where}: {record['trained']['trend']}", file=sys.stderr)


def _through(
    where: Path,
    record: dict[str, Any],
    made: recipe.Recipe,
    engine: Engine,
    log: Log,
    start: int,
    minutes: float | None,
) -> None:
    """Every step from `start` on, with what is written, drawn, scored and saved between.

    Raises:
        Collapsed, Reached: as the watched score says.
        Quicker: as the clock says, up to the middle of a run that begins here for a number of minutes.
    """
    objective, steps, batch = made.objective, record["steps"], record["batch"]
    setbacks = len(record.get("setbacks", ()))
    watch = guard.Guard([found for _, found in scores_of(where)], getattr(made.evaluation, "level", 0.0))
    goal = guard.target(record["until"]) if "until" in record else None

    def save(step: int, seen: dict[str, float] | None = None) -> None:
        if engine.first:
            save_checkpoint(where, objective, step)
        engine.wait()

    def draw(step: int, seen: dict[str, float] | None = None) -> None:
        if engine.first:
            _draw(where, objective, made, f"{step * batch:09d}")

    def scored(step: int) -> tuple[str | None, bool]:
        """Why the run has collapsed, if it has; and whether it has reached what was asked for."""
        if made.evaluation is None or log.scored_at >= step:
            return None, False
        with log.apart():
            found = made.evaluation.quick(objective)
            why = watch.look(found)
            if why is None:
                keep_best(where, objective, step, found)
                if math.isfinite(watch.level):  # else nothing is a collapse, and nobody would go back: of agents, gigabytes
                    write_bytes(folders.good(where), _checkpoint_bytes(objective, step))
        log.score(step, found)
        return why, goal is not None and why is None and goal.met(found)

    def score(step: int, seen: dict[str, float]) -> None:
        why, enough = engine.agree(lambda: scored(step))
        if why is not None:
            raise Collapsed(step, why)
        if enough and step < steps:
            raise Reached(step)

    def schedule(progress: float, examples: int) -> float:
        return made.schedule(progress, examples) * 0.5**setbacks

    times = [(start, log.spent())]

    def look_at_the_clock(step: int, seen: dict[str, float]) -> None:
        times.append((step, log.spent()))
        if minutes is None or step > steps / 2:
            return
        (before, then), (_, now) = times[-2:]
        left = 60 * minutes - now
        possible = int(engine.broadcast(left * (step - before) / max(now - then, 1e-9)))
        if possible >= LONGER * steps:
            raise Quicker(possible, left / 60)

    with _asked_to_stop() as asked:

        def stop(step: int, seen: dict[str, float]) -> None:
            if engine.any(asked.is_set()) and step < steps:
                save(step)
                raise Stopped(f"stopped at step {step} of {steps}, all saved in {where}; the same command goes on")

        hooks: list[loop.Hook] = [
            (min(max(steps // 200, 1), 500), log.write),
            *([(max(steps // FRAMES, 1), draw)] if made.show else []),
            (max(steps // SCORED, math.ceil(SCORED_APART / batch)), score),
            (record["checkpoint_every"], save),
            (1, stop),
            (max(steps // 10, 1), look_at_the_clock),
        ]
        try:
            if start == 0 and made.show:
                draw(0)
            # After a setback the same numbers would only lead there again.
            seed = mixed(made.seed, "setback", setbacks) if setbacks else made.seed
            loop.fit(
                objective, made.data, engine, batch=batch, steps=steps, schedule=schedule, seed=seed, start=start, every=hooks
            )
        except loop.NotFinite as error:
            last = folders.checkpoints(where)
            good = f"the last good checkpoint is {last[-1]}" if last else "there was no checkpoint yet"
            raise loop.NotFinite(f"{error.what}; {good}", got=error.got, try_=error.try_) from error


def _set_back(
    where: Path, record: dict[str, Any], objective: Any, engine: Engine, collapse: Collapsed
) -> tuple[dict[str, Any], int]:
    """Go back to the last good state, once, at half the rate and with other random numbers; returns the record and the step.

    Raises:
        Wrong: where that has been done before, or there is no good state.
    """
    hint = "a lower --rate" + (" or a higher --gamma" if "gamma" in record["arguments"] else "")
    at = f"step {collapse.step} of {record['steps']}"
    if record.get("setbacks") or not folders.good(where).is_file():
        again = " again" if record.get("setbacks") else ""
        verb = "sample" if record.get("draws", True) else "evaluate"
        kept = f"the best weights are kept: gannet {verb} {where} --weights best"
        raise Wrong(f"the run in {where} has collapsed{again} at {at}: {collapse.why}; {kept}", try_=hint)

    def back() -> dict[str, Any]:
        state = torch.load(folders.good(where), map_location="cpu", weights_only=True)
        # First the checkpoint, then the record: a kill between them only lets it collapse and be set back once more.
        write_bytes(folders.checkpoint(where, state["step"]), folders.good(where).read_bytes())
        for later in folders.checkpoints(where):
            if folders.step_of(later) > state["step"]:
                later.unlink()
        setback = {"at": collapse.step, "to": state["step"], "why": collapse.why}
        changed = record | {"setbacks": [setback]}
        write_json(where / "recipe.json", changed)
        return changed

    changed = engine.agree(back)
    step = restore(where, objective, engine)
    if engine.first:
        print(
            f"{where}: collapsed at {at}: {collapse.why}; going on from step {step} with other random numbers, half the rate; "
            f"if that collapses too it stops, and then try {hint}",
            file=sys.stderr,
        )
    return changed, step


def scores_of(where: Path) -> list[tuple[int, dict[str, float]]]:
    """The watched scores of a run so far, oldest first: (examples, scores by name)."""
    path = where / "metrics.jsonl"
    lines = [json.loads(line) for line in whole_lines(path)] if path.is_file() else []
    scored = [line for line in lines if "rate" not in line]  # see Log.score
    return [(line["examples"], {key: value for key, value in line.items() if key not in ABOUT}) for line in scored]


def _headline(record: dict[str, Any], made: recipe.Recipe, start: int, engine: Engine) -> str:
    sizes = ", ".join(f"{name} {number:,}" for name, number in record["parameters"].items())
    facts = made.data.facts()
    goes = f"going on at step {start} of {record['steps']}" if start else f"{record['steps']} steps of {record['batch']}"
    processes = "1 process" if engine.world == 1 else f"{engine.world} processes"
    return f"{facts['name']} ({card.amount(facts)}), parameters: {sizes}; {goes}, {processes}"


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second signal does what it always does."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def save_checkpoint(where: Path, objective: Any, step: int) -> None:
    """Everything that going on needs, and the model as it stands; older checkpoints are removed afterwards."""
    # The checkpoint comes last: a run counts as finished by it, so the model must be there already.
    write_bytes(where / WEIGHTS["last"], _model_bytes(objective, {"step": step}))
    write_bytes(folders.checkpoint(where, step), _checkpoint_bytes(objective, step))
    for old in folders.checkpoints(where)[:-KEPT]:
        old.unlink()


def _checkpoint_bytes(objective: Any, step: int) -> bytes:
    """Everything that going on from this step needs, as torch writes it."""
    buffer = io.BytesIO()
    torch.save({"step": step, **checkpoint.pack(objective)}, buffer)
    return buffer.getvalue()


def _model_bytes(objective: Any, note: dict[str, Any]) -> bytes:
    """The nets of the model as it stands, as a file that carries the note."""
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, net in objective.nets().items()
        for key, tensor in net.state_dict().items()
    }
    return safetensors_bytes(tensors, {"gannet": json.dumps(note)})  # one entry: several are written in no fixed order


def _note(file: Any) -> dict[str, Any]:
    """What `_model_bytes` wrote into an open safetensors file."""
    return json.loads((file.metadata() or {}).get("gannet", "{}"))


def keep_best(where: Path, objective: Any, step: int, found: dict[str, float]) -> None:
    """Keep the model aside where its first score is the lowest so far."""
    (name, value), *_ = found.items()
    best = best_score(where)
    if best is None or value < best[name]:
        write_bytes(where / WEIGHTS["best"], _model_bytes(objective, {"step": step, name: value}))


def best_score(where: Path) -> dict[str, float] | None:
    """The step and score of the best weights, if any are kept."""
    path = where / WEIGHTS["best"]
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return _note(file)
    except (SafetensorError, OSError) as error:
        raise Wrong("the run's best weights are damaged", got=path, try_=f"deleting {path.name}") from error


def _watched(where: Path) -> dict[str, Any]:
    """What the score that was watched came to: {"best": {step, score}, "last": {step, score}}, or nothing."""
    best = best_score(where)
    if best is None:
        return {}
    lines = [json.loads(line) for line in whole_lines(where / "metrics.jsonl")]
    last = [{key: line[key] for key in best} for line in lines if best.keys() <= line.keys()]
    return {"best": best, "last": last[-1]} if last else {"best": best, "last": best}


def _looked(where: Path) -> dict[str, Any] | None:
    """preflight.json of a run, where it has one: a run of an older version has none."""
    path = where / "preflight.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError as error:
        raise Wrong("the run's preflight.json is damaged", got=path, try_="deleting it") from error


def _begun_with(start: str | Path) -> Path:
    """The model file of a run to begin with; or a file of weights that others have published."""
    path = Path(start) if Path(start).is_file() else Path(start) / WEIGHTS["last"]
    if not path.is_file():
        raise Wrong("there is no run with a model to begin with", got=start, try_="--start runs/NAME-NUMBER", usage=True)
    return path


def begin_with(objective: Any, start: str, sha256: str) -> str:
    """Copy another run's tensors into an objective's nets, in place, where name and shape are the same; says how many. Of a
    file instead, the weights of torchvision's or timm's ResNet.

    Only numbers are read from the other run, none of its code.

    Raises:
        Wrong: where the other run has changed since, is damaged, or fits nowhere.
    """
    path = _begun_with(start)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise Wrong("the run to begin with has changed since this one began", got=path, try_="--new")
    if Path(start).is_file():
        return _begin_with_published(objective, path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise Wrong("the model to begin with is damaged", got=f"{path}: {error}") from error
    _check_finite(tensors, path)
    taken = of = 0
    fitting, anew = False, list[str]()
    for name, player in objective.players.items():
        mine = player.net.state_dict()
        fits = {key: t for key in mine if (t := tensors.get(f"{name}.{key}")) is not None and t.shape == mine[key].shape}
        weights = [key for key, parameter in player.net.named_parameters() if parameter.ndim > 1]  # no bias, nothing counted
        taken, of = taken + len(fits), of + len(mine)
        fitting |= any(key in fits for key in weights)
        anew += [f"{name}.{key}" for key in weights if key not in fits]
        averages = [objective.nets().get(name), *getattr(objective, "averages", {}).values()]
        for net in (player.net, *(average for average in averages if type(average) is type(player.net))):
            net.load_state_dict(fits, strict=False)
    if not fitting:
        raise Wrong(
            "nothing of the run to begin with fits this one's nets", got=path, try_="a run of the same recipe and --size"
        )
    more = f" and {len(anew) - 3} more" if len(anew) > 3 else ""
    others = f"; anew, for want of such a layer there or for its shape: {', '.join(anew[:3])}{more}" if anew else ""
    return f"begins with {taken} of its {of} tensors from {start}{others}"


def _begin_with_published(objective: Any, path: Path) -> str:
    """Copy the weights of torchvision's or timm's ResNet into an objective's own, for the pictures that it is fed."""
    from gannet.nets.resnet import ResNet, load_published, of_usual_pictures

    ours = [net for net in nets_of(objective) if isinstance(net, ResNet)]
    if not ours:
        hint = "gannet train classify --net resnet-50, or a run's folder"
        raise Wrong("only He et al.'s ResNets begin with a file of weights", got=path, try_=hint, usage=True)
    try:
        safe = path.suffix == ".safetensors"
        state: Any = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types for a file that is none of its own
        raise Wrong("the weights to begin with cannot be read", got=f"{path}: {str(error).splitlines()[0]}") from error
    for key in ("state_dict", "model"):  # what training scripts wrap them in
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Wrong("this file holds no weights by their names", got=path, try_="a state dict of torchvision or timm")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    _check_finite(state, path)
    left: list[str] = []
    for net in ours:
        left = load_published(net, of_usual_pictures(state))
    return f"begins with the published weights of {path}" + (f", but for {', '.join(left)}" if left else "")


def restore(where: Path, objective: Any, engine: Engine) -> int:
    """Load the newest checkpoint into an objective in place; returns the number of finished steps."""
    path = folders.checkpoints(where)[-1]
    older = f"deleting {path.name}, which goes on from the one before" if len(folders.checkpoints(where)) > 1 else None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # from where each part goes where it belongs
    except Exception as error:  # torch raises half a dozen types for a damaged file
        raise Wrong("the run's newest checkpoint is damaged", got=path, try_=older) from error
    for name in objective.players:
        _check_finite(state["nets"][name], path, older)
    _check_finite(state["objective"], path, older)
    try:
        checkpoint.unpack(objective, state)
    except (RuntimeError, KeyError) as error:  # of another version, or another recipe of the same name
        what = "the run's newest checkpoint does not fit its recipe"
        raise Wrong(what, got=path, try_="the version that wrote it, or training anew with another --out") from error
    return state["step"]


def _show(objective: Any, made: recipe.Recipe) -> np.ndarray | str:
    """What is drawn from the run's fixed noise, as one picture; or what is written, one text under another."""
    if hasattr(objective, "write"):
        return "\n\n".join(objective.write(made.show, made.seed)) + "\n"
    return images.grid(images.straight(images.to_bytes(objective.sample(made.show, made.seed))))


def _draw(where: Path, objective: Any, made: recipe.Recipe, *names: str) -> None:
    """That into samples/, under each of these names."""
    shown = _show(objective, made)
    for name in names:
        if isinstance(shown, str):
            write_text(where / "samples" / f"{name}.txt", shown)
        else:
            save_picture(shown, where / "samples" / f"{name}.png")


def on_white(picture: Any) -> Any:
    """A picture with transparency as it looks on paper: a GIF knows no half measures. Others as they are."""
    from PIL import Image

    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def save_gif(frames: list[Any], milliseconds: int | list[int], path: Path) -> None:
    """Pillow's pictures of one size as a GIF that begins again and again."""
    buffer = io.BytesIO()
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    write_bytes(path, buffer.getvalue())


def _finish(where: Path, record: dict[str, Any], made: recipe.Recipe, seconds: float) -> dict[str, Any]:
    """A picture, of what draws also the GIF of its learning, and the model card; returns the record as it was written."""
    if made.show:
        _draw(where, made.objective, made, f"{record['examples']:09d}", "last")
        if not hasattr(made.objective, "write"):
            _gif(where)
    elif hasattr(made.evaluation, "sheet"):
        save_picture(made.evaluation.sheet(made.objective), where / "samples" / "last.png")
    # What is written once the end is reached, so that the card can be written again with scores.
    found: dict[str, Any] = {}
    if hasattr(made.evaluation, "finish"):
        found = made.evaluation.finish(made.objective)
        if (where / WEIGHTS["best"]).is_file():
            best = copy.deepcopy(made.objective)
            _fill(best.nets(), where / WEIGHTS["best"], record)
            found["of_best"] = made.evaluation.finish(best)
    chosen = {"half_life": record["half_life"]} if "half_life" in record else {}
    trained = {"seconds": round(seconds, 1), **chosen, **found, **_watched(where), **_trend(where)}
    record = record | {"trained": trained}
    write_json(where / "recipe.json", record)
    write_text(where / "README.md", card.write(record, None, _looked(where)))
    return record


def _gif(where: Path) -> None:
    """All that was drawn as a film."""
    from PIL import Image

    frames = [on_white(Image.open(path)) for path in sorted((where / "samples").glob("[0-9]*.png"))]
    save_gif(frames, [150] * (len(frames) - 1) + [2500], where / "samples" / "learning.gif")


def _trend(where: Path) -> dict[str, str]:
    """Whether the watched score says that longer would be better: {"trend": words}, or nothing where none is watched.

    The last line is left out: it may be of another average, the one that was chosen in the end.
    """
    scored = scores_of(where)
    if not scored:
        return {}
    name = next(iter(scored[0][1]))
    if any(found[name] <= 0 for _, found in scored):  # a trend is one of logarithms
        return {}
    return {"trend": guard.trend([(examples, found[name]) for examples, found in scored[:-1]], name)}
