"""ResNet as published: Table 1's sizes, counts and arithmetic, a plain twin with the published names, a calm beginning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from conftest import Command, one_line
from gannet import run
from gannet.errors import Wrong
from gannet.nets.resnet import BLOCKS, DEVIATION, MEAN, Basic, Bottleneck, ResNet, load_published, of_usual_pictures

Depth = Literal[18, 34, 50]
State = dict[str, torch.Tensor]


def walk(net: nn.Module, pixels: int) -> list[tuple[str, tuple[int, ...], int]]:
    """Name, output shape (C, H, W) and multiply-adds of every layer with weights, in the order in which they run."""
    seen: list[tuple[str, tuple[int, ...], int]] = []
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):

            def note(layer: nn.Conv2d | nn.Linear, _: object, y: torch.Tensor, name: str = name) -> None:
                seen.append((name, tuple(y.shape[1:]), y.numel() * layer.weight[0].numel()))

            layer.register_forward_hook(note)
    net(torch.empty(1, 3, pixels, pixels, device="meta"))
    return seen


def meta(classes: int = 1000, **options) -> ResNet:
    with torch.device("meta"):
        return ResNet(3, classes, **options)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_sizes_of_table_1(depth: Depth) -> None:
    """Every layer's output; the number of them is the net's name."""
    block = [1, 1, 4] if depth == 50 else [1, 1]
    expected: list[tuple[int, ...]] = [(64, 112, 112)]
    for width, size, blocks in zip((64, 128, 256, 512), (56, 28, 14, 7), BLOCKS[depth], strict=True):
        expected += [(times * width, size, size) for times in block] * blocks
    expected.append((1000,))
    found = [shape for name, shape, _ in walk(meta(depth=depth, early=True), 224) if "shortcut" not in name]
    assert found == expected
    assert len(found) == depth


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_maps_and_features(depth: Depth) -> None:
    net, x = meta(depth=depth), torch.empty(2, 3, 224, 224, device="meta")
    times = 4 if depth == 50 else 1
    assert [tuple(m.shape) for m in net.stages(x)] == [(2, times * 64 * 2**i, 56 >> i, 56 >> i) for i in range(4)]
    assert net.features(x).shape == (2, times * 512)
    assert net(x).shape == (2, 1000)


@pytest.mark.parametrize(("depth", "count"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_number_of_parameters(depth: Depth, count: int) -> None:
    for early in (False, True):
        assert sum(p.numel() for p in meta(depth=depth, early=early).parameters()) == count


def test_the_small_stem() -> None:
    net = meta(10, stem="small")
    assert sum(p.numel() for p in net.parameters()) == 11_173_962
    maps = net.stages(torch.empty(1, 3, 32, 32, device="meta"))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


@pytest.mark.parametrize(
    ("depth", "early", "billions"), [(18, False, 1.8), (34, False, 3.6), (50, True, 3.8), (50, False, 4.1)]
)
def test_multiply_adds(depth: Depth, early: bool, billions: float) -> None:
    """Table 1's last line; the last case is what torchvision says of its own."""
    work = sum(work for *_, work in walk(meta(depth=depth, early=early), 224))
    assert work / 1e9 == pytest.approx(billions, rel=0.03)


def test_depths_and_stems_that_are_not() -> None:
    with pytest.raises(ValueError, match="depth is 18, 34 or 50, not 101"):
        ResNet(3, 10, depth=101)
    with pytest.raises(ValueError, match="stem is large or small, not huge"):
        ResNet(3, 10, stem="huge")


def random_state(depth: int, channels: int = 3, classes: int = 7, width: int = 8) -> State:
    """Random tensors, statistics among them, under the names that torchvision and timm give them."""
    state, random = {}, torch.Generator().manual_seed(depth)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    def conv(name: str, before: int, after: int, kernel: int) -> None:
        state[f"{name}.weight"] = normal(after, before, kernel, kernel) / math.sqrt(before * kernel**2)

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = normal(width), normal(width) / 4
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = normal(width) / 4, 0.5 + normal(width).square()
        state[f"{name}.num_batches_tracked"] = torch.tensor(3)

    conv("conv1", channels, width, 7)
    norm("bn1", width)
    before = width
    for stage in range(4):
        inner = width * 2**stage
        after = 4 * inner if depth == 50 else inner
        for block in range(BLOCKS[depth][stage]):
            name = f"layer{stage + 1}.{block}"
            layers = [(before, after, 3), (after, after, 3)]
            if depth == 50:
                layers = [(before, inner, 1), (inner, inner, 3), (inner, after, 1)]
            for i, (here, there, kernel) in enumerate(layers, 1):
                conv(f"{name}.conv{i}", here, there, kernel)
                norm(f"{name}.bn{i}", there)
            if block == 0 and (stage > 0 or depth == 50):
                conv(f"{name}.downsample.0", before, after, 1)
                norm(f"{name}.downsample.1", after)
            before = after
    state["fc.weight"], state["fc.bias"] = normal(classes, before), normal(classes)
    return state


