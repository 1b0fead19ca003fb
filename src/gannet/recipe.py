"""What a recipe is; finding one, reading its flags without importing it, and calling it.

A recipe is a Python function on one screen that returns a `Recipe`. Its keyword arguments are the flags of
`gannet train NAME`, and their docstring is the help. This module never imports torch: files are read as syntax
until the moment a recipe is called.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gannet.errors import Wrong

FOLDER = Path(__file__).parent / "recipes"


def cosine(progress: float, examples: int = 0, *, warm: float = 0.01, floor: float = 0.02) -> float:
    """Share of the peak learning rate: a linear rise over the first `warm` of the run, then half a cosine down to `floor`."""
    if progress < warm:
        return progress / warm
    fall = (progress - warm) / (1 - warm)
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(fall, 1))) / 2


def inverse_root(progress: float, examples: int, *, warm: int = 1_000, steady: int = 60_000, floor: float = 0.5) -> float:
    """Share of the peak learning rate: a linear rise over `warm` examples, the peak up to `steady`, then as 1/√examples,
    and all that times half a cosine from 1 to `floor` over the run.

    For contests: they want a high rate for long, and collapse if it lasts; a rate near 0 at the end spoils them (docs/log.md).
    """
    return min(1.0, examples / warm, math.sqrt(steady / max(examples, 1))) * cosine(progress, warm=0, floor=floor)


def one_cycle(progress: float, examples: int = 0, *, rise: float = 0.25, floor: float = 0.002) -> float:
    """Share of the peak learning rate: a straight line up over the first `rise` of the run and one down to `floor`
    (Smith and Topin 2018, arXiv 1708.07120)."""
    return max(progress / rise if progress < rise else (1 - progress) / (1 - rise), floor)


def two_acts(warm: float, *, floor: float = 0.1) -> Callable[[float, int], float]:
    """`one_cycle` over the first `warm` of the run, as if that were all of it, then the peak and a straight line down to
    `floor`: for what is warmed up by one loss and goes on with another, at a share of the rate of its own."""

    def share(progress: float, examples: int) -> float:
        if progress < warm:
            return one_cycle(progress / warm)
        return 1 - (1 - floor) * min((progress - warm) / (1 - warm), 1)

    return share


def held(fall: float, *, rise: float = 0.02, floor: float = 0.002) -> Callable[[float, int], float]:
    """A straight line up to the peak learning rate, the peak, and over the last `fall` of the run a straight line down to
    `floor` of it (Zhai et al. 2022, arXiv 2106.04560, section 3.5): for what goes on finding something new to learn."""
    return lambda progress, examples: max(min(progress / rise, 1.0, (1 - progress) / fall), floor)


def eased(decay: int, *, floor: float = 0.25) -> Callable[[float, int], float]:
    """The peak learning rate, falling as half a cosine to `floor` over `decay` examples and constant from there (R3GAN)."""
    return lambda progress, examples: cosine(examples / decay, warm=0, floor=floor)


def falling(progress: float, examples: int = 0, *, floor: float = 0.01) -> float:
    """The peak learning rate, falling in a straight line to `floor` of it: as agents are trained (Schulman et al. 2017)."""
    return max(1 - progress, floor)


def constant(progress: float, examples: int = 0) -> float:
    """The peak learning rate all the way, as the older papers train."""
    return 1.0


@dataclass
class Recipe:
    """Everything that a run needs, put together by a recipe's function.

    Attributes:
        data: the training set: `batch(n, rng)`, `facts()`
        objective: players and losses
        batch: examples per step, over all processes
        examples: how many to train on unless --minutes or --steps says otherwise
        seed: of everything that is random
        schedule: (progress from 0 to 1, examples seen) -> share of each player's peak rate
        bfloat16: losses are computed in it where the machine is faster for it and nobody asks otherwise; not for contests,
            whose penalties are differences of nearly equal numbers
        show: examples drawn into `samples/` and the model card; 0 where nothing is drawn
        evaluation: scores the finished model, and a cheap score while it trains (Pictures and Classes in gannet.evaluation); or
            None
    """

    data: Any
    objective: Any
    batch: int
    examples: int
    seed: int = 0
    schedule: Callable[[float, int], float] = cosine
    bfloat16: bool = False
    show: int = 100
    evaluation: Any = None


@dataclass(frozen=True)
class Flag:
    """One keyword argument of a recipe: its name, its type, its default and a line of help."""

    name: str
    kind: Any
    default: Any
    help: str


@dataclass(frozen=True)
class Card:
    """A recipe as its file describes it, read without running it."""

    name: str
    function: str
    path: Path
    arm: str
    summary: str
    description: str
    flags: tuple[Flag, ...]
    shipped: bool

    def parameters(self) -> list[inspect.Parameter]:
        """The flags as keyword-only parameters of a Python function."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        return [inspect.Parameter(f.name, keyword, default=f.default, annotation=f.kind) for f in self.flags]


def available() -> list[Card]:
    """Every shipped recipe, in alphabetical order."""
    return [read(path, shipped=True) for path in sorted(FOLDER.glob("*.py")) if path.stem != "__init__"]


