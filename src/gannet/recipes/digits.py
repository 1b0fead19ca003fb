"""Draw handwritten digits with a residual GAN that a laptop trains in minutes.

Arm: images
"""

from typing import Literal

from gannet.data import images
from gannet.evaluation.images import Pictures
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan
from gannet.recipe import Recipe, inverse_root


def digits(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "mnist",
    classes: bool = True,
    rate: float = 3e-3,
    gamma: float | None = None,
    seed: int = 0,
) -> Recipe:
    """Two residual nets in a relativistic contest with zero-centred penalties (R3GAN), shaped for a CPU.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (only begun)
        data: mnist, fashion-mnist, digits8 (embedded, 8 pixels) or bars (drawn)
        classes: learn the classes too: better pictures, and one can be asked for in sampling; --no-classes leaves them out
        rate: peak learning rate of both nets
        gamma: weight of the penalty; chosen from pixels and batch unless given
        seed: of everything that is random
    """
    width, batch, examples = {"tiny": (8, 16, 3_200), "small": (32, 64, 1_500_000), "base": (128, 128, 20_000_000)}[size]
    pictures = images.load(data, "train")
    train = pictures if classes else pictures.without_classes()
    kinds = len(train.classes)
    generator = Generator(train.pixels, train.channels, classes=kinds, width=width)
    critic = Critic(train.pixels, train.channels, classes=kinds, width=width)
    gamma = gan.suggest_gamma(train.pixels, train.channels, batch) if gamma is None else gamma
    objective = gan.Gan(generator, critic, gamma=gamma, rate=rate, classes=kinds, **gan.PLAY)
    scores = Pictures(pictures, images.load(data, "test"))
    numbers = {"batch": batch, "examples": examples, "seed": seed, "schedule": inverse_root}
    return Recipe(train, objective, evaluation=scores, **numbers)
