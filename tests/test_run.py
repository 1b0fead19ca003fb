"""The run folder: resume bit for bit, whatever ends a run; loading from the folder alone; bad folders in one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from conftest import Begun, Command, one_line
from gannet import files, folders, preflight, recipe, run, sampling
from gannet.data import Ledger, keeping
from gannet.data.images import Batch, Images
from gannet.errors import Wrong
from gannet.objectives import Player
from gannet.preflight import machine
from gannet.rng import Rng
from gannet.training import loop
from gannet.training.engine import Engine

APART = {"atari", "drive", "imitate"}  # slow games and roads, an expert of their own: each has a file of tests
SLOW = [("atari", {"environments": 2, "method": method}) for method in ("ppo", "pqn", "replay", "reinforce")]
SLOW += [("drive", {"eyes": "pixels", "environments": 2}), ("drive", {"method": "ppo", "environments": 2})]
SLOW += [("play", {"data": "CartPole-v1", "method": "replay"})]
RECIPES = [card.name for card in recipe.available() if card.name not in APART]
WORDS = ("--size", "tiny", "--data", "bars")
NONE = {"all": "looked over elsewhere"}
UNLOOKED = ("--skip", "all=looked over elsewhere")  # where preflight is not what is tested
TOYS = {"write": "sums", "play": "CartPole-v1"}  # made data of each recipe, where it is not bars


def toy_words(name: str) -> tuple[str, ...]:
    return ("--size", "tiny", "--data", TOYS.get(name, "bars"))


def weights(folder: Path | str) -> dict[str, torch.Tensor]:
    """Every tensor of the newest checkpoint, by a path of names."""
    found: dict[str, torch.Tensor] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}")

    walk(torch.load(folders.checkpoints(Path(folder))[-1], map_location="cpu", weights_only=True), "")
    return found


def assert_equal(one: Path | str, other: Path | str) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert len(a) > 10
    for name in a:
        assert torch.equal(a[name], b[name]), name


def drop_to(folder: Path, step: int) -> None:
    """Leave the folder as a kill after this step's checkpoint would have."""
    for path in folders.checkpoints(folder):
        if folders.step_of(path) > step:
            path.unlink()
    (folder / "README.md").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("name", "words", "half"),
    [*((name, {"data": TOYS.get(name, "bars")}, 10) for name in RECIPES), *((name, words, 1) for name, words in SLOW)],
)
def test_half_and_half_are_the_whole(name: str, words: dict[str, Any], half: int) -> None:
    """Uninterrupted, against the same run whose objects, games and roads were thrown away half way; bit for bit."""
    flags = recipe.resolve(recipe.find(name), {"size": "tiny", **words})

    def steps(objective, start: int, stop: int) -> None:
        engine.prepare(objective)
        settings = {"batch": made.batch, "steps": 2 * half, "schedule": made.schedule, "seed": 0}
        loop.fit(objective, made.data, engine, **settings, start=start, stop=stop)

    def fresh(seed: int = 0) -> recipe.Recipe:
        torch.manual_seed(seed)
        return recipe.build(recipe.find(name), flags)

    engine = Engine()
    made = fresh()
    steps(made.objective, 0, 2 * half)
    run.save_checkpoint(Path("whole"), made.objective, 2 * half)
    made = fresh()
    steps(made.objective, 0, half)
    run.save_checkpoint(Path("parts"), made.objective, half)
    made = fresh(99)  # a resumed process begins anywhere
    assert run.restore(Path("parts"), made.objective, engine) == half
    steps(made.objective, half, 2 * half)
    run.save_checkpoint(Path("parts"), made.objective, 2 * half)
    assert_equal("whole", "parts")


def start(*words: str, fresh: bool = False) -> subprocess.Popen[str] | Begun:
    """`gannet train`, by an interpreter of its own, or in a fork of one that has imported it: eight seconds less."""
    if not fresh:
        return Begun("train", *words)
    command = [sys.executable, "-m", "gannet", "train", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[str] | Begun, after: int = 0) -> None:
    deadline = time.monotonic() + 60
    while not any(folders.step_of(path) > after for path in folders.checkpoints(folder)):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("name", RECIPES)
