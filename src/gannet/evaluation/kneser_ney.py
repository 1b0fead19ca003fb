"""A language model that only counts, as a judge of texts: it is no relative of any net that wrote them, and takes seconds.

Interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999, section 2.7), over a uniform distribution at the
bottom, so that no token is impossible.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from gannet.errors import Wrong

Text = Sequence[int]


class KneserNey:
    """Chances of the next token by the `order` - 1 before it.

    At the highest order n-grams are counted as they occur, at lower ones by how many different tokens stand before them; from
    each count a discount is taken, n1 / (n1 + 2 n2) with n1 and n2 the n-grams counted once and twice, and shared out as the
    next lower order says.

    Args:
        texts: that are counted, as tokens without an end
        tokens: V, of the vocabulary
        end: the token that stands before and behind every text
        order: of the longest n-grams

    Raises:
        Wrong: for no texts, and an order below 1.
    """

    def __init__(self, texts: Sequence[Text], tokens: int, end: int, order: int = 4):
        if not len(texts) or order < 1:
            raise Wrong("n-grams are counted in one text at least, of one token at least", got=f"{len(texts)} of {order}")
        self.tokens, self.end, self.order = tokens, end, order
        counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]  # by length, the first empty
        counts[order].update(gram for text in texts for gram in self._grams(text))
        for length in range(order - 1, 0, -1):  # one for each different n-gram that ends so
            counts[length].update(gram[1:] for gram in counts[length + 1])
        self.counts = counts
        self.discount = [0.0] * (order + 1)
        self.total: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]  # of what follows a context
        self.kinds: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        for length in range(1, order + 1):
            often = Counter(counts[length].values())
            self.discount[length] = often[1] / (often[1] + 2 * often[2]) if often[1] else 0.5
            for gram, count in counts[length].items():
                self.total[length][gram[:-1]] += count
                self.kinds[length][gram[:-1]] += 1

    def _grams(self, text: Text) -> Iterator[tuple[int, ...]]:
        """Every token of a text and its end, with what stands before it."""
        padded = [self.end] * (self.order - 1) + [*text, self.end]
        return (tuple(padded[at : at + self.order]) for at in range(len(text) + 1))

    def chance(self, gram: tuple[int, ...]) -> float:
        """Of the last token of an n-gram behind the others; n may be lower than the order."""
        p = 1 / self.tokens
        for length in range(1, len(gram) + 1):
            part = gram[len(gram) - length :]
            total = self.total[length][part[:-1]]
            if not total:
                break  # a context never seen says nothing, nor does a longer one
            d = self.discount[length]
            p = (max(self.counts[length][part] - d, 0) + d * self.kinds[length][part[:-1]] * p) / total
        return p

    def nats(self, texts: Sequence[Text]) -> float:
        """Mean -log p of the tokens of texts, their ends counted too."""
        told = [self.chance(gram) for text in texts for gram in self._grams(text)]
        return -sum(map(math.log, told)) / max(1, len(told))
