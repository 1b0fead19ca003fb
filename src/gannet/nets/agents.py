"""Nets that play: an encoder of what is seen, and two heads on it, a policy and a value.

Six encoders. `dense` is a residual net for vectors, and `attention` one for those that are a table, a row for each car or
other body around (Leurent and Mercat 2019, arXiv 1911.12250); `nature` the convolutional net of Mnih et al. 2015 (Nature 518,
Methods: 32 8×8/4, 64 4×4/2, 64 3×3, 512 units); `impala` the residual one of Espeholt et al. 2018 (arXiv 1802.01561, figure 3,
the large one). Two of our own are for two cores, and look at places four pixels apart, as `nature` does: `small` is
convolutions with residuals below, `shallow` hands every place to a dense layer and is residual behind it. Each halving blurs
where things are, which is most of what a ball game asks (bench/eyes.py, docs/log.md).

Frames come as bytes and are turned into numbers once: where a net strides, squares of stride × stride pixels are first laid
behind one another (space to depth), as bytes, so that the convolution reads whole rows of 16 C numbers instead of strips of C.
Whoever looks at a frame several times calls `packed` once, and gives the net that.

A frame is seen less the mean frame, over the deviation of all places (`Eye`). Most of a game's picture never changes, and
what matters may be two pixels of it: of a picture from 0 to 1 a net sees first of all how grey the ground is.

Shapes: N examples, C stacked frames, H height, W width, D numbers of an observation, A actions, K numbers of a packed frame;
in a table R rows of D/R numbers, and in `Crowd` C numbers of a row's features, of which each head has E.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import nn

from gannet.errors import Wrong
from gannet.nets.residual import SLOPE, Block, Resize, Trunk, convolution
from gannet.nets.scales import Moments

Encoder = Literal["dense", "attention", "shallow", "small", "nature", "impala"]
Norm = Callable[[int], nn.Module]
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)
WIDTHS = {
    "dense": 64,
    "attention": 64,
    "shallow": 128,
    "small": 128,
    "nature": 512,
    "impala": 256,
}  # those of nature and impala as published
CHANNELS = {"shallow": 8}  # the width over this is the channels of the first convolution; over 16 where none is given
WORDS = {2: torch.int16, 4: torch.int32}  # as many bytes as an integer has
LEVEL = 1 / 255  # a grey level: what the deviation of frames is taken for at least
TINY = 0.01  # gain of a policy's layer: the first policy is nearly uniform


def together(width: int) -> nn.Module:
    """Layer normalisation: over all channels and places of each example (Ba et al. 2016, arXiv 1607.06450)."""
    return nn.GroupNorm(1, width)


def orthogonal(layer: Layer, gain: float = math.sqrt(2)) -> Layer:
    """Orthogonal weights (Saxe et al. 2013, arXiv 1312.6120), biases 0: what PPO's own code begins with."""
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def laid(x_NCHW: torch.Tensor, stride: int) -> torch.Tensor:
    """Squares of stride × stride places laid behind one another, (N, C, H, W) -> (N, H/s · W/s · C · s²), places first.

    What is left over on the right and below is not seen: fewer than `stride` pixels.
    """
    n, channels, height, width = x_NCHW.shape
    h, w = height // stride, width // stride
    x = x_NCHW[:, :, : h * stride, : w * stride]
    words = x.dtype == torch.uint8 and stride in WORDS and not torch.compiler.is_exporting()  # which ONNX has no word for
    if words:  # what lies side by side stays so: moved as one number, in half the time
        x = x.contiguous().view(WORDS[stride]).view(n, channels, h, stride, w).permute(0, 2, 4, 1, 3)
        return x.reshape(n, -1).view(torch.uint8)
    x = x.reshape(n, channels, h, stride, w, stride)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(n, -1)


