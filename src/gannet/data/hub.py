"""Pictures of a Hugging Face data set, by its name; the `datasets` library fetches and caches them, and runs no code of theirs.

gallery = read("somebody/holiday", pixels=64)      # or somebody/holiday:config, or hf:holiday for one without an owner
gallery.split("train"), gallery.split("test")
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.errors

from gannet.data import ledger, pictures
from gannet.errors import Wrong

NAME = re.compile(r"(?:hf:(?P<bare>\w[\w.-]*(?:/\w[\w.-]*)?)|(?P<owned>\w[\w.-]*/\w[\w.-]*))(?::(?P<config>[\w.+-]+))?$")


def is_name(data: str) -> bool:
    """True for words that can only mean a Hugging Face data set: owner/name where there is no such folder, or hf:name."""
    return NAME.match(data) is not None and not Path(data).exists()


@functools.lru_cache(maxsize=2)
def read(data: str, pixels: int | None = None, *, quiet: bool = False) -> pictures.Gallery:
    """The pictures of a data set, in its own splits and classes where it has them.

    Raises:
        Wrong: where it cannot be had, or holds no pictures, and where the `datasets` library is missing.
    """
    pictures.check_pixels(pixels)
    name, config, sets = _fetch(data)
    files: list[pictures.File] = []
    kinds = {pictures.SPLITS.get(split) for split in sets}
    for split, rows in sets.items():
        # Both splits stand before the names, or neither: then one in ten is kept from training, as from any folder.
        files += _files(f"{split}/" if {"train", "test"} <= kinds else "", rows, data)
    files.sort(key=lambda file: file.name)
    licence = next((str(rows.info.license) for rows in sets.values() if rows.info.license), "unknown")
    gallery = pictures.assemble(data, files, pixels)
    gallery.licence, gallery.source = licence, f"Hugging Face data set {name}{f', {config}' if config else ''}"
    if not quiet:
        print(pictures.told(gallery), file=sys.stderr)
    return gallery


def _fetch(data: str) -> tuple[str, str | None, dict[str, Any]]:
    """Name, configuration, and split -> rows, of the splits that we know what to do with."""
    found = NAME.match(data)
    assert found is not None
    name, config = found["bare"] or found["owned"], found["config"]
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        what = "no folder here has this name, and a Hugging Face data set needs the datasets library"
        raise Wrong(what, got=data, try_="pip install 'gannet[hub]'") from error
    try:
        with _cached_only(ledger().offline or not _answers(name)):
            sets: dict[str, Any] = {str(split): rows for split, rows in datasets.load_dataset(name, config).items()}
    except Exception as error:  # of the libraries and of the operating system
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        what = "this is neither a folder here nor a Hugging Face data set that can be had"
        raise Wrong(what, got=f"{data}: {reason}", try_=f"huggingface.co/datasets/{name}, if that is meant") from error
    known = {split: rows for split, rows in sets.items() if split in pictures.SPLITS}
    known = known or sets
    hidden = [split for split, rows in known.items() if pictures.SPLITS.get(split) == "test" and _hidden(rows)]
    return name, config, {split: rows for split, rows in known.items() if split not in hidden}


def _answers(name: str) -> bool:
    """False where the hub cannot be reached: the library would try for half a minute.

    Raises:
        the hub's own errors where it says that there is no such data set, or that one must log in.
    """
    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=10)
    except huggingface_hub.errors.HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        return False
    except Exception:  # the network's, which differ by version
        return False
    return True


@contextlib.contextmanager
def _cached_only(only: bool) -> Iterator[None]:
    """Keep both libraries from the network: each has its own switch."""
    from datasets import config  # pyright: ignore[reportMissingImports]

    switches: list[Any] = [huggingface_hub.constants, config]
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch, was in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = only or was
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = was


def _column(rows: Any, kind: str) -> str | None:
    """The first column whose feature is of this kind."""
    return next((name for name, feature in rows.features.items() if type(feature).__name__ == kind), None)


def _hidden(rows: Any) -> bool:
    """True for a split of a competition, whose classes are -1 throughout."""
    label = _column(rows, "ClassLabel")
    return label is not None and len(rows) > 0 and set(rows[label]) == {-1}


def _files(before: str, rows: Any, data: str) -> list[pictures.File]:
    """Each row as a file that is named split/class/number."""
    import datasets  # pyright: ignore[reportMissingImports]

    drawn, label = _column(rows, "Image"), _column(rows, "ClassLabel")
    if drawn is None:
        columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in rows.features.items())
        raise Wrong("this data set has no column of pictures", got=f"{data}: {columns}")
    folders = [""] * len(rows)
    if label is not None:
        names = [f"{re.sub(r'[/.]', '-', str(name)) or 'none'}/" for name in rows.features[label].names]
        folders = [names[y] if y is not None and y >= 0 else "unknown/" for y in rows[label]]
    rows = rows.select_columns([drawn]).cast_column(drawn, datasets.Image(decode=False))
    return [
        pictures.File(f"{before}{folder}{number:08d}", functools.partial(_open, rows, number, drawn))
        for number, folder in enumerate(folders)
    ]


def _open(rows: Any, number: int, column: str) -> Any:
    """The picture of a row as an open file."""
    held = rows[number][column]
    if held is None or (held["bytes"] is None and held["path"] is None):
        raise pictures.Unusable("an empty row")
    return io.BytesIO(held["bytes"]) if held["bytes"] is not None else open(held["path"], "rb")
