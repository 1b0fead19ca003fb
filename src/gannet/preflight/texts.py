"""What is wrong with texts, and with nets that write them."""

from __future__ import annotations

import hashlib
import math
from typing import Any, cast

import torch
from torch import nn

from gannet.data.text import Batch, Texts
from gannet.nets.sequence import TextCritic, Writer
from gannet.objectives.language import Language, Writes
from gannet.objectives.text_gan import TextGan
from gannet.preflight import plain
from gannet.preflight.case import Case, Finding, check, found, player_of
from gannet.rng import Rng

STEPS, ROWS = 60, 16  # of learning from random tokens
MARGIN = 0.05  # nats by which luck may be better than ln V


def writes(case: Case) -> bool:
    return isinstance(case.objective, Writes) and isinstance(case.data, Texts)


def writes_likely(case: Case) -> bool:
    return isinstance(case.objective, Language) and isinstance(case.data, Texts)


def has_test(case: Case) -> bool:
    return writes(case) and isinstance(getattr(case.made.evaluation, "test", None), Texts)


def several(case: Case) -> bool:
    """Texts that are separate, of which one can stand twice."""
    return writes(case) and not case.data.whole


def judged(case: Case) -> bool:
    """Texts before a critic."""
    return writes(case) and "critic" in case.objective.players


def contested(case: Case) -> bool:
    return writes(case) and isinstance(case.objective, TextGan)


class Told(nn.Module):
    """A writer as a function of its tokens alone, with the class and the noise of a batch."""

    def __init__(self, net: Writer, batch: Batch):
        super().__init__()
        self.net = net
        self.y_N = batch.y_N if net.classes else None
        self.z_NZ = Rng(0, 0, "told").normal(len(batch.y_N), net.noise).to(batch.y_N.device) if net.noise else None

    def forward(self, ids_NT: torch.Tensor) -> torch.Tensor:
        return self.net(ids_NT, self.y_N, self.z_NZ)


@check(fast=True, needs=writes)
def causality(case: Case) -> Finding:
    """What a writer says of the next token depends on those before it alone, traced by backprop: or it reads the answer."""
    batch = case.batch("writer", 4)
    net = cast(Writer, case.objective.players["writer"].net)
    return plain.check_causality(Told(net, batch), batch.tokens_NT[:, :-1])


@check(fast=False, needs=writes_likely)
def foretelling(case: Case) -> Finding:
    """Random tokens cannot be foretold: a writer that learns to has the next token in its input, through mask or shift."""
    objective, size = case.copy(), len(case.objective.vocabulary)
    few = case.batch("writer", ROWS)
    length = min(few.tokens_NT.shape[1], 33)
    player = objective.players["writer"]
    plainly, losses = player_of(player.net, 3e-3).optimizer, []
    for step in range(STEPS):
        ids_NT = Rng(0, step, "foretelling").integers(size, ROWS * length).view(ROWS, length).to(few.tokens_NT.device)
        there_NT = torch.ones_like(ids_NT[:, 1:], dtype=torch.bool)
        batch = Batch(ids_NT, there_NT, few.y_N)
        losses.append(case.turn(objective, "writer", batch, step, optimizer=plainly)[0])
    told, chance = min(losses), math.log(size)
    cause = "the token that is to be told is in the input: a shift that was forgotten, or a mask off by one"
    return found(told > chance - MARGIN, f"{told:.3f} nats", f"ln {size} = {chance:.3f}, no lower", cause)


@check(fast=True, needs=judged)
def behind_the_end(case: Case) -> Finding:
    """A critic judges texts by what is in them: what stands behind their ends, or how much, changes no logit."""
    objective, batch = case.perturbed(), case.batch("critic", 4)
    critic = cast(TextCritic, objective.players["critic"].net.eval())
    ids_NT, length = batch.tokens_NT[:, 1:], batch.there_NT.shape[1] // 2
    there_NT = batch.there_NT & (torch.arange(batch.there_NT.shape[1], device=ids_NT.device) < max(length, 1))
    y_N = batch.y_N if critic.classes else None
    others_NT = torch.where(there_NT, ids_NT, (ids_NT + 1) % critic.tokens)
    with torch.no_grad():
        (whole_N, each_NT), (other_N, others) = critic(ids_NT, there_NT, y_N), critic(others_NT, there_NT, y_N)
    apart = max((whole_N - other_N).abs().max().item(), ((each_NT - others) * there_NT).abs().max().item())
    return found(apart < 1e-4, f"logits apart by {apart:.1e}", "below 0.0001", "padding that is looked at: a mask left out")


@check(fast=True, needs=contested)
def opponent_apart(case: Case) -> Finding:
    """What the critic or the mediator learns from does not train the writer, nor the writer's loss them."""
    objective, sizes = case.perturbed(), {}
    objective.turns(1.0)
    pairs = [(objective.opponent, "writer"), ("writer", objective.opponent)]
    if objective.path == "gumbel":  # the writer's gradient goes through the critic, and the engine takes its own part
        pairs.pop()
    for mine, other in pairs:
        loss, _ = case.loss(objective, mine, case.batch(mine))
        slopes = torch.autograd.grad(loss, list(objective.players[other].net.parameters()), allow_unused=True)
        sizes[mine] = sum(s.square().sum().item() for s in slopes if s is not None) ** 0.5
    words = ", ".join(f"{name}'s loss {size:.1e}" for name, size in sizes.items())
    return found(not any(sizes.values()), words, "0", "texts or judgements that keep their graph")


def marks(texts: Texts) -> list[str]:
    """A fingerprint of each text, ends apart."""
    return [hashlib.sha1(ids.tobytes()).hexdigest() for ids in texts.bodies()]


@check(fast=True, needs=several)
def repeated_texts(case: Case) -> Finding:
    """How often the training texts repeat themselves: what stands there twice is learnt twice, and written again."""
    mine = marks(case.data)
    share = 1 - len(set(mine)) / max(len(mine), 1)
    verdict = "pass" if share <= 0.1 else "warn"
    return Finding(verdict, f"{share:.1%} of {len(mine):,}", "at most 10%", "texts copied, or kinds of text that are short")


@check(fast=True, needs=has_test)
def leaked_text(case: Case) -> Finding:
    """The test text is not in the training text: every score would be a lie."""
    train, test = case.data, case.made.evaluation.test
    if not train.whole:
        mine, theirs = set(marks(train)), marks(test)
        both = sum(mark in mine for mark in theirs)
        words, of = "test texts stand in training", len(theirs)
    else:  # runs of the test text that are too long to come twice by chance
        runs = [test.ids[at : at + RUN].tobytes() for at in range(0, min(len(test.ids), 200 * RUN) - RUN, RUN)]
        both, of = sum(_stands(run, train.ids) for run in runs), len(runs)
        words = f"runs of {RUN} tokens of the test text stand in training"
    cause = "a split that was made before the texts were parted, or one text under two names"
    return found(both == 0, f"{both:,} of {of:,} {words}", "none", cause)


RUN = 48


def _stands(run: bytes, ids: Any) -> bool:
    """Whether a run of tokens stands in the whole text, which may lie on disk: looked for in pieces, as bytes."""
    size, many = ids.itemsize, 1 << 22
    for at in range(0, len(ids), many):
        part, place = ids[at : at + many + RUN].tobytes(), -1
        while (place := part.find(run, place + 1)) >= 0:
            if place % size == 0:
                return True
    return False
