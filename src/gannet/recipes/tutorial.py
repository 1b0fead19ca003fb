"""The tutorial's dense GAN made to work (docs/tutorial.md): the baseline.

Arm: images
"""

from typing import Literal

from gannet.data import images
from gannet.evaluation.images import Pictures
from gannet.nets.dense import Critic, Generator
from gannet.objectives import gan
from gannet.recipe import Recipe, constant


def tutorial(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "mnist",
    rate: float = 1e-4,
    seed: int = 0,
) -> Recipe:
    """100 numbers of noise, dense residual blocks, 784 outputs with tanh, a sigmoid critic, Adam at 1e-4.

    Args:
        size: tiny for tests; small and base differ in width and length
        data: mnist, fashion-mnist, digits8 (embedded, 8 pixels) or bars (drawn)
        rate: learning rate of both nets
        seed: of everything that is random
    """
    width, batch, examples = {"tiny": (32, 16, 3_200), "small": (128, 64, 3_000_000), "base": (512, 64, 12_000_000)}[size]
    pictures = images.load(data, "train")
    train = pictures.without_classes()
    generator = Generator(train.pixels, train.channels, width=width)
    critic = Critic(train.pixels, train.channels, width=width)
    plain = {"contest": gan.nonsaturating, "penalty": "none", "half_life": 0}  # nothing that the tutorial does not have
    objective = gan.Gan(generator, critic, rate=rate, betas=(0.9, 0.999), **plain)
    scores = Pictures(pictures, images.load(data, "test"))
    return Recipe(train, objective, evaluation=scores, batch=batch, examples=examples, seed=seed, schedule=constant)
