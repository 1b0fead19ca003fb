"""What a check is, what it finds, and the case that it looks at: a recipe just built, which is moved to where it is worked
on, and otherwise only copied."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from gannet.data.play import Play, Trial
from gannet.objectives import Player
from gannet.recipe import Recipe, constant
from gannet.rng import Rng
from gannet.training import loop
from gannet.training.engine import Engine

Verdict = Literal["pass", "warn", "fail", "info"]
SMALL = 16  # examples in a batch of most checks: what they look for does not depend on it


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        verdict: pass; warn, which stops nothing; fail; info, where nothing is expected
        measured: the number, as text
        expected: what it should have been
        cause: where it is not: the likely cause
    """

    verdict: Verdict
    measured: str
    expected: str
    cause: str = ""


def worst(findings: dict[str, Finding]) -> Finding:
    """One finding for several: the gravest, with everybody's numbers; info where there is none."""
    if not findings:
        return Finding("info", "nothing to look at", "")
    order = ("fail", "warn", "pass", "info")
    gravest = min(findings.values(), key=lambda finding: order.index(finding.verdict))
    words = "; ".join(f"{name} {finding.measured}" for name, finding in findings.items())
    return dataclasses.replace(gravest, measured=words)


def found(holds: bool, measured: str, expected: str, cause: str) -> Finding:
    """A pass where the expectation holds, else a failure with its likely cause."""
    return Finding("pass", measured, expected) if holds else Finding("fail", measured, expected, cause)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: as in --skip NAME=reason, and the anchor in docs/preflight.md
        do: the check itself; its docstring says what must hold, and why it matters
        needs: says whether a case has what the check looks at
        fast: part of the set that runs before every `train`
    """

    name: str
    do: Callable[[Case], Finding]
    needs: Callable[[Case], bool]
    fast: bool


CHECKS: list[Check] = []  # in the order in which they run


def everything(case: Case) -> bool:
    """Any recipe."""
    return True


def fixed(case: Case) -> bool:
    """Data that are there before anybody learns; agents write their own, and their losses say nothing of one batch."""
    return not isinstance(case.data, Play)


def check(*, fast: bool, needs: Callable[[Case], bool] = everything) -> Callable[[Callable[[Case], Finding]], Any]:
    """Make a function of a case a check, named like the function. That is all that an arm needs to bring its own."""

    def enlist(do: Callable[[Case], Finding]) -> Callable[[Case], Finding]:
        same = [c for c in CHECKS if c.do.__name__ == do.__name__]  # a recipe file is read anew for every run
        for other in same:
            CHECKS.remove(other)
        CHECKS.append(Check(do.__name__.replace("_", "-"), do, needs, fast))
        return do

    return enlist


class Case:
    """A recipe on trial. Its nets are moved to the engine's device; checks work on copies, so that nothing need be put back.

    Args:
        made: the recipe, just built
        engine: as the run will have it; the checks themselves run on this process alone
        steps, minutes: of the run to come, or None where nobody has said
        folder: where the run will go
        again: builds the recipe anew at another size, or None where it has no sizes
        rehearse: trains two steps into a folder that is thrown away and gives the digests of what the run draws, here
            and in a fresh process; or None
    """

    def __init__(
        self,
        made: Recipe,
        engine: Engine | None = None,
        *,
        steps: int | None = None,
        minutes: float | None = None,
        folder: Path | None = None,
        again: Callable[[str], Recipe] | None = None,
        rehearse: Callable[[], tuple[str, str]] | None = None,
    ):
        self.made, self.data, self.again, self.rehearse = made, made.data, again, rehearse
        self.steps, self.minutes, self.folder = steps, minutes, folder or Path.cwd()
        self.whole = engine or Engine(cpu=True)
        self.engine = copy.copy(self.whole)  # a check must not wait for other processes
        self.engine.world, self.engine.rank = 1, 0
        self.engine.prepare(made.objective)
        self.few = min(made.batch, getattr(self.data, "few", SMALL))
        self.courses: dict[str, Any] = {}  # what players learn by heart, by name: several checks look at it

    @property
    def objective(self) -> Any:
        """The recipe's own objective: to look at, never to train."""
        return self.made.objective

    def copy(self) -> Any:
        """A copy of the objective with its nets and optimizers, to do with as one likes. What is tried is short: a memory of
        gigabytes is copied as the smallest that will do."""
        other = copy.deepcopy(self.made.objective)
        memory = getattr(other, "memory", None)
        if memory is not None:
            memory.least()
        return other

    @property
    def kept(self) -> list[torch.Tensor]:
        """What is kept beside nets and optimizers: its sizes. A memory that nobody has asked for yet takes no bytes by this."""
        other = copy.deepcopy(self.made.objective)
        with torch.device("meta"):
            return list(other.state().values())

    def perturbed(self) -> Any:
        """A copy with noise on every weight: layers that begin at zero hide what they are connected to."""
        objective = self.copy()
        for name, player in objective.players.items():
            perturb(player.net, seed=name)
        return objective

    def players(self) -> list[str]:
        """Who plays in a first step, each once, in order."""
        return list(dict.fromkeys(self.objective.turns(0.0)))

    @functools.cached_property
    def source(self) -> Any:
        """What gives batches: the data, or, where agents write them, environments for the untrained one to play in."""
        return Trial(self.data, self.copy()) if isinstance(self.data, Play) else self.data

    def batch(self, player: str = "check", n: int | None = None, step: int = 0, by: Any = None) -> Any:
        """A batch as the player's turn would get it; what agents write themselves, by this one."""
        source = self.source
        if by is not None and isinstance(source, Trial):
            source = copy.copy(source)
            source.objective = by
        return self.engine.to_device(source.batch(n or self.few, Rng(self.made.seed, step, f"{player}.0.data")))

    def loss(self, objective: Any, player: str, batch: Any, step: int = 0) -> tuple[torch.Tensor, dict[str, Any]]:
        """A player's mean loss with its graph, and its notes; other players' turns are not played."""
        with self.engine.autocast():
            values, weights, notes = objective.loss(player, batch, Rng(self.made.seed, step, f"{player}.0"))
        return self.engine.mean(values.float(), weights), notes

    def turn(
        self, objective: Any, player: str, batch: Any, step: int = 0, optimizer: Any = None
    ) -> tuple[float, dict[str, Any]]:
        """A whole turn of a player at its peak rate, or with another optimizer; its loss before the update, and its notes."""
        loss, notes = self.loss(objective, player, batch, step)
        self.engine.backward(loss, objective.players[player])
        if optimizer is None:
            self.engine.step(objective.players[player], 1.0)
        else:
            optimizer.step()
        return loss.item(), notes

    def fit(
        self, objective: Any, steps: int, start: int = 0, batch: int | None = None, every: Sequence[loop.Hook] = ()
    ) -> None:
        """Steps of the one loop, in small batches, at the peak rate."""
        settings: dict[str, Any] = {"batch": batch or self.few, "steps": 10**9, "schedule": constant, "seed": self.made.seed}
        loop.fit(objective, self.data, self.engine, **settings, start=start, stop=start + steps, every=every)

    @functools.cached_property
    def trained(self) -> Any:
        """A copy after fifty steps in small batches; to look at."""
        objective = self.copy()
        self.fit(objective, 50)
        return objective

    @functools.cached_property
    def fed(self) -> dict[str, tuple[Any, ...]]:
        """What enters each player's net when it is first called in a run: player -> arguments, in order."""
        objective, seen = self.copy(), {}
        for name, player in objective.players.items():

            def note(net: nn.Module, given: tuple[Any, ...], named: dict[str, Any], name: str = name) -> None:
                bound = inspect.signature(net.forward).bind(*given, **named)
                seen.setdefault(name, tuple(bare(a) for a in bound.args))

            player.net.register_forward_pre_hook(note, with_kwargs=True)
        for name in self.players():
            self.loss(objective, name, self.batch(name, SMALL))
        return seen


