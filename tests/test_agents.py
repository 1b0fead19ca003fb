"""Nets that play: the encoders layer by layer against plain twins, what they begin with, and what they refuse."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gannet.errors import Wrong
from gannet.nets import residual
from gannet.nets.agents import TINY, Agent, Crowd, Eye, laid, spread, together
from gannet.nets.scales import Scaled
from gannet.rng import Rng

ATARI = (4, 84, 84)
ENCODERS = [("dense", (20,)), ("attention", (20,)), ("shallow", ATARI), ("small", ATARI), ("nature", ATARI), ("impala", ATARI)]
ROWS = 5  # numbers of a row, where a vector is a table: four of them


def frames(n: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def looked(n: int, seen: tuple[int, ...]) -> torch.Tensor:
    return frames(n, *seen) if len(seen) == 3 else torch.randn(n, *seen, generator=torch.Generator().manual_seed(1))


def stirred(net: nn.Module) -> nn.Module:
    """With weights in the place of zeros: residual branches begin as nothing, and nothing equals a lot."""
    for p in net.parameters():
        nn.init.normal_(p, std=1 / math.sqrt(max(1, p[0].numel())))
    return net


@pytest.mark.parametrize(("stride", "size"), [(4, (84, 84)), (4, (46, 35)), (2, (21, 16)), (1, (9, 10))])
def test_the_first_look_is_a_plain_convolution(stride: int, size: tuple[int, int]) -> None:
    eye = Eye((3, *size), 5, stride)
    x = frames(2, 3, *size)
    plain = eye.convolution(x[:, :, : size[0] // stride * stride, : size[1] // stride * stride] / 255)
    torch.testing.assert_close(eye(laid(x, stride)), plain)
    torch.testing.assert_close(eye(laid(x / 255, stride)), plain)


def test_bytes_are_laid_as_numbers_are() -> None:
    x = frames(2, 3, 20, 12)
    for stride in (1, 2, 4):
        naive = F.pixel_unshuffle(x, stride).permute(0, 2, 3, 1).flatten(1)
        assert torch.equal(laid(x, stride), naive) and torch.equal(laid(x.float(), stride), naive.float())


@pytest.mark.parametrize("size", [(20, 12), (22, 13)])
def test_what_was_laid_is_spread_again(size: tuple[int, int]) -> None:
    x_CHW = frames(1, 3, *size)[0]
    for stride in (1, 2, 4):
        seen = x_CHW.clone()
        seen[:, size[0] // stride * stride :], seen[:, :, size[1] // stride * stride :] = 0, 0  # these no net sees
        assert torch.equal(spread(laid(x_CHW[None], stride)[0], (3, *size), stride), seen)


def test_nature_is_as_published() -> None:
    net = Agent(ATARI, 6, encoder="nature")
    layers = [m for m in net.encoder.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shapes = [tuple(layer.weight.shape) for layer in layers]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 3136)]
    assert [layer.stride for layer in layers[:3]] == [(4, 4), (2, 2), (1, 1)]
    assert sum(p.numel() for p in net.parameters()) == 8_224 + 32_832 + 36_928 + 1_606_144 + 6 * 513 + 513
    x, h = frames(3, *ATARI), frames(3, *ATARI) / 255
    for layer in layers:
        h = F.relu(layer(h if isinstance(layer, nn.Conv2d) else h.flatten(1)))
    policy, value = net(x)
    torch.testing.assert_close(policy, net.policy(h))
    torch.testing.assert_close(value, net.value(h)[:, 0])


def test_impala_is_as_published() -> None:
    net = stirred(Agent(ATARI, 6, encoder="impala"))
    layers = [m for m in net.encoder.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    stage = [(16, 4), *[(16, 16)] * 4, (32, 16), *[(32, 32)] * 4, (32, 32), *[(32, 32)] * 4]
    assert [tuple(layer.weight.shape) for layer in layers] == [
        *[(out, width, 3, 3) for out, width in stage],
        (256, 32 * 11 * 11),
    ]
    convolutions = sum(9 * out * width + out for out, width in stage)
    assert sum(p.numel() for p in net.parameters()) == convolutions + 256 * 3_872 + 256 + 7 * 257 == 1_091_031
    h, rest = frames(2, *ATARI) / 255, iter(layers)
    for _ in range(3):
        h = F.max_pool2d(next(rest)(h), 3, 2, padding=1)
        for _ in range(2):
            first, second = next(rest), next(rest)
            h = h + second(F.relu(first(F.relu(h))))
    h = F.relu(next(rest)(F.relu(h).flatten(1)))
    torch.testing.assert_close(net(frames(2, *ATARI))[0], net.policy(h))


def test_small_is_residual_and_cheaper_than_nature() -> None:
    costs = {}
    for encoder in ("shallow", "small", "nature"):
        net = Agent(ATARI, 6, encoder=encoder)
        with FlopCounterMode(display=False) as counted:
            sum(part.sum() for part in net(frames(2, *ATARI))).backward()
        costs[encoder] = counted.get_total_flops()
    assert max(costs["shallow"], costs["small"]) < 0.4 * costs["nature"]
    net = Agent(ATARI, 6, encoder="small")
    blocks = [m for m in net.modules() if isinstance(m, residual.Block)]
    assert [block.last.weight.shape[0] for block in blocks] == [16, 32]
    before = net(frames(2, *ATARI))[1]
    stirred(blocks[1].last)
    assert not torch.equal(net(frames(2, *ATARI))[1], before)


def test_shallow_hands_every_place_to_a_dense_layer() -> None:
    net = stirred(Agent(ATARI, 6, encoder="shallow"))
    look, dense, block = net.encoder[0].convolution, net.encoder[3], net.encoder[4][0]
    assert look.weight.shape == (16, 4, 8, 8) and dense.weight.shape == (128, 16 * 20 * 20)
    x = frames(3, *ATARI)
    h = dense(residual.activate(look(x / 255)).flatten(1))
    h = h + block.last(residual.activate(block.first(residual.activate(h))))
    torch.testing.assert_close(net(x)[0], net.policy(residual.activate(h)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", [None, together])
def test_attention_asks_row_after_row(norm: Any) -> None:
    """Against loops over examples, heads and rows."""
    crowd = stirred(Crowd(ROWS, 8, norm, heads=2))
    x_ND = looked(3, (20,))
    told, weights_NHR = [], []
    for x_D in x_ND:
        rows = [x_D[i : i + ROWS] for i in range(0, 20, ROWS)]
        h = [crowd.each(crowd.enter(torch.cat([row, rows[0]])[None]))[0] for row in rows]
        heard = [crowd.before(one[None])[0] for one in h]
        q, k, v = crowd.ask(heard[0]), *zip(*(crowd.answer(one).split(8) for one in heard), strict=True)
        answers, shares = [], []
        for head in (slice(0, 4), slice(4, 8)):
            weights_R = torch.stack([q[head] @ one[head] / math.sqrt(4) for one in k]).softmax(0)
            answers.append(sum(weight * one[head] for weight, one in zip(weights_R, v, strict=True)))
            shares.append(weights_R)
        told.append(h[0] + crowd.tell(torch.cat(answers)))
        weights_NHR.append(torch.stack(shares))
    torch.testing.assert_close(crowd(x_ND), torch.stack(told), rtol=1e-4, atol=1e-5)
    listens = crowd.heard(crowd.features(x_ND))[1]
    torch.testing.assert_close(listens, torch.stack(weights_NHR), rtol=1e-4, atol=1e-5)


def test_only_attention_listens() -> None:
    assert all(Agent(seen, 3, encoder=encoder).listens(looked(1, seen)) is None for encoder, seen in [ENCODERS[0], ENCODERS[3]])  # type: ignore[arg-type]
    assert Scaled(nn.Flatten()).listens(torch.zeros(1, 3)) is None


def test_attention_does_not_mind_who_stands_where_but_for_oneself() -> None:
    net = stirred(Agent((20,), 3, encoder="attention", width=16, rows=ROWS, norm=True))
    x_ND = looked(6, (20,))
    turned_ND = x_ND.view(6, 4, ROWS)[:, [0, 3, 1, 2]].flatten(1)
    torch.testing.assert_close(net(turned_ND), net(x_ND), rtol=1e-4, atol=1e-4)
    exchanged_ND = x_ND.view(6, 4, ROWS)[:, [1, 0, 2, 3]].flatten(1)
    assert (net(exchanged_ND)[1] - net(x_ND)[1]).abs().min() > 1e-3


def test_all_rows_of_a_table_have_the_same_scales() -> None:
    x_ND = 3 * looked(50, (20,)) + torch.arange(20.0) + 1e4  # whose rows are far apart, and further from 0
    about = {"mean": x_ND.mean(0), "variance": x_ND.var(0, correction=0)}
    scaled = Scaled(Agent((20,), 3, encoder="attention", rows=ROWS), about)
    all_XC = x_ND.view(-1, ROWS)
    naive = (all_XC - all_XC.mean(0)) / all_XC.std(0, correction=0)
    torch.testing.assert_close(scaled.prepared(x_ND), naive.view(50, 20), rtol=1e-2, atol=1e-2)
    dense = Scaled(Agent((20,), 3, rows=ROWS), about).prepared(x_ND)
    torch.testing.assert_close(dense.mean(0), torch.zeros(20), rtol=0, atol=1e-2)


@pytest.mark.parametrize(("encoder", "seen"), ENCODERS)
@pytest.mark.parametrize("norm", [False, True])
def test_the_first_policy_is_chance_and_the_first_value_as_large_as_is_asked(
    encoder: Any, seen: tuple[int, ...], norm: bool
) -> None:
    net = Agent(seen, 6, encoder=encoder, rows=ROWS, norm=norm)
    logits_NA, value_N = net(looked(8, seen))
    assert logits_NA.shape == (8, 6) and value_N.shape == (8,)
    p_NA = logits_NA.softmax(1)
    assert (-(p_NA * p_NA.log()).sum(1) - math.log(6)).abs().max() < 1e-3
    assert 1e-3 < value_N.abs().max() < 5
    assert torch.allclose(net.value.weight.norm(), torch.tensor(1.0)) and not net.value.bias.any()
    assert Agent(seen, 6, encoder=encoder, rows=ROWS, norm=norm, value_gain=TINY)(looked(8, seen))[1].abs().max() < 0.1
    box = Agent(seen, box=2, encoder=encoder, rows=ROWS, norm=norm)
    assert box(looked(3, seen))[0].shape == (3, 2) and torch.equal(box.log_deviation, torch.zeros(2))
    assert net.log_deviation is None and len(net.state_dict()) == len([*net.parameters(), *net.buffers()])  # none of them twice


def balls(n: int = 32) -> torch.Tensor:
    """Frames that differ by two pixels of a ball and eight of a bat, as Pong's do."""
    x = torch.full((n, *ATARI), 87, dtype=torch.uint8)
    for i, (y, side) in enumerate(zip((Rng(0, 0, "balls").uniform(n, 2) * 70).int().tolist(), range(n), strict=True)):
        x[i, :, y[0] + 2 : y[0] + 4, 10 + 2 * (side % 30)] = 236
        x[i, :, y[1] + 2 : y[1] + 10, 75] = 147
    return x