def test_killed_resumed_and_loaded_in_fresh_processes(name: str, gannet: Command) -> None:
    """The whole path of every recipe: train, kill -9, the same command again, sample with the data out of reach."""
    steps = 120 if name in ("tutorial", "dcgan", "write") else 60  # of the others, one takes longer
    words = (name, *toy_words(name), "--steps", str(steps), "--out", "killed")
    process = start(*words, fresh=name == "digits")
    wait_for_checkpoint(Path("killed"), process)
    process.kill()
    process.communicate()
    done = [folders.step_of(path) for path in folders.checkpoints(Path("killed"))]
    assert done
    assert done[-1] < steps
    again = gannet("train", *words)
    assert f"going on at step {done[-1]} of {steps}" in again.stderr
    assert again.stdout.strip() == "killed"
    gannet("train", *words[:-1], "whole", "--skip", "all=the killed run was looked at")
    assert_equal("killed", "whole")
    assert Path("killed/best.safetensors").read_bytes() == Path("whole/best.safetensors").read_bytes()
    lines = [json.loads(line) for line in Path("killed/metrics.jsonl").read_text().splitlines()]
    logged = [
        line["step"] for line in lines if not {"fid_2k", "kl_10k", "loss_watched", "eer_watched", "minus_return"} & line.keys()
    ]
    assert logged == sorted(set(logged))  # what the kill left behind was dropped, nothing is there twice
    assert logged[-1] == steps

    if name in ("classify", "detect"):
        Image.new("L", (48, 48), 77).save("x.png")
        told = gannet("predict", "killed", "x.png", "--json", GANNET_HOME="/nonexistent/cache").stdout
        assert json.loads(told) == run.load("whole").predict(["x.png"])
        return
    if name in ("faces", "play"):
        assert run.load("killed").digest() == run.load("whole").digest()  # of the bars nothing is opened: the cache is empty
        return
    if name == "write":
        told = gannet("sample", "killed", "-n", "3", "--seed", "5", GANNET_HOME="/nonexistent/cache").stdout
        assert told == "\n\n".join(run.load("whole").write(3, seed=5)) + "\n"
        return
    gannet("sample", "killed", "-n", "3", "--out", "drawn", "--seed", "5", GANNET_HOME="/nonexistent/cache")
    assert sorted(path.name for path in Path("drawn").glob("*.png")) == ["00000.png", "00001.png", "00002.png", "grid.png"]
    here = run.load("whole").sample(3, seed=5)
    assert here.dtype == np.uint8
    assert here.shape == (3, 8, 8, 3 if name == "stacked" else 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(number: signal.Signals, gannet: Command) -> None:
    words = ("digits", *WORDS, "--steps", "3000", "--out", "stopped")
    process = start(*words)
    wait_for_checkpoint(Path("stopped"), process)
    time.sleep(0.15)  # into the next interval
    process.send_signal(number)
    complaint = process.communicate(timeout=60)[1].strip().splitlines()[-1]
    assert process.returncode == 1
    step = folders.step_of(folders.checkpoints(Path("stopped"))[-1])
    one_line(complaint, f"stopped at step {step} of 3000", "the same command goes on")
    assert step % json.loads(Path("stopped/recipe.json").read_text())["checkpoint_every"], "saved where it stood"
    assert run.load("stopped").sample(1).shape == (1, 8, 8, 1)  # an unfinished run draws too


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 20 steps."""
    folder = tmp_path_factory.mktemp("once") / "trained"
    return run.train("digits", size="tiny", data="bars", steps=20, out=folder).folder


@pytest.fixture
def trained(once: Path) -> Path:
    """The same run in a folder of its own, which may be damaged."""
    return Path(shutil.copytree(once, "trained"))


def test_a_run_folder_holds_what_the_design_says(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()} - {".lock"}
    kept = {"recipe.json", "model.safetensors", "best.safetensors", "metrics.jsonl", "preflight.json"}
    assert names == kept | {"samples", "resume", "README.md"}
    assert len(folders.checkpoints(trained)) == 2
    record = json.loads((trained / "recipe.json").read_text())
    assert record["arguments"]["size"] == "tiny"
    assert record["data"]["bars/train"]["items"] == 2000
    card = (trained / "README.md").read_text()
    for part in (record["command"], "samples/last.png", "CC0", "bytes / 127.5 - 1", torch.__version__):
        assert part in card
    from PIL import Image

    with Image.open(trained / "samples" / "learning.gif") as film:
        assert film.n_frames <= len(list((trained / "samples").glob("[0-9]*.png")))
    *losses, score = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {"step", "examples", "seconds", "critic", "generator", "critic.penalty", "rate"} <= losses[-1].keys()
    assert score.keys() == {"step", "examples", "seconds", "fid_2k", "variety"}
    assert score["step"] == 20


def test_the_written_command_makes_the_same_run(trained: Path) -> None:
    import gannet

    record = json.loads((trained / "recipe.json").read_text())
    again = eval(record["command"].replace(")", ", out='again')"), {"gannet": gannet})
    assert_equal(trained, again.folder)


def test_the_same_command_goes_on_and_a_finished_one_starts_anew(gannet: Command) -> None:
    words = ("digits", *WORDS, "--steps", "20", *UNLOOKED)
    assert gannet("train", *words).stdout.strip() == "runs/digits-1"
    drop_to(Path("runs/digits-1"), 19)
    assert gannet("train", *words).stdout.strip() == "runs/digits-1"  # unfinished: goes on
    assert gannet("train", *words).stdout.strip() == "runs/digits-2"  # finished: a new number
    drop_to(Path("runs/digits-2"), 19)
    assert gannet("train", *words, "--new").stdout.strip() == "runs/digits-3"
    assert gannet("train", *words, "--seed", "1").stdout.strip() == "runs/digits-4"
    listed = json.loads(gannet("list", "--json").stdout)
    assert [(r["folder"], r["finished"]) for r in listed["runs"]] == [
        ("runs/digits-1", True),
        ("runs/digits-2", False),
        ("runs/digits-3", True),
        ("runs/digits-4", True),
    ]
    assert [r["name"] for r in listed["recipes"]] == [card.name for card in recipe.available()]


def test_a_finished_folder_is_finished_and_more_lengthens_it(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = weights(trained)
    run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    assert "is finished" in capsys.readouterr().err
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trained).items())
    longer = run.train("digits", size="tiny", data="bars", steps=20, out=trained, more=10)
    assert longer.record["steps"] == 30
    assert folders.step_of(folders.checkpoints(trained)[-1]) == 30
    # and again, although the request still says 20
    assert run.train("digits", size="tiny", data="bars", out=trained, more=5).record["lengthened"] == [10, 5]
    much = run.train("digits", size="tiny", data="bars", out=trained, more=200).record
    assert much["checkpoint_every"] == run._apart(235, None) > longer.record["checkpoint_every"]  # not as a short run's


def test_an_interrupted_lengthening_goes_on_and_does_not_lengthen_again(trained: Path) -> None:
    words = {"size": "tiny", "data": "bars", "steps": 20, "out": trained, "more": 10}
    run.train("digits", **words)
    drop_to(trained, 29)
    again = run.train("digits", **words)
    assert again.record["steps"] == 30
    assert folders.finished(trained, again.record)


def test_a_lengthened_run_is_not_finished_until_its_own_end(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*words: object, **named: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(loop, "fit", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run.train("digits", size="tiny", data="bars", steps=20, out=trained, more=10)
    assert not (trained / "README.md").exists()  # the old card would have told of the shorter run
    assert not folders.finished(trained, folders.read_record(trained))


def test_bfloat16_runs_and_is_written_down() -> None:
    made = run.train("digits", size="tiny", data="bars", steps=5, precision="bfloat16")
    assert made.record["precision"] == "bfloat16"
    assert all(p.dtype == torch.float32 for net in made.nets.values() for p in net.parameters())


def test_a_resume_with_other_arguments_says_which(trained: Path) -> None:
    with pytest.raises(Wrong) as error:
        run.train("digits", size="tiny", data="bars", steps=30, rate=1e-4, out=trained)
    one_line(str(error.value), "rate 0.003 -> 0.0001", "steps 20 -> 30", trained)
    assert error.value.status == 2


def test_a_run_from_before_a_flag_goes_on(trained: Path) -> None:
    """What a recipe has learnt to be asked since then stands at its default, and nothing else is let pass."""
    record = json.loads((trained / "recipe.json").read_text())
    for arguments in (record["request"]["arguments"], record["arguments"]):
        del arguments["rate"]
    (trained / "recipe.json").write_text(json.dumps(record))
    assert run.train("digits", size="tiny", data="bars", steps=20, out=trained).folder == trained
    with pytest.raises(Wrong, match=r"rate 0\.003 -> 0\.0001"):
        run.train("digits", size="tiny", data="bars", steps=20, rate=1e-4, out=trained)


def test_a_resume_on_other_data_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_to(trained, 19)
    from gannet.data import toys

    fewer = toys.bars
    monkeypatch.setattr(toys, "bars", lambda n, **words: fewer(n - 1, **words))
    with pytest.raises(Wrong) as error:
        run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    one_line(str(error.value), "items of bars/train was 2000", "1999")


def test_minutes_fix_the_number_of_steps_once() -> None:
    made = run.train("digits", size="tiny", data="bars", minutes=0.05, skip=NONE)
    record = json.loads((made.folder / "recipe.json").read_text())
    assert record["minutes"] == 0.05
    assert record["steps"] > 20
    # Timing the first steps has left no trace: the same number of steps gives the same weights.
    twin = run.train("digits", size="tiny", data="bars", steps=record["steps"], out="twin", skip=NONE)
    assert_equal(made.folder, twin.folder)


def test_a_run_that_was_timed_on_a_busy_machine_begins_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run, "_length", lambda *_: 5)  # as if each step had taken almost a second
        made = run.train("digits", size="tiny", data="bars", minutes=4 / 60, skip=NONE)
    record = json.loads((made.folder / "recipe.json").read_text())
    steps = record["steps"]
    assert steps >= 30
    assert record["examples"] == steps * record["batch"]
    assert "quicker than when it was timed: begins anew with" in capsys.readouterr().err
    rows = [json.loads(line) for line in (made.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == steps
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)  # nothing is left of the shorter run
    twin = run.train("digits", size="tiny", data="bars", steps=steps, out="twin", skip=NONE)
    assert_equal(made.folder, twin.folder)
    names = [sorted(path.name for path in folder.rglob("*") if path.is_file()) for folder in (made.folder, twin.folder)]
    assert names[0] == names[1]


def test_a_run_that_is_no_quicker_than_it_was_timed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_length", lambda *_: 30)  # which takes longer than this:
    made = run.train("digits", size="tiny", data="bars", minutes=0.0001)
    assert json.loads((made.folder / "recipe.json").read_text())["steps"] == 30


def test_the_callers_random_numbers_are_left_alone(trained: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run.load(trained).sample(2)
    run.train("digits", size="tiny", data="bars", steps=2)
    assert torch.equal(torch.rand(3), expected)


def test_classes_are_learnt_and_asked_for(gannet: Command) -> None:
    made = run.train("digits", size="tiny", data="bars", steps=10, classes=True, out="kinds")
    assert made.classes == ["across", "down"]
    assert np.array_equal(made.sample(4, label="down"), made.sample(4, label=1))
    assert not np.array_equal(made.sample(4, label=0), made.sample(4, label=1))
    gannet("sample", "kinds", "-n", "2", "--class", "down", "--out", "down")
    one_line(gannet("sample", "kinds", "--class", "7", status=2).stderr, "7", "across, down")


def test_a_class_of_a_run_without() -> None:
    bare = run.train("digits", size="tiny", data="bars", steps=2, classes=False, skip={"all": "to be quick"})
    with pytest.raises(Wrong) as error:
        bare.sample(1, label=7)
    one_line(str(error.value), "class 7", "gannet train digits --classes")


def test_drawing_again_leaves_exactly_n_and_never_other_peoples_files(trained: Path) -> None:
    loaded = run.load(trained)
    sampling.draw_into(loaded, Path("drawn"), 12)
    sampling.draw_into(loaded, Path("drawn"), 3, seed=1)
    assert sorted(path.name for path in Path("drawn").glob("0*.png")) == ["00000.png", "00001.png", "00002.png"]
    Path("mine").mkdir()
    Path("mine/00009.png").write_text("mine")
    with pytest.raises(Wrong) as error:
        sampling.draw_into(loaded, Path("mine"), 3)
    one_line(str(error.value), "mine", "another --out")
    assert [path.name for path in Path("mine").iterdir()] == ["00009.png"]


def test_own_recipe_runs_resumes_and_asks_for_trust(gannet: Command) -> None:
    gannet("eject", "digits", "--out", "mine.py")
    text = Path("mine.py").read_text().replace("def digits(", "def own_digits(").replace('"tiny": (8,', '"tiny": (16,')
    Path("mine.py").write_text(text)
    words = ("./mine.py", *WORDS, "--steps", "10", *UNLOOKED)
    assert gannet("train", *words).stdout.strip() == "runs/mine-1"
    one_line(gannet("sample", "runs/mine-1", status=1).stderr, "runs/mine-1", "--trust")
    gannet("sample", "runs/mine-1", "--trust", "-n", "1")
    Path("mine.py").unlink()
    gannet("sample", "runs/mine-1", "--trust", "-n", "1")  # the folder holds its own copy


def test_an_edited_recipe_is_another_run(gannet: Command) -> None:
    gannet("eject", "digits", "--out", "mine.py")
    words = ("./mine.py", *WORDS, "--steps", "10", *UNLOOKED)
    gannet("train", *words)
    drop_to(Path("runs/mine-1"), 9)
    Path("mine.py").write_text(Path("mine.py").read_text().replace('"tiny": (8,', '"tiny": (16,'))
    assert gannet("train", *words).stdout.strip() == "runs/mine-2"
    one_line(gannet("train", *words, "--out", "runs/mine-1", status=2).stderr, "other arguments", "recipe_sha256")


def test_a_folder_cannot_pass_off_its_code_as_shipped(trained: Path) -> None:
    Path("evil.py").write_text("raise SystemExit('ran')")
    record = json.loads((trained / "recipe.json").read_text()) | {"recipe": "evil.py"}
    (trained / "recipe.json").write_text(json.dumps(record))
    with pytest.raises(Wrong) as error:
        run.load(trained)
    one_line(str(error.value), "evil.py")


OWN_DATA = """
import torch
from gannet.data import images
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan
from gannet.recipe import Recipe

def own(seed: int = 0):
    noise = torch.randint(256, (40, 3, 16, 16), generator=torch.Generator().manual_seed(seed))
    data = images.Images(noise.to(torch.uint8), name="noise", licence="mine")
    return Recipe(data, gan.Gan(Generator(16, 3, width=8), Critic(16, 3, width=8)), batch=8, examples=80)
"""


def test_data_of_ones_own_in_a_recipe_of_ones_own(gannet: Command) -> None:
    Path("own.py").write_text(OWN_DATA)
    assert gannet("train", "own.py").stdout.strip() == "runs/own-1"
    assert "noise" in Path("runs/own-1/README.md").read_text()
    gannet("sample", "runs/own-1", "--trust", "-n", "2")


def test_out_is_used_as_it_is_given(gannet: Command) -> None:
    words = ("train", "digits", *WORDS, "--steps", "5", *UNLOOKED)
    assert gannet(*words, "--out", "runs/digits").stdout.strip() == "runs/digits"
    drop_to(Path("runs/digits"), 4)
    assert "going on at step 4" in gannet(*words, "--out", "runs/digits").stderr
    Path("with space/empty").mkdir(parents=True)
    Path("with space/empty/.lock").touch()  # what is left where a run was killed before it had a record
    assert gannet(*words, "--out", "with space/empty").stdout.strip() == "with space/empty"
    assert "--out 'with space/empty'" in json.loads(Path("with space/empty/recipe.json").read_text())["command"]


def test_what_is_being_made_is_no_run(trained: Path) -> None:
    Path("runs").mkdir()
    shutil.copytree(trained, "runs/.digits.abc.part")
    assert folders.runs() == []


def break_model(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def break_record(folder: Path) -> None:
    path = folder / "recipe.json"
    path.write_text(path.read_text()[:100])


def poison_model(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["generator.start.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors")


def newer(folder: Path) -> None:
    record = json.loads((folder / "recipe.json").read_text()) | {"format": 99, "gannet": "9.9"}
    (folder / "recipe.json").write_text(json.dumps(record))


FOLDERS = {
    "missing": (shutil.rmtree, ["no run folder there"]),
    "no record": (lambda folder: (folder / "recipe.json").unlink(), ["recipe.json is missing"]),
    "no model": (lambda folder: (folder / "model.safetensors").unlink(), ["has not saved a model yet"]),
    "truncated record": (break_record, ["recipe.json is damaged"]),
    "truncated model": (break_model, ["model is damaged", "model.safetensors"]),
    "newer": (newer, ["format 99", "gannet 9.9", "pip install -U gannet"]),
    "nan": (poison_model, ["not finite", "start.weight"]),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_bad_run_folders(what: str, trained: Path) -> None:
    damage, parts = FOLDERS[what]
    damage(trained)
    with pytest.raises(Wrong) as error:
        run.load(trained)
    one_line(str(error.value), trained, *parts)
    assert error.value.status == 1


def test_bad_checkpoints(trained: Path) -> None:
    drop_to(trained, 19)
    path = folders.checkpoints(trained)[-1]
    whole = path.read_bytes()
    shutil.copyfile(path, folders.checkpoint(trained, 1))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Wrong) as error:
        run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    one_line(str(error.value), "damaged", path, f"deleting {path.name}")
    path.write_bytes(whole)
    state = torch.load(path, weights_only=True)
    next(iter(state["nets"]["critic"].values()))[0] = float("inf")
    torch.save(state, path)
    with pytest.raises(Wrong) as error:
        run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    one_line(str(error.value), "not finite", path, f"deleting {path.name}")
    state["nets"]["critic"].popitem()
    next(iter(state["nets"]["critic"].values()))[0] = 0.0
    torch.save(state, path)  # as one of another version
    with pytest.raises(Wrong) as error:
        run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    one_line(str(error.value), "does not fit its recipe", path, "--out")


def test_a_loss_that_is_not_finite_stops_before_the_update(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_to(trained, 19)
    before = weights(trained)

    def poisoned(self: Images, n: int, rng: Rng) -> Batch:
        return Batch(torch.full((n, 1, 8, 8), float("nan")), torch.zeros(n, dtype=torch.int64))

    monkeypatch.setattr(Images, "batch", poisoned)
    with pytest.raises(loop.NotFinite) as error:
        run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    last = folders.checkpoints(trained)[-1]
    step = folders.step_of(last) + 1
    one_line(str(error.value), f"critic's loss at step {step} is not finite", "a value in the data", last, "--rate")
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trained).items())


def test_a_gradient_that_is_not_finite_stops_before_the_update() -> None:
    engine, net = Engine(), torch.nn.Linear(2, 1, bias=False)
    player = Player(net)
    before = net.weight.detach().clone()
    engine.backward(torch.sqrt(net.weight.sum() - net.weight.sum()), player)  # its value is 0, its slope is not finite
    assert not torch.isfinite(engine.step(player, 1.0))
    assert torch.equal(net.weight, before)


def test_a_full_disk_loses_nothing(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_to(trained, 19)
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}

    def full(*words: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(Wrong) as error:
            run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    one_line(str(error.value), "the disk is full", trained)
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before
    run.train("digits", size="tiny", data="bars", steps=20, out=trained)  # with room again, the same command goes on


FULL = """
import resource, sys
from gannet.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a write beyond it fails as on a full disk
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_that_is_really_full(gannet: Command) -> None:
    """Not a patched call: the operating system refuses to write the checkpoint, which is larger than what is left."""
    words = ["train", "digits", *WORDS, "--steps", "20", "--out", "full"]
    done = subprocess.run([sys.executable, "-c", FULL, *words], capture_output=True, text=True)
    assert done.returncode == 1
    one_line(done.stderr.strip().splitlines()[-1], "the disk is full", "full/")
    assert not list(Path("full").rglob("*.part"))
    gannet(*words)


def test_a_kill_between_model_and_checkpoint_leaves_no_stale_model(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (trained / "model.safetensors").read_bytes()
    drop_to(trained, 19)
    written = run.write_bytes

    def killed(path: Path, content: bytes) -> None:
        written(path, content)
        if path.parent.name != "samples":
            raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(run, "write_bytes", killed)
        with pytest.raises(RuntimeError, match="killed"):
            run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    again = run.train("digits", size="tiny", data="bars", steps=20, out=trained)
    assert (again.folder / "model.safetensors").read_bytes() == whole


def test_a_place_that_cannot_be_written() -> None:
    Path("runs").write_text("a file where the folder should be")
    with pytest.raises(Wrong) as error:
        run.train("digits", size="tiny", data="bars", steps=5)
    one_line(str(error.value), "cannot be written", "runs")


def test_two_processes_do_not_train_in_one_folder(trained: Path) -> None:
    import contextlib

    drop_to(trained, 19)
    with contextlib.ExitStack() as stack:
        assert folders.lock(trained, stack)
        with pytest.raises(Wrong) as error:
            run.train("digits", size="tiny", data="bars", steps=20, out=trained)
        one_line(str(error.value), "another process is training", trained)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ({"minutes": 1, "steps": 5}, ["keep one"]),
        ({"steps": 0}, ["--steps must be above 0", "0"]),
        ({"minutes": -1}, ["--minutes must be above 0", "-1"]),
        ({"more": 5}, ["--out"]),
        ({"precision": "float8"}, ["float8", "bfloat16"]),
        ({"seed": "one"}, ["seed must be a whole number", "'one'"]),
        ({"sede": 1}, ["sede", "seed"]),
        ({"size": "huge"}, ["size must be one of tiny, small, base", "'huge'"]),
    ],
)
def test_bad_arguments_from_python(words: dict, parts: list[str]) -> None:
    with pytest.raises(Wrong) as error:
        run.train("digits", **({"size": "tiny", "data": "bars"} | words))
    one_line(str(error.value), *parts)
    assert error.value.status == 2
    assert not Path("runs").exists()


