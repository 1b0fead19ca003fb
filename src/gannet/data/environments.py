"""Environments as Gymnasium and ale-py have them, opened, prepared and played with one line for whatever goes wrong.

Imported only where one is really opened: a run folder is loaded without Gymnasium. Frames are stacked with the newest last.

Shapes: E environments, D numbers of an observation, A numbers of an action.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import importlib
import inspect
import json
import multiprocessing
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gannet.errors import Wrong
from gannet.rng import Rng

EXTRA = "pip install 'gannet[play]'"
try:
    import gymnasium as gym
    from gymnasium import spaces
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
except ImportError as missing:
    raise Wrong("playing needs gymnasium, which is not installed", got=missing.name, try_=EXTRA) from missing

STACK = 4  # frames that are seen at once, where an environment shows pictures
LOOKED = 128  # steps at random behind what is known of vectors before a run
BEGUN = 16  # episodes that are begun beside them
APART = 10  # times as far apart a number is at the beginnings of episodes as within one: then those tell its scale
LONGEST = 108_000  # frames of an Atari game at most: half an hour (Machado et al. 2018)

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # SDL draws into memory where there is no display
os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")  # or SDL takes the SIGTERM at which a run saves and stops


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """No warnings of these libraries that nobody who plays can do anything about, and no log of Gymnasium's: of a worker it
    tells the whole traceback there, taken for a format."""
    before, gym.logger.min_level = gym.logger.min_level, gym.logger.ERROR + 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "builtin type .* has no __module__ attribute", DeprecationWarning)  # Box2D by SWIG
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")  # pygame
        warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)  # there is a newer version
        try:
            yield
        finally:
            gym.logger.min_level = before


@contextlib.contextmanager
def painting() -> Iterator[None]:
    """highway-env paints inside, with no display at all.

    With SDL_VIDEODRIVER=dummy, the usual way to do without one, it paints nothing and hands out black pictures. It looks at
    that variable when it makes a viewer, and SDL when it is first opened: so SDL is opened first.
    """
    import pygame

    before = os.environ.get("SDL_VIDEODRIVER")
    if not pygame.display.get_init():
        os.environ["SDL_VIDEODRIVER"] = "dummy"
        pygame.display.init()
    os.environ.pop("SDL_VIDEODRIVER", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["SDL_VIDEODRIVER"] = before


class Painted(gym.Wrapper):
    """An environment of highway-env's that paints whenever it makes a viewer: at a reset, or when it is first looked at."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        with painting():
            return self.env.reset(seed=seed, options=options)

    def render(self) -> Any:
        with painting():
            return self.env.render()


