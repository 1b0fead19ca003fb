"""Imitate: an agent does as an expert did, whose episodes alone it has seen; a critic tells the two apart.

Arm: play"""

from typing import Literal

from gannet.data import driving, play
from gannet.data import episodes as recorded
from gannet.evaluation.driving import Driving
from gannet.evaluation.play import Playing
from gannet.nets.agents import TINY, Agent
from gannet.objectives.cloning import Cloning
from gannet.objectives.gail import Gail
from gannet.recipe import Recipe, one_cycle


def imitate(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "CartPole-v1",
    options: str | None = None,
    expert: str = "balance",
    method: Literal["gail", "cloning"] = "gail",
    episodes: int = 10,
    every: int = 1,
    reward: Literal["logit", "positive", "negative"] = "logit",
    gamma: float = 0.1,
    rate: float | None = None,
    workers: bool = False,
    seed: int = 0,
) -> Recipe:
    """Imitation of recorded episodes: a contest with a critic that tells expert from agent, or plain cloning.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (unverified)
        data: an environment's id, package.module:EnvClass of your own, or a road of the recipe drive, told in numbers: highway
        options: an environment's keyword arguments, as JSON
        expert: an .npz file of episodes or a folder of them, as `gannet sample RUN --record` writes; balance: CartPole's, made
        method: gail, a contest that plays; or cloning, the expert's actions told from what it saw, which plays nothing
        episodes: how many of the expert's are used
        every: one step in so many of them is learnt from; Ho and Ermon keep one in 20
        reward: of the critic's logit: itself; positive, which favours long episodes; negative, which favours short ones
        gamma: weight of the penalty on the critic's slope
        rate: peak learning rate; without, 2.5e-3 for vectors, on roads 1e-3 in a contest, and 5e-4 for pixels
        workers: each environment in a process of its own, for slow ones
        seed: of everything that is random
    """
    road, told = (True, driving.options(data, "vector")) if data in driving.SCENARIOS else (False, options)
    width, steps, examples = {"tiny": (32, 16, 40_000), "small": (64, 64, 100_000), "base": (512, 128, 10_000_000)}[size]
    n, steps, examples, epochs = (8, min(steps, 32), examples // 5, 8) if road else (16, steps, examples, 4)
    train = play.load(driving.ROAD if road else data, environments=n, steps=steps, epochs=epochs, workers=workers, options=told)
    deeds = recorded.load(expert, train, episodes=episodes, every=every)
    sort = {"encoder": "small", "width": None} if train.bytes else {"encoder": "dense", "width": width}
    agent, scores = Agent(train.seen, train.actions, train.box, **sort), Driving(data, "vector") if road else Playing(train)
    rest = {"seed": seed, "schedule": one_cycle, "show": 0, "evaluation": scores}
    rate = rate or (5e-4 if train.bytes else 1e-3 if road and method == "gail" else 2.5e-3)
    if method == "cloning":
        return Recipe(deeds, Cloning(agent, train, rate=rate), batch=64, examples=100_000, **rest)
    critic, seen = Agent(*recorded.judged(train), value_gain=TINY, **sort), recorded.Imitated(train, deeds)
    contest = Gail(agent, critic, seen, form=reward, gamma=gamma, rate=rate, discount=0.9 if road else 0.99)
    return Recipe(seen, contest, n * steps, examples, **rest)