def test_nothing_is_half_written(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("note.txt")
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.beside(path) as part:
        part.write_text("new, but")
        raise RuntimeError("killed here")
    assert path.read_text() == "old"
    assert list(Path().iterdir()) == [path]


def test_data_are_recalled_without_being_opened(trained: Path) -> None:
    record = folders.read_record(trained)
    with keeping(Ledger(facts=record["data"], recalled=True)):
        made = recipe.build(recipe.find("digits"), record["arguments"])
    assert len(made.data) == 2000
    assert len(made.data.x_NCHW) == 0


def test_fine_tuning_begins_with_another_run(gannet: Command, trained: Path) -> None:
    words = ("train", "digits", *WORDS, "--out", "tuned", "--steps", "6", "--start", str(trained))
    done = gannet(*words)
    of = len(run.load(trained).nets["generator"].state_dict()) + len(run.load(trained).nets["critic"].state_dict())
    assert f"begins with {of} of its {of} tensors from {trained}" in done.stderr
    still = run.train(
        "digits", size="tiny", data="bars", steps=1, out="one", start=trained, rate=1e-12, skip={"all": "it must not learn"}
    )
    for name, net in run.load(trained).nets.items():
        for one, two in zip(net.parameters(), still.nets[name].parameters(), strict=True):
            assert torch.allclose(one, two, atol=1e-6)
    # resumed from its own checkpoint, and from the start where it has none yet
    drop_to(Path("tuned"), 5)
    assert "begins with" not in gannet(*words).stderr
    kept = weights("tuned")
    drop_to(Path("tuned"), 0)
    assert "begins with" in gannet(*words).stderr
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights("tuned").items())


