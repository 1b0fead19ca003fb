"""Does an explanation mean anything? Three questions to heat maps, whoever made them, each answered beside a floor.

Deletion and insertion: does the score go when what the map names is taken away, and come when it is put in, sooner than in
random order? The sanity check: does the map change when the net's weights are thrown together? The pointing game: does the
map's highest place lie in the thing? Shapes: N pictures, C channels, H height, W width, S steps, P = H·W pixels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from gannet.rng import Rng

EMPTY = -1.0  # what a pixel is once it is taken away: black, and what our nets pad with
STEPS = 32  # in which all pixels are taken away
ORDERS = 5  # random ones, for the floor and its spread

Score = Callable[[torch.Tensor], torch.Tensor]  # pictures (N, C, H, W) in [-1, 1] -> a number for each, (N,)
Maps = Callable[[nn.Module], torch.Tensor]  # a net -> its heat maps of fixed pictures, (N, H, W), signed where they have signs


# ------------------------------------------------------------------------------------------------- deletion and insertion


def order(map_NHW: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Pixel numbers of each picture from its map's highest to its lowest, (N, P); equal ones by lot.

    A map of the last stage has few different values, and many that are exactly 0: in the order in which pixels lie in memory
    they would be taken from the top down.
    """
    n, pixels = len(map_NHW), map_NHW[0].numel()
    lot_NP = Rng(seed, 0, "order").uniform(n, pixels).argsort(1)
    return lot_NP.gather(1, map_NHW.flatten(1).gather(1, lot_NP).argsort(dim=1, descending=True, stable=True))


def blurred(x_NCHW: torch.Tensor, share: float = 1 / 8) -> torch.Tensor:
    """Pictures behind frosted glass: a Gaussian whose deviation is this share of the side, edges repeated."""
    sigma = share * x_NCHW.shape[-1]
    reach = min(math.ceil(3 * sigma), x_NCHW.shape[-1] - 1)
    weight_K = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)).to(x_NCHW)
    weight_K = (weight_K / weight_K.sum()).expand(x_NCHW.shape[1], 1, -1)
    x = F.pad(x_NCHW, (reach,) * 4, mode="replicate")
    for kernel in (weight_K[..., None], weight_K[:, :, None]):
        x = F.conv2d(x, kernel, groups=x.shape[1])
    return x


@torch.no_grad()
def curve(score: Score, from_NCHW: torch.Tensor, to_NCHW: torch.Tensor, order_NP: torch.Tensor, steps: int) -> torch.Tensor:
    """The scores of pictures that become other ones, the first pixels of an order first, (N, S + 1).

    Args:
        score: of any number of pictures
        from_NCHW, to_NCHW: the first and the last of each row
        order_NP: pixel numbers
        steps: S, as even as whole pixels allow
    """
    pixels = order_NP.shape[1]
    rank_NP = order_NP.argsort(1)
    found = []
    for step in range(steps + 1):
        changed_NHW = (rank_NP < round(step * pixels / steps)).view(-1, *from_NCHW.shape[2:])
        found.append(score(torch.where(changed_NHW[:, None], to_NCHW, from_NCHW)).float())
    return torch.stack(found, 1)


def area(curve_NS: torch.Tensor) -> torch.Tensor:
    """The area under each curve between 0 and 1, by trapezia, (N,)."""
    return torch.trapezoid(curve_NS, dx=1 / (curve_NS.shape[1] - 1), dim=1)


def centre(n: int, height: int, width: int) -> torch.Tensor:
    """The map of one who looks at nothing, and knows that things stand in the middle, (N, H, W)."""
    y_H, x_W = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    return -(y_H[:, None] ** 2 + x_W**2).sqrt().expand(n, height, width)


def nothing(x_NCHW: torch.Tensor, empty: float | torch.Tensor = EMPTY) -> torch.Tensor:
    """As many pictures with nothing in them: one number for all pixels, or one such picture (C, H, W)."""
    return torch.as_tensor(empty, dtype=x_NCHW.dtype, device=x_NCHW.device).expand_as(x_NCHW)


