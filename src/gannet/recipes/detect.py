"""Find things and say what they are: a residual net without anchors, on scenes of many digits, or on your own boxes.

Arm: images
"""

from typing import Literal

from gannet.data import boxes
from gannet.evaluation.boxes import Detection
from gannet.nets.detector import Detector
from gannet.objectives.detect import Detect
from gannet.recipe import Recipe, one_cycle


def detect(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "mnist",
    pixels: int = 128,
    mirror: bool = True,
    batch: int | None = None,
    rate: float = 2e-3,
    seed: int = 0,
) -> Recipe:
    """A detector (Objects as Points), its running average judged by COCO's average precision on held-out scenes or pictures.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (only begun)
        data: a set of pictures with classes, of which scenes are drawn; or a folder or zip with boxes as COCO or YOLO have them
        pixels: of the sides of scenes, or of the squares that pictures are put into: a multiple of 4
        mirror: exchange left and right in one of two pictures of a folder; not for arrows, letters and the like
        batch: pictures per step; without, 16 (tiny: 8, base: 64), or half as often as the memory that is free requires
        rate: peak learning rate
        seed: of everything that is random
    """
    numbers = {"tiny": ((8, 12), 1, 8, 160), "small": ((48, 96, 128), 2, 16, 100_000), "base": ((96, 192, 384), 3, 64, 10**6)}
    widths, blocks, usual, examples = numbers[size]
    train, watched, test = boxes.load(data, pixels if size != "tiny" else min(pixels, 48), mirror=mirror)
    net = Detector(train.pixels, train.channels, len(train.classes), widths=widths, blocks=blocks)
    objective = Detect(net, len(train.classes), rate=rate)
    scores = Detection(train, watched, test)
    rest = {"examples": examples, "seed": seed, "schedule": one_cycle, "bfloat16": True, "show": 0, "evaluation": scores}
    return Recipe(train, objective, usual if batch is None else batch, **rest)
