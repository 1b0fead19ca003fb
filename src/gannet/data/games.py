"""Small environments of which everything is known: for tests, for preflight, and to try an agent on in seconds.

`gannet train play --data gannet.data.games:Corridor` plays one.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Chain(gym.Env):
    """Three states in a row, rewards 1, 2 and 3 for leaving them, whatever is done.

    Args:
        ends: terminated: after the third nothing comes; truncated: after the third comes the first again, and the episode is
            only cut off there
    """

    def __init__(self, ends: Literal["terminated", "truncated"] = "terminated"):
        self.ends, self.at = ends, 0
        self.observation_space, self.action_space = spaces.Box(0, 1, (3,), np.float32), spaces.Discrete(2)

    def seen(self) -> np.ndarray:
        return np.eye(4, 3, dtype=np.float32)[self.at]  # after the last there is nothing to see

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = 0
        return self.seen(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, last = float(self.at + 1), self.at == 2
        self.at = 0 if last and self.ends == "truncated" else self.at + 1
        return self.seen(), reward, last and self.ends == "terminated", last and self.ends == "truncated", {}

    @staticmethod
    def values(ends: str, discount: float) -> list[float]:
        """What the three states are worth."""
        whole = 1 - discount**3 if ends == "truncated" else 1.0  # the same for ever, or once
        after = [[1, 2, 3], [2, 3, 1], [3, 1, 2]] if ends == "truncated" else [[1, 2, 3], [2, 3], [3]]
        return [sum(r * discount**k for k, r in enumerate(rewards)) / whole for rewards in after]


class Bandit(gym.Env):
    """One step an episode, and one action of four that is rewarded: with 1, the others with nothing."""

    def __init__(self, best: int = 2):
        self.best = best
        self.observation_space, self.action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), float(action == self.best), True, False, {}


class Corridor(gym.Env):
    """A corridor with a way out at one end, which end is seen: an agent needs no memory, but must look.

    -0.1 for every step, 1 at the way out, cut off after three times its length. The best return is 1 - 0.1 · (length // 2 - 1):
    from the middle straight out.

    Args:
        length: places
        pixels: it is seen as a picture of 36 × 36 bytes; else as two numbers, place and end, from -1 to 1
    """

    def __init__(self, length: int = 9, pixels: bool = False):
        self.length, self.pixels = length, pixels
        shape = spaces.Box(0, 255, (36, 36), np.uint8) if pixels else spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space, self.action_space = shape, spaces.Discrete(2)

    def seen(self) -> np.ndarray:
        if not self.pixels:
            return np.array([2 * self.at / (self.length - 1) - 1, self.out], np.float32)
        picture = np.zeros((36, 36), np.uint8)
        picture[12:24, round(30 * self.at / (self.length - 1)) :][:, :6] = 255
        picture[:8, slice(0, 18) if self.out < 0 else slice(18, 36)] = 128
        return picture

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.out, self.time = self.length // 2, int(self.np_random.integers(2)) * 2 - 1, 0
        return self.seen(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.at = min(max(self.at + 2 * int(action) - 1, 0), self.length - 1)
        self.time += 1
        there = self.at == (0 if self.out < 0 else self.length - 1)
        return self.seen(), 1.0 if there else -0.1, there, not there and self.time >= 3 * self.length, {}


class Screen(Corridor):
    """The corridor, seen as a picture."""

    def __init__(self, length: int = 9):
        super().__init__(length, pixels=True)


class Reach(gym.Env):
    """Two numbers are shown and are to be given back: minus the squared distance is the reward. Cut off after ten steps."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time, self.goal = 0, self.np_random.uniform(-0.8, 0.8, 2).astype(np.float32)
        return self.goal, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = -float(np.square(action - self.goal).sum())
        self.time, self.goal = self.time + 1, self.np_random.uniform(-0.8, 0.8, 2).astype(np.float32)
        return self.goal, reward, False, self.time >= 10, {}
