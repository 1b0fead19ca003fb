"""Train the digit classifier whose features `gannet evaluate` measures in, and say what its score sees.

    python bench/features.py            (about six minutes on two cores)
    python bench/features.py --probe    (the shipped net: FID of real test digits, spoilt in known ways)

Written: src/gannet/evaluation/digits.safetensors, and digits.json beside it: sha256, accuracy, command, versions.
The length and everything else were fixed beforehand; the test set is looked at once, at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save

from gannet.data import images
from gannet.evaluation import features, sets
from gannet.evaluation.images import accuracy, classifier
from gannet.rng import Rng

EPOCHS = 16


def make(epochs: float, seed: int, precision: str, out: Path) -> None:
    """Train, write the weights and their record."""
    train, test = images.load("mnist", "train"), images.load("mnist", "test")
    began = time.monotonic()

    def tell(step: int, seen: dict[str, float]) -> None:
        print(f"step {step}  {time.monotonic() - began:4.0f} s  loss {seen['classifier']:.3f}", flush=True)

    net = classifier(train, seed, epochs, precision=precision, every=[(500, tell)])
    content = save({name: tensor.cpu().contiguous() for name, tensor in net.state_dict().items()})
    record = {
        "what": "digit classifier, gannet.nets.images.Classifier(28, 1, 10); features: the averages before its last layer",
        "data": "mnist/train, 60,000 pictures",
        "command": f"python bench/features.py --epochs {epochs:g} --seed {seed} --precision {precision}",
        "test_accuracy": accuracy(net, test),
        "test_pictures": len(test),
        "parameters": sum(p.numel() for p in net.parameters()),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    out.write_bytes(content)
    out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


def spoilt(x_NCHW: torch.Tensor, y_N: torch.Tensor) -> dict[str, torch.Tensor]:
    """Real pictures with known faults, bytes."""
    x, rng = x_NCHW.float(), Rng(0, 0, "probe")
    noise = rng.normal(*x.shape)
    order = torch.randperm(len(x), generator=rng.generator)
    kernel = torch.tensor([1.0, 2.0, 1.0])
    blur = F.conv2d(F.pad(x, (1, 1, 1, 1)), (kernel[:, None] * kernel / 16)[None, None])
    thick = F.max_pool2d(x, 3, 1, 1)
    half = x.clone()
    half[order[: len(x) // 20], :, :14] = 0
    kept = x[y_N != 4]
    return {
        "as they are": x,
        "noise of 2 in 255": x + 2 * noise.abs(),
        "noise of 8 in 255": x + 8 * noise.abs(),
        "half blurred": (x + blur) / 2,
        "blurred": blur,
        "moved by a pixel": x.roll(1, 3),
        "strokes a third as thick again": (2 * x + thick) / 3,
        "one in twenty without its upper half": half,
        "no 4": kept[torch.arange(len(x)) % len(kept)],
        "a thousand of them ten times": x[:1000].repeat(10, 1, 1, 1),
    }


def probe() -> None:
    """What the score of spoilt test digits is, in the shipped net."""
    train, test = images.load("mnist", "train"), images.load("mnist", "test")
    net = features.digits()
    reference = sets.Gaussian.of(net.measure(train.x_NCHW))
    assert test.labels_N is not None
    for what, x in spoilt(test.x_NCHW, test.labels_N).items():
        x = x.round().clamp(0, 255).to(torch.uint8)
        print(f"{what:40}{sets.frechet(sets.Gaussian.of(net.measure(x)), reference):9.3f}", flush=True)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--epochs", type=float, default=EPOCHS)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    words.add_argument("--out", type=Path, default=features.DIGIT_NET)
    words.add_argument("--probe", action="store_true")
    given = words.parse_args()
    if given.probe:
        probe()
    else:
        make(given.epochs, given.seed, given.precision, given.out)


if __name__ == "__main__":
    main()
