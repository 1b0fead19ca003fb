"""Explanations: every map against its definition written out, every measure against a naive twin, and the sanity check."""

from __future__ import annotations

import builtins
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats
from torch import nn

from conftest import Command, one_line
from gannet import explain, nearest, run
from gannet.data import images
from gannet.errors import Wrong
from gannet.evaluation import explanations
from gannet.nets import dcgan
from gannet.nets.images import Classifier, Critic
from gannet.nets.resnet import ResNet
from gannet.rng import Rng

captum_attr = pytest.importorskip("captum.attr")
NONE = {"all": "to be quick"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain") / "bars"
    return run.train("classify", size="tiny", data="bars", steps=150, out=folder, skip=NONE).folder


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain") / "drawn"
    return run.train("digits", size="tiny", data="bars", steps=60, out=folder, skip=NONE).folder


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """A net that nothing in it begins at zero: every weight and running statistic by lot, in eval mode."""
    rng = Rng(seed, 0, "lively")
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_((rng.normal(weight.numel()) / math.sqrt(max(1, weight[0].numel()))).view_as(weight))
        for name, seen in net.named_buffers():
            if seen.is_floating_point():
                seen.copy_(rng.uniform(seen.numel()).view_as(seen) + (0.5 if "var" in name else 0))
    return net.eval()


NETS: dict[str, Any] = {
    "ours": lambda: Classifier(12, 3, 4, widths=(6, 8, 10), blocks=2),  # 12 pixels are framed to 16
    "fine": lambda: Classifier(12, 3, 4, widths=(6, 8, 10), blocks=2, fine=True),
    "basic": lambda: ResNet(3, 4, depth=18, stem="small", width=8),
    "bottleneck": lambda: ResNet(3, 4, depth=50, stem="small", width=8),
}


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> nn.Module:
    return lively(NETS[request.param]())


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return Rng(0, 0, "batch").uniform(5, 3, 12, 12) * 2 - 1, torch.tensor([0, 1, 2, 3, 1])


# ---------------------------------------------------------------------------------------------------------------- maps


def test_saliency_is_the_slope(net: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = batch
    target = explain.of_net(net)
    found = explain.maps(target, x, y, "saliency")
    signed = explain.maps(target, x, y, "saliency", signed=True)
    assert found.shape == (5, 12, 12) and (found >= 0).all()
    for i in range(5):
        one = x[i : i + 1].clone().requires_grad_()
        net(one)[0, y[i]].backward()
        assert torch.allclose(found[i], one.grad[0].abs().amax(0), atol=1e-5)
        assert torch.allclose(signed[i], one.grad[0].sum(0), atol=1e-5)
    net, x = net.double(), x.double()  # and against differences, all channels of a pixel at once
    for row, column in ((4, 7), (0, 0), (11, 5)):
        step = torch.zeros_like(x)
        step[:, :, row, column] = 1e-6
        with torch.no_grad():
            slope = ((net(x + step) - net(x - step)) / 2e-6).gather(1, y[:, None])[:, 0]
        assert torch.allclose(signed[:, row, column].double(), slope, atol=1e-4, rtol=1e-3)


def test_integrated_gradients_are_the_path_and_add_up(net: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = batch
    target = explain.of_net(net)
    found, gap = explain.integrated(target, x, y, points=256)
    with torch.no_grad():
        rise = target.score(x, y) - target.score(torch.full_like(x, -1.0), y)
    assert torch.allclose(found.sum((1, 2)), rise + gap, atol=1e-3)
    assert (gap.abs() < 0.03 * rise.abs() + 0.03).all()
    one, total = x[:1], torch.zeros(1, 3, 12, 12)  # by the middles of 2,000 steps
    for part in ((torch.arange(2000) + 0.5) / 2000).split(100):
        on_way = (-1 + part.view(-1, 1, 1, 1) * (one + 1)).requires_grad_()
        net(on_way)[:, y[0]].sum().backward()
        total += on_way.grad.sum(0) / 2000
    assert torch.allclose(found[0], (total * (one + 1)).sum(1)[0], atol=0.02 * float(found[0].abs().max()))
    assert torch.equal(explain.maps(target, x[:1], y[:1], "integrated"), explain.integrated(target, x[:1], y[:1])[0])
    many = explain.integrated(target, x.repeat(4, 1, 1, 1), y.repeat(4))[0]  # more than go through the net at once
    assert torch.allclose(many[7], explain.integrated(target, x[2:3], y[2:3])[0][0], atol=1e-5)


def test_large_pictures_go_through_in_parts_and_come_to_the_same() -> None:
    sizes: list[int] = []

    def score(x_NCHW: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
        sizes.append(len(x_NCHW))
        return x_NCHW.square().mean((1, 2, 3)) + x_NCHW.mean((1, 2, 3))

    x_NCHW = Rng(0, 0, "large").uniform(1, 1, 512, 512)
    found, gap = explain.integrated(explain.Target(score), x_NCHW, None)
    assert max(sizes) <= 2  # both ends of the way
    assert float(gap.abs()) < 1e-3
    assert torch.allclose(found, ((x_NCHW + 1) * x_NCHW / 512**2)[:, 0], atol=1e-6)  # the slope's mean on the way is x


@pytest.mark.parametrize("method", explain.CAMS)
@pytest.mark.parametrize("at", [0, 1, -1])
def test_cams_are_the_weighed_sums_at_every_stage(
    net: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], at: int, method: str
) -> None:
    x, y = batch
    target = explain.of_net(net)
    name = list(target.stages)[at]
    found = explain.maps(target, x, y, method, stage=name)
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, given: Any, out: torch.Tensor) -> None:
        out.retain_grad()
        kept.append(out)

    hook = target.stages[name].register_forward_hook(keep)
    net(x.clone().requires_grad_()).gather(1, y[:, None]).sum().backward()
    hook.remove()
    for i in range(5):
        a, slope = kept[0][i].detach(), kept[0].grad[i]
        weights = [slope[c].mean() if method == "gradcam" else slope[c] for c in range(len(a))]
        cam = sum(weights[c] * a[c] for c in range(len(a))).clamp(min=0)  # type: ignore[union-attr]
        side = 12 + getattr(net, "spare", 0)
        large = F.interpolate(cam[None, None], size=(side, side), mode="bilinear", align_corners=False)[0, 0]
        assert torch.allclose(found[i], large[2:14, 2:14] if side == 16 else large, atol=1e-5)
    assert len(target.stages) == (3 if isinstance(net, Classifier) else 4)
    sizes = [12, 6, 3, 2]
    if isinstance(net, Classifier):
        sizes = [12, 6, 3] if net.fine else [8, 4, 2]
    assert kept[0].shape[-1] == sizes[at]


def test_a_stage_is_shown_where_it_lies() -> None:
    class Spot(nn.Module):
        """One channel, the mean of every 4×4 pixels of the framed picture."""

        def __init__(self) -> None:
            super().__init__()
            self.look = nn.AvgPool2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.look(F.pad(x, (2, 2, 2, 2))).sum((1, 2, 3))

    net, x = Spot(), torch.zeros(1, 1, 12, 12)
    x[0, 0, 2:6, 6:10] = 1  # the second row and third column of the framed 16 pixels' places
    target = explain.Target(lambda x, y: net(x), {"look": net.look}, spare=4)
    heat = explain.maps(target, x, None, "gradcam")[0]
    rows, columns = heat.sum(1), heat.sum(0)
    assert float((rows * torch.arange(12)).sum() / rows.sum()) == pytest.approx(3.5, abs=0.1)
    assert float((columns * torch.arange(12)).sum() / columns.sum()) == pytest.approx(7.5, abs=0.1)


def test_guided_backpropagation_is_captums_where_that_can_be_had(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = batch
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16, 4)
    )
    target = explain.Target(lambda x, y: net(x).gather(1, y[:, None])[:, 0])
    with pytest.warns(UserWarning, match="backward hooks"):
        theirs = captum_attr.GuidedBackprop(net).attribute(x.clone().requires_grad_(), target=y)
    assert torch.allclose(explain.maps(target, x, y, "guided", signed=True), theirs.sum(1), atol=1e-6)
    plain = explain.maps(target, x, y, "saliency", signed=True)
    assert not torch.allclose(explain.maps(target, x, y, "guided", signed=True), plain, atol=1e-4)
    assert torch.equal(explain.maps(target, x, y, "saliency", signed=True), plain)  # and nothing stays behind


@pytest.mark.parametrize(
    ("call", "slope"),
    [
        (lambda x: F.relu(x), 0.0),
        (lambda x: torch.relu(x), 0.0),
        (lambda x: x.relu(), 0.0),
        (lambda x: F.relu(x.clone(), inplace=True), 0.0),
        (lambda x: nn.ReLU()(x), 0.0),
        (lambda x: F.leaky_relu(x, 0.2), 0.2),
        (lambda x: F.leaky_relu(x), 0.01),
        (lambda x: nn.LeakyReLU(0.3)(x), 0.3),
    ],
)
def test_every_rectifier_is_guided_inside_and_plain_outside(call: Any, slope: float) -> None:
    x = torch.tensor([-2.0, -1.0, 1.0, 3.0], requires_grad=True)
    back = torch.tensor([1.0, -1.0, 1.0, -1.0])
    with explain.guided():
        out = call(x)
    assert out.tolist() == pytest.approx([-2 * slope, -slope, 1, 3])
    assert torch.autograd.grad(out, x, back)[0].tolist() == pytest.approx([slope, 0, 1, 0])
    assert torch.autograd.grad(call(x), x, back)[0].tolist() == pytest.approx([slope, -slope, 1, -1])


def test_memory_layout_changes_no_map(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = batch
    for make in NETS.values():
        net = lively(make())
        plain = {name: explain.maps(explain.of_net(net), x, y, name) for name in explain.METHODS}
        last = explain.of_net(net.to(memory_format=torch.channels_last))
        for name, expected in plain.items():
            found = explain.maps(last, x.contiguous(memory_format=torch.channels_last), y, name)
            assert torch.allclose(found, expected, atol=1e-4), name


def test_a_critic_and_anything_else_that_scores(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = batch
    critic = lively(Critic(12, 3, classes=4, width=8))
    target = explain.of_net(critic)
    assert torch.equal(target.score(x, y), critic(x, y)) and list(target.stages) == ["stage 1"]
    for name in explain.METHODS:
        assert torch.isfinite(explain.maps(target, x, y, name)).all()
    left = explain.Target(lambda x, y: x[:, :, :, :6].mean((1, 2, 3)))  # looks at the left half
    heat = explain.maps(left, x, None, "saliency")
    assert (heat[:, :, :6] > 0).all() and (heat[:, :, 6:] == 0).all()
    found, made = explain.measure(left, x[:1], None)  # as it will be of a box, or of two faces
    assert list(made) == ["saliency", "integrated"] and made["saliency"].shape == (12, 12)
    assert found["maps"]["integrated"]["gap"] == pytest.approx(0, abs=1e-5)
    assert found["maps"]["saliency"].keys() == {"deletion", "insertion"} and found["floors"].keys() >= {"random", "ink"}
    with pytest.raises(Wrong, match="residual stage"):
        explain.maps(left, x, None, "gradcam")
    with pytest.raises(Wrong, match="no such method"):
        explain.maps(left, x, None, "lime")
    with pytest.raises(Wrong, match="no such stage"):
        explain.maps(target, x, y, "gradcam", stage="stage 9")


def test_without_captum_one_line_says_how_it_is_had(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("captum"):
            raise ImportError("No module named 'captum'")
        return usual(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Wrong, match=r"pip install 'gannet\[explain\]'"):
        explain.captum()


# ------------------------------------------------------------------------------------------------- deletion and insertion


def test_an_order_is_the_maps_and_equal_ones_go_by_lot() -> None:
    heat = Rng(0, 0, "heat").uniform(3, 5, 6)
    found = explanations.order(heat)
    for i in range(3):
        assert found[i].tolist() == sorted(range(30), key=lambda p: -float(heat[i].flatten()[p]))
    flat = explanations.order(torch.zeros(400, 4, 4))
    assert sorted(flat[0].tolist()) == list(range(16))
    assert abs(float(flat[:, 0].double().mean()) - 7.5) < 0.7  # the first is any
    assert not torch.equal(flat, explanations.order(torch.zeros(400, 4, 4), seed=1))


@pytest.mark.parametrize("whole", [False, True])
def test_curves_and_areas_are_the_definition(whole: bool) -> None:
    rng = Rng(0, 0, "curves")
    x, heat, weight = rng.uniform(4, 2, 5, 5) * 2 - 1, rng.uniform(4, 5, 5), rng.normal(2, 5, 5)

    def score(x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid((x * weight).sum((1, 2, 3)))

    empty = rng.uniform(2, 5, 5) if whole else -1.0  # a picture of one's own, or black
    found = explanations.areas(score, x, {"map": heat}, steps=7, orders=2, **({"empty": empty} if whole else {}))
    ink_NHW = (x - empty).abs().sum(1)
    same = explanations.areas(score, x, {"mine": ink_NHW}, steps=7, orders=2, empty=empty)
    assert torch.equal(found["deletion"]["ink"], same["deletion"]["mine"])
    for way, (first, last) in explanations.ends(x, empty).items():
        for i in range(4):
            pixels = sorted(range(25), key=lambda p: -float(heat[i].flatten()[p]))
            picture, scores = first[i].clone(), []
            for step in range(8):
                for p in pixels[: round(step * 25 / 7)]:
                    picture[:, p // 5, p % 5] = last[i][:, p // 5, p % 5]
                scores.append(float(score(picture[None])))
            area = sum((a + b) / 2 / 7 for a, b in itertools.pairwise(scores))
            assert float(found[way]["map"][i]) == pytest.approx(area, abs=1e-5)
        assert found[way]["random"].shape == (4, 2) and set(found[way]) == {"map", "centre", "ink", "random"}


def test_a_map_that_knows_beats_the_floors_and_its_opposite_does_not() -> None:
    rng = Rng(0, 0, "knows")
    x = rng.uniform(40, 1, 10, 10) * 0.2 - 1
    at = rng.integers(6, 80).view(40, 2)
    where = torch.zeros(40, 10, 10)
    for i, (row, column) in enumerate(at.tolist()):
        x[i, 0, row : row + 4, column : column + 4] += 1
        where[i, row : row + 4, column : column + 4] = 1

    def score(x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(20 * (F.max_pool2d(F.avg_pool2d(x, 4, 1), 7).flatten() + 0.5))

    found = explanations.areas(score, x, {"knows": where, "opposite": -where}, orders=3)
    down, up = (explanations.summary(way, found[way]) for way in ("deletion", "insertion"))
    assert down["knows"]["area"] < down["random"]["area"] - 0.1 < down["random"]["area"] + 0.1 < down["opposite"]["area"]
    assert up["opposite"]["area"] < up["random"]["area"] < up["knows"]["area"]
    assert down["knows"]["better"] > 0.9 and down["opposite"]["better"] < 0.1
    assert down["random"]["spread"] < 0.1
    assert float(down["ink"]["area"]) == pytest.approx(float(down["knows"]["area"]), abs=0.05)  # here ink is all there is


def test_a_blur_keeps_the_mean_and_is_a_gaussian() -> None:
    x = torch.zeros(1, 2, 33, 33)
    x[0, 0, 16, 16] = 1
    out = explanations.blurred(x, share=2 / 33)
    expected = torch.exp(-((torch.arange(33) - 16.0) ** 2) / 8)
    expected = torch.outer(expected, expected) / expected.sum() ** 2
    assert torch.allclose(out[0, 0], expected, atol=1e-4) and (out[0, 1] == 0).all()
    flat = torch.full((1, 1, 8, 8), 0.3)
    assert torch.allclose(explanations.blurred(flat), flat)


# ------------------------------------------------------------------------------------------------------- the sanity check


def test_rank_correlation_is_scipys() -> None:
    rng = Rng(0, 0, "ranks")
    a, b = rng.normal(6, 7, 7), rng.normal(6, 7, 7)
    a[:, :3] = 0  # ties
    b[1] = a[1] ** 3
    found = explanations.rank_correlation(a, b)
    for i in range(6):
        expected: Any = stats.spearmanr(a[i].flatten().numpy(), b[i].flatten().numpy())
        assert float(found[i]) == pytest.approx(float(expected.statistic), abs=1e-9)
    assert float(found[1]) == pytest.approx(1)
    assert explanations.rank_correlation(torch.zeros(1, 3, 3), a[:1, :3, :3]).tolist() == [0]


def test_ssim_is_the_definition_window_by_window() -> None:
    rng = Rng(0, 0, "ssim")
    for side in (14, 8):
        a, b = rng.uniform(2, side, side), rng.uniform(2, side, side)
        window = 11 if side == 14 else 7
        g = np.exp(-((np.arange(window) - window // 2) ** 2) / (2 * 1.5**2))
        w = np.outer(g, g) / g.sum() ** 2
        for i in range(2):
            p, q = ((x[i] - x[i].min()) / (x[i].max() - x[i].min()) for x in (a.double().numpy(), b.double().numpy()))
            each = []
            for r in range(side - window + 1):
                for c in range(side - window + 1):
                    u, v = p[r : r + window, c : c + window], q[r : r + window, c : c + window]
                    mu, mv = (w * u).sum(), (w * v).sum()
                    su, sv, suv = (w * (u - mu) ** 2).sum(), (w * (v - mv) ** 2).sum(), (w * (u - mu) * (v - mv)).sum()
                    top = (2 * mu * mv + 1e-4) * (2 * suv + 9e-4)
                    each.append(top / ((mu**2 + mv**2 + 1e-4) * (su + sv + 9e-4)))
            assert float(explanations.likeness(a, b)[i]) == pytest.approx(np.mean(each), abs=1e-6)
        assert explanations.likeness(a, 3 * a + 1).tolist() == pytest.approx([1, 1])


def test_the_cascade_goes_from_the_last_layer_and_leaves_the_net_alone(net: nn.Module) -> None:
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    names = [name for name, _ in explanations.layers(net)]
    assert names[0] == "start" and names[-1] == "name"
    covered = [id(weight) for _, part in explanations.layers(net) for weight in part.parameters()]
    assert sorted(covered) == sorted(id(weight) for weight in net.parameters())  # each once
    done: list[str] = []
    for name, thrown in explanations.cascade(net):
        done.append(name)
        for key, weight in thrown.named_parameters():
            assert torch.equal(weight.flatten().sort().values, before[key].flatten().sort().values)  # the same numbers
            touched = any(key.startswith(f"{layer}.") for layer in done)
            assert touched or torch.equal(weight, before[key])
            if touched and weight.numel() > 20:
                assert not torch.equal(weight, before[key])
    assert done == names[::-1]
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())


def learnt(net: nn.Module, side: int, steps: int = 120) -> tuple[nn.Module, torch.Tensor, torch.Tensor, float]:
    """A net trained for seconds on the embedded digits, enlarged; 32 of its test pictures, their classes, its accuracy."""
    train, test = images._read("digits8", "train", None), images._read("digits8", "test", None)
    x, held = (
        F.interpolate(images.to_float(data.x_NCHW), size=(side, side), mode="bilinear", align_corners=False)
        for data in (train, test)
    )
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        i = Rng(0, step, "sanity").indices(len(x), 64)
        optimizer.zero_grad()
        F.cross_entropy(net(x[i]), train.labels_N[i]).backward()
        optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        right = float((net(held).argmax(1) == test.labels_N).double().mean())
    return net, held[:32], test.labels_N[:32], right


def checked(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, dict[str, Any]]:
    """The rows of the sanity check by layer, of three methods."""

    def of(method: str) -> explanations.Maps:
        return lambda net: explain.maps(explain.of_net(net), x, y, method, signed=True)

    rows = explanations.sanity(net, {method: of(method) for method in ("saliency", "gradcam", "guided")})
    return {row["layer"]: row for row in rows}


def test_the_sanity_check_of_adebayo_et_al() -> None:
    """Gradients and Grad-CAM are of the net; guided backpropagation of the picture, until the first convolution goes.

    Measured with three seeds at trunk.0.0, where all but the stem is thrown together: signed rank correlation 0.67 ± 0.02 for
    guided, 0.00 ± 0.02 for the gradient, 0.13 ± 0.08 for Grad-CAM (docs/explain.md).
    """
    torch.manual_seed(0)
    net, x, y, right = learnt(ResNet(1, 10, depth=18, stem="small", width=8), 24)
    assert right > 0.8
    rows = checked(net, x, y)
    head, stem = rows["name"], rows["trunk.0.0"]  # the last layer alone; everything but the stem
    assert abs(stem["saliency"]["signed"]) < 0.2 and stem["gradcam"]["signed"] < 0.3
    assert stem["guided"]["signed"] > 0.5
    assert stem["guided"]["absolute"] > stem["saliency"]["absolute"] + 0.1
    assert stem["guided"]["ssim"] > stem["saliency"]["ssim"] + 0.1
    assert head["saliency"]["signed"] < 0.4 and head["gradcam"]["signed"] < 0.4 and head["guided"]["signed"] > 0.8
    # And what is left of the gradient is no more than the next picture's has of this one's.
    assert stem["saliency"]["absolute"] < rows["(next picture)"]["saliency"]["absolute"] + 0.1


def test_in_pre_activated_nets_guided_backpropagation_changes_too() -> None:
    """Their shortcuts have no rectifier that could be guided, which is a part of the reason (docs/explain.md)."""
    torch.manual_seed(0)
    net, x, y, right = learnt(Classifier(24, 1, 10, widths=(16, 32, 64), blocks=2), 24)
    assert right > 0.8
    rows = checked(net, x, y)
    assert rows["name"]["guided"]["signed"] > 0.6 > rows["name"]["saliency"]["signed"]
    assert rows["trunk.0"]["guided"]["absolute"] < 0.4 and abs(rows["trunk.0"]["saliency"]["signed"]) < 0.2
    assert rows["trunk.0"]["gradcam"]["signed"] < rows["(next picture)"]["gradcam"]["signed"]


# ----------------------------------------------------------------------------------------------------- the pointing game


def test_the_pointing_game_is_the_definition() -> None:
    rng = Rng(0, 0, "pointing")
    heat = rng.uniform(50, 9, 12)
    corner, size = rng.uniform(50, 2) * torch.tensor([8.0, 6.0]), rng.uniform(50, 2) * 4 + 1
    boxes = torch.cat([corner, corner + size], 1)
    found = explanations.pointing(heat, boxes)
    hits = middles = 0
    share = 0.0
    for i in range(50):
        x0, y0, x1, y1 = boxes[i].tolist()
        best = max(range(108), key=lambda p: float(heat[i].flatten()[p]))
        hits += x0 <= best % 12 + 0.5 < x1 and y0 <= best // 12 + 0.5 < y1
        middles += x0 <= 6 < x1 and y0 <= 4.5 < y1
        share += sum(x0 <= c + 0.5 < x1 and y0 <= r + 0.5 < y1 for r in range(9) for c in range(12)) / 108 / 50
    assert found == {"map": hits / 50, "random": pytest.approx(share), "centre": middles / 50, "n": 50}
    flat = explanations.pointing(torch.zeros(50, 9, 12), boxes)  # a map that says nothing is worth a random point
    assert flat["map"] == pytest.approx(flat["random"])


# ---------------------------------------------------------------------------------------------------------- of a run folder


def bar(path: Path, across: bool = True) -> Path:
    picture = np.zeros((8, 8), np.uint8)
    picture[(2, slice(None)) if across else (slice(None), 5)] = 220
    Image.fromarray(picture).save(path)
    return path


def test_explaining_a_classifier(trained: Path, apart: Path) -> None:
    loaded = run.load(trained)
    file = bar(apart / "bar.png")
    report = explain.explain_into(loaded, file, apart / "out")
    assert report == json.loads((apart / "out" / "explain.json").read_text()) == explain.explain(loaded, file)
    told = loaded.predict(file)[0]
    assert report["class"] == told["class"] == "across" and report["chance"] == report["chance_of_it"]
    assert report["chance"] == pytest.approx(told["chance"], abs=2e-3)  # that may be in bfloat16; gradients are in full
    assert list(report["maps"]) == ["saliency", "integrated", "gradcam"] and report["maps"]["gradcam"]["stage"] == "stage 3"
    one = report["maps"]["integrated"]
    assert abs(one["gap"]) < 0.1 * abs(one["of"]) + 0.05
    assert set(report["floors"]) == {"random", "centre", "ink"} and report["floors"]["random"]["deletion"]["spread"] >= 0
    near = report["nearest"]["examples"]
    assert len(near) == nearest.NEAR and [e["distance"] for e in near] == sorted(e["distance"] for e in near)
    assert {e["class"] for e in near} == {"across"} and near[0]["distance"] < report["nearest"]["median"]
    with Image.open(apart / "out" / "explain.png") as picture:
        assert picture.mode == "RGB" and picture.width > 600
    net = loaded.nets["classifier"]  # the nearest by hand, one by one
    train = run.recipe.build(run.recipe.find("classify"), loaded.record["arguments"]).evaluation.train
    with torch.no_grad():
        mine = net.features(images.to_float(torch.from_numpy(np.asarray(Image.open(file)).copy())[None, None]))
        far = [float((net.features(images.to_float(x[None])) - mine).norm()) for x in train.x_NCHW]
    assert near[0]["distance"] == pytest.approx(min(far), abs=1e-3)
    other = explain.explain(loaded, file, label="down", method="saliency")
    assert other["explained"] == "down" and other["class"] == "across" and list(other["maps"]) == ["saliency"]


def test_explaining_a_critic(drawing: Path, apart: Path) -> None:
    loaded = run.load(drawing)
    report = explain.explain_into(loaded, bar(apart / "bar.png"), apart / "out", label="across")
    with torch.no_grad():
        x = images.to_float(torch.from_numpy(np.asarray(Image.open("bar.png")).copy())[None, None])
        assert report["logit"] == pytest.approx(float(loaded.objective.rate(x, torch.tensor([0]))), abs=1e-5)
    assert "chance" not in report and report["explained"] == "across"
    critic = loaded.nets["critic"]
    train = run.recipe.build(run.recipe.find("digits"), loaded.record["arguments"]).evaluation.train
    with torch.no_grad():  # all as pictures of the class that is asked about, one by one
        mine = critic.features(x, torch.tensor([0]))
        far = [float((critic.features(images.to_float(one[None]), torch.tensor([0])) - mine).norm()) for one in train.x_NCHW]
    near = report["nearest"]["examples"]
    assert [one["distance"] for one in near] == pytest.approx(sorted(far)[: nearest.NEAR], abs=1e-3)
    assert [far[one["number"]] for one in near] == pytest.approx(sorted(far)[: nearest.NEAR], abs=1e-3)
    assert (apart / "out" / "explain.png").is_file()
    with pytest.raises(Wrong, match="cannot be compared"):
        explain.explain(loaded, "bar.png")


def test_a_critic_that_has_no_features_has_no_neighbours_and_what_features_are_not_vectors_is_said() -> None:
    assert explain.of_net(dcgan.Critic(8, 1)).features is None
    report, none = nearest.pictures(None, None, torch.zeros(1, 1, 8, 8))  # type: ignore[arg-type]
    assert "no features" in report["left_out"] and none.shape == (0, 1, 8, 8) and none.dtype == torch.uint8


class Told(nn.Module):
    """A classifier of somebody's own, with a switch and with a part that happens to be called features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 4, 3)
        self.name = nn.Linear(4, 2)

    def forward(self, x_NCHW: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        h = self.features(x_NCHW)
        return h if return_features else self.name(h.mean((2, 3)))


def test_whose_features_are_maps_is_explained_without_neighbours(trained: Path) -> None:
    torch.manual_seed(0)
    net, x = Told(), Rng(0, 0, "x").normal(3, 1, 8, 8)
    bare = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    for one in (net, bare):  # told for classifiers: the one by its features, the other by what it takes
        assert torch.equal(explain.of_net(one).score(x, torch.tensor([1, 1, 1])), one(x)[:, 1])
    target = explain.of_net(net)
    report, _ = nearest.pictures(run.load(trained), lambda x: target.features(x, None), x[:1])  # type: ignore[misc]
    assert "no vectors: (4, 6, 6)" in report["left_out"]
    torch.testing.assert_close(explain.of_net(net, tells=False).features(x, None), net.features(x))  # type: ignore[misc]
    net.features = nn.Conv2d(4, 4, 3)  # of what another layer makes, not of pictures
    report, _ = nearest.pictures(run.load(trained), lambda x: net.features(x), x[:1])
    assert "cannot be asked of a picture: RuntimeError" in report["left_out"]


def test_data_that_cannot_be_had_are_left_out_with_a_word(trained: Path, apart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*words: Any, **more: Any) -> Any:
        raise Wrong("the disk is in a drawer")

    monkeypatch.setattr(images, "_read", gone)
    report = explain.explain_into(run.load(trained), bar(apart / "bar.png"), apart / "out")
    assert report["nearest"] == {"left_out": "the disk is in a drawer"}


def test_the_command(gannet: Command, trained: Path, apart: Path) -> None:
    bar(apart / "bar.png", across=False)
    done = gannet("explain", str(trained), "bar.png", "--out", "why", "--class", "down")
    assert done.stdout.splitlines()[0] == "why/explain.png" and "random" in done.stdout and "Nearest: down" in done.stdout
    as_json = gannet("explain", str(trained), "bar.png", "--out", "why", "--json", "--method", "gradcam", "--stage", "stage 1")
    assert json.loads(as_json.stdout)["maps"]["gradcam"]["stage"] == "stage 1"


@pytest.mark.parametrize(
    ("words", "parts", "status"),
    [
        (["absent.png"], ["cannot be used", "absent.png"], 1),
        (["bar.png", "--class", "sideways"], ["no such class", "sideways"], 2),
        (["bar.png", "--stage", "stage 7"], ["no such stage", "stage 7", "stage 1, stage 2, stage 3"], 2),
        (["bar.png", "--method", "lime"], ["lime"], 2),
        ([], ["FILE"], 2),
    ],
)
def test_bad_wishes_in_one_line(
    words: list[str], parts: list[str], status: int, gannet: Command, trained: Path, apart: Path
) -> None:
    bar(apart / "bar.png")
    one_line(gannet("explain", str(trained), *words, status=status).stderr, *parts)
