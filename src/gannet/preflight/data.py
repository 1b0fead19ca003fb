"""What is wrong with data before any net has seen them."""

from __future__ import annotations

import torch

from gannet.data.images import Images, Stored, to_float
from gannet.preflight import plain
from gannet.preflight.case import Case, Finding, check, fixed, found, worst
from gannet.rng import Rng

MANY = 2_000  # items behind a statistic


def stored(case: Case) -> Stored | None:
    """The training pictures as they are stored, before any augmentation."""
    data = getattr(case.data, "data", case.data)
    return data if isinstance(data, Stored) else None


def held_out(case: Case) -> Stored | None:
    """The test pictures, where the recipe's evaluation has some."""
    test = getattr(case.made.evaluation, "test", None)
    return test if isinstance(test, Stored) else None


def has_items(case: Case) -> bool:
    return stored(case) is not None


def has_test(case: Case) -> bool:
    return has_items(case) and held_out(case) is not None


def has_labels(case: Case) -> bool:
    data = stored(case)
    return data is not None and data.labels_N is not None


def has_labels_and_test(case: Case) -> bool:
    test = held_out(case)
    return has_labels(case) and test is not None and test.labels_N is not None


def augments(case: Case) -> bool:
    return has_labels(case) and isinstance(getattr(case.data, "data", None), Images)


@check(fast=True)
def same_batch(case: Case) -> Finding:
    """A batch is a function of seed and step: the same twice, another at another step. Or no run can be repeated or resumed."""
    one, two, other = (flat(case.batch(step=step)) for step in (0, 0, 1))
    same, moves = torch.equal(one, two), not torch.equal(one, other)
    cause = "random numbers that do not come from the rng that `batch` is given" if not same else "the step is not looked at"
    words = f"same step {'equal' if same else 'different'}, next step {'different' if moves else 'equal'}"
    return found(same and moves, words, "equal, different", cause)


def flat(batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """All numbers of a batch in one row."""
    return torch.cat([part.cpu().flatten().double() for part in batch])


@check(fast=True, needs=fixed)
def inputs(case: Case) -> Finding:
    """What really enters each net is finite, of a usual size and not all the same: nets begin as if their inputs were."""
    findings = {
        f"{name} {number}" if number else name: plain.check_inputs(argument)
        for name, arguments in case.fed.items()
        for number, argument in enumerate(arguments)
        if isinstance(argument, torch.Tensor) and argument.is_floating_point()
    }
    return worst(findings)


@check(fast=True, needs=has_items)
def constant_items(case: Case) -> Finding:
    """No picture is one colour all over: such files are damaged, and a generator learns to draw them."""
    x_ND = stored(case).x_NCHW.flatten(1)  # type: ignore[union-attr]
    bad = (x_ND.amax(1) == x_ND.amin(1)).nonzero().flatten()
    words = f"{len(bad):,} of {len(x_ND):,}" + (f": numbers {bad[:3].tolist()}" if len(bad) else "")
    verdict = "pass" if not len(bad) else "warn" if len(bad) < 0.001 * len(x_ND) else "fail"
    return Finding(verdict, words, "none; from one in a thousand on a failure", "damaged or empty files, or a crop that misses")


@check(fast=True, needs=has_items)
def repeated_items(case: Case) -> Finding:
    """How often the training set repeats itself: repeats count twice in learning, and make copies look like skill."""
    mine = plain.fingerprints(stored(case).x_NCHW)  # type: ignore[union-attr]
    share = 1 - len(set(mine)) / max(len(mine), 1)
    return Finding(
        "pass" if share <= 0.01 else "warn", f"{share:.1%}", "at most 1%", "files copied, or data drawn by a program"
    )


@check(fast=True, needs=has_test)
def leak(case: Case) -> Finding:
    """The test set is not in the training set: every score would be a lie."""
    return plain.check_shared_items(stored(case).x_NCHW, held_out(case).x_NCHW)  # type: ignore[union-attr]


@check(fast=True, needs=has_labels)
def balance(case: Case) -> Finding:
    """Every class is there, and none is twenty times rarer than another."""
    data = stored(case)
    assert data is not None and data.labels_N is not None
    classes = len(data.classes) or int(data.labels_N.max()) + 1
    counts = torch.bincount(data.labels_N, minlength=classes)
    fewest, most = int(counts.min()), int(counts.max())
    words = f"{fewest:,} to {most:,} of a class"
    if fewest == 0 or len(counts) > classes:
        return Finding("fail", words, "every class, and no other", "labels numbered from 1, or a split that lost a class")
    return Finding("pass" if most <= 20 * fewest else "warn", words, "at most 20 to 1", "a rare class: it will be learnt last")


def many(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Some thousand pictures and labels as they are fed."""
    n = min(MANY, len(stored(case)))  # type: ignore[arg-type]
    x, y = case.data.batch(n, Rng(case.made.seed, 0, "many"))
    return x, y


@check(fast=True, needs=has_labels_and_test)
def labels(case: Case) -> Finding:
    """Labels belong to their pictures, as they are fed: a net trained on shifted labels learns, and is wrong."""
    test = held_out(case)
    some = Rng(0, 0, "labels").indices(len(test), min(500, len(test)))  # type: ignore[arg-type]
    return plain.check_labels(*many(case), to_float(test.x_NCHW[some]), test.labels_N[some])  # type: ignore[union-attr, index]


@check(fast=True, needs=augments)
def augmentation(case: Case) -> Finding:
    """An augmented picture still looks like its label: a flip that turns left into right must turn the label too."""
    data = stored(case)
    some = Rng(0, 0, "augmentation").indices(len(data), min(500, len(data)))  # type: ignore[arg-type]
    return plain.check_labels(*many(case), to_float(data.x_NCHW[some]), data.labels_N[some])  # type: ignore[union-attr, index]


@check(fast=True, needs=has_labels)
def shuffled(case: Case) -> Finding:
    """Batches mix the classes: a net fed one class after another forgets the last."""
    labels_N = stored(case).labels_N  # type: ignore[union-attr]
    chance = (torch.bincount(labels_N).float() / len(labels_N)).square().sum().item()  # type: ignore[arg-type]
    if case.few < 2 or chance > 0.99:
        return Finding("info", "too small a batch, or one class", "")
    alike = []
    for step in range(16):
        counts = torch.bincount(case.batch(step=step)[1].cpu()).double()
        alike.append((counts * (counts - 1)).sum().item() / (case.few * (case.few - 1)))
    together = sum(alike) / len(alike)
    allowed = chance + 5 * (chance * (1 - chance) / (16 * case.few)) ** 0.5
    words = f"{together:.0%} of the pairs in a batch are of one class"
    return found(together <= allowed, words, f"at most {allowed:.0%}", "data sorted by class and never shuffled")