def ends(x_NCHW: torch.Tensor, empty: float | torch.Tensor = EMPTY) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What deletion and insertion go from and to: from the picture to nothing; from a blur to the picture."""
    return {"deletion": (x_NCHW, nothing(x_NCHW, empty)), "insertion": (blurred(x_NCHW), x_NCHW)}


def areas(
    score: Score,
    x_NCHW: torch.Tensor,
    maps: dict[str, torch.Tensor],
    *,
    steps: int = STEPS,
    orders: int = ORDERS,
    empty: float | torch.Tensor = EMPTY,
    seed: int = 0,
) -> dict[str, dict[str, torch.Tensor]]:
    """Areas under the deletion and the insertion curve for each map and each floor (Petsiuk et al. 2018, RISE, arXiv
    1806.07421): deletion's should be small, insertion's large.

    The floors: random orders, the centre first, and what differs most from `empty` first, which on a black ground is ink.

    Args:
        score: of a class: a chance, or a logit
        x_NCHW: pictures in [-1, 1]
        maps: by name, each (N, H, W), high where it matters
        steps, orders: of each curve; random ones
        empty: what deleted pixels become: one number, or a picture (C, H, W)
        seed: of the random orders

    Returns:
        {"deletion" or "insertion": {name: (N,), "random": (N, orders), "centre": (N,), "ink": (N,)}}
    """
    n, _, height, width = x_NCHW.shape
    ink_NHW = (x_NCHW - nothing(x_NCHW, empty)).abs().sum(1)
    ways = {**maps, "centre": centre(n, height, width), "ink": ink_NHW}
    orders_NP = {name: order(map_NHW.cpu(), seed).to(x_NCHW.device) for name, map_NHW in ways.items()}
    lots = [order(torch.zeros(n, height, width), seed + 1 + i).to(x_NCHW.device) for i in range(orders)]
    found: dict[str, dict[str, torch.Tensor]] = {}
    for way, (first, last) in ends(x_NCHW, empty).items():
        found[way] = {name: area(curve(score, first, last, one, steps)) for name, one in orders_NP.items()}
        found[way]["random"] = torch.stack([area(curve(score, first, last, lot, steps)) for lot in lots], 1)
    return found


def summary(way: str, areas_: dict[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    """What one way's areas come to: for each map and floor its mean "area", and "better", the share of pictures on which it
    is better than the mean of the random orders; for these the "spread" of the mean over all pictures between them."""
    random_NR = areas_["random"]
    rest = {name: area_N for name, area_N in areas_.items() if name != "random"}
    found = {
        name: {"area": float(area_N.mean()), "better": better(way, area_N, random_NR.mean(1))} for name, area_N in rest.items()
    }
    spread = float(random_NR.mean(0).std()) if random_NR.shape[1] > 1 else 0.0
    return found | {"random": {"area": float(random_NR.mean()), "spread": spread}}


def better(way: str, area_N: torch.Tensor, floor_N: torch.Tensor) -> float:
    """Share of pictures whose area is on the right side of the floor's; a tie counts half."""
    apart_N = area_N - floor_N if way == "insertion" else floor_N - area_N
    return float((apart_N > 0).double().mean() + (apart_N == 0).double().mean() / 2)


# ------------------------------------------------------------------------------------------------------- the sanity check


def layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a net that have weights, first to last as they were written down: blocks whole, lists of blocks apart."""
    found: list[tuple[str, nn.Module]] = []
    for name, part in net.named_children():
        if isinstance(part, (nn.Sequential, nn.ModuleList)):
            found += [(f"{name}.{inner}", layer) for inner, layer in layers(part)]
        elif next(part.parameters(), None) is not None:
            found.append((name, part))
    return found


@torch.no_grad()
def shuffle(part: nn.Module, rng: Rng) -> None:
    """Throw the numbers of each weight together, in place: the same ones in random order.

    Adebayo et al. draw weights as they begin. Ours begin with F = 0 in every block, and He et al.'s here with a last layer of
    0: such a net has no gradient to speak of. The same numbers in another order know as little, and are as large as before.
    Running statistics, which nobody trains, stay.
    """
    for weight in part.parameters():
        lot = rng.uniform(weight.numel()).argsort().to(weight.device)
        weight.copy_(weight.flatten()[lot].view_as(weight))


def cascade(net: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """The same net with its last layer thrown together, then its last two, and so on to the first: (that layer, the net).

    A copy, changed in place as it goes on (Adebayo et al. 2018, arXiv 1810.03292, section 3, cascading randomisation).
    """
    net = copy.deepcopy(net)
    for step, (name, part) in enumerate(reversed(layers(net))):
        shuffle(part, Rng(seed, step, "cascade"))
        yield name, net


def rank_correlation(a_NHW: torch.Tensor, b_NHW: torch.Tensor) -> torch.Tensor:
    """Spearman's correlation of each pair of maps, (N,); 0 where either is the same everywhere, and so ranks nothing."""
    ranks = [torch.from_numpy(stats.rankdata(x.flatten(1).cpu().double().numpy(), axis=1)) for x in (a_NHW, b_NHW)]
    a_NP, b_NP = (rank - rank.mean(1, keepdim=True) for rank in ranks)
    size_N = a_NP.norm(dim=1) * b_NP.norm(dim=1)
    return torch.where(size_N > 1e-9, (a_NP * b_NP).sum(1) / size_N.clamp(min=1e-9), 0.0)


