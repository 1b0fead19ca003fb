"""Atari: an agent learns a game from its pixels, by proximal policy optimisation or Q-learning, with sticky actions.

Arm: play"""

from typing import Literal

from gannet.data import play
from gannet.evaluation.play import Playing
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PQN, games
from gannet.objectives.reinforce import Reinforce
from gannet.recipe import Recipe, held


def atari(
    size: Literal["tiny", "small", "base"] = "small",
    game: str = "pong",
    data: str | None = None,
    encoder: Literal["shallow", "small", "nature", "impala"] | None = None,
    method: Literal["ppo", "pqn", "replay", "reinforce"] = "ppo",
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
        size: tiny for tests, small for two CPU cores (2.5 million steps; replay: 0.6), base for a GPU (unverified)
        game: any of ale-py's, as pong, breakout, space_invaders
        data: an environment's whole id instead, as ALE/Pong-v5
        encoder: small is residual, nature DQN's, impala large, shallow one look; without, small (replay: nature; 256 wide)
        method: ppo; pqn, a Q-network; replay, one that remembers; or reinforce, the dumb baseline, as Karpathy played Pong
        environments: games that are played side by side; without, 16 (tiny: 4, base: 128)
        epochs: times that each rollout is learnt from; without, 2 (base: 3, reinforce: 1, replay: 2 of each of 4 recalled)
        rate: peak learning rate; without, 1e-3 (replay: 5e-4, pqn and base: 2.5e-4)
        discount: what a reward is worth a step later
        entropy: of ppo: weight of the policy's entropy, which keeps it trying
        sticky: chance that an action is repeated in training (Machado et al. 2018); it is judged at 0 and at 0.25
        lives: a lost life is learnt from as an end, in games that have lives; it is judged on whole games
        seed: of everything that is random
    """
    tiny, small, base = (32, 4, 32, 2, 2, 4096), (None, 16, 128, 2, 8, 2_457_600), (None, 128, 128, 3, 16, 5 * 10**7)
    wide, many, steps, times, parts, examples = {"tiny": tiny, "small": small, "base": base}[size]
    by = {"replay": (32, 2, 2, examples // 4, "nature", wide or 256), "reinforce": (8 * steps, 1, parts, examples, None, wide)}
    steps, times, parts, examples, seen, wide = by.get(method, (steps, times, parts, examples, None, wide))
    shape = {"environments": environments or many, "steps": steps, "epochs": epochs or times, "minibatches": parts}
    train = play.load(data or play.atari(game), sticky=sticky, lives=lives, restart=2**14 // steps, **shape)
    net = Agent(train.seen, train.actions, train.box, encoder or seen or "small", wide, norm=method in ("pqn", "replay"))
    usual, fall = (5e-4, 0.4) if method == "replay" else (2.5e-4 if method == "pqn" or size == "base" else 1e-3, 0.98)
    near, old = {"clip": 0.1, "entropy": entropy, "value_clip": None}, {"moving": True, "points": train.name == "ALE/Pong-v5"}
    kind, own = {"ppo": (PPO, near), "pqn": (PQN, {}), "replay": (PQN, games(examples)), "reinforce": (Reinforce, old)}[method]
    objective = kind(net, train, **own | {"rate": rate or usual, "discount": discount, "rewards": "sign"})
    scores = Playing(train, episodes=3, watched=1) if size == "tiny" else Playing(train, watched=4)  # games are long
    return Recipe(train, objective, train.environments * steps, examples, seed, held(fall), show=0, evaluation=scores)
