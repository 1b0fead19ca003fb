"""Checks on anybody's nets, tensors and losses, with plain PyTorch: no recipe, no run folder.

Each returns a `Finding` and leaves the net as it was: they work on copies. Shapes: N examples, T places of a sequence.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gannet.errors import Wrong
from gannet.preflight.case import Finding, found, perturb

aten = torch.ops.aten
LARGEST = 3.0  # size of an untrained net's outputs: DCGAN's usual start gives logits of 0.5 to 1.7


def worked_on(net: nn.Module, *, train: bool = False) -> nn.Module:
    """A copy of a net with noise on its weights: layers that begin at zero hide what they are connected to."""
    twin = perturb(copy.deepcopy(net)).train(train)
    for part in twin.modules():
        if isinstance(part, nn.RNNBase) and not train:  # on a card these pass gradients on in no other mode
            part.training, part.dropout = True, 0.0
    return twin


def afresh(arguments: Sequence[Any], n: int | None = None) -> tuple[list[torch.Tensor], list[Any]]:
    """The first n examples of a net's arguments, copied: the leaves that gradients can flow to, and what to call it with.

    A net is called with the leaves times one, so that its first layer may work in place.
    """
    leaves: list[torch.Tensor] = []
    given: list[Any] = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            argument = argument.detach()[:n].clone() if argument.ndim else argument.detach().clone()
            if argument.is_floating_point() and argument.ndim:
                leaves.append(argument.requires_grad_())
                argument = argument * 1
        given.append(argument)
    if not leaves:
        raise Wrong("this check follows gradients to an input, and no input is floating point", try_="the embedded input")
    return leaves, given


def outputs(net: nn.Module, given: Sequence[Any]) -> torch.Tensor:
    """What a net gives, (N, ...): the first tensor, where it gives several."""
    out = net(*given)
    if isinstance(out, dict):
        out = tuple(out.values())
    if isinstance(out, tuple | list):
        out = next((part for part in out if isinstance(part, torch.Tensor)), None)
    if not isinstance(out, torch.Tensor) or out.ndim == 0:
        raise Wrong("a net must give a tensor with an axis of examples", got=type(out).__name__)
    return out


def mixed(out: torch.Tensor) -> torch.Tensor:
    """One number for each row (N,) in which all its numbers count differently: a plain sum of a softmax is always 1."""
    rows_NK = out.reshape(len(out), -1)
    return rows_NK @ torch.linspace(1, 2, rows_NK.shape[1], device=out.device, dtype=out.dtype)


@torch.enable_grad()
def check_dependencies(net: nn.Module, *arguments: Any, train: bool = False) -> Finding:
    """Does each output depend on its own example, and on no other? By the gradient of one output to all inputs.

    Args:
        net: called as net(*arguments); its output's first axis are the examples
        arguments: a batch of at least two examples; tensors whose first axis are the examples, and whatever else it takes
        train: look at it in train mode, where batch normalisation is known to mix

    Raises:
        Wrong: where no argument is floating point, or the net gives no tensor.
    """
    twin = worked_on(net, train=train)
    leaves, given = afresh(arguments, 8)
    out_N = mixed(outputs(twin, given))
    own = others = 0.0
    for i in range(min(4, len(out_N))):
        slopes = torch.autograd.grad(out_N[i], leaves, retain_graph=True, allow_unused=True)
        for slope in slopes:
            if slope is not None:
                sizes_N = slope.reshape(len(slope), -1).abs().sum(1)
                own = max(own, sizes_N[i].item())
                sizes_N[i] = 0
                others = max(others, sizes_N.max().item())
    cause = "a reshape, a normalisation, a minibatch deviation or a sum over the batch mixes examples"
    if own == 0:
        cause = "the net ignores its input" if others == 0 else "outputs stand in another order than inputs"
    return found(own > 0 and others == 0, f"own {own:.1e}, others' {others:.1e}", "own above 0, others' 0", cause)


@torch.enable_grad()
def check_causality(net: nn.Module, x_NT: torch.Tensor, embed: Callable[[nn.Module], nn.Module] | None = None) -> Finding:
    """Does what a net says at place t depend on the past alone?

    Args:
        net: (N, T) whole numbers, or (N, T, C) floats -> (N, T, ...)
        x_NT: a batch of sequences of at least two places
        embed: for whole numbers: finds the module in a net whose output stands for them; the first nn.Embedding otherwise
    """
    twin = worked_on(net)
    kept: list[torch.Tensor] = []
    if x_NT.is_floating_point():
        kept, given = afresh([x_NT])
        out = outputs(twin, given)
    else:
        layer = embed(twin) if embed else next(m for m in twin.modules() if isinstance(m, nn.Embedding))

        def keep(module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
            kept.append(output.detach().requires_grad_())
            return kept[0] * 1

        layer.register_forward_hook(keep)
        out = outputs(twin, [x_NT])
    future = past = 0.0
    length = out.shape[1]
    for t in sorted({0, (length - 2) // 2, length - 2}):
        (slope,) = torch.autograd.grad(mixed(out[:, t]).sum(), kept[0], retain_graph=True)
        size_T = slope.flatten(2).abs().sum((0, 2))
        future = max(future, size_T[t + 1 :].max().item())
        past = max(past, size_T[: t + 1].max().item())
    cause = "the net ignores its input" if past == 0 else "a mask is missing or off by one: what is to be said is in the input"
    return found(past > 0 and future == 0, f"past {past:.1e}, future {future:.1e}", "past above 0, future 0", cause)


@torch.enable_grad()
def check_inputs_used(net: nn.Module, *arguments: Any) -> Finding:
    """Does every number of the input reach the output of some example?

    Args:
        net: called as net(*arguments)
        arguments: a batch
    """
    twin = worked_on(net)
    leaves, given = afresh(arguments)
    out_N = mixed(outputs(twin, given))
    slopes = torch.autograd.grad(out_N.square().sum(), leaves, allow_unused=True)
    used = [torch.zeros_like(x[0]) if s is None else s.abs().sum(0) for x, s in zip(leaves, slopes, strict=True)]
    unused = sum(int((u == 0).sum()) for u in used)
    of = sum(u.numel() for u in used)
    cause = "noise or pixels are cut off, masked or overwritten on their way"
    return found(unused == 0, f"{unused:,} of {of:,} unused", "all used", cause)


def check_initial_loss(measured: float, expected: float, outputs: torch.Tensor | None = None) -> Finding:
    """Is the first loss the one that an untrained net must have?

    A net whose outputs begin at zero has it exactly. Others may be off by twice the size of their outputs, which must be small.

    Args:
        measured: of a net that has not been trained, on one batch
        expected: such as ln K for K classes, ln 2 for a relativistic contest
        outputs: what the net gave, where it is at hand; without it about a third off is allowed
    """
    size = outputs.detach().float().square().mean().sqrt().item() if outputs is not None else abs(expected) / 8
    allowed = max(0.05 * abs(expected), 0.02) + 2 * min(size, LARGEST)
    cause = "a last layer that begins too large"
    if size <= LARGEST:
        cause = "a sum where a mean is meant, a wrong number of classes, or a target that can be seen in the input"
    words = f"{measured:.3f}" + ("" if size <= LARGEST else f" with outputs of {size:.1f}")
    return found(abs(measured - expected) <= allowed and size <= LARGEST, words, f"{expected:.3f} ± {allowed:.2f}", cause)


def check_inputs(x: torch.Tensor) -> Finding:
    """Is what enters a net finite, of a usual size, and not all the same?

    Args:
        x: (N, ...), floats, exactly as they enter the net
    """
    if not bool(torch.isfinite(x).all()):
        return Finding("fail", "not finite", "finite numbers", "an empty file, a division by zero or an overflow")
    mean, deviation = x.float().mean().item(), x.float().std().item()
    words = f"{mean:.2f} ± {deviation:.2f}, {x.min().item():.1f} to {x.max().item():.1f}"
    holds = x.is_floating_point() and abs(mean) <= 3 and 0.02 <= deviation <= 5
    cause = "bytes from 0 to 255 that nobody divided, or a normalisation made for other data"
    if deviation < 0.02:
        cause = "every input is the same: a mask, a crop or a loader that goes wrong"
    return found(holds, words, "mean within ±3, deviation 0.02 to 5", cause)


def check_parameters(nets: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer]) -> Finding:
    """Is every trainable tensor in exactly one optimizer, its own net's?

    Args:
        nets, optimizers: by the same names
    """
    homes: dict[int, list[str]] = {}
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                homes.setdefault(id(parameter), []).append(name)
    wrong = [f"{name}: {words}" for name, net in nets.items() for words in hidden(net)]
    wrong += [
        f"{name}.{key} in {' and '.join(homes.get(id(p), [])) or 'none'}"
        for name, net in nets.items()
        for key, p in net.named_parameters()
        if p.requires_grad and homes.get(id(p)) != [name]
    ]
    of = sum(len(list(net.parameters())) for net in nets.values())
    words = f"{len(wrong)} of {of} astray" + (f": {wrong[0]}" if wrong else "")
    cause = (
        "a layer that was added after its optimizer was built, a list that is no nn.ModuleList, or one net in two optimizers"
    )
    return found(not wrong, words, "each in its own net's optimizer", cause)


def hidden(net: nn.Module) -> list[str]:
    """Modules and parameters in plain lists and dictionaries, which neither optimizers nor state dicts find."""
    return [
        f"{attribute} of {type(module).__name__} is a plain {type(value).__name__}"
        for module in net.modules()
        for attribute, value in vars(module).items()
        if not attribute.startswith("_") and isinstance(value, list | tuple | dict)
        for items in [value.values() if isinstance(value, dict) else value]
        if any(isinstance(item, nn.Module | nn.Parameter) for item in items)
    ]


def check_logits(net: nn.Module, *arguments: Any) -> Finding:
    """Are outputs logits, free to be of any size, where the loss brings its own softmax or sigmoid?

    Args:
        net: called as net(*arguments); (N,), (N, 1) or (N, K)
        arguments: a batch
    """
    low, high = math.inf, -math.inf
    with torch.no_grad():
        for scale in (1, 10, 100):
            twin = worked_on(net)
            for parameter in twin.parameters():
                parameter.mul_(scale if parameter.ndim > 1 else 1)
            out = outputs(twin, cloned(arguments))
            low, high = min(low, out.min().item()), max(high, out.max().item())
    cause = "a softmax, sigmoid or tanh in front of a loss that has its own"
    return found(low < -1.001 or high > 1.001, f"{low:.2g} to {high:.2g}", "beyond -1 to 1 with larger weights", cause)


def cloned(arguments: Sequence[Any]) -> list[Any]:
    """Arguments that a net may write into."""
    return [a.detach().clone() if isinstance(a, torch.Tensor) else a for a in arguments]


class Units(TorchDispatchMode):
    """Watches rectifiers and squashers wherever they are called; `dead` and `saturated` hold each call's share."""

    def __init__(self) -> None:
        super().__init__()
        self.dead: list[float] = []
        self.saturated: list[float] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in (aten.relu, aten.relu_):  # a leaky one is never dead
            unit = 1 if out.ndim in (2, 4) else out.ndim - 1  # channels of pictures, else the last axis
            self.dead.append((out.detach().movedim(unit, 0).flatten(1) <= 0).all(1).float().mean().item())
        elif packet in (aten.tanh, aten.tanh_, aten.sigmoid, aten.sigmoid_):
            x = out.detach() if packet in (aten.tanh, aten.tanh_) else 2 * out.detach() - 1
            self.saturated.append((x.abs() > 0.99).float().mean().item())
        return out


