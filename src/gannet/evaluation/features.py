"""Nets that turn pictures into the numbers in which scores are measured: one for digits, a random one, Inception and DINOv2.

A score means nothing without the net behind it, so each has a name, a layer and a sha256 that go into every report.
The last two are downloaded, the first two are not.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from gannet.data import images, ledger
from gannet.errors import Wrong
from gannet.nets.images import Classifier
from gannet.nets.residual import RECTIFIED, activate
from gannet.rng import Rng

DIGIT_NET = Path(__file__).parent / "digits.safetensors"  # by bench/features.py, recorded in digits.json beside it


@dataclass(frozen=True)
class Features:
    """A feature net.

    Attributes:
        name: for reports
        layer: which of its layers
        sha256: of its weights
        measure: byte pictures (N, C, H, W) -> features (N, D), float32
        logits: features (N, D) -> logits of the classes (N, K), or None where it knows no classes
        note: what to keep in mind when reading its scores
    """

    name: str
    layer: str
    sha256: str
    measure: Callable[[torch.Tensor], torch.Tensor]
    logits: Callable[[torch.Tensor], torch.Tensor] | None = None
    note: str = ""

    @property
    def classify(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Features (N, D) -> class numbers (N,), or None where it knows no classes."""
        logits = self.logits
        return None if logits is None else lambda x_ND: logits(x_ND).argmax(1)

    def facts(self) -> dict[str, str]:
        """What a report says of it."""
        return {"name": self.name, "layer": self.layer, "sha256": self.sha256, "note": self.note}


def in_parts(net: Callable[[torch.Tensor], torch.Tensor], x_NCHW: torch.Tensor, part: int = 500) -> torch.Tensor:
    """A net's outputs on byte pictures, a part at a time."""
    with torch.no_grad():
        return torch.cat([net(images.to_float(x)) for x in x_NCHW.split(part)])


@functools.lru_cache(maxsize=1)
def digits() -> Features:
    """A residual digit classifier, trained by bench/features.py and shipped with the package.

    Raises:
        Wrong: where the shipped file is not the one that was recorded.
    """
    record = json.loads(DIGIT_NET.with_suffix(".json").read_text(encoding="utf-8"))
    found = hashlib.sha256(DIGIT_NET.read_bytes()).hexdigest()
    if found != record["sha256"]:
        raise Wrong("the digit classifier is not the one that was recorded", got=DIGIT_NET, try_="installing gannet again")
    with torch.random.fork_rng(devices=[]):  # a caller's own random numbers stay as they were
        net = Classifier(28, 1, 10)
    net.load_state_dict(load_file(DIGIT_NET))
    net.eval().requires_grad_(False)
    return Features(
        "gannet digits 1",
        f"the {net.name.in_features} averages before the last layer",
        found,
        measure=lambda x: in_parts(net.features, x),
        logits=net.name,
        note=f"a classifier that is right on {record['test_accuracy']:.2%} of MNIST's test set",
    )


class RandomNet(nn.Module):
    """Convolutions that halve the picture until it has 4 pixels or fewer, then a dense layer; never trained."""

    def __init__(self, pixels: int, channels: int, out: int = 64, width: int = 32):
        super().__init__()
        layers: list[nn.Module] = []
        while pixels > 4:
            layers.append(nn.Conv2d(channels, width, 3, 2, 1))
            channels, pixels, width = width, -(-pixels // 2), min(2 * width, 128)
        self.layers = nn.ModuleList([*layers, nn.Linear(channels * pixels**2, out)])
        rng = Rng(0, 0, "random features")
        for name, parameter in self.named_parameters():
            fan = parameter[0].numel()
            draw = rng.normal(*parameter.shape) * (RECTIFIED / math.sqrt(fan)) if name.endswith("weight") else torch.zeros(())
            with torch.no_grad():
                parameter.copy_(draw)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        *convolutions, dense = self.layers
        for layer in convolutions:
            x_NCHW = activate(layer(x_NCHW))
        return dense(x_NCHW.flatten(1))


@functools.lru_cache(maxsize=4)
def random(pixels: int, channels: int) -> Features:
    """An untrained net with fixed weights, for pictures that no shipped net knows (Naeem et al. 2020, arXiv 2002.09797, 4.3).

    It ranks generators of such pictures better than a net trained on photographs does, and needs no download. Its
    numbers compare with nothing but themselves.
    """
    with torch.random.fork_rng(devices=[]):
        net = RandomNet(pixels, channels).eval().requires_grad_(False)
    digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest()
    return Features(
        f"gannet random 1, {pixels} pixels, {channels} channel(s)",
        "64 outputs",
        digest,
        measure=lambda x: in_parts(net, x),
        note="an untrained net: it sees shapes, not meaning",
    )


def inception() -> Features:
    """Inception-v3's 2048 averages, as FID was first defined (Heusel et al. 2017), through torch-fidelity. Unverified.

    Its weights are downloaded by torch-fidelity when they are first used.

    Raises:
        Wrong: where torch-fidelity or torchvision cannot be imported, or the weights cannot be had.
    """
    try:  # an installed torchvision that does not fit torch raises RuntimeError
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )
    except (ImportError, RuntimeError) as error:
        needs = "pip install torch-fidelity, with a torchvision that fits your torch"
        raise Wrong("Inception features need torch-fidelity", got=" ".join(str(error).split()), try_=needs) from error
    if ledger().offline:
        raise Wrong("Inception's weights are downloaded, and --offline forbids it", try_="--features auto", usage=True)
    try:
        net: Any = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).eval()
    except OSError as error:
        raise Wrong("Inception's weights cannot be downloaded", got=str(error), try_="--features auto") from error

    def measure(x_NCHW: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([net(x.expand(-1, 3, -1, -1).contiguous())[0] for x in on_white(x_NCHW).split(50)])

    digest = hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in net.parameters())).hexdigest()
    note = "trained on photographs; grey pictures are repeated in three channels, the net resizes to 299 pixels itself"
    return Features("torch-fidelity inception-v3-compat", "2048", digest, measure, note=note)


