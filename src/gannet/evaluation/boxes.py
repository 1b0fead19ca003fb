"""What a detector is worth: boxes told against boxes there, by COCO's own protocol, beside a dumb baseline.

The test set is only ever reported on. What is watched while training, and what the threshold is chosen by, are pictures kept
from the training set. Shapes: N pictures, M places for true boxes, Q for told ones, chance falling.
"""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from gannet.data.annotated import coco_box
from gannet.data.boxes import Boxes, Scenes, area, overlap
from gannet.data.images import Images, to_float
from gannet.errors import Wrong
from gannet.evaluation.classes import class_means
from gannet.evaluation.images import Score, no_wishes
from gannet.objectives.detect import Told

SHOWN = 12
USUAL = 0.3  # the chance from which boxes are shown, where nothing watched was found
MATCH = 0.5  # of overlap: told and true are then the same thing
#: COCO's measures by their places in its summary, what they are called here, and what they mean.
COCO = {
    "ap": (0, "average precision, mean over overlaps of 0.50 to 0.95 and over classes (COCO's mAP)"),
    "ap_50": (1, "the same at an overlap of 0.50"),
    "ap_75": (2, "the same at an overlap of 0.75"),
    "ap_small": (3, "of things under 32² pixels"),
    "ap_medium": (4, "of things of 32² to 96² pixels"),
    "ap_large": (5, "of larger things"),
}


