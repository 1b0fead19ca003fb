"""What a driver is worth: collisions, speed, distance, standing about, return and the time of a decision, with intervals.

All are measured on roads that nobody learnt on: seed 10000 and up, one for each episode, the same for every driver.
Shapes: N episodes, D decisions.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch

from gannet.data import driving
from gannet.data.driving import Episode
from gannet.errors import Wrong
from gannet.evaluation.classes import wilson
from gannet.evaluation.images import Score, no_wishes
from gannet.evaluation.play import VALIDATION, bootstrap, iqm, judged_on

DEADLINE = 0.020  # seconds: 50 decisions a second
WATCHED = {"highway": 8, "merge": 8, "roundabout": 8, "intersection": 8, "racetrack": 2, "car-racing": 2}  # episodes of that


class Driver(Protocol):
    """Whoever drives.

    Attributes:
        name: in a table
    """

    name: str

    def begin(self, environment: Any, seed: int) -> None:
        """An episode begins; the environment has been reset."""
        ...

    def act(self, seen: np.ndarray, environment: Any) -> Any:
        """The action."""
        ...


class Random:
    """Any action, each as likely; actions are drawn from the episode's seed."""

    name = "random"

    def begin(self, environment: Any, seed: int) -> None:
        self.lot = np.random.default_rng(seed)

    def act(self, seen: np.ndarray, environment: Any) -> Any:
        space: Any = environment.action_space
        if hasattr(space, "n"):
            return int(self.lot.integers(space.n))
        return self.lot.uniform(space.low, space.high).astype(np.float32)


class Constant:
    """The same action all the way.

    Args:
        name: what it is called
        action: the action
    """

    def __init__(self, name: str, action: Any):
        self.name, self.action = name, action

    def begin(self, environment: Any, seed: int) -> None:
        pass

    def act(self, seen: np.ndarray, environment: Any) -> Any:
        return self.action


class Rules(Constant):
    """highway-env's rule-based driver (`data.roads.rule_based`) has the car; what is said to it, it does not hear."""

    def __init__(self, idle: Any):
        super().__init__("rules", idle)

    def begin(self, environment: Any, seed: int) -> None:
        environment.get_wrapper_attr("take_the_wheel")()


class Net:
    """A trained objective: what it holds for best, at batch 1.

    Args:
        objective: has `best(seen_E)`: actions (E,) or (E, A)
        name: in a table
    """

    def __init__(self, objective: Any, name: str = "net"):
        self.objective, self.name = objective, name

    def begin(self, environment: Any, seed: int) -> None:
        pass

    def act(self, seen: np.ndarray, environment: Any) -> Any:
        did = self.objective.best(torch.from_numpy(seen)[None])[0]
        return did.numpy() if did.ndim else int(did)


def baselines(name: str) -> list[Driver]:
    """Drivers that have learnt nothing: random, one for each action, and the rules where there are any."""
    if name == "racetrack":
        steers = {"left": -1.0, "idle": 0.0, "right": 1.0}
        always: list[Driver] = [Constant(key, np.full(1, value, np.float32)) for key, value in steers.items()]
    elif name == "car-racing":
        always = [Constant(key, i) for i, key in enumerate(driving.RACING)]
    else:
        from highway_env.envs.common.action import DiscreteMetaAction

        lateral = driving.find(name).config["action"].get("lateral", True)
        actions = DiscreteMetaAction.ACTIONS_ALL if lateral else DiscreteMetaAction.ACTIONS_LONGI
        always = [Constant(key.lower().replace("lane_", ""), i) for i, key in actions.items()]
    idle = next(driver for driver in always if driver.name == "idle")
    always.remove(idle)
    rules: list[Driver] = [] if name == "car-racing" else [Rules(idle.act(np.empty(0), None))]
    return [Random(), idle, *always, *rules]


