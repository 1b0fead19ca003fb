"""Writing so that nothing is ever half-written: beside, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gannet.errors import Wrong


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary path next to `path`, for a file; renamed over it at the end, removed on any failure.

    Raises:
        Wrong: where the disk is full or the place cannot be written.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with open(part, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(part, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # most often it has been renamed and is not there
            part.unlink()


def cannot_write(path: Path, error: OSError) -> Wrong:
    """The line for a disk that is full or a place that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Wrong("the disk is full; nothing there was changed", got=path, try_="freeing space, then the same command again")
    return Wrong(f"this place cannot be written ({error.strerror or error})", got=path, try_="another folder")


def write_bytes(path: Path, content: bytes) -> None:
    """A whole file at once. Libraries that write files themselves raise errors of their own on a full disk; bytes do not."""
    with beside(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """A whole text file at once."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """A whole JSON file at once, readable by people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
