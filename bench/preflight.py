"""Preflight itself: how long it takes, whether healthy recipes pass on many seeds, and the pages that are made of it.

    python bench/preflight.py                          (seconds of the fast and the full set, every recipe, tiny and small)
    python bench/preflight.py --seeds 0 1 2 3 4        (the same on five seeds: no false alarm)
    python bench/preflight.py --docs                   (writes the checks and the matrix into docs/preflight.md)
    python bench/preflight.py --picture docs/preflight.png -- ./mixed.py     (what the command prints, as a picture)

The matrix is made from what each bug declares; `tests/test_preflight.py` holds every bug to exactly that.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import torch

from gannet import preflight, recipe
from gannet.data import Ledger, keeping
from gannet.files import write_text
from gannet.run import rehearse

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "preflight.md"


def case(name: str, **flags: object) -> preflight.Case:
    """A shipped recipe, as `gannet preflight` looks at it."""
    card = recipe.find(name)
    arguments = recipe.resolve(card, flags)

    def build(size: str | None = None) -> recipe.Recipe:
        with keeping(Ledger()), torch.random.fork_rng(devices=[]):
            torch.manual_seed(arguments["seed"])
            return recipe.build(card, arguments | ({"size": size} if size else {}))

    return preflight.Case(build(), again=build, rehearse=lambda: rehearse(name, **arguments))


def tell(name: str, size: str, seed: int) -> bool:
    """A line of the table for one recipe; True where nothing fails."""
    fast = preflight.fly(case(name, size=size, seed=seed))
    full = preflight.fly(case(name, size=size, seed=seed), full=True)
    seconds = [sum(row.seconds for row in rows) for rows in (fast, full)]
    longest = max(full, key=lambda row: row.seconds)
    bad = ", ".join(f"{row.verdict} {row.name} ({row.measured})" for row in full if row.verdict in ("warn", "fail"))
    slowest = f"{longest.name} {longest.seconds:.1f}"
    print(f"| {name} | {size} | {seed} | {seconds[0]:.1f} | {seconds[1]:.1f} | {slowest} | {bad or 'all pass'} |", flush=True)
    return not preflight.failed(full)


def checks() -> str:
    """The checks, numbered, a section each."""
    lines = []
    for number, check in enumerate(preflight.CHECKS, 1):
        lines += [f"### {check.name}", "", f"{number} · {'fast' if check.fast else 'full'} · {preflight.why(check)}", ""]
    return "\n".join(lines).rstrip()


def matrix() -> str:
    """Bug × check: ● made for it, ○ fails as well, w warns."""
    sys.path.insert(0, str(ROOT / "tests"))
    gallery = importlib.import_module("bugs.gallery").GALLERY

    names = [check.name for check in preflight.CHECKS]
    width = max(len(bug.name) for bug in gallery) + 2
    tens = "".join(str(number // 10) if number % 10 == 0 else " " for number in range(1, len(names) + 1))
    ones = "".join(str(number % 10) for number in range(1, len(names) + 1))
    lines = ["```", " " * width + tens, " " * width + ones]
    for bug in gallery:
        first = (bug.fails or bug.warns)[0]
        marks = {**dict.fromkeys(bug.warns, "w"), **dict.fromkeys(bug.fails, "○")}
        marks[first] = "●" if bug.fails else "w"
        lines.append(f"{bug.name:{width}}{''.join(marks.get(name, '·') for name in names)}")
    return "\n".join([*lines, "```"])


def picture(path: str, words: list[str]) -> None:
    """What `gannet preflight WORDS` prints on a terminal, unaltered, in monospace; failures in red."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    done = subprocess.run([sys.executable, "-m", "gannet", "preflight", *words], capture_output=True, text=True)
    told = [*done.stdout.splitlines(), *textwrap.wrap(done.stderr.strip(), 138)]
    lines = [f"$ gannet preflight {' '.join(words)}", *told]
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf", 13)
    wide, high = round(font.getlength("x") * max(map(len, lines))) + 24, 17 * len(lines) + 20
    image = Image.new("RGB", (wide, high), "#16181d")
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        colour = "#ff7b72" if " FAIL " in line or line.startswith(("gannet: ", *failing(told))) else "#d4d7dd"
        pen.text((12, 10 + 17 * number), line, fill=colour, font=font)
    image.quantize(16).save(path, optimize=True)


def failing(lines: list[str]) -> tuple[str, ...]:
    """The beginnings of the lines that tell why something failed."""
    return tuple(f"{line.split()[0]}: " for line in lines if " FAIL " in line)


def written(page: str) -> str:
    """The page with what stands between its marks made anew."""
    for mark, text in (("checks", checks()), ("matrix", matrix())):
        before, rest = page.split(f"<!-- {mark} -->", 1)
        after = rest.split("<!-- end -->", 1)[1]
        page = f"{before}<!-- {mark} -->\n\n{text}\n\n<!-- end -->{after}"
    return page


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--seeds", nargs="+", type=int, default=[0])
    words.add_argument("--recipes", nargs="+", default=[card.name for card in recipe.available()])
    words.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    words.add_argument("--docs", action="store_true")
    words.add_argument("--picture")
    words.add_argument("words", nargs="*")
    given = words.parse_args()
    if given.picture:
        picture(given.picture, given.words)
        return
    if given.docs:
        write_text(PAGE, written(PAGE.read_text(encoding="utf-8")))
        return
    print("| recipe | size | seed | fast, s | full, s | slowest check, s | |\n| --- | --- | --- | --- | --- | --- | --- |")
    fine = [tell(name, size, seed) for seed in given.seeds for name in given.recipes for size in given.sizes]
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