def test_what_cannot_be_begun_with(gannet: Command, trained: Path) -> None:
    words = ("train", "digits", *WORDS, "--steps", "2", "--start")
    one_line(gannet(*words, "nowhere", status=2).stderr, "no run with a model to begin with", "nowhere")
    gannet("train", "tutorial", *WORDS, "--steps", "2", "--out", "other")
    last = gannet(*words, "other", "--out", "x", status=1).stderr.splitlines()[-1]
    one_line(last, "nothing of the run to begin with fits", "other")
    path = trained / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    one_line(gannet(*words, str(trained), "--out", "y", status=1).stderr.splitlines()[-1], "damaged", str(path))


SEVERAL = """
from gannet.data import images
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan
from gannet.recipe import Recipe

class Lowest:
    def quick(self, objective):
        pairs = zip(objective.average.parameters(), objective.generator.parameters())
        return {"nearness": -float(sum((a - b).abs().sum() for a, b in pairs).detach())}

def several(seed: int = 0) -> Recipe:
    data = images.load("bars").without_classes()
    objective = gan.Gan(Generator(8, 1, width=8), Critic(8, 1, width=8), gamma=0.3, half_life=20, others=(5, 40))
    return Recipe(data, objective, batch=16, examples=640, evaluation=Lowest())
"""  # the average that lies furthest from the trained generator, which is the longest, counts as the best