def find(name: str) -> Card:
    """The shipped recipe of this name, or the one in this .py file.

    Raises:
        Wrong: with the nearest name where there is no such recipe.
    """
    if name.endswith(".py"):
        path = Path(name).resolve()
        if not path.is_file():
            raise Wrong("no recipe file there", got=name, usage=True)
        return read(path, shipped=False)
    names = [path.stem for path in sorted(FOLDER.glob("*.py")) if path.stem != "__init__"]
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.5)
        raise Wrong("no recipe has this name", got=name, try_=near[0] if near else ", ".join(names), usage=True)
    return read(FOLDER / f"{name}.py", shipped=True)


def read(path: Path, *, shipped: bool) -> Card:
    """Read a recipe file as syntax: the public function named like the file (else the last public one) is the recipe."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise Wrong("this recipe file is not valid Python", got=f"{path}: {error}") from error
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    named = [f for f in functions if f.name == path.stem] or functions[-1:]
    if not named:
        raise Wrong("a recipe file needs a function that returns a Recipe", got=path)
    function = named[0]
    doc = inspect.cleandoc(ast.get_docstring(function) or "")
    description, helps = _split(doc)
    module_doc = ast.get_docstring(tree) or ""
    arm = re.search(r"^Arm: (\w+)", module_doc, re.M)
    summary = (module_doc or description or path.stem).splitlines()[0]
    return Card(
        name=path.stem,
        function=function.name,
        path=path,
        arm=arm.group(1) if arm else "own",
        summary=summary,
        description=description,
        flags=tuple(_flags(function, helps, path)),
        shipped=shipped,
    )


def _split(doc: str) -> tuple[str, dict[str, str]]:
    """A Google-style docstring -> what stands before `Args:`, and the help of each argument."""
    before, _, args = doc.partition("Args:\n")
    helps: dict[str, str] = {}
    name = ""
    for line in args.splitlines():
        found = re.match(r"    (\w+): (.*)", line)
        if found:
            name = found.group(1)
            helps[name] = found.group(2)
        elif name and line.startswith("        "):
            helps[name] += " " + line.strip()
        else:
            name = ""
    return before.strip(), helps


def _flags(function: ast.FunctionDef, helps: dict[str, str], path: Path) -> list[Flag]:
    arguments = function.args
    positional = list(zip(arguments.args[::-1], arguments.defaults[::-1], strict=False))[::-1]
    keyword = [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
    if len(positional) + len(keyword) < len(arguments.args) + len(arguments.kwonlyargs):
        raise Wrong("every argument of a recipe needs a default", got=f"{path}: {function.name}")
    flags = []
    for argument, default in positional + keyword:
        source = ast.unparse(argument.annotation) if argument.annotation else "str"
        try:
            kind = _annotation(argument.annotation) if argument.annotation else str
            value = ast.literal_eval(default)
        except ValueError as error:
            raise Wrong(
                "a recipe's flags are str, int, float, bool, Literal[...] or one of them | None, with plain defaults",
                got=f"{path}: {argument.arg}: {source} = {ast.unparse(default)}",
            ) from error
        flags.append(Flag(argument.arg, kind, value, helps.get(argument.arg, "")))
    return flags


def _annotation(node: ast.expr) -> Any:
    """The type that an annotation names, read as syntax: looking at a stranger's recipe must not run it."""
    words = {"str": str, "int": int, "float": float, "bool": bool}
    match node:
        case ast.Name(id=name) if name in words:
            return words[name]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _annotation(left) | _annotation(right)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            values = ast.literal_eval(choices)
            return Literal[values if isinstance(values, tuple) else (values,)]
    raise ValueError(ast.unparse(node))


def resolve(card: Card, given: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a recipe: what was given, checked against names and types, and defaults for the rest."""
    names = [flag.name for flag in card.flags]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = near[0] if near else ", ".join(names)
            raise Wrong(f"recipe {card.name} has no argument of this name", got=name, try_=hint, usage=True)
    arguments = {flag.name: given.get(flag.name, flag.default) for flag in card.flags}
    for flag in card.flags:
        value = arguments[flag.name]
        if isinstance(value, int) and not isinstance(value, bool) and float in _kinds(flag.kind):
            value = arguments[flag.name] = float(value)
        if not _fits(value, flag.kind):
            raise Wrong(f"{flag.name} must be {_words(flag.kind)}", got=repr(value), usage=True)
    return arguments


def _kinds(kind: Any) -> tuple[Any, ...]:
    # Of a Literal and None Python makes a Union of the older kind.
    return typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if len(_kinds(kind)) > 1:
        return any(_fits(value, part) for part in _kinds(kind))
    if kind is None or kind is type(None):
        return value is None
    return type(value) is kind


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing"}
    if len(_kinds(kind)) > 1:
        return " or ".join(map(_words, _kinds(kind)))
    return names.get(kind, str(kind))


def build(card: Card, arguments: dict[str, Any]) -> Recipe:
    """Import the recipe's file and call its function. From here on torch is needed."""
    if card.shipped:
        module = importlib.import_module(f"gannet.recipes.{card.path.stem}")
    else:
        spec = importlib.util.spec_from_file_location(f"gannet_recipe_{card.path.stem}", card.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    made = getattr(module, card.function)(**arguments)
    if not isinstance(made, Recipe):
        raise Wrong("a recipe's function must return a gannet.Recipe", got=f"{card.path}: {type(made).__name__}")
    return made
