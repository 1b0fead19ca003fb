"""The residual block and the nets made of it: shapes for every size, identity at the start, no picture sees another."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gannet.nets import dcgan, dense, images, r3gan
from gannet.nets.residual import Block, Resize, Trunk, halvings


@pytest.mark.parametrize("pixels", [8, 9, 10, 16, 27, 28, 32, 48, 64, 100, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [0, 10])
def test_generator_and_critic_of_any_size(pixels: int, channels: int, classes: int) -> None:
    generator = images.Generator(pixels, channels, classes=classes, width=16)
    critic = images.Critic(pixels, channels, classes=classes, width=16)
    y = torch.tensor([0, 1, 2]) if classes else None
    x = generator(torch.randn(3, generator.noise), y)
    assert x.shape == (3, channels, pixels, pixels)
    assert x.abs().max() <= 1
    assert critic(x, y).shape == (3,)


@pytest.mark.parametrize(("pixels", "channels"), [(7, 1), (129, 3), (28, 2)])
def test_sizes_that_cannot_be(pixels: int, channels: int) -> None:
    for make in (images.Generator, images.Critic):
        with pytest.raises(ValueError, match=f"{pixels} pixels and {channels} channels"):
            make(pixels, channels)


@pytest.mark.parametrize("kind", [dcgan, dense])
@pytest.mark.parametrize("pixels", [8, 28, 32])
def test_peer_and_baseline(kind, pixels: int) -> None:
    generator, critic = kind.Generator(pixels, 1), kind.Critic(pixels, 1)
    x = generator(torch.randn(3, generator.noise))
    assert x.shape == (3, 1, pixels, pixels)
    assert critic(x).shape == (3,)


def test_the_tutorials_generator_ends_in_784() -> None:
    generator = dense.Generator(28, 1)
    assert generator.noise == 100
    assert generator.finish.out_features == 784


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_an_untrained_trunk_is_the_identity(dims: int) -> None:
    x = torch.randn(2, 8, *[6] * dims)
    assert torch.equal(Trunk([8], 4, dims=dims)(x), x)


def test_a_block_is_its_equation() -> None:
    block = Block(4, zero=False)
    x = torch.randn(2, 4, 5, 5)
    lrelu = nn.LeakyReLU(0.2)
    expected = x + block.last(lrelu(block.first(lrelu(x))))
    assert torch.allclose(block(x), expected)


def test_up_and_down() -> None:
    x = torch.randn(2, 8, 6, 6)
    assert Block(8, 4, resample="up")(x).shape == (2, 4, 12, 12)
    assert Block(8, 16, resample="down")(x).shape == (2, 16, 3, 3)
    assert Trunk([8, 16, 32], 2, resample="down")(torch.randn(1, 8, 16, 16)).shape == (1, 32, 4, 4)
    with pytest.raises(ValueError, match="dims is 0"):
        Block(8, dims=0, resample="up")


@pytest.mark.parametrize("resample", ["up", "down"])
def test_resizing_as_a_matrix_product_equals_a_shuffle_and_a_convolution(resample: Literal["up", "down"]) -> None:
    """Weights lie as in the convolution, so what was trained either way means the same."""
    resize, x = Resize(3, 5, resample).double(), torch.randn(2, 3, 6, 8, dtype=torch.float64, requires_grad=True)
    plain = F.pixel_shuffle(resize.mix(x), 2) if resample == "up" else resize.mix(F.pixel_unshuffle(x, 2))
    ours = resize(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(ours, plain)
    wanted = [x, *resize.parameters()]
    for a, b in zip(torch.autograd.grad(ours.cos().sum(), wanted), torch.autograd.grad(plain.cos().sum(), wanted), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("pixels", "times"), [(8, 1), (16, 1), (28, 2), (32, 2), (64, 3), (128, 4)])
def test_halvings(pixels: int, times: int) -> None:
    assert halvings(pixels) == times


def test_no_picture_sees_another_and_every_pixel_counts() -> None:
    critic = images.Critic(28, 1, width=8)
    for parameter in critic.parameters():  # zero layers would hide what depends on what
        nn.init.normal_(parameter, std=0.1)
    x = torch.randn(3, 1, 28, 28, requires_grad=True)
    (slope,) = torch.autograd.grad(critic(x)[1], x)
    assert slope[0].abs().max() == 0
    assert slope[2].abs().max() == 0
    assert (slope[1] != 0).all()


def test_noise_and_class_are_used() -> None:
    generator = images.Generator(8, 1, classes=3, width=8)
    z = torch.randn(2, generator.noise)
    y = torch.tensor([0, 0])
    x = generator(z, y)
    assert not torch.allclose(x[0], x[1])
    assert not torch.allclose(x, generator(z, y + 1))
    critic = images.Critic(8, 1, classes=3, width=8)
    nn.init.normal_(critic.judge.weight)
    assert not torch.allclose(critic(x, y), critic(x, y + 1))


def test_r3gan_has_the_published_number_of_weights() -> None:
    """The CIFAR-10 preset with classes: 20.78 and 21.28 million, counted in the authors' code."""
    preset = r3gan.PRESETS["cifar-10"]
    with torch.device("meta"):
        shape = {"widths": preset.widths, "blocks": preset.blocks, "groups": preset.groups, "classes": 10}
        nets = r3gan.Generator(32, 3, **shape), r3gan.Critic(32, 3, **shape)
    assert [round(sum(p.numel() for p in net.parameters()) / 1e6, 2) for net in nets] == [20.78, 21.28]