@pytest.mark.parametrize("steps", [40, 41])  # with a checkpoint due at the very end, and without
def test_the_chosen_average_is_the_model(steps: int) -> None:
    Path("several.py").write_text(SEVERAL)
    words = {"steps": steps, "out": "mine", "skip": {"all": "to be quick"}}
    trained = run.train("./several.py", **words)

    def check() -> None:
        saved = weights("mine")
        kept = load_file("mine/model.safetensors")
        assert float(saved[".objective.chosen"]) == 40
        for name in ("finish.weight", "start.bias"):
            assert torch.equal(kept[f"generator.{name}"], saved[f".objective.average 40.{name}"])
            assert not torch.equal(kept[f"generator.{name}"], saved[f".objective.average 20.{name}"])
        assert json.loads(Path("mine/recipe.json").read_text())["trained"]["half_life"] == 40

    check()
    assert "half-life of 40 examples" in Path("mine/README.md").read_text()
    before, objective = weights("mine"), trained.objective
    assert torch.equal(objective.average.finish.weight, load_file("mine/model.safetensors")["generator.finish.weight"])
    Path("mine/README.md").unlink()  # killed between the last checkpoint and the card
    run.train("./several.py", **words)
    check()
    assert all(torch.equal(before[name], tensor) for name, tensor in weights("mine").items())