def check_units(net: nn.Module, *arguments: Any) -> Finding:
    """Are units alive: rectifiers not zero for a whole batch, tanh and sigmoid not at their ends?

    Args:
        net: called as net(*arguments), with its weights as they are
        arguments: a batch
    """
    twin = copy.deepcopy(net)
    with torch.no_grad(), Units() as seen:
        twin(*cloned(arguments))
    if not seen.dead and not seen.saturated:
        return Finding("info", "none that can die or saturate", "")
    dead, saturated = max(seen.dead, default=0.0), max(seen.saturated, default=0.0)
    cause = "weights or biases that begin too large or too far below zero" if dead > 0.5 else "inputs or weights too large"
    words = f"at worst {dead:.0%} dead, {saturated:.0%} saturated"
    return found(dead <= 0.5 and saturated <= 0.5, words, "at most 50% in any layer", cause)


def check_shared_items(train: torch.Tensor, test: torch.Tensor) -> Finding:
    """Are items of the test set in the training set, more often than training items repeat one another?

    Args:
        train, test: (N, ...) decoded items
    """
    mine, theirs = fingerprints(train), fingerprints(test)
    counts = Counter(mine)
    shared = sum(row in counts for row in theirs)
    repeated = sum(counts[row] > 1 for row in mine) / max(len(mine), 1)
    allowed = repeated + 3 * math.sqrt(repeated * (1 - repeated) / max(len(theirs), 1))
    words = f"{shared:,} of {len(theirs):,} test items (training items repeat: {repeated:.1%})"
    cause = "the split was drawn with replacement, by file rather than by source, or is the training set"
    share = shared / max(len(theirs), 1)
    verdict = "pass" if share <= allowed else "warn" if share <= allowed + 0.005 else "fail"
    return Finding(verdict, words, f"at most {allowed:.1%}", cause if verdict != "pass" else "")


