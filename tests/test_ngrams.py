"""Scores of text against nltk, naive twins and cases that can be counted by hand."""

from __future__ import annotations

import math
import random
import re
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gannet.errors import Wrong
from gannet.evaluation import ngrams

# Few letters and short lengths: repeated n-grams, duplicates, empty ones and ones shorter than n all come up.
sentence = some.text("abc", max_size=9)
QUIET_NIGHT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
STORKS = "白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。"


def theirs(candidate: Sequence, references: Sequence[Sequence], n: int) -> float:
    bleu_score = pytest.importorskip("nltk.translate.bleu_score")
    smooth = bleu_score.SmoothingFunction().method1
    return float(bleu_score.sentence_bleu(references, candidate, (1 / n,) * n, smooth))


def naive_copies(sentences: Sequence, corpus: Sequence) -> list[int]:
    """Of texts."""
    found = []
    for x in sentences:
        runs = [x[i:j] for i in range(len(x)) for j in range(i + 1, len(x) + 1)]
        found.append(max((len(run) for run in runs if any(run in document for document in corpus)), default=0))
    return found


@settings(max_examples=200, deadline=None)
@given(
    candidates=some.lists(sentence, min_size=1, max_size=4),
    references=some.lists(sentence, min_size=1, max_size=4),
    n=some.integers(1, 5),
)
def test_bleu_is_nltks(candidates: list[str], references: list[str], n: int) -> None:
    expected = sum(theirs(x, references, n) for x in candidates) / len(candidates)
    assert ngrams.bleu(candidates, references, n) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(sentences=some.lists(sentence, min_size=2, max_size=7), n=some.integers(1, 5))
def test_self_bleu_is_nltks(sentences: list[str], n: int) -> None:
    expected = [theirs(x, sentences[:i] + sentences[i + 1 :], n) for i, x in enumerate(sentences)]
    assert ngrams.self_bleu(sentences, n) == pytest.approx(sum(expected) / len(expected), abs=1e-9)


def test_bleu_of_words_and_numbers() -> None:
    lot = random.Random(0)
    texts = [[lot.choice(["the", "a", 7, ("x", 1), "cat"]) for _ in range(lot.randint(1, 25))] for _ in range(60)]
    expected = np.mean([theirs(x, texts[:40], 4) for x in texts[40:]])
    assert ngrams.bleu(texts[40:], texts[:40], 4) == pytest.approx(expected, abs=1e-9)


def test_bleu_by_hand() -> None:
    assert ngrams.bleu(["abcde"], ["xx", "abcde"]) == 1
    assert ngrams.bleu(["xyz"], ["abcde"]) == 0
    assert ngrams.bleu([""], ["abcde"]) == 0
    # clipped to 1 of 3; no bigram of two, which counts 0.1; as long as the reference
    assert ngrams.bleu(["aaa"], ["abc"], 2) == pytest.approx(math.sqrt(1 / 3 * 0.1 / 2))
    # of lengths 3 and 5 the shorter is closest to 4: no penalty; alone, 5 costs exp(1 - 5/4)
    assert ngrams.bleu(["abcd"], ["abcde", "abc"], 1) == 1
    assert ngrams.bleu(["abcd"], ["abcde"], 1) == pytest.approx(math.exp(-0.25))


def test_self_bleu_tells_a_collapse() -> None:
    lot = random.Random(1)
    diverse = ["".join(lot.choices("abcdefghijklmnopqrst", k=12)) for _ in range(50)]
    assert ngrams.self_bleu(["abcdefgh"] * 5) == 1
    assert ngrams.self_bleu(diverse) < 0.2 < ngrams.self_bleu(diverse[:5] * 10)


def test_all_orders_at_once() -> None:
    a, b = ["abcab", "bca", "aab", "c"], ["abcabc", "bb", "ca"]
    found = ngrams.bleu_and_self(a, b)
    assert list(found) == [f"{name}_{n}" for name in ("bleu", "self_bleu") for n in (2, 3, 4, 5)]
    for n in ngrams.ORDERS:
        assert found[f"bleu_{n}"] == pytest.approx(ngrams.bleu(a, b, n), abs=1e-12)
        assert found[f"self_bleu_{n}"] == pytest.approx(ngrams.self_bleu(a, n), abs=1e-12)


