"""What a critic of a small set is shown: changes alike for a pair, that gradients pass, and that grow when needed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gannet.data.images import Batch
from gannet.objectives import augment, gan
from gannet.rng import Rng
from gannet.training import checkpoint


def pictures(n: int = 6, channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def numbers(n: int = 6) -> torch.Tensor:
    return torch.rand(n, augment.NUMBERS, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_probability_nought_is_the_picture_and_one_is_another(channels: int) -> None:
    x = pictures(channels=channels)
    assert torch.allclose(augment.change(x, numbers(), 0.0), x, atol=1e-5)
    changed = augment.change(x, numbers(), 1.0)
    assert changed.shape == x.shape and ((changed - x).abs().amax((1, 2, 3)) > 0.1).all()
    assert torch.equal(changed, augment.change(x, numbers(), 1.0))


def test_a_shift_is_the_naive_shift() -> None:
    x, on = pictures(), torch.ones(6)
    u = torch.zeros(6, 3)
    u[:, 0], u[:, 1] = 0.5, -1.0  # of an eighth of 16 pixels: one to the left, two down
    out = augment.moved(x, u, on)
    expected = torch.full_like(x, -1)
    expected[..., 2:, :-1] = x[..., :-2, 1:]
    assert torch.allclose(out, expected, atol=1e-5)


def test_a_move_is_the_bilinear_sampling_of_a_plane_twice_differentiable() -> None:
    x, u, on = pictures().double().requires_grad_(), numbers()[:, :3].double() * 2 - 1, torch.tensor([1.0, 1, 0, 1, 1, 1])
    out = augment.moved(x, u, on.double())
    flat = torch.zeros(6, 2, 3, dtype=torch.float64)
    flat[:, 0, 0] = flat[:, 1, 1] = 1 + 0.15 * u[:, 2] * on
    flat[:, :, 2] = 0.25 * u[:, :2] * on[:, None]
    places = F.affine_grid(flat, list(x.shape), align_corners=False)
    expected = F.grid_sample(x + 1, places, align_corners=False) - 1
    assert torch.allclose(out, expected, atol=1e-12) and not torch.allclose(out, x)
    slopes = [torch.autograd.grad(y.square().sum(), x, create_graph=True)[0] for y in (out, expected)]
    assert torch.allclose(slopes[0], slopes[1], atol=1e-10)
    slopes[0].square().sum().backward()  # which not every torch can do through a grid's sampling
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_a_cut_is_the_naive_cut() -> None:
    x, u = pictures(), torch.tensor([[0.5, 0.25]]).repeat(6, 1)
    out = augment.cut(x, u, torch.tensor([1.0, 0, 1, 0, 1, 0]))
    expected = x.clone()
    for n in (0, 2, 4):
        for row in range(16):
            for column in range(16):
                if abs(row - 8) < 3.2 and abs(column - 4) < 3.2:
                    expected[n, :, row, column] = -1
    assert torch.allclose(out, expected, atol=1e-6)


def test_recolouring_leaves_alpha_alone_and_shows_nothing_where_nothing_is() -> None:
    x = pictures(channels=4)
    x[..., :8, :] = -1  # nothing there
    out = augment.recoloured(x, torch.tensor([[1.0, -1.0]]).repeat(6, 1), torch.ones(6))
    assert torch.equal(out[:, 3], x[:, 3]) and torch.equal(out[..., :8, :], x[..., :8, :])
    grey = x[:, :3, 8:].add(1).mul(4 / 3).mean(1, keepdim=True) - 1
    assert torch.allclose(out[:, :3, 8:], grey.expand(-1, 3, -1, -1), atol=1e-5)


def test_gradients_come_through() -> None:
    x = pictures().requires_grad_()
    augment.change(x, numbers(), 1.0).sum().backward()
    assert x.grad is not None and (x.grad.abs().sum((1, 2, 3)) > 0).all()


class Watching(nn.Module):
    """A critic that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.shown = nn.Linear(16 * 16, 1, bias=False), []

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        self.shown.append(x.detach())
        return self.layer(x.flatten(1)).squeeze(1)


