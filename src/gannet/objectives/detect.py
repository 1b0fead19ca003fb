"""Finding things: a heat map whose peaks are their middles, and a box at every peak (Zhou et al. 2019, arXiv 1904.07850).

Shapes: N pictures, K classes, M places for boxes, cells of H × W, Q boxes told.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from gannet.nets.detector import PRIOR, STRIDE, USUAL
from gannet.objectives import Averaged, Loss
from gannet.rng import Rng

SPREAD = 0.54 / 6  # of a peak, by the sides of its box (Liu et al. 2019, TTFNet, arXiv 1909.00700, section 3.2)
NARROWEST = 0.3  # cells: a thing of one cell makes its neighbours no peaks
CENTRE = 0.25  # cells this near to the middle, by the sides of the box, tell the box too


class Told(NamedTuple):
    """boxes_NQ4: x0, y0, x1, y1 in pixels; kinds_NQ: classes; chance_NQ: how likely, most likely first; places_NQ: where in the
    heat map, (class · rows + row) · columns + column, of what a net told."""

    boxes_NQ4: torch.Tensor
    kinds_NQ: torch.Tensor
    chance_NQ: torch.Tensor
    places_NQ: torch.Tensor = torch.empty(0, dtype=torch.int64)


class Detect(Averaged):
    """One player, the detector.

    Args:
        net: pictures (N, C, P, P) -> (N, K + 4, P/4, P/4), as `nets.detector.Detector`
        classes: K
        rate, decay: peak learning rate and weight decay
        boxes: weight of the boxes' loss beside the heat map's
        half_life: of the averaged net, in examples
    """

    many = 64 * 128**2

    def __init__(
        self,
        net: nn.Module,
        classes: int,
        *,
        rate: float = 2e-3,
        decay: float = 0.02,
        boxes: float = 4.0,
        half_life: float = 2_000,
    ):
        super().__init__("detector", net, rate=rate, decay=decay, half_life=half_life, clip=10.0)
        self.classes, self.weight = classes, boxes
        self.precision = "float32"  # of what the finished net tells: a run sets it to what it was trained in

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        return self.compared(self.players[player].net(batch.x_NCHW).float(), batch)

    def compared(self, told_NJHW: torch.Tensor, batch: Any) -> Loss:
        """The loss of what a net tells: per thing, so that pictures count by the things in them."""
        batch = trimmed(batch)
        heat_NKHW = heat(batch, self.classes, told_NJHW.shape[2])
        many_N = batch.there_NM.sum(1).clamp(min=1).float()
        heat_N = focal(told_NJHW[:, : self.classes], heat_NKHW).flatten(1).sum(1) / many_N
        boxes_N, near = self._boxes(told_NJHW, batch)
        boxes_N = boxes_N / many_N
        total = many_N.sum()
        notes = {"heat": (heat_N * many_N).sum() / total, "boxes": (boxes_N * many_N).sum() / total, "overlap": near}
        peak_NKHW = heat_NKHW == 1
        if bool(peak_NKHW.any()):
            notes["peaks"] = focal(told_NJHW[:, : self.classes], heat_NKHW)[peak_NKHW].mean()
        return heat_N + self.weight * boxes_N, many_N, {name: value.detach() for name, value in notes.items()}

    def _boxes(self, told_NJHW: torch.Tensor, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """For each picture the sum over its things of 1 - generalised overlap (Rezatofighi et al. 2019, arXiv 1902.09630,
        equation 1), each the mean over the cells that tell its box; and the mean overlap."""
        owner_NHW, cells_NM = owners(batch, told_NJHW.shape[2])
        n_X, y_X, x_X = (owner_NHW >= 0).nonzero(as_tuple=True)
        owner_X = owner_NHW[n_X, y_X, x_X]
        mine_X4 = unfolded(told_NJHW[:, self.classes :])[n_X, y_X, x_X]
        true_X4 = batch.boxes_NM4[n_X, owner_X]
        share_X = 1 / cells_NM[n_X, owner_X]
        generalised_X, overlap_X = generalised(mine_X4, true_X4)
        off_N = told_NJHW.new_zeros(len(told_NJHW)).index_add(0, n_X, (1 - generalised_X) * share_X)
        return off_N, (overlap_X * share_X).sum() / share_X.sum().clamp(min=1e-9)

    @torch.no_grad()
    def boxes(self, x_NCHW: torch.Tensor, most: int = 100) -> Told:
        """What the averaged net sees in byte pictures (N, C, P, P): the highest peaks, of every height."""
        parts = [peaks(told, self.classes, most) for told in self.said(x_NCHW, self.precision)]
        return Told(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))

    def expect(self) -> dict[str, float]:
        """The heat map's loss where there is something: every peak is told a chance of 1 %."""
        return {"detector": (1 - PRIOR) ** 2 * -math.log(PRIOR)}