def spread(x_K: torch.Tensor, shape: tuple[int, int, int], stride: int) -> torch.Tensor:
    """What `laid` has laid, one frame of it (K,), as a picture of this shape (C, H, W); 0 where pixels were left over."""
    channels, height, width = shape
    h, w = height // stride, width // stride
    x_CHW = x_K.view(h, w, channels, stride, stride).permute(2, 0, 3, 1, 4).reshape(channels, h * stride, w * stride)
    return F.pad(x_CHW, (0, width - w * stride, 0, height - h * stride))


class Eye(nn.Module):
    """The first convolution, of bytes 0 to 255 or floats 0 to 1: kernel 2s, stride s, no padding; or 3×3 where s is 1.

    Of frames less their mean, over the root of the mean variance of their places: both as `moments` has them, which begin at 0
    and 1 and are told by whoever trains. Computed as a 2×2 convolution of `laid` frames, which is the same (a test compares
    them).

    Args:
        seen: (C, H, W)
        out: channels
        stride: s

    Attributes:
        moments: of each place of a frame, from 0 to 1, in the order of `laid`
    """

    def __init__(self, seen: tuple[int, int, int], out: int, stride: int):
        super().__init__()
        channels, height, width = seen
        self.stride, self.shape = stride, (channels * stride**2, height // stride, width // stride)
        kernel = 3 if stride == 1 else 2 * stride
        self.convolution = orthogonal(nn.Conv2d(channels, out, kernel, stride, padding=1 if stride == 1 else 0))
        self.moments = Moments(math.prod(self.shape))

    def forward(self, x_NK: torch.Tensor) -> torch.Tensor:
        """Frames that were laid (N, K), uint8 or float -> (N, out, H', W'), channels last."""
        channels, height, width = self.shape
        conv, stride = self.convolution, self.stride
        white = 255 if x_NK.dtype == torch.uint8 else 1
        weight = conv.weight / (white * self.moments.variance.mean().sqrt().clamp(min=LEVEL))
        mean_K = white * self.moments.mean
        # In place where it is a copy in any case: a second one of a minibatch is a tenth of learning's time.
        x_NK = x_NK - mean_K if white == 1 else x_NK.to(weight.dtype).sub_(mean_K)
        x_NCHW = x_NK.view(-1, height, width, channels).permute(0, 3, 1, 2)
        if stride == 1:
            return F.conv2d(x_NCHW, weight, conv.bias, padding=1)
        weight = weight.unflatten(3, (2, stride)).unflatten(2, (2, stride))  # (out, C, 2, s, 2, s)
        weight = weight.permute(0, 1, 3, 5, 2, 4).flatten(1, 3).contiguous(memory_format=torch.channels_last)
        return F.conv2d(x_NCHW, weight, conv.bias)


class Halved(nn.Module):
    """A block at half the size; a place that is missing on the right or below is 0."""

    def __init__(self, width: int, out: int, norm: Norm | None):
        super().__init__()
        self.block = Block(width, out, resample="down", norm=norm)
        # At torch's own gain a few pixels' difference would come out a third as large, of two blocks (docs/log.md, 2026-11-26).
        orthogonal(cast(nn.Conv2d, cast(Resize, self.block.enter).mix), 1.0)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        height, width = x_NCHW.shape[2:]
        if height % 2 or width % 2:
            x_NCHW = F.pad(x_NCHW, (0, width % 2, 0, height % 2))
        return self.block(x_NCHW)


class Plain(nn.Module):
    """x + conv(relu(conv(relu(x)))), of Espeholt et al. 2018, figure 3."""

    def __init__(self, width: int, norm: Norm | None):
        super().__init__()
        self.first, self.last = convolution(2, width, width), convolution(2, width, width)
        self.norms = nn.ModuleList([norm(width) if norm else nn.Identity() for _ in range(2)])

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        h = self.first(F.relu(self.norms[0](x_NCHW)))
        return x_NCHW + self.last(F.relu(self.norms[1](h)))


def rectified(width: int, norm: Norm | None, slope: float = 0) -> list[nn.Module]:
    """What stands behind a layer: the normalisation that is asked for, and the rectifier."""
    return [*([norm(width)] if norm else []), nn.LeakyReLU(slope) if slope else nn.ReLU()]


def nature(eye: Eye, channels: int, norm: Norm | None) -> list[nn.Module]:
    """Mnih et al. 2015: three convolutions, rectified."""
    second, third = orthogonal(nn.Conv2d(channels, 2 * channels, 4, 2)), orthogonal(nn.Conv2d(2 * channels, 2 * channels, 3))
    begin, then = rectified(channels, norm), [rectified(2 * channels, norm) for _ in range(2)]
    return [eye, *begin, second, *then[0], third, *then[1], nn.Flatten()]


def shallow(eye: Eye, channels: int, norm: Norm | None) -> list[nn.Module]:
    """Ours: a first look alone. What is seen, and where, is left to the layers behind it."""
    return [eye, *rectified(channels, norm, SLOPE), nn.Flatten()]


def small(eye: Eye, channels: int, norm: Norm | None) -> list[nn.Module]:
    """Ours: a first look, then residual blocks, each at half the size of the one before, down to at most 5 × 5 places."""
    layers: list[nn.Module] = [eye, *rectified(channels, norm, SLOPE)]
    size, at = channels, max(eye.shape[1:]) - (eye.stride > 1)
    while at > 5:
        layers.append(Halved(size, min(2 * size, 4 * channels), norm))
        size, at = min(2 * size, 4 * channels), -(-at // 2)
    return [*layers, *rectified(size, norm, SLOPE), nn.Flatten()]


def impala(eye: Eye, channels: int, norm: Norm | None) -> list[nn.Module]:
    """Espeholt et al. 2018: three times a convolution, pooling to half the size, and two residual blocks: 15 convolutions."""
    layers: list[nn.Module] = []
    for before, size in ((0, channels), (channels, 2 * channels), (2 * channels, 2 * channels)):
        layers += [convolution(2, before, size) if before else eye]
        layers += [nn.MaxPool2d(3, 2, padding=1), Plain(size, norm), Plain(size, norm)]
    return [*layers, *rectified(2 * channels, norm), nn.Flatten()]


class Crowd(nn.Module):
    """Ego-attention (Leurent and Mercat 2019, section III-B): one's own row asks every row, itself among them, what matters.

    All rows go through the same layers, each with one's own beside it, and what they answer is added up: in which order they
    stand makes no difference but for the first, which is one's own. A row that nobody fills is one to learn as well: it says
    so in one of its numbers.
    Against the paper: residual, a row sees one's own before it is asked, and nothing is masked.

    Args:
        numbers: of a row, D/R
        width: C
        norm: as for `Agent`
        heads: that ask, each with C / heads numbers
    """

    def __init__(self, numbers: int, width: int, norm: Norm | None, heads: int = 2):
        super().__init__()
        if width % heads:
            raise Wrong(
                f"a width does not fall into {heads} heads", got=width, try_=str(heads * -(-width // heads)), usage=True
            )
        self.numbers, self.heads = numbers, heads
        self.enter, self.each = convolution(0, 2 * numbers, width, gain=1.0), Trunk([width], dims=0, norm=norm)
        self.before = nn.Sequential(*rectified(width, norm, SLOPE))
        self.ask, self.answer = (convolution(0, width, out, gain=1.0) for out in (width, 2 * width))
        self.tell = convolution(0, width, width, gain=0)

    def forward(self, x_ND: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (N, C)."""
        h_NRC = self.features(x_ND)
        return h_NRC[:, 0] + self.tell(self.heard(h_NRC)[0])

    def features(self, x_ND: torch.Tensor) -> torch.Tensor:
        """What is made of each row, (N, R, C)."""
        x_NRD = x_ND.flatten(1).unflatten(1, (-1, self.numbers))
        beside_NRD = torch.cat([x_NRD, x_NRD[:, :1].expand_as(x_NRD)], 2)
        return self.each(self.enter(beside_NRD.flatten(0, 1))).unflatten(0, x_NRD.shape[:2])

    def heard(self, h_NRC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of rows' features: what the first row is told (N, C), and whom it listens to, (N, heads, R), adding up to 1 for
        each head."""
        h_NRC = self.before(h_NRC.flatten(0, 1)).view(h_NRC.shape)
        q_NHE = self.ask(h_NRC[:, 0]).unflatten(-1, (self.heads, -1))
        k_NRHE, v_NRHE = self.answer(h_NRC).unflatten(-1, (2, self.heads, -1)).unbind(2)
        weight_NHR = torch.einsum("nhe,nrhe->nhr", q_NHE, k_NRHE).div(math.sqrt(q_NHE.shape[-1])).softmax(-1)
        return torch.einsum("nhr,nrhe->nhe", weight_NHR, v_NRHE).flatten(1), weight_NHR


class Agent(nn.Module):
    """Observations -> (logits (N, A), or the mean of an action (N, A); value (N,)).

    Dense, vectors have a net of its own for each of the two heads: there it costs little, and the value's errors, large at
    first, do not move the policy. For pixels seeing is what costs, and both heads share it; for tables as well.

    Args:
        seen: (C, H, W) for stacked frames, uint8, or floats in [0, 1]; (D,) for vectors
        actions: to choose from, or None
        box: numbers of a continuous action, or None; `log_deviation` (A,) is learnt beside the net
        encoder: of what is seen
        width: units of the dense layer; convolutions begin with a sixteenth of it (shallow: an eighth), at least 8. Without,
            64 for vectors, and 512 for nature and 256 for impala, as published, 128 for shallow and small
        norm: normalise after every hidden layer, as Q-learning without a target network wants it (Gallici et al. 2024,
            arXiv 2407.04811)
        rows: of attention: numbers of each row of the table that a vector (D,) is; the first row is one's own
        value_gain: of the value's layer. An agent wants 1: what its trunk learns from at first comes through the value alone,
            the policy's layer being as small as it is. What shall begin at 0, a critic's logit, wants TINY

    Raises:
        Wrong: where frames are too small for the encoder, what is no table is to be read by attention, or its width is odd, and
            where no such encoder is known.
    """

    def __init__(
        self,
        seen: tuple[int, ...],
        actions: int | None = None,
        box: int | None = None,
        encoder: Encoder = "dense",
        width: int | None = None,
        norm: bool = False,
        rows: int | None = None,
        value_gain: float = 1.0,
    ):
        super().__init__()
        if encoder not in WIDTHS:
            raise Wrong("no such encoder", got=encoder, try_=", ".join(WIDTHS), usage=True)
        if (actions is None) == (box is None):
            raise ValueError("an agent chooses among actions, or gives the numbers of a box: one of them")
        width = WIDTHS[encoder] if width is None else width
        self.seen, layer = tuple(seen), together if norm else None
        self.numbers_of_a_row = rows if encoder == "attention" else None  # by which whoever scales what it sees does so
        self.stride: int | None = None  # of the squares that frames are laid in
        if encoder == "dense":
            self.encoder: nn.Module = self._dense(width, layer)
            self.judge = self._dense(width, layer)
        elif encoder == "attention":
            self.encoder, self.judge = self._among(rows, width, layer), None
        else:
            self.encoder, self.judge = self._seeing(encoder, width, layer), None
        self.policy = orthogonal(nn.Linear(width, actions or box or 0), TINY)
        self.value = orthogonal(nn.Linear(width, 1), value_gain)
        self.log_deviation = nn.Parameter(torch.zeros(box)) if box else None

    def _dense(self, width: int, norm: Norm | None) -> nn.Module:
        enter = convolution(0, math.prod(self.seen), width, gain=1.0)
        return nn.Sequential(nn.Flatten(), enter, Trunk([width], 2, dims=0, norm=norm), *rectified(width, norm, SLOPE))

    def _among(self, rows: int | None, width: int, norm: Norm | None) -> nn.Module:
        size = math.prod(self.seen)
        if rows is None or size % rows or size == rows:
            what = "attention is for tables, a row for each car, the first one's own"
            got = f"{self.seen}, no table" if rows is None else f"{self.seen} in rows of {rows}"
            raise Wrong(what, got=got, try_="dense, or, of pixels, small", usage=True)
        return nn.Sequential(Crowd(rows, width, norm), Trunk([width], dims=0, norm=norm), *rectified(width, norm, SLOPE))

    def _seeing(self, encoder: Encoder, width: int, norm: Norm | None) -> nn.Module:
        if len(self.seen) != 3:
            raise Wrong(f"{encoder} sees frames, and these are vectors", got=self.seen, try_="dense", usage=True)
        channels, height, wide = self.seen
        side, least = min(height, wide), {"nature": 36, "impala": 8}.get(encoder, 6)
        if side < least:
            what = f"frames of less than {least} pixels are too small for {encoder}"
            raise Wrong(what, got=f"{height}×{wide}", try_="dense" if least == 6 else "small, or dense", usage=True)
        ours = encoder in ("shallow", "small")
        stride = {"nature": 4, "impala": 1}.get(encoder, 4 if side >= 32 else 2 if side >= 16 else 1)
        begin = max(8, width // CHANNELS.get(encoder, 16))
        self.stride, eye = stride, Eye((channels, height, wide), begin, stride)
        kinds = {"shallow": shallow, "small": small, "nature": nature, "impala": impala}
        convolved = nn.Sequential(*kinds[encoder](eye, begin, norm))
        with torch.no_grad():
            size = convolved(torch.zeros(1, math.prod(eye.shape))).shape[1]
        last = rectified(width, norm, SLOPE if ours else 0)
        behind = [Trunk([width], dims=0, norm=norm)] if encoder == "shallow" else []
        return nn.Sequential(*convolved, orthogonal(nn.Linear(size, width)), *behind, *last)

    @property
    def moments(self) -> Moments | None:
        """Of packed frames, from 0 to 1, by which they are scaled; None where no frames are seen."""
        return None if self.stride is None else cast(Eye, cast(nn.Sequential, self.encoder)[0]).moments

    @property
    def mean_CHW(self) -> torch.Tensor | None:
        """The mean frame, from 0 to 1, by which frames are scaled; None where no frames are seen."""
        if self.stride is None or self.moments is None:
            return None
        return spread(self.moments.mean, cast("tuple[int, int, int]", self.seen), self.stride)

    def packed(self, x: torch.Tensor) -> torch.Tensor:
        """Observations (N, ...) as the first layer reads them: frames (N, K), still bytes where they were; vectors as they are.

        For whoever gives the same observations to the net several times.
        """
        return x if self.stride is None or x.dim() == 2 else laid(x, self.stride)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What to do, and what it is worth; observations (N, ...), or frames that are `packed`."""
        x = self._read(x)
        h = self.encoder(x)
        v = h if self.judge is None else self.judge(x)
        return self.policy(h), self.value(v).squeeze(1)

    def only_policy(self, x: torch.Tensor) -> torch.Tensor:
        """The first of what `forward` gives, (N, A), to the last bit: of a dense net that is half the work."""
        return self.policy(self.encoder(self._read(x)))

    def listens(self, x: torch.Tensor) -> torch.Tensor | None:
        """Of attention: which rows of a table each head listens to, (N, heads, R); None of every other net."""
        first = cast(nn.Sequential, self.encoder)[0]
        return first.heard(first.features(self._read(x)))[1] if isinstance(first, Crowd) else None

    def _read(self, x: torch.Tensor) -> torch.Tensor:
        x = self.packed(x)
        return x.float() / 255 if self.stride is None and x.dtype == torch.uint8 else x
