"""Running the checks, and telling what they found: a table, preflight.json, a sheet of what the nets are fed."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from gannet.data import images
from gannet.errors import Wrong
from gannet.preflight.case import CHECKS, Case, Check, Finding, restoring

ANCHORS = "docs/preflight.md"
ALL = "all"  # as a name in --skip: no check at all


@dataclass(frozen=True)
class Row:
    """One check and what came of it.

    Attributes:
        name: of the check
        verdict: pass, warn, fail, info or skipped
        measured, expected, cause: as in `Finding`
        seconds: that it took
        reason: why it was skipped
    """

    name: str
    verdict: str
    measured: str
    expected: str
    cause: str
    seconds: float
    reason: str = ""


def why(check: Check) -> str:
    """What must hold and why it matters: the check's docstring in one line."""
    return " ".join((inspect.getdoc(check.do) or "").split())


def chosen(case: Case, *, full: bool) -> list[Check]:
    """The checks that this case has something for."""
    return [check for check in CHECKS if (full or check.fast) and check.needs(case)]


def fly(
    case: Case, *, full: bool = False, skip: dict[str, str] | None = None, tell: Callable[[Row], None] | None = None
) -> list[Row]:
    """Run the checks; the recipe, and every random number outside, are left as they were.

    Args:
        case: the recipe
        full: all checks, not only the fast ones
        skip: name -> reason
        tell: told of each row as it comes

    Raises:
        Wrong: for a name in `skip` that no check has, and for a reason that is empty.
    """
    skip = skip or {}
    names = [check.name for check in CHECKS]
    for name, reason in skip.items():
        if name not in [*names, ALL]:
            raise Wrong("no check has this name", got=name, try_=", ".join(names), usage=True)
        if not reason.strip():
            raise Wrong("a check is skipped for a reason", got=f"--skip {name}=", try_=f"--skip '{name}=why'", usage=True)
    if ALL in skip:
        return [Row(ALL, "skipped", "", "", "", 0.0, skip[ALL])]
    done = []
    with restoring():
        for check in chosen(case, full=full):
            row = look(check, case) if check.name not in skip else Row(check.name, "skipped", "", "", "", 0.0, skip[check.name])
            done.append(row)
            if tell:
                tell(row)
    return done


def look(check: Check, case: Case) -> Row:
    """One check. One that cannot be carried out has failed: what it looks at is not as a run needs it."""
    began = time.perf_counter()
    try:
        torch.manual_seed(0)
        finding = check.do(case)
    except Exception as error:
        text = " ".join(str(error).split())[:160] or "no message"
        finding = Finding("fail", f"{type(error).__name__}: {text}", "a step that can be taken", "see the message")
    seconds = round(time.perf_counter() - began, 2)
    return Row(check.name, finding.verdict, finding.measured, finding.expected, finding.cause, seconds)


def failed(rows: Iterable[Row]) -> list[Row]:
    """The failures."""
    return [row for row in rows if row.verdict == "fail"]


def refuse(rows: list[Row], recipe: str) -> Wrong:
    """One line for a run that must not start."""
    first, *others = failed(rows)
    more = f" (and {', '.join(row.name for row in others)})" if others else ""
    return Wrong(
        f"preflight check {first.name} failed{more}: expected {first.expected}; likely {first.cause}",
        got=first.measured,
        try_=f"gannet preflight {recipe} for the whole table, or --skip '{first.name}=why' to go on",
    )


def record(rows: list[Row]) -> dict[str, Any]:
    """preflight.json."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("pass", "warn", "fail", "info", "skipped")}
    return {"counts": counts, "seconds": round(sum(row.seconds for row in rows), 1), "checks": [asdict(row) for row in rows]}


def table(rows: list[Row]) -> str:
    """Every check in a table as wide as the terminal, and under it what each warning and failure may come from."""
    from rich.console import Console
    from rich.table import Table

    lines = Table(box=None, pad_edge=False)
    for column in ("check", "verdict", "measured", "expected", "seconds"):
        lines.add_column(column, justify="right" if column == "seconds" else "left", no_wrap=column == "check")
    for row in rows:
        lines.add_row(row.name, row.verdict.upper() if row.verdict == "fail" else row.verdict, row.measured or row.reason,
                      row.expected, f"{row.seconds:.2f}")  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 140, no_color=not sys.stdout.isatty(), highlight=False)
    with console.capture() as text:
        console.print(lines)
    causes = [f"{row.name}: likely {row.cause}. {ANCHORS}#{row.name}" for row in rows if row.verdict in ("warn", "fail")]
    counts = ", ".join(f"{n} {verdict}" for verdict, n in record(rows)["counts"].items() if n)
    return "\n".join(
        [*(line.rstrip() for line in text.get().splitlines()), "", *causes, f"{counts}; {record(rows)['seconds']} s"]
    )


TILE, ACROSS = 56, 16  # pixels of a picture in the sheet, and pictures in a row


def sheet(case: Case) -> np.ndarray | None:
    """What the nets are really fed, as one picture (H, W, 3): a batch with its labels read back, then what enters each net.

    None where nothing of it is a picture.
    """
    with restoring():
        x, *labels = case.batch(n=2 * ACROSS)
        fed = {name: tensors[0] for name, tensors in case.fed.items() if tensors}
    strips = {"a batch, as the data give it": x} | {f"what enters the {name}": tensor for name, tensor in fed.items()}
    pictures = {words: t for words, t in strips.items() if t.ndim == 4 and t.shape[1] in (1, 3)}
    if not pictures:
        return None
    names = getattr(getattr(case.data, "data", case.data), "classes", [])
    told = [names[int(y)] for y in labels[0]] if labels and names else []
    rows = [row for words, tensor in pictures.items() for row in strip(words, tensor, told if tensor is x else [])]
    return np.concatenate(rows)


def strip(words: str, x_NCHW: torch.Tensor, told: list[str]) -> list[np.ndarray]:
    """A line of words, then up to two rows of pictures, each over what its label says."""
    from PIL import Image, ImageDraw

    foot = 14 if told else 0
    canvas = Image.new("RGB", (ACROSS * TILE, 16 + 2 * (TILE + foot)), "white")
    pen = ImageDraw.Draw(canvas)
    low, high = x_NCHW.min().item(), x_NCHW.max().item()
    shape = "×".join(map(str, x_NCHW.shape))
    pen.text((2, 2), f"{words}: {shape}, {low:.2f} to {high:.2f}".replace("×", "x"), fill="black")
    for number, picture in enumerate(images.to_bytes(x_NCHW[: 2 * ACROSS]).permute(0, 2, 3, 1).cpu().numpy()):
        tile = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).resize(
            (TILE - 2, TILE - 2), Image.Resampling.NEAREST
        )
        left, top = number % ACROSS * TILE, 16 + number // ACROSS * (TILE + foot)
        canvas.paste(tile.convert("RGB"), (left, top))
        if told:
            pen.text((left + 2, top + TILE - 2), told[number][:9], fill="black")
    return [np.asarray(canvas)]
