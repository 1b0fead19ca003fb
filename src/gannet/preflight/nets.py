"""What is wrong with nets, objectives and their optimizers, whatever the arm."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
from collections.abc import Callable
from typing import Any

import torch

from gannet.objectives.gan import Gan
from gannet.preflight import plain
from gannet.preflight.case import Case, Finding, check, found, player_of
from gannet.training import checkpoint


def worst(findings: dict[str, Finding]) -> Finding:
    """One finding for several players: the first failure if there is one, and everybody's numbers."""
    chosen = next((f for f in findings.values() if f.verdict == "fail"), next(iter(findings.values())))
    words = "; ".join(f"{name} {f.measured}" for name, f in findings.items())
    return Finding(chosen.verdict, words, chosen.expected, chosen.cause)


def each(case: Case, do: Callable[..., Finding]) -> Finding:
    """A check of a net, for each player's, with what is really fed to it."""
    return worst({name: do(case.objective.players[name].net, *fed) for name, fed in case.fed.items()})


@check(fast=True)
def initial_loss(case: Case) -> Finding:
    """The first loss is the one that an untrained net must have: a wrong one means a wrong last layer, loss or target."""
    objective, expected, findings = case.copy(), case.objective.expect(), {}
    outputs: list[torch.Tensor] = []
    for name in judges(case):
        objective.players[name].net.register_forward_hook(lambda net, given, output: outputs.append(output))
    for name in case.players():
        outputs.clear()
        with torch.no_grad():
            loss, notes = case.loss(objective, name, case.batch(name, min(case.made.batch, 64)))
        contest = float(notes.get("contest", loss))  # penalties are apart
        if name in expected:
            findings[name] = plain.check_initial_loss(contest, expected[name], torch.cat([o.flatten() for o in outputs]))
        else:
            findings[name] = Finding("info", f"{contest:.3f}", "nothing is known")
    chosen = worst(findings)
    return dataclasses.replace(chosen, expected="; ".join(f"{name} {f.expected}" for name, f in findings.items()))


@check(fast=True)
def same_seed(case: Case) -> Finding:
    """The same steps twice give the same weights, bit for bit: or nothing about a run can be repeated."""
    one, two = case.copy(), case.copy()
    for objective in (one, two):
        case.fit(objective, 2)
    off = difference(one, two)
    return found(
        off == 0, f"weights differ by {off:.1e}", "0", "random numbers from elsewhere than the rng, or a net that keeps a state"
    )


def difference(one: Any, two: Any) -> float:
    """The largest difference between two objectives' weights and states."""
    pairs = []
    for mine, theirs in ((trained(one), trained(two)), (one.nets(), two.nets())):
        pairs += [(a, theirs[name].state_dict()[key]) for name, net in mine.items() for key, a in net.state_dict().items()]
    pairs += [(tensor, two.state()[key]) for key, tensor in one.state().items()]
    return max((a.double() - b.double()).abs().max().item() if a.numel() else 0.0 for a, b in pairs)


def trained(objective: Any) -> dict[str, torch.nn.Module]:
    """The players' nets."""
    return {name: player.net for name, player in objective.players.items()}


@check(fast=True)
def modes(case: Case) -> Finding:
    """Players' nets are in train mode, or batch normalisation and dropout do not learn; finished nets are in eval mode."""
    players = {id(p.net) for p in case.objective.players.values()}
    asleep = [name for name, p in case.objective.players.items() if not all(m.training for m in p.net.modules())]
    awake = [name for name, net in case.objective.nets().items() if id(net) not in players and net.training]
    words = "; ".join([f"{name} in eval mode" for name in asleep] + [f"finished {name} in train mode" for name in awake])
    cause = "an .eval() without its .train()" if asleep else "an average that was never put into eval mode"
    return found(
        not asleep and not awake,
        words or "players train, finished nets evaluate",
        "players train, finished nets evaluate",
        cause,
    )


