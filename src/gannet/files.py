"""Writing so that nothing is ever half-written: beside, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator
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


def check_ours(folder: Path, note: str) -> None:
    """Only what we wrote ourselves is ever written over.

    Args:
        folder: to write into: absent, empty, or with this note in it
        note: the file by which a folder of ours is known

    Raises:
        Wrong: where it holds anything else, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise Wrong("a file stands where a folder should; nothing was written", got=folder, try_="another --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / note).is_file():
        raise Wrong("this folder holds other things; nothing was written", got=folder, try_="another --out")


#: Notes by which folders of ours are known, and what each of them says.
NOTES = {
    "recipe.json": "format",
    "preflight.json": "checks",
    "explain.json": "run",
    "predicted.json": "files",
}


def is_ours(folder: str | Path) -> bool:
    """Whether a folder is a run, or tells of one. Drawings alone may be what somebody wants to learn from.

    A note of that name may be somebody else's, too: it has to say what ours says.
    """
    for name, word in NOTES.items():
        path = Path(folder) / name
        with contextlib.suppress(OSError, ValueError):
            if path.is_file():
                said = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(said, dict) and word in said:
                    return True
    return False


def write_bytes(path: Path, content: bytes) -> None:
    """A whole file at once. Libraries that write files themselves raise errors of their own on a full disk; bytes do not."""
    with beside(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """A whole text file at once; what is no text, as bytes of a folder's name may be, stands as an escape that JSON reads."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """A whole JSON file at once, readable by people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def as_image(x_HWC: Any) -> Any:
    """A picture (H, W, 1, 3 or 4) of bytes as Pillow has it."""
    from PIL import Image

    return Image.fromarray(x_HWC[..., 0] if x_HWC.shape[-1] == 1 else x_HWC)


def save_picture(x_HWC: Any, path: Path) -> None:
    """One picture (H, W, 1, 3 or 4), bytes, as a PNG."""
    buffer = io.BytesIO()
    as_image(x_HWC).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())


def save_mp4(frames: Iterable[Any], path: Path, per_second: float) -> None:
    """Frames (H, W, 3) of one size, bytes, as H.264, one after another; sides are cropped to even numbers, as it wants them."""
    import imageio_ffmpeg
    import numpy as np

    with beside(path) as part:
        writer = None
        try:
            for frame in frames:
                high, wide = (side - side % 2 for side in frame.shape[:2])
                if writer is None:
                    words: dict[str, Any] = {
                        "fps": per_second,
                        "macro_block_size": 1,
                        "quality": 8,
                        "ffmpeg_log_level": "error",
                    }
                    # The name that it is written under does not say that it is an MP4.
                    writer = imageio_ffmpeg.write_frames(str(part), (wide, high), output_params=["-f", "mp4"], **words)
                    writer.send(None)
                writer.send(np.ascontiguousarray(frame[:high, :wide]))
        finally:
            if writer is not None:
                writer.close()