class Still(nn.Module):
    """A generator that always draws the same."""

    noise = 4

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Parameter(pictures(1, 1)[0])

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return self.picture.expand(len(z), -1, -1, -1)


@pytest.mark.parametrize("again", [True, False])
def test_both_pictures_of_a_pair_are_changed_alike(again: bool) -> None:
    objective = gan.Gan(Still(), Watching(), augment=augment.change, again=again, share=1)
    objective.strength.fill_(0.8)
    same = Batch(objective.generator.picture.detach().expand(8, -1, -1, -1).clone(), torch.zeros(8, dtype=torch.int64))
    objective.loss("critic", same, Rng(0, 0, "critic"))
    real, fake, *_ = objective.critic.shown[0].split(8)
    assert torch.allclose(real, fake, atol=1e-6) and not torch.allclose(real, same.x_NCHW, atol=0.1)
    objective.critic.shown.clear()
    objective.loss("generator", same, Rng(0, 0, "generator"))
    judged = objective.critic.shown
    assert torch.allclose(judged[0], fake if again else judged[1], atol=1e-6)


def test_strength_follows_how_far_the_critic_is_ahead_and_is_saved() -> None:
    objective = gan.Gan(Still(), Watching(), augment=augment.change, ramp=1000, most=0.5)
    ahead, level = torch.ones(100), torch.zeros(100)
    for _ in range(3):
        objective.adapt(ahead, level)
    assert objective.strength == pytest.approx(0.3)
    objective.adapt(level, level)
    assert objective.strength == pytest.approx(0.2)
    other = gan.Gan(Still(), Watching(), augment=augment.change)
    checkpoint.unpack(other, {"step": 1, **checkpoint.pack(objective)})
    assert other.strength == pytest.approx(0.2)
    for _ in range(9):
        objective.adapt(ahead, level)
    assert objective.strength == 0.5
    for _ in range(9):
        objective.adapt(level, ahead)
    assert objective.strength == 0
    assert "augmented" in objective.loss("critic", Batch(pictures(8, 1), torch.zeros(8)), Rng(0, 0, "x"))[2]


@pytest.mark.parametrize("penalty", ["differences", "exact", "lipschitz", "none"])
def test_every_penalty_looks_at_changed_pictures(penalty: str) -> None:
    x = Batch(pictures(8, 1), torch.zeros(8))
    found = {}
    for p in (0.0, 0.8):
        torch.manual_seed(0)
        objective = gan.Gan(Still(), Watching(), augment=augment.change, penalty=penalty, share=1)
        objective.strength.fill_(p)
        values, _, _ = objective.loss("critic", x, Rng(0, 0, "x"))
        values.mean().backward()
        assert torch.isfinite(values).all() and objective.critic.layer.weight.grad is not None
        found[p] = float(values.detach().mean())
    assert found[0.0] != found[0.8]


def test_exact_slopes_are_those_before_the_change() -> None:
    objective = gan.Gan(Still(), Watching(), augment=augment.change, penalty="exact")
    objective.strength.fill_(0.8)
    x = Batch(pictures(8, 1), torch.zeros(8))
    _, _, notes = objective.loss("critic", x, Rng(0, 0, "x"))
    rng = Rng(0, 0, "x")
    rng.normal(8, 4)  # the noise
    u, sizes = rng.uniform(8, augment.NUMBERS), []
    for group in (x.x_NCHW, objective.generator.picture.detach().expand(8, -1, -1, -1)):
        for n in range(8):  # one at a time
            one = group[n : n + 1].clone().requires_grad_()
            (slope,) = torch.autograd.grad(objective.critic(augment.change(one, u[n : n + 1], 0.8)).sum(), one)
            sizes.append(slope.square().sum().item())
    assert float(notes["penalty"]) == pytest.approx(sum(sizes) / 16, rel=1e-4)


def test_places_are_float32_under_autocast() -> None:
    x, u = pictures(4, 3, 64), numbers(4)
    plain = augment.change(x, u, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(augment.change(x, u, 1.0), plain, atol=1e-6)
