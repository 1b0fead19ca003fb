"""Iterables of batches. Each knows its own shapes, where it came from and how to show itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Ledger:
    """What a recipe has opened, so that the run folder can say it; or what a run folder remembers, so that nothing is opened.

    Attributes:
        facts: "name/split" -> what is known of the data set without its items (JSON values)
        recalled: True where facts come from a run folder: data sets are then rebuilt from them, without items
        offline: never touch the network
    """

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    recalled: bool = False
    offline: bool = False

    def open(self, key: str, load: Callable[[], Any], recall: Callable[[dict[str, Any]], Any]) -> Any:
        """The data set under this key: read now and written down, or rebuilt from what was written down."""
        if self.recalled:
            return recall(self.facts[key])
        data = load()
        self.facts[key] = data.facts()
        return data


_ledger: ContextVar[Ledger] = ContextVar("ledger")


def ledger() -> Ledger:
    """The ledger in force; outside a run, a fresh one that nobody reads."""
    return _ledger.get(Ledger())


@contextlib.contextmanager
def keeping(book: Ledger) -> Iterator[Ledger]:
    """Let data sets opened inside the block be written into, or rebuilt from, this ledger."""
    token = _ledger.set(book)
    try:
        yield book
    finally:
        _ledger.reset(token)