@check(fast=True)
def dependencies(case: Case) -> Finding:
    """An example's output depends on that example and no other, traced by backprop: a reshape over the batch trains, badly."""
    return each(case, plain.check_dependencies)


@check(fast=True)
def inputs_used(case: Case) -> Finding:
    """Every pixel and every number of noise reaches the output."""
    return each(case, plain.check_inputs_used)


@check(fast=True)
def logits(case: Case) -> Finding:
    """Nets that judge give logits: a softmax before a cross-entropy learns slowly and never well."""
    judges = {name: fed for name, fed in case.fed.items() if name != "generator"}
    return worst({name: plain.check_logits(case.objective.players[name].net, *fed) for name, fed in judges.items()})


@check(fast=True)
def units(case: Case) -> Finding:
    """Units are alive before training begins: dead rectifiers and saturated tanhs pass no gradient on."""
    return each(case, plain.check_units)


@check(fast=True)
def parameters(case: Case) -> Finding:
    """Every trainable tensor is in exactly one player's optimizer: a forgotten layer stays as it was drawn."""
    players = case.copy().players
    return plain.check_parameters({n: p.net for n, p in players.items()}, {n: p.optimizer for n, p in players.items()})


@check(fast=True)
def moved(case: Case) -> Finding:
    """A step gives every tensor of its player a gradient and moves it: what has none is cut off from the loss."""
    objective, still, faint, of = case.perturbed(), [], [], 0
    for name in case.players():
        net = objective.players[name].net
        before = {key: p.detach().clone() for key, p in net.named_parameters()}
        case.turn(objective, name, case.batch(name))
        sizes = {key: 0.0 if p.grad is None else p.grad.norm().item() for key, p in net.named_parameters()}
        of += len(sizes)
        still += [f"{name}.{key}" for key, p in net.named_parameters() if sizes[key] == 0 or torch.equal(p, before[key])]
        faint += [f"{name}.{key}" for key, size in sizes.items() if 0 < size <= 1e-6 * max(sizes.values())]
    if faint and not still:
        words = f"{len(faint)} of {of} tensors move by rounding errors alone: {faint[0]}"
        return Finding("warn", words, "none", "a bias that cancels out, as before batch normalisation")
    words = f"{len(still)} of {of} tensors still" + (f": {still[0]}" if still else "")
    cause = "a layer that the loss does not reach, frozen weights, or a rate of 0"
    return found(not still, words, "none", cause)


@check(fast=True)
def others_untouched(case: Case) -> Finding:
    """A player's step leaves every other player's weights alone."""
    objective, touched = case.perturbed(), []
    for name in case.players():
        others = {n: copy.deepcopy(p.net.state_dict()) for n, p in objective.players.items() if n != name}
        case.turn(objective, name, case.batch(name))
        for other, before in others.items():
            now = objective.players[other].net.state_dict()
            weights = [key for key, _ in objective.players[other].net.named_parameters()]
            touched += [f"{name} moved {other}.{key}" for key in weights if not torch.equal(now[key], before[key])]
    words = touched[0] if touched else "nothing touched"
    return found(not touched, words, "nothing touched", "one optimizer with both nets' weights, or weights that two nets share")


@check(fast=True)
def gradients_cleared(case: Case) -> Finding:
    """A step's gradient is that step's alone: gradients that are never cleared add up, and the rate grows by itself."""
    objective, name = case.perturbed(), case.players()[0]
    player, batch = objective.players[name], case.batch(name)
    sizes: list[dict[str, float]] = []
    for _ in range(3):
        torch.manual_seed(0)  # of dropout
        loss, _ = case.loss(objective, name, batch)
        case.engine.backward(loss, player)
        sizes.append({key: p.grad.norm().item() for key, p in player.net.named_parameters() if p.grad is not None})
    least = 1e-4 * max(sizes[0].values(), default=0.0)
    ratio = max((sizes[-1][key] / size for key, size in sizes[0].items() if size > least), default=1.0)
    return found(
        ratio < 2, f"third backward up to {ratio:.2f} times the first", "below 2", "zero_grad is missing or does nothing"
    )