def test_an_objective_of_ones_own_need_not_know_truncation(trained: Path) -> None:
    loaded = run.load(trained)

    class Plain:
        classes = 0

        def sample(self, n: int, seed: int, label: object = None) -> torch.Tensor:
            return torch.zeros(n, 1, 8, 8)

    loaded.objective = Plain()
    assert loaded.sample(3).shape == (3, 8, 8, 1)
    with pytest.raises(Wrong, match="no noises"):
        sampling.film_into(loaded, Path("film"), 3)


def test_a_tuned_run_goes_on_when_the_run_it_began_with_is_gone(gannet: Command, trained: Path) -> None:
    words = ("train", "digits", *WORDS, "--out", "tuned", "--steps", "6", "--start", str(trained))
    gannet(*words)
    record = json.loads(Path("tuned/recipe.json").read_text())
    assert record["start_sha256"] and f"--start {trained}" in record["command"]
    drop_to(Path("tuned"), 5)
    shutil.rmtree(trained)
    assert "going on at step 5" in gannet(*words).stderr
    drop_to(Path("tuned"), 0)
    one_line(gannet(*words, status=2).stderr.splitlines()[-1], "no run with a model to begin with")


def tiny_images() -> recipe.Recipe:
    chosen = recipe.find("images")
    return recipe.build(chosen, recipe.resolve(chosen, {"size": "tiny", "data": "bars"}))


