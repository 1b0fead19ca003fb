"""Drive: an agent learns a road, from what is told of the cars around it or from pixels, by Q-learning or policy optimisation.

Arm: play
"""

from typing import Any, Literal

from gannet.data import play as played
from gannet.data.driving import ROAD, options, rows
from gannet.evaluation.driving import Driving
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PQN, REPLAY
from gannet.recipe import Recipe, one_cycle


def drive(
    size: Literal["tiny", "small", "base"] = "small",
    data: Literal["highway", "merge", "roundabout", "intersection", "racetrack", "car-racing"] = "highway",
    eyes: Literal["vector", "pixels"] = "vector",
    net: Literal["auto", "dense", "attention", "shallow", "small", "nature", "impala"] = "auto",
    method: Literal["auto", "ppo", "replay"] = "auto",
    rate: float = 5e-4,
    discount: float | None = None,
    entropy: float = 0.01,
    environments: int = 8,
    workers: bool = False,
    seed: int = 0,
) -> Recipe:
    """An agent that drives, judged on roads that it has never seen: collisions, speed, distance, standing about, decision time.

    Args:
        size: tiny for tests, small for two CPU cores, base for longer (unverified)
        data: the road: five of highway-env's, or Gymnasium's CarRacing, which has pixels alone
        eyes: positions and speeds of the cars around it (on the racetrack a grid), or four grey frames
        net: dense or attention (cars one by one) for vectors, shallow, small, nature or impala for pixels; auto: dense, small
        method: ppo, or replay, a Q-network that learns again from what it remembers; auto is replay where roads have a choice
            among actions and simulators are slow: all but racetrack and car-racing
        rate: peak learning rate
        discount: what a reward is worth a decision later; without, 0.9, where frames are many (car-racing) 0.99
        entropy: of ppo: weight of the policy's entropy, which keeps it trying
        environments: that are driven in side by side
        workers: each environment in a process of its own
        seed: of everything that is random
    """
    width, steps, examples = {"tiny": (32, 16, 512), "small": (128, 32, 20_480), "base": (256, 64, 500_000)}[size]
    many = data in ("racetrack", "car-racing")
    words = {"environments": environments, "steps": steps * (4 if many and size != "tiny" else 1), "workers": workers}
    replay = method == "replay" or (method == "auto" and not many)
    again = {"epochs": 2, "minibatches": 2} if replay else {"epochs": 8, "minibatches": 4}
    train = played.load(ROAD, options=options(data, eyes), **again, **words)
    encoder = ("small" if train.bytes else "dense") if net == "auto" else net
    wide = {"dense": width, "attention": width // 2}.get(encoder)
    made = Agent(train.seen, train.actions, train.box, encoder, wide, norm=replay, rows=rows(data, eyes))
    numbers: dict[str, Any] = {"rate": rate, "discount": discount or (0.99 if data == "car-racing" else 0.9)}
    memory = REPLAY | {"remember": min(REPLAY["remember"], examples)}
    objective = PQN(made, train, **memory | numbers) if replay else PPO(made, train, entropy=entropy, **numbers)
    rest = {"seed": seed, "schedule": one_cycle, "show": 0, "evaluation": Driving(data, eyes)}
    batch = train.environments * train.steps
    return Recipe(train, objective, batch=batch, examples=examples * (5 if many and size != "tiny" else 1), **rest)