@given(sentences=some.lists(sentence, max_size=6), n=some.integers(1, 5))
def test_distinct_against_a_set(sentences: list[str], n: int) -> None:
    grams = [x[i : i + n] for x in sentences for i in range(len(x) - n + 1)]
    assert ngrams.distinct(sentences, n) == (len(set(grams)) / len(grams) if grams else 0)


@settings(max_examples=400, deadline=None)
@given(
    sentences=some.lists(some.text("ab", max_size=17), max_size=5),
    corpus=some.lists(some.text("ab", max_size=17), max_size=5),
    cap=some.none() | some.integers(1, 9),
)
def test_longest_copies_against_a_loop(sentences: list[str], corpus: list[str], cap: int | None) -> None:
    expected = [min(run, cap or run) for run in naive_copies(sentences, corpus)]
    assert ngrams.longest_copies(sentences, corpus, cap) == expected


def test_longest_copies_of_a_rich_text() -> None:
    lot = random.Random(2)
    corpus = ["".join(lot.choices("abcdef", k=lot.randint(0, 300))) for _ in range(20)]
    sentences = [corpus[0][3:140] + "x" + corpus[1][:60], "".join(lot.choices("abcdefg", k=100)), corpus[5], "", "z"]
    assert ngrams.longest_copies(sentences, corpus) == naive_copies(sentences, corpus)


def test_a_copy_stays_in_its_document() -> None:
    assert ngrams.longest_copies(["abcd", "cdab", "dc"], ["ab", "cd"]) == [2, 2, 1]
    assert ngrams.longest_copies([[1, 2, 3]], [[1, 2], [3], [2, 3, 1, 2]]) == [2]
    assert ngrams.longest_copies(["a"], []) == [0]
    assert ngrams.longest_copies([], ["a"]) == []


def test_copies_beside_their_floor() -> None:
    training = ["abcdefghij", "klmnopqrst"]
    found = ngrams.copy_report(["cdef", "abxy", ""], training, ["zzzz", "zzza"])
    assert found["copied_whole"] == (0.5, 0.0)
    assert found["copied_mean"] == (0.75, 0.125)
    assert found["copied_p95"] == pytest.approx((0.975, 0.2375))


def test_form_of_poems() -> None:
    seven = "春" * 6 + "风" + "，"
    found = ngrams.poem_form([QUIET_NIGHT, STORKS, " ".join(QUIET_NIGHT), seven * 8, seven * 3, "床前明月光，霜。" * 2, ""])
    assert found["even"] == pytest.approx(5 / 7)
    assert found["four_or_eight"] == pytest.approx(5 / 7)
    assert found["regulated"] == pytest.approx(4 / 7)


def test_rhyme() -> None:
    pytest.importorskip("pypinyin")
    assert ngrams.poem_form([QUIET_NIGHT])["rhyme"] == 1  # shuang, xiang
    assert ngrams.poem_form([STORKS])["rhyme"] == 1  # liu, lou
    assert ngrams.poem_form([QUIET_NIGHT.replace("霜", "雪")])["rhyme"] == 0
    assert ngrams.poem_form([QUIET_NIGHT.replace("霜", "乡")])["rhyme"] == 0  # the same character again
    assert ngrams.poem_form([QUIET_NIGHT.replace("霜", "x"), "光，霜"])["rhyme"] == 0
    eight = "光，霜，光，乡，光，雪，光，望。"
    assert ngrams.poem_form([eight])["rhyme"] == 0.75
    assert ngrams.poem_form(["光，霜"])["rhyme"] == 0


def test_rhyme_without_pypinyin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    found = ngrams.poem_form([QUIET_NIGHT])
    assert found["rhyme"] is None
    assert found["regulated"] == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ngrams.bleu([], ["a"]), "too few candidates"),
        (lambda: ngrams.bleu(["a"], []), "too few references"),
        (lambda: ngrams.self_bleu(["a"]), "too few sentences"),
        (lambda: ngrams.bleu(["a"], ["a"], 0), "orders of 1"),
        (lambda: ngrams.bleu_and_self(["a", "b"], ["a"], []), "orders of 1"),
        (lambda: ngrams.distinct(["a"], 0), "orders of 1"),
        (lambda: ngrams.longest_copies(["a"], ["a"], 0), "cap 0"),
        (lambda: ngrams.copy_report([""], ["a"], ["a"]), "tokens"),
        (lambda: ngrams.poem_form([]), "no poems"),
    ],
)
def test_what_means_nothing_is_refused(call, words: str) -> None:
    with pytest.raises(Wrong, match=re.escape(words)):
        call()
