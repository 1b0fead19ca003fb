"""What an agent remembers of rollouts, to learn from them again: where a simulator is slow, a step is worth many updates.

Rollouts are kept whole, in the order of their steps, so that a target may look several steps ahead. What stands in them is what
happened; what it is worth is computed anew each time, by the net as it is then.

Shapes: M rollouts of T steps in E environments, those of all processes.
"""

from __future__ import annotations

import functools

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
        like: an observation as it is remembered (...): the play's own, or packed, so that it is not packed at every recall
    """

    def __init__(self, play: Play, steps: int, recalled: int, like: torch.Tensor | None = None):
        own = torch.zeros(play.seen, dtype=torch.uint8 if play.bytes else torch.float32)
        self.play, self.recalled, self.like = play, recalled, own if like is None else like
        self.rollouts = max(recalled, steps // (play.steps * play.environments))

    @functools.cached_property
    def parts(self) -> dict[str, torch.Tensor]:
        """Rollouts' parts (M, T, E, ...), and how many there have been, (); made when they are first wanted."""
        shape = (self.rollouts, self.play.steps, self.play.environments)
        seen = (self.rollouts, self.play.steps + 1, self.play.environments, *self.like.shape)
        return {
            "count": torch.zeros((), dtype=torch.int64),
            "seen": torch.zeros(seen, dtype=self.like.dtype),
            "did": torch.zeros(shape, dtype=torch.int64),
            "reward": torch.zeros(shape),
            **{name: torch.zeros(shape, dtype=torch.bool) for name in ENDS},
        }

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors, to be restored in place."""
        return {f"memory.{name}": part for name, part in self.parts.items()}

    def add(self, rollout: Rollout, rng: Rng) -> None:
        """Remember a rollout, in the place of the oldest."""
        slot = int(self.parts["count"]) % self.rollouts
        for name in ("seen", "did", "reward", *ENDS):
            self.parts[name][slot] = gathered(getattr(rollout, f"{name}_TE"), rng)
        self.parts["count"] += 1

    def recall(self, rng: Rng) -> list[Rollout]:
        """The newest rollout, and others by chance, of this process's environments.

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
        return Rollout(seen, did, {}, reward, *ends)
