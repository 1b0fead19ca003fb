"""Play: an agent learns any Gymnasium environment, by PPO or by Q-learning.

Arm: play
"""

from typing import Any, Literal

from gannet.data import play as played
from gannet.evaluation.play import Playing
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PIXELS, PQN, VECTORS
from gannet.recipe import Recipe, falling


def play(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "CartPole-v1",
    method: Literal["ppo", "pqn"] = "ppo",
    net: Literal["auto", "dense", "small", "nature", "impala"] = "auto",
    rate: float | None = None,
    discount: float = 0.99,
    entropy: float = 0.01,
    environments: int | None = None,
    workers: bool = False,
    restart: int | None = None,
    seed: int = 0,
) -> Recipe:
    """An agent that sees vectors or pixels and chooses among actions, or gives numbers.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (unverified)
        data: an environment's id (CartPole-v1, ALE/Pong-v5, highway-fast-v0), or package.module:EnvClass of your own
        method: ppo, or pqn, a Q-network without replay and target, for a choice among actions; it explores by itself
        net: dense for vectors, small, nature or impala for pixels; auto is dense or small
        rate: peak learning rate; without, 2.5e-3 for vectors and 5e-4 for pixels, of pqn 1e-3 and 2.5e-4
        discount: what a reward is worth a step later
        entropy: of ppo: weight of the policy's entropy, which keeps it trying
        environments: that are played side by side; without, 8 (pqn: 32; base: 64)
        workers: each environment in a process of its own, for slow ones
        restart: rollouts after which environments begin anew, longer than episodes; a resume plays again what came since
        seed: of everything that is random
    """
    numbers = {"tiny": (32, 8, 32, 8, 1, 50_000), "small": (64, 8, 128, 4, 4, 500_000), "base": (512, 64, 128, 4, 4, 2 * 10**7)}
    width, many, steps, epochs, parts, examples = numbers[size]
    many, steps, epochs, parts = (max(many, 32), 32, 4, 8) if method == "pqn" else (many, steps, epochs, parts)
    rollout = {"environments": environments or many, "steps": steps, "epochs": epochs, "minibatches": parts, "restart": restart}
    train = played.load(data, workers=workers, **rollout)
    encoder = ("small" if train.bytes else "dense") if net == "auto" else net
    width = width if encoder == "dense" or size == "tiny" else None  # pixels: the published widths
    made = Agent(train.seen, train.actions, train.box, encoder, width, norm=method == "pqn")
    named: dict[str, Any] = {"rewards": "sign" if data.startswith("ALE/") else "running", "discount": discount}
    if method == "pqn":
        objective = PQN(made, train, **(PIXELS if train.bytes else VECTORS) | named | ({"rate": rate} if rate else {}))
    else:
        words = {"rate": rate or (5e-4 if train.bytes else 2.5e-3), "entropy": entropy, "value_clip": None}
        objective = PPO(made, train, **words, **named)
    batch, scores = train.environments * train.steps, Playing(train)
    rest = {"seed": seed, "schedule": falling, "show": 0, "evaluation": scores}
    return Recipe(train, objective, batch=batch, examples=examples, **rest)
