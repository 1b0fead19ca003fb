"""The residual networks of He et al. 2015 (arXiv 1512.03385, Table 1) as published, and loading of published weights.

The sum comes before the last activation, with batch normalisation after every convolution, and a shortcut that changes
shape is a 1×1 convolution with stride (option B). `Classifier` in `images.py` is ours, of later blocks; these are for
comparison with what others report, and for weights that others have trained.

Shapes: N examples, C channels, H height, W width, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from gannet.errors import Wrong

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # in each of the four stages
COUNTER = "num_batches_tracked"  # of a batch normalisation: unused with a fixed momentum, absent from older files
# What published weights expect of each colour from 0 to 1: less the first, over the second.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Our layers and what torchvision and timm call them.
LAYERS = {"start": "conv1", "norm": "bn1", "name": "fc", "first": "conv1", "second": "conv2", "third": "conv3"}


def convolution(width: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, which the norm behind has; weights N(0, 2 / fan out) (He et al. 2015b, arXiv 1502.01852)."""
    layer = nn.Conv2d(width, out, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def norms(*widths: int) -> nn.ModuleList:
    """A block's normalisations. The last begins at zero, and so does F (Goyal et al. 2017, arXiv 1706.02677, section 5.1)."""
    layers = [nn.BatchNorm2d(width) for width in widths]
    nn.init.zeros_(layers[-1].weight)
    return nn.ModuleList(layers)


def shortcut(width: int, out: int, stride: int) -> nn.Module:
    """The identity where the shape stays, else a 1×1 convolution with the stride, and a norm."""
    if width == out and stride == 1:
        return nn.Identity()
    return nn.Sequential(convolution(width, out, 1, stride), nn.BatchNorm2d(out))


class Basic(nn.Module):
    """relu(shortcut(x) + F(x)), F = 3×3 with the stride, 3×3.

    Args:
        width: channels in
        inner: channels of the convolutions, and out
        stride: 2 halves the size
    """

    def __init__(self, width: int, inner: int, stride: int):
        super().__init__()
        self.first = convolution(width, inner, 3, stride)
        self.second = convolution(inner, inner, 3)
        self.norms = norms(inner, inner)
        self.shortcut = shortcut(width, inner, stride)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.norms[0](self.first(x_NCHW)))
        return F.relu(self.shortcut(x_NCHW) + self.norms[1](self.second(h)))


class Bottleneck(nn.Module):
    """relu(shortcut(x) + F(x)), F = 1×1, 3×3, and 1×1 to four times the channels.

    Args:
        width: channels in
        inner: channels of the first two convolutions, a quarter of those out
        stride: 2 halves the size
        early: in the first convolution, else in the second
    """

    def __init__(self, width: int, inner: int, stride: int, early: bool):
        super().__init__()
        self.first = convolution(width, inner, 1, stride if early else 1)
        self.second = convolution(inner, inner, 3, 1 if early else stride)
        self.third = convolution(inner, 4 * inner, 1)
        self.norms = norms(inner, inner, 4 * inner)
        self.shortcut = shortcut(width, 4 * inner, stride)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.norms[0](self.first(x_NCHW)))
        h = F.relu(self.norms[1](self.second(h)))
        return F.relu(self.shortcut(x_NCHW) + self.norms[2](self.third(h)))


