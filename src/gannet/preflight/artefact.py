"""What is wrong with the finished thing: its scores, and the folder that it is loaded from."""

from __future__ import annotations

import math

from gannet.preflight.case import Case, Finding, check, found


def scored(case: Case) -> bool:
    return case.made.evaluation is not None


def rehearsed(case: Case) -> bool:
    return case.rehearse is not None


@check(fast=False, needs=scored)
def scores_repeat(case: Case) -> Finding:
    """The score that is watched while training is finite and the same twice: or it follows nothing."""
    objective = case.copy()
    one, two = (case.made.evaluation.quick(objective) for _ in range(2))
    words = "; ".join(f"{name} {value:.4f} and {two[name]:.4f}" for name, value in one.items())
    holds = one == two and all(map(math.isfinite, one.values()))
    return found(holds, words, "finite and equal", "a net in train mode, or noise that is drawn anew")


@check(fast=False, needs=rehearsed)
def fresh_process(case: Case) -> Finding:
    """A run folder loaded in a fresh process draws what this one draws: what is not in the folder is not in the model."""
    assert case.rehearse is not None
    here, there = case.rehearse()
    return found(
        here == there, f"{here[:8]} here, {there[:8]} there", "equal", "weights or settings that the folder does not hold"
    )
