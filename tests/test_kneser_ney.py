"""The judge that counts, beside a naive twin that goes through all texts for each n-gram."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from gannet.errors import Wrong
from gannet.evaluation.kneser_ney import KneserNey

TEXTS = [[2, 3, 2, 3, 4], [2, 3], [3, 3, 2], [], [4, 2, 3, 2]]
END, TOKENS = 0, 6  # 1 and 5 never occur


def naive(texts: list[list[int]], order: int, gram: tuple[int, ...]) -> float:
    def grams(length: int) -> list[tuple[int, ...]]:
        """Of the highest order as often as they occur, of others one for each different one that is a token longer."""
        if length == order:
            padded = [[END] * (order - 1) + text + [END] for text in texts]
            return [tuple(p[i : i + order]) for p in padded for i in range(len(p) - order + 1)]
        return [longer[1:] for longer in set(grams(length + 1))]

    def p(part: tuple[int, ...]) -> float:
        if not part:
            return 1 / TOKENS
        counted = grams(len(part))
        often = [counted.count(g) for g in set(counted)]
        n1, n2 = often.count(1), often.count(2)
        d = n1 / (n1 + 2 * n2) if n1 else 0.5
        follow = [g for g in counted if g[:-1] == part[:-1]]
        if not follow:
            return p(part[1:])
        return max(counted.count(part) - d, 0) / len(follow) + d * len(set(follow)) / len(follow) * p(part[1:])

    return p(gram)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_chances_equal_a_naive_twin_and_add_up_to_one(order: int) -> None:
    model = KneserNey(TEXTS, TOKENS, END, order)
    for context in itertools.product(range(TOKENS), repeat=order - 1):
        chances = [model.chance((*context, token)) for token in range(TOKENS)]
        assert chances == pytest.approx([naive(TEXTS, order, (*context, token)) for token in range(TOKENS)])
        assert sum(chances) == pytest.approx(1) and min(chances) > 0


def test_nats_are_a_mean_over_tokens_and_ends() -> None:
    model = KneserNey(TEXTS, TOKENS, END, 2)
    told = [model.chance(pair) for pair in ((0, 2), (2, 3), (3, 0), (0, 4), (4, 0))]
    assert model.nats([[2, 3], [4]]) == pytest.approx(-sum(map(math.log, told)) / 5)


def test_what_was_counted_is_likelier_than_the_same_in_disorder() -> None:
    lot = random.Random(0)
    texts = [[2 + (start + step) % 4 for step in range(8)] for start in lot.choices(range(4), k=50)]
    mixed = [lot.sample(text, len(text)) for text in texts]
    model = KneserNey(texts, TOKENS, END)
    assert model.nats(texts) < 0.5 < model.nats(mixed)


def test_nothing_to_count_is_one_line() -> None:
    with pytest.raises(Wrong, match="one text at least"):
        KneserNey([], TOKENS, END)