def free(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda case: megabytes * 1e6)


def test_a_batch_that_memory_does_not_hold_is_halved_and_kept(
    monkeypatch: pytest.MonkeyPatch, apart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"size": "tiny", "data": "bars", "out": apart / "run"}
    case = preflight.Case(
        recipe.build(recipe.find("images"), recipe.resolve(recipe.find("images"), {"size": "tiny", "data": "bars"}))
    )
    need = machine.needed(case)
    free(monkeypatch, 2 * (need(8) + need(16)) / 2 / 1e6)  # half of it lies between the two
    made = run.train("images", steps=3, **words, skip={"all": "to be quick"})
    assert made.record["batch"] == made.record["arguments"]["batch"] == 8
    assert made.record["request"]["arguments"]["batch"] is None
    assert "batches of 8 instead of 16" in capsys.readouterr().err
    free(monkeypatch, 1e6)  # on a machine with more of it the run goes on as it began
    longer = run.train("images", steps=3, more=2, **words, skip={"all": "to be quick"})
    assert longer.record["batch"] == 8 and longer.record["examples"] == 40
    assert run.load(apart / "run").objective.gamma == made.objective.gamma != case.objective.gamma
    again = run.train("images", steps=3, **(words | {"out": apart / "other"}), skip={"all": "to be quick"})
    assert again.record["batch"] == 16


