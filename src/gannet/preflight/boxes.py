"""What is wrong with boxes before any net has learnt from them."""

from __future__ import annotations

import math

import torch

from gannet.data.boxes import Batch
from gannet.objectives.detect import Detect
from gannet.preflight.case import Case, Finding, check, found

MANY = 64  # pictures behind a statistic
TRIES = 20  # batches in which they are looked for
FEWEST = 12  # of which anything can be said
CERTAIN = 4.0  # standard errors


def detects(case: Case) -> bool:
    return isinstance(case.objective, Detect)


def some(case: Case) -> Batch:
    """Pictures that have boxes, 64 at most, from as many batches as that takes: where few have any, one batch may have none."""
    parts, many = [], 0
    for step in range(TRIES):
        batch = case.batch("boxes", MANY, step)
        with_N = batch.there_NM.any(1)
        parts.append([part[with_N].cpu() for part in batch])
        many += int(with_N.sum())
        if many >= MANY // 2:
            break
    return Batch(*(torch.cat(held)[:MANY] for held in zip(*parts, strict=True)))


@check(fast=True, needs=detects)
def boxes(case: Case) -> Finding:
    """Boxes lie inside the pictures that are fed, have an area of a pixel at least, and are of classes that the net tells."""
    batch = some(case)
    ends_X4, kinds_X = batch.boxes_NM4[batch.there_NM], batch.kinds_NM[batch.there_NM]
    pixels = batch.x_NCHW.shape[2]
    if not len(ends_X4):
        return Finding("fail", f"no box in {TRIES * MANY:,} pictures", "some", "annotations that no picture was found for")
    sides_X2 = ends_X4[:, 2:] - ends_X4[:, :2]
    outside = ((ends_X4 < -0.01) | (ends_X4 > pixels + 0.01)).any(1)
    small = (sides_X2 < 1).any(1)
    odd = (kinds_X < 0) | (kinds_X >= case.objective.classes)
    bad = int((outside | small | odd).sum())
    words = f"{bad} of {len(ends_X4)} not" if bad else f"all {len(ends_X4)}"
    cause = "middles and sides taken for corners, or pixels of the picture before it was resized"
    if small.any():
        cause = "shares of the picture taken for pixels, or corners in another order"
    elif odd.any():
        cause = "class numbers that begin at 1, or category ids taken for class numbers"
    return found(not bad, words, "all inside, of 1 pixel at least, of known classes", cause)


@check(fast=True, needs=detects)
def boxes_fit(case: Case) -> Finding:
    """A picture's own boxes hold more edges, or fewer, than the places of another picture's boxes: they moved as it did."""
    batch = some(case)
    if len(batch.x_NCHW) < FEWEST:
        words = f"{len(batch.x_NCHW)} pictures with boxes in {TRIES * MANY:,}"
        return Finding("info", f"{words}: too few to say", f"at least {FEWEST}")
    x_NHW = batch.x_NCHW.float().mean(1)
    edge_NHW = torch.zeros_like(x_NHW)
    edge_NHW[:, :, 1:] += x_NHW.diff(dim=2).abs()
    edge_NHW[:, 1:] += x_NHW.diff(dim=1).abs()
    sums_NHW = torch.nn.functional.pad(edge_NHW.cumsum(1).cumsum(2), (1, 0, 1, 0))  # what lies above and to the left
    n, high, wide = x_NHW.shape
    x0, y0, x1, y1 = (v.round().long() for v in batch.boxes_NM4.unbind(2))
    x0, x1, y0, y1 = x0.clamp(0, wide), x1.clamp(0, wide), y0.clamp(0, high), y1.clamp(0, high)

    def inside(shift: int) -> torch.Tensor:
        """Edges a pixel in each box of each picture, looked for in the picture `shift` further on, (N,)."""
        at = ((torch.arange(n) + shift) % n)[:, None]
        total_NM = sums_NHW[at, y1, x1] - sums_NHW[at, y0, x1] - sums_NHW[at, y1, x0] + sums_NHW[at, y0, x0]
        area_NM = ((x1 - x0) * (y1 - y0)).clamp(min=1)
        return (total_NM / area_NM * batch.there_NM).sum(1) / batch.there_NM.sum(1).clamp(min=1)

    gain_N = (inside(0) - torch.stack([inside(shift) for shift in range(1, min(n, 9))]).mean(0))[batch.there_NM.any(1)]
    spread = max(float(gain_N.std()) / math.sqrt(max(len(gain_N), 1)), 1e-12) if len(gain_N) > 1 else math.inf
    certain = abs(float(gain_N.mean())) / spread  # smooth things on rough ground have fewer
    cause = "x and y exchanged, a picture mirrored or cut without its boxes, or boxes of other pictures"
    return found(certain >= CERTAIN, f"{certain:.1f} standard errors apart", f"at least {CERTAIN:g}", cause)
