"""Random numbers are functions of (seed, step, stream), and the number of processes does not change what is drawn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from gannet.rng import Rng, number, permutation

KINDS = {
    "normal": lambda rng, n: rng.normal(n, 3),
    "uniform": lambda rng, n: rng.uniform(n, 2, 2),
    "integers": lambda rng, n: rng.integers(1000, n),
    "indices": lambda rng, n: rng.indices(37, n),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", [2, 3])
def test_processes_draw_what_one_would(kind: str, world: int) -> None:
    draw = KINDS[kind]
    whole = draw(Rng(0, 5, "critic"), 6 * world)
    parts = [draw(Rng(0, 5, "critic", rank, world), 6) for rank in range(world)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_same_place_same_numbers_and_other_place_other_numbers(kind: str) -> None:
    draw = KINDS[kind]
    here = draw(Rng(0, 1, "critic"), 32)
    assert torch.equal(here, draw(Rng(0, 1, "critic"), 32))
    for other in (Rng(1, 1, "critic"), Rng(0, 2, "critic"), Rng(0, 1, "generator")):
        assert not torch.equal(here, draw(other, 32))


@given(items=some.integers(1, 50), n=some.integers(1, 20))
def test_every_item_once_in_an_epoch(items: int, n: int) -> None:
    steps = -(-3 * items // n)
    drawn = torch.cat([Rng(0, step, "train").indices(items, n) for step in range(steps)])
    for epoch in range(3):
        assert sorted(drawn[epoch * items : (epoch + 1) * items].tolist()) == list(range(items))


def test_epochs_differ() -> None:
    assert not torch.equal(permutation(0, "train", 0, 100), permutation(0, "train", 1, 100))


def test_neighbouring_seeds_are_unrelated() -> None:
    # seed + step would make run 0 at step 1 and run 1 at step 0 the same
    assert number(0, 1) != number(1, 0)
    assert 0 <= number("anything") < 2**63
