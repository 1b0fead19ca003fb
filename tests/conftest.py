"""What every test shares: no network, few threads, a folder of its own."""

from __future__ import annotations

import importlib
import os
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


@pytest.fixture
def gannet() -> Command:
    """Run the command in a process of its own: gannet("list", status=0) -> what it printed."""

    def call(*words: str, status: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **settings}
        command = [sys.executable, "-m", "gannet", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
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
