"""What an agent remembers of rollouts, to learn from them again: where a simulator is slow, a step is worth many updates.

Rollouts are kept whole, in the order of their steps, so that a target may look several steps ahead. What stands in them is what
happened; what it is worth is computed anew each time, by the net as it is then. Of games that are seen as their last frames,
each frame is kept once, a quarter of the bytes: 200,000 steps of Atari take 1.6 GB.

Shapes: M rollouts of T steps in E environments, those of all processes; C frames of an observation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from gannet.data.play import Play, Rollout, gathered
from gannet.rng import Rng, number

ENDS = ("terminated", "truncated", "counts")  # bool, in the order of a rollout


class Memory:
    """The last rollouts of a run. It is part of every checkpoint, and as large: frames take bytes by the gigabyte.

    Args:
        play: what is played, with a choice among actions
        steps: of all environments, how many are remembered, in whole rollouts; never fewer of these than are recalled
        recalled: rollouts that are learnt from at each step, the newest among them
        pack: makes of observations (T, E, ...) what the net reads, once: before they are remembered, or, where each frame is
            kept once, when they are recalled; without it they are recalled as they were seen
    """

    def __init__(self, play: Play, steps: int, recalled: int, pack: Callable[[torch.Tensor], torch.Tensor] | None = None):
        self.play, self.recalled, self.pack = play, recalled, pack or (lambda seen_TE: seen_TE)
        own_TE = torch.zeros(1, 1, *play.seen, dtype=torch.uint8 if play.bytes else torch.float32)
        self.like = (own_TE if play.sliding else self.pack(own_TE))[0, 0]  # an observation as it is remembered
        self.rollouts = max(recalled, steps // (play.steps * play.environments))

    @functools.cached_property
    def parts(self) -> dict[str, torch.Tensor]:
        """Rollouts' parts (M, T, E, ...), and how many there have been, (); made when they are first wanted."""
        return self._empty()

    @property
    def nbytes(self) -> int:
        """Of all parts, without making them."""
        with torch.device("meta"):
            return sum(part.nbytes for part in self._empty().values())

    def _empty(self) -> dict[str, torch.Tensor]:
        shape = (self.rollouts, self.play.steps, self.play.environments)
        seen = (self.rollouts, self.play.steps + 1, self.play.environments, *self.like.shape)
        if self.play.sliding:
            seen = (self.rollouts, self.play.steps + len(self.like), self.play.environments, *self.like.shape[1:])
        return {
            "count": torch.zeros((), dtype=torch.int64),
            "seen": torch.zeros(seen, dtype=self.like.dtype),
            "did": torch.zeros(shape, dtype=torch.int64),
            "reward": torch.zeros(shape),
            **{name: torch.zeros(shape, dtype=torch.bool) for name in ENDS},
        }

    def least(self) -> None:
        """Forget everything, and remember no more than is recalled."""
        self.rollouts = self.recalled
        self.__dict__.pop("parts", None)

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors, to be restored in place."""
        return {f"memory.{name}": part for name, part in self.parts.items()}

    def add(self, rollout: Rollout, rng: Rng) -> None:
        """Remember a rollout, in the place of the oldest."""
        slot = int(self.parts["count"]) % self.rollouts
        seen_TE = frames(rollout.seen_TE) if self.play.sliding else self.pack(rollout.seen_TE)
        rollout = rollout._replace(seen_TE=seen_TE)
        for name in ("seen", "did", "reward", *ENDS):
            self.parts[name][slot] = gathered(getattr(rollout, f"{name}_TE"), rng)
        self.parts["count"] += 1

    def recall(self, rng: Rng) -> list[Rollout]:
        """The newest rollout, and others by chance, of this process's environments; what was seen is packed.

        Each comes once before any comes twice, and where fewer are known than recalled, the others come in its place.
        """
        count = int(self.parts["count"])
        last, chance = (count - 1) % self.rollouts, torch.Generator().manual_seed(number(rng.seed, rng.step, "memory"))
        order = torch.randperm(min(count, self.rollouts), generator=chance).tolist()
        others = [slot for slot in order if slot != last] or [last]
        slots = [last, *(others[index % len(others)] for index in range(self.recalled - 1))]
        own = self.play.environments // rng.world
        mine = slice(rng.rank * own, (rng.rank + 1) * own)
        return [self._rollout(slot, mine) for slot in slots]

    def _rollout(self, slot: int, mine: slice) -> Rollout:
        seen, did, reward, *ends = (self.parts[name][slot, :, mine] for name in ("seen", "did", "reward", *ENDS))
        if self.play.sliding:
            seen = self.pack(stacks(seen, ends[-1], len(self.like)))
        return Rollout(seen, did, {}, reward, *ends)


def frames(seen_TE: torch.Tensor) -> torch.Tensor:
    """Each frame once (T + C, E, H, W), of observations (T + 1, E, C, H, W) that are the last C frames: all of the first, and
    the newest of the others."""
    return torch.cat([seen_TE[0].transpose(0, 1), seen_TE[1:, :, -1]])


def stacks(frames_SE: torch.Tensor, counts_TE: torch.Tensor, many: int) -> torch.Tensor:
    """Observations (T + 1, E, C, H, W) of which `frames` are kept: what was before a reset is black.

    Args:
        frames_SE: (T + C, E, H, W)
        counts_TE: False where a step was only a reset, so that what is seen after it is a first frame (T, E)
        many: C
    """
    seen_TE = frames_SE.unfold(0, many, 1).permute(0, 1, 4, 2, 3).contiguous()
    time_T = torch.arange(len(seen_TE))
    began_TE = torch.cat([torch.zeros_like(counts_TE[:1]), ~counts_TE]) * time_T[:, None]
    began_TE = began_TE.cummax(0).values  # when the last reset was; 0: before this rollout, and the first one knows it
    age_TEC = time_T[:, None, None] - began_TE[:, :, None] - torch.arange(many - 1, -1, -1)  # in steps, of a game's first: 0
    shown_TEC = (age_TEC >= 0) | (began_TE == 0)[:, :, None]
    return seen_TE.mul_(shown_TEC[..., None, None])
