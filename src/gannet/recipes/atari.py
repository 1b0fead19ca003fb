"""Atari: an agent learns a game from its pixels, by proximal policy optimisation or Q-learning, with sticky actions.

Arm: play
"""

from typing import Literal

from gannet.data import play
from gannet.evaluation.play import Playing
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PQN
from gannet.objectives.reinforce import Reinforce
from gannet.recipe import Recipe, one_cycle


def atari(
    size: Literal["tiny", "small", "base"] = "small",
    game: str = "pong",
    data: str | None = None,
    encoder: Literal["shallow", "small", "nature", "impala"] = "small",
    method: Literal["ppo", "pqn", "reinforce"] = "ppo",
    environments: int | None = None,
    epochs: int | None = None,
    rate: float | None = None,
    discount: float = 0.99,
    entropy: float = 0.02,
    sticky: float = 0.25,
    lives: bool = False,
    seed: int = 0,
) -> Recipe:
    """An agent that sees four grey frames of 84 x 84 pixels, judged on held-out episodes with sticky actions and without.

    Args:
        size: tiny for tests, small for two CPU cores (2.5 million steps of four frames), base for a GPU (unverified)
        game: any of ale-py's, as pong, breakout, space_invaders
        data: an environment's whole id instead, as ALE/Pong-v5
        encoder: small is residual and quick on CPUs, shallow one look before a dense layer, nature as in DQN, impala large
        method: ppo; pqn, which learns what actions are worth; or reinforce, the dumb baseline, as Karpathy played Pong
        environments: games that are played side by side; without, 16 (tiny: 4, base: 128)
        epochs: times that each rollout is learnt from; without, 2 (base: 3, reinforce: 1)
        rate: peak learning rate; without, 1e-3 (pqn and base: 2.5e-4)
        discount: what a reward is worth a step later
        entropy: of ppo: weight of the policy's entropy, which keeps it trying
        sticky: chance that an action is repeated in training (Machado et al. 2018); it is judged at 0 and at 0.25
        lives: a lost life is learnt from as an end, in games that have lives; it is judged on whole games
        seed: of everything that is random
    """
    tiny, small, base = (32, 4, 32, 2, 2, 4096), (None, 16, 128, 2, 8, 2_457_600), (None, 128, 128, 3, 16, 5 * 10**7)
    width, many, steps, times, parts, examples = {"tiny": tiny, "small": small, "base": base}[size]
    steps, times, anew = (8 * steps, 1, 16) if method == "reinforce" else (steps, times, 128)  # it must see how things end
    rollout = {"environments": environments or many, "steps": steps, "epochs": epochs or times, "minibatches": parts}
    train = play.load(data or play.atari(game), sticky=sticky, lives=lives, restart=anew, **rollout)  # games are long
    net = Agent(train.seen, train.actions, train.box, encoder=encoder, width=width, norm=method == "pqn")
    words = {"rate": rate or (2.5e-4 if method == "pqn" or size == "base" else 1e-3), "discount": discount, "rewards": "sign"}
    near, old = {"clip": 0.1, "entropy": entropy, "value_clip": None}, {"moving": True, "points": train.name == "ALE/Pong-v5"}
    kind, own = {"ppo": (PPO, near), "pqn": (PQN, {}), "reinforce": (Reinforce, old)}[method]
    scores = Playing(train, episodes=3, watched=1) if size == "tiny" else Playing(train, watched=4)  # games are long
    rest = {"seed": seed, "schedule": lambda done, examples: one_cycle(done, rise=0.02), "show": 0, "evaluation": scores}
    return Recipe(train, kind(net, train, **words, **own), batch=train.environments * train.steps, examples=examples, **rest)
