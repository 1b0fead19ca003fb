"""What every test shares: no network, few threads, a folder of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Two test processes share two cores: more threads would only wait for one another. Inherited by subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
    ["gannet.cli", "gannet.run", "gannet.preflight", "gannet.telling", "gannet.sampling", "torch._dynamo"]
)


def _as_a_command(words: tuple[str, ...], environment: dict[str, str], folder: str, files: tuple[str, str]) -> None:
    """What a forked process does: `python -m gannet words` in this folder and environment, printing into these files."""
    for stream, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0:0] = [folder]
    sys.argv = ["gannet", *words]
    try:
        runpy.run_module("gannet", run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


@pytest.fixture
def gannet(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run the command in a process of its own: gannet("list", status=0) -> what it printed."""

    def call(*words: str | Path, status: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        out, err = (tmp_path_factory.mktemp("printed") / name for name in ("out", "err"))
        target = (tuple(map(str, words)), {**os.environ, **settings}, str(Path.cwd()), (str(out), str(err)))
        process = FORKS.Process(target=_as_a_command, args=target)
        process.start()
        process.join(120)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(["gannet", *words], 120)
        assert process.exitcode is not None
        done = subprocess.CompletedProcess(["gannet", *words], process.exitcode, out.read_text(), err.read_text())
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

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