class Told(gym.Wrapper):
    """An environment in a process of its own, whose errors are told in words: Gymnasium carries their type over with a single
    argument, which not every type takes, and their text as a format."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        with self._told():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._told():
            return self.env.step(action)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise Raised(f"{type(error).__name__}: {error}") from error


class Raised(RuntimeError):
    """What an environment in a process of its own has raised: its type and its words."""


@contextlib.contextmanager
def trouble(name: str, when: str) -> Iterator[None]:
    """Whatever an environment raises, as one line.

    Raises:
        Wrong: with the name of the environment, and when it was.
    """
    try:
        with quietly():
            yield
    except Wrong:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        got = said[:300] if isinstance(error, Raised) else f"{type(error).__name__}: {said[:300]}"
        if isinstance(error, ImportError | gym.error.DependencyNotInstalled):
            told = re.search(r"pip install [^`]*", said)  # of Gymnasium's own environments, which ours brings only some of
            hint = told[0].strip(" '.") if told and "gannet" not in told[0] else EXTRA
            raise Wrong(f"the environment {name} needs a package that is not installed", got=got, try_=hint) from error
        if re.search(r"video device|[Cc]annot open display|[Nn]o display|DISPLAY\b|NoSuchDisplay", got):
            raise Wrong(f"the environment {name} wants a display", got=got, try_="SDL_VIDEODRIVER=dummy before it") from error
        if re.search(r"\bROMs?\b|\brom\b", said):
            raise Wrong(
                f"the game of {name} has no ROM here", got=got, try_="pip install -U ale-py, which brings them"
            ) from error
        raise Wrong(f"the environment {name} has raised {when}", got=got) from error


def own_class(name: str) -> type[gym.Env] | None:
    """The class behind package.module:EnvClass; None where the part behind the colon is an id that the module registers.

    Raises:
        Wrong: where there is no such module, no such class, or it is no environment.
    """
    place, _, what = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it, and a command has not
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and not place.startswith(error.name):
            raise Wrong(f"{place} needs a package that is not installed", got=error.name) from error
        raise Wrong(
            "no such module to take an environment from", got=place, try_="package.module:EnvClass", usage=True
        ) from error
    except Exception as error:
        raise Wrong(f"importing {place} has failed", got=f"{type(error).__name__}: {error}") from error
    if what in gym.registry:
        return None
    found = getattr(module, what, None)
    if found is None:
        names = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, gym.Env)]
        near = difflib.get_close_matches(what, names, 1, 0.3) or names
        raise Wrong(f"{place} has no environment of this name", got=what, try_=", ".join(near) or None, usage=True)
    if not (inspect.isclass(found) and issubclass(found, gym.Env)):
        raise Wrong("this is no gymnasium.Env", got=name, try_="a class that inherits from gymnasium.Env", usage=True)
    return found


def known(name: str) -> str:
    """The id of a registered environment, exactly; packages that bring environments are imported where they are wanted.

    Raises:
        Wrong: with the nearest ids where there is none of this name.
    """
    bare = name.partition(":")[2] or name
    for package in ("ale_py", "highway_env"):
        if bare in gym.registry:
            break
        with contextlib.suppress(ImportError), quietly():
            importlib.import_module(package)
    if bare in gym.registry:
        spec = gym.registry[bare]
        if not is_atari(name) and str(spec.entry_point).startswith("ale_py"):  # other frames, other ends, sticky or not
            what = "Atari games are played as ALE/…-v5: the older ids and prefixes are other games by the same name"
            raise Wrong(what, got=name, try_=_atari_id(spec), usage=True)
        return bare
    if name.startswith("ALE/") and "ALE/Pong-v5" not in gym.registry:
        raise Wrong("Atari needs ale-py, which is not installed", got=name, try_=EXTRA)
    ids = sorted(gym.registry)
    small = {one.lower(): one for one in ids}
    near = [small[one] for one in difflib.get_close_matches(bare.lower(), small, 3, 0.6)]
    hint = ", ".join(near) if near else "CartPole-v1, ALE/Pong-v5, package.module:EnvClass of your own"
    raise Wrong("no environment has this name", got=name, try_=hint, usage=True)


def _atari_id(spec: Any) -> str:
    """The id that is played here of a game that ale-py has under several."""
    game = spec.kwargs.get("game")
    ours = (one.id for one in gym.registry.values() if is_atari(one.id) and one.kwargs.get("game") == game)
    return next(ours, "ALE/Pong-v5")


class Frames(gym.ObservationWrapper):
    """Pictures (H, W), (H, W, 1) or (H, W, 3) as grey ones (H', W') of at most `pixels` a side."""

    def __init__(self, env: gym.Env, pixels: int):
        super().__init__(env)
        height, width = env.observation_space.shape[:2]  # type: ignore[index]
        self.size = (min(width, pixels), min(height, pixels))
        self.observation_space = spaces.Box(0, 255, self.size[::-1], np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        from PIL import Image

        picture = Image.fromarray(observation[..., 0] if observation.shape[2:] == (1,) else observation).convert("L")
        return np.asarray(picture if picture.size == self.size else picture.resize(self.size, Image.Resampling.BOX))


def kind_of(space: spaces.Space) -> str:
    """frames (H, W[, C]) to be made grey and stacked, stacked (C, H, W) as they are or last (H, W, C), vector, or other: to be
    flattened, as boards are, whose bytes do not go up to 255."""
    if not isinstance(space, spaces.Box) or (space.dtype == np.uint8 and space.high.max() < 255):
        return "vector" if isinstance(space, spaces.Box) and len(space.shape) == 1 else "other"
    if space.dtype == np.uint8 and len(space.shape) == 2:
        return "frames"
    if space.dtype == np.uint8 and len(space.shape) == 3:
        if space.shape[2] in (1, 3) and space.shape[0] > 3:
            return "frames"
        return "last" if space.shape[2] < min(space.shape[:2]) else "stacked"
    return "vector" if len(space.shape) == 1 else "other"


def make(
    name: str,
    options: dict[str, Any],
    *,
    pixels: int = 84,
    stack: int = STACK,
    render_mode: str | None = None,
    home: int | None = None,
) -> gym.Env:
    """One environment, its observations prepared: grey pictures stacked, or vectors.

    Args:
        name: an id of Gymnasium's, or package.module:EnvClass
        options: keyword arguments for it
        pixels: of a side of a picture, at most
        stack: pictures that are seen at once
        render_mode: "rgb_array" where it shall be filmed
        home: the process that plays, where others hold the environments: Ctrl-C is for it alone to hear, also where it opens
            one itself to see what it is, as Gymnasium does
    """
    if home is not None and home != os.getpid():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = options | ({"render_mode": render_mode} if render_mode else {})
    made = own_class(name) if ":" in name else None
    with trouble(name, "when it was opened"):
        env = made(**options) if made else registered(known(name), options)
        if home is not None:
            env = Told(env)
        kind = kind_of(env.observation_space)
        if kind == "frames":
            env = gym.wrappers.FrameStackObservation(Frames(env, pixels), stack)
        elif kind == "last":
            shape = env.observation_space.shape
            first = spaces.Box(0, 255, (shape[2], *shape[:2]), np.uint8)  # pyright: ignore[reportOptionalSubscript]
            env = gym.wrappers.TransformObservation(env, lambda seen: np.moveaxis(seen, 2, 0), first)
        elif kind == "other":
            if not env.observation_space.is_np_flattenable:
                hint = "a wrapper that makes numbers of one shape of them"
                raise Wrong("observations of this kind have no fixed size", got=str(env.observation_space), try_=hint)
            env = gym.wrappers.FlattenObservation(env)
    return env


def registered(id: str, options: dict[str, Any]) -> gym.Env:
    """One of Gymnasium's registered environments; highway-env's so that they paint."""
    if not str(gym.spec(id).entry_point).startswith("highway_env"):
        return gym.make(id, disable_env_checker=True, **options)
    with painting():
        return Painted(gym.make(id, disable_env_checker=True, **options))


def is_atari(name: str) -> bool:
    """An Atari game, for which ale-py has a vector environment of its own."""
    return name.startswith("ALE/")


def atari(name: str, count: int, options: dict[str, Any], *, sticky: float, pixels: int, stack: int, threads: int = 0) -> Any:
    """`count` games in ale-py's vector environment; everything that libraries disagree about is said here.

    Sticky actions as Machado et al. (2018, arXiv 1709.06009) ask for; the game ends with its last life; rewards as they are.
    """
    game = gym.spec(known(name)).kwargs["game"]
    from ale_py.vector_env import AtariVectorEnv

    said: dict[str, Any] = {
        "repeat_action_probability": sticky,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "reward_clipping": False,
        "episodic_life": False,
        "noop_max": 30,
        "use_fire_reset": True,
        "frameskip": 4,
        "maxpool": True,
        "img_height": pixels,
        "img_width": pixels,
        "grayscale": True,
        "stack_num": stack,
        "max_num_frames_per_episode": LONGEST,
        "full_action_space": False,
        "num_threads": threads,
    }
    with trouble(name, "when it was opened"):
        return AtariVectorEnv(game, count, **(said | options))


class Vector:
    """`count` environments side by side.

    Args:
        name, options, pixels, stack, sticky: as for `play.load`
        count: E
        workers: each in a process of its own
        render_mode: "rgb_array" where they shall be filmed

    Attributes:
        seen: shape of an observation
        bytes: pixels 0 to 255; else float32
        actions: number of actions to choose from, or None
        low, high: ends of a continuous action (A,), or None
        lost_E: where the last step cost a life, of environments that tell how many are left; a reset costs none
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any],
        count: int,
        *,
        pixels: int = 84,
        stack: int = STACK,
        sticky: float = 0.25,
        workers: bool = False,
        render_mode: str | None = None,
    ):
        self.name, self.count, self.steps = name, count, 0
        if is_atari(name):
            self.env: Any = atari(name, count, options, sticky=sticky, pixels=pixels, stack=stack)
        else:
            if ":" not in name:
                known(name)
            words = {"pixels": pixels, "stack": stack, "render_mode": render_mode, "home": os.getpid() if workers else None}
            each = [functools.partial(make, name, options, **words)] * count
            with trouble(name, "when it was opened"):
                if workers:
                    way = "forkserver" if sys.platform.startswith("linux") else "spawn"
                    if way == "forkserver":  # or each process would import torch anew, for seconds
                        multiprocessing.set_forkserver_preload([__name__])
                    self.env = AsyncVectorEnv(each, context=way, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
                else:
                    self.env = SyncVectorEnv(each, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
        space, act = self.env.single_observation_space, self.env.single_action_space
        self.bytes = space.dtype == np.uint8 and len(space.shape) == 3
        self.seen = tuple(map(int, space.shape))
        self.actions, self.first = (int(act.n), int(act.start)) if isinstance(act, spaces.Discrete) else (None, 0)
        self.shape: tuple[int, ...] = ()
        self.low = self.high = None
        if isinstance(act, spaces.Box) and np.issubdtype(act.dtype, np.floating):
            self.shape, self.type = act.shape, act.dtype
            self.low, self.high = (np.asarray(end, np.float64).reshape(-1) for end in (act.low, act.high))
        elif self.actions is None:
            self.close()
            raise Wrong(
                f"the actions of {name} are neither a choice (Discrete) nor numbers (Box)",
                got=str(act),
                try_="a wrapper that makes them one of these",
            )

    def reset(self, seeds: Sequence[int]) -> torch.Tensor:
        """Begin anew, each from its seed; returns what is seen (E, ...)."""
        given = np.asarray(seeds) if is_atari(self.name) else list(seeds)
        with trouble(self.name, "when it was reset"):
            seen, about = self.env.reset(seed=given)
        self.steps, self.lives_E = 0, self._lives(about, np.zeros(self.count, np.int64))
        self.lost_E = torch.zeros(self.count, dtype=torch.bool)
        return self._looked(seen)

    def step(self, did_E: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """A step of each; one that ended in the step before is reset instead.

        Args:
            did_E: numbers of actions (E,) int64; or (E, A) floats: -1 to 1 is what the environment allows, beyond is cut

        Returns:
            what is seen then (E, ...), reward (E,) float32, terminated (E,), truncated (E,)
        """
        with trouble(self.name, f"in the middle, at step {self.steps + 1}"):
            seen, reward, terminated, truncated, about = self.env.step(self.played(did_E))
        before_E, self.lives_E = self.lives_E, self._lives(about, self.lives_E)
        self.lost_E = torch.from_numpy(self.lives_E < before_E)
        self.steps += 1
        reward = np.asarray(reward, np.float32)
        if not np.isfinite(reward).all():
            bad = reward[~np.isfinite(reward)][0]
            raise Wrong(f"the environment {self.name} gave a reward that is no number, at step {self.steps}", got=bad)
        return self._looked(seen), *(torch.from_numpy(np.array(part)) for part in (reward, terminated, truncated))  # type: ignore[return-value]

    def played(self, did_E: torch.Tensor) -> np.ndarray:
        """Actions as the environment wants them: cut to -1 … 1 and stretched to its box."""
        if self.low is None or self.high is None:
            return did_E.numpy() + self.first
        did = did_E.numpy().astype(np.float64)
        bounded = np.isfinite(self.low) & np.isfinite(self.high)
        low, high = np.where(bounded, self.low, -1.0), np.where(bounded, self.high, 1.0)
        stretched = low + (np.clip(did, -1, 1) + 1) / 2 * (high - low)
        did = np.where(bounded, stretched, np.clip(did, self.low, self.high))
        return did.astype(self.type).reshape(self.count, *self.shape)

    def _lives(self, about: dict[str, Any], before_E: np.ndarray) -> np.ndarray:
        """Lives that are left (E,); as many as before where nothing is said of them, or something that is no count of them."""
        told_E = np.asarray(about.get("lives"))
        if told_E.shape != (self.count,) or told_E.dtype.kind not in "iu":
            return before_E
        return np.where(about.get("_lives", True), told_E, before_E)

    def _looked(self, seen: Any) -> torch.Tensor:
        """Observations as a tensor of its own."""
        seen = np.array(seen, np.uint8 if self.bytes else np.float32)
        if seen.shape != (self.count, *self.seen):
            said = f"{seen.shape[1:]} for {self.seen}"
            raise Wrong(f"the environment {self.name} gave an observation of another shape than it says", got=said)
        if not self.bytes and not np.isfinite(seen).all():
            where = f"number {int((~np.isfinite(seen)).reshape(self.count, -1).any(0).nonzero()[0][0])} of it"
            raise Wrong(f"the environment {self.name} gave an observation that is no number, at step {self.steps}", got=where)
        return torch.from_numpy(seen)

    def close(self) -> None:
        """Close them all."""
        with contextlib.suppress(Exception):
            self.env.close()


def complaint(name: str, options: dict[str, Any]) -> None:
    """Gymnasium's own checker on somebody's environment.

    Raises:
        Wrong: with its complaint.
    """
    from gymnasium.utils.env_checker import check_env

    made = own_class(name)
    if made is None:
        return
    with trouble(name, "when it was opened"):
        env = made(**options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice, such as bounds for observations
            check_env(env, skip_render_check=True, skip_close_check=True)
    except Exception as error:
        said = " ".join(str(error).split())
        got = said[:300] if isinstance(error, AssertionError) and said else f"{type(error).__name__}: {said[:300]}"
        raise Wrong(f"gymnasium's checker complains about {name}", got=got) from error
    finally:
        with contextlib.suppress(Exception):
            env.close()


@functools.lru_cache(maxsize=16)
def _looked_at(name: str, words: str, **settings: Any) -> dict[str, Any]:
    options = json.loads(words)
    if ":" in name:
        complaint(name, options)
    vector = Vector(name, options, 1, **settings)
    try:
        found: dict[str, Any] = {
            "shape": list(vector.seen),
            "bytes": bool(vector.bytes),
            "actions": vector.actions,
            "box": None if vector.low is None else len(vector.low),
        }
        if vector.bytes and not is_atari(name):  # or several planes of whatever kind, as they were handed out
            found["stacked"] = isinstance(vector.env.envs[0], gym.wrappers.FrameStackObservation)
        seen = vector.reset([0])
        if not vector.bytes:  # what a normaliser begins with
            rng, rows = Rng(0, 0, "look"), [seen]
            for _ in range(LOOKED):
                rows.append(vector.step(at_random(vector, rng))[0])
            begun = [vector.reset([seed]) for seed in range(1, BEGUN + 1)]
            within, among = (torch.cat(some).flatten(1).double() for some in (rows, begun))
            # A goal, or whatever else an episode keeps, has no scale within one.
            kept_D = among.var(0, unbiased=False) > APART**2 * within.var(0, unbiased=False)
            mean_D = torch.where(kept_D, among.mean(0), within.mean(0))
            variance_D = torch.where(kept_D, among.var(0, unbiased=False), within.var(0, unbiased=False))
            found["about"] = {"mean": mean_D.tolist(), "variance": variance_D.tolist()}
        found["frames"] = 4 if is_atari(name) else 1
        found["limit"], found["meanings"] = _limit(vector, name), _meanings(vector)
        return found
    finally:
        vector.close()


def look(name: str, options: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """What is known of an environment once one of it has been opened and, where it gives vectors, played at random."""
    return copy.deepcopy(_looked_at(name, json.dumps(options, sort_keys=True), **settings))


def at_random(vector: Vector, rng: Rng) -> torch.Tensor:
    """Actions (E,) or (E, A), each as likely as another."""
    if vector.actions is not None:
        return rng.integers(vector.actions, vector.count)
    assert vector.low is not None
    return 2 * rng.uniform(vector.count, len(vector.low)) - 1


def _limit(vector: Vector, name: str) -> int | None:
    """Steps after which an episode is cut off, where that is known."""
    if is_atari(name):
        return LONGEST // 4
    spec = vector.env.envs[0].spec
    return None if spec is None else spec.max_episode_steps


def _meanings(vector: Vector) -> list[str]:
    """What actions are called, where an environment says it."""
    if hasattr(vector.env, "ale"):
        return [str(action).rpartition(".")[2] for action in vector.env.ale.get_action_set()]
    one = vector.env.envs[0]
    if one.has_wrapper_attr("get_action_meanings"):
        return list(map(str, one.get_wrapper_attr("get_action_meanings")()))
    named = getattr(getattr(one.unwrapped, "action_type", None), "actions", None)  # of highway-env
    return [str(named[key]) for key in sorted(named)] if isinstance(named, dict) and vector.actions is not None else []