def foretold(loss: float, notes: dict[str, Any]) -> float:
    """The part of a loss that `expect()` speaks of: a contest without its penalties, a heat map's peaks, a policy alone."""
    return float(next((notes[name] for name in ("contest", "peaks", "policy") if name in notes), loss))


def bare(argument: Any) -> Any:
    """A tensor without its graph, floats in float32; anything else as it is."""
    if not isinstance(argument, torch.Tensor):
        return argument
    return argument.detach().float() if argument.is_floating_point() else argument.detach()


@torch.no_grad()
def perturb(net: nn.Module, seed: object = 0) -> nn.Module:
    """Noise on every weight, in place: half of what keeps a layer's variance; returns the net."""
    for number, parameter in enumerate(net.parameters()):
        noise = Rng(0, number, f"perturb.{seed}").normal(*parameter.shape).to(parameter) if parameter.ndim else 0.1
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 25  # biases and scales: a tenth
        parameter.add_(noise * (0.5 / math.sqrt(fan_in)))
    return net


def player_of(net: nn.Module, rate: float = 1e-3) -> Player:
    """A net of anybody's as a player with a plain Adam."""
    return Player(net, rate=rate, betas=(0.9, 0.999))


@contextlib.contextmanager
def restoring() -> Iterator[None]:
    """Everything global that a check could move, as it was: random numbers of torch, numpy and Python; gradients on."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    cards = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    mps_state = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        with torch.random.fork_rng(devices=cards), torch.enable_grad():
            yield
    finally:
        if mps_state is not None:
            torch.mps.set_rng_state(mps_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
