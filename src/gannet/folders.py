"""Finding, reading and creating run folders. Imports no torch, so that `gannet list` stays quick."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gannet import recipe
from gannet.errors import Wrong
from gannet.files import cannot_write, write_json

FORMAT = 4  # of the run folder; a larger number than this was written by a newer version, a smaller one by one before 0.1.0
RUNS = Path("runs")


def read_record(folder: Path) -> dict[str, Any]:
    """recipe.json of a run folder.

    Raises:
        Wrong: for a folder that is missing, holds no run, is damaged, or was written by a newer version.
    """
    path = folder / "recipe.json"
    if not folder.is_dir():
        raise Wrong("no run folder there", got=folder, try_="gannet list, which shows the runs under ./runs")
    if not path.is_file():
        raise Wrong("this folder holds no run: recipe.json is missing", got=folder)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        newer, older = record["format"] > FORMAT, record["format"] < FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise Wrong("the run's recipe.json is damaged", got=f"{path}: {error}") from error
    if newer:
        needs = f"pip install -U gannet: it was written by gannet {record.get('gannet', 'of later date')}"
        raise Wrong(f"this run has format {record['format']} and this version reads up to {FORMAT}", got=folder, try_=needs)
    if older:
        said = f"{folder}, format {record['format']}"
        raise Wrong("this run was written before gannet 0.1.0 and can no longer be read", got=said, try_="training it again")
    return record


def checkpoint(folder: Path, step: int) -> Path:
    """Where the checkpoint after this step lies."""
    return folder / "resume" / f"{step:09d}.pt"


def good(folder: Path) -> Path:
    """Where the last checkpoint lies whose score was no collapse."""
    return folder / "resume" / "good.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    return sorted((folder / "resume").glob("[0-9]*.pt"))


def step_of(path: Path) -> int:
    """How many steps were done at a checkpoint."""
    return int(path.stem)


def finished(folder: Path, record: dict[str, Any]) -> bool:
    """True where the last checkpoint is the end and the model card has been written."""
    saved = checkpoints(folder)
    return bool(saved) and step_of(saved[-1]) >= record["steps"] and (folder / "README.md").is_file()


def runs(root: Path = RUNS) -> list[tuple[Path, dict[str, Any]]]:
    """The readable runs under a folder, oldest first."""
    found = []
    for path in root.glob("[!.]*/recipe.json"):  # a dot begins what is being made, or was when it was killed
        with contextlib.suppress(Wrong):
            found.append((path.parent, read_record(path.parent)))
    return sorted(found, key=lambda pair: (pair[1].get("begun", ""), str(pair[0])))


def lock(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Take the run folder for this process until the stack closes; False where another process trains in it."""
    try:
        stack.enter_context(FileLock(folder / ".lock", timeout=0))
    except Timeout:
        return False
    except OSError as error:
        raise cannot_write(folder, error) from error
    return True


def choose(
    chosen: recipe.Card,
    request: dict[str, Any],
    out: str | Path | None,
    *,
    new: bool,
    more: int | None,
    stack: contextlib.ExitStack,
) -> tuple[Path, dict[str, Any] | None]:
    """Where a run goes: `out`, else the newest unfinished run of the same request, else a new number.

    Returns:
        the folder, and its record where a run is already there.

    Raises:
        Wrong: where `out` holds a run of another request (naming what differs), or one that is being trained.
    """
    if out is not None:
        where = Path(out)
        try:
            str(where).encode()
        except UnicodeEncodeError:  # the library that reads weights takes no such path
            told = str(where).encode("utf-8", "backslashreplace").decode()
            raise Wrong("the name of this folder is no text in UTF-8", got=told, try_="another --out", usage=True) from None
        if not where.exists() or (where.is_dir() and not {one.name for one in where.iterdir()} - {".lock"}):
            if more is not None:
                raise Wrong("there is no run to lengthen", got=where, usage=True)
            return where, None
        record = read_record(where)
        if new:
            raise Wrong("--new, but this folder holds a run already", got=where, try_="another --out", usage=True)
        refuse_difference(_as_now(record, chosen), request, where, lengthens=more is not None)
        if not lock(where, stack):
            raise Wrong("another process is training in this folder", got=where, try_="another --out")
        return where, record
    if not new:
        for where, record in reversed(runs()):
            if _as_now(record, chosen).get("request") == request and not finished(where, record) and lock(where, stack):
                return where, record
    return RUNS / chosen.name, None


