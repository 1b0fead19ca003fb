"""Draw three digits at once, red, green and blue: does a GAN reach all 1,000 modes, and how evenly?

Arm: images
"""

from typing import Literal

from gannet.data import images
from gannet.evaluation.modes import Modes
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan
from gannet.recipe import Recipe, inverse_root


def stacked(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "mnist",
    contest: Literal["relativistic", "nonsaturating"] = "relativistic",
    penalised: Literal["both", "real", "fake"] = "both",
    rate: float = 3e-3,
    gamma: float = 0.1,
    seed: int = 0,
) -> Recipe:
    """The benchmark of mode coverage, StackedMNIST, without classes; `gannet evaluate` counts modes and their evenness.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (unverified)
        data: mnist, or another grey set with classes: fashion-mnist, digits8 (embedded, 8 pixels), bars (drawn, 8 modes)
        contest: relativistic pairs, or the GAN of 2014: what each keeps of the modes is the question
        penalised: hold down the critic's slope at real and drawn pictures (R1 and R2), or at one of them alone
        rate: peak learning rate of both nets
        gamma: weight of the penalty; larger ones, as other recipes have them, cost modes (docs/log.md, 2026-11-24)
        seed: of everything that is random
    """
    width, batch, examples = {"tiny": (8, 16, 3_200), "small": (32, 64, 3_000_000), "base": (128, 128, 40_000_000)}[size]
    pictures = images.load(f"stacked-{data}", "train")
    generator = Generator(pictures.pixels, pictures.channels, width=width)
    critic = Critic(pictures.pixels, pictures.channels, width=width)
    game = {"relativistic": gan.relativistic, "nonsaturating": gan.nonsaturating}[contest]
    objective = gan.Gan(generator, critic, contest=game, penalised=penalised, gamma=gamma, rate=rate, **gan.PLAY)
    scores = Modes(pictures, images.load(f"stacked-{data}", "test"))
    numbers = {"batch": batch, "examples": examples, "seed": seed, "schedule": inverse_root}
    return Recipe(pictures.without_classes(), objective, evaluation=scores, **numbers)
