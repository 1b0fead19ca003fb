"""What an agent is worth: returns of whole episodes on seeds never trained on, beside chance and beside the best single action.

A mean over few episodes says little, so every mean stands with an interval, and beside it the interquartile mean, which one
lucky or one broken episode does not move (Agarwal et al. 2021, arXiv 2108.13264). Episodes are counted by their seeds, not as
they happen to end: the first hundred that end are the short ones. Actions are drawn as the policy says, unless greedy play is
asked for: where game and policy are deterministic, a hundred greedy episodes are one game.

Shapes: N episodes, E environments side by side, A actions or parts of an action, R resamples.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from gannet.data.play import Play
from gannet.errors import Wrong
from gannet.evaluation.images import Score, no_wishes
from gannet.rng import Rng

EPISODES = 100  # behind a reported score
WATCHED = 10  # behind the score that is watched while training
STILL = 4_500  # steps of one action alone, five minutes of an Atari game: where it serves no ball, nothing more comes
TRIALS = 3  # on which each constant action is tried before the best of them is measured
SIDE_BY_SIDE = 20  # environments at once
CONSTANTS = 32  # actions at most that are tried
RESAMPLES = 5_000  # of a bootstrap
MOST = 27_000  # steps of an episode, where the environment has no limit of its own: half an hour of an Atari game
FEWEST = 5  # episodes below which no interval is told
#: Chances of a repeated action that Atari is judged at: two regimes, never one column (Machado et al. 2018, arXiv 1709.06009).
STICKY = (0.0, 0.25)

#: First seeds of the environments, for what is reported, for what is chosen by, and for films. `--seed` moves on by a thousand.
#: All are below gannet.data.play.KEPT, where those of training begin.
HELD_OUT, VALIDATION, SHOWN = 10_000, 200_000, 400_000


# --------------------------------------------------------------------------------------------------------- statistics


def iqm(values: Any, axis: int = -1) -> Any:
    """The interquartile mean: the mean without the lowest and the highest quarter (Agarwal et al. 2021, section 4.3).

    floor(N / 4) values are left out at either end, so of fewer than four none are.
    """
    sorted_ = np.sort(np.asarray(values, dtype=np.float64), axis)
    n = sorted_.shape[axis]
    return np.take(sorted_, range(n // 4, n - n // 4), axis).mean(axis)


def bootstrap(
    values: Sequence[float], statistic: Callable[..., Any], seed: int = 0, *, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic (Efron and Tibshirani 1993, chapter 13; of returns: Agarwal et al. 2021,
    section 4.1).

    Args:
        values: (N,), independent of one another
        statistic: takes (R, N) and `axis`, gives (R,)
        seed: of the draws with replacement: the same for the same seed and N
        level: chance that it holds the true one, roughly: of few values it is too narrow
    """
    values_N = np.asarray(values, dtype=np.float64)
    n = len(values_N)
    which_RN = Rng(seed, 0, "bootstrap").integers(n, resamples * n).view(resamples, n).numpy()
    low, high = np.quantile(statistic(values_N[which_RN], axis=-1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


#: Mean scores of a uniformly random player and of a professional human tester in the 57 games, up to 30 no-ops at the start
#: (Wang et al. 2016, arXiv 1511.06581, appendix; listed in DeepMind's dqn_zoo, atari_data.py, and in rldb, which agree).
#: Others' "human" differs: Mnih et al. 2015 give 9.3 for Pong, the human-start tables 15.5. Sticky actions are in none of them.
PUBLISHED: dict[str, tuple[float, float]] = {
    "alien": (227.8, 7127.7), "amidar": (5.8, 1719.5), "assault": (222.4, 742.0), "asterix": (210.0, 8503.3),
    "asteroids": (719.1, 47388.7), "atlantis": (12850.0, 29028.1), "bank_heist": (14.2, 753.1),
    "battle_zone": (2360.0, 37187.5),
    "beam_rider": (363.9, 16926.5), "berzerk": (123.7, 2630.4), "bowling": (23.1, 160.7), "boxing": (0.1, 12.1),
    "breakout": (1.7, 30.5), "centipede": (2090.9, 12017.0), "chopper_command": (811.0, 7387.8),
    "crazy_climber": (10780.5, 35829.4), "defender": (2874.5, 18688.9), "demon_attack": (152.1, 1971.0),
    "double_dunk": (-18.6, -16.4), "enduro": (0.0, 860.5), "fishing_derby": (-91.7, -38.7), "freeway": (0.0, 29.6),
    "frostbite": (65.2, 4334.7), "gopher": (257.6, 2412.5), "gravitar": (173.0, 3351.4), "hero": (1027.0, 30826.4),
    "ice_hockey": (-11.2, 0.9), "jamesbond": (29.0, 302.8), "kangaroo": (52.0, 3035.0), "krull": (1598.0, 2665.5),
    "kung_fu_master": (258.5, 22736.3), "montezuma_revenge": (0.0, 4753.3), "ms_pacman": (307.3, 6951.6),
    "name_this_game": (2292.3, 8049.0), "phoenix": (761.4, 7242.6), "pitfall": (-229.4, 6463.7), "pong": (-20.7, 14.6),
    "private_eye": (24.9, 69571.3), "qbert": (163.9, 13455.0), "riverraid": (1338.5, 17118.0), "road_runner": (11.5, 7845.0),
    "robotank": (2.2, 11.9), "seaquest": (68.4, 42054.7), "skiing": (-17098.1, -4336.9), "solaris": (1236.3, 12326.7),
    "space_invaders": (148.0, 1668.7), "star_gunner": (664.0, 10250.0), "surround": (-10.0, 6.5), "tennis": (-23.8, -8.3),
    "time_pilot": (3568.0, 5229.2), "tutankham": (11.4, 167.6), "up_n_down": (533.4, 11693.2), "venture": (0.0, 1187.5),
    "video_pinball": (16256.9, 17667.9), "wizard_of_wor": (563.5, 4756.5), "yars_revenge": (3092.9, 54576.9),
    "zaxxon": (32.5, 9173.3),
}  # fmt: skip


def human_normalised(name: str, score: float) -> float | None:
    """0 for the published random player, 1 for the published human, in a straight line; None for games that have neither.

    Args:
        name: "pong", or an id as "ALE/SpaceInvaders-v5"
        score: a return in the game's own points, nothing clipped
    """
    bare = re.sub(r"(NoFrameskip|Deterministic)?-v\d+$", "", name.rpartition("/")[2])
    pair = PUBLISHED.get(re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=N)(?=Down)", "_", bare).lower())
    return None if pair is None else (score - pair[0]) / (pair[1] - pair[0])


# ----------------------------------------------------------------------------------------------------------- episodes


@dataclass(frozen=True)
class Episode:
    """One episode, from its reset to its end.

    Attributes:
        seed: that the environment was reset with
        returns: the sum of its rewards as the environment gave them, neither clipped nor discounted
        length: steps of the agent
        terminated: it came to an end; False where it was cut off
        last: a digest of its last observation: by it, return and length two episodes are known to be one game
        frames: what a watcher saw (T + 1, H, W, 3), bytes; None where nobody asked for them
    """

    seed: int
    returns: float
    length: int
    terminated: bool
    last: str = ""
    frames: np.ndarray | None = None


class Luck:
    """Random numbers of an agent's choices: functions of (seed, the environment's seed, step), whoever plays beside it.

    So episode k is the same whatever the number of episodes and of environments.
    """

    BLOCK = 512  # steps that are drawn at once

    def __init__(self, seed: int):
        self.seed = seed
        self.now: list[tuple[int, int]] = []  # (the environment's seed, step) of each environment
        self.blocks: dict[tuple[int, str, int], tuple[int, torch.Tensor]] = {}

    def uniform(self, width: int = 1) -> torch.Tensor:
        """In [0, 1), (E, width)."""
        return self._draw("uniform", width)

    def normal(self, width: int = 1) -> torch.Tensor:
        """Standard normal, (E, width)."""
        return self._draw("normal", width)

    def _draw(self, kind: str, width: int) -> torch.Tensor:
        rows = []
        for episode, step in self.now:
            block, at = divmod(step, self.BLOCK)
            key = (episode, kind, width)
            if key not in self.blocks or self.blocks[key][0] != block:
                self.blocks[key] = (block, getattr(Rng(self.seed, block, f"luck {episode}"), kind)(self.BLOCK, width))
            rows.append(self.blocks[key][1][at])
        return torch.stack(rows)


#: observations (E, ...) and luck -> actions (E,) int64 or (E, A) float32
Choose = Callable[[torch.Tensor, Luck], torch.Tensor]


def agent(objective: Any, greedy: bool = False) -> Choose:
    """How a finished net plays: as its probabilities say, or the likeliest action, where `greedy` or it has none."""

    def choose(seen_E: torch.Tensor, luck: Luck) -> torch.Tensor:
        return drawn_from(objective.decide(seen_E), luck, greedy)

    return choose


def drawn_from(decision: Any, luck: Luck, greedy: bool = False) -> torch.Tensor:
    """Actions drawn from what a net decides: by inverting the distribution function, or from its normal distribution."""
    if not greedy and decision.p_EA is not None:
        sum_EA = decision.p_EA.double().cumsum(1)
        return torch.searchsorted(sum_EA, luck.uniform() * sum_EA[:, -1:], right=True)[:, 0].clamp(max=sum_EA.shape[1] - 1)
    if not greedy and decision.mean_EA is not None:
        return decision.mean_EA + decision.deviation_EA * luck.normal(decision.mean_EA.shape[1])
    return decision.did_E


def at_random(play: Play) -> Choose:
    """The floor: every action as likely as every other, over all that the environment allows."""

    def choose(seen_E: torch.Tensor, luck: Luck) -> torch.Tensor:
        if play.actions is not None:
            return (luck.uniform()[:, 0] * play.actions).long()
        return 2 * luck.uniform(play.box or 1) - 1

    return choose


def always(did: torch.Tensor) -> Choose:
    """One action, whatever is seen."""
    return lambda seen_E, luck: did.expand(len(seen_E), *did.shape)


def constants(play: Play) -> dict[str, torch.Tensor]:
    """Actions that are tried as a baseline, by name: each of them; of numbers the middle, and either end of each of them."""
    if play.actions is not None:
        names = play.meanings or [str(a) for a in range(play.actions)]
        return {names[a]: torch.tensor(a) for a in range(min(play.actions, CONSTANTS))}
    ends_A = torch.eye(play.box or 1)
    found_NA = torch.cat([torch.zeros(1, len(ends_A)), torch.stack([ends_A, -ends_A], 1).flatten(0, 1)])[:CONSTANTS]
    return {"[" + " ".join(f"{v:g}" for v in one_A.tolist()) + "]": one_A for one_A in found_NA}


class Moment(NamedTuple):
    """One step of all environments; `going_E` says which still play their episode: of the others nothing counts."""

    first: int  # number of the first environment's episode
    step: int  # finished steps, this one not counted
    going_E: torch.Tensor
    seen_E: torch.Tensor  # before the step
    did_E: torch.Tensor
    reward_E: torch.Tensor
    terminated_E: torch.Tensor
    truncated_E: torch.Tensor
    after_E: torch.Tensor  # after it: where an episode ended, its true last observation


def moments(
    vector: Any, seats: int, choose: Choose, seeds: Sequence[int], *, seed: int = 0, most: int = MOST
) -> Iterator[Moment]:
    """Play an episode for each seed to its end, so many at once: those that are begun are ended, or the short ones would win.

    Args:
        vector: open environments (gannet.data.environments.Vector)
        seats: E, how many they are
        choose: what to do
        seeds: of the episodes
        seed: of the choices
        most: steps after which an episode is cut off, whatever the environment says
    """
    luck = Luck(seed)
    for first in range(0, len(seeds), seats):
        some = list(seeds[first : first + seats])
        going_E = torch.arange(seats) < len(some)
        some += some[:1] * (seats - len(some))  # the last of them have company that does not count
        seen_E = vector.reset(some)
        for step in range(most):
            luck.now = [(one, step) for one in some]
            did_E = choose(seen_E, luck)
            after_E, reward_E, terminated_E, truncated_E = vector.step(did_E)
            yield Moment(first, step, going_E, seen_E, did_E, reward_E, terminated_E, truncated_E, after_E)
            going_E = going_E & ~(terminated_E | truncated_E)
            if not going_E.any():
                break
            seen_E = after_E


def played(
    play: Play,
    choose: Choose,
    seeds: Sequence[int],
    *,
    seed: int = 0,
    seats: int = SIDE_BY_SIDE,
    most: int | None = None,
    **changes: Any,
) -> list[Episode]:
    """The episodes of these seeds, in their order.

    Args:
        play: the environment
        choose: what to do
        seeds: of the environments
        seed: of the choices
        seats: environments at once
        most: steps after which an episode is cut off; without, those after which the environment does it
        changes: as for `Play.open`
    """
    most = min(filter(None, (play.limit, most)), default=MOST)
    seats = min(seats, len(seeds))
    returns_N, length_N = torch.zeros(len(seeds), dtype=torch.float64), torch.zeros(len(seeds), dtype=torch.int64)
    ended_N = torch.zeros(len(seeds), dtype=torch.bool)
    last = [""] * len(seeds)
    with contextlib.closing(play.open(seats, **changes)) as vector:
        for now in moments(vector, seats, choose, seeds, seed=seed, most=most):
            which_E = now.going_E.nonzero().flatten()
            returns_N[now.first + which_E] += now.reward_E[which_E].double()
            length_N[now.first + which_E] += 1
            ended_N[now.first + which_E] = now.terminated_E[which_E]
            for e in which_E[(now.terminated_E | now.truncated_E)[which_E]].tolist():
                last[now.first + e] = hashlib.sha256(now.after_E[e].numpy().tobytes()).hexdigest()[:16]
    each = zip(seeds, returns_N.tolist(), length_N.tolist(), ended_N.tolist(), last, strict=True)
    return [Episode(*one) for one in each]


class Window:
    """One environment that can be looked at while it is played; it is reset and stepped as gannet.data.environments.Vector is.

    Atari's vector environment shows nothing but what the net sees: a second game with the same seed and the same actions, and
    so the same chance, is played in colour beside it.

    Args:
        play: the environment
        changes: as for `Play.open`

    Attributes:
        rate: steps a second at which it is to be shown
        before, now: what a person would have seen before the last step, and sees after it (H, W, 3), bytes

    Raises:
        Wrong: for an environment that cannot draw itself, or not here.
    """

    def __init__(self, play: Play, **changes: Any):
        self.vector: Any = None
        self.beside: Any = None
        words: dict[str, Any] = {"workers": False, **changes}
        with contextlib.ExitStack() as opened:
            if play.name.startswith("ALE/"):
                self.vector = opened.enter_context(contextlib.closing(play.open(1, **words)))
                options = play.options | {"img_height": 210, "img_width": 160, "grayscale": False, "stack_num": 1}
                words["options"] = options
                self.beside = opened.enter_context(contextlib.closing(play.open(1, **words)))
                self.rate = 60 / play.frames
            else:
                with contextlib.closing(play.open(1, **words)) as plain:
                    known = plain.env.envs[0].metadata
                if "rgb_array" not in (known.get("render_modes") or ()):
                    raise Wrong(
                        f"the environment {play.name} cannot draw itself", got="no render mode rgb_array in its metadata"
                    )
                self.vector = opened.enter_context(contextlib.closing(play.open(1, render_mode="rgb_array", **words)))
                self.rate = float(known.get("render_fps") or 30)
            self.name, self.opened = play.name, opened.pop_all()

    def reset(self, seeds: Sequence[int]) -> torch.Tensor:
        """Begin anew; returns what is seen (1, ...)."""
        seen_E = self.vector.reset(seeds)
        self.before = self.now = self._frame(self.beside.reset(seeds) if self.beside is not None else None)
        return seen_E

    def step(self, did_E: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One step: what is seen, reward, terminated, truncated."""
        found = self.vector.step(did_E)
        self.before, self.now = self.now, self._frame(self.beside.step(did_E)[0] if self.beside is not None else None)
        return found

    def _frame(self, seen_E: torch.Tensor | None) -> np.ndarray:
        """What a person would see: the last picture that the game beside gave, or what the environment draws."""
        if seen_E is not None:
            return seen_E[0, -1].numpy().astype(np.uint8)
        try:
            (shown,) = self.vector.env.render()
            frame = np.asarray(shown)
        except Exception as error:
            raise Wrong(
                f"the environment {self.name} cannot draw itself here", got=f"{type(error).__name__}: {error}"
            ) from error
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise Wrong(f"what the environment {self.name} draws is no picture (H, W, 3)", got=frame.shape)
        return frame.astype(np.uint8)

    def close(self) -> None:
        """Close it."""
        self.opened.close()


def filmed(play: Play, choose: Choose, seed_of_it: int, *, seed: int = 0, **changes: Any) -> Episode:
    """An episode with what a person would have seen; the same one that `played` plays."""
    with contextlib.closing(Window(play, **changes)) as window:
        frames, returns, now = [], 0.0, None
        for now in moments(window, 1, choose, [seed_of_it], seed=seed, most=play.limit or MOST):
            frames.append(window.before)
            returns += float(now.reward_E[0])
        frames.append(window.now)
    assert now is not None
    last = hashlib.sha256(now.after_E[0].numpy().tobytes()).hexdigest()[:16]
    return Episode(seed_of_it, returns, now.step + 1, bool(now.terminated_E[0]), last, frames=np.stack(frames))


# ------------------------------------------------------------------------------------------------------ the evaluation


#: name -> (which way is better, what it says)
MEANINGS = {
    "return": ("higher", "mean sum of an episode's rewards, with a bootstrap 95 % interval"),
    "return_iqm": ("higher", "the same without the lowest and the highest quarter"),
    "return_minimum": ("higher", "the worst episode"),
    "return_maximum": ("higher", "the best one"),
    "length": ("–", "mean steps of an episode"),
    "human_normalised": (
        "higher",
        "mean return; 0 a random player and 1 a human tester as published, no-op starts (Wang et al. 2016)",
    ),
}


class Playing:
    """The evaluation of agents.

    Args:
        play: the environment that was learnt in
        episodes: behind each reported score
        watched: episodes behind the score while training
        greedy: the likeliest action is taken always, instead of being drawn
    """

    #: A return may be anything, and falls and rises while an agent learns: no number of them is a collapse.
    level = math.inf

    def __init__(self, play: Play, *, episodes: int = EPISODES, watched: int = WATCHED, greedy: bool = False):
        self.play, self.episodes, self.watched, self.greedy = play, episodes, watched, greedy

    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training, the lower the better: the mean return with a minus, on seeds of its own."""
        found = played(self.play, agent(objective, self.greedy), seeds(VALIDATION, self.watched))
        return {"minus_return": -mean(found), "length": float(np.mean([one.length for one in found]))}

    def regimes(self) -> dict[str, dict[str, Any]]:
        """In which ways it is played: suffix of the scores' names -> what `Play.open` is told. Of Atari sticky and not."""
        if self.play.name.startswith("ALE/"):
            return {f"_sticky{chance:g}": {"sticky": chance} for chance in STICKY}
        return {"": {}}

    def judge(
        self,
        objective: Any,
        *,
        wish: str = "auto",
        full: bool = False,
        seed: int = 0,
        greedy: bool | None = None,
        episodes: int | None = None,
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Every score on held-out seeds, of agent, chance and the best single action; and their returns as a picture.

        Args:
            objective: whose net is judged
            wish: auto; no feature net is asked
            full: nothing more can be measured here
            seed: other environments and other choices
            greedy: take the likeliest action always; without, as the evaluation was made
            episodes: of each policy; without, as the evaluation was made

        Raises:
            Wrong: for other features, for `full`, and for fewer than one episode.
        """
        no_wishes("an agent is judged by playing alone", wish, full)
        likeliest = self.greedy if greedy is None else greedy
        held_out = judged_on(self.episodes if episodes is None else episodes, seed)
        scores: dict[str, dict[str, Any]] = {}
        told: dict[str, dict[str, Any]] = {}
        notes: list[str] = []
        for suffix, changes in self.regimes().items():
            still, action = self.best_constant(changes, seed)
            policies = {
                "agent": agent(objective, likeliest),
                "random": at_random(self.play),
                f"always {still}": always(action),
            }
            cut = {name: STILL if name.startswith("always") else None for name in policies}
            found = {
                name: played(self.play, choose, held_out, seed=seed, most=cut[name], **changes)
                for name, choose in policies.items()
            }
            scores |= self.beside(found, suffix, seed)
            told[suffix.strip("_")] = {
                name: {"returns": [one.returns for one in some], "lengths": [one.length for one in some]}
                for name, some in found.items()
            }
            notes.append(f"{suffix.strip('_')}: constant is always {still}".removeprefix(": "))
            different = len({(one.returns, one.length, one.last) for one in found["agent"]})
            if different == 1 < len(held_out):
                notes.append("all its episodes are equal: game and policy leave nothing to chance, so this is one game")
            elif different < len(held_out):
                notes.append(f"only {different} of its episodes differ: intervals count {len(held_out)}, and are too narrow")
        steps = sum(sum(part["agent"]["lengths"]) for part in told.values())
        frames = f" ({steps * self.play.frames:,} frames)" if self.play.frames > 1 else ""
        how = "its actions are drawn as it says, not its likeliest ones"
        if likeliest:
            how = "its likeliest action is taken always"
        elif not getattr(objective, "lots", True):
            how = "what it holds for best is done always"
        played_on = f"{len(held_out)} episodes of each policy on the same held-out seeds, {held_out[0]} to {held_out[-1]}"
        report = {
            "scores": scores,
            "columns": ["agent", "random", "constant"],
            "returns": told,
            "greedy": likeliest,
            "about": f"{self.play.name}: {played_on}, on which nothing was learnt or chosen; {steps:,} steps of the "
            f"agent{frames}; {how}. Rewards as the game gives them. [low, high]: bootstrap 95 % intervals over episodes; they "
            "say nothing of other training seeds. "
            f"{'; '.join(notes)} (the best single action on {TRIALS} other episodes).",
            "picture": "Returns of the agent's episodes, of a random policy's and of the best single action's.",
        }
        return report, drawn(told)

    def best_constant(self, changes: dict[str, Any], seed: int) -> tuple[str, torch.Tensor]:
        """The single action that does best on a few episodes of other seeds: its name, and it."""
        tried = constants(self.play)
        few = seeds(VALIDATION, TRIALS, seed)
        scored = {
            name: mean(played(self.play, always(did), few, seed=seed, most=STILL, **changes)) for name, did in tried.items()
        }
        best = max(scored, key=lambda name: scored[name])
        return best, tried[best]

    def beside(self, found: dict[str, list[Episode]], suffix: str, seed: int) -> dict[str, dict[str, Any]]:
        """Scores of the first policy's episodes, those of the others in the further columns.

        Returns:
            name + suffix -> a Score's fields, "interval" [low, high] or None, and "also": [of the third column, …].
        """
        every = [self.summary(some) for some in found.values()]
        scores: dict[str, dict[str, Any]] = {}
        first = next(iter(found.values()))
        statistics = {"return": np.mean, "return_iqm": iqm}
        for name in every[0]:
            value, floor, *also = (one[name] for one in every)
            score = Score(value, None, floor, *MEANINGS[name], len(first))
            interval = None
            if name in statistics and len(first) >= FEWEST:
                interval = list(bootstrap([one.returns for one in first], statistics[name], seed))
            scores[name + suffix] = asdict(score) | {"interval": interval, "also": also}
        return scores

    def summary(self, found: list[Episode]) -> dict[str, float]:
        """Each score of one policy's episodes."""
        returns_N = np.array([one.returns for one in found])
        scores = {
            "return": float(returns_N.mean()),
            "return_iqm": float(iqm(returns_N)),
            "return_minimum": float(returns_N.min()),
            "return_maximum": float(returns_N.max()),
            "length": float(np.mean([one.length for one in found])),
        }
        share = human_normalised(self.play.name, scores["return"]) if self.play.name.startswith("ALE/") else None
        return scores | ({} if share is None else {"human_normalised": share})


def seeds(first: int, n: int, seed: int = 0) -> list[int]:
    """Seeds of n environments of a kind: HELD_OUT, VALIDATION or SHOWN."""
    return [first + (1_000 * seed + k) % 190_000 for k in range(n)]


def judged_on(n: int, seed: int) -> list[int]:
    """Seeds of the n held-out episodes that a report is of.

    Raises:
        Wrong: for fewer than one.
    """
    if n < 1:
        raise Wrong("an agent is judged by one episode at least", got=f"--episodes {n}", try_="--episodes 100", usage=True)
    return seeds(HELD_OUT, n, seed)


def mean(found: Sequence[Episode]) -> float:
    """Mean return."""
    return float(np.mean([one.returns for one in found]))


def drawn(told: dict[str, dict[str, Any]]) -> np.ndarray:
    """Histograms of returns, a panel for each regime, as one picture (H, W, 3), bytes.

    Args:
        told: regime -> policy -> {"returns": of its episodes}
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(6.4, 2.6 * len(told) + 0.8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(told), squeeze=False)[:, 0]
    for axes, (regime, policies) in zip(panels, told.items(), strict=True):
        every = [value for policy in policies.values() for value in policy["returns"]]
        low, high = min(every), max(every)
        edges = np.linspace(low, high, 31) if high > low else np.array([low - 0.5, low + 0.5])
        for name, policy in policies.items():
            bars = axes.hist(policy["returns"], bins=edges, alpha=0.6, label=name)[2]
            axes.axvline(iqm(policy["returns"]), color=bars[0].get_facecolor(), linewidth=1.5, alpha=1)
        axes.set_title(regime.replace("sticky", "sticky actions "), fontsize=9)
        axes.set_ylabel("episodes")
        axes.legend(frameon=False, fontsize=8)
    panels[-1].set_xlabel("return; lines: interquartile means")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))
