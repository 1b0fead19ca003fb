"""Writing: the next token told from those before it, by maximum likelihood, and texts drawn from what is told.

Shapes: N examples, T tokens, V vocabulary, Z numbers of noise, L tokens of a text that is written.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F

from gannet.data.text import Batch, Vocabulary
from gannet.errors import Wrong
from gannet.nets.sequence import Memory, Writer
from gannet.objectives import Averaged, Loss
from gannet.objectives.muon import MuonAndAdamW
from gannet.rng import Rng

CHUNK = 64  # texts that are written side by side
PART = 4096  # tokens that go through the averaged net at once


def negative_log_likelihood(logits_NTV: torch.Tensor, batch: Batch) -> torch.Tensor:
    """-log p of each token that is to be told, in nats, 0 where none is (N, T)."""
    nll_NT = F.cross_entropy(logits_NTV.flatten(0, 1).float(), batch.tokens_NT[:, 1:].flatten(), reduction="none")
    return nll_NT.view(len(batch.tokens_NT), -1) * batch.there_NT


def choose(logits_NV: torch.Tensor, u_N: torch.Tensor, temperature: float = 1.0, top_p: float = 1.0) -> torch.Tensor:
    """A token for each row (N,), by inverting the distribution function at u.

    Args:
        logits_NV: of the next token
        u_N: in [0, 1)
        temperature: logits are divided by it; at 0 the likeliest token is taken
        top_p: only the likeliest tokens that together have this chance (Holtzman et al. 2020, arXiv 1904.09751, eq. 2)
    """
    if temperature == 0:
        return logits_NV.argmax(1)
    device, logits_NV, u_N = logits_NV.device, logits_NV.cpu(), u_N.cpu()  # sums in the same order everywhere
    p_NV = (logits_NV.float() / temperature).softmax(1)
    if top_p < 1:
        sorted_NV, order_NV = p_NV.sort(1, descending=True)
        # A token stays while those before it have not yet come to top_p: the first always does.
        kept_NV = sorted_NV.cumsum(1) - sorted_NV < top_p
        p_NV = torch.zeros_like(p_NV).scatter_(1, order_NV, sorted_NV * kept_NV)
    sum_NV = p_NV.double().cumsum(1)
    chosen_N = torch.searchsorted(sum_NV, u_N.double()[:, None] * sum_NV[:, -1:], right=True)[:, 0]
    return chosen_N.clamp(max=p_NV.shape[1] - 1).to(device)


@torch.no_grad()
def written(
    net: Writer,
    ids_NT: torch.Tensor,
    pick: Callable[[torch.Tensor, int], torch.Tensor],
    length: int,
    *,
    y_N: torch.Tensor | None = None,
    z_NZ: torch.Tensor | None = None,
    cached: bool = True,
) -> Iterator[torch.Tensor]:
    """Tokens one after another, (N,) each, at most `length` of them.

    What the net cannot look back at any more is forgotten by halves: where its context is full, it reads the last half of it
    again and goes on. So it never sees more than it was trained on, and remembering changes nothing but the time.

    Args:
        net: whose context is looked back at
        ids_NT: what comes before, one token at least
        pick: (logits (N, V), how many are written already) -> tokens (N,)
        length: tokens at most
        y_N, z_NZ: class and noise, where the net has them
        cached: keys and values are remembered; without, everything is read anew for each token: the same, slowly
    """
    context = cast(int, net.context)
    ids_NT = ids_NT[:, -context:]
    memory: Memory = []
    new_NT = ids_NT
    for number in range(length):
        if ids_NT.shape[1] > context:
            ids_NT = ids_NT[:, -max(1, context // 2) :]
            memory, new_NT = [], ids_NT
        logits_NTV = net(new_NT, y_N, z_NZ, memory) if cached else net(ids_NT, y_N, z_NZ)
        next_N = pick(logits_NTV[:, -1], number)
        yield next_N
        new_NT = next_N[:, None]
        ids_NT = torch.cat([ids_NT, new_NT], 1)


class Writes:
    """What every objective of texts can do with its finished net, `average`: write, go on with a beginning, and score a text.

    Attributes:
        average: the net that is judged
        vocabulary: of its tokens
        classes: K, or 0
        precision: that it computes in
        longest: tokens that a text usually has at most
        whole: it learnt from a continuous text, which neither begins nor ends
    """

    average: Writer
    vocabulary: Vocabulary
    classes: int
    precision: str
    longest: int
    whole: bool

    def noises(self, n: int, seed: int, first: int = 0) -> torch.Tensor | None:
        """Noise of texts first … first + n - 1 (n, Z); None where the net takes none."""
        size = self.average.noise
        if not size:
            return None
        return torch.stack([Rng(seed, first + k, "noise").normal(1, size)[0] for k in range(n)])

    def ids(
        self,
        n: int,
        seed: int,
        label: int | None = None,
        *,
        prompt: str = "",
        temperature: float = 1.0,
        top_p: float = 1.0,
        length: int | None = None,
    ) -> list[list[int]]:
        """n texts as tokens, without the prompt and the end; text k is the same whatever n is, but for rounding.

        Args:
            n, seed: of the random numbers
            label: class of all; without, class k mod K for text k
            prompt: what they begin with
            temperature, top_p: as for `choose`
            length: tokens of each at most; without, as long as texts of its kind are
        """
        wishes = {"prompt": prompt, "temperature": temperature, "top_p": top_p, "length": length}
        end, texts = self.vocabulary.end, []
        for first in range(0, n, CHUNK):
            some, told = min(CHUNK, n - first), []
            open_N = torch.ones(some, dtype=torch.bool)
            for next_N in self._written(some, first, seed, label, **wishes):
                told.append(next_N)
                if not self.whole:
                    open_N &= next_N != end
                    if not open_N.any():
                        break
            rows = torch.stack(told, 1).tolist()
            texts += [row[: row.index(end)] if not self.whole and end in row else row for row in rows]
        return texts

    def _written(
        self,
        some: int,
        first: int,
        seed: int,
        label: int | None,
        *,
        prompt: str,
        temperature: float,
        top_p: float,
        length: int | None,
    ) -> Iterator[torch.Tensor]:
        """Tokens of texts first … first + some - 1, one after another, (some,) each; past a text's end they mean nothing."""
        length = self.longest if length is None else length
        device = next(self.average.parameters()).device
        start_NT = torch.tensor(self.beginning(prompt), device=device).expand(some, -1)
        u_NL = torch.stack([Rng(seed, first + k, "write").uniform(length) for k in range(some)]).to(device)
        y_N, z_NZ = (
            None if t is None else t.to(device) for t in (self.kinds(some, label, first), self.noises(some, seed, first))
        )

        def pick(logits_NV: torch.Tensor, number: int) -> torch.Tensor:
            return choose(self.possible(logits_NV), u_NL[:, number], temperature, top_p)

        return (next_N.cpu() for next_N in written(self.average, start_NT, pick, length, y_N=y_N, z_NZ=z_NZ))

    def possible(self, logits: torch.Tensor, never: float = -math.inf) -> torch.Tensor:
        """Logits (..., V) in float32, with what must not be written ruled out: the unknown token, and an end where none is.

        Args:
            never: their logits; -inf, or as large a number as is enough, where 0 · log 0 must not be nan
        """
        ruled_out = [self.vocabulary.unknown, *([self.vocabulary.end] if self.whole else [])]
        mask_V = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
        mask_V[ruled_out] = True
        return logits.float().masked_fill(mask_V, never)

    def beginning(self, prompt: str) -> list[int]:
        """A prompt as tokens, the one before every text first.

        Raises:
            Wrong: where it holds what the training text never did.
        """
        unseen = self.vocabulary.unseen(prompt)
        if unseen:
            what = f"the prompt holds {len(unseen)} that the run has never seen"
            raise Wrong(what, got=" ".join(map(repr, unseen[:5])), try_="a prompt without", usage=True)
        return [self.ahead, *self.vocabulary.encode(prompt)]

    @property
    def ahead(self) -> int:
        """The token that stands before every text: the end of another. In a text without end that one hardly occurs, and its
        vector has learnt next to nothing: there the end of a line does, where lines have one."""
        line = self.vocabulary.encode("\n") if self.whole else []
        return line[0] if len(line) == 1 and line[0] != self.vocabulary.unknown else self.vocabulary.end

    def kinds(self, n: int, label: int | None, first: int = 0) -> torch.Tensor | None:
        """Classes of texts first … first + n - 1 (n,), or None where there are none."""
        if not self.classes:
            return None
        return (torch.arange(first, first + n) % self.classes) if label is None else torch.full((n,), label)

    def write(self, n: int, seed: int, label: int | None = None, **wishes: Any) -> list[str]:
        """n texts, prompt and all; what can be wished for: see `ids`."""
        prompt = wishes.get("prompt", "")
        begun = self.vocabulary.encode(prompt)
        return [self.vocabulary.decode([*begun, *row]) for row in self.ids(n, seed, label, **wishes)]

    def stream(
        self,
        seed: int,
        label: int | None = None,
        *,
        number: int = 0,
        prompt: str = "",
        temperature: float = 1.0,
        top_p: float = 1.0,
        length: int | None = None,
    ) -> Iterator[str]:
        """Text `number` of `write`, in pieces as they come, the prompt first."""
        told = self.vocabulary.encode(prompt)
        shown = text = self.vocabulary.decode(told)
        yield shown
        wishes = {"prompt": prompt, "temperature": temperature, "top_p": top_p, "length": length}
        for next_N in self._written(1, number, seed, label, **wishes):
            if not self.whole and int(next_N) == self.vocabulary.end:
                break
            told.append(int(next_N))
            text = self.vocabulary.decode(told)
            if not text.endswith("\ufffd"):  # half a character waits for the tokens that bring its other bytes
                yield text[len(shown) :]
                shown = text
        if text != shown:
            yield text[len(shown) :]

    @torch.no_grad()
    def surprise(self, batch: Batch, temperature: float = 1.0) -> torch.Tensor:
        """-log p of each token to be told, in nats (N, T), 0 where none is, by the averaged net.

        Noise, where the net takes some, is drawn once for each text: an estimate, on average above what the mixture over all
        noise would give (Jensen).
        """
        device, parts = next(self.average.parameters()).device, []
        rows = max(1, PART // batch.tokens_NT.shape[1])
        z_NZ = self.noises(len(batch.tokens_NT), 0) if self.average.noise else None
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            for at in range(0, len(batch.tokens_NT), rows):
                part = Batch(*(t[at : at + rows].to(device) for t in batch))
                z = None if z_NZ is None else z_NZ[at : at + rows].to(device)
                logits_NTV = self.average(part.tokens_NT[:, :-1], part.y_N if self.classes else None, z)
                parts.append(negative_log_likelihood(logits_NTV.float() / temperature, part).cpu())
        return torch.cat(parts)


class Language(Writes, Averaged):
    """One player, the writer, by maximum likelihood.

    Args:
        net: tokens (N, T) -> logits of the next (N, T, V)
        vocabulary: of its tokens
        longest: tokens of a text that is written, at most, unless more are asked for
        whole: the text is continuous
        rate, decay: peak learning rate and weight decay
        half_life: of the averaged net, in examples
    """

    def __init__(
        self,
        net: Writer,
        vocabulary: Vocabulary,
        *,
        longest: int,
        whole: bool = False,
        rate: float = 4e-3,
        decay: float = 0.05,
        half_life: float = 1_000,
    ):
        make = functools.partial(MuonAndAdamW, decay=decay)
        Averaged.__init__(self, "writer", net, rate=rate, decay=decay, half_life=half_life, clip=1.0, make=make)
        self.vocabulary, self.classes, self.longest, self.whole = vocabulary, net.classes, longest, whole
        self.precision = "float32"

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        net = cast(Writer, self.players[player].net)
        z_NZ = rng.normal(len(batch.tokens_NT), net.noise).to(batch.tokens_NT.device) if net.noise else None
        logits_NTV = net(batch.tokens_NT[:, :-1], batch.y_N if self.classes else None, z_NZ)
        nll_NT = negative_log_likelihood(logits_NTV, batch)
        n_N = batch.there_NT.sum(1).float()
        return nll_NT.sum(1) / n_N.clamp(min=1), n_N, {}

    def expect(self) -> dict[str, float]:
        return {"writer": math.log(len(self.vocabulary))}