@pytest.mark.parametrize("name", r3gan.PRESETS)
def test_r3gan_presets_fit_their_pixels(name: str) -> None:
    preset = r3gan.PRESETS[name]
    assert r3gan.spare(preset.pixels, preset.widths) == 0
    assert all(2 * width % group == 0 for width, group in zip(preset.widths, preset.groups, strict=True))


@pytest.mark.parametrize("pixels", [8, 28, 32])
@pytest.mark.parametrize("classes", [0, 10])
def test_r3gan_nets(pixels: int, classes: int) -> None:
    stages = r3gan.count(pixels)
    shape = {"widths": (16,) * stages, "blocks": 1, "groups": (2,) * stages, "classes": classes}
    generator, critic = r3gan.Generator(pixels, 3, **shape), r3gan.Critic(pixels, 3, **shape)
    y = torch.tensor([0, 1, 2]) if classes else None
    x = generator(torch.randn(3, 64), y)
    assert x.shape == (3, 3, pixels, pixels)
    assert critic(x, y).shape == (3,)
    with pytest.raises(ValueError, match="stages make pictures of up to"):
        r3gan.Critic(2 * pixels, 3, **shape)


def test_r3gans_filter_against_loops() -> None:
    """Half the size: weights 1, 2, 1 either way at every second pixel. Twice the size: zeros between, then four times that."""
    x, line = torch.randn(1, 2, 4, 4), [0.25, 0.5, 0.25]

    def naive(x: torch.Tensor, i: int, j: int, c: int) -> float:
        inside = [(a, b) for a in range(3) for b in range(3) if 0 <= i + a - 1 < x.shape[2] and 0 <= j + b - 1 < x.shape[3]]
        return sum(line[a] * line[b] * x[0, c, i + a - 1, j + b - 1].item() for a, b in inside)

    half, twice = r3gan.Filtered(2, 2, up=False)(x), r3gan.Filtered(2, 2, up=True)(x)
    between = torch.zeros(1, 2, 8, 8)
    between[:, :, ::2, ::2] = 4 * x
    for c in range(2):
        assert half[0, c].flatten().tolist() == pytest.approx([naive(x, i, j, c) for i in (0, 2) for j in (0, 2)], abs=1e-6)
        found = twice[0, c].flatten().tolist()
        assert found == pytest.approx([naive(between, i, j, c) for i in range(8) for j in range(8)], abs=1e-6)


def test_r3gans_blocks_begin_as_the_identity() -> None:
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(r3gan.Bottleneck(8, 2, 4)(x), x)