@check(fast=True)
def schedule(case: Case) -> Finding:
    """The rate reaches its peak and lasts: a warm-up or a decay made for another length ends a run before it has begun."""
    made = case.made
    finding = plain.check_schedule(made.schedule, made.examples, batch=made.batch)
    if finding.verdict == "fail" or case.steps is None:
        return finding
    asked = plain.check_schedule(made.schedule, case.steps * made.batch, batch=made.batch)
    return (
        asked
        if asked.verdict == "pass"
        else Finding("warn", asked.measured, asked.expected, "a run this short is for trying only")
    )


@check(fast=True)
def resume(case: Case) -> Finding:
    """Two steps, saved and loaded, and two more are four steps bit for bit: what is not saved is lost at every interruption."""
    straight, first, second = case.copy(), case.copy(), case.copy()
    case.fit(straight, 4)
    case.fit(first, 2)
    buffer = io.BytesIO()
    torch.save(checkpoint.pack(first), buffer)
    buffer.seek(0)
    checkpoint.unpack(second, torch.load(buffer, map_location=case.engine.device, weights_only=True))
    case.fit(second, 2, start=2)
    off = difference(straight, second)
    cause = "something that training changes is in neither nets, optimizers nor state(), or the optimizer is made anew"
    return found(off == 0, f"weights differ by {off:.1e}", "0", cause)


@check(fast=True)
def average(case: Case) -> Finding:
    """The averaged net that will be judged follows the trained one, without being it."""
    objective = case.copy()
    if not getattr(objective, "half_life", 0):
        return Finding("info", "nothing is averaged", "")
    averaged = {name: net for name, net in objective.nets().items() if objective.players[name].net is not net}
    if not averaged:
        words = "the trained nets are the model"
        return Finding(
            "fail", words, "averaged nets", "an average that is kept and never judged: nets() gives the trained ones"
        )
    before = {name: copy.deepcopy(net.state_dict()) for name, net in averaged.items()}
    case.fit(objective, 4)
    findings = {}
    for name, net in averaged.items():
        raw, now = objective.players[name].net.state_dict(), net.state_dict()
        keys = [key for key, _ in net.named_parameters()]
        came = max((now[key] - before[name][key]).abs().max().item() for key in keys)
        away = max((now[key] - raw[key]).abs().max().item() for key in keys)
        cause = (
            "the average is never updated" if came == 0 else "the average is a second name for the trained net, or a copy of it"
        )
        findings[name] = found(came > 0 and away > 0, f"moved {came:.1e}, behind by {away:.1e}", "both above 0", cause)
    return worst(findings)


def by_heart(case: Case, objective: Any, name: str, steps: int, *, blind: bool = False, share: float = 0.0) -> list[float]:
    """A player's losses on one small batch, over and over, the others standing still; penalties apart.

    Adam at 1e-3 with neither decay nor schedule: what is tried is the net and its loss. Ends at `share` of the first.
    """
    player = objective.players[name]
    batch, hooks, losses = case.batch(name, min(case.made.batch, 8)), [], []
    if blind:
        hooks.append(player.net.register_forward_pre_hook(lambda net, arguments: tuple(map(blank, arguments))))
    plainly = torch.optim.Adam(player.net.parameters(), lr=1e-3)
    for _ in range(steps):
        loss, notes = case.turn(objective, name, batch, optimizer=plainly)
        losses.append(float(notes.get("contest", loss)))
        if losses[-1] <= share * losses[0] and float(notes.get("accuracy", 1)) == 1:
            break
    for hook in hooks:
        hook.remove()
    return losses


def blank(argument: Any) -> Any:
    """Zeros of the same shape for a tensor of floats."""
    return torch.zeros_like(argument) if isinstance(argument, torch.Tensor) and argument.is_floating_point() else argument


def judges(case: Case) -> list[str]:
    """The players that judge examples: all but a generator, which has a check of its own."""
    return [name for name in case.players() if name != "generator"]


