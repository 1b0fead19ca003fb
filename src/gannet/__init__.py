"""Gannet trains networks that learn by contest and by skip connection. `gannet.train`, `gannet.load`, `gannet.Recipe`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gannet import explain as explain
    from gannet import export as export
    from gannet import matching as matching
    from gannet import preflight as preflight
    from gannet.errors import Wrong as Wrong
    from gannet.objectives import Player as Player
    from gannet.recipe import Recipe as Recipe
    from gannet.run import Run as Run
    from gannet.run import evaluate as evaluate
    from gannet.run import load as load
    from gannet.run import train as train

_HOMES = {
    "Player": "gannet.objectives",
    "Recipe": "gannet.recipe",
    "Run": "gannet.run",
    "Wrong": "gannet.errors",
    "evaluate": "gannet.run",
    "load": "gannet.run",
    "train": "gannet.run",
}
__all__ = [
    "Player",
    "Recipe",
    "Run",
    "Wrong",
    "__version__",
    "evaluate",
    "explain",
    "export",
    "load",
    "matching",
    "preflight",
    "train",
]


def __getattr__(name: str) -> Any:
    """The public names, each imported when it is first used: torch takes seconds and `import gannet` should not."""
    if name in ("explain", "export", "matching", "preflight"):  # modules
        return importlib.import_module(f"gannet.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'gannet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