def play(
    environment: Any,
    driver: Driver,
    seeds: Sequence[int],
    *,
    delay: int = 0,
    each: Callable[[Episode], None] | None = None,
) -> tuple[list[Episode], np.ndarray]:
    """Episodes driven (N), and the seconds that each decision took (D), with what was done to the picture before.

    Args:
        environment: from `data.roads.make`
        driver: who drives
        seeds: of the episodes
        delay: decisions are made on what was seen so many decisions ago; on the first picture, where there was none
        each: called with every episode that is finished
    """
    if delay < 0:
        raise Wrong("a delay is 0 or more", got=delay, usage=True)
    episodes: list[Episode] = []
    took: list[float] = []
    with one_thread():
        for seed in seeds:
            seen, _ = environment.reset(seed=seed)
            driver.begin(environment, seed)
            before, done = deque([seen] * (delay + 1), maxlen=delay + 1), False
            while not done:
                began = time.perf_counter()
                action = driver.act(before[0], environment)
                took.append(time.perf_counter() - began + environment.get_wrapper_attr("took"))
                seen, _, terminated, truncated, info = environment.step(action)
                before.append(seen)
                done = terminated or truncated
            episodes.append(Episode(**info["episode_driven"]))  # type: ignore[possibly-unbound]
            if each is not None:
                each(episodes[-1])
    return episodes, np.array(took)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """torch computes on one thread inside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Measured:
    """A number and its 95 % interval: Wilson's for shares of episodes, else from resampling the episodes."""

    value: float
    low: float
    high: float


#: name -> (which way is better, what it says)
MEANINGS = {
    "collided": ("lower", "share of the episodes that ended in a collision"),
    "arrived": ("higher", "share of the episodes that came to their end, past the crossing or round the track"),
    "off_road": ("lower", "share of the time beside the road"),
    "speed": ("higher", "mean speed, m/s"),
    "distance": ("higher", "metres driven, per episode"),
    "froze": ("lower", "share of the time at less than 1 m/s"),
    "total": ("higher", "return, undiscounted"),
    "total_iqm": ("higher", "its interquartile mean: without the lowest and the highest quarter of the episodes"),
    "length": ("higher", "decisions, per episode"),
}


def measured(episodes: Sequence[Episode], *, seed: int = 0) -> dict[str, Measured]:
    """What the episodes were, on average: the names of `MEANINGS`; without `arrived` where there is nowhere to arrive."""
    found = {}
    for name in MEANINGS:
        values = [getattr(episode, name.removesuffix("_iqm")) for episode in episodes]
        if None in values:
            continue
        shares, middle = name in ("collided", "arrived"), iqm if name.endswith("_iqm") else np.mean
        low, high = wilson(sum(values), len(values)) if shares else bootstrap(values, middle, seed)
        found[name] = Measured(float(middle(values)), low, high)
    return found


def decision_time(took_D: np.ndarray, deadline: float = DEADLINE) -> dict[str, float]:
    """Of the seconds that decisions took: median, 99th percentile and longest in milliseconds, and the share too late.

    The first ten are left out: they pay for memory that is had from then on.
    """
    took_D = took_D[10:] if len(took_D) > 20 else took_D
    p50, p99 = np.percentile(took_D, [50, 99])
    late = float((took_D > deadline).mean())
    return {"p50": 1e3 * p50, "p99": 1e3 * p99, "max": 1e3 * float(took_D.max()), "late": late, "n": len(took_D)}