@check(fast=False)
def overfit(case: Case) -> Finding:
    """Each net that judges learns eight examples by heart (a critic: these against frozen fakes). One that cannot is broken."""
    findings = {}
    for name in judges(case):
        share = 0.5 if isinstance(case.objective, Gan) and case.objective.penalty != "none" else 0.3
        losses = by_heart(case, case.copy(), name, 200, share=share)
        findings[name] = plain.learnt_by_heart(losses[0], losses[-1], share, "")
    return worst(findings)


@check(fast=False)
def input_baseline(case: Case) -> Finding:
    """Seeing beats not seeing: the same steps with every input zeroed must do worse, or the answer comes from elsewhere."""
    findings = {}
    for name in judges(case):
        seeing, blind = (by_heart(case, case.copy(), name, 40, blind=eyes) for eyes in (False, True))
        gain = (blind[-1] - seeing[-1]) / max(blind[0], 1e-9)
        cause = (
            "the input does not matter"
            if blind[-1] > 0.8 * blind[0]
            else "the label, or who is real, can be told without the input"
        )
        words = f"{seeing[-1]:.3f} seeing, {blind[-1]:.3f} blind"
        findings[name] = found(gain > 0.1 and blind[-1] > 0.3 * blind[0], words, "a tenth lower seeing", cause)
    return worst(findings)


@check(fast=False)
def rate(case: Case) -> Finding:
    """At its peak rate each player's loss falls on one batch, others standing still; at three times that it stays bounded."""
    findings = {}
    for name in case.players():
        ends = {}
        for times in (1.0, 3.0):
            objective = case.perturbed()
            batch = case.batch(name, min(case.made.batch, 8))
            objective.players[name].rate *= times
            losses = [case.turn(objective, name, batch)[0] for _ in range(40)]
            ends[times] = min(losses[-5:]) / max(losses[0], 1e-9)
        holds = ends[1.0] < 0.99 and math.isfinite(ends[3.0]) and ends[3.0] < 3
        cause = "a rate too low: the loss hardly moves" if 0.99 <= ends[1.0] <= 1.01 else "a rate too high: the loss grows"
        words = f"to {ends[1.0]:.0%} of the first loss in 40 steps, to {ends[3.0]:.0%} at three times the rate"
        findings[name] = found(holds, words, "below 99%, below 300%", cause)
    return worst(findings)


def has_sizes(case: Case) -> bool:
    return case.again is not None


@check(fast=False, needs=has_sizes)
def capacity(case: Case) -> Finding:
    """The larger size learns a batch by heart at least as well as the smaller one in as many steps."""
    assert case.again is not None
    ends = {}
    for size in ("tiny", "small"):
        other = Case(case.again(size), case.whole)
        ends[size] = learn(other)
    words = f"tiny {ends['tiny']:.4f}, small {ends['small']:.4f}"
    cause = "widths that are not used, or numbers of the larger size that do not train"
    return found(ends["small"] <= 1.1 * ends["tiny"] + 1e-3, words, "small no higher than tiny", cause)


def learn(case: Case) -> float:
    """What is left of the loss on one batch after forty steps: the generator's squared error, or the first player's loss."""
    objective = case.copy()
    if isinstance(objective, Gan):
        return reproduce(case, objective.generator, 40)[-1]
    losses = by_heart(case, objective, case.players()[0], 40)
    return losses[-1] / losses[0]


def reproduce(case: Case, generator: torch.nn.Module, steps: int) -> list[float]:
    """Squared errors of a generator that learns to draw eight fixed pictures from eight fixed noises, Adam at 2e-3."""
    real, _ = case.batch("generator", min(case.made.batch, 8))
    _, *given = case.fed["generator"]
    z = case.fed["generator"][0][: len(real)]
    optimizer = player_of(generator, 2e-3).optimizer
    losses = []
    for _ in range(steps):
        drawn = generator(z, *[g[: len(real)] if isinstance(g, torch.Tensor) else g for g in given])
        loss = (drawn - real).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
