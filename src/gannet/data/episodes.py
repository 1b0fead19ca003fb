"""Episodes that somebody played, read from .npz files: what there is to imitate.

A file holds `observations` (N, ...), `actions` (N,) or (N, A), `rewards` (N,) and `ends` (N,), step after step, episode after
episode; `ends` is True at the last step of each; `environment` is the id of what was played, and `terminated` (one for all, or
for each step) whether nothing came after the ends, rather than being cut off. Nothing in a file is unpickled.

Shapes: N steps, M episodes, A numbers of an action.
"""

from __future__ import annotations

import hashlib
import math
import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from gannet.data import ledger
from gannet.data.play import Play
from gannet.errors import Wrong
from gannet.rng import Rng

Parts = tuple[torch.Tensor, ...]  # observations, actions, rewards, ends, which of these are for good; of each step
PARTS = ("observations", "actions", "rewards", "ends")


class Deeds(NamedTuple):
    """What was seen, and what was done then."""

    seen_N: torch.Tensor
    did_N: torch.Tensor


class Episodes:
    """Steps of whole episodes, in order.

    Args:
        seen_N, did_N, reward_N: of each step: uint8 or float32; int64, or float32 (N, A); float32
        end_N: whether an episode ends with the step; it does with the last
        terminated_N: whether it ends there for good, and is not only cut off
        environment: id of what was played
        source: where it was read
        every: of how many steps one is kept to be learnt from
    """

    def __init__(
        self,
        seen_N: torch.Tensor,
        did_N: torch.Tensor,
        reward_N: torch.Tensor,
        end_N: torch.Tensor,
        terminated_N: torch.Tensor,
        *,
        environment: str,
        source: str = "",
        every: int = 1,
    ):
        self.seen_N, self.did_N, self.reward_N, self.end_N = seen_N, did_N, reward_N, end_N
        self.terminated_N = terminated_N
        self.environment, self.source, self.every = environment, source, every
        self.kept_N = kept(end_N, every) if len(end_N) else torch.zeros(0, dtype=torch.int64)
        self.known: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.kept_N)

    def ends(self) -> float:
        """Episodes that ended for good, for each step."""
        return float(self.terminated_N.float().mean()) if len(self.end_N) else 0.0

    def returns(self) -> torch.Tensor:
        """The sum of the rewards of each episode, (M,)."""
        sum_N = self.reward_N.double().cumsum(0)[self.end_N]
        return torch.diff(sum_N, prepend=torch.zeros(1, dtype=torch.float64)).float()

    def batch(self, n: int, rng: Rng) -> Deeds:
        """n steps for this process; each epoch of the rng's stream is a fresh permutation."""
        at_N = self.kept_N[rng.indices(len(self), n)]
        return Deeds(self.seen_N[at_N], self.did_N[at_N])

    def facts(self) -> dict[str, Any]:
        """What a run folder remembers of them."""
        if self.known:
            return self.known
        digest = hashlib.sha256()
        for part in (self.seen_N, self.did_N, self.end_N, self.terminated_N):
            digest.update(part.contiguous().numpy().tobytes())
        returns = self.returns()
        return {
            "kind": "episodes",
            "name": self.environment,
            "split": "expert",
            "items": len(self),
            "episodes": len(returns),
            "every": self.every,
            "mean_return": round(float(returns.mean()), 4),
            "classes": [],
            "prepared": f"one step in {self.every}" if self.every > 1 else "every step",
            "licence": "of whoever recorded them",
            "source": self.source,
            "more": {"sha256": digest.hexdigest()},
        }

    @classmethod
    def recall(cls, facts: dict[str, Any]) -> Episodes:
        """The same without a step of it, from what a run folder remembers."""
        none = torch.zeros(0)
        words = {"environment": facts["name"], "source": facts["source"], "every": facts["every"]}
        made = cls(none, none, none, none.bool(), none.bool(), **words)
        made.known = facts
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Episodes:
        return self  # nobody changes it, and it may be large


