"""Roads as environments: highway-env's and CarRacing opened headless, prepared for a net, and read at every simulated frame.

What an environment does is left alone. Imported only where one is opened, since it needs Gymnasium.

Shapes: C frames of a stack, oldest first, H, W pixels, D numbers of a vector.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from gannet.data.driving import RACING, STANDING, Episode, find, options
from gannet.data.environments import registered
from gannet.errors import Wrong

try:
    import gymnasium
except ImportError as error:  # pragma: no cover
    raise Wrong("driving needs gymnasium and highway-env", got=error, try_="pip install 'gannet[play]'") from error


def make(
    road: str,
    eyes: str = "vector",
    *,
    config: dict[str, Any] | None = None,
    repeat: int = 4,
    render_mode: str | None = None,
) -> gymnasium.Env[Any, Any]:
    """An environment that can be learnt on, headless; the last step's info holds what the episode was, under "episode_driven".

    Vectors are flat float32 (D,), pictures uint8 (C, H, W) = (4, 64, 128) on straight roads and (4, 84, 84) elsewhere.

    Args:
        road: a name of `driving.SCENARIOS`
        eyes: vector or pixels; CarRacing has pixels alone
        config: highway-env's configuration; without, the scenario's
        repeat: frames that CarRacing keeps an action for; highway-env has a rate of decisions of its own
        render_mode: None or rgb_array

    Raises:
        Wrong: for a name or eyes that there are not, or where a package is missing.
    """
    config = config or options(road, eyes).get("config")
    scenario = find(road)
    if config is None:
        raw = _open(scenario.ids, render_mode=render_mode, continuous=False, lap_complete_percent=0.95)
        return CarPicture(Repeat(Driven(raw, road), repeat))
    try:
        import highway_env  # noqa: F401  (registers its environments)
    except ImportError as error:  # pragma: no cover
        raise Wrong("driving needs highway-env", got=error, try_="pip install 'gannet[play]'") from error
    seen = config["observation"]
    if "observation_shape" in seen:  # which is a list where it comes out of a record, and must not be one
        config = config | {"observation": seen | {"observation_shape": tuple(seen["observation_shape"])}}
    driven = Driven(_open(scenario.ids, render_mode=render_mode, config=config), road)
    return Picture(driven) if eyes == "pixels" else Vector(driven)


class Road(gymnasium.Wrapper[Any, Any, Any, Any]):
    """`make` as a class, for whoever opens environments by `package.module:EnvClass`.

    Args:
        road, options: as for `make`
    """

    def __init__(self, road: str = "highway", eyes: str = "vector", **options: Any):
        super().__init__(make(road, eyes, **options))


def _open(ids: tuple[str, ...], **options: Any) -> gymnasium.Env[Any, Any]:
    """The first of these that the installed package has."""
    known = [one for one in ids if one in gymnasium.registry]
    if not known:
        raise Wrong("the installed packages have no such environment", got=ids[0], try_="pip install -U 'gannet[play]'")
    with warnings.catch_warnings():
        # Which version is taken is settled by `ids`: of intersection the one after v0 has other actions.
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
        # Box2D's bindings warn while they are loaded, at a place where a warning made an error ends the process.
        warnings.filterwarnings("ignore", message="builtin type .* has no __module__ attribute", category=DeprecationWarning)
        return registered(known[0], options)


class Odometer:
    """Stands in for a road's `step`, and reads what its car does after every simulated frame.

    An object with the road's own method in it, not a function, so that a copy of an environment counts for itself.
    """

    def __init__(self, environment: Any):
        self.environment, self.step = environment, environment.road.step
        self.metres = self.seconds = self.stood = self.beside = 0.0

    def __call__(self, dt: float) -> None:
        self.step(dt)
        car = self.environment.vehicle
        self.seconds += dt
        self.metres += abs(car.speed) * dt
        self.stood += dt * (abs(car.speed) < STANDING)
        self.beside += dt * (not car.on_road)


class Driven(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reads off an environment of `SCENARIOS` what an episode was; observations, rewards and ends pass through as they are.

    Attributes:
        scenario: its name
        episode: the last one that ended; None before
    """

    def __init__(self, environment: gymnasium.Env[Any, Any], scenario: str):
        super().__init__(environment)
        self.scenario, self.episode = scenario, None
        self.world: Any = environment.unwrapped
        self.racing = scenario == "car-racing"
        self.total, self.length = 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._manners()
        seen, info = self.env.reset(seed=seed, options=options)
        self.total, self.length = 0.0, 0
        self.metres = self.seconds = self.stood = self.beside = 0.0  # CarRacing's; the others have an odometer
        if not self.racing:
            self.odometer = self.world.road.step = Odometer(self.world)
        return seen, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._manners()
        seen, reward, terminated, truncated, info = self.env.step(action)
        self.total, self.length = self.total + float(reward), self.length + 1
        if self.racing:
            self._watch_racing()
        if terminated or truncated:
            self.episode = self._told(terminated, info)
            info = info | {"episode_driven": asdict(self.episode)}
        return seen, float(reward), bool(terminated), bool(truncated), info

    def take_the_wheel(self) -> None:
        """Let highway-env's own rule-based driver have the car for the rest of the episode: see `rule_based`.

        Raises:
            Wrong: where there is none.
        """
        if self.racing:
            raise Wrong("CarRacing has no driver of its own", got="car-racing", usage=True)
        old = self.world.vehicle
        new = rule_based(old)
        self.world.road.vehicles[self.world.road.vehicles.index(old)] = new
        self.world.controlled_vehicles = [new]

    def _manners(self) -> None:
        if not self.racing:
            from highway_env.vehicle.behavior import IDMVehicle

            for name, value in find(self.scenario).traffic.items():
                setattr(IDMVehicle, name, value)

    def _watch_racing(self) -> None:
        car, dt = self.world.car, 1 / 50
        speed = float(np.hypot(*car.hull.linearVelocity))
        self.seconds += dt
        self.metres += speed * dt
        self.stood += dt * (speed < STANDING)
        self.beside += dt * (not any(wheel.tiles for wheel in car.wheels))

    def _told(self, terminated: bool, info: dict[str, Any]) -> Episode:
        read: Any = self if self.racing else self.odometer
        collided = not self.racing and bool(self.world.vehicle.crashed)
        arrived = bool(info.get("lap_finished", False)) if self.racing else terminated and not collided
        return Episode(
            collided=collided,
            arrived=arrived if find(self.scenario).arrives else None,
            off_road=float(read.beside / read.seconds),
            distance=float(read.metres),
            seconds=float(read.seconds),
            froze=float(read.stood / read.seconds),
            total=self.total,
            length=self.length,
        )


