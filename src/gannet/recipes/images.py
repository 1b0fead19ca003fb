"""Draw pictures like those in a folder of your own.

Arm: images
"""

from typing import Literal

from gannet.data import images as pictures
from gannet.errors import Wrong
from gannet.evaluation.images import Pictures
from gannet.nets.images import Critic, Generator
from gannet.objectives import augment, gan
from gannet.recipe import Recipe, inverse_root


def images(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "fashion-mnist",
    pixels: int | None = None,
    classes: bool = True,
    batch: int | None = None,
    rate: float = 3e-3,
    gamma: float | None = None,
    augmented: bool = True,
    seed: int = 0,
) -> Recipe:
    """`digits` for anybody's pictures: any sizes and formats, grey, colour or with transparency, folders as classes.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (unverified)
        data: a folder or a zip of pictures, or a named set (gannet data list)
        pixels: sides of what is drawn, 8 to 128; without, as small as the pictures are, 64 at most; named sets have their own
        classes: learn one class per folder, where there are folders
        batch: pictures per step; without, 64 (base: 256), or half as often as the memory that is free requires
        rate: peak learning rate of both nets
        gamma: weight of the penalty; chosen from pixels, channels and batch unless given
        augmented: show the critic moved, cut and recoloured pictures, the more the further it is ahead
        seed: of everything that is random
    """
    width, usual, examples = {"tiny": (8, 16, 3_200), "small": (48, 64, 1_500_000), "base": (192, 256, 20_000_000)}[size]
    batch = usual if batch is None else batch
    found = pictures.load(data, "train", pixels)
    if pixels not in (None, found.pixels):
        try_ = f"without --pixels: they have {found.pixels}"
        raise Wrong("the pictures of a named set are of one size", got=f"--pixels {pixels}", try_=try_, usage=True)
    train = found if classes else found.without_classes()
    kinds = len(train.classes)
    generator = Generator(train.pixels, train.channels, classes=kinds, width=width)
    critic = Critic(train.pixels, train.channels, classes=kinds, width=width)
    gamma = gan.suggest_gamma(train.pixels, train.channels, batch) if gamma is None else gamma
    change = augment.change if augmented else None
    objective = gan.Gan(generator, critic, gamma=gamma, rate=rate, classes=kinds, augment=change, **gan.PLAY)
    scores = Pictures(found, pictures.load(data, "test", pixels))
    numbers = {"batch": batch, "examples": examples, "seed": seed, "schedule": inverse_root}
    return Recipe(train, objective, evaluation=scores, **numbers)