class Imitated(Play):
    """An environment, and an expert's episodes in it.

    Args:
        play: the environment
        expert: the episodes
    """

    def __init__(self, play: Play, expert: Episodes):
        super().__init__(play.facts())
        self.expert = expert


def judged(play: Play) -> tuple[tuple[int, ...], int, None]:
    """What a critic of states and actions sees, how many numbers it gives, and None, as an agent's net is told of its own.

    Raises:
        Wrong: for pixels with continuous actions, which no net here reads together.
    """
    if play.actions is not None:
        return play.seen, play.actions, None
    if play.bytes:
        what = "a critic of pixels and continuous actions is not offered"
        raise Wrong(what, got=play.name, try_="--method cloning", usage=True)
    return (math.prod(play.seen) + (play.box or 0),), 1, None


def kept(end_N: torch.Tensor, every: int) -> torch.Tensor:
    """Which steps are learnt from (K,): of each episode one in `every`, from a random one of the first `every` on (Ho and Ermon
    2016, appendix B, keep one in 20). The less that follows on one another, the harder it is to clone."""
    first_M = torch.cat([torch.zeros(1, dtype=torch.int64), end_N.nonzero()[:, 0] + 1])
    starts_M = Rng(0, 0, "kept").integers(every, len(first_M) - 1).tolist()
    spans = zip(first_M[:-1].tolist(), first_M[1:].tolist(), starts_M, strict=True)
    return torch.cat([torch.arange(min(a + start, b - 1), b, every) for a, b, start in spans])


def load(path: str, play: Play, *, episodes: int = 10, every: int = 1) -> Episodes:
    """The first episodes of a file, or of a folder's .npz files in the order of their names.

    Args:
        path: a file, or a folder with files; or "balance" in CartPole-v1, a controller written by hand
        play: the environment that they must have been played in
        episodes: how many are read
        every: one step in so many is learnt from

    Raises:
        Wrong: for what is no recording, one of another environment, and one with fewer episodes.
    """
    return ledger().open(f"{play.name}/expert", lambda: _open(path, play, episodes, every), Episodes.recall)


def _open(path: str, play: Play, episodes: int, every: int) -> Episodes:
    for flag, value in (("--episodes", episodes), ("--every", every)):
        if value < 1:
            raise Wrong(f"{flag} must be at least 1", got=value, usage=True)
    if path == "balance" and play.name == "CartPole-v1":
        source = "a controller written by hand"
        return Episodes(*balance(play, episodes), environment=play.called, source=source, every=every)
    where = Path(path).expanduser()
    if not path or not where.exists():
        hint = "gannet sample RUN --record of an agent that plays well"
        raise Wrong("--expert names no file and no folder of recorded episodes", got=path or "nothing", try_=hint, usage=True)
    parts, have = [], 0
    for file in [where] if where.is_file() else sorted(where.rglob("*.npz")):
        parts.append(read(file, play))
        have += int(parts[-1][3].sum())
        if have >= episodes:
            break
    if have < episodes:
        hint = f"--episodes {have}" if have else "a file or folder with whole episodes"
        raise Wrong(f"fewer whole episodes than --episodes {episodes}", got=f"{have} in {path}", try_=hint)
    *joined, end_N, terminated_N = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    last = int(end_N.nonzero()[episodes - 1]) + 1
    kept_parts = (part[:last] for part in (*joined, end_N, terminated_N))
    return Episodes(*kept_parts, environment=play.called, source=where.name, every=every)


def balance(play: Play, episodes: int) -> Parts:
    """So many episodes of CartPole-v1, in which the cart is pushed to where the pole
    falls, and a little towards the middle: something to imitate where nobody has recorded anything."""
    vector = play.open(episodes)
    rows: list[tuple[torch.Tensor, ...]] = []
    seen_E, going_E = vector.reset(range(600_000, 600_000 + episodes)), torch.ones(episodes, dtype=torch.bool)
    while going_E.any():
        did_E = (seen_E @ torch.tensor([0.1, 0.2, 1.0, 0.6]) > 0).long()
        after_E, reward_E, terminated_E, truncated_E = vector.step(did_E)
        ended_E = terminated_E | truncated_E
        rows.append((seen_E, did_E, reward_E, ended_E, terminated_E, going_E))
        seen_E, going_E = after_E, going_E & ~ended_E
    vector.close()
    *parts, there_TE = map(torch.stack, zip(*rows, strict=True))
    return tuple(part.transpose(0, 1)[there_TE.T] for part in parts)  # one episode after another


