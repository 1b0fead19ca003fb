"""Collapse, targets and trends: told from scores alone, and what a run does about them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from conftest import Command, one_line
from gannet import folders, run
from gannet.errors import Wrong
from gannet.training import guard

#: A recipe whose generator dies at step 60 of its first attempt (`again`: of every attempt).
DYING = """
import torch
from gannet import recipe
from gannet.recipe import Recipe

def dying(again: bool = False, seed: int = 0) -> Recipe:
    card = recipe.find("digits")
    made = recipe.build(card, recipe.resolve(card, {"size": "tiny", "data": "digits8", "classes": False}))
    objective, plain = made.objective, made.objective.loss

    def loss(player, batch, rng):
        if player == "critic" and rng.step >= 520 and (again or rng.seed == seed):
            with torch.no_grad():
                for net in (objective.generator, *objective.averages.values()):
                    for parameter in net.parameters():
                        parameter.zero_()
        return plain(player, batch, rng)

    objective.loss = loss
    return made
"""


@pytest.mark.parametrize(
    ("text", "name", "below"), [("fid<20", "fid", 20), (" fid_2k < 0.5", "fid_2k", 0.5), ("kl<1e-2", "kl", 0.01)]
)
def test_a_target_is_read(text: str, name: str, below: float) -> None:
    assert guard.target(text) == guard.Target(name, below)


@pytest.mark.parametrize("text", ["fid", "fid>20", "<3", "fid<", "fid<x", "fid<1.2.3", "fid<nan", "fid<1e999", ""])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(Wrong, match="--until wants a score and a number"):
        guard.target(text)


def test_a_target_is_met_by_its_name_or_its_beginning() -> None:
    assert guard.Target("fid", 1).met({"fid_2k": 0.5})
    assert not guard.Target("fid", 1).met({"fid_2k": 1.0})
    with pytest.raises(Wrong, match="no score of this run has this name"):
        guard.Target("kid", 1).met({"fid_2k": 0.5})


def test_collapses_are_told_and_not_remembered() -> None:
    watch = guard.Guard([{"fid_2k": 30.0, "variety": 0.05}, {"fid_2k": 2.0, "variety": 0.8}])
    assert watch.look({"fid_2k": 5.9, "variety": 0.5}) is None  # worse is no collapse
    assert "more than 10 times its best, 2" in str(watch.look({"fid_2k": 20.1, "variety": 0.9}))
    assert "varies 2.0% as much as the data; it had been 80%" in str(watch.look({"fid_2k": 6.0, "variety": 0.02}))
    assert "is nan" in str(watch.look({"fid_2k": math.nan}))
    assert watch.look({"fid_2k": 1.0, "variety": 0.9}) is None
    assert watch.best == 1.0


def test_a_run_that_begins_without_variety_has_not_collapsed() -> None:
    assert guard.Guard().look({"fid_2k": 80.0, "variety": 0.001}) is None


def test_a_power_of_the_examples_is_told_exactly() -> None:
    points = [(1000 * i, 50 / (1000 * i) ** 0.5) for i in range(1, 17)]
    said = guard.trend(points, "fid_2k")
    assert said.startswith("fid_2k falls by 29% with each doubling")  # 1 - 2^-0.5
    assert said.endswith(f"may bring {50 / 32000**0.5:.3g}")


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (0.0, "the score no longer falls: the same for longer will hardly be better"),
        (0.3, "the score swings too much to say whether longer would be better"),
    ],
)
def test_a_score_without_a_slope_is_level_or_swings(noise: float, said: str) -> None:
    points = [(1000 * i, math.exp(noise * (-1) ** i)) for i in range(1, 17)]
    assert guard.trend(points) == said


def test_too_few_scores() -> None:
    assert "too few scores" in guard.trend([(1000, 2.0), (2000, 1.0)])
    assert "too few scores" in guard.trend([])


def test_a_collapse_is_undone_once(gannet: Command) -> None:
    Path("dying.py").write_text(DYING)
    words = ("train", "./dying.py", "--steps", "1000", "--skip", "all=a planted fault", "--out", "run")
    done = gannet(*words)
    assert "collapsed at step 626 of 1000" in done.stderr
    assert "going on from step 313 with other random numbers, half the rate" in done.stderr
    record = folders.read_record(Path("run"))
    (setback,) = record["setbacks"]
    assert (setback["at"], setback["to"]) == (626, 313)
    assert "collapsed at step 626" in Path("run/README.md").read_text()
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "rate" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == 1000
    after = [line["rate"] for line in lines if "rate" in line and line["step"] > 313]
    before = [line["rate"] for line in lines if "rate" in line and line["step"] <= 313]
    assert max(after) <= 0.51 * max(before)
    assert run.load("run", trust=True).sample(2).std() > 5


def test_a_second_collapse_stops_and_the_same_command_says_so_again(gannet: Command) -> None:
    Path("dying.py").write_text(DYING)
    words = ("train", "./dying.py", "--again", "--steps", "1600", "--skip", "all=a planted fault", "--out", "run")
    for _ in range(2):
        stopped = gannet(*words, status=1)
        assert "has collapsed again at step 626 of 1600" in stopped.stderr.splitlines()[-1]
        assert "the best weights are kept" in stopped.stderr.splitlines()[-1]
    assert run.load("run", weights="best", trust=True).sample(2).std() > 5


def test_until(gannet: Command) -> None:
    words = ("train", "digits", "--size", "tiny", "--data", "digits8", "--steps", "2000", "--until", "fid<1e9", "--out", "run")
    done = gannet(*words)
    assert "fid<1e9 at step 313 of 2000" in done.stderr
    record = folders.read_record(Path("run"))
    assert (record["steps"], record["asked_for"], record["examples"]) == (313, 2000, 313 * 16)
    assert "is finished (313 steps)" in gannet(*words).stderr
    longer = gannet(*words[:-4], "--out", "run", "--more", "20")  # the goal was the shorter run's
    assert "fid<1e9" not in longer.stderr and folders.read_record(Path("run"))["steps"] == 333
    assert "until" not in folders.read_record(Path("run"))
    assert "is finished (333 steps)" in gannet(*words).stderr  # what it began as is what it began as
    again = (*words[:-4], "--until", "fid<1e8", "--out", "run", "--more")
    assert "fid<1e8 at step" in gannet(*again, "2000").stderr
    one_line(gannet("train", "digits", "--size", "tiny", "--out", "run", "--more", "3", status=2).stderr, "data")
    one_line(
        gannet(*words[:-4], "--until", "kid<1", "--out", "other", status=1).stderr.splitlines()[-1] + "\n", "kid<1", "fid_2k"
    )
    one_line(gannet(*words[:-4], "--until", "fid", "--out", "third", status=2).stderr, "--until wants a score")