def fingerprints(x: torch.Tensor) -> list[bytes]:
    """Sixteen bytes for each item, equal where items are."""
    return [hashlib.blake2b(row, digest_size=16).digest() for row in x.detach().cpu().contiguous().flatten(1).numpy()]


def check_labels(
    x_train: torch.Tensor, y_train: torch.Tensor, x_test: torch.Tensor, y_test: torch.Tensor, *, chunk: int = 256
) -> Finding:
    """Do labels belong to their items? By nearest neighbours: items as they are fed must tell the labels of stored ones.

    How much is asked for follows from how well the stored items tell one another's labels; where they do not, nothing is.

    Args:
        x_train, y_train: (N, ...) and (N,), exactly as they are fed, some thousand
        x_test, y_test: (M, ...) and (M,) as they are stored
    """
    a, b = x_train.float().flatten(1), x_test.float().flatten(1)
    among = torch.cdist(b, b).fill_diagonal_(math.inf)
    alone = (y_test[among.argmin(1)] == y_test).float().mean().item()
    near = torch.cat([torch.cdist(part, a).argmin(1) for part in b.split(chunk)])
    right = (y_train[near] == y_test).float().mean().item()
    majority = torch.bincount(y_test).max().item() / len(y_test)
    words = (
        f"nearest neighbour {right:.1%} right (stored items among themselves {alone:.1%}, the commonest class {majority:.1%})"
    )
    if alone <= majority + 4 * math.sqrt(majority * (1 - majority) / len(y_test)):
        return Finding("info", words, "nothing: neighbours do not tell these classes")
    wanted = (majority + alone) / 2
    cause = "labels shifted, shuffled apart from their items, or numbered otherwise, or items that no longer look like them"
    return found(right > wanted, words, f"above {wanted:.1%}", cause)