def read(file: Path, play: Play) -> Parts:
    """A file's whole episodes; a last one that does not end is left out.

    Where the file does not say whether an end is one for good, it is where the episode is shorter than the environment's limit.

    Raises:
        Wrong: where the file is damaged, lacks something, was played elsewhere, or its shapes and numbers cannot be.
    """
    environment, actions = play.called, play.actions
    try:
        opened = np.load(file, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise Wrong("a recording is an .npz file of several arrays", got=file)
        with opened as held:
            missing = [name for name in PARTS if name not in held]
            if missing:
                raise Wrong(f"a recording holds {', '.join(PARTS)}", got=f"{file} lacks {', '.join(missing)}")
            seen_N, did_N, reward_N, end_N = (held[name] for name in PARTS)
            played = str(held["environment"]) if "environment" in held else environment
            terminated = held.get("terminated")
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise Wrong("this recording cannot be read", got=f"{file}: {error}") from error
    if played != environment:
        road = re.search(r"\(road=([^,)]+)", played)
        raise Wrong(
            "these episodes were played in another environment", got=played, try_=f"--data {road[1] if road else played}"
        )
    of_one = () if play.box is None else (play.box,)
    n = len(seen_N) if seen_N.ndim else 0
    for name, array, want in (
        ("observations", seen_N, (n, *play.seen)),
        ("actions", did_N, (n, *of_one)),
        ("rewards", reward_N, (n,)),
        ("ends", end_N, (n,)),
    ):
        if array.shape != want:
            raise Wrong(f"{name} of a recording of {environment} should be {want}", got=f"{array.shape} in {file}")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise Wrong(f"{name} of a recording must be finite numbers", got=file)
    if play.bytes and n and seen_N.dtype != np.uint8:  # floats would be taken for pixels from 0 to 1
        if not (seen_N == np.clip(seen_N, 0, 255).astype(np.uint8)).all():
            got = f"{seen_N.min():g} to {seen_N.max():g} in {file}"
            raise Wrong(f"observations of a recording of {environment} are whole numbers from 0 to 255", got=got)
        seen_N = seen_N.astype(np.uint8)
    if actions and n and not (did_N == did_N.astype(np.int64)).all():
        raise Wrong(f"actions of {environment} are whole numbers", got=file)
    if actions and n and not 0 <= did_N.min() <= did_N.max() < actions:
        raise Wrong(f"actions of {environment} are 0 to {actions - 1}", got=f"{did_N.min()} to {did_N.max()} in {file}")
    ends = end_N.astype(bool)
    at_M = ends.nonzero()[0]
    whole = int(at_M[-1]) + 1 if ends.any() else 0
    if terminated is None:
        terminated = np.zeros(n, bool)
        terminated[at_M] = np.diff(at_M, prepend=-1) < (play.limit or math.inf)
    elif terminated.dtype.kind not in "bi" or terminated.shape not in ((), (n,)):
        raise Wrong("terminated of a recording is true or false, for all or for each step", got=f"{terminated.shape} in {file}")
    final = ends & terminated.astype(bool)
    return (
        torch.from_numpy(seen_N[:whole] if seen_N.dtype == np.uint8 else seen_N[:whole].astype(np.float32)),
        torch.from_numpy(did_N[:whole].astype(np.int64 if actions else np.float32)),
        torch.from_numpy(reward_N[:whole].astype(np.float32)),
        torch.from_numpy(ends[:whole]),
        torch.from_numpy(final[:whole]),
    )
