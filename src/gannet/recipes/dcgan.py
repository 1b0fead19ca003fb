"""DCGAN as everybody writes it (Radford et al. 2015): the peer that `digits` is measured against.

Arm: images
"""

from typing import Literal

from gannet.data import images
from gannet.evaluation.images import Pictures
from gannet.nets.dcgan import Critic, Generator
from gannet.objectives import gan
from gannet.recipe import Recipe, constant


def dcgan(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "mnist",
    rate: float = 2e-4,
    seed: int = 0,
) -> Recipe:
    """Strided convolutions, batch normalisation, the non-saturating loss, Adam at 2e-4 with beta 0.5, batch 128.

    Args:
        size: tiny for tests; small and base differ in width and length
        data: mnist, fashion-mnist, digits8 (embedded, 8 pixels) or bars (drawn)
        rate: learning rate of both nets
        seed: of everything that is random
    """
    width, batch, examples = {"tiny": (8, 16, 3_200), "small": (64, 128, 1_200_000), "base": (128, 128, 6_000_000)}[size]
    pictures = images.load(data, "train")
    train = pictures.without_classes()
    generator = Generator(train.pixels, train.channels, width=width)
    critic = Critic(train.pixels, train.channels, width=width)
    plain = {"contest": gan.nonsaturating, "penalty": "none", "half_life": 0}  # the paper averages nothing
    objective = gan.Gan(generator, critic, rate=rate, betas=(0.5, 0.999), **plain)
    scores = Pictures(pictures, images.load(data, "test"))
    return Recipe(train, objective, evaluation=scores, batch=batch, examples=examples, seed=seed, schedule=constant)
