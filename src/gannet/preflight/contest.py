"""What is wrong with a contest of generator and critic."""

from __future__ import annotations

import torch

from gannet.objectives.gan import Gan
from gannet.preflight import plain
from gannet.preflight.case import Case, Finding, check, found
from gannet.preflight.nets import redraw


def contest(case: Case) -> bool:
    return isinstance(case.objective, Gan)


def penalised(case: Case) -> bool:
    return isinstance(case.objective, Gan) and case.objective.penalty != "none"


@check(fast=True, needs=contest)
def detached(case: Case) -> Finding:
    """The critic's loss does not reach the generator: a forgotten detach trains the generator to be told apart."""
    objective = case.perturbed()
    loss, _ = case.loss(objective, "critic", case.batch("critic"))
    slopes = torch.autograd.grad(loss, list(objective.generator.parameters()), allow_unused=True)
    size = sum(s.square().sum().item() for s in slopes if s is not None) ** 0.5
    return found(size == 0, f"gradient {size:.1e}", "0", "generated pictures that the critic judges without .detach()")


@check(fast=True, needs=contest)
def opposed(case: Case) -> Finding:
    """What the critic wants of a generated picture's logit, the generator wants the other way: or they help one another."""
    slopes = {}
    for side in ("critic", "generator"):
        fake_N = torch.linspace(-1, 2, 7, requires_grad=True)  # several: least squares are flat at one of them
        (slope_N,) = torch.autograd.grad(getattr(case.objective.contest, side)(torch.zeros(7), fake_N).sum(), fake_N)
        slopes[side] = slope_N.mean().item()
    words = f"slopes {slopes['critic']:.2f} and {slopes['generator']:.2f}"
    holds = slopes["critic"] > 0 > slopes["generator"]
    return found(holds, words, "above 0 and below 0", "real and generated, or a sign, swapped")


@check(fast=True, needs=contest)
def noise(case: Case) -> Finding:
    """Other noise draws another picture, and picture k is the same however many are drawn."""
    objective = case.perturbed()
    objective.average.load_state_dict(objective.generator.state_dict())
    few, more, others = objective.sample(4, 0), objective.sample(9, 0)[:4], objective.sample(4, 1)
    apart = (few - others).abs().mean().item()
    within = few.std(0).mean().item()
    same = torch.equal(few, more)
    words = f"seeds apart by {apart:.3f}, pictures by {within:.3f}, picture k {'the same' if same else 'different'}"
    cause = "noise that is not used or always the same" if same else "noise drawn for all pictures at once"
    return found(apart > 1e-3 and within > 1e-3 and same, words, "above 0.001, the same", cause)


@check(fast=True, needs=contest)
def ranges(case: Case) -> Finding:
    """Generated pictures can have every value that real ones have, and no other: or the critic need only look at that."""
    real, _ = case.batch("critic", min(case.made.batch, 64))
    return plain.check_range(real, case.objective.generator, *case.fed["generator"])


@check(fast=True, needs=penalised)
def penalty(case: Case) -> Finding:
    """The penalty is there and in proportion: nothing without it holds a critic back, and too much of it silences one."""
    objective = case.perturbed()
    _, notes = case.loss(objective, "critic", case.batch("critic", min(case.made.batch, 64)))
    share = objective.gamma * float(notes["penalty"]) / max(abs(float(notes["contest"])), 0.1)
    most = 1000 if objective.penalty == "lipschitz" else 10  # that one pulls slopes to 1, and begins large
    cause = "slopes taken of a constant, or a weight of 0" if share < 1e-6 else "a weight for other pictures or another formula"
    return found(1e-6 < share < most, f"{share:.2g} of the contest's loss", f"0.000001 to {most}", cause)


@check(fast=False, needs=contest)
def reproduce(case: Case) -> Finding:
    """The generator learns to draw eight fixed pictures from eight fixed noises, by squared error: it can draw at all."""
    losses = redraw(case, case.copy().generator, 150, share=0.3)
    return plain.learnt_by_heart(losses[0], losses[-1], 0.3, "squared error")


@check(fast=False, needs=contest)
def balance_of_players(case: Case) -> Finding:
    """After fifty steps the generator's loss is finite and not lost: a critic that has won for good teaches nothing."""
    objective, n = case.trained, min(case.made.batch, 64)
    objective.judged = None  # fresh pictures for either
    _, notes = case.loss(objective, "critic", case.batch("critic", n, step=60), step=60)
    objective.judged = None
    loss, _ = case.loss(objective, "generator", case.batch("generator", n, step=60), step=60)
    most = case.objective.expect()["generator"] + 10
    words = f"generator's loss {loss.item():.2f}, real above fake by {float(notes['real'] - notes['fake']):.2f}"
    return found(loss.item() < most, words, f"below {most:.1f}", "a critic too strong: rate, size or no penalty")


@check(fast=False, needs=contest)
def variety(case: Case) -> Finding:
    """After fifty steps different noise still draws different pictures: a collapse begins early and shows in no loss."""
    drawn = case.trained.generator(*case.fed["generator"]).detach().float()
    real, _ = case.batch("critic", 64)
    ours, theirs = drawn.std(0).mean().item(), real.std(0).mean().item()
    return found(
        ours > 0.01 * theirs,
        f"{ours / theirs:.1%} of the real pictures' deviation",
        "above 1%",
        "a generator that ignores its noise",
    )