def test_a_batch_is_never_below_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 0.001)
    made = tiny_images()
    assert preflight.fitting(preflight.Case(made)) == 8


def test_memory_that_is_counted_grows_as_the_batch_does() -> None:
    """The line through two small batches against a batch that is really tried."""
    made = tiny_images()
    case = preflight.Case(made)
    weights = sum(4 * p.nbytes for player in made.objective.players.values() for p in player.net.parameters())
    counted = 1.25 * machine.memory_of(case, 64) + weights
    assert machine.needed(case, few=2)(64) == pytest.approx(counted, rel=0.1)  # of so few, one is penalised, not an eighth


def test_a_batch_of_nothing_is_refused(gannet: Command) -> None:
    done = gannet("train", "images", "--data", "bars", "--size", "tiny", "--batch", "0", status=2)
    one_line(done.stderr, "at least one example", "--batch 0")


def test_a_run_of_before_is_of_the_same_data(apart: Path) -> None:
    """Data whose name is not what they were asked by, as a zip's, are recorded as the recipe's own: earlier runs say so."""
    (apart / "mine").mkdir()
    for i in range(20):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)).save(apart / "mine" / f"{i}.png")
    made = run.train("images", size="tiny", data="./mine", steps=2, out="run", skip={"all": "to be quick"})
    assert next(iter(made.record["data"])) == "own/train"
    assert run.train("images", size="tiny", data="./mine", more=1, out="run", skip={"all": "to be quick"}).step == 3