@pytest.mark.parametrize("encoder", ["shallow", "small", "nature", "impala"])
def test_frames_are_seen_less_the_mean_frame_over_the_deviation_of_all_places(encoder: Any) -> None:
    net, x = stirred(Agent(ATARI, 6, encoder=encoder, width=128)), balls()
    packed_NK = net.packed(x).double() / 255
    assert net.moments is not None
    net.moments.add(torch.tensor(32.0), packed_NK.mean(0), packed_NK.var(0, unbiased=False))
    plain = copy.deepcopy(net)
    plain.moments.load_state_dict(Agent(ATARI, 6, encoder=encoder, width=128).moments.state_dict())  # 0 and 1
    scaled = (x / 255 - (x / 255).mean(0)) / (x / 255).var(0, unbiased=False).mean().sqrt()
    for seen in (x, x / 255):
        for mine, naive in zip(net(seen), plain(scaled), strict=True):
            torch.testing.assert_close(mine, naive, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("encoder", ["shallow", "small", "nature", "impala"])
def test_a_mean_frame_behind_it_two_pixels_are_not_lost_in_the_ground(encoder: Any) -> None:
    """How far apart frames are that differ by a ball and a bat, over how large the numbers are that are the same in all."""
    torch.manual_seed(0)
    net, x = Agent(ATARI, 6, encoder=encoder), balls()

    def told_apart() -> float:
        with torch.no_grad():
            h_NK = net.encoder(net.packed(x))
        return float(h_NK.std(0).norm() / h_NK.mean(0).norm())

    before, packed_NK = told_apart(), net.packed(x).double() / 255
    net.moments.add(torch.tensor(32.0), packed_NK.mean(0), packed_NK.var(0, unbiased=False))  # type: ignore[union-attr]
    assert told_apart() > 5 * before


@pytest.mark.parametrize("encoder", ["shallow", "small", "nature", "impala"])
def test_the_trunk_learns_from_the_first_step_on(encoder: Any) -> None:
    """A gradient below Adam's ε moves next to nothing: with a value's layer as small as the policy's it was a third of it."""
    torch.manual_seed(0)
    net = Agent(ATARI, 6, encoder=encoder)
    (net(balls())[1] - torch.linspace(-1, 1, 32)).square().mean().backward()
    dense = max((m for m in net.encoder.modules() if isinstance(m, nn.Linear)), key=lambda one: one.in_features)
    assert dense.weight.grad.square().mean().sqrt() > 3e-5


def test_small_tells_frames_apart_as_nature_does() -> None:
    spreads = {}
    for encoder in ("small", "nature"):
        torch.manual_seed(0)
        net = Agent(ATARI, 6, encoder=encoder)  # type: ignore[arg-type]
        with torch.no_grad():
            spreads[encoder] = float(net.encoder(net.packed(balls())).std(0).mean())
    assert spreads["small"] > 0.5 * spreads["nature"], spreads


@pytest.mark.parametrize(("encoder", "seen"), ENCODERS)
def test_with_norm_every_rectifier_is_given_normalised_numbers(
    encoder: Any, seen: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[torch.Tensor] = []

    def heard(rectify: Any) -> Any:
        return lambda x, *rest, **named: given.append(x.detach().flatten(1)) or rectify(x, *rest, **named)

    monkeypatch.setattr(F, "leaky_relu", heard(F.leaky_relu))
    monkeypatch.setattr(F, "relu", heard(F.relu))
    net = Agent(seen, 6, encoder=encoder, rows=ROWS, norm=True)
    blocks = [m for m in net.encoder.modules() if isinstance(m, residual.Block)]
    for block in blocks:
        stirred(block.last)
    given.clear()
    net(looked(4, seen))
    many = {
        "dense": 2 * 5,
        "attention": 2 + 1 + 2 + 1,
        "shallow": 1 + 2 + 1,
        "small": 1 + 2 * 2 + 2,
        "nature": 4,
        "impala": 3 * 2 * 2 + 2,
    }
    assert len(given) == many[encoder]
    for x in given:
        x = x[x.std(1) > 0.5]  # where the second layer of a branch is still to come to life there is nothing to normalise
        assert x.mean(1).abs().max() < 1e-4 and (x.std(1) - 1).abs().max() < 0.05


@pytest.mark.parametrize(
    ("encoder", "seen"), [*ENCODERS, ("small", (4, 64, 128)), ("small", (3, 96, 96)), ("small", (4, 10, 10))]
)
def test_all_that_is_seen_and_all_weights_count(encoder: Any, seen: tuple[int, ...]) -> None:
    net = stirred(Agent(seen, 3, encoder=encoder, rows=ROWS, width=32))
    x = looked(4, seen).float() / (255 if len(seen) == 3 else 1)
    x.requires_grad_()
    policy_NA, value_N = net(x)
    (policy_NA[:, :2].square().sum() + value_N.square().sum()).backward()
    assert all(p.grad.abs().max() > 0 for p in net.parameters())
    assert (x.grad.abs().amax(0) > 0).float().mean() > 0.95
    torch.testing.assert_close(net(x[:1])[1], value_N[:1])  # no example sees another


@pytest.mark.parametrize("encoder", ["shallow", "small", "nature", "impala"])
def test_what_is_packed_once_says_the_same(encoder: Any) -> None:
    net, x = stirred(Agent(ATARI, 6, encoder=encoder, width=128)), frames(3, *ATARI)
    packed = net.packed(x)
    assert packed.dtype == torch.uint8 and packed.numel() == x.numel()
    assert all(torch.equal(a, b) for a, b in zip(net(x), net(packed), strict=True))
    torch.testing.assert_close(net(x / 255), net(x))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "encoder", "part"),
    [
        ((4, 30, 84), "nature", "too small"),
        ((4, 5, 5), "small", "dense"),
        ((7,), "impala", "vectors"),
        (ATARI, "vgg", "vgg"),
        ((7,), "attention", "tables"),
        ((ROWS,), "attention", "dense"),
    ],
)
def test_what_an_encoder_cannot_see(seen: tuple[int, ...], encoder: Any, part: str) -> None:
    with pytest.raises(Wrong, match=part):
        Agent(seen, 2, encoder=encoder, rows=ROWS)
    with pytest.raises(Wrong, match="tables"):
        Agent((20,), 2, encoder="attention")
    with pytest.raises(Wrong, match="heads"):
        Agent((20,), 2, encoder="attention", width=15, rows=ROWS)
    with pytest.raises(ValueError, match="one of them"):
        Agent((4,), 2, 2)
