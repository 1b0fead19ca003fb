"""What every test shares: no network, few threads, a folder of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Two test processes share two cores: more threads would only wait for one another. Inherited by subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")


LONGEST = ("test_processes", "test_guard")  # first, or one worker waits at the end while the other is in the middle of them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a fresh folder with an empty cache; runs go into ./runs there."""
    monkeypatch.setenv("GANNET_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


Command = Callable[..., subprocess.CompletedProcess[str]]

# Importing torch, its compiler and ours takes longer than most tests, and they call the command hundreds of times. So the
# processes of commands are forked from one that has done nothing but import them (a net never ran in it), once a worker.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("gannet.cli", "gannet.run", "gannet.preflight", "gannet.telling", "gannet.sampling", "torch._dynamo"),
        *("pytest", "tyro", "rich.console", "rich.table", "rich.progress"),  # this file imports the first
        *("sklearn.datasets", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    ]
)


def _as_a_command(
    words: tuple[str, ...], environment: dict[str, str], folder: str, files: tuple[str, str], script: str | None
) -> None:
    """What a forked process does: `python -m gannet words`, or `python script words`, in this folder and environment, printing
    into these files."""
    for stream, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0:0] = [folder]
    sys.argv = [script or "gannet", *words]
    try:
        if script is None:
            runpy.run_module("gannet", run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class Begun:
    """The command, or a script, in a process of its own, while it runs; as subprocess.Popen has it."""

    def __init__(self, *words: str | Path, script: str | None = None, **settings: str):
        self.args, self.printed = ["gannet", *map(str, words)], tempfile.TemporaryDirectory()
        self.files = (f"{self.printed.name}/out", f"{self.printed.name}/err")
        target = (tuple(self.args[1:]), {**os.environ, **settings}, str(Path.cwd()), self.files, script)
        self.process = FORKS.Process(target=_as_a_command, args=target)
        self.process.start()
        self.kill = self.process.kill

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """What it printed, once it has ended."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.kill()
            raise subprocess.TimeoutExpired(self.args, timeout)
        with self.printed:
            out, err = (Path(file).read_text() if Path(file).exists() else "" for file in self.files)
        return out, err


def side_by_side(*words: str, processes: int, script: str | None = None) -> list[tuple[str, str]]:
    """What processes printed that work together, each told what torchrun would tell it; a call takes fifteen seconds less."""
    with socket.socket() as probe:  # a port that nobody listens on now
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    told |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)} if processes > 1 else {}
    begun = []
    for rank in map(str, range(processes)):
        begun.append(Begun(*words, script=script, **told, **({"RANK": rank, "LOCAL_RANK": rank} if processes > 1 else {})))
    printed = [one.communicate() for one in begun]
    assert [one.returncode for one in begun] == [0] * processes, printed
    return printed


@pytest.fixture
def gannet() -> Command:
    """Run the command in a process of its own: gannet("list", status=0) -> what it printed."""

    def call(*words: str | Path, status: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        begun = Begun(*words, **settings)
        out, err = begun.communicate()
        assert begun.returncode == status, f"{words}: {begun.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(begun.args, begun.returncode, out, err)

    return call


@pytest.fixture
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script of bench/ that a test file is named after (test_oracle.py: bench/oracle.py), as a module."""
    name = request.path.stem.removeprefix("test_")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "bench"))
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


def one_line(text: str, *parts: object) -> None:
    """A complaint is one line, says all of these, and is no traceback."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    for part in parts:
        assert str(part) in lines[0], f"{part!r} is not in: {lines[0]}"