def _as_now(record: dict[str, Any], chosen: recipe.Card) -> dict[str, Any]:
    """A record with the arguments that its recipe has got since then, at their defaults."""
    request = record.get("request")
    if not request or request["recipe"] != chosen.name:
        return record
    usual = {flag.name: flag.default for flag in chosen.flags}
    return record | {"request": request | {"arguments": usual | request["arguments"]}}


def refuse_difference(record: dict[str, Any], request: dict[str, Any], where: Path, *, lengthens: bool) -> None:
    """One line that says in which arguments a run and a request differ."""
    then, now = flat(record["request"]), flat(request)
    ignored = {"minutes", "steps"} if lengthens else set()  # `more` says how long
    if lengthens and finished(where, record):
        ignored.add("until")  # to what goal it goes on is said anew
    elif lengthens:  # a lengthening that was interrupted has its own
        then["until"] = record.get("until")
    differ = [
        f"{key} {then.get(key)!r} -> {now.get(key)!r}"
        for key in {**then, **now}
        if then.get(key) != now.get(key) and key not in ignored
    ]
    if differ:
        raise Wrong(
            f"the run in {where} has other arguments",
            got=", ".join(differ),
            try_="the run's own arguments to go on with it, or another --out",
            usage=True,
        )


def flat(request: dict[str, Any]) -> dict[str, Any]:
    """A request with the recipe's arguments beside the rest."""
    return {**{key: value for key, value in request.items() if key != "arguments"}, **request["arguments"]}


def create(where: Path, record: dict[str, Any], chosen: recipe.Card, stack: contextlib.ExitStack, *, numbered: bool) -> Path:
    """A new run folder with its recipe.json, locked, and complete from the moment that it exists; returns its path.

    `where` is used as it is, or gets the next free number behind its name where `numbered`.
    """
    part = where.parent / f".{where.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        if where.is_dir() and not numbered:  # empty, or `choose` would have refused it
            return _take(where, record, chosen, stack)
        part.mkdir(parents=True)
        _fill(part, record, chosen)
        number = 1 + max(
            (int(p.name.rpartition("-")[2]) for p in where.parent.glob(f"{where.name}-*") if _ends_in_number(p)), default=0
        )
        while True:
            target = where.with_name(f"{where.name}-{number}") if numbered else where
            try:
                os.replace(part, target)
            except OSError:
                if not (numbered and target.exists()):
                    raise
            else:
                if lock(target, stack):
                    return target
                if not numbered:
                    raise Wrong("another process took this folder first", got=target, try_="the same command again")
                _fill(part, record, chosen)  # a neighbour goes on with that one; the next is ours
            number += 1
    except OSError as error:
        raise cannot_write(where, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _ends_in_number(path: Path) -> bool:
    return path.name.rpartition("-")[2].isdecimal()


def _fill(folder: Path, record: dict[str, Any], chosen: recipe.Card) -> None:
    """What a run folder begins with."""
    folder.mkdir(exist_ok=True)
    if not chosen.shipped:
        shutil.copyfile(chosen.path, folder / "recipe.py")
    write_json(folder / "recipe.json", record)


def _take(folder: Path, record: dict[str, Any], chosen: recipe.Card, stack: contextlib.ExitStack) -> Path:
    if not lock(folder, stack):
        raise Wrong("another process is training in this folder", got=folder, try_="another --out")
    _fill(folder, record, chosen)
    return folder
