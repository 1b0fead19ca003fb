"""What a finished net says of pictures: classes, or boxes.

A file that cannot be used gets {"file", "wrong"} in its place, so that it leaves the others their answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gannet.data import images
from gannet.data.annotated import coco_box, coco_categories, yolo_line
from gannet.data.pictures import Fit, fitted, prepared, shown, upright
from gannet.errors import Wrong
from gannet.evaluation.boxes import USUAL, boxed
from gannet.files import check_ours, save_picture, write_json, write_text

NOTE = "predicted.json"  # by which a folder of ours is known

Pictures = str | Path | Sequence[str | Path] | np.ndarray


def tell(objective: Any, facts: dict[str, Any], trained: dict[str, Any], pictures: Pictures, least: float | None = None) -> Any:
    """What a net says of each picture, a dictionary each.

    Args:
        objective: the finished net's, with `logits` or `boxes`
        facts: of its training data
        trained: what the run remembers of its end: a temperature, a threshold
        pictures: files; or bytes (N, H, W, C) of the run's size
        least: chance from which a box is told; without, the threshold that was chosen when it was trained

    Raises:
        Wrong: for an array of another shape.
    """
    if isinstance(pictures, (str, Path)):
        pictures = [pictures]
    if not len(pictures):
        return []
    pixels, channels = facts["pixels"], facts["channels"]
    sees = hasattr(objective, "boxes")
    answers: list[dict[str, Any]] = []
    read: list[torch.Tensor] = []
    sizes: list[Fit] = []
    if isinstance(pictures, np.ndarray):
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (pixels, pixels, channels):
            needs = f"bytes (N, {pixels}, {pixels}, {channels})"
            raise Wrong("pictures as an array must have the run's size", got=f"{pictures.shape} {pictures.dtype}", try_=needs)
        read = list(images.times_alpha(torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()))
        answers, sizes = [{} for _ in pictures], [Fit((pixels, pixels), (pixels, pixels))] * len(pictures)
    else:
        for file in pictures:
            answers.append({"file": str(file)})
            try:
                if sees:
                    x_CHW, fit = fitted(Path(file), pixels, channels)
                    sizes.append(fit)
                else:
                    x_CHW = prepared(Path(file), pixels, channels)
                read.append(x_CHW)
            except Wrong as wrong:
                answers[-1]["wrong"] = wrong.got or str(wrong)
    usable = [answer for answer in answers if "wrong" not in answer]
    if usable and sees:
        from_on = float(trained.get("threshold", USUAL)) if least is None else least
        _boxes(objective, facts["classes"], torch.stack(read), sizes, from_on, usable)
    elif usable:
        _classes(objective, facts["classes"], torch.stack(read), trained.get("temperature", 1.0), usable)
    return answers


def _classes(objective: Any, names: list[str], x_NCHW: torch.Tensor, warm: float, answers: list[dict[str, Any]]) -> None:
    """Adds "class", "chance" and "chances", likeliest first."""
    for answer, p_K in zip(answers, (objective.logits(x_NCHW) / warm).softmax(1), strict=True):
        chances = {names[i]: round(float(p_K[i]), 6) for i in p_K.argsort(descending=True).tolist()}
        first = next(iter(chances))
        answer |= {"class": first, "chance": chances[first], "chances": chances}


def _boxes(
    objective: Any,
    names: list[str],
    x_NCHW: torch.Tensor,
    fits: list[Fit],
    least: float,
    answers: list[dict[str, Any]],
) -> None:
    """Adds "boxes", each with "class", "number" of that, "chance" and "box": x0, y0, x1, y1 in pixels of the file, likeliest
    first; what would lie beside the picture is left out."""
    told = objective.boxes(x_NCHW)
    for i, (answer, fit) in enumerate(zip(answers, fits, strict=True)):
        are = (told.chance_NQ[i] >= least) & fit.shows(told.boxes_NQ4[i])
        boxes_Q4 = fit.back(told.boxes_NQ4[i])[are]
        each = zip(boxes_Q4.tolist(), told.kinds_NQ[i, are].tolist(), told.chance_NQ[i, are].tolist(), strict=True)
        answer["boxes"] = [
            {"class": names[kind], "number": kind, "chance": round(chance, 4), "box": [round(v, 1) for v in box]}
            for box, kind, chance in each
        ]


def in_words(answer: dict[str, Any], top: int = 3) -> str:
    """An answer in a line: the likeliest classes, or how many things of which class, and where the surest are."""
    if "boxes" not in answer:
        return ", ".join(f"{name} {chance:.1%}" for name, chance in list(answer["chances"].items())[:top])
    things = answer["boxes"]
    counts = Counter(thing["class"] for thing in things)
    many = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    surest = "; ".join(f"{t['class']} {t['chance']:.0%} at {' '.join(f'{v:.0f}' for v in t['box'])}" for t in things[:top])
    return f"{len(things)} things ({many}); {surest}" if things else "nothing"


def boxes_into(
    answers: Sequence[dict[str, Any]], classes: list[str], folder: Path, ids: Sequence[int | str] | None = None
) -> list[Path]:
    """Write a detector's answers about files: each picture with its boxes, coco.json, and labels/ with YOLO's lines.

    Args:
        answers: as `predict` gives them
        classes: their names
        folder: where to
        ids: of the classes in coco.json; without, they are numbered from 1

    Returns:
        the files, pictures first; none where nothing was looked for

    Raises:
        Wrong: where the folder holds anything but earlier answers, and nothing is written.
    """
    answers = [answer for answer in answers if "boxes" in answer]
    if not answers:
        return []
    check_ours(folder, NOTE)
    write_json(folder / NOTE, {"files": [shown(answer["file"]) for answer in answers]})
    categories = coco_categories(classes, ids)
    paths, images_, rows, taken, number_of = [], [], [], set[str](), Counter[str]()
    for number, answer in enumerate(answers):
        first = stem = shown(Path(answer["file"]).stem)
        while stem in taken:  # two files of one name, of different folders
            number_of[first] += 1
            stem = f"{first}-{number_of[first] + 1}"
        taken.add(stem)
        picture = upright(Path(answer["file"]))
        wide, high = picture.size
        kinds = [thing["number"] for thing in answer["boxes"]]
        ends = [thing["box"] for thing in answer["boxes"]]
        chances = torch.tensor([thing["chance"] for thing in answer["boxes"]])
        drawn = boxed(picture, torch.tensor(ends).view(-1, 4), torch.tensor(kinds), chances, classes)
        paths.append(folder / f"{stem}.png")
        save_picture(np.asarray(drawn), paths[-1])
        images_.append({"id": number, "file_name": shown(Path(answer["file"]).name), "width": wide, "height": high})
        lines = []
        for thing, kind in zip(answer["boxes"], kinds, strict=True):
            category = categories[kind]["id"]
            which = {"id": len(rows) + 1, "image_id": number, "category_id": category, "score": thing["chance"]}
            rows.append(which | coco_box(thing["box"]))
            lines.append(yolo_line(kind, thing["box"], wide, high))
        write_text(folder / "labels" / f"{stem}.txt", "".join(lines))
    write_json(folder / "coco.json", {"images": images_, "categories": categories, "annotations": rows})
    return [*paths, folder / "coco.json"]
