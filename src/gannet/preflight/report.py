"""Running the checks, and telling what they found: a table, preflight.json, a sheet of what the nets are fed."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from gannet.data import images
from gannet.errors import Wrong
from gannet.preflight.case import CHECKS, Case, Check, Finding, restoring

ALL = "all"  # as a name in --skip: no check at all
LOST = "CUDA error"  # what is said of a number out of range there, say: after it a card does nothing more for a process


@dataclass(frozen=True)
class Row:
    """One check and what came of it.

    Attributes:
        name: of the check
        verdict: pass, warn, fail, info or skipped
        measured, expected, cause: as in `Finding`
        seconds: that it took
        reason: why it was skipped
        why: why it matters
    """

    name: str
    verdict: str
    measured: str
    expected: str
    cause: str
    seconds: float
    reason: str = ""
    why: str = ""


def why(check: Check) -> str:
    """What must hold and why it matters: the check's docstring in one line."""
    return " ".join((inspect.getdoc(check.do) or "").split())


def check_skip(skip: dict[str, str] | None) -> dict[str, str]:
    """What is to be skipped, with a reason for each.

    Raises:
        Wrong: for a name that no check has, and for a reason that is empty.
    """
    names = [check.name for check in CHECKS]
    for name, reason in (skip or {}).items():
        if name not in [*names, ALL]:
            near = difflib.get_close_matches(name, names, 1, 0.5)
            raise Wrong("no check has this name", got=name, try_=near[0] if near else ", ".join(names), usage=True)
        if not reason.strip():
            raise Wrong("a check is skipped for a reason", got=f"--skip {name}=", try_=f"--skip '{name}=why'", usage=True)
    return skip or {}


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
    skip, done = check_skip(skip), []
    if ALL in skip:
        return [Row(ALL, "skipped", "", "", "", 0.0, skip[ALL])]
    try:
        with restoring():
            for row in _rows(case, skip, full):
                done.append(row)
                if tell:
                    tell(row)
                if LOST in row.measured:
                    done.append(Row("the-rest", "skipped", "", "", "", 0.0, "the card gave up: nothing more was looked at"))
                    break
    except RuntimeError:  # of what would be put back: a card that gave up does nothing for this process any more
        if not any(LOST in row.measured for row in done):
            raise
    return done


def _rows(case: Case, skip: dict[str, str], full: bool) -> Iterator[Row]:
    """Of each check that has something to say, one after the other."""
    for check in [check for check in CHECKS if full or check.fast]:
        row = look(check, case) if check.name not in skip else Row(check.name, "skipped", "", "", "", 0.0, skip[check.name])
        if row is not None:
            yield row


def look(check: Check, case: Case) -> Row | None:
    """One check; None where this case has nothing for it. One that cannot be carried out has failed."""
    began = time.perf_counter()
    try:
        if not check.needs(case):
            return None
        torch.manual_seed(0)
        finding = check.do(case)
    except Exception as error:
        text = " ".join(str(error).split())[:160] or "no message"
        last = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"what raised it, at {last.filename}:{last.lineno}"
        finding = Finding("fail", f"{type(error).__name__}: {text}", "a step that can be taken", cause)
    seconds = round(time.perf_counter() - began, 2)
    return Row(check.name, finding.verdict, finding.measured, finding.expected, finding.cause, seconds, why=why(check))


def failed(rows: Iterable[Row]) -> list[Row]:
    """The failures."""
    return [row for row in rows if row.verdict == "fail"]


def refuse(rows: list[Row], words: str | None = None) -> Wrong:
    """One line for a run that must not start.

    Args:
        rows: with at least one failure
        words: what follows `gannet preflight` for the whole table, or None where it has just been printed
    """
    first, *others = failed(rows)
    more = f" (and {', '.join(row.name for row in others)})" if others else ""
    skip = f"--skip '{first.name}=why' to train all the same"
    return Wrong(
        f"preflight check {first.name} failed{more}: expected {first.expected}; likely {first.cause}",
        got=first.measured,
        try_=skip if words is None else f"gannet preflight {words} for the whole table, or {skip}",
    )


