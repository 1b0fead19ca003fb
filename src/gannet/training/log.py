"""What a person sees while it trains: a live line on a terminal, plain lines elsewhere, and metrics.jsonl always."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gannet.files import cannot_write, write_text


class Log:
    """Numbers of a run, to `metrics.jsonl` and to the person watching.

    Args:
        path: of metrics.jsonl; lines of steps after `start` (from before a crash) are dropped
        steps, batch: of the whole run
        start: steps already done
        players: whose losses are shown
        unit: what examples are called
        frames: of a game that one of them plays
        quiet: print nothing (other processes than the first)
    """

    def __init__(
        self,
        path: Path,
        *,
        steps: int,
        batch: int,
        start: int,
        players: list[str],
        unit: str = "examples",
        frames: int = 1,
        quiet: bool = False,
    ):
        self.path, self.steps, self.batch, self.start, self.players = path, steps, batch, start, players
        self.unit, self.frames = unit, frames
        self.began = time.monotonic()
        self.quiet, self.scoring, self.scored, self.scored_at, self.before = quiet, 0.0, "", 0, 0.0
        if quiet:
            return
        if path.exists():
            kept = [line for line in whole_lines(path) if json.loads(line)["step"] <= start]
            write_text(path, "".join(line + "\n" for line in kept))
            self.before = json.loads(kept[-1])["seconds"] if kept else 0.0  # training time of earlier processes
            scored = [line["step"] for line in map(json.loads, kept) if "rate" not in line]  # see `score`
            self.scored_at = max(scored, default=0)
        self.live = sys.stderr.isatty()
        self.printed = -1
        if self.live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            columns = (BarColumn(24), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.task = self.bar.add_task("", total=steps, completed=start)
            self.bar.start()

    def write(self, step: int, seen: dict[str, float]) -> None:
        """One line of metrics, and the live line."""
        if self.quiet:
            return
        spent = self.spent()
        self.append(step, seen)
        speed = (step - self.start) * self.batch / max(spent, 1e-9)
        losses = "  ".join(f"{player} {seen[player]:.3f}" for player in self.players if player in seen)
        played = [f"return {seen[key]:.1f}" for player in self.players if (key := f"{player}.return") in seen]
        frames = f" ({step * self.batch * self.frames:,} frames)" if self.frames > 1 else ""
        text = f"{step * self.batch:,} {self.unit}{frames}  {speed:,.0f}/s  {'  '.join([losses, *played])}{self.scored}"
        if self.live:
            self.bar.update(self.task, completed=step, description=text)
            return
        tenth = 10 * step // self.steps
        if tenth > self.printed:
            left = spent / max(step - self.start, 1) * (self.steps - step)
            print(f"{step / self.steps:4.0%}  {text}  {int(left) // 60}:{int(left) % 60:02d} left", file=sys.stderr, flush=True)
            self.printed = tenth

    def spent(self) -> float:
        """Seconds of training in this process, scoring apart."""
        return time.monotonic() - self.began - self.scoring

    def append(self, step: int, seen: dict[str, float]) -> None:
        """One line of metrics.jsonl; its seconds are those of training in all processes since the run began."""
        seconds = round(self.before + self.spent(), 2)
        line: dict[str, Any] = {"step": step, "examples": step * self.batch, "seconds": seconds}
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line | {key: round(value, 6) for key, value in seen.items()}) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Time that is not training, and is counted apart."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.scoring += time.monotonic() - began

    def score(self, step: int, found: dict[str, float]) -> None:
        """A score: a line of metrics of its own, and from now on part of the live line."""
        self.scored_at = step
        self.scored = "  " + "  ".join(f"{name} {value:.3f}" for name, value in found.items())
        if not self.quiet:
            self.append(step, found)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if not self.quiet and self.live:
            self.bar.stop()


def whole_lines(path: Path) -> list[str]:
    """The lines of a metrics file that were written to their end; a kill may have cut the last one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = []
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            continue
        kept.append(line)
    return kept
