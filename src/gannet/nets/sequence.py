"""Nets of sequences of tokens: a causal Transformer and a recurrent net that write, and a critic that reads both ways.

All are residual: x + F(norm(x)), with the last layer of F at zero, so that an untrained net of any depth is the identity
between its embedding and its head. What a text is to be like, a class or noise, is a token of its own before the first.

Shapes: N examples, T tokens, V vocabulary, C width, H heads, D width of a head, Z numbers of noise, K classes, P tokens of
prefix (0 or 1), S tokens so far.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gannet.nets.residual import Residual

#: What a net remembers of the tokens so far: keys and values of each layer, or each layer's state.
Memory = list[Any]


def plain_norm(x: torch.Tensor) -> torch.Tensor:
    """Root-mean-square normalisation without parameters (Zhang and Sennrich 2019, arXiv 1910.07467)."""
    return F.rms_norm(x, (x.shape[-1],))


def linear(width: int, out: int, gain: float = 1.0) -> nn.Linear:
    """A linear layer without bias, weights N(0, gain² / fan in)."""
    layer = nn.Linear(width, out, bias=False)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(width)) if gain else nn.init.zeros_(layer.weight)
    return layer


def turned(x_NHTD: torch.Tensor, at_TD: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Queries or keys turned by their positions: products then see distances alone (Su et al. 2021, arXiv 2104.09864, eq. 34).

    Args:
        x_NHTD: D even; number d is paired with number d + D/2
        at_TD: cosines and sines (T, D/2) of `angles`
    """
    cos, sin = at_TD
    a, b = x_NHTD.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def angles(size: int, positions: int, base: float = 10_000.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (positions, size / 2) of t · base^(-2d / size)."""
    at_TD = torch.arange(positions)[:, None] * base ** (-torch.arange(0, size, 2) / size)
    return at_TD.cos(), at_TD.sin()


def looked_up(embed: nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
    """Ids (N, T), or shares of the tokens (N, T, V) as a relaxed choice has them, as vectors (N, T, C)."""
    return ids.to(embed.weight.dtype) @ embed.weight if ids.ndim == 3 else embed(ids)


class Attention(nn.Module):
    """Every token looks at those before it, or at all; queries and keys of length √D, times a learnt scale for each head.

    Args:
        width, heads: C and H
        causal: look back alone
    """

    def __init__(self, width: int, heads: int, *, causal: bool = True):
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"a width of {width} does not fall into {heads} heads of an even size")
        self.heads, self.causal = heads, causal
        self.ask = linear(width, 3 * width)
        self.tell = linear(width, width, 0)
        self.scale = nn.Parameter(torch.zeros(heads))  # of logits, as its logarithm

    def forward(
        self,
        x_NTC: torch.Tensor,
        at_TD: tuple[torch.Tensor, torch.Tensor],
        there_NT: torch.Tensor | None = None,
        memory: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """(N, T, C) -> (N, T, C).

        Args:
            x_NTC: normalised
            at_TD: `angles` of the tokens' positions
            there_NT: which tokens may be looked at; without, all
            memory: keys and values (N, H, S, D) so far, or empty; these tokens' are added to it, in place
        """
        q, k, v = self.ask(x_NTC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q = turned(plain_norm(q), at_TD) * self.scale.exp()[:, None, None]
        k = turned(plain_norm(k), at_TD)
        q, k = q.to(v.dtype), k.to(v.dtype)
        causal = self.causal
        if memory is not None:
            if memory:
                k, v = torch.cat([memory[0], k], 2), torch.cat([memory[1], v], 2)
                if q.shape[2] > 1:
                    raise ValueError("with something remembered, tokens come one by one")
                causal = False
            memory[:] = [k, v]
        mask = None if there_NT is None else there_NT[:, None, None]
        # On a card the kernels that go without the matrix of all pairs add gradients up in no fixed order.
        exact = sdpa_kernel(SDPBackend.MATH) if q.is_cuda and torch.is_grad_enabled() else contextlib.nullcontext()
        with exact:
            h_NHTD = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal and mask is None)
        return self.tell(h_NHTD.transpose(1, 2).flatten(2))


class Widened(nn.Module):
    """Each token by itself: four times as wide, squared rectifier (So et al. 2021, arXiv 2109.08668, section 4), and back."""

    def __init__(self, width: int, dropout: float = 0.0):
        super().__init__()
        self.widen, self.narrow = linear(width, 4 * width), linear(4 * width, width, 0)
        self.dropout = dropout

    def forward(self, x_NTC: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.narrow(F.relu(self.widen(x_NTC)).square()), self.dropout, self.training)


class Cell(nn.Module):
    """A recurrent layer, its output through a matrix that begins at zero.

    Args:
        width: of input, state and output
        kind: gru (Cho et al. 2014, arXiv 1406.1078) or lstm (Hochreiter and Schmidhuber 1997)
    """

    def __init__(self, width: int, kind: Literal["gru", "lstm"], dropout: float = 0.0):
        super().__init__()
        self.run = (nn.GRU if kind == "gru" else nn.LSTM)(width, width, batch_first=True)
        self.tell = linear(width, width, 0)
        self.dropout = dropout

    def forward(self, x_NTC: torch.Tensor, memory: list[Any] | None = None) -> torch.Tensor:
        if x_NTC.is_cuda:  # cuDNN wants its weights in one block of memory, and a deep copy has them apart
            self.run.flatten_parameters()
        h_NTC, state = self.run(x_NTC, memory[0] if memory else None)
        if memory is not None:
            memory[:] = [state]
        return F.dropout(self.tell(h_NTC), self.dropout, self.training)


class Writer(nn.Module):
    """What both nets that write share: embedding, prefix and head. They bring `through`.

    Args:
        tokens: size of the vocabulary V
        width: C
        classes: K, or 0
        noise: Z, or 0
        tied: the head is the embedding, transposed
        dropout: share of each branch's numbers, and of the embedding's, that are dropped in training
    """

    def __init__(self, tokens: int, width: int, *, classes: int = 0, noise: int = 0, tied: bool = False, dropout: float = 0.0):
        super().__init__()
        self.tokens, self.width, self.classes, self.noise, self.dropout = tokens, width, classes, noise, dropout
        self.embed = nn.Embedding(tokens, width)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(width) if tied else 1.0)
        self.kind = nn.Embedding(classes, width) if classes else None
        self.mood = linear(noise, width) if noise else None
        self.prefix = int(bool(classes or noise))
        # At zero, so that the first loss is ln V exactly.
        self.head = None if tied else linear(width, tokens, 0)
        self.tempered = nn.Parameter(torch.zeros(())) if tied else None  # a tied head is scaled: it cannot begin at zero

    def prefixed(self, x_NTC: torch.Tensor, y_N: torch.Tensor | None, z_NZ: torch.Tensor | None) -> torch.Tensor:
        """Embedded tokens with what they are to be like before them, (N, P + T, C)."""
        if not self.prefix:
            return x_NTC
        start_NC = x_NTC.new_zeros(len(x_NTC), self.width)
        if self.kind is not None:
            start_NC = start_NC + self.kind(y_N)
        if self.mood is not None:
            assert z_NZ is not None
            start_NC = start_NC + self.mood(z_NZ)
        return torch.cat([start_NC[:, None], x_NTC], 1)

    def forward(
        self,
        ids: torch.Tensor,
        y_N: torch.Tensor | None = None,
        z_NZ: torch.Tensor | None = None,
        memory: Memory | None = None,
    ) -> torch.Tensor:
        """(N, T) -> logits of the next token (N, T, V).

        Args:
            ids: tokens, or shares of the tokens (N, T, V), as a relaxed choice has them
            y_N, z_NZ: class and noise, where the net has them; with something remembered they are not looked at
            memory: an empty list at first; afterwards only the tokens that are new are handed over, one at a time
        """
        x_NTC = plain_norm(looked_up(self.embed, ids))
        begins = memory is None or not memory
        if begins:
            x_NTC = self.prefixed(x_NTC, y_N, z_NZ)
        x_NTC = F.dropout(x_NTC, self.dropout, self.training)
        x_NTC = plain_norm(self.through(x_NTC, memory)[:, self.prefix if begins else 0 :])
        if self.head is not None:
            return self.head(x_NTC)
        assert self.tempered is not None
        return F.linear(x_NTC, self.embed.weight) * self.tempered

    def through(self, x_NTC: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        """The residual trunk."""
        raise NotImplementedError


class Transformer(Writer):
    """A causal Transformer (Vaswani et al. 2017, arXiv 1706.03762) as small models have it today.

    Args:
        tokens, width, classes, noise, tied, dropout: as for `Writer`
        layers, heads: how many
        context: tokens that it can look at, the prefix apart
    """

    def __init__(self, tokens: int, *, width: int = 128, layers: int = 4, heads: int = 4, context: int = 64, **more: Any):
        super().__init__(tokens, width, **more)
        self.context = context
        self.looks = nn.ModuleList(Residual(Attention(width, heads), plain_norm) for _ in range(layers))
        self.thinks = nn.ModuleList(Residual(Widened(width, self.dropout), plain_norm) for _ in range(layers))
        cos, sin = angles(width // heads, context + self.prefix)
        self.cos = nn.Buffer(cos, persistent=False)
        self.sin = nn.Buffer(sin, persistent=False)

    def through(self, x_NTC: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        if memory is not None and not memory:
            memory.extend([] for _ in self.looks)
        past = memory[0][0].shape[2] if memory and memory[0] else 0
        last = past + x_NTC.shape[1]
        if last > self.context + self.prefix:
            raise ValueError(f"{last - self.prefix} tokens; this net looks at {self.context} at most")
        at_TD = self.cos[past:last], self.sin[past:last]
        for number, (look, think) in enumerate(zip(self.looks, self.thinks, strict=True)):
            x_NTC = think(look(x_NTC, at_TD, memory=memory[number] if memory is not None else None))
        return x_NTC


class Recurrent(Writer):
    """A recurrent net of residual layers, as in A. Karpathy's char-rnn but for the skip connections.

    Args:
        tokens, width, classes, noise, tied, dropout: as for `Writer`
        layers: how many
        kind: gru or lstm
        context: tokens that it is trained on at once; it remembers as long as it likes
    """

    def __init__(
        self,
        tokens: int,
        *,
        width: int = 128,
        layers: int = 2,
        kind: Literal["gru", "lstm"] = "gru",
        context: int = 64,
        **more: Any,
    ):
        super().__init__(tokens, width, **more)
        self.context = context
        self.cells = nn.ModuleList(Residual(Cell(width, kind, self.dropout), plain_norm) for _ in range(layers))

    def through(self, x_NTC: torch.Tensor, memory: Memory | None) -> torch.Tensor:
        if memory is not None and not memory:
            memory.extend([] for _ in self.cells)
        for number, cell in enumerate(self.cells):
            x_NTC = cell(x_NTC, memory=memory[number] if memory is not None else None)
        return x_NTC


class TextCritic(nn.Module):
    """Reads a text both ways; a logit for the whole and one for every token.

    No last bias: in a relativistic contest its gradient is exactly zero.

    Args:
        tokens, width, layers, heads, dropout: as for `Transformer`
        context: tokens of a text at most
        classes: K, or 0
    """

    def __init__(
        self,
        tokens: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        context: int = 64,
        classes: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.tokens, self.classes, self.dropout = tokens, classes, dropout
        self.embed = nn.Embedding(tokens, width)
        self.kind = nn.Embedding(classes, width) if classes else None
        self.whole = nn.Parameter(torch.randn(width))
        self.looks = nn.ModuleList(Residual(Attention(width, heads, causal=False), plain_norm) for _ in range(layers))
        self.thinks = nn.ModuleList(Residual(Widened(width, dropout), plain_norm) for _ in range(layers))
        self.judge, self.judge_each = linear(width, 1, 0), linear(width, 1, 0)
        cos, sin = angles(width // heads, context + 1)
        self.cos = nn.Buffer(cos, persistent=False)
        self.sin = nn.Buffer(sin, persistent=False)

    def forward(
        self, ids: torch.Tensor, there_NT: torch.Tensor | None = None, y_N: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (N, T), or shares of them (N, T, V) -> logits of the whole (N,) and of each token (N, T).

        Args:
            ids: what is judged
            there_NT: which tokens are text; the rest is not looked at, and its logits mean nothing
            y_N: class, where the critic has classes
        """
        x_NTC = plain_norm(looked_up(self.embed, ids))
        start_NC = self.whole.expand(len(x_NTC), -1)
        if self.kind is not None:
            start_NC = start_NC + self.kind(y_N)
        x_NTC = F.dropout(torch.cat([start_NC[:, None], x_NTC], 1), self.dropout, self.training)
        there = None if there_NT is None else F.pad(there_NT, (1, 0), value=True)
        at_TD = self.cos[: x_NTC.shape[1]], self.sin[: x_NTC.shape[1]]
        for look, think in zip(self.looks, self.thinks, strict=True):
            x_NTC = think(look(x_NTC, at_TD, there_NT=there))
        x_NTC = plain_norm(x_NTC)
        return self.judge(x_NTC[:, 0])[:, 0], self.judge_each(x_NTC[:, 1:])[..., 0]
