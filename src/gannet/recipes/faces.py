"""Recognise faces: a net whose vectors tell people apart that it has never seen, on drawn faces or a folder of your own.

Arm: images
"""

from typing import Literal

from gannet.data import faces as people
from gannet.data.images import Cropped
from gannet.evaluation.faces import Verification
from gannet.nets.faces import Embedder
from gannet.objectives.embed import Embed
from gannet.recipe import Recipe, one_cycle


def faces(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "faces",
    margin: Literal["arcface", "cosface", "adaface"] = "cosface",
    pixels: int | None = None,
    batch: int | None = None,
    rate: float = 4e-3,
    seed: int = 0,
) -> Recipe:
    """A net that makes a vector of a face, judged by pairs of pictures of people it has never seen.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (unverified)
        data: faces (drawn here, of nobody), or a folder or zip with a folder for each person
        margin: what keeps people apart: by angle (arcface), by cosine (cosface), or by angle and quality (adaface)
        pixels: sides of the pictures, 8 to 128; without, 48 for drawn faces
        batch: pictures per step; without, 128 (tiny: 32, base: 512), or half as often as the memory that is free requires
        rate: peak learning rate
        seed: of everything that is random
    """
    numbers = {
        "tiny": ((8, 12, 16), 1, 32, 32, 4, 120),
        "small": ((24, 48, 96, 128), 1, 128, 128, 30, 800),
        "base": ((64, 128, 256, 512), 2, 256, 512, 100, 800),
    }
    widths, blocks, long, usual, epochs, least = numbers[size]
    batch = usual if batch is None else batch
    train, watched, unseen = (people.load(data, split, pixels) for split in ("train", "watched", "test"))
    net = Embedder(train.pixels, train.channels, long, widths=widths, blocks=blocks)
    objective = Embed(net, len(train.classes), long, margin=margin, rate=rate, half_life=len(train) / 2)
    examples = max(epochs * len(train), least * batch)  # a hundred pictures want more than twenty steps
    changed = train if data == "bars" else Cropped(train, move=train.pixels // 12)  # a bar's place is who it is
    rest = {"examples": examples, "seed": seed, "schedule": one_cycle, "bfloat16": True, "show": 0}
    rest |= {"evaluation": Verification(watched, unseen)}
    return Recipe(changed, objective, batch, **rest)