def rule_based(old: Any) -> Any:
    """highway-env's rule-based driver, in a car's place, speed, lane and route.

    It holds its distance by the Intelligent Driver Model (Treiber et al. 2000) and changes lanes by MOBIL (Kesting et al.
    2007), as the traffic around it does. Like that it keeps to the lane's speed limit, which learners need not, and gives way
    where the intersection's rules say so. It wishes to be as fast as the fastest that a learner in its place could order; on
    the racetrack as the lane allows, and there it can brake, where a learner cannot.
    """
    from highway_env.vehicle.behavior import IDMVehicle
    from highway_env.vehicle.controller import MDPVehicle

    ordered = getattr(old, "target_speeds", None)

    class RuleBased(IDMVehicle):
        """An IDM vehicle that rewards written for a learner's car can read."""

        target_speeds = MDPVehicle.DEFAULT_TARGET_SPEEDS if ordered is None else ordered

        @property
        def speed_index(self) -> int:
            return int(MDPVehicle.speed_to_index(self, self.speed))  # type: ignore[arg-type]

    going: dict[str, Any] = {name: getattr(old, name, None) for name in ("target_lane_index", "route")}
    going["target_speed"] = old.lane.speed_limit if ordered is None else float(ordered[-1])
    return RuleBased(old.road, old.position, heading=old.heading, speed=old.speed, **going)


