"""What a net learnt from that is nearest to what it is shown: whole pictures, and things in pictures, in its own features.

What it takes for the like, not why it says what it says.

Shapes: N pictures, C channels, H = W pixels, D features, M boxes of a picture at most, T things in all, X cells of a map.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from gannet.data import images
from gannet.data.boxes import Boxes, Scenes
from gannet.errors import Wrong
from gannet.nets.detector import STRIDE, Detector
from gannet.objectives.detect import middles
from gannet.rng import Rng
from gannet.run import Run, reopened

PART = 512  # pictures of 28 pixels that go through a net at once; fewer larger ones
AMONG = 5_000  # training pictures that the nearest ones are looked for in, at most
LOOKED_THROUGH = 256  # pictures with boxes whose things the nearest ones are looked for among, at most
NEAR = 6  # of them are told


def at_once(x_NCHW: torch.Tensor) -> int:
    """How many pictures of this size go through a net together."""
    return max(1, PART * 28**2 // (x_NCHW.shape[2] * x_NCHW.shape[3]))


def learnt_from(run: Run, offline: bool, trust: bool) -> Any:
    """What a run's net was trained on, before anything is changed in it.

    Raises:
        Wrong: where it cannot be had.
    """
    with reopened(run, offline=offline, trust=trust) as made:
        train = getattr(made.evaluation, "train", made.data)
    while isinstance(train, images.Changed):
        train = train.data
    return train


def pictures(
    run: Run,
    features: Callable[[torch.Tensor], torch.Tensor] | None,
    x_1CHW: torch.Tensor,
    *,
    where: str = "in the features before the last layer",
    offline: bool = False,
    trust: bool = False,
) -> tuple[dict[str, Any], torch.Tensor]:
    """The training pictures nearest to one, and they themselves as bytes (NEAR, C, H, W); none, with a reason, where there are
    none to be had.

    Args:
        run: whose training pictures
        features: pictures in [-1, 1] -> (N, D); None for a net that has none
        x_1CHW: the picture in [-1, 1]
        where: what the features are, in words
        offline, trust: as for `run.reopened`
    """
    none = x_1CHW[:0].cpu().to(torch.uint8)
    if features is None:
        return {"left_out": "this net has no features apart from its score"}, none
    try:
        train = learnt_from(run, offline, trust)
    except Wrong as reason:
        return {"left_out": str(reason)}, none
    if not isinstance(train, images.Images):
        return {"left_out": "the recipe holds no training pictures"}, none
    stored, labels_N, names = train.x_NCHW, train.labels_N, train.classes
    which = Rng(0, 0, "nearest").indices(len(stored), min(AMONG, len(stored))).sort().values
    with torch.no_grad():
        try:
            mine_1D = features(x_1CHW).float()
        except Exception as error:  # somebody's own net may call anything its features
            said = " ".join(str(error).split())[:160]
            return {"left_out": f"this net's features cannot be asked of a picture: {type(error).__name__}: {said}"}, none
        if mine_1D.ndim != 2:
            return {"left_out": f"what this net has for features are no vectors: {tuple(mine_1D.shape[1:])}"}, none
        parts = [features(images.to_float(part).to(x_1CHW.device)).float() for part in stored[which].split(at_once(stored))]
        far_N = torch.cdist(mine_1D, torch.cat(parts))[0].cpu()
        # Once more one by one, as the picture itself: in a batch rounding is another, and a copy would not be at 0.
        near = far_N.argsort()[:NEAR]
        alone = [features(images.to_float(stored[which[i]][None]).to(x_1CHW.device)).float() for i in near]
        exact = torch.stack([(one - mine_1D).norm() for one in alone]).cpu()
    order, exact = near[exact.argsort()], exact.sort().values
    examples = [{"number": int(which[i]), "distance": float(far)} for i, far in zip(order, exact, strict=True)]
    if labels_N is not None:
        for one in examples:
            one["class"] = names[int(labels_N[one["number"]])]
    about = f"{len(which):,} of {len(stored):,} training pictures, Euclidean, {where}"
    return {"examples": examples, "median": float(far_N.median()), "among": about}, stored[which[order]]


def things(
    run: Run, net: Detector, x_1CHW: torch.Tensor, cell: int, *, offline: bool = False, trust: bool = False
) -> tuple[dict[str, Any], torch.Tensor]:
    """The things in training pictures nearest to what is seen in a cell, by what either's middle cell is told by; and their
    surroundings as bytes (none, with a reason).

    Of scenes that are drawn anew for every batch, which are never twice the same, some more are drawn.

    Args:
        run, x_1CHW, offline, trust: as for `pictures`
        net: the run's
        cell: row · columns + column of a cell of 4 × 4 pixels
    """
    none = x_1CHW[:0].cpu().to(torch.uint8)
    try:
        train = learnt_from(run, offline, trust)
    except Wrong as reason:
        return {"left_out": str(reason)}, none
    drawn = isinstance(train, Scenes)
    boxes = train.fixed(LOOKED_THROUGH, "explained") if drawn else train
    if not isinstance(boxes, Boxes):
        return {"left_out": "the recipe holds no training pictures with boxes"}, none
    with_N = boxes.there_NM.any(1).nonzero()[:, 0]
    if not len(with_N):
        return {"left_out": "there is nothing in any of the training pictures"}, none
    which = with_N[Rng(0, 0, "nearest").indices(len(with_N), min(LOOKED_THROUGH, len(with_N)))].sort().values
    found: list[torch.Tensor] = []
    with torch.no_grad():
        mine_1D = net.features(x_1CHW).float().flatten(2)[..., cell]
        for i_N in which.split(at_once(boxes.x_NCHW)):
            batch = boxes.take(i_N)
            seen_NDX = net.features(batch.x_NCHW.to(x_1CHW.device)).float().flatten(2)
            found.append(seen_NDX.transpose(1, 2)[cells_of(batch.boxes_NM4, boxes.pixels, batch.there_NM)])
        far_T = (torch.cat(found) - mine_1D).norm(dim=1).cpu()  # not by products of matrices, whose rounding is a distance
    at_T2 = boxes.there_NM[which].nonzero()  # in the order in which they were found
    order = far_T.argsort()[:NEAR]
    examples, cut = [], []
    for t in order.tolist():
        picture, thing = int(which[at_T2[t, 0]]), int(at_T2[t, 1])
        ends_4 = boxes.boxes_NM4[picture, thing]
        kind = boxes.classes[int(boxes.kinds_NM[picture, thing])]
        box = [round(end, 1) for end in ends_4.tolist()]
        examples.append({"number": picture, "class": kind, "box": box, "distance": float(far_T[t])})
        cut.append(surroundings(boxes.x_NCHW[picture], ends_4))
    about = f"{len(far_T):,} things of {len(which):,} " + (
        "scenes drawn as those of training" if drawn else "training pictures"
    )
    about += ", Euclidean, in what their middle cells are told by"
    told = {"examples": examples, "median": float(far_T.median()), "among": about}
    return told, torch.stack(cut)


def cells_of(boxes_NM4: torch.Tensor, pixels: int, there_NM: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each thing that is there, row after row: the number of its picture, and of the cell in which its middle lies."""
    cells = pixels // STRIDE
    x_NM, y_NM = middles(boxes_NM4)[0].long().clamp(0, cells - 1).unbind(2)
    return there_NM.nonzero()[:, 0], (y_NM * cells + x_NM)[there_NM]


def surroundings(x_CHW: torch.Tensor, ends_4: torch.Tensor, side: int = 64) -> torch.Tensor:
    """A square of bytes (C, side, side) round a box, a quarter larger than its longer side; black beyond the picture."""
    middle_2, reach = (ends_4[:2] + ends_4[2:]) / 2, max(1, math.ceil(float((ends_4[2:] - ends_4[:2]).max()) * 0.625))
    left, top = (middle_2 - reach).round().int().tolist()
    more = 2 * reach + x_CHW.shape[-1]
    wide = F.pad(x_CHW, (more,) * 4)
    cut = wide[:, top + more : top + more + 2 * reach, left + more : left + more + 2 * reach]
    return F.interpolate(cut[None].float(), (side, side), mode="bilinear", align_corners=False)[0].round().to(torch.uint8)
