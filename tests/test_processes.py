"""Two processes at half the batch are one process: gloo, SGD, float32 (Adam would turn rounding noise into a difference)."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import side_by_side
from gannet.errors import Wrong
from gannet.training.engine import Engine

SCRIPT = """
import sys
import torch
from gannet.data import images
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan
from gannet.recipe import constant
from gannet.training import loop
from gannet.training.engine import Engine

data = images.load("bars")

def make(net, lr):
    return torch.optim.SGD(net.parameters(), lr=lr)

engine, weights = Engine(cpu=True), {}
for penalty in ("differences", "exact"):
    torch.manual_seed(0)
    nets = Generator(8, 1, width=8, classes=2), Critic(8, 1, width=8, classes=2)
    objective = gan.Gan(*nets, classes=2, rate=0.05, make=make, penalty=penalty)
    for net in nets:  # zero layers would hide differences
        for parameter in net.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    loop.fit(objective, data, engine, batch=16, steps=20, schedule=constant, seed=0)
    weights |= {f"{penalty}.{n}.{k}": v for n, p in objective.players.items() for k, v in p.net.state_dict().items()}
torch.save({"weights": weights, "world": engine.world}, f"{sys.argv[1]}-{engine.rank}.pt")
"""


def launch(name: str, processes: int, script: str = SCRIPT) -> list[dict]:
    Path("train.py").write_text(script)
    side_by_side(name, processes=processes, script="train.py")
    return [torch.load(f"{name}-{rank}.pt", weights_only=True) for rank in range(processes)]


def test_two_processes_give_the_weights_of_one() -> None:
    one, (first, second) = launch("one", 1)[0], launch("two", 2)
    assert (one["world"], first["world"], second["world"]) == (1, 2, 2)
    assert {name.partition(".")[0] for name in one["weights"]} == {"differences", "exact"}
    for name, tensor in one["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name]), name
        assert torch.allclose(first["weights"][name], tensor, rtol=0, atol=1e-5), name


PLAYED = """
import sys
import torch
from gannet.data import play
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PQN
from gannet.recipe import constant
from gannet.training import loop
from gannet.training.engine import Engine

engine, weights = Engine(cpu=True), {}

def make(net, lr):
    return torch.optim.SGD(net.parameters(), lr=lr)

def again(net, game, **named):
    return PQN(net, game, remember=96, recall=2, **named)

numbers, frames, once = ("CartPole-v1", "dense"), ("gannet.data.games:Screen", "small"), ("ALE/Pong-v5", "shallow")
for maker, (name, encoder) in (PPO, numbers), (PPO, frames), (again, numbers), (again, frames), (again, once):
    torch.manual_seed(0)
    game = play.load(name, environments=4, steps=8, epochs=2, minibatches=2, restart=2)
    # Of a game's hardly varying frames a net makes much of rounding: which action is best, and how far a step goes.
    words = {"rate": 0.05} if encoder != "shallow" else {"rate": 0.002, "last": 1.0}
    objective = maker(Agent(game.seen, game.actions, None, encoder, 8), game, **words)
    objective.players["agent"].make = make
    engine.prepare(objective)
    loop.fit(objective, game, engine, batch=32, steps=5, schedule=constant, seed=0)
    of = objective.net.state_dict() | {"past": objective.past.did_RE.float(), "lately": objective.lately_K2.sum(0)}
    weights |= {f"{maker.__name__}.{name}.{key}": tensor for key, tensor in of.items()}
torch.save({"weights": weights, "world": engine.world}, f"{sys.argv[1]}-{engine.rank}.pt")
"""


def test_two_processes_play_what_one_would() -> None:
    pytest.importorskip("ale_py")
    one, (first, second) = launch("one", 1, script=PLAYED)[0], launch("two", 2, script=PLAYED)
    assert (one["world"], first["world"], second["world"]) == (1, 2, 2)
    for name, tensor in one["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name]), name
        assert torch.allclose(first["weights"][name], tensor, rtol=1e-5, atol=1e-5), name


def on_two(*words: str) -> tuple[str, str]:
    """What `gannet train WORDS` prints on two processes: the first's stdout and stderr, the second's nothing."""
    first, second = side_by_side("train", *words, processes=2)
    assert "2 processes" in first[1] and second == ("", "")
    return first


def test_torchrun_runs_the_command_on_two_processes_and_it_says_so() -> None:
    settings = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    words = ["gannet", "train", "digits", "--size", "tiny", "--data", "bars", "--steps", "20"]
    done = subprocess.run([*torchrun, *words], env=settings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 processes" in done.stderr, done.stderr
    assert sorted(path.name for path in Path("runs").iterdir()) == ["digits-1"]  # one run, not one each
    assert done.stdout.split() == ["runs/digits-1"]


def test_two_processes_train_for_as_many_minutes() -> None:
    assert on_two("digits", "--size", "tiny", "--data", "bars", "--minutes", "0.05")[0].split() == ["runs/digits-1"]
    assert sorted(path.name for path in Path("runs").iterdir()) == ["digits-1"]


def test_an_agent_that_remembers_passes_preflight_on_two_processes() -> None:
    pytest.importorskip("gymnasium")
    on_two("play", "--size", "tiny", "--method", "replay", "--steps", "2", "--out", "run")


def test_a_recipe_with_augmentation_runs_on_two_processes_and_resumes() -> None:
    words = ("images", "--size", "tiny", "--data", "digits8", "--steps", "4", "--out", "run")
    on_two(*words)
    assert "going on at step 4 of 6" in on_two(*words, "--more", "2")[1]


def test_more_processes_than_accelerators_are_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(Wrong, match=r"2 processes, 1 of them.*nproc_per_node"):
        Engine()
    assert Engine(cpu=True).device == torch.device("cpu")  # which is no accelerator's business


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
def test_a_card_gives_the_same_bits_and_full_floats_and_one_may_work_beside_it() -> None:
    engine, beside = Engine(), Engine(cpu=True)
    assert engine.device == torch.device("cuda:0") and beside.device == torch.device("cpu")
    layer = torch.nn.Conv2d(32, 32, 3, padding=1).to(engine.device)
    x = torch.randn(64, 32, 28, 28, device=engine.device)
    slopes = [torch.autograd.grad(layer(x).square().sum(), layer.weight)[0] for _ in range(5)]
    assert all(torch.equal(slope, slopes[0]) for slope in slopes)
    exact = copy.deepcopy(layer).double()(x.double())
    assert (layer(x) - exact).norm() / exact.norm() < 1e-6
