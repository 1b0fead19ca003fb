"""Scores of generated text that need no model: BLEU against real text and against itself, copied runs, the form of poems.

A text is a sequence of tokens, words or characters, anything that can be hashed. Its n-grams get numbers order by order: an
(n+1)-gram is the pair of an n-gram and the token after it, and a sort tells equal pairs. So nothing rests on a hash, and
10,000 sentences take a second.

None of these says much alone: real text that was held out, in equal number, gives each its floor. Shapes: N sentences,
n orders of n-grams, T positions, C n-grams counted once for each sentence, G different n-grams, B levels of doubling.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from gannet.errors import Wrong

Sentences = Sequence[Sequence[Hashable]]

EPSILON = 0.1  # stands for the matches of an order that has none
ORDERS = (2, 3, 4, 5)
SPLIT = re.compile(r"[，。？！；\n]+")  # what ends a line of a poem

#: The thirteen tracks, by which modern Mandarin verse rhymes: what comes before the main vowel does not matter.
TRACKS = (
    ("a", "ia", "ua"),
    ("o", "e", "uo"),
    ("ie", "ve", "ê"),
    ("u",),
    ("i", "v", "er"),
    ("ai", "uai"),
    ("ei", "uei"),
    ("ao", "iao"),
    ("ou", "iou"),
    ("an", "ian", "uan", "van"),
    ("en", "in", "uen", "vn"),
    ("ang", "iang", "uang"),
    ("eng", "ing", "ueng", "ong", "iong"),
)
TRACK = {final: i for i, track in enumerate(TRACKS) for final in track}


def bleu(candidates: Sentences, references: Sentences, n: int = 5) -> float:
    """Mean BLEU-n of the candidates, each against all references, 0 to 1: higher is closer to them.

    The geometric mean of the clipped precisions of orders 1 to n, times the brevity penalty to the closest reference length,
    of two the shorter (Papineni et al. 2002). An order without a match counts 0.1 matches, smoothing 1 of Chen and Cherry
    2014; a candidate without any token of the references gets 0. As Texygen has it (Zhu et al. 2018, arXiv 1802.01886), equal
    to `sentence_bleu` of nltk with `method1`. It grows with the number of references: compare equal ones alone.

    Raises:
        Wrong: for no candidates, no references or an order below 1.
    """
    return float(_against(candidates, references, n)[:, -1].mean())


def self_bleu(sentences: Sentences, n: int = 5) -> float:
    """Mean BLEU-n of each sentence against all others, 0 to 1: lower is more diverse (Zhu et al. 2018, arXiv 1802.01886).

    Exact over all sentences. Published figures may not be: Texygen's own code takes the first 500 by default, and fewer
    sentences give less; RelGAN's does not leave the sentence out of its references, which gives 1.

    Raises:
        Wrong: for fewer than two sentences or an order below 1.
    """
    return float(_among(sentences, n)[:, -1].mean())


def bleu_and_self(candidates: Sentences, references: Sentences, orders: Sequence[int] = ORDERS) -> dict[str, float]:
    """BLEU and self-BLEU of several orders, counted once: bleu_2, self_bleu_2 and so on.

    Raises:
        Wrong: for no orders or one below 1, fewer than two candidates or no references.
    """
    if not orders or min(orders) < 1:
        raise Wrong("BLEU has orders of 1 or more", got=list(orders), try_="2 to 5")
    real_Nn, own_Nn = _against(candidates, references, max(orders)), _among(candidates, max(orders))
    return {f"{name}_{n}": float(x[:, n - 1].mean()) for name, x in (("bleu", real_Nn), ("self_bleu", own_Nn)) for n in orders}


def distinct(sentences: Sentences, n: int) -> float:
    """Different n-grams of all sentences by all their n-grams, 0 to 1, and 0 where there are none: higher is more diverse.

    Li et al. 2016 (arXiv 1510.03055) divide by tokens, which for n > 1 is a little less. It falls with the number of
    sentences: compare equal ones alone.

    Raises:
        Wrong: for an order below 1.
    """
    if n < 1:
        raise Wrong("n-grams have orders of 1 or more", got=n, try_="2")
    _, gram_C, count_C = list(_counted(sentences, n))[-1]
    return len(np.unique(gram_C)) / max(int(count_C.sum()), 1)


def longest_copies(sentences: Sentences, corpus: Sentences, cap: int | None = None) -> list[int]:
    """For each sentence the tokens of its longest run that stands in one document of the corpus, exactly.

    Every position, of the corpus and of the sentences, is ranked by its next 2, 4, 8, ... tokens (Karp, Miller and Rosenberg
    1972) until they outreach every sentence. Of all places in the corpus, those ranked next to a sentence's position agree
    with it the longest, and the ranks of each level tell how long. Time and memory: T log(longest sentence), and a sort.

    Args:
        sentences: whose runs are looked for
        corpus: documents; a run does not cross from one to the next
        cap: a longer run is given as this; saves time only

    Raises:
        Wrong: for a cap below 1.
    """
    if cap is not None and cap < 1:
        raise Wrong("a run has 1 token or more", got=f"cap {cap}", try_="no cap")
    token_T, of_T, length_N = _numbered([*corpus, *sentences])
    length_N = length_N[len(corpus) :]
    most = min(int(length_N.max(initial=0)), cap or len(token_T))
    rank_BT = [token_T.astype(np.int32)]
    while 2 ** len(rank_BT) <= most:
        rank_BT.append(_named(rank_BT[-1], _shifted(rank_BT[-1], 2 ** (len(rank_BT) - 1))))
    last_T = _named(rank_BT[-1], _shifted(rank_BT[-1], 2 ** (len(rank_BT) - 1)))
    known = int(np.searchsorted(of_T, len(corpus)))  # the corpus comes first
    sorted_K = last_T[:known].argsort(kind="stable")
    # Separators are all 0, so that two places may seem to agree beyond them: a run ends where its sentence does.
    asked_Q = known + token_T[known:].nonzero()[0]
    sentence_Q = of_T[asked_Q] - len(corpus)
    left_Q = length_N.cumsum()[sentence_Q] + sentence_Q - (asked_Q - known)
    best_N = np.zeros(len(length_N), np.int64)
    if known:
        after_Q = np.searchsorted(last_T[sorted_K], last_T[asked_Q])
        for side_Q in (after_Q - 1, after_Q):
            there_Q = sorted_K[side_Q.clip(0, known - 1)]
            np.maximum.at(best_N, sentence_Q, np.minimum(_agreeing(rank_BT, asked_Q, there_Q), left_Q))
    return best_N.clip(max=most).tolist()


def copy_report(sentences: Sentences, training: Sentences, held_out: Sentences) -> dict[str, tuple[float, float]]:
    """How much was copied from training, each beside the floor: the same of real text that was not trained on.

    Sentences without tokens are left out. Short sentences and set phrases occur again in any text: only what is above the
    floor was copied, and only for held-out sentences of like lengths.

    Returns:
        copied_whole, the share of sentences that stand in the training text from end to end; copied_mean and copied_p95, the
        mean and the 95th percentile of the longest copied run by its sentence's length. Each as (sentences, held out).

    Raises:
        Wrong: where one of the two has no tokens.
    """
    both = [[x for x in some if len(x)] for some in (sentences, held_out)]
    if not all(both):
        raise Wrong("copies need sentences with tokens", got=f"{len(both[0])} drawn and {len(both[1])} held out")
    runs = longest_copies([*both[0], *both[1]], training)  # at once: ranking the training text is what takes time
    share_N = np.array(runs) / [len(x) for some in both for x in some]
    sides = share_N[: len(both[0])], share_N[len(both[0]) :]
    found = [(float((x == 1).mean()), float(x.mean()), float(np.percentile(x, 95))) for x in sides]
    return dict(zip(("copied_whole", "copied_mean", "copied_p95"), zip(*found, strict=True), strict=True))


def poem_form(poems: Sequence[str]) -> dict[str, float | None]:
    """How many Chinese poems, as text, have the form of a quatrain or of regulated verse.

    Lines end at ，。？！； and at newlines; other white space is dropped. Rhyme is told by modern Mandarin finals, grouped in
    the thirteen tracks, each character in its commonest reading. That is only a proxy for Middle Chinese rhyme, by which
    classical poems were written: tones are ignored, and much that rhymed no longer does, so that real poems, the floor, do
    not reach 1 either.

    Returns:
        even: share of poems whose lines all have 5 characters or all 7
        four_or_eight: share with 4 lines or 8
        regulated: share with both
        rhyme: of the 2nd, 4th, ... lines of poems with 4 lines or more, the share whose last character rhymes with another
        one that ends such a line of the poem; the same character again is no rhyme. 0 without such poems, None without pypinyin

    Raises:
        Wrong: for no poems.
    """
    if not len(poems):
        raise Wrong("the form of no poems cannot be told", try_="one or more")
    lines = [[line for line in SPLIT.split(re.sub(r"[^\S\n]", "", poem)) if line] for poem in poems]
    even_N = np.array([{len(line) for line in poem} in ({5}, {7}) for poem in lines])
    many_N = np.array([len(poem) in (4, 8) for poem in lines])
    return {
        "even": float(even_N.mean()),
        "four_or_eight": float(many_N.mean()),
        "regulated": float((even_N & many_N).mean()),
        "rhyme": _rhyming([[line[-1] for line in poem[1::2]] for poem in lines if len(poem) >= 4]),
    }


def _rhyming(ends: list[list[str]]) -> float | None:
    """Share of the last characters that rhyme with a different one of their poem; None without pypinyin."""
    try:
        from pypinyin import Style, lazy_pinyin  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    final = {c: lazy_pinyin(c, style=Style.FINALS, strict=True, errors="ignore") for c in {c for poem in ends for c in poem}}
    track = {c: TRACK[found[0]] for c, found in final.items() if found and found[0] in TRACK}
    rhyming = [any(a != b and a in track and track[a] == track.get(b) for b in poem) for poem in ends for a in poem]
    return sum(rhyming) / max(len(rhyming), 1)


def _against(candidates: Sentences, references: Sentences, n: int) -> np.ndarray:
    """BLEU-1 to BLEU-n (N, n) of each candidate against all references."""
    _needed(n, candidates=(len(candidates), 1), references=(len(references), 1))
    r, match_Nn = len(references), np.zeros((len(candidates), n))
    for order, (sentence_C, gram_C, count_C) in enumerate(_counted([*references, *candidates], n)):
        real_C = sentence_C < r
        limit_G = np.zeros(gram_C.max(initial=0) + 1, np.int64)
        np.maximum.at(limit_G, gram_C[real_C], count_C[real_C])
        clipped_C = np.minimum(count_C, limit_G[gram_C])[~real_C]
        match_Nn[:, order] = np.bincount(sentence_C[~real_C] - r, clipped_C, len(candidates))
    length_N, real_R = (np.array([len(x) for x in some]) for some in (candidates, references))
    return _scored(match_Nn, length_N, _closest(length_N, real_R, own=False))


def _among(sentences: Sentences, n: int) -> np.ndarray:
    """BLEU-1 to BLEU-n (N, n) of each sentence against all others.

    The largest count of an n-gram in the others is the largest of all, or, for who holds that, the second largest.
    """
    _needed(n, sentences=(len(sentences), 2))
    match_Nn = np.zeros((len(sentences), n))
    for order, (sentence_C, gram_C, count_C) in enumerate(_counted(sentences, n)):
        by = np.lexsort((-count_C, gram_C))
        sentence_C, gram_C, count_C = sentence_C[by], gram_C[by], count_C[by]
        first_C = np.diff(gram_C, prepend=-1) > 0
        second_C = np.append(np.where(first_C[1:], 0, count_C[1:]), 0)[: len(count_C)]  # of the next holder, if there is one
        largest_C = count_C[first_C.nonzero()[0][first_C.cumsum() - 1]]
        clipped_C = np.minimum(count_C, np.where(first_C, second_C, largest_C))
        match_Nn[:, order] = np.bincount(sentence_C, clipped_C, len(sentences))
    length_N = np.array([len(x) for x in sentences])
    return _scored(match_Nn, length_N, _closest(length_N, length_N, own=True))


def _needed(n: int, **some: tuple[int, int]) -> None:
    """Raises Wrong for an order below 1 and for too few of something: name -> (how many, how many are needed)."""
    if n < 1:
        raise Wrong("BLEU has orders of 1 or more", got=n, try_="5")
    for name, (there, least) in some.items():
        if there < least:
            raise Wrong(f"too few {name} for BLEU", got=there, try_=f"{least} or more")


def _scored(match_Nn: np.ndarray, length_N: np.ndarray, closest_N: np.ndarray) -> np.ndarray:
    """BLEU-1 to BLEU-n (N, n) from clipped matches (N, n), lengths and closest reference lengths (N,).

    A sentence shorter than an order has no n-grams of it, which counts as one that does not match.
    """
    orders_n = np.arange(1, match_Nn.shape[1] + 1)
    all_Nn = (length_N[:, None] - orders_n + 1).clip(min=1)
    log_Nn = np.log(np.where(match_Nn > 0, match_Nn, EPSILON) / all_Nn)
    brevity_N = np.exp(np.minimum(0, 1 - closest_N / length_N.clip(min=1)))
    return np.where(match_Nn[:, :1] > 0, brevity_N[:, None] * np.exp(log_Nn.cumsum(1) / orders_n), 0.0)


def _closest(length_N: np.ndarray, length_R: np.ndarray, own: bool) -> np.ndarray:
    """The reference length closest to each length (N,), of two the shorter; `own`: each is itself one of the references,
    which does not count."""
    known_L, times_L = np.unique(length_R, return_counts=True)
    asked_A, back_N = np.unique(length_N, return_inverse=True)
    found = []
    for one in asked_A:
        other_L = known_L[times_L > (own & (known_L == one))]
        found.append(other_L[np.abs(other_L - one).argmin()])
    return np.array(found)[back_N]


def _numbered(sentences: Sentences) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens as numbers from 1, a 0 after each sentence (T,); the sentence of each position (T,); lengths (N,)."""
    number: dict[Hashable, int] = {}
    length_N = np.array([len(x) for x in sentences], np.int64)
    of_T = np.repeat(np.arange(len(length_N)), length_N + 1)
    token_T = np.zeros(len(of_T), np.int64)
    inside_T = np.ones(len(of_T), bool)
    inside_T[(length_N + 1).cumsum() - 1] = False
    flat = (number.setdefault(token, len(number) + 1) for sentence in sentences for token in sentence)
    token_T[inside_T] = np.fromiter(flat, np.int64, int(length_N.sum()))
    return token_T, of_T, length_N


