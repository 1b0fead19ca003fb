"""Draw pictures with R3GAN as it was published: for GPUs, and to measure our own nets against.

Arm: images
"""

from typing import Literal

from gannet.data import images
from gannet.evaluation.images import Pictures
from gannet.nets.r3gan import PRESETS, Critic, Generator, check, count
from gannet.objectives import augment, gan
from gannet.recipe import Recipe, eased


def r3gan(
    size: Literal["tiny", "small", "base"] = "base",
    data: str = "fashion-mnist",
    preset: Literal["cifar-10", "ffhq-64", "imagenet-32"] = "cifar-10",
    classes: bool = True,
    rate: float = 2e-4,
    gamma: float | None = None,
    seed: int = 0,
) -> Recipe:
    """Huang et al. 2024 (arXiv 2501.05441): its nets, exact penalties, schedules and settings. Unverified at its own sizes.

    Args:
        size: base is the preset, for GPUs (torchrun for several); tiny and small are the same recipe at a CPU's size
        data: a folder or a zip of pictures, or a named set (gannet data list)
        preset: published settings; they say how large the pictures are
        classes: learn one class per folder, where there are folders
        rate: of both nets at first; a quarter of it at last
        gamma: weight of R1 + R2 at first, a tenth of it at last; the preset's, or by size for tiny and small
        seed: of everything that is random
    """
    p = PRESETS[preset]
    pixels = p.pixels if size == "base" else None
    found = images.load(data, "train", pixels)
    train = found if classes else found.without_classes()
    nets = {"widths": p.widths, "blocks": p.blocks, "groups": p.groups}
    batch, decay, first, half_life, most = p.batch, p.decay, p.gamma[0], p.half_life, p.augmented
    if size == "base":
        check(preset, found.pixels)
    else:
        width, batch, decay = {"tiny": (8, 16, 3_200), "small": (64, 32, 1_500_000)}[size]
        stages = count(train.pixels)
        nets = {"widths": (width,) * stages, "blocks": 1, "groups": (width // 8,) * stages}
        first, half_life = gan.suggest_gamma(train.pixels, train.channels, batch), decay / 40
    first, kinds = first if gamma is None else gamma, len(train.classes)
    shape = {"pixels": train.pixels, "channels": train.channels, "classes": kinds, **nets}
    courses = {"gamma": gan.Course(first, first / 10, decay), "beta2": gan.Course(0.9, 0.99, decay)}
    courses |= {"half_life": gan.Course(half_life / 100, half_life, decay), "strength": gan.Course(0, most, decay)}
    how = {"penalty": "exact", "again": False, "augment": augment.change, "half_life": half_life, "courses": courses}
    objective = gan.Gan(Generator(**shape), Critic(**shape), gamma=first, rate=rate, classes=kinds, **how)
    scores = Pictures(found, images.load(data, "test", pixels))
    return Recipe(train, objective, batch, decay, seed, eased(decay), evaluation=scores)
