"""Recipes are read without running them; what is wrong with one is said in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from conftest import one_line
from gannet import recipe
from gannet.errors import Wrong

GOOD = '''"""Mine.

Arm: images
"""
raise SystemExit("reading a recipe must not run it")
def helper(): ...
def mine(size: Literal["tiny", "base"] = "tiny", rate: float = 1e-3, depth: int | None = None, on: bool = False, name="x"):
    """What it does.

    Args:
        size: how big,
            in words
        rate: how fast
    """
'''


def test_a_file_is_read_without_being_run() -> None:
    Path("mine.py").write_text(GOOD)
    card = recipe.find("mine.py")
    assert (card.name, card.arm, card.summary, card.description) == ("mine", "images", "Mine.", "What it does.")
    assert [(f.name, f.kind, f.default, f.help) for f in card.flags] == [
        ("size", Literal["tiny", "base"], "tiny", "how big, in words"),
        ("rate", float, 1e-3, "how fast"),
        ("depth", int | None, None, ""),
        ("on", bool, False, ""),
        ("name", str, "x", ""),
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("def mine(x: list = None): ...", "x: list"),
        ("def mine(x: __import__('os').system('true') = 1): ...", "__import__"),
        ("def mine(x: int = int('3')): ...", "int('3')"),
        ("def mine(x: int): ...", "needs a default"),
        ("def mine(:", "not valid Python"),
        ("x = 1", "needs a function"),
    ],
)
def test_bad_recipe_files(text: str, part: str) -> None:
    Path("mine.py").write_text(text)
    with pytest.raises(Wrong) as error:
        recipe.find("mine.py")
    one_line(str(error.value), "mine.py", part)


def test_a_function_that_returns_something_else() -> None:
    Path("mine.py").write_text("def mine(): return 3")
    with pytest.raises(Wrong) as error:
        recipe.build(recipe.find("mine.py"), {})
    one_line(str(error.value), "must return a gannet.Recipe", "mine.py: int")


def test_a_choice_or_nothing() -> None:
    card = recipe.find("atari")
    assert [recipe.resolve(card, {"encoder": one})["encoder"] for one in ("nature", None)] == ["nature", None]
    with pytest.raises(Wrong) as error:
        recipe.resolve(card, {"encoder": "natur"})
    one_line(str(error.value), "encoder must be one of shallow, small, nature, impala or nothing", "natur")


def test_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(Wrong) as error:
        recipe.find("digit")
    one_line(str(error.value), "digit", "try digits")
    with pytest.raises(Wrong) as error:
        recipe.find("zzz.py")
    one_line(str(error.value), "no recipe file there", "zzz.py")


@pytest.mark.parametrize("card", recipe.available(), ids=lambda card: card.name)
def test_shipped_recipes_are_one_documented_screen(card: recipe.Card) -> None:
    assert len(card.path.read_text().splitlines()) <= 60
    assert card.arm in ("images", "text", "play")
    assert all(flag.help for flag in card.flags)
    assert {"size", "data", "rate", "seed"} <= {flag.name for flag in card.flags}
    assert recipe.resolve(card, {"rate": 1})["rate"] == 1.0


def test_finding_recipes_imports_no_torch() -> None:
    code = "import sys; from gannet import recipe; recipe.available(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_schedule() -> None:
    assert recipe.cosine(0) == 0
    assert recipe.cosine(0.01) == pytest.approx(1)
    assert recipe.cosine(1) == pytest.approx(0.02)
    assert recipe.cosine(1.5) == pytest.approx(0.02)
    assert recipe.constant(0.3) == 1
    assert recipe.inverse_root(0.0, 0) == 0
    assert recipe.inverse_root(0.0, 500) == 0.5
    assert recipe.inverse_root(0.0, 60_000) == recipe.inverse_root(0.0, 20_000) == 1
    assert recipe.inverse_root(0.0, 240_000) == pytest.approx(0.5)
    assert recipe.inverse_root(1.0, 240_000) == pytest.approx(0.25)


def test_a_preset_for_other_pictures_is_one_line() -> None:
    card = recipe.find("r3gan")
    with pytest.raises(Wrong, match="preset cifar-10 is for pictures of 32 pixels") as told:
        recipe.build(card, recipe.resolve(card, {"data": "digits8"}))
    assert told.value.got == "8 pixels"
