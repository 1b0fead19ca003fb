"""What the machine can carry, and what the run will cost, before it begins."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import time
from collections.abc import Callable

import psutil
import torch

from gannet.data.play import Play
from gannet.preflight.case import Case, Finding, check, fixed, found

PATIENCE = 4.0  # seconds that may go into timing whole steps


def step_seconds(case: Case, batch: int) -> float:
    """Seconds of a whole step at a batch: the median of three on a copy, after one that pays for caches."""
    ends: list[float] = []
    case.fit(case.copy(), 4, batch=batch, every=[(1, lambda step, seen: ends.append(time.perf_counter()))])
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(ends))


def memory_of(case: Case, batch: int) -> int:
    """Bytes that the hungriest turn at this batch keeps for its backward pass: every tensor that autograd saves."""
    objective, most = case.copy(), 0
    for name in case.players():
        seen: dict[int, int] = {}

        def note(tensor: torch.Tensor, seen: dict[int, int] = seen) -> torch.Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            held = case.loss(objective, name, case.batch(name, batch))  # held, or storages would be used again
        most = max(most, sum(seen.values()))
        del held
    return most


def needed(case: Case, few: int | None = None) -> Callable[[int], float]:
    """Bytes of a step on this process by its batch over all of them: measured at two small batches and drawn out."""
    one = few or case.few
    small, large = memory_of(case, one), memory_of(case, 2 * one)
    weights = sum(4 * p.nbytes for player in case.objective.players.values() for p in player.net.parameters())
    parts = case.data.minibatches if isinstance(case.data, Play) else 1  # a turn takes a part of what a step has played

    def at(batch: int) -> float:
        share = batch / case.whole.world / parts
        return 1.25 * (large + (large - small) / one * (share - 2 * one)) + weights  # a quarter for what is on its way

    return at


def free_memory(case: Case) -> float:
    """Bytes that are free on the device; on the CPU for each of the processes that work together."""
    if case.engine.device.type == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return psutil.virtual_memory().available / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def fitting(case: Case, share: float = 0.5, least: int = 8) -> int:
    """The recipe's batch, halved until a step needs at most this share of the memory that is free, and never below `least`."""
    batch, have, need = case.made.batch, share * free_memory(case), needed(case, few=2)
    while need(batch) > have and batch % 2 == 0 and batch // 2 >= max(least, case.whole.world):
        batch //= 2
    return batch


@check(fast=True)
def memory(case: Case) -> Finding:
    """A step at the recipe's batch fits into the memory that is free: measured at two small batches and drawn out."""
    here = (case.engine.device.type, *(["meta"] if case.engine.device.type == "cpu" else []))  # not made yet: beside the card
    kept = sum(tensor.nbytes for tensor in case.kept if tensor.device.type in here)  # an agent may remember gigabytes
    step = needed(case)(case.made.batch)
    need, free = step + 3 * kept, free_memory(case)  # itself, as it is written, and the file that is put together of it
    words = f"about {need / 1e6:,.0f} MB of {free / 1e6:,.0f} MB free"
    cause = "a batch or a net" if step > kept else "an agent's memory"
    return found(need < 0.9 * free, words, "below 90%", f"{cause} too large for this machine")


@check(fast=True)
def length(case: Case) -> Finding:
    """How long the whole run will take, from a few steps at the recipe's own batch; and that it is days at most."""
    batch = case.made.batch // case.whole.world
    seconds = step_seconds(case, case.few) * batch / case.few
    if batch != case.few and seconds < PATIENCE / 4:
        seconds = step_seconds(case, batch)
    steps = case.steps or max(1, case.made.examples // case.made.batch)
    hours = seconds * steps / 3600
    if case.minutes is not None:
        return Finding("pass", f"{case.minutes:g} minutes of steps of {seconds * 1e3:,.0f} ms", "as long as it was asked to be")
    words = f"{steps:,} steps of {seconds * 1e3:,.0f} ms: " + (
        f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
    )
    return Finding("pass" if hours <= 72 else "warn", words, "at most 72 hours", "--minutes sets a length, --size tiny tries")


@check(fast=True)
def disk(case: Case) -> Finding:
    """What the run will write fits on the disk: a full one stops a run at its first checkpoint."""
    weights = sum(p.nbytes for player in case.objective.players.values() for p in player.net.parameters())
    kept = sum(tensor.nbytes for tensor in case.kept)
    need = 4 * (3 * weights + kept) + 3 * weights + 60_000_000  # three checkpoints and one on its way, models, pictures
    place = next(folder for folder in [case.folder, *case.folder.absolute().parents] if folder.exists())
    free = shutil.disk_usage(place).free
    words = f"about {need / 1e6:,.0f} MB of {free / 1e6:,.0f} MB free"
    return found(need < free, words, "less than is free", "a disk that is full: --out names another place")


@check(fast=True, needs=fixed)
def waiting(case: Case) -> Finding:
    """The nets do not wait for data: what a step spends on getting its batches."""
    whole = step_seconds(case, case.few)
    began = time.perf_counter()
    for step in range(4):
        for name in case.objective.turns(0.0):
            case.batch(name, step=step)
    share = (time.perf_counter() - began) / 4 / whole
    words = f"{share:.0%} of a step"
    return Finding(
        "pass" if share < 0.3 else "warn", words, "below 30%", "decoding or augmentation that takes longer than the nets"
    )


@check(fast=True)
def processes(case: Case) -> Finding:
    """As many processes work together as were started: a launcher that starts one of two says nothing. The engine refuses
    such a run by itself; this writes down how many there were."""
    asked, got = int(os.environ.get("WORLD_SIZE", "1")), case.whole.world
    return found(asked == got, f"{got} of {asked}", "all", "torchrun with another backend, or accelerate launch --cpu")