class ResNet(nn.Module):
    """Pictures to a logit for each class.

    Args:
        channels: of the pictures
        classes: how many
        depth: layers with weights, shortcuts not counted; 18 and 34 have basic blocks, 50 has bottlenecks
        stem: "large" halves twice before the blocks, as published for 224 pixels; "small" not at all, for about 32
        width: channels of the first stage's blocks, doubled at every further stage; 64 as published
        early: bottlenecks halve in their first convolution, as in the paper; else in the 3×3 one, as torchvision and timm
            do and their weights need, for 6 % more arithmetic. Basic blocks always halve in their first
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        depth: Literal[18, 34, 50] = 18,
        stem: Literal["large", "small"] = "large",
        width: int = 64,
        early: bool = False,
    ):
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"a ResNet's depth is 18, 34 or 50, not {depth}")
        if stem not in ("large", "small"):
            raise ValueError(f"a ResNet's stem is large or small, not {stem}")
        self.depth = depth
        large = stem == "large"
        self.start = convolution(channels, width, 7, 2) if large else convolution(channels, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
        stages, before = [], width
        for stage, count in enumerate(BLOCKS[depth]):
            inner, blocks = width << stage, []
            for block in range(count):
                stride = 2 if stage and not block else 1
                blocks.append(Bottleneck(before, inner, stride, early) if depth == 50 else Basic(before, inner, stride))
                before = 4 * inner if depth == 50 else inner
            stages.append(nn.Sequential(*blocks))
        self.trunk = nn.ModuleList(stages)
        self.name = nn.Linear(before, classes)
        nn.init.zeros_(self.name.weight)  # so that the first loss is ln K
        nn.init.zeros_(self.name.bias)

    def stages(self, x_NCHW: torch.Tensor) -> list[torch.Tensor]:
        """(N, C, H, W) -> the maps behind each of the four stages, each half the size of the one before."""
        x = self.pool(F.relu(self.norm(self.start(x_NCHW.contiguous(memory_format=torch.channels_last)))))
        maps = []
        for stage in self.trunk:
            x = stage(x)
            maps.append(x)
        return maps

    def features(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the averages (N, D) from which classes are told; D is 8 widths, or 32 with bottlenecks."""
        return self.stages(x_NCHW)[-1].mean((2, 3))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> logits (N, K)."""
        return self.name(self.features(x_NCHW))


def published(name: str) -> str:
    """What torchvision and timm call a tensor of ours: trunk.1.0.norms.2.bias -> layer2.0.bn3.bias."""
    match name.split("."):
        case ["trunk", stage, block, "norms", place, kind]:
            return f"layer{int(stage) + 1}.{block}.bn{int(place) + 1}.{kind}"
        case ["trunk", stage, block, "shortcut", place, kind]:
            return f"layer{int(stage) + 1}.{block}.downsample.{place}.{kind}"
        case ["trunk", stage, block, layer, kind]:
            return f"layer{int(stage) + 1}.{block}.{LAYERS[layer]}.{kind}"
        case [layer, kind]:
            return f"{LAYERS[layer]}.{kind}"
    raise KeyError(name)


def of_usual_pictures(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Published weights for pictures in [-1, 1], which published nets are not fed: what they expect to be done to colours is
    done to the first convolution and the mean behind it. Exact but at the edge, where a net pads with 0, which now is grey.
    Weights that are not of three colours come back as they are.
    """
    weight, mean = state.get("conv1.weight"), state.get("bn1.running_mean")
    if weight is None or mean is None or weight.ndim != 4 or weight.shape[1] != len(MEAN):
        return dict(state)
    middle, deviation = (torch.tensor(values, dtype=weight.dtype).view(1, -1, 1, 1) for values in (MEAN, DEVIATION))
    shift = (weight * (0.5 - middle) / deviation).sum((1, 2, 3))  # of grey, the middle of [-1, 1]
    return {**state, "conv1.weight": weight * 0.5 / deviation, "bn1.running_mean": mean - shift}


def load_published(net: ResNet, state: Mapping[str, torch.Tensor]) -> list[str]:
    """Take over the weights of torchvision's or timm's ResNet of the same depth; all of them or, where one does not fit, none.

    The last layer stays as it is where the number of classes is another. A net of grey pictures gets the sum of the first
    convolution's weights over three colours, and says of a picture what the published one says of it thrice over, prepared
    alike: published weights expect each colour less its own mean and over its own deviation. Where bottlenecks halve,
    `early`, no weight tells.

    Args:
        net: it gets the weights
        state: tensors by their published names

    Returns:
        Names of our tensors that were not loaded; counters of batches, which nothing uses, are never among them.

    Raises:
        Wrong: naming the first tensor that is missing, unexpected or of another shape.
    """
    ours = net.state_dict()
    theirs = {name: published(name) for name in ours}
    known, usual = set(theirs.values()), f"resnet{net.depth} of torchvision or timm"
    for name in theirs.values():
        if name not in state and not name.endswith(COUNTER):
            raise Wrong(f"weights for a ResNet-{net.depth} lack a tensor", got=name, try_=usual)
    for name in state:
        if name not in known:
            raise Wrong(f"weights have a tensor that a ResNet-{net.depth} has not", got=name, try_=usual)
    loaded: dict[str, torch.Tensor] = {}
    for name, tensor in ours.items():
        if theirs[name] not in state:
            continue
        given, fits = state[theirs[name]], tuple(tensor.shape)
        shape = tuple(given.shape)
        if name.startswith("name."):
            fits = (*state["fc.weight"].shape[:1], *fits[1:])  # of any number of classes
        elif name == "start.weight" and fits[1] == 1 and shape == (fits[0], 3, *fits[2:]):
            given, shape = given.to(tensor).sum(1, keepdim=True), fits
        elif name == "start.weight" and fits[1] == 4 and shape == (fits[0], 3, *fits[2:]):  # colours are times alpha already
            given, shape = torch.cat([given.to(tensor), torch.zeros_like(given[:, :1]).to(tensor)], 1), fits
        if shape != fits:
            hint = "--pixels above 64, which have the published first layer" if name == "start.weight" else usual
            raise Wrong(f"weights do not fit this ResNet-{net.depth}", got=f"{theirs[name]} is {shape}, not {fits}", try_=hint)
        if given.shape == tensor.shape:
            loaded[name] = given
    with torch.no_grad():
        for name, given in loaded.items():
            ours[name].copy_(given)
    return [name for name in ours if name not in loaded and not name.endswith(COUNTER)]