def plain(state: State, depth: int, x: torch.Tensor, early: bool) -> torch.Tensor:
    """The published net in evaluation, written out."""

    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    x = F.max_pool2d(norm("bn1", conv("conv1", x, 2)).clamp(min=0), 3, 2, padding=1)
    for stage in range(4):
        for block in range(BLOCKS[depth][stage]):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage > 0 and block == 0 else 1
            if depth == 50:
                h = norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride if early else 1)).clamp(min=0)
                h = norm(f"{name}.bn2", conv(f"{name}.conv2", h, 1 if early else stride)).clamp(min=0)
                h = norm(f"{name}.bn3", conv(f"{name}.conv3", h))
            else:
                h = norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride)).clamp(min=0)
                h = norm(f"{name}.bn2", conv(f"{name}.conv2", h))
            if f"{name}.downsample.0.weight" in state:
                x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
            x = (x + h).clamp(min=0)
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize(("depth", "early"), [(18, False), (34, False), (50, False), (50, True)])
def test_published_weights_give_what_the_published_net_gives(depth: Depth, early: bool) -> None:
    state, x = random_state(depth), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    net = ResNet(3, 7, depth=depth, width=8, early=early).double()
    assert load_published(net, state) == []
    expected = plain(state, depth, x, early)
    assert expected.std() > 0.1
    torch.testing.assert_close(net.eval()(x), expected, rtol=1e-5, atol=1e-8)
    single = ResNet(3, 7, depth=depth, width=8, early=early)  # as files have them, without counters
    assert load_published(single, {name: t.float() for name, t in state.items() if "num_batches" not in name}) == []
    torch.testing.assert_close(single.eval()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


def test_where_a_bottleneck_halves_matters() -> None:
    state, x = random_state(50), torch.randn(1, 3, 64, 64, dtype=torch.float64)
    assert not torch.allclose(plain(state, 50, x, True), plain(state, 50, x, False), rtol=0.1)


@pytest.mark.parametrize("depth", [18, 50])
def test_a_grey_picture_is_one_of_three_equal_colours(depth: Depth) -> None:
    state, x = random_state(depth), torch.randn(2, 1, 64, 64, dtype=torch.float64)
    net = ResNet(1, 7, depth=depth, width=8).double()
    assert load_published(net, state) == []
    torch.testing.assert_close(net.eval()(x), plain(state, depth, x.expand(-1, 3, -1, -1), False), rtol=1e-5, atol=1e-8)


def test_what_lets_light_through_begins_with_no_weight() -> None:
    state, x = random_state(18), torch.randn(2, 4, 64, 64, dtype=torch.float64)
    net = ResNet(4, 7, width=8).double()
    assert load_published(net, state) == []
    torch.testing.assert_close(net.eval()(x), plain(state, 18, x[:, :3], False), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("channels", [3, 1])
def test_weights_for_normalised_colours_say_the_same_of_ours(channels: int) -> None:
    state = random_state(18)
    net = ResNet(channels, 7, width=8).double()
    load_published(net, of_usual_pictures(state))
    x = torch.rand(2, channels, 64, 64, dtype=torch.float64)
    middle, deviation = (torch.tensor(values, dtype=x.dtype).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    theirs = F.conv2d((x - middle) / deviation, state["conv1.weight"], stride=2, padding=3)
    theirs = F.batch_norm(theirs, *(state[f"bn1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))
    ours = net.eval().norm(net.start(2 * x - 1))
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2])
    assert not torch.allclose(ours, theirs)  # at the edge they pad with another grey


def test_a_classifier_begins_with_a_file_of_published_weights(gannet: Command) -> None:
    for kind in range(2):
        (Path("shapes") / f"k{kind}").mkdir(parents=True)
        for i in range(12):
            noise = torch.randint(0, 256, (72, 72, 3), generator=torch.Generator().manual_seed(20 * kind + i))
            Image.fromarray(noise.to(torch.uint8).numpy()).save(Path("shapes") / f"k{kind}" / f"{i}.png")
    state = {name: tensor.float() for name, tensor in random_state(18, classes=1000, width=64).items()}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, "resnet18.pth")
    words = [
        "train",
        "classify",
        "--data",
        "shapes",
        "--net",
        "resnet-18",
        "--batch",
        "4",
        "--steps",
        "1",
        "--skip",
        "all=brief",
    ]
    done = gannet(*words, "--pixels", "72", "--rate", "1e-12", "--start", "resnet18.pth", "--out", "begun")
    assert "begins with the published weights of resnet18.pth, but for name.weight, name.bias" in done.stderr
    Path("resnet18.pth").rename("elsewhere.pth")
    learnt = run.load("begun").nets["classifier"]
    assert torch.allclose(learnt.trunk[3][1].first.weight, state["layer4.1.conv1.weight"], atol=1e-6)
    Path("words.pth").write_text("no weights")
    wrong = {
        (*words, "--pixels", "32", "--start", "elsewhere.pth"): (1, "conv1.weight", "--pixels above 64"),
        (*words, "--pixels", "72", "--start", "words.pth"): (1, "cannot be read", "words.pth"),
        ("train", "digits", "--size", "tiny", "--data", "bars", "--steps", "1", "--start", "words.pth"): (2, "--net resnet-50"),
    }
    for number, (asked, (status, *parts)) in enumerate(wrong.items()):
        told = gannet(*asked, "--out", f"wrong{number}", status=status).stderr.strip().splitlines()
        one_line(told[-1], *parts)


def test_another_number_of_classes_leaves_the_last_layer() -> None:
    state, net = random_state(18), ResNet(3, 5, width=8)
    assert load_published(net, state) == ["name.weight", "name.bias"]
    assert net.name.weight.abs().max() == 0
    assert net.name.bias.abs().max() == 0
    assert torch.equal(net.trunk[3][1].norms[1].running_var, state["layer4.1.bn2.running_var"].float())
    assert net.norm.num_batches_tracked == 3


def broken(name: str, tensor: torch.Tensor | None) -> State:
    state = random_state(18)
    if tensor is None:
        del state[name]
    else:
        state[name] = tensor
    return state


@pytest.mark.parametrize(
    ("name", "tensor", "says"),
    [
        ("layer2.0.conv1.weight", None, "lack a tensor: layer2.0.conv1.weight"),
        ("fc.bias", None, "lack a tensor: fc.bias"),
        ("layer1.0.conv3.weight", torch.zeros(1), "that a ResNet-18 has not: layer1.0.conv3.weight"),
        ("layer1.0.downsample.0.num_batches_tracked", torch.tensor(0), "has not: layer1.0.downsample.0.num_batches_tracked"),
        ("layer4.1.bn2.bias", torch.zeros(3), "layer4.1.bn2.bias is (3,), not (64,)"),
        ("conv1.weight", torch.zeros(8, 4, 7, 7), "conv1.weight is (8, 4, 7, 7), not (8, 3, 7, 7)"),
        ("fc.weight", torch.zeros(7, 63), "fc.weight is (7, 63), not (7, 64)"),
        ("fc.weight", torch.zeros(5, 64), "fc.bias is (7,), not (5,)"),
    ],
)
def test_weights_that_do_not_fit_are_one_line_and_change_nothing(name: str, tensor: torch.Tensor | None, says: str) -> None:
    net = ResNet(3, 7, width=8)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    with pytest.raises(Wrong) as caught:
        load_published(net, broken(name, tensor))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())


def test_weights_for_other_nets() -> None:
    state = random_state(18)
    with pytest.raises(Wrong, match=r"lack a tensor: layer1\.2\.conv1\.weight"):
        load_published(ResNet(3, 7, depth=34, width=8), state)
    with pytest.raises(Wrong, match=r"has not: layer1\.2\.conv1\.weight"):
        load_published(ResNet(3, 7, width=8), random_state(34))
    with pytest.raises(Wrong, match=r"conv1\.weight is \(8, 3, 7, 7\), not \(8, 2, 7, 7\)"):
        load_published(ResNet(2, 7, width=8), state)
    for channels in (1, 3):
        with pytest.raises(Wrong, match=rf"conv1\.weight is \(8, 3, 7, 7\), not \(8, {channels}, 3, 3\)"):
            load_published(ResNet(channels, 7, width=8, stem="small"), state)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_the_first_loss_is_that_of_a_guess(depth: Depth) -> None:
    net, y = ResNet(3, 10, depth=depth, stem="small", width=8), torch.arange(4)
    logits = net.train()(torch.randn(4, 3, 16, 16))
    assert logits.abs().max() == 0
    assert F.cross_entropy(logits, y).item() == pytest.approx(math.log(10), abs=1e-6)


@pytest.mark.parametrize("depth", [18, 50])
def test_every_block_begins_as_its_shortcut(depth: Depth) -> None:
    net = ResNet(3, 10, depth=depth, stem="small", width=8)
    blocks = [block for block in net.modules() if isinstance(block, Basic | Bottleneck)]
    assert len(blocks) == sum(BLOCKS[depth])
    for block in blocks:
        x = torch.rand(2, block.first.in_channels, 4, 4)
        assert torch.equal(block(x), F.relu(block.shortcut(x)))
        if isinstance(block.shortcut, nn.Identity):
            assert torch.equal(block(x), x)


def test_convolutions_begin_with_he_s_deviation() -> None:
    """Variance 2 / (kernel² · channels out), within four standard errors of a sample's."""
    torch.manual_seed(0)
    for layer in ResNet(3, 10, depth=50, width=16).modules():
        if isinstance(layer, nn.Conv2d):
            size, out, (kernel, _) = layer.weight.numel(), layer.out_channels, layer.kernel_size
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (out * kernel**2)), rel=4 / math.sqrt(2 * size))


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stem", ["large", "small"])
def test_every_parameter_is_used(depth: Depth, stem: Literal["large", "small"]) -> None:
    torch.manual_seed(0)
    net = ResNet(3, 10, depth=depth, stem=stem, width=8)
    for parameter in net.parameters():  # zero layers would hide what depends on what
        if parameter.abs().max() == 0:
            nn.init.normal_(parameter, std=0.5)
    F.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []
