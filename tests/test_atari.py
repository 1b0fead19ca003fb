"""Atari from pixels, the whole path at tiny, and what a game that nobody knows is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from conftest import Command, one_line
from gannet import folders, preflight, recipe, run
from gannet.data import play
from gannet.data.play import Rollout, taken
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO, Samples
from gannet.objectives.pqn import PQN
from gannet.objectives.reinforce import Reinforce
from gannet.preflight import machine, nets
from gannet.preflight.case import restoring
from gannet.rng import Rng

pytest.importorskip("ale_py")
NONE = {"all": "to be quick"}


def test_a_game_is_learnt_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    made = run.train("atari", size="tiny", game="breakout", steps=2, out=tmp_path / "run", skip=NONE)
    made = run.train("atari", size="tiny", game="breakout", more=1, out=tmp_path / "run", skip=NONE)
    facts = next(iter(json.loads((tmp_path / "run" / "recipe.json").read_text())["data"].values()))
    assert facts["name"] == "ALE/Breakout-v5" and facts["opened"]["sticky"] == 0.25 and facts["frames"] == 4
    assert sorted((tmp_path / "run" / "resume").iterdir()) == folders.checkpoints(tmp_path / "run")  # and no good.pt
    seen = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    one, two = (loaded.objective.decide(seen) for loaded in (made, run.load(tmp_path / "run")))
    assert torch.equal(one.p_EA, two.p_EA) and torch.equal(one.value_E, two.value_E)


def test_the_dumb_baseline_is_karpathys() -> None:
    card, asked = recipe.find("atari"), {"size": "tiny", "method": "reinforce"}
    words = (asked, asked | {"game": "breakout", "lives": True})
    made, beside = (recipe.build(card, recipe.resolve(card, one)) for one in words)
    assert isinstance(made.objective, Reinforce) and made.objective.moving and made.objective.points
    assert made.data.epochs == 1 and not made.data.lives and made.data.steps == 256  # long enough for a point
    assert not beside.objective.points and beside.data.lives  # a brick is no end
    with restoring():
        told = nets.moved(preflight.Case(made))
    assert told.verdict == "info" and "known to its end" in told.measured  # no point in so few steps, and no fault of the net


def test_a_q_network_remembers_games() -> None:
    card, asked = recipe.find("atari"), {"method": "replay"}
    made, own, beside = (
        recipe.build(card, recipe.resolve(card, asked | words))
        for words in ({"size": "tiny"}, {"encoder": "small", "environments": 8, "rate": 1e-3}, {"method": "ppo"})
    )
    assert isinstance(made.objective, PQN) and made.objective.memory is not None
    assert (made.objective.remember, made.objective.memory.rollouts, made.data.steps) == (1024, 8, 32)
    assert len(made.objective.turns(0.0)) == 4 * 2 * 2  # each recalled rollout twice, in two parts
    assert own.objective.memory.rollouts == 204_800 // (8 * 32) and own.objective.players["agent"].rate == 1e-3
    apart = [run._apart(1000, one.objective) for one in (own, made, beside)]  # checkpoints of gigabytes are few
    assert apart == [200, 50, 50]
    assert "parts" not in vars(own.objective.memory)  # 1.6 GB, not before they are wanted
    assert isinstance(beside.objective, PPO)
    case = preflight.Case(own)
    assert 1.62e9 < sum(tensor.nbytes for tensor in case.kept) < 1.65e9 and case.copy().memory.rollouts == 4  # what is tried
    assert "parts" not in vars(own.objective.memory)  # counted and copied, and still not made
    with restoring():
        assert machine.memory(case).verdict == machine.disk(case).verdict == "pass"


def test_an_unknown_game_is_told_in_a_line(gannet: Command) -> None:
    one_line(gannet("train", "atari", "--size", "tiny", "--game", "pnog", status=2).stderr, "no environment", "ALE/Pong-v5")
    said = gannet("train", "atari", "--size", "tiny", "--data", "CartPole-v1", status=2).stderr
    one_line(said, "sees frames", "dense")


def test_rows_are_taken_as_indexing_would() -> None:
    samples = Samples(*(torch.randn(6, 3, *shape) for shape in [(2, 2), (), (), (), (), ()]))
    order_SE = torch.stack([torch.randperm(6)[:2] for _ in range(3)], 1)
    for got, part in zip(taken(samples, order_SE), samples, strict=True):
        assert torch.equal(got, part[order_SE, torch.arange(3)].flatten(0, 1))


def test_packed_frames_lead_to_the_same_loss() -> None:
    game = play.load("ALE/Pong-v5", environments=2, steps=4, epochs=1, minibatches=1)
    goal = PPO(Agent(game.seen, game.actions, encoder="small", width=32), game, rewards="sign")
    seen = torch.randint(0, 256, (5, 2, *game.seen), dtype=torch.uint8)
    flags = [torch.zeros(4, 2, dtype=torch.bool), torch.zeros(4, 2, dtype=torch.bool), torch.ones(4, 2, dtype=torch.bool)]
    acted = [goal.act(seen_E, Rng(0, 0, str(t))) for t, seen_E in enumerate(seen[:-1])]
    kept = {name: torch.stack([one[1][name] for one in acted]) for name in ("log_p", "value")}
    rollout = Rollout(seen, torch.stack([one[0] for one in acted]), kept, torch.randn(4, 2), *flags)
    samples = goal.prepare(rollout, Rng(0, 0, "agent"))
    assert samples.seen.dtype == torch.uint8 and samples.seen.shape[:2] == (4, 2)
    plain = samples._replace(seen=seen[:-1])
    losses = [goal.loss("agent", Samples(*(p.flatten(0, 1) for p in one)), Rng(0, 0, "agent")) for one in (samples, plain)]
    torch.testing.assert_close(losses[0][0], losses[1][0])
    assert float(losses[0][2]["kl"]) == pytest.approx(0, abs=1e-6)  # the policy that learns is still the one that played
