"""What is wrong with nets, objectives and their optimizers, whatever the arm."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from gannet.nets.sequence import TextCritic, Writer
from gannet.objectives import nets_of
from gannet.objectives.classify import Classify
from gannet.objectives.detect import Detect
from gannet.objectives.embed import Embed
from gannet.objectives.gan import Gan
from gannet.objectives.language import Language, Writes
from gannet.preflight import plain
from gannet.preflight.case import Case, Finding, check, fixed, foretold, found, player_of, restoring, worst
from gannet.training import checkpoint


def each(case: Case, do: Callable[..., Finding]) -> Finding:
    """A check of a net, for each player's, with what is really fed to it."""
    nets = {name: case.objective.players[name].net for name in case.fed}
    return worst({name: do(nets[name], *relaxed(nets[name], fed)) for name, fed in case.fed.items()})


def relaxed(net: torch.nn.Module, fed: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is fed to a net of tokens, with shares of the tokens (N, T, V) for the tokens, and of bytes, as floats: a gradient
    can flow to them."""
    if isinstance(fed[0], torch.Tensor) and fed[0].dtype == torch.uint8:
        return fed[0] / 255, *fed[1:]
    if not isinstance(net, Writer | TextCritic) or fed[0].is_floating_point():
        return fed
    return F.one_hot(fed[0], net.tokens).float(), *fed[1:]


@check(fast=True)
def initial_loss(case: Case) -> Finding:
    """The first loss is the one that an untrained net must have: a wrong one means a wrong last layer, loss or target."""
    objective, expected, findings = case.copy(), case.objective.expect(), {}
    outputs: list[torch.Tensor] = []
    for name in judges(case):
        objective.players[name].net.register_forward_hook(lambda net, given, output: outputs.append(first_of(output)))
    for name in case.players():
        outputs.clear()
        n, step = min(case.made.batch, 64), 0
        batch = case.batch(name, n)
        while isinstance(objective, Detect) and not batch.there_NM.any() and (step := step + 1) < 20:
            batch = case.batch(name, n, step)  # in a folder where most pictures are empty, a batch may be
        loss, notes = case.loss(objective, name, batch)  # penalties need gradients
        contest = foretold(loss.item(), notes)
        if name in expected:
            if isinstance(objective, Detect):  # whose outputs begin at a prior: what counts is how far from that
                outputs[:] = [o - o.mean((0, 2, 3), keepdim=True) for o in outputs]
            if isinstance(objective, Embed):  # whose outputs are vectors: the loss looks at directions alone
                outputs.clear()
            given = torch.cat([o.detach().float().flatten() for o in outputs]) if outputs else None
            findings[name] = plain.check_initial_loss(contest, expected[name], given)
        else:
            findings[name] = Finding("info", f"{contest:.3f}", "nothing is known")
    expectations = "; ".join(f"{name} {f.expected}" for name, f in findings.items())
    return dataclasses.replace(worst(findings), expected=expectations)


def first_of(output: Any) -> torch.Tensor:
    """A net's output, the first of several: of an agent's policy and value the policy."""
    return output[0] if isinstance(output, tuple) else output


@check(fast=True)
def same_seed(case: Case) -> Finding:
    """The same steps twice give the same weights, bit for bit: or nothing about a run can be repeated."""
    one, two = case.copy(), case.copy()
    for objective in (one, two):
        case.fit(objective, 2)
    off = difference(one, two)
    cause = "random numbers that no seed sets, or a net that keeps something outside its state"
    return found(off <= slack(case), f"weights differ by {off:.1e}", f"{slack(case):g}", cause)


def difference(one: Any, two: Any) -> float:
    """The largest difference between two objectives' weights and states; infinite where one is no number."""
    pairs = list(zip(tensors(one), tensors(two), strict=True))
    apart = [(a.cpu().double() - b.cpu().double()).abs().max().item() for a, b in pairs if not torch.equal(a, b)]
    return max((math.inf if math.isnan(x) else x for x in apart), default=0.0)


def tensors(objective: Any) -> list[torch.Tensor]:
    """Everything that training changes, optimizers apart."""
    return [t for net in nets_of(objective) for t in net.state_dict().values()] + list(objective.state().values())


def slack(case: Case) -> float:
    """What two equal computations may differ by: nothing, but on accelerators that add up in no fixed order."""
    return 0.0 if case.engine.device.type in ("cpu", "cuda") else 1e-3


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


def wants_logits(case: Case) -> bool:
    """Objectives whose losses bring their own softmax or sigmoid."""
    return isinstance(case.objective, Gan | Classify | Language)


@check(fast=True, needs=wants_logits)
def logits(case: Case) -> Finding:
    """Nets that judge give logits: a softmax before a cross-entropy learns slowly and never well."""
    return worst({name: plain.check_logits(case.objective.players[name].net, *case.fed[name]) for name in judges(case)})


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
        batch = case.batch(name, by=objective)
        counts_N = getattr(batch, "counts", None)
        if counts_N is not None and not counts_N.any():  # rewards to come, of which so few steps show no end
            return Finding("info", f"no step of {len(counts_N)} is known to its end, so that nothing is learnt", "")
        case.turn(objective, name, batch)
        sizes = {key: 0.0 if p.grad is None else p.grad.norm().item() for key, p in net.named_parameters()}
        of += len(sizes)
        for key, parameter in net.named_parameters():
            # A bias that batch normalisation, or a difference of logits, takes away again has 0 or what rounding leaves.
            beside = sizes.get(f"{key.removesuffix('bias')}weight", 0.0) if key.endswith("bias") else sizes[key]
            if beside > 0 and sizes[key] <= 1e-6 * max(sizes.values()):
                faint.append(f"{name}.{key}")
            elif sizes[key] == 0 or torch.equal(parameter, before[key]):
                still.append(f"{name}.{key}")
    if faint and not still:
        words = f"{len(faint)} of {of} tensors move by rounding errors or not at all: {faint[0]}"
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
        case.turn(objective, name, case.batch(name, by=objective))
        for other, before in others.items():
            now = objective.players[other].net.state_dict()
            weights = [key for key, _ in objective.players[other].net.named_parameters()]
            touched += [f"{name} moved {other}.{key}" for key in weights if not torch.equal(now[key], before[key])]
    words = touched[0] if touched else "nothing touched"
    return found(not touched, words, "nothing touched", "one optimizer with both nets' weights, or weights that two nets share")


@check(fast=True)
def gradients_cleared(case: Case) -> Finding:
    """A step's gradient is that step's alone: gradients that are never cleared add up, and the rate grows by itself."""
    objective, kept, of = case.perturbed(), [], 0
    for name in case.players():
        player, batch = objective.players[name], case.batch(name, by=objective)

        def backward(name: str = name, player: Any = player, batch: Any = batch) -> dict[str, torch.Tensor]:
            loss, _ = case.loss(objective, name, batch)
            case.engine.backward(loss, player)
            return {key: p.grad for key, p in player.net.named_parameters() if p.grad is not None}

        backward()  # the very first may go on with what another player left
        slopes = backward()
        far = 1e6 * max([1.0, *(slope.abs().max().item() for slope in slopes.values())])
        for slope in slopes.values():
            slope.fill_(far)  # what must be gone when the next one is taken
        left = backward()
        kept += [f"{name}.{key}" for key, slope in left.items() if slope.abs().mean() > far / 2]
        of += len(left)
    words = f"{len(kept)} of {of} tensors add up" + (f": {kept[0]}" if kept else "")
    return found(not kept, words, "none", "zero_grad is missing, does nothing, or does not know the layer")


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
    checkpoint.unpack(second, torch.load(buffer, map_location="cpu", weights_only=True))
    case.fit(second, 2, start=2)
    off = difference(straight, second)
    cause = "something that training changes is in neither nets, optimizers nor state(), or the optimizer is made anew"
    return found(off <= slack(case), f"weights differ by {off:.1e}", f"{slack(case):g}", cause)


@check(fast=True)
def average(case: Case) -> Finding:
    """The averaged net that will be judged follows the trained one, without being it."""
    objective = case.copy()
    if not getattr(objective, "half_life", 0):
        return Finding("info", "nothing is averaged", "")
    parts = {name: name.partition(".") for name in objective.nets()}  # "player", or "player.part" of its net
    raw = {
        name: objective.players[player].net.get_submodule(part)
        for name, (player, _, part) in parts.items()
        if player in objective.players
    }
    averaged = {name: net for name, net in objective.nets().items() if name in raw and raw[name] is not net}
    if not averaged:
        words = "the trained nets are the model"
        cause = "an average that is kept and never judged: nets() gives the trained ones"
        return Finding("fail", words, "averaged nets", cause)
    before = copy.deepcopy(averaged)
    case.fit(objective, 4)
    if not any(apart(net, before[name]) for name, net in averaged.items()):
        case.fit(objective, 20, start=4)  # some begin late, or are moved every tenth step
    findings = {}
    for name, net in averaged.items():
        came, away = apart(net, before[name]), apart(net, raw[name])
        cause = "the average is never updated" if came == 0 else "the average is the trained net, or a copy of it"
        findings[name] = found(came > 0 and away > 0, f"moved {came:.1e}, behind by {away:.1e}", "both above 0", cause)
    return worst(findings)


@torch.no_grad()
def apart(one: torch.nn.Module, two: torch.nn.Module) -> float:
    """The largest difference between two nets' parameters."""
    return max((a - b).abs().max().item() for a, b in zip(one.parameters(), two.parameters(), strict=True))


class ByHeart:
    """A player that learns one small batch by heart, the others standing still.

    Adam at 1e-3 with neither decay nor schedule: what is tried is the net and its loss. Steps are taken when somebody asks for
    their losses, so that two checks of the same course pay for it once.

    Args:
        case: whose batch it is, and of whose objective a copy learns
        name: of the player
        blind: with every input of its net zeroed
    """

    def __init__(self, case: Case, name: str, *, blind: bool = False):
        self.case, self.name, self.objective = case, name, case.copy()
        self.player, self.batch = self.objective.players[name], case.batch(name, min(case.made.batch, 8))
        if blind:
            self.player.net.register_forward_pre_hook(lambda net, arguments: tuple(map(blank, arguments)))
        self.plainly = torch.optim.Adam(self.player.net.parameters(), lr=1e-3)
        self.losses: list[float] = []
        self.right: list[bool] = []

    def upto(self, steps: int, share: float | None = None) -> list[float]:
        """The losses of the first steps, without penalties and without boxes; fewer where this share of the first is reached
        and every example told right."""
        for step in range(steps):
            if step == len(self.losses):
                with restoring():  # what drops out does not depend on who asks for the step
                    torch.manual_seed(step)
                    loss, notes = self.case.turn(self.objective, self.name, self.batch, optimizer=self.plainly)
                self.losses.append(float(notes.get("contest", notes.get("heat", loss))))
                self.right.append(float(notes.get("accuracy", 1)) == 1)
            if share is not None and self.right[step] and self.losses[step] <= plain.target(self.losses[0], share):
                return self.losses[: step + 1]
        return self.losses[:steps]


def seeing(case: Case, name: str) -> ByHeart:
    """The player's course with its inputs as they are: one for all checks of a case."""
    if name not in case.courses:
        case.courses[name] = ByHeart(case, name)
    return case.courses[name]


def blank(argument: Any) -> Any:
    """Zeros of the same shape for a tensor of floats, with its graph: an exact penalty differentiates through it; and for one
    of tokens."""
    if not isinstance(argument, torch.Tensor):
        return argument
    return argument * 0 if argument.is_floating_point() or argument.ndim > 1 else argument


def judges(case: Case) -> list[str]:
    """The players that judge examples: all but a generator, which has a check of its own."""
    return [name for name in case.players() if name != "generator"]


@check(fast=False, needs=fixed)
def overfit(case: Case) -> Finding:
    """Each net that judges learns eight examples by heart (a critic: these against frozen fakes). One that cannot is broken."""
    findings = {}
    for name in judges(case):
        share = 0.5 if isinstance(case.objective, Gan) and case.objective.penalty != "none" else 0.3
        losses = seeing(case, name).upto(200, share)
        findings[name] = plain.learnt_by_heart(losses[0], losses[-1], share, "")
    return worst(findings)


@check(fast=False, needs=fixed)
def input_baseline(case: Case) -> Finding:
    """Seeing beats not seeing: the same steps with every input zeroed must do worse, or the answer comes from elsewhere."""
    findings = {}
    for name in judges(case):
        steps = 120 if isinstance(case.objective, Writes) else 40  # how often tokens come is learnt first, and unseen
        open_eyes, blind = seeing(case, name).upto(steps), ByHeart(case, name, blind=True).upto(steps)
        del case.courses[name]  # a copy of the nets, with all that Adam knows of them
        unit = unit_of(blind[0])
        gain, learnt_blind = (blind[-1] - open_eyes[-1]) / unit, (blind[0] - blind[-1]) / unit
        cause = "the input does not matter"
        if learnt_blind > 0.2:
            cause = "the label, or who is real, can be told without the input"
        words = f"{open_eyes[-1]:.3f} seeing, {blind[-1]:.3f} blind"
        findings[name] = found(gain > 0.1 and learnt_blind < 0.7, words, "a tenth lower seeing", cause)
    return worst(findings)


def unit_of(first: float) -> float:
    """What losses are measured in: the first, or a half where that is about 0, as in Wasserstein's contest."""
    return abs(first) if abs(first) > 1e-6 else 0.5


@check(fast=False, needs=fixed)
def rate(case: Case) -> Finding:
    """At its peak rate each player's loss falls on one batch, others standing still; at three times that it stays bounded."""
    findings = {}
    for name in case.players():
        falls = {}
        for times in (1.0, 3.0):
            objective = case.perturbed()
            batch = case.batch(name, min(case.made.batch, 8))
            objective.players[name].rate *= times
            losses = [case.turn(objective, name, batch)[0] for _ in range(40)]
            falls[times] = (losses[0] - min(losses[-5:])) / unit_of(losses[0])
        holds = falls[1.0] > 0.01 and math.isfinite(falls[3.0]) and falls[3.0] > -2
        cause = "a rate too low: the loss hardly moves" if abs(falls[1.0]) <= 0.01 else "a rate too high: the loss grows"
        words = f"falls by {falls[1.0]:.1%} in 40 steps, by {falls[3.0]:.0%} at three times the rate"
        findings[name] = found(holds, words, "by over 1%, not below -200%", cause)
    return worst(findings)


def has_sizes(case: Case) -> bool:
    return case.again is not None and fixed(case)


@check(fast=False, needs=has_sizes)
def capacity(case: Case) -> Finding:
    """The larger size learns a batch by heart at least as well as the smaller one in as many steps."""
    assert case.again is not None
    ends = {}
    for size in ("tiny", "small"):
        made = case.again(size)
        ends[size] = learn(Case(made, case.whole))
    words = f"tiny {ends['tiny']:.4f}, small {ends['small']:.4f}"
    cause = "widths that are not used, or numbers of the larger size that do not train"
    return found(ends["small"] <= 1.1 * ends["tiny"] + 1e-3, words, "small no higher than tiny", cause)


def learn(case: Case) -> float:
    """What is left of the loss on one batch after forty steps: the generator's squared error, or the first player's loss."""
    if isinstance(case.objective, Gan):
        return redraw(case, case.copy().generator, 40)[-1]
    losses = ByHeart(case, case.players()[0]).upto(40)
    return losses[-1] / unit_of(losses[0])


def redraw(case: Case, generator: torch.nn.Module, steps: int, share: float | None = None) -> list[float]:
    """Squared errors of a generator that learns to draw eight fixed pictures from eight fixed noises, Adam at 2e-3; as many as
    these, or until this share of the first is reached."""
    real, _ = case.batch("generator", min(case.made.batch, 8))
    _, *given = case.fed["generator"]
    z = case.fed["generator"][0][: len(real)]
    optimizer = player_of(generator, 2e-3).optimizer
    losses = []
    for _ in range(steps):
        drawn = generator(z, *[g[: len(real)] if isinstance(g, torch.Tensor) else g for g in given])
        loss = (drawn - real).square().mean()
        losses.append(loss.item())
        if share is not None and losses[-1] <= plain.target(losses[0], share):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses
