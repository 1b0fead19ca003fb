"""Roads to learn on, described: highway-env's scenarios and Gymnasium's CarRacing; and what an episode on them was.

Nothing is opened here, and neither package imported: that is for `gannet.data.roads`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from gannet.errors import Wrong

ROAD = "gannet.data.roads:Road"  # what is opened of a road, by `options`
STANDING = 1.0  # m/s; whoever is slower stands
GREY = (0.2989, 0.5870, 0.1140)  # of red, green and blue: ITU-R BT.601, as highway-env's own pages have it

RACING = ("idle", "right", "left", "gas", "brake")  # what CarRacing's five actions do

#: highway-env's intersection writes its traffic's manners into the class that the traffic of every other scenario has too, so
#: that whoever plays it first changes the others. Here each scenario has its own: as it is shipped, and in the intersection.
SHIPPED = {"DISTANCE_WANTED": 10.0, "COMFORT_ACC_MAX": 3.0, "COMFORT_ACC_MIN": -5.0}
CROSSING = {"DISTANCE_WANTED": 7.0, "COMFORT_ACC_MAX": 6.0, "COMFORT_ACC_MIN": -3.0}

FEATURES = ["presence", "x", "y", "vx", "vy"]
ON_A_STRAIGHT_ROAD = {
    "type": "Kinematics",
    "vehicles_count": 8,
    "features": FEATURES,
    "features_range": {"x": [-100, 100], "y": [-16, 16], "vx": [-40, 40], "vy": [-10, 10]},
    "absolute": False,
    "see_behind": True,
    "order": "sorted",
}


@dataclass(frozen=True)
class Scenario:
    """One road.

    Attributes:
        ids: of the environment, the one to take first; later ones are for older packages
        config: of highway-env, whatever the eyes
        vector: its observation as numbers
        pixels: its observation as a picture: width and height, pixels to the metre, and where the car is in it
        traffic: manners of the other cars
        arrives: it can be finished
    """

    ids: tuple[str, ...]
    config: dict[str, Any]
    vector: dict[str, Any]
    pixels: dict[str, Any]
    traffic: dict[str, float]
    arrives: bool = False


def _picture(width: int, height: int, scaling: float, centre: tuple[float, float]) -> dict[str, Any]:
    shown = {"observation_shape": [width, height], "scaling": scaling, "centering_position": list(centre)}
    return {"type": "GrayscaleObservation", "stack_size": 4, "weights": list(GREY)} | shown


SCENARIOS = {
    "highway": Scenario(
        ("highway-fast-v0",),
        {
            "action": {"type": "DiscreteMetaAction"},
            "lanes_count": 3,
            "vehicles_count": 20,
            "duration": 30,
            "simulation_frequency": 5,
            "policy_frequency": 1,
        },
        ON_A_STRAIGHT_ROAD,
        _picture(128, 64, 1.75, (0.3, 0.5)),
        SHIPPED,
    ),
    "merge": Scenario(
        ("merge-v1", "merge-v0"),
        {"action": {"type": "DiscreteMetaAction"}, "simulation_frequency": 15, "policy_frequency": 1},
        ON_A_STRAIGHT_ROAD,
        _picture(128, 64, 1.75, (0.3, 0.5)),
        SHIPPED,
        arrives=True,
    ),
    "roundabout": Scenario(
        ("roundabout-v1", "roundabout-v0"),
        {
            "action": {"type": "DiscreteMetaAction", "target_speeds": [0, 8, 16]},
            "duration": 11,
            "simulation_frequency": 15,
            "policy_frequency": 1,
        },
        {
            "type": "Kinematics",
            "vehicles_count": 5,
            "features": [*FEATURES, "cos_h", "sin_h"],
            "features_range": {"x": [-100, 100], "y": [-100, 100], "vx": [-15, 15], "vy": [-15, 15]},
            "absolute": True,
        },
        _picture(84, 84, 1.25, (0.5, 0.6)),
        SHIPPED,
    ),
    "intersection": Scenario(
        ("intersection-v2", "intersection-v0"),
        {
            "action": {"type": "DiscreteMetaAction", "longitudinal": True, "lateral": False, "target_speeds": [0, 4.5, 9]},
            "duration": 13,
            "destination": "o1",
            "initial_vehicle_count": 10,
            "spawn_probability": 0.6,
            "simulation_frequency": 15,
            "policy_frequency": 1,
        },
        {
            "type": "Kinematics",
            "vehicles_count": 15,
            "features": [*FEATURES, "cos_h", "sin_h"],
            "features_range": {"x": [-100, 100], "y": [-100, 100], "vx": [-20, 20], "vy": [-20, 20]},
            "absolute": True,
            "flatten": False,
            "observe_intentions": False,
        },
        _picture(84, 84, 1.25, (0.5, 0.6)),
        CROSSING,
        arrives=True,
    ),
    "racetrack": Scenario(
        ("racetrack-v1", "racetrack-v0"),
        {
            "action": {"type": "ContinuousAction", "longitudinal": False, "lateral": True, "target_speeds": [0, 5, 10]},
            "duration": 300,
            "other_vehicles": 1,
            "simulation_frequency": 15,
            "policy_frequency": 5,
        },
        {
            "type": "OccupancyGrid",
            "features": ["presence", "on_road"],
            "grid_size": [[-18, 18], [-18, 18]],
            "grid_step": [3, 3],
            "as_image": False,
            "align_to_vehicle_axes": True,
        },
        _picture(84, 84, 2.0, (0.5, 0.5)),
        SHIPPED,
    ),
    "car-racing": Scenario(("CarRacing-v3",), {}, {}, {}, {}, arrives=True),
}


@dataclass(frozen=True)
class Episode:
    """What an episode was. Everything is measured at every simulated frame (highway 5, the others 15, CarRacing 50 a second).

    Attributes:
        collided: with a car or an obstacle; nothing stands about in CarRacing
        arrived: at the end of the merge, past the intersection, round the track; None where there is nowhere to arrive
        off_road: share of the time with the car's middle (CarRacing: all four wheels) beside the road
        distance: driven, in metres
        seconds: of simulated time
        froze: share of the time at less than 1 m/s
        total: the return: rewards as the environment gives them, undiscounted
        length: decisions
    """

    collided: bool
    arrived: bool | None
    off_road: float
    distance: float
    seconds: float
    froze: float
    total: float
    length: int

    @property
    def speed(self) -> float:
        """Mean speed in m/s: the distance in the time."""
        return self.distance / max(self.seconds, 1e-9)


def find(name: str) -> Scenario:
    """The scenario of this name.

    Raises:
        Wrong: with the nearest name where there is none.
    """
    if name not in SCENARIOS:
        near = difflib.get_close_matches(name, SCENARIOS, 1, 0.4)
        raise Wrong("no road has this name", got=name, try_=near[0] if near else ", ".join(SCENARIOS), usage=True)
    return SCENARIOS[name]


def rows(name: str, eyes: str) -> int | None:
    """How many numbers there are of each car in what is seen as numbers, the learner's own the first; None where it is no such
    table: pixels, a grid."""
    return len(find(name).vector["features"]) if eyes == "vector" and find(name).vector.get("type") == "Kinematics" else None


def options(name: str, eyes: str) -> dict[str, Any]:
    """What `gannet.data.roads.Road` is told to open, whole, so that a run's record holds it: JSON values.

    Raises:
        Wrong: for a name or eyes that there are not.
    """
    scenario = find(name)
    if eyes not in ("vector", "pixels"):
        raise Wrong("eyes are vector or pixels", got=eyes, usage=True)
    if name == "car-racing":
        if eyes == "vector":
            raise Wrong(
                "car-racing is seen in pixels alone", got="--eyes vector", try_="--data car-racing --eyes pixels", usage=True
            )
        return {"road": name, "eyes": eyes, "repeat": 4}
    return {"road": name, "eyes": eyes, "config": scenario.config | {"observation": getattr(scenario, eyes)}}
