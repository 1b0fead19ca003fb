"""Play: an agent learns any Gymnasium environment, by PPO or by Q-learning.

Arm: play
"""

from typing import Any, Literal

from gannet.data import play as played
from gannet.evaluation.play import Playing
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PIXELS, PQN, REPLAY, VECTORS
from gannet.recipe import Recipe, falling


def play(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "CartPole-v1",
    options: str | None = None,
    method: Literal["ppo", "pqn", "replay"] = "ppo",
    net: Literal["auto", "dense", "shallow", "small", "nature", "impala"] = "auto",
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
        options: its keyword arguments as JSON, as '{"is_slippery": false}' of FrozenLake-v1
        method: ppo; for choices also pqn, a Q-network without replay, and replay, one that remembers, for slow environments
        net: dense for vectors, shallow, small, nature or impala for pixels; auto is dense or small
        rate: peak learning rate; without, 2.5e-3 for vectors and 5e-4 for pixels, of pqn 1e-3 and 2.5e-4, of replay 5e-4
        discount: what a reward is worth a step later
        entropy: of ppo: weight of the policy's entropy, which keeps it trying
        environments: that are played side by side; without, 8 (pqn: 32; base: 64)
        workers: each environment in a process of its own, for slow ones
        restart: rollouts after which environments begin anew, longer than episodes; a resume plays again what came since
        seed: of everything that is random
    """
    numbers = {"tiny": (32, 8, 32, 8, 1, 50_000), "small": (64, 8, 128, 4, 4, 500_000), "base": (512, 64, 128, 4, 4, 2 * 10**7)}
    width, many, *shape, examples = numbers[size]
    many, *shape = {"ppo": (many, *shape), "pqn": (max(many, 32), 32, 4, 8), "replay": (many, 32, 2, 2)}[method]
    rollout = dict(zip(("steps", "epochs", "minibatches"), shape, strict=True))
    train = played.load(data, environments=environments or many, **rollout, options=options, workers=workers, restart=restart)
    encoder = ("small" if train.bytes else "dense") if net == "auto" else net
    width = width if encoder == "dense" or size == "tiny" else None  # pixels: the published widths
    made = Agent(train.seen, train.actions, train.box, encoder, width, norm=method != "ppo")
    pqn = PIXELS if train.bytes else VECTORS
    own = {"ppo": {"rate": 5e-4 if train.bytes else 2.5e-3}, "pqn": pqn, "replay": REPLAY}[method]
    named: dict[str, Any] = {"rewards": "sign" if data.startswith("ALE/") else "running", "discount": discount}
    named = own | named | ({"rate": rate} if rate else {})
    objective = PPO(made, train, entropy=entropy, value_clip=None, **named) if method == "ppo" else PQN(made, train, **named)
    rest = {"seed": seed, "schedule": falling, "show": 0, "evaluation": Playing(train)}
    return Recipe(train, objective, batch=train.environments * train.steps, examples=examples, **rest)