def dinov2() -> Features:
    """DINOv2's ViT-L/14, the token that stands for the whole picture (Stein et al. 2023, arXiv 2306.04675, who found that
    it agrees with people where Inception does not), through transformers. Unverified with its own weights.

    Pictures become 224 pixels, bicubic, in ImageNet's mean and spread, as there. Its weights are downloaded when they are
    first used; on a CPU it takes about a second a picture.

    Raises:
        Wrong: where transformers cannot be imported, or the weights cannot be had.
    """
    name = "facebook/dinov2-large"
    try:
        from transformers import Dinov2Model  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:
        raise Wrong(
            "DINOv2's features need transformers", got=" ".join(str(error).split()), try_="pip install transformers"
        ) from error
    try:
        net: Any = Dinov2Model.from_pretrained(name, local_files_only=ledger().offline).eval().requires_grad_(False)
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise Wrong("DINOv2's weights cannot be had", got=f"{name}: {reason}", try_="--features auto") from error

    def measure(x_NCHW: torch.Tensor) -> torch.Tensor:
        return dinov2_tokens(net, x_NCHW)

    digest = hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in net.parameters())).hexdigest()
    note = "trained without labels on 142 million photographs; grey pictures are repeated in three channels"
    return Features(name, "the class token after the last layer", digest, measure, note=note)


def dinov2_tokens(net: Any, x_NCHW: torch.Tensor, part: int = 20) -> torch.Tensor:
    """The class tokens (N, D) of byte pictures, as DINOv2 wants them prepared."""
    mean, spread = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    tokens = []
    for x in on_white(x_NCHW).split(part):
        large = F.interpolate(x.expand(-1, 3, -1, -1).float() / 255, (224, 224), mode="bicubic", antialias=True)
        with torch.no_grad():
            tokens.append(net((large.clamp(0, 1) - mean) / spread).last_hidden_state[:, 0].float())
    return torch.cat(tokens)


def on_white(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Byte pictures with transparency as they look on white; others as they are."""
    if x_NCHW.shape[1] != 4:
        return x_NCHW
    return (x_NCHW[:, :3].int() + 255 - x_NCHW[:, 3:].int()).clamp(0, 255).to(torch.uint8)


def choose(data: images.Images, wish: str = "auto") -> Features:
    """The feature net for a data set: the digit classifier for mnist, the random net for everything else.

    Args:
        wish: auto, digits, random, inception or dinov2

    Raises:
        Wrong: for pictures that the wished net cannot take.
    """
    if wish == "auto":
        wish = "digits" if (data.name, data.pixels, data.channels) == ("mnist", 28, 1) else "random"
    if wish == "digits":
        if (data.pixels, data.channels) != (28, 1):
            shape = f"{data.pixels} pixels, {data.channels} channel(s)"
            raise Wrong(
                "the digit classifier takes grey pictures of 28 pixels", got=shape, try_="--features random", usage=True
            )
        # Elsewhere its features may serve, but what it takes for digits are none.
        return digits() if data.name == "mnist" else dataclasses.replace(digits(), logits=None)
    if wish == "random":
        return random(data.pixels, data.channels)
    if wish == "inception":
        return inception()
    if wish == "dinov2":
        return dinov2()
    raise Wrong("no such features", got=wish, try_="auto, digits, random, inception or dinov2", usage=True)
