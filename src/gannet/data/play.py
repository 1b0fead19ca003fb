"""An environment is a data set that the policy writes: what it is, and playing it.

`Play` is a description: a run folder is loaded without Gymnasium and without an environment. `Live` plays it for one training:
a rollout of T steps in E environments for each step of the loop, handed out in minibatches for some epochs.

How an episode ends is kept apart: *terminated*, nothing comes after, or *truncated*, it was only cut off. Where one has ended,
the next step resets and nothing else (Gymnasium's autoreset mode NEXT_STEP, everywhere): its action is ignored and its sample
does not count. So what is seen after an ended step is the true last observation.

Resume is exact, bit for bit, where an environment repeats itself: the same seed and the same actions lead to the same
observations (preflight looks whether it does). Environments begin anew every `restart` rollouts, from seeds that are functions
of (seed, step, number of the environment), which counts as a truncation; the actions since then are part of every checkpoint,
and a resumed run plays them again. It is not exact where an environment draws chance that its seed does not set, looks at a
clock, or simulates in several threads that race.

Shapes: T steps, E environments, A numbers of an action.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from gannet.data import ledger
from gannet.errors import Wrong
from gannet.rng import Rng, number

if TYPE_CHECKING:
    from gannet.data.environments import Vector

KEPT = 2**20  # environments' seeds below it are for judging, and nobody learns from them
PATIENCE = 5.0  # seconds after which a resume says what it is at
OPTIONS = """--options '{"is_slippery": false}'"""
SPAN = 4096  # steps of each environment between two restarts, about


class Rollout(NamedTuple):
    """T steps of E environments.

    Attributes:
        seen_TE: observations (T + 1, E, ...), before each step and after the last; uint8 pixels or float32
        did_TE: actions (T, E) int64, or (T, E, A) float32
        kept: what `act` returned beside the action, each (T, E, ...)
        reward_TE: float32, as the environment gave it
        terminated_TE: the episode ended with this step, and nothing comes after; or a life did, where `lives` says so
        truncated_TE: it was cut off here
        counts_TE: False where the environment was only being reset and the action ignored
    """

    seen_TE: torch.Tensor
    did_TE: torch.Tensor
    kept: dict[str, torch.Tensor]
    reward_TE: torch.Tensor
    terminated_TE: torch.Tensor
    truncated_TE: torch.Tensor
    counts_TE: torch.Tensor


class Play:
    """An environment and how it is played, without anything open.

    Args:
        facts: as `load` finds them and recipe.json keeps them

    Attributes:
        name, options: of the environment
        seen: shape of an observation: (C, H, W) where `bytes`, the stacked frames, the newest last; else (D, …)
        bytes: uint8 pixels; else float32
        stacked: these are frames, one after another; else planes of whatever kind, as the environment gives them
        actions: number of actions to choose from, or None
        box: how many numbers a continuous action has, or None; -1 to 1 is what the environment allows
        environments, steps: E and T of a rollout; `batch` of the recipe is E · T
        epochs, minibatches: how often a rollout is gone through, and in how many parts
        restart: rollouts after which environments begin anew
        lives: a lost life ends what is learnt, though the game goes on
        frames: of a game that one step plays
        limit: steps after which the environment cuts an episode off, or None
        about: {"mean", "variance"} of each number of an observation under random actions; empty for pixels
        meanings: what the actions are called, or empty
    """

    def __init__(self, facts: dict[str, Any]):
        self._facts = facts
        self.name: str = facts["name"]
        self.options: dict[str, Any] = facts["options"]
        self.seen: tuple[int, ...] = tuple(facts["shape"])
        self.bytes: bool = facts["bytes"]
        self.actions: int | None = facts["actions"]
        self.box: int | None = facts["box"]
        self.stacked: bool = self.bytes and facts.get("stacked", True)
        self.frames: int = facts["frames"]
        self.limit: int | None = facts["limit"]
        self.meanings: list[str] = facts["meanings"]
        self.about: dict[str, list[float]] = facts["more"].get("about", {})
        played = facts["played"]
        self.environments: int = played["environments"]
        self.steps: int = played["steps"]
        self.epochs: int = played["epochs"]
        self.minibatches: int = played["minibatches"]
        self.restart: int = played["restart"]
        self.lives: bool = played.get("lives", False)  # not said where it is not so: older runs are the same data

    @property
    def called(self) -> str:
        """What was played, as a recording says it: the name, and those of its options that are one word, as a road's."""
        told = [f"{key}={value}" for key, value in self.options.items() if not isinstance(value, dict)]
        return self.name + (f"({', '.join(told)})" if told else "")

    @property
    def sliding(self) -> bool:
        """Whether what is seen is always the last frames, each as it was when it was newest, and black before the first: so
        ale-py stacks them, and others may not."""
        return self.bytes and self.name.startswith("ALE/")

    def facts(self) -> dict[str, Any]:
        """What is known of it (JSON values)."""
        return self._facts

    @property
    def few(self) -> int:
        """Agent steps of a small rollout, for trying things: sixteen or more in each minibatch."""
        return self.environments * self.minibatches * -(-16 // self.environments)

    def open(self, count: int, *, render_mode: str | None = None, **changes: Any) -> Vector:
        """`count` environments, ready to be reset.

        Args:
            count: of them
            render_mode: "rgb_array" where they shall be filmed
            changes: of what `load` was told: sticky, workers, options
        """
        from gannet.data.environments import Vector

        opened = self._facts["opened"] | {"options": self.options} | changes
        return Vector(self.name, opened.pop("options"), count, render_mode=render_mode, **opened)

    def played_by(self, objective: Any, seed: int, start: int = 0) -> Live:
        """Environments of one's own to train an objective in, from step `start` on; to be closed."""
        return Live(self, objective, seed, start)


def options_of(options: dict[str, Any] | str | None) -> dict[str, Any]:
    """Keyword arguments, of JSON where they are a text."""
    if not isinstance(options, str):
        return options or {}
    try:
        told = json.loads(options)
    except json.JSONDecodeError as error:
        raise Wrong(f"options are no JSON: {error}", got=options, try_=OPTIONS, usage=True) from error
    if not isinstance(told, dict):
        raise Wrong("options are not names with values", got=options, try_=OPTIONS, usage=True)
    return told


def _span(known: dict[str, Any]) -> int:
    """Steps between two restarts: longer than episodes are, where it is known how long they may be; but no game of Atari's that
    is being learnt lasts its half hour."""
    return SPAN if known["frames"] > 1 else max(SPAN, 2 * (known["limit"] or 0))


def atari(game: str) -> str:
    """The id of ale-py's game of this name, as space_invaders."""
    return "ALE/" + "".join(word[:1].upper() + word[1:] for word in game.split("_")) + "-v5"


def load(
    name: str,
    *,
    environments: int = 8,
    steps: int = 128,
    epochs: int = 4,
    minibatches: int = 4,
    options: dict[str, Any] | str | None = None,
    pixels: int = 84,
    stack: int = 4,
    sticky: float = 0.25,
    workers: bool = False,
    restart: int | None = None,
    lives: bool = False,
) -> Play:
    """An environment to learn in; one of it is opened to see what it is.

    Args:
        name: an id of Gymnasium's (CartPole-v1, ALE/Pong-v5, highway-fast-v0), or package.module:EnvClass of one's own
        environments, steps: E and T of a rollout
        epochs, minibatches: how often a rollout is gone through, and in how many parts; T is a multiple of these
        options: keyword arguments for the environment, or these as JSON: '{"is_slippery": false}'
        pixels: of a side of a picture, at most; pictures become grey
        stack: pictures that are seen at once
        sticky: of Atari games: chance that an action is repeated (Machado et al. 2018, arXiv 1709.06009)
        workers: each environment in a process of its own: for slow ones
        restart: rollouts after which environments begin anew; without, after about 4,096 steps of each, or twice as many as
            an episode may have. Longer than episodes are; a resume plays again what was played since
        lives: a lost life is learnt from as the end of an episode, for it is one for whoever would rather not lose it: the
            game itself, its returns and its resets are as they were (Mnih et al. 2015, Methods: a loss of life ends an episode
            in training)

    Raises:
        Wrong: for an unknown name, with the nearest; for what Gymnasium's checker finds wrong with one's own; for actions that
            are neither Discrete nor Box; for what is not installed.
    """
    if restart is not None and restart < 1:
        raise Wrong("environments begin anew after one rollout or more", got=restart, try_="--restart 32", usage=True)
    if min(environments, steps, epochs, minibatches) < 1 or steps % minibatches:
        got = f"{environments} environments, {steps} steps, {epochs} epochs, {minibatches} minibatches"
        raise Wrong("steps must be a multiple of minibatches, and all of them at least 1", got=got, usage=True)

    name, told = name.removeprefix("ale_py:"), options_of(options)

    def look() -> Play:
        from gannet.data import environments as places

        opened = {"pixels": pixels, "stack": stack, "sticky": sticky, "workers": workers}
        known = places.look(name, told, **(opened | {"workers": False}))
        about = known.pop("about", None)
        played = {"environments": environments, "steps": steps, "epochs": epochs, "minibatches": minibatches}
        played["restart"] = restart or max(1, round(_span(known) / steps))
        facts = {
            "kind": "play",
            "name": name,
            "split": "train",
            "classes": [],
            **known,
            "options": told,
            "opened": opened,
            "played": played | ({"lives": True} if lives else {}),
            "prepared": _prepared(known),
            "licence": "the environment's own",
            "source": "played",
            "more": {} if about is None else {"about": about},
        }
        return Play(facts)

    return ledger().open(f"{name}/train", look, Play)


def _prepared(known: dict[str, Any]) -> str:
    if known["bytes"]:
        return f"{known['shape'][0]} grey frames of {known['shape'][1]}×{known['shape'][2]} bytes, the newest last"
    return f"{' × '.join(map(str, known['shape']))} numbers, less their running mean, over their running deviation"


class Past:
    """What environments have done since they last began anew, so that a resumed run can do it again.

    Attributes:
        did_RE: actions (R, E, …), int16 or float32, of which the first `rows` mean something
        at: [step in which they began anew, step that comes next, rows]; -1 where they have not begun
    """

    def __init__(self, play: Play):
        size, shape = play.restart * play.steps, () if play.box is None else (play.box,)
        kind = torch.int16 if play.box is None else torch.float32
        self.did_RE = torch.zeros(size, play.environments, *shape, dtype=kind)
        self.at = torch.tensor([-1, -1, 0])

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors, to be restored in place."""
        return {"past.did": self.did_RE, "past.at": self.at}

    def room(self, rows: int) -> None:
        """Have room for so many steps at least, whatever was remembered."""
        if rows > len(self.did_RE):
            self.did_RE = self.did_RE.new_zeros(rows, *self.did_RE.shape[1:])

    def begin(self, step: int) -> None:
        """Forget everything: the environments begin anew in this step."""
        self.at.copy_(torch.tensor([step, step, 0]))

    def add(self, did_TE: torch.Tensor) -> None:
        """The actions of one more rollout, of all processes' environments."""
        _, following, rows = self.at.tolist()
        self.did_RE[rows : rows + len(did_TE)] = did_TE.to(self.did_RE.dtype)
        self.at[1], self.at[2] = following + 1, rows + len(did_TE)


class Live:
    """A description that is played. It opens its environments when the first rollout is asked for.

    Args:
        play: the description
        objective: acts, prepares and remembers: `act(seen_E, rng)`, `prepare(rollout, rng)`, `past`, `heard(episodes)`
        seed: of the run
        start: the step that comes first
    """

    def __init__(self, play: Play, objective: Any, seed: int, start: int):
        self.play, self.objective, self.seed = play, objective, seed
        self.vector: Vector | None = None
        self.step = start - 1  # whose rollout was played last, if there is an open environment
        self.samples: Any = None
        self.length = 0  # of the newest rollout
        self.served: dict[str, int] = {}

    def batch(self, n: int, rng: Rng) -> Any:
        """The next minibatch of the rollout of the rng's step, in which this process's environments play n steps in all.

        Every epoch goes through the steps of each environment in an order of its own, which is a function of (seed, step,
        epoch, number of the environment): so every minibatch has as many steps of each, whatever the number of processes.

        Where the objective remembers, earlier rollouts lie behind the newest, and an epoch has as many more minibatches.

        Returns:
            what `objective.prepare` made of it, each part (n / minibatches, ...).
        """
        if self.samples is None or rng.step != self.step:
            rollout = self.rollout(n, rng)
            self.length, self.samples = len(rollout.did_TE), self.objective.prepare(rollout, rng)
            self.served = {}
        player = rng.stream.partition(".")[0]
        turn = self.served[player] = self.served.get(player, -1) + 1
        size = self.length // self.play.minibatches
        epoch, part = divmod(turn, len(self.samples[0]) // size)
        order_TE = self.order(rng, player, epoch)
        return taken(self.samples, order_TE[part * size : (part + 1) * size])

    def order(self, rng: Rng, player: str, epoch: int) -> torch.Tensor:
        """In which order an epoch goes through the steps of each environment of this process (T, E)."""
        first, own = self.mine(rng)
        length = len(self.samples[0])
        orders = []
        for index in range(first, first + own):
            chance = torch.Generator().manual_seed(number(rng.seed, rng.step, player, "epoch", epoch, index))
            orders.append(torch.randperm(length, generator=chance))
        return torch.stack(orders, 1)

    def mine(self, rng: Rng) -> tuple[int, int]:
        """Number of this process's first environment, and how many it has."""
        own, rest = divmod(self.play.environments, rng.world)
        if rest:
            got = f"{self.play.environments} environments, {rng.world} processes"
            raise Wrong("environments cannot be shared evenly by the processes", got=got)
        return rng.rank * own, own

    def rollout(self, n: int, rng: Rng) -> Rollout:
        """Play n agent steps in all, from where the environments stand."""
        _, own = self.mine(rng)
        length, rest = divmod(n, own)
        if rest or length < 1 or length % self.play.minibatches:
            got = f"{n} steps of {own} environments in {self.play.minibatches} minibatches"
            raise Wrong("a rollout cannot be shared evenly by environments and minibatches", got=got)
        self.stand(length, rng)
        rows: dict[str, list[torch.Tensor]] = {}
        seen, dids, rewards, terminated, truncated, counts = [self.seen_E], [], [], [], [], []
        for t in range(length):
            did_E, kept = self.objective.act(self.seen_E, Rng(rng.seed, rng.step, f"act.{t}", rng.rank, rng.world))
            counts.append(~self.ended_E)
            reward_E, terminated_E, truncated_E = self.advance(did_E)
            for name, value_E in kept.items():
                rows.setdefault(name, []).append(value_E)
            seen.append(self.seen_E)
            dids.append(did_E)
            rewards.append(reward_E)
            if self.play.lives and self.vector is not None:
                terminated_E = terminated_E | (self.vector.lost_E & counts[-1])
            terminated.append(terminated_E)
            truncated.append(truncated_E)
        self.step = rng.step
        did_TE = torch.stack(dids)
        self.objective.past.add(gathered(did_TE, rng))
        self.objective.heard(_everybodys(self.episodes, rng))
        self.episodes = []
        kept = {name: torch.stack(values) for name, values in rows.items()}
        return Rollout(torch.stack(seen), did_TE, kept, *map(torch.stack, (rewards, terminated, truncated, counts)))

    def stand(self, length: int, rng: Rng) -> None:
        """Bring the environments to where this step begins: they stand there, begin anew, or play again what is remembered."""
        past = self.objective.past
        first, own = self.mine(rng)
        began, following, rows = past.at.tolist()
        anew = following != rng.step or rng.step % self.play.restart == 0 or rows + length > len(past.did_RE)
        standing = self.vector is not None and self.step == rng.step - 1
        if self.vector is None:
            self.vector = self.play.open(own)
        if anew:
            past.begin(rng.step)
            self.objective.discounted_E.zero_()  # of episodes that will not go on
            began, rows = rng.step, 0
        elif standing:
            return
        seeds = [training_seed(rng.seed, began, index) for index in range(first, first + own)]
        self.seen_E = self.vector.reset(seeds)
        self.ended_E = torch.zeros(own, dtype=torch.bool)
        self.return_E, self.length_E = torch.zeros(own, dtype=torch.float64), torch.zeros(own, dtype=torch.int64)
        self.episodes: list[tuple[float, int]] = []
        since, said = time.monotonic(), rng.rank > 0
        for row, did_E in enumerate(past.did_RE[:rows, first : first + own]):
            self.advance(did_E.long() if self.play.box is None else did_E)
            if not said and time.monotonic() - since > PATIENCE:
                said = True
                print(f"{self.play.name}: plays {rows - row - 1:,} more steps of each environment again", file=sys.stderr)
        self.episodes = []  # they were heard of when they were first played

    def advance(self, did_E: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One step of each environment: reward, terminated and truncated (E,)."""
        assert self.vector is not None
        counts_E = ~self.ended_E
        self.seen_E, reward_E, terminated_E, truncated_E = self.vector.step(did_E)
        self.return_E += reward_E * counts_E
        self.length_E += counts_E
        self.ended_E = terminated_E | truncated_E
        for index in self.ended_E.nonzero().flatten().tolist():
            self.episodes.append((float(self.return_E[index]), int(self.length_E[index])))
            self.return_E[index], self.length_E[index] = 0, 0
        return reward_E, terminated_E, truncated_E

    def close(self) -> None:
        """Close the environments."""
        if self.vector is not None:
            self.vector.close()
            self.vector = None


class Trial:
    """Minibatches of a policy that stays as it is, for looking at them: environments begin anew for each, so that it is a
    function of the rng's seed and step alone.

    Args:
        play: the description
        objective: copied, so that it learns nothing of what was seen
    """

    def __init__(self, play: Play, objective: Any):
        self.objective, self.live = objective, Live(play, objective, 0, 0)

    def batch(self, n: int, rng: Rng) -> Any:
        """n samples as `objective.prepare` makes them, out of a rollout that is as short as can be."""
        rollout = self.rollout(n, rng)
        samples = self.live.objective.prepare(rollout, rng)
        chance = torch.Generator().manual_seed(number(rng.seed, rng.step, "trial"))
        some_N = torch.randperm(rollout.counts_TE.numel(), generator=chance)[:n]
        return type(samples)(*(part.flatten(0, 1)[some_N] for part in samples))

    def rollout(self, n: int, rng: Rng) -> Rollout:
        """The rollout itself: n steps in all, or a few more."""
        self.live.objective = copy.deepcopy(self.objective)
        self.live.objective.past.at.fill_(-1)
        least = self.live.play.environments * self.live.play.minibatches
        n = least * -(-n // least)
        self.live.objective.past.room(n // self.live.play.environments)
        return self.live.rollout(n, rng)

    def close(self) -> None:
        """Close its environments."""
        self.live.close()


def training_seed(*parts: int) -> int:
    """The seed of an environment that is learnt in, below 2³¹: never below KEPT, so that what is judged on is held out."""
    return KEPT + number(*parts[:-1], "environment", parts[-1]) % (2**31 - KEPT)


def taken(samples: Any, order_SE: torch.Tensor) -> Any:
    """Some steps of each environment out of samples (T, E, ...), one row under another (S · E, ...).

    By number of the row: whole rows are copied at once, where indexing by step and environment took five times as long.
    """
    across = torch.arange(order_SE.shape[1])
    rows = (order_SE * order_SE.shape[1] + across).flatten()
    return type(samples)(*(part.flatten(0, 1).index_select(0, rows) for part in samples))


def gathered(part_TE: torch.Tensor, rng: Rng) -> torch.Tensor:
    """A tensor (T, E, ...) of all processes' environments, from each one's own (T, E / processes, ...)."""
    if rng.world == 1:
        return part_TE
    import torch.distributed as dist

    if part_TE.dtype == torch.bool:  # which not every backend sends
        return gathered(part_TE.to(torch.uint8), rng).bool()
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else part_TE.device
    mine = part_TE.to(device).contiguous()
    parts = [torch.empty_like(mine) for _ in range(rng.world)]
    dist.all_gather(parts, mine)
    return torch.cat(parts, 1).to(part_TE.device)


def _everybodys(mine: list[tuple[float, int]], rng: Rng) -> list[tuple[float, int]]:
    """The episodes that ended on any process."""
    if rng.world == 1:
        return mine
    import torch.distributed as dist

    told: list[Any] = [None] * rng.world
    dist.all_gather_object(told, mine)
    return [episode for part in told for episode in part]