class Repeat(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An action is kept for `times` frames, or up to the end; their rewards are added up.

    Of CarRacing only the last of them is painted: nobody sees the others, and painting is all but a thirtieth of its time.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any], times: int):
        super().__init__(environment)
        self.times = times
        self.world: Any = environment.unwrapped
        self.paint = getattr(self.world, "_render", None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.decisions = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        total = 0.0
        self.decisions += 1
        for frame in range(1, self.times + 1):
            with self._painted(frame == self.times):
                seen, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                if seen is None:
                    seen = self.world.state = self.paint("state_pixels")  # type: ignore[misc]
                if "episode_driven" in info:
                    info = info | {"episode_driven": info["episode_driven"] | {"length": self.decisions}}
                break
        return seen, total, terminated, truncated, info  # type: ignore[possibly-unbound]

    @contextmanager
    def _painted(self, really: bool) -> Iterator[None]:
        if really or self.paint is None:
            yield
            return
        self.world._render = lambda mode: None
        try:
            yield
        finally:
            del self.world._render


class Prepared(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Makes of what an environment shows what a net is shown, and takes the time that it takes.

    Attributes:
        took: seconds that the last observation took to prepare: a part of the time that a decision takes
    """

    took = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        seen, info = self.env.reset(seed=seed, options=options)
        return self._timed(seen, True), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, info = self.env.step(action)
        return self._timed(seen, False), float(reward), terminated, truncated, info

    def _timed(self, seen: np.ndarray, first: bool) -> np.ndarray:
        began = time.perf_counter()
        made = self.prepare(seen, first)
        self.took = time.perf_counter() - began
        return made

    def prepare(self, seen: np.ndarray, first: bool) -> np.ndarray:
        """The observation that is learnt from; first: of an episode."""
        raise NotImplementedError


class Vector(Prepared):
    """Rows of vehicles, or a grid, as one row of numbers (D,)."""

    def __init__(self, environment: gymnasium.Env[Any, Any]):
        super().__init__(environment)
        size = int(np.prod(environment.observation_space.shape))  # type: ignore[arg-type]
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def prepare(self, seen: np.ndarray, first: bool) -> np.ndarray:
        return np.asarray(seen, np.float32).reshape(-1)


class Picture(Prepared):
    """highway-env's stack, which lies on its side (C, W, H), set upright."""

    def __init__(self, environment: gymnasium.Env[Any, Any]):
        super().__init__(environment)
        stack, width, height = environment.observation_space.shape  # type: ignore[misc]
        self.observation_space = gymnasium.spaces.Box(0, 255, (stack, height, width), np.uint8)

    def prepare(self, seen: np.ndarray, first: bool) -> np.ndarray:
        if first and not seen[-1].any():
            raise Wrong("the simulator paints black pictures", got="highway-env", try_="without SDL_VIDEODRIVER")
        return np.ascontiguousarray(seen.transpose(0, 2, 1))


class CarPicture(Prepared):
    """CarRacing's last four pictures in grey, without the dashboard; the first of an episode stands for those before it."""

    def __init__(self, environment: gymnasium.Env[Any, Any], stack: int = 4):
        super().__init__(environment)
        self.observation_space = gymnasium.spaces.Box(0, 255, (stack, 84, 84), np.uint8)
        self.stack_CHW = np.zeros((stack, 84, 84), np.uint8)

    def get_action_meanings(self) -> list[str]:
        """What the actions are called."""
        return list(RACING)

    def prepare(self, seen: np.ndarray, first: bool) -> np.ndarray:
        grey_HW = grey(seen[:84, 6:90])
        if first:
            self.stack_CHW[:] = grey_HW
        else:
            self.stack_CHW[:-1] = self.stack_CHW[1:]
            self.stack_CHW[-1] = grey_HW
        return self.stack_CHW.copy()


def grey(x_HWC: np.ndarray) -> np.ndarray:
    """Lightness (H, W) uint8 of a colour picture, in whole numbers: 2^-16 of 19589, 38470 and 7477, BT.601's weights."""
    wide = x_HWC.astype(np.uint32)
    return ((19589 * wide[..., 0] + 38470 * wide[..., 1] + 7477 * wide[..., 2] + 32768) >> 16).astype(np.uint8)
