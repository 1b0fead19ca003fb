"""What the watched score says of a run while it goes on: collapsed, good enough, or not worth more time. Lower is better."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gannet.errors import Wrong

WORSE = 10  # times its best, and the score has collapsed; the runs of digits and stacked in docs/log.md came to twice at most
LOST = 0.1  # of the data's variety …
HAD = 0.3  # … where there was this much before
FEWEST = 5  # scores before a trend is told
LEVEL = 0.05  # a fall per doubling of the examples below which a run stands still


@dataclass(frozen=True)
class Target:
    """A score to stop at, as `--until fid<20` asks."""

    name: str
    below: float

    def met(self, found: dict[str, float]) -> bool:
        """True where the score of this name, or the first whose name begins with it, is below the target.

        Raises:
            Wrong: where no score has such a name.
        """
        names = [name for name in found if name == self.name] or [name for name in found if name.startswith(self.name)]
        if not names:
            raise Wrong("no score of this run has this name", got=f"--until {self.name}<{self.below:g}", try_=", ".join(found))
        return found[names[0]] < self.below


def target(text: str) -> Target:
    """NAME<NUMBER, as typed.

    Raises:
        Wrong: for anything else.
    """
    parts = re.fullmatch(r"\s*([A-Za-z]\w*)\s*<\s*([0-9.eE+-]+)\s*", text)
    try:
        if parts is not None and math.isfinite(number := float(parts[2])):
            return Target(parts[1], number)
    except ValueError:
        pass
    raise Wrong("--until wants a score and a number", got=text, try_="--until 'fid<0.5'", usage=True)


class Guard:
    """Tells a collapse from the scores so far; what it knows follows from them, so a resumed run knows the same.

    Args:
        scores: earlier ones of the run, oldest first
        level: what is below it counts as it: a score that can come near 0 is not to be measured against that
    """

    def __init__(self, scores: Sequence[dict[str, float]] = (), level: float = 0.0):
        self.best, self.varied, self.level = math.inf, 0.0, level
        for found in scores:
            self.look(found)

    def look(self, found: dict[str, float]) -> str | None:
        """Why the run has collapsed, in words; None where it has not. Collapsed scores are not remembered.

        Args:
            found: the watched score first; "variety", where it is there, is the drawn pictures' share of the data's variance
        """
        (name, value), *_ = found.items()
        variety = found.get("variety", 1.0)
        if not math.isfinite(value):
            return f"{name} is {value}"
        if value > WORSE * max(self.best, self.level):
            return f"{name} is {value:.4g}, more than {WORSE} times its best, {self.best:.4g}"
        if variety < LOST and self.varied > HAD:
            return f"what is drawn varies {variety:.1%} as much as the data; it had been {self.varied:.0%}"
        self.best, self.varied = min(self.best, value), max(self.varied, variety)
        return None


def trend(points: Sequence[tuple[int, float]], name: str = "the score") -> str:
    """When to stop, from the slope of a score over the second half of a run.

    A score that falls as a power of the examples is a line in logarithms; its slope there, by least squares, says what
    twice the examples would bring.

    Args:
        points: (examples, score), oldest first
    """
    late = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0 and 2 * x >= points[-1][0]]
    if len(late) < FEWEST:
        return "too few scores to say whether longer would be better"
    mean_x, mean_y = (sum(values) / len(late) for values in zip(*late, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in late) / sum((x - mean_x) ** 2 for x, _ in late)
    change = 2**slope - 1
    rest = [y - mean_y - slope * (x - mean_x) for x, y in late]
    error = math.sqrt(sum(r * r for r in rest) / (len(late) - 2) / sum((x - mean_x) ** 2 for x, _ in late))
    if slope + error < 0 and change < -LEVEL:
        then = math.exp(late[-1][1]) * (1 + change)
        return f"{name} falls by {-change:.0%} with each doubling: as long again may bring {then:.3g}"
    if 2 ** (slope - 2 * error) - 1 > -2 * LEVEL:
        return f"{name} no longer falls: the same for longer will hardly be better"
    return f"{name} swings too much to say whether longer would be better"