class Driving:
    """The evaluation of nets that drive.

    Args:
        road, eyes: as for `data.roads.make`
        episodes: behind a reported score
    """

    level = math.inf  # returns have no natural zero: a bad one is no collapse

    def __init__(self, road: str, eyes: str, *, episodes: int = 100):
        self.road, self.eyes, self.episodes = road, eyes, episodes

    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training: less the mean return of a few episodes that are neither learnt from nor judged."""
        from gannet.data.roads import make

        environment = make(self.road, self.eyes)
        try:
            seeds = range(VALIDATION, VALIDATION + WATCHED[self.road])
            episodes, _ = play(environment, Net(objective), seeds)
        finally:
            environment.close()
        return {"minus_return": -float(np.mean([episode.total for episode in episodes]))}

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
        """Every score on held-out seeds, beside whoever has learnt nothing: idle, random, and the rules where there are any;
        and the episodes' returns as a picture.

        Args:
            objective: whose net is judged
            wish: auto; no feature net is asked
            full: with a delay of one decision too
            seed: moves the held-out seeds on by a thousand each
            greedy: the likeliest action is taken in any case
            episodes: of each driver; without, as the evaluation was made

        Raises:
            Wrong: for other features, and for fewer than one episode.
        """
        no_wishes("a driver is judged by driving alone", wish, False)
        seeds = judged_on(self.episodes if episodes is None else episodes, seed)
        from gannet.data.roads import make

        environment = make(self.road, self.eyes)
        try:
            mine, took = play(environment, Net(objective), seeds)
            untaught = {driver.name: driver for driver in baselines(self.road)}
            others = {
                name: play(environment, untaught[name], seeds)[0] for name in ("idle", "random", "rules") if name in untaught
            }
            late = play(environment, Net(objective), seeds, delay=1)[0] if full else None
        finally:
            environment.close()
        found, besides = measured(mine, seed=seed), [measured(some) for some in others.values()]
        times = decision_time(took)
        scores: dict[str, dict[str, Any]] = {}
        for name, one in found.items():
            floor, *also = (some[name].value for some in besides)
            score = Score(one.value, None, floor, *MEANINGS[name], len(mine))
            scores[name] = asdict(score) | {"interval": [one.low, one.high], "also": also}
        meaning = "99th percentile of the time of a decision in ms, with what is done to the picture; beside: its median"
        score = Score(times["p99"], None, times["p50"], "lower", meaning, int(times["n"]))
        scores["decision_ms"] = asdict(score) | {"also": [None] * (len(others) - 1)}
        report: dict[str, Any] = {
            "scores": scores,
            "columns": ["net", *others],
            "decision": times,
            "about": f"{self.road} ({self.eyes}), {len(mine)} episodes on seeds {seeds[0]} to {seeds[-1]}, none of "
            "which was learnt from; the likeliest action is taken. Decisions on one thread at batch 1: "
            f"{100 * times['late']:.2f} % took longer than {1e3 * DEADLINE:.0f} ms.",
            "picture": "The episodes' returns, the worst first: of the net, and of the idle driver in grey.",
        }
        if late is not None:
            report["delayed"] = behind = told(late)
            report["about"] += (
                f" With every decision made on what was seen one before: return {behind['total']['value']:.1f}, "
                f"{behind['collided']['value']:.0%} collided."
            )
        return report, drawn([one.total for one in mine], [one.total for one in others["idle"]])


def drawn(mine: Sequence[float], others: Sequence[float]) -> np.ndarray:
    """Returns in order, as a picture (H, W, 3) of bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="episodes, the worst first", ylabel="return")
    axes.plot(sorted(others), color="0.6", label="idle")
    axes.plot(sorted(mine), color="black", label="net")
    axes.legend(frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Drivers as a Markdown table.

    Args:
        rows: name -> {name of `MEANINGS`: {"value", "low", "high"}}
    """
    columns = [name for name in MEANINGS if any(name in row for row in rows.values())]
    shares = {"collided", "arrived", "off_road", "froze"}
    called = {"total": "return", "total_iqm": "return, its iqm"}
    heads = {name: called.get(name, name.replace("_", " ")) + (" %" if name in shares else "") for name in columns}

    def cell(name: str, found: dict[str, float]) -> str:
        times, digits = (100, 0) if name in shares else (1, 0 if abs(found["value"]) >= 100 else 1)
        value, low, high = (f"{times * found[key]:,.{digits}f}" for key in ("value", "low", "high"))
        return f"{value} ({low}–{high})"

    lines = ["| driver | " + " | ".join(heads.values()) + " |", "| --- " * (len(columns) + 1) + "|"]
    for driver, row in rows.items():
        lines.append(f"| {driver} | " + " | ".join(cell(name, row[name]) if name in row else "" for name in columns) + " |")
    return "\n".join(lines)


def told(episodes: Sequence[Episode]) -> dict[str, dict[str, float]]:
    """`measured` as JSON values."""
    return {name: asdict(one) for name, one in measured(episodes).items()}