def likeness(a_NHW: torch.Tensor, b_NHW: torch.Tensor, sigma: float = 1.5) -> torch.Tensor:
    """SSIM of each pair of maps, each stretched to 0 … 1 first, (N,) (Wang et al. 2004, IEEE TIP 13(4), equation 13).

    With their 11×11 Gaussian window of deviation 1.5, which is cut to what the picture has, only where it lies in the picture;
    K1 = 0.01, K2 = 0.03 and a range of 1.
    """

    def stretched(x_NHW: torch.Tensor) -> torch.Tensor:
        low, high = x_NHW.amin((1, 2), keepdim=True), x_NHW.amax((1, 2), keepdim=True)
        return ((x_NHW - low) / (high - low).clamp(min=1e-12))[:, None].double()

    side = min(11, *(s - 1 + s % 2 for s in a_NHW.shape[1:]))
    line = torch.exp(-((torch.arange(side).double() - side // 2) ** 2) / (2 * sigma**2))
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None].to(a_NHW.device)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, window)

    a, b = stretched(a_NHW), stretched(b_NHW)
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    each = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return each.mean((1, 2, 3))


def alike(a_NHW: torch.Tensor, b_NHW: torch.Tensor) -> dict[str, float]:
    """How much of maps is left in others, means over N: rank correlation with and without signs, SSIM without."""
    return {
        "absolute": float(rank_correlation(a_NHW.abs(), b_NHW.abs()).mean()),
        "signed": float(rank_correlation(a_NHW, b_NHW).mean()),
        "ssim": float(likeness(a_NHW.abs(), b_NHW.abs()).mean()),
    }


def sanity(net: nn.Module, maps: dict[str, Maps], *, seed: int = 0) -> list[dict[str, Any]]:
    """The cascade from the last layer to the first, and what it leaves of each method's maps (Adebayo et al. 2018).

    A map that says something of the net is gone before the end; one that stays is of the picture alone, as edges are.

    Args:
        net: trained, in eval mode; it is left alone
        maps: by name of the method
        seed: of the random orders

    Returns:
        rows {"layer", method: {"absolute", "signed", "ssim"}}; the first, "(next picture)", is a floor: each map
        against that of the next picture by the same net, where nothing of this picture is left.
    """
    before = {name: make(net) for name, make in maps.items()}
    rows: list[dict[str, Any]] = [
        {"layer": "(next picture)", **{name: alike(x_NHW, x_NHW.roll(1, 0)) for name, x_NHW in before.items()}}
    ]
    for layer, thrown in cascade(net, seed):
        rows.append({"layer": layer, **{name: alike(before[name], make(thrown)) for name, make in maps.items()}})
    return rows


# ----------------------------------------------------------------------------------------------------- the pointing game


def pointing(map_NHW: torch.Tensor, boxes_N4: torch.Tensor) -> dict[str, float]:
    """Share of maps whose highest pixel lies in the true box (Zhang et al. 2016, arXiv 1608.00507, section 4.1), without their
    margin of 15 pixels, which is a small thing's whole size here.

    A pixel lies in a box where its middle does. Where several are highest, the share of them that lie in it.

    Args:
        map_NHW: heat maps
        boxes_N4: x0, y0, x1, y1 in pixels from the picture's left upper corner

    Returns:
        {"map", "random": for a pixel by lot, "centre": for the middle of the picture, "n"}
    """
    n, height, width = map_NHW.shape
    x_W, y_H = torch.arange(width) + 0.5, torch.arange(height) + 0.5

    def inside(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x0, y0, x1, y1 = (side[:, None, None] for side in boxes_N4.cpu().float().unbind(1))
        return ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).double()

    inside_NHW = inside(x_W, y_H[:, None])
    map_NHW = map_NHW.cpu()
    highest_NHW = (map_NHW == map_NHW.amax((1, 2), keepdim=True)).double()
    hit_N = (highest_NHW * inside_NHW).sum((1, 2)) / highest_NHW.sum((1, 2))
    middle_N = inside(torch.tensor(width / 2), torch.tensor(height / 2))
    return {"map": float(hit_N.mean()), "random": float(inside_NHW.mean()), "centre": float(middle_N.mean()), "n": n}


def table(rows: Sequence[dict[str, Any]], methods: Sequence[str], what: str = "absolute") -> list[list[str]]:
    """Rows of `sanity` as cells: the layer, and for each method one of its numbers."""
    return [["", *methods]] + [[row["layer"], *(f"{row[name][what]:.2f}" for name in methods)] for row in rows]