def _counted(sentences: Sentences, n: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For orders 1 to n: sentence, n-gram and how often the one has the other, all (C,)."""
    token_T, of_T, _ = _numbered(sentences)
    gram_T, inside_T = token_T, token_T > 0
    for order in range(n):
        if order:
            next_T = _shifted(token_T, order)
            inside_T = inside_T & (next_T > 0)
            gram_T = _named(gram_T, next_T)
        gram, of = gram_T[inside_T].astype(np.int64), of_T[inside_T]
        pair_C, count_C = np.unique(of * (gram.max(initial=0) + 1) + gram, return_counts=True)
        yield *np.divmod(pair_C, gram.max(initial=0) + 1), count_C


def _named(left_T: np.ndarray, right_T: np.ndarray) -> np.ndarray:
    """The rank (T,) of each pair of numbers among all pairs, equal for equal ones."""
    pair_T = left_T.astype(np.int64) * (int(right_T.max(initial=0)) + 1) + right_T
    return np.unique(pair_T, return_inverse=True)[1].astype(np.int32)


def _shifted(x_T: np.ndarray, by: int) -> np.ndarray:
    """What stands `by` positions later (T,), 0 beyond the end."""
    out_T = np.zeros_like(x_T)
    out_T[: max(len(x_T) - by, 0)] = x_T[by:]
    return out_T


def _agreeing(rank_BT: list[np.ndarray], here_Q: np.ndarray, there_Q: np.ndarray) -> np.ndarray:
    """How many tokens agree from two places on (Q,), up to 2^B - 1; level b ranks by 2^b tokens. Beyond the end none do."""
    along_Q, last = np.zeros(len(here_Q), np.int64), len(rank_BT[0]) - 1
    for b in reversed(range(len(rank_BT))):
        a_Q, c_Q = here_Q + along_Q, there_Q + along_Q
        inside_Q = np.maximum(a_Q, c_Q) <= last
        same_Q = inside_Q & (rank_BT[b][a_Q.clip(max=last)] == rank_BT[b][c_Q.clip(max=last)])
        along_Q += same_Q << b
    return along_Q
