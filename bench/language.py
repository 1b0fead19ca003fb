"""A small language model against nanoGPT's for a CPU: the same text, the same tokens, timed in turns in one process.

    python bench/language.py --data tinyshakespeare.txt          # about 12 minutes on two cores

nanoGPT's CPU setting is 2,000 steps of 12 windows of 64 characters, 4 layers of 4 heads, 128 wide: 1.88 nats per character on
the last tenth of the text. The net of that shape is written out here in plain PyTorch, with its initialisation, optimizer and
schedule. Ours is `gannet.nets.sequence.Transformer` with at most as many parameters, trained by the one loop: once for as
many tokens, and once for `--short` steps, fixed beforehand, to be where nanoGPT ends in a part of its processor time.
The three train by turns, a block of steps each, so that whatever else the machine does hits all alike. Judged is every
character of the last tenth once, in windows of 64 with nothing carried over.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gannet.data import text
from gannet.nets.sequence import Transformer
from gannet.objectives.language import Language
from gannet.recipe import one_cycle
from gannet.training import loop
from gannet.training.engine import Engine

CONTEXT, BATCH, WIDTH, LAYERS, HEADS = 64, 12, 128, 4, 4


class Block(nn.Module):
    """GPT-2's: layer normalisation, attention, and a layer four times as wide with GELU; no biases."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.attend, self.project = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.attend(self.norm1(x)).chunk(3, -1))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(h.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class Plain(nn.Module):
    """The net of nanoGPT's shape: learnt positions, tied head, N(0, 0.02²), what leads back to the trunk 1/√(2L) of that."""

    def __init__(self, tokens: int):
        super().__init__()
        self.token, self.position = nn.Embedding(tokens, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(LAYERS)), nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                back = name.endswith(("project.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if back else 0.02)

    def forward(self, ids_NT: torch.Tensor) -> torch.Tensor:
        x = self.token(ids_NT) + self.position.weight[: ids_NT.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token.weight)


def plain(train: text.Texts, steps: int, seed: int) -> tuple[Plain, Callable[[int, int], None]]:
    """The plain net, and what trains it from one step to another as nanoGPT does."""
    torch.manual_seed(seed)
    net = Plain(len(train.vocabulary))
    matrices, vectors = ([p for p in net.parameters() if (p.ndim >= 2) == wide] for wide in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    ids, lot = torch.from_numpy(train.ids[1:-1].astype("int64")), torch.Generator().manual_seed(seed)

    def go(start: int, stop: int) -> None:
        for step in range(start, stop):
            warm, falls = step / 100, 0.5 * (1 + math.cos(math.pi * (step - 100) / max(steps - 100, 1)))
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * warm if step < 100 else 1e-4 + 9e-4 * falls
            at_N = torch.randint(len(ids) - CONTEXT, (BATCH,), generator=lot)
            windows_NT = ids[at_N[:, None] + torch.arange(CONTEXT + 1)]
            loss = F.cross_entropy(net(windows_NT[:, :-1]).flatten(0, 1), windows_NT[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()

    return net, go


def ours(train: text.Texts, steps: int, seed: int) -> tuple[nn.Module, Callable[[int, int], None]]:
    """Our net's average, and what trains it: the loop that every recipe has."""
    torch.manual_seed(seed)
    kinds = len(train.vocabulary)
    net = Transformer(kinds, width=WIDTH, layers=LAYERS, heads=HEADS, context=CONTEXT, tied=True)
    objective = Language(net, train.vocabulary, longest=500, whole=True, half_life=steps * BATCH / 100)
    engine = Engine(cpu=True)
    words = {"batch": BATCH, "steps": steps, "schedule": one_cycle, "seed": seed}

    def go(start: int, stop: int) -> None:
        loop.fit(objective, train, engine, **words, start=start, stop=stop)

    return objective.average, go


def parted(whole: str) -> tuple[text.Texts, text.Texts]:
    """The first nine tenths of a text and the rest, as nanoGPT parts it, in characters of the whole."""
    vocabulary, at = text.Vocabulary.learn("characters", [whole]), int(0.9 * len(whole))
    parts = [[0, *vocabulary.encode(part), 0] for part in (whole[:at], whole[at:])]
    one, two = (
        text.Texts(np.array(ids, np.uint16), np.array([0, len(ids) - 1]), vocabulary, CONTEXT, whole=True) for ids in parts
    )
    return one, two


@torch.no_grad()
def judged(net: nn.Module, held_out: text.Batch) -> float:
    """Nats per character."""
    total = 0.0
    for ids_NT, there_NT in zip(held_out.tokens_NT.split(256), held_out.there_NT.split(256), strict=True):
        nll = F.cross_entropy(net(ids_NT[:, :-1]).flatten(0, 1), ids_NT[:, 1:].flatten(), reduction="none")
        total += float((nll * there_NT.flatten()).sum())
    return total / int(held_out.there_NT.sum())


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", type=Path, required=True, help="tinyshakespeare, 1,115,394 bytes")
    words.add_argument("--steps", type=int, default=2_000)
    words.add_argument("--short", type=int, default=450, help="steps of our short run")
    words.add_argument("--block", type=int, default=25, help="steps between two turns, at most")
    words.add_argument("--threads", type=int, default=0, help="0: all")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--out", type=Path, help="JSON of the figures")
    given = words.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    train, held_out = parted(given.data.read_text(encoding="utf-8"))
    batch = held_out.windows()
    runs = {
        "nanoGPT's shape, plain PyTorch": (given.steps, *plain(train, given.steps, given.seed)),
        "gannet, as many tokens": (given.steps, *ours(train, given.steps, given.seed)),
        "gannet, short": (given.short, *ours(train, given.short, given.seed)),
    }
    spent = dict.fromkeys(runs, 0.0)
    took = dict.fromkeys(runs, 0.0)
    turns = max(steps for steps, _, _ in runs.values()) // given.block
    for turn in range(turns):
        for name, (steps, _, go) in runs.items():
            began, clock = time.process_time(), time.perf_counter()
            go(steps * turn // turns, steps * (turn + 1) // turns)
            spent[name], took[name] = spent[name] + time.process_time() - began, took[name] + time.perf_counter() - clock
    print("| net | parameters | steps | tokens | nats per character | processor time, s | of nanoGPT's | seconds |")
    print("| --- " * 8 + "|")
    found, first = [], next(iter(spent.values()))
    for name, (steps, net, _) in runs.items():
        size, loss = sum(p.numel() for p in net.parameters()), judged(net, batch)
        row = f"{size:,} | {steps:,} | {steps * BATCH * CONTEXT:,} | {loss:.4f} | {spent[name]:.1f} | {spent[name] / first:.2f}"
        print(f"| {name} | {row} | {took[name]:.1f} |", flush=True)
        found.append({"net": name, "parameters": size, "steps": steps, "nats": loss, "processor": spent[name]})
    if given.out:
        given.out.write_text(json.dumps({"seed": given.seed, "threads": torch.get_num_threads(), "runs": found}, indent=2))


if __name__ == "__main__":
    main()
