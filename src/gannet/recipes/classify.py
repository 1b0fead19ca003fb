"""Tell pictures apart: a residual net on digits, clothes, or class folders of your own, with its mistakes and doubts counted.

Arm: images
"""

from typing import Literal

from gannet.data import images
from gannet.evaluation.classes import Classes
from gannet.nets.images import Classifier
from gannet.nets.resnet import ResNet
from gannet.objectives.classify import Classify
from gannet.recipe import Recipe, one_cycle


def classify(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "mnist",
    net: Literal["small", "fine", "resnet-18", "resnet-34", "resnet-50"] = "small",
    pixels: int | None = None,
    change: Literal["auto", "hand", "photo", "none"] = "auto",
    mirror: bool = True,
    mixup: float = 0.0,
    smoothing: float = 0.05,
    batch: int | None = None,
    rate: float = 4e-3,
    seed: int = 0,
) -> Recipe:
    """A classifier, its running average judged by accuracy with an interval, calibration, and a table of the classes.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU
        data: mnist, fashion-mnist, cifar-10, a folder or zip with a folder for each class, or a Hugging Face data set
        net: small looks at four pixels at once, fine at every one, better in long runs; or He et al.'s ResNets
        pixels: sides of a folder's pictures, 8 to 128
        change: of training pictures: as a hand would (turned, slanted, resized), as photos (moved, mirrored), or none
        mirror: pictures in colour are mirrored, one in two; --no-mirror where left is not right: arrows, letters, signs
        mixup: alpha of mixing pictures with one another; 0 is none, 0.2 is usual
        smoothing: share of the target that is spread over all classes
        batch: pictures per step; without, 128 (tiny: 32, base: 512), or half as often as the memory that is free requires
        rate: peak learning rate
        seed: of everything that is random
    """
    numbers = {"tiny": ((8, 12, 16), 32, 2, 80), "small": ((32, 64, 128), 128, 20, 500), "base": ((64, 128, 256), 512, 60, 500)}
    widths, usual, epochs, least = numbers[size]
    finer = {"tiny": (8, 12, 16), "small": (24, 48, 96), "base": (64, 128, 256)}[size]
    batch = usual if batch is None else batch
    train, watched = images.with_classes(images.load(data, "train", pixels)).parted(20)
    kinds = len(train.classes)
    if net in ("small", "fine"):
        fine = net == "fine"
        made = Classifier(train.pixels, train.channels, kinds, widths=finer if fine else widths, blocks=2, fine=fine)
    else:
        depths: dict[str, Literal[18, 34, 50]] = {"resnet-18": 18, "resnet-34": 34, "resnet-50": 50}
        made = ResNet(train.channels, kinds, depth=depths[net], stem="small" if train.pixels <= 64 else "large")
    objective = Classify(made, kinds, rate=rate, smoothing=smoothing, mixup=mixup, half_life=len(train) / 4)
    scores = Classes(train, watched, images.load(data, "test", pixels))
    examples = max(epochs * len(train), least * batch)  # a hundred pictures want more than twenty steps
    rest = {"examples": examples, "seed": seed, "schedule": one_cycle, "bfloat16": True, "show": 0, "evaluation": scores}
    return Recipe(images.shaken(train, change, mirror), objective, batch, **rest)
