"""What a person sees while it trains: a live line on a terminal, plain lines elsewhere, and metrics.jsonl always."""

from __future__ import annotations

import json
import sys
import time
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
        quiet: print nothing (other processes than the first)
    """

    def __init__(self, path: Path, *, steps: int, batch: int, start: int, players: list[str], quiet: bool = False):
        self.path, self.steps, self.batch, self.start, self.players = path, steps, batch, start, players
        self.began = time.monotonic()
        self.quiet = quiet
        if quiet:
            return
        if path.exists():
            write_text(path, "".join(line + "\n" for line in whole_lines(path) if json.loads(line)["step"] <= start))
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
        spent = time.monotonic() - self.began
        line: dict[str, Any] = {"step": step, "examples": step * self.batch, "seconds": round(spent, 2)}
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line | {key: round(value, 6) for key, value in seen.items()}) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error
        speed = (step - self.start) * self.batch / max(spent, 1e-9)
        losses = "  ".join(f"{player} {seen[player]:.3f}" for player in self.players if player in seen)
        text = f"{step * self.batch:,} examples  {speed:,.0f}/s  {losses}"
        if self.live:
            self.bar.update(self.task, completed=step, description=text)
            return
        tenth = 10 * step // self.steps
        if tenth > self.printed:
            left = spent / max(step - self.start, 1) * (self.steps - step)
            print(f"{step / self.steps:4.0%}  {text}  {int(left) // 60}:{int(left) % 60:02d} left", file=sys.stderr, flush=True)
            self.printed = tenth

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