def record(rows: list[Row]) -> dict[str, Any]:
    """preflight.json."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("pass", "warn", "fail", "info", "skipped")}
    return {"counts": counts, "seconds": round(sum(row.seconds for row in rows), 1), "checks": [asdict(row) for row in rows]}


def table(rows: list[Row]) -> str:
    """Every check in a table as wide as the terminal, and under it what each warning and failure may come from."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = Table(box=None, pad_edge=False)
    for column in ("check", "verdict", "measured", "expected", "seconds"):
        lines.add_column(column, justify="right" if column == "seconds" else "left", no_wrap=column == "check")
    for row in rows:
        verdict = row.verdict.upper() if row.verdict == "fail" else row.verdict
        cells = (row.name, verdict, row.measured or row.reason, row.expected, f"{row.seconds:.2f}")
        lines.add_row(*map(Text, cells))  # as it is: brackets are no markup
    console = Console(width=None if sys.stdout.isatty() else 140, no_color=not sys.stdout.isatty(), highlight=False)
    with console.capture() as text:
        console.print(lines)
    causes = [f"{row.name}: likely {row.cause}. {row.why}" for row in rows if row.verdict in ("warn", "fail")]
    counts = ", ".join(f"{n} {verdict}" for verdict, n in record(rows)["counts"].items() if n)
    return "\n".join(
        [*(line.rstrip() for line in text.get().splitlines()), "", *causes, f"{counts}; {record(rows)['seconds']} s"]
    )


TILE, ACROSS = 56, 16  # pixels of a picture in the sheet, and pictures in a row


def sheet(case: Case) -> np.ndarray | None:
    """What the nets are really fed, as one picture (H, W, 3): a batch with its labels read back, then what enters each net.

    None where nothing of it is a picture.
    """
    strips: dict[str, torch.Tensor] = {}
    told: list[str] = []
    with restoring(), contextlib.suppress(Exception):  # what cannot be fed at all is a check's to tell
        x, *labels = case.batch(n=2 * ACROSS)
        strips["a batch, as the data give it"] = x
        names = getattr(getattr(case.data, "data", case.data), "classes", [])
        if labels and labels[0].ndim == 1 and isinstance(names, list) and names:  # boxes are no labels
            told = [names[y] if 0 <= y < len(names) else f"{y}?" for y in labels[0].tolist()]
        strips |= {f"what enters the {name}": tensors[0] for name, tensors in case.fed.items() if tensors}
    pictures = {w: t for w, t in strips.items() if isinstance(t, torch.Tensor) and t.ndim == 4 and t.shape[1] in (1, 3, 4)}
    if not pictures:
        return None
    rows = [strip(words, tensor, told if number == 0 else []) for number, (words, tensor) in enumerate(pictures.items())]
    return np.concatenate(rows)


def fed_text(case: Case) -> str | None:
    """A batch of texts as it is fed, an example a line, with what is not told left out; None where the data are no texts."""
    vocabulary = getattr(case.data, "vocabulary", None)
    if vocabulary is None:
        return None
    batch = case.batch()
    rows = [ids_T[1:][there_T].tolist() for ids_T, there_T in zip(batch.tokens_NT, batch.there_NT, strict=True)]
    return "".join(vocabulary.decode(row).replace("\n", "⏎") + "\n" for row in rows)


def strip(words: str, x_NCHW: torch.Tensor, told: list[str]) -> np.ndarray:
    """A line of words, then up to two rows of pictures, each over what its label says."""
    from PIL import Image, ImageDraw

    foot = 14 if told else 0
    canvas = Image.new("RGB", (ACROSS * TILE, 16 + 2 * (TILE + foot)), "white")
    pen = ImageDraw.Draw(canvas)
    low, high = x_NCHW.min().item(), x_NCHW.max().item()
    shape = "×".join(map(str, x_NCHW.shape))
    pen.text((2, 2), f"{words}: {shape}, {low:.2f} to {high:.2f}".replace("×", "x"), fill="black")
    for number, picture in enumerate(images.straight(images.to_bytes(x_NCHW[: 2 * ACROSS])).permute(0, 2, 3, 1).cpu().numpy()):
        tile = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).resize(
            (TILE - 2, TILE - 2), Image.Resampling.NEAREST
        )
        left, top = number % ACROSS * TILE, 16 + number // ACROSS * (TILE + foot)
        canvas.paste(tile.convert("RGB"), (left, top), tile if tile.mode == "RGBA" else None)
        if told:
            pen.text((left + 2, top + TILE - 2), told[number][:9], fill="black")
    return np.asarray(canvas)