def middles(boxes_NM4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Middles and sides of boxes in cells, each (N, M, 2), x first."""
    return (boxes_NM4[..., :2] + boxes_NM4[..., 2:]) / (2 * STRIDE), (boxes_NM4[..., 2:] - boxes_NM4[..., :2]) / STRIDE


def trimmed(batch: Any) -> Any:
    """A batch with as much room for boxes as the fullest of its pictures needs, where the set's fullest may need far more."""
    many = max([1, *(batch.there_NM.any(0).nonzero().flatten() + 1).tolist()])
    return batch._replace(**{name: getattr(batch, name)[:, :many] for name in ("boxes_NM4", "kinds_NM", "there_NM")})


def heat(batch: Any, classes: int, side: int) -> torch.Tensor:
    """What the heat map should be, (N, K, H, W): 1 in the cell that holds a thing's middle, a bell round it by the thing's
    sides, and the higher one where two of a class meet."""
    middle_NM2, sides_NM2 = middles(batch.boxes_NM4)
    spread_NM2 = (SPREAD * sides_NM2).clamp(min=NARROWEST)
    cell_NM2 = middle_NM2.floor().clamp(0, side - 1)
    at_H = torch.arange(side, device=middle_NM2.device)
    x_NMW, y_NMH = ((-((at_H - cell_NM2[..., i, None]) ** 2) / (2 * spread_NM2[..., i, None] ** 2)).exp() for i in (0, 1))
    bell_NMHW = y_NMH[..., None] * x_NMW[..., None, :] * batch.there_NM[..., None, None]
    n, m = batch.there_NM.shape
    heat_NKX = torch.zeros(n, classes, side * side, device=bell_NMHW.device)
    kinds_NMX = batch.kinds_NM[..., None].expand(-1, -1, side * side)
    return heat_NKX.scatter_reduce_(1, kinds_NMX, bell_NMHW.view(n, m, -1), "amax").view(n, classes, side, side)


def focal(logits_NKHW: torch.Tensor, heat_NKHW: torch.Tensor) -> torch.Tensor:
    """The heat map's loss in every cell (Zhou et al. 2019, equation 1, after Law and Deng 2018; alpha 2, beta 4), not yet
    divided by the number of things."""
    log_p, log_q = F.logsigmoid(logits_NKHW), F.logsigmoid(-logits_NKHW)
    hit = (2 * log_q).exp() * -log_p  # (1 - p)² · -log p
    miss = (1 - heat_NKHW) ** 4 * (2 * log_p).exp() * -log_q
    return torch.where(heat_NKHW == 1, hit, miss)


def owners(batch: Any, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Whose box each cell tells: the number of the smallest thing near whose middle it lies, or -1, (N, H, W); and how many
    cells each thing has, (N, M).

    The cell that holds the middle always tells it, unless that of a smaller thing is the same.
    """
    middle_NM2, sides_NM2 = middles(batch.boxes_NM4)
    cell_NM2 = middle_NM2.floor().clamp(0, side - 1)
    at_H = torch.arange(side, device=middle_NM2.device)
    near = []
    for i in (0, 1):
        far_NMH = (at_H + 0.5 - middle_NM2[..., i, None]).abs()
        near.append((far_NMH <= CENTRE * sides_NM2[..., i, None]) | (at_H == cell_NM2[..., i, None]))
    near_NMHW = near[1][..., None] & near[0][..., None, :] & batch.there_NM[..., None, None]
    area_NM = sides_NM2.prod(2)
    holds_NMHW = (at_H == cell_NM2[..., 1, None])[..., None] & (at_H == cell_NM2[..., 0, None])[..., None, :]
    rank_NMHW = torch.where(holds_NMHW, area_NM[..., None, None] * 1e-6, area_NM[..., None, None])
    rank_NMHW = torch.where(near_NMHW, rank_NMHW, torch.inf)
    least_NHW, owner_NHW = rank_NMHW.min(1)
    owner_NHW = torch.where(least_NHW < torch.inf, owner_NHW, -1)
    m = batch.there_NM.shape[1]
    cells_NM = F.one_hot(owner_NHW.flatten(1) + 1, m + 1)[..., 1:].sum(1)
    return owner_NHW, cells_NM.clamp(min=1)


def unfolded(told_N4HW: torch.Tensor) -> torch.Tensor:
    """What cells tell of their box, offsets and logarithms of sides (N, 4, H, W) -> boxes in pixels (N, H, W, 4)."""
    side = told_N4HW.shape[2]
    at_H = torch.arange(side, device=told_N4HW.device) + 0.5
    x_NHW = (told_N4HW[:, 0] + at_H) * STRIDE
    y_NHW = (told_N4HW[:, 1] + at_H[:, None]) * STRIDE
    half_N2HW = told_N4HW[:, 2:].clamp(-6, 6).exp() * (USUAL / 2)
    w_NHW, h_NHW = half_N2HW.unbind(1)
    return torch.stack([x_NHW - w_NHW, y_NHW - h_NHW, x_NHW + w_NHW, y_NHW + h_NHW], 3)


def generalised(one_X4: torch.Tensor, two_X4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised intersection over union of boxes, in (-1, 1], and the plain one, each (X,)."""
    low, high = torch.maximum(one_X4[:, :2], two_X4[:, :2]), torch.minimum(one_X4[:, 2:], two_X4[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (one_X4, two_X4)]
    union = (areas[0] + areas[1] - shared).clamp(min=1e-6)
    hull = torch.maximum(one_X4[:, 2:], two_X4[:, 2:]) - torch.minimum(one_X4[:, :2], two_X4[:, :2])
    hull = hull.prod(1).clamp(min=1e-6)
    return shared / union - (hull - union) / hull, (shared / union).detach()


def peaks(told_NJHW: torch.Tensor, classes: int, most: int) -> Told:
    """The highest cells of each picture that are no lower than the eight round them (Zhou et al. 2019, section 3), as boxes."""
    p_NKHW = told_NJHW[:, :classes].sigmoid()
    p_NKHW = p_NKHW * (p_NKHW == F.max_pool2d(p_NKHW, 3, 1, 1))
    chance_NQ, place_NQ = p_NKHW.flatten(1).topk(min(most, p_NKHW[0].numel()), 1)
    cells = told_NJHW.shape[2] ** 2
    boxes_NX4 = unfolded(told_NJHW[:, classes:]).flatten(1, 2)
    boxes_NQ4 = boxes_NX4.gather(1, (place_NQ % cells)[..., None].expand(-1, -1, 4))
    return Told(boxes_NQ4.clamp(0, told_NJHW.shape[2] * STRIDE), place_NQ // cells, chance_NQ, place_NQ)