class Detection:
    """The evaluation of detectors.

    Args:
        train: what is learnt from: for the baseline
        watched: kept from training, of the same kind: for the loss while training, and for the threshold
        test: held out, looked at by `gannet evaluate` alone
    """

    def __init__(self, train: Any, watched: Boxes, test: Boxes):
        self.train, self.watched, self.test = train, watched, test
        #: A detector's loss may jump; only what is far above an untrained net's, about 7, is a collapse.
        self.level = 1.0

    @torch.no_grad()
    def quick(self, objective: Any) -> dict[str, float]:
        """The score to watch while training, on pictures kept from it: the loss of the averaged net."""
        total = weight = 0.0
        device = next(objective.average.parameters()).device
        for i_N in torch.arange(len(self.watched.x_NCHW)).split(32):
            batch = self.watched.take(i_N)
            batch = type(batch)(*(part.to(device) for part in batch))
            told = torch.cat(objective.said(self.watched.x_NCHW[i_N], objective.precision))
            values_N, many_N, _ = objective.compared(told, batch)
            total, weight = total + float((values_N * many_N).sum()), weight + float(many_N.sum())
        return {"loss_watched": total / max(weight, 1)}

    def finish(self, objective: Any) -> dict[str, Any]:
        """What the finished run should remember: the chance from which a box is shown, and how good it is there."""
        least, f1 = threshold(objective.boxes(self.watched.x_NCHW), self.watched)
        return {"threshold": round(least, 4), "f1_watched": round(f1, 4)}

    def sheet(self, objective: Any) -> np.ndarray:
        """The first watched pictures (H, W, 3) with what is told of them."""
        told = objective.boxes(self.watched.x_NCHW)
        least, _ = threshold(told, self.watched)
        return shown(self.watched, told, least)

    def judge(
        self, objective: Any, *, wish: str = "auto", full: bool = False, seed: int = 0
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Every score on the test set, and pictures of it with boxes.

        Args:
            objective: whose net is judged
            wish: auto; no feature net is asked
            full: nothing more can be measured here
            seed: nothing here is drawn by lot

        Raises:
            Wrong: for other features and for `full`, and where pycocotools is missing.
        """
        no_wishes("a detector is judged by the boxes of the test set alone", wish, full)
        objective.boxes(self.test.x_NCHW[:4])  # the first pictures pay for caches
        began = time.perf_counter()
        told = objective.boxes(self.test.x_NCHW)
        spent = (time.perf_counter() - began) / len(self.test.x_NCHW)
        many = min(len(self.test.x_NCHW), objective.at_once(self.test.pixels**2))
        few = self.test.x_NCHW[:50]
        began = time.perf_counter()
        for one in few.split(1):
            objective.boxes(one)
        alone = (time.perf_counter() - began) / len(few)
        mine, classes = coco(told, self.test)
        other, _ = coco(blobs(self.test, self.examples()), self.test)
        least, _ = threshold(objective.boxes(self.watched.x_NCHW), self.watched)
        precise, found = matched(told, self.test, least)
        things, counts = int(self.test.there_NM.sum()), by_size(self.test)
        scores = {
            name: Score(mine[name], None, other[name], "higher", meaning, counts.get(name, things))
            for name, (_, meaning) in COCO.items()
            if mine[name] >= 0
        }
        report: dict[str, Any] = {
            "scores": {name: asdict(score) for name, score in scores.items()},
            "columns": ["net", "baseline"],
            "threshold": least,
            "at_threshold": {"precision": precise, "recall": found},
            "ap_of": classes,
            "milliseconds": {f"of a picture in {many}": 1e3 * spent, "alone": 1e3 * alone},
            "about": f"{self.test.name}/{self.test.split}, {len(self.test):,} pictures with {things:,} things, by which "
            "nothing was chosen; scored by pycocotools. Baseline: bright blobs that touch nothing else, each called what the "
            f"nearest class's mean is. From a chance of {least:.2f}, chosen on {len(self.watched):,} watched pictures: "
            f"{precise:.2%} of what is told is there, {found:.2%} of what is there is told. A picture takes {1e3 * spent:.1f} "
            f"ms in {many} at once, {1e3 * alone:.1f} alone ({torch.get_num_threads()} threads, {objective.precision}).",
            "picture": "Test pictures, and what is told of them from that chance on.",
        }
        return report, shown(self.test, told, least)

    def examples(self) -> Images:
        """One thing a picture, of the training set, for the baseline."""
        data = self.train
        if isinstance(data, Scenes):
            return data.things
        stored: Boxes = getattr(data, "data", data)
        n_X, m_X = stored.there_NM.nonzero(as_tuple=True)
        cuts = [cut(stored.x_NCHW[n], stored.boxes_NM4[n, m]) for n, m in zip(n_X[:5_000], m_X[:5_000], strict=True)]
        return Images(torch.stack(cuts), stored.kinds_NM[n_X, m_X][:5_000], stored.classes)


def chosen(told: Told, i: int, least: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, kinds and chances of picture i from a chance on."""
    are = told.chance_NQ[i] >= least
    return told.boxes_NQ4[i, are], told.kinds_NQ[i, are], told.chance_NQ[i, are]


def claimed(told: Told, data: Boxes) -> torch.Tensor:
    """True where a told box is the thing it says, (N, Q): the likeliest first, each takes the true box of its class that it
    overlaps most, by half at least, if nobody has taken that one before."""
    right_NQ = torch.zeros(told.chance_NQ.shape, dtype=torch.bool)
    for i in range(len(told.chance_NQ)):
        there_M = data.there_NM[i].clone()
        near_QM = overlap(told.boxes_NQ4[i][:, None], data.boxes_NM4[i][None])
        same_QM = told.kinds_NQ[i][:, None] == data.kinds_NM[i][None]
        near_QM = torch.where(same_QM, near_QM, 0.0)
        for q in (near_QM.amax(1) >= MATCH).nonzero().flatten().tolist():
            best, m = torch.where(there_M, near_QM[q], 0.0).max(0)
            if best >= MATCH:
                there_M[m], right_NQ[i, q] = False, True
    return right_NQ


def threshold(told: Told, data: Boxes) -> tuple[float, float]:
    """The chance from which on precision and recall have the highest harmonic mean (F1), and that mean."""
    right_NQ = claimed(told, data)
    order = told.chance_NQ.flatten().argsort(descending=True, stable=True)
    right_X, chance_X = right_NQ.flatten()[order].double(), told.chance_NQ.flatten()[order]
    things = max(int(data.there_NM.sum()), 1)
    f1_X = 2 * right_X.cumsum(0) / (torch.arange(1, len(order) + 1) + things)
    f1_X[:-1][chance_X[:-1] == chance_X[1:]] = 0  # equal chances come in together or not at all
    best = int(f1_X.argmax())
    return (float(chance_X[best]), float(f1_X[best])) if f1_X[best] > 0 else (USUAL, 0.0)


def matched(told: Told, data: Boxes, least: float) -> tuple[float, float]:
    """Precision and recall from a chance on."""
    right = claimed(told, data) & (told.chance_NQ >= least)
    return (
        float(right.sum() / (told.chance_NQ >= least).sum().clamp(min=1)),
        float(right.sum() / data.there_NM.sum().clamp(min=1)),
    )


def coco(told: Told, data: Boxes) -> tuple[dict[str, float], dict[str, float]]:
    """COCO's measures, -1 where there is no such thing, and the average precision of each class, by pycocotools.

    Raises:
        Wrong: where that is not installed.
    """
    try:
        from pycocotools import coco as theirs
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise Wrong("detectors are scored by pycocotools, which is not here", try_="pip install 'gannet[vision]'") from error
    n, p = len(data.x_NCHW), data.pixels
    truth = []
    for number, (i, m) in enumerate(data.there_NM.nonzero().tolist(), 1):  # to pycocotools 0 is no number
        which = {"id": number, "image_id": i, "category_id": int(data.kinds_NM[i, m])}
        truth.append(which | coco_box(data.boxes_NM4[i, m].tolist()))
    index: Any = theirs.COCO()
    index.dataset = {
        "images": [{"id": i, "width": p, "height": p} for i in range(n)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(data.classes)],
        "annotations": truth,
        "info": {},
    }
    guesses = [
        {"image_id": i, "category_id": kind, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": chance}
        for i in range(n)
        for (x0, y0, x1, y1), kind, chance in zip(
            told.boxes_NQ4[i].tolist(), told.kinds_NQ[i].tolist(), told.chance_NQ[i].tolist(), strict=True
        )
        if chance > 1e-3
    ]
    if not guesses or not truth:
        return dict.fromkeys(COCO, 0.0), dict.fromkeys(data.classes, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells how long it took
        index.createIndex()
        judge = COCOeval(index, index.loadRes(guesses), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision: Any = judge.eval["precision"]  # overlaps, recalls, classes, sizes, most
    classes = {}
    for k, name in enumerate(data.classes):
        of = precision[:, :, k, 0, -1]
        if (of > -1).any():
            classes[name] = round(float(of[of > -1].mean()), 4)
    return {name: float(judge.stats[place]) for name, (place, _) in COCO.items()}, classes


def by_size(data: Boxes) -> dict[str, int]:
    """How many things are small, medium and large by COCO's bounds, named as their scores are."""
    area_X = area(data.boxes_NM4)[data.there_NM]
    few = {"ap_small": area_X <= 32**2, "ap_medium": (area_X >= 32**2) & (area_X <= 96**2), "ap_large": area_X >= 96**2}
    return {name: int(are.sum()) for name, are in few.items()}


def cut(x_CHW: torch.Tensor, box_4: torch.Tensor, side: int = 28) -> torch.Tensor:
    """What is in a box, as a square, bytes (C, 28, 28)."""
    x0, y0, x1, y1 = (int(v) for v in box_4.round())
    inside = x_CHW[None, :, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].float()
    return torch.nn.functional.interpolate(inside, (side, side), mode="bilinear", antialias=True)[0].round().to(torch.uint8)


def blobs(data: Boxes, examples: Images, bright: int = 64) -> Told:
    """The dumbest detector that looks: each blob of bright pixels that touches no other, called what the nearest class's mean
    picture of one thing, cut to its ink, is; the larger the surer."""
    squares = examples.x_NCHW[:5_000]
    ink_NHW = squares.amax(1) >= bright
    labels = examples.labels_N
    assert labels is not None
    tight = []
    for x_CHW, ink_HW in zip(squares[:, : data.x_NCHW.shape[1]], ink_NHW, strict=True):  # scenes have no transparency
        y, x = ink_HW.nonzero(as_tuple=True)
        whole = torch.tensor([0, 0, x_CHW.shape[2], x_CHW.shape[1]])
        tight.append(cut(x_CHW, torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]) if len(x) else whole))
    mean_KD = class_means(torch.stack(tight), labels[: len(squares)], len(examples.classes))
    most = 100
    boxes = torch.zeros(len(data.x_NCHW), most, 4)
    kinds = torch.zeros(len(data.x_NCHW), most, dtype=torch.int64)
    chances = torch.zeros(len(data.x_NCHW), most)
    for i, x_CHW in enumerate(data.x_NCHW):
        found, _ = ndimage.label((x_CHW.amax(0) >= bright).numpy(), np.ones((3, 3)))  # type: ignore[misc]
        places = [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in ndimage.find_objects(found)]
        places = sorted(places, key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))[:most]  # the largest first
        if not places:
            continue
        box_Q4 = torch.tensor(places).float()
        cuts_QD = to_float(torch.stack([cut(x_CHW, box) for box in box_Q4])).flatten(1)
        q = len(places)
        boxes[i, :q], kinds[i, :q] = box_Q4, torch.cdist(cuts_QD, mean_KD).argmin(1)
        chances[i, :q] = ((box_Q4[:, 2:] - box_Q4[:, :2]).prod(1) / data.pixels**2).sqrt().clamp(0.01, 1)
    return Told(boxes, kinds, chances)


def shown(data: Boxes, told: Told, least: float) -> np.ndarray:
    """The first pictures of a set (H, W, 3) with what is told of them from a chance on, four in a row."""
    few, gap = min(SHOWN, len(data.x_NCHW)), 4
    columns = min(4, few)
    made = [drawn(data.x_NCHW[i], *chosen(told, i, least), data.classes) for i in range(few - few % columns)]
    framed = [np.pad(one, ((0, gap), (0, gap), (0, 0))) for one in made]
    return np.concatenate([np.concatenate(framed[at : at + columns], 1) for at in range(0, len(framed), columns)], 0)


def drawn(
    x_CHW: torch.Tensor, boxes_Q4: torch.Tensor, kinds_Q: torch.Tensor, chance_Q: torch.Tensor, classes: list[str]
) -> np.ndarray:
    """A picture (H, W, 3), bytes, enlarged to 256 pixels at least, with boxes and their names."""
    from PIL import Image

    x_HWC = x_CHW[:3].expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    times = max(1, -(-256 // x_HWC.shape[0]))
    picture = Image.fromarray(x_HWC).resize((x_HWC.shape[1] * times, x_HWC.shape[0] * times), Image.Resampling.NEAREST)
    return np.asarray(boxed(picture, boxes_Q4 * times, kinds_Q, chance_Q, classes))


def boxed(picture: Any, boxes_Q4: torch.Tensor, kinds_Q: torch.Tensor, chance_Q: torch.Tensor, classes: list[str]) -> Any:
    """Pillow's picture with boxes and their names drawn onto it, each class in a colour of its own."""
    import colorsys

    from PIL import ImageDraw, ImageFont

    pen, size = ImageDraw.Draw(picture), max(10, min(picture.size) // 40)
    line: Any = ImageFont.load_default(size)
    for box, kind, chance in zip(boxes_Q4.tolist(), kinds_Q.tolist(), chance_Q.tolist(), strict=True):
        hue = kind * 0.618034 % 1  # neighbours far apart
        colour = tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.6, 0.9))
        pen.rectangle(box, outline=colour, width=max(1, size // 8))
        with contextlib.suppress(UnicodeEncodeError):
            pen.text(
                (box[0] + 2, box[1] - size - 1 if box[1] > size else box[1]), f"{classes[kind]}: {chance:.0%}", colour, line
            )
    return picture