def check_schedule(schedule: Callable[[float, int], float], examples: int, *, batch: int = 1) -> Finding:
    """Does the rate reach its peak, stay above nothing until near the end, and never pass the peak?

    Args:
        schedule: (progress, examples seen) -> share of the peak rate
        examples: of the whole run
        batch: examples in a step
    """
    steps = max(1, examples // batch)
    at = sorted({round(i * (steps - 1) / 200) for i in range(201)})
    shares = [schedule(step / steps, step * batch) for step in at]
    peak, late = max(shares), [share for step, share in zip(at, shares, strict=True) if 0.2 <= step / steps <= 0.9]
    least = min(late, default=peak)
    words = f"peak {peak:.2f}, least from 20% to 90% of the run {least:.4f}"
    holds = all(map(math.isfinite, shares)) and 0.5 <= peak <= 1.0001 and least >= 1e-3
    cause = "a warm-up longer than the run, or a schedule made for another length: it ends before it has begun"
    return found(holds, words, "peak 0.5 to 1, least above 0.001", cause)


def check_range(real: torch.Tensor, generator: nn.Module, *arguments: Any) -> Finding:
    """Can a generator's outputs reach what is real, and only that, where its last layer is bounded?

    Its noise is made larger until its outputs grow no more; those without a bound can reach everything. Whatever else it
    takes is that of the first example throughout: classes vary the outputs as well, and do not grow.

    Args:
        real: (N, ...), as a critic sees them
        generator: called as generator(*arguments)
        arguments: noise and whatever else it takes
    """
    twin = worked_on(generator)
    low, high = real.min().item(), real.max().item()
    arguments = tuple(a if not isinstance(a, torch.Tensor) or a.is_floating_point() else a[:1].expand_as(a) for a in arguments)
    before, width, bounded = 0.0, 0.0, False
    bottom = top = 0.0
    with torch.no_grad():
        for power in range(-6, 25):
            larger = [a * 2.0**power if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in arguments]
            out = outputs(twin, larger).float()
            bottom, top = torch.quantile(out.flatten()[: 2**20], torch.tensor([0.01, 0.99], device=out.device)).tolist()
            spread = out.std(0).mean().item()  # over examples: what their noise does
            bounded = spread < 1.3 * before and top - bottom < 1.05 * width
            if bounded:
                break
            before, width = spread, top - bottom
    if not bounded:
        return Finding("pass", f"real {low:.2f} to {high:.2f}, generated without bounds", "the same range")
    words = f"real {low:.2f} to {high:.2f}, generated {bottom:.2f} to {top:.2f}"
    expected, slack, middle = "the same range, to a fifth", 0.2 * (high - low), (bottom + top) / 2
    cause = "real pictures scaled to [0, 1] beside a tanh, or the other way round"
    half = low >= middle - 0.1 * (top - bottom) or high <= middle + 0.1 * (top - bottom)
    if low < bottom - slack or high > top + slack or half:
        return Finding("fail", words, expected, cause)
    if bottom < low - slack or top > high + slack:
        return Finding("warn", words, expected, f"pictures without their darkest or lightest values, or {cause}")
    return Finding("pass", words, expected)


def check_overfit(
    net: nn.Module,
    loss: Callable[[nn.Module], torch.Tensor],
    *,
    steps: int = 200,
    rate: float = 1e-3,
    share: float = 0.3,
) -> Finding:
    """Can the net learn one small batch by heart? Adam, no decay, no schedule, until the loss is `share` of the first.

    Args:
        net: copied
        loss: of a net on a batch that stays the same -> ()
        steps: at most
        rate: of Adam
        share: of the first loss that must be reached
    """
    twin = copy.deepcopy(net).train()
    optimizer = torch.optim.Adam(twin.parameters(), lr=rate)
    first = last = math.nan
    for step in range(steps):
        value = loss(twin)
        last = value.item()
        first = last if step == 0 else first
        if last <= target(first, share):
            break
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return learnt_by_heart(first, last, share)


def target(first: float, share: float) -> float:
    """The loss that counts as learnt: `share` of the first; half a unit lower where the first is not above 0 (Wasserstein)."""
    return share * first if first > 1e-6 else first - 0.5 * (1 - share)


def learnt_by_heart(first: float, last: float, share: float, name: str = "loss") -> Finding:
    """The verdict on a batch that was to be learnt by heart."""
    cause = "outputs, loss or targets that do not fit together, a layer that passes nothing on, or too small a net"
    words = f"{name} {first:.3f} to {last:.3f}".strip()
    return found(last <= target(first, share), words, f"to {target(first, share):.3f}", cause)


__all__ = [
    "check_causality",
    "check_dependencies",
    "check_initial_loss",
    "check_inputs",
    "check_inputs_used",
    "check_labels",
    "check_logits",
    "check_overfit",
    "check_parameters",
    "check_range",
    "check_schedule",
    "check_shared_items",
    "check_units",
]
