"""The one loop. It drives every arm, knows neither evaluation nor folders, and has one hook: every(n, do)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from gannet.errors import Wrong
from gannet.objectives import nets_of
from gannet.rng import number
from gannet.training.engine import Engine

#: (n, do): do(step, seen) after every n-th step; `step` counts finished steps, `seen` holds the step's numbers.
Hook = tuple[int, Callable[[int, dict[str, float]], None]]


class NotFinite(Wrong):
    """A loss or a gradient that is no number."""


def fit(
    objective: Any,
    data: Any,
    engine: Engine,
    *,
    batch: int,
    steps: int,
    schedule: Callable[[float, int], float],
    seed: int,
    start: int = 0,
    stop: int | None = None,
    every: Sequence[Hook] = (),
) -> None:
    """Train from step `start` up to `stop` (default: `steps`, the end).

    Args:
        objective: players and losses (gannet.objectives.Objective); nets that are elsewhere go to the
            engine's device
        data: has `batch(n, rng)`, a function of the rng's seed, step and stream alone; or `played_by(objective, seed, start)`,
            which opens such data for this training alone: environments, in which the objective writes them itself
        batch: examples per step over all processes
        steps: length of the whole run; progress is step / steps, the same as examples seen over examples in all
        schedule: (progress, examples seen) -> share of the peak rate
        seed: batches and random numbers are functions of (seed, step, player)

    Raises:
        NotFinite: with the player, the step and the likely cause, before that player's update.
    """
    mine = engine.share(batch)
    if any(parameter.device != engine.device for net in nets_of(objective) for parameter in net.parameters()):
        engine.prepare(objective)
    cards = [engine.device] if engine.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards), contextlib.ExitStack() as stack:  # a caller keeps its random numbers
        if cards:
            # A card's backward pass has a thread of its own, and what it makes to be differentiated again is numbered there:
            # in which order such gradients are added up would depend on all that either thread has ever done.
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        if hasattr(data, "played_by"):
            data = stack.enter_context(contextlib.closing(data.played_by(objective, seed, start)))
        for step in range(start, steps if stop is None else stop):
            progress = step / steps
            rate = schedule(progress, step * batch)
            seen: dict[str, torch.Tensor] = {}
            turns: dict[str, int] = {}
            for name in objective.turns(progress):
                turn = turns[name] = turns.get(name, -1) + 1
                # A fresh batch and fresh noise for each player, and for each of its turns (R3GAN does the same).
                stream = f"{name}.{turn}"
                examples = engine.to_device(data.batch(mine, engine.rng(seed, step, f"{stream}.data")))
                engine.seed(number(seed, step, stream, engine.rank))  # for dropout, which takes no rng
                with engine.autocast():
                    values, weights, notes = objective.loss(name, examples, engine.rng(seed, step, stream))
                loss = engine.mean(values.float(), weights)
                engine.backward(loss, objective.players[name])
                whole = engine.sum(loss.detach().clone())
                norm = engine.step(objective.players[name], rate) if torch.isfinite(whole) else whole
                if not torch.isfinite(norm):
                    raise not_finite(name, step, whole, objective.players[name].rate * objective.players[name].share * rate)
                seen |= {name: whole, f"{name}.gradient": norm} | {f"{name}.{k}": v for k, v in notes.items()}
            objective.after((step + 1) / steps, (step + 1) * batch)
            due = [do for n, do in every if (step + 1) % n == 0]
            if due:
                numbers = {key: float(value) for key, value in seen.items()} | {"rate": rate}
                for do in due:
                    do(step + 1, numbers)


def not_finite(player: str, step: int, loss: torch.Tensor, rate: float) -> NotFinite:
    """What happened and what usually causes it."""
    what = "loss" if not math.isfinite(loss.item()) else "gradient"
    return NotFinite(
        f"the {player}'s {what} at step {step + 1} is not finite, at rate {rate:.1e}; likely a learning rate too high, "
        "a penalty too weak, or a value in the data that is no number",
        got=f"{loss.item():g}" if what == "loss" else "its norm is nan or inf",
        try_="a lower --rate",
    )
