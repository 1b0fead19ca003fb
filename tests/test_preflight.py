"""Preflight: healthy recipes pass, planted bugs fail exactly the checks that they must, and nothing is changed by looking."""

from __future__ import annotations

import contextlib
import importlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gannet
from bugs import healthy
from bugs.gallery import GALLERY, Bug, planted
from conftest import Command, one_line
from gannet import Recipe, preflight
from gannet.data import images
from gannet.objectives import gan
from gannet.preflight import nets, plain, report
from gannet.run import look_over

TINY = {"size": "tiny", "data": "digits8"}
BASES = [
    "digits",
    "dcgan",
    "images",
    "r3gan",
    "stacked",
    "tutorial",
    "classify",
    "detect",
    "write",
    "play",
    "classifier",
    *healthy.CONTESTS,
    *healthy.PATHS,
]
#: Warnings that are true of healthy recipes: batch normalisation takes a bias away again, and drawn bars repeat themselves.
KNOWN = {"classifier": {"moved"}, "classify": {"moved"}, "detect": {"moved"}, "faces": {"moved"}, "bars": {"repeated-items"}}
MACHINE = {"waiting", "length"}  # warnings that another load on the machine can bring


def verdicts(rows: list[preflight.Row], verdict: str) -> set[str]:
    return {row.name for row in rows if row.verdict == verdict}


@pytest.mark.parametrize("bug", GALLERY, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_planted_bug_fails_the_checks_that_it_must_and_no_others(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = preflight.fly(planted(bug, monkeypatch), full=True)
    assert verdicts(rows, "fail") == set(bug.fails), preflight.failed(rows)
    wanted = set(bug.warns) | KNOWN.get(bug.base, set()) | KNOWN.get(bug.data, set())
    assert wanted <= verdicts(rows, "warn") <= wanted | MACHINE


def test_two_checks_look_at_one_course_which_is_a_plain_loop() -> None:
    case = preflight.Case(healthy.build("classifier"))
    (name,) = case.players()
    objective, batch = case.copy(), case.batch(name, 8)
    plainly = torch.optim.Adam(objective.players[name].net.parameters(), lr=1e-3)
    naive = [case.turn(objective, name, batch, optimizer=plainly)[0] for _ in range(12)]
    course = nets.seeing(case, name)
    assert course.upto(7) == naive[:7] and course.upto(12) == naive and course.upto(3) == naive[:3]
    assert nets.seeing(case, name) is course and len(course.losses) == 12
    half = course.upto(200, share=0.5)
    assert half[-1] <= 0.5 * naive[0] and course.right[len(half) - 1] and half == course.losses[: len(half)]
    assert not any(loss <= 0.5 * naive[0] and right for loss, right in zip(half[:-1], course.right, strict=False))


def test_what_drops_out_does_not_depend_on_who_asks() -> None:
    def course() -> nets.ByHeart:
        made = healthy.build("classifier")
        made.objective.players["classifier"].net.name = nn.Sequential(
            nn.Dropout(0.5), made.objective.players["classifier"].net.name
        )
        return nets.ByHeart(preflight.Case(made), "classifier")

    straight, broken = course(), course()
    first = broken.upto(2)
    torch.manual_seed(7)
    assert [*first, *broken.upto(4)[2:]] == straight.upto(4) and torch.initial_seed() == 7


def test_drawing_again_ends_where_it_is_learnt() -> None:
    case = preflight.Case(healthy.build("digits"))
    whole = nets.redraw(case, case.copy().generator, 150)
    short = nets.redraw(case, case.copy().generator, 150, share=0.3)
    assert short == whole[: len(short)] and len(short) < 150 and short[-1] <= 0.3 * short[0] < short[-2]


def test_every_check_is_caught_at_work() -> None:
    """And the gallery is no heap of bugs for the easy ones."""
    caught = {name for bug in GALLERY for name in (*bug.fails, *bug.warns)} | {"fresh-process"}  # its test is below
    assert {check.name for check in preflight.CHECKS} == caught
    made_for = Counter(((bug.fails or bug.warns)[0], bug.base) for bug in GALLERY)  # a check may be seen at work in each arm
    assert len(GALLERY) >= 30 and max(made_for.values()) <= 2, made_for


@pytest.mark.parametrize("name", BASES)
def test_healthy_recipes_pass_and_are_left_as_they_were(name: str) -> None:
    made = healthy.build(name)
    before = {n: {k: v.clone() for k, v in p.net.state_dict().items()} for n, p in made.objective.players.items()}
    state = {k: v.clone() for k, v in made.objective.state().items()}
    modes = {n: [m.training for m in p.net.modules()] for n, p in made.objective.players.items()}
    rows = preflight.fly(preflight.Case(made, again=lambda size: healthy.build(name, size=size)), full=True)
    assert not preflight.failed(rows), preflight.failed(rows)
    assert verdicts(rows, "warn") - MACHINE == KNOWN.get(name, set())
    assert sum(row.seconds for row in rows) < 60  # bench/preflight.py has the real figures
    for player, tensors in before.items():
        net = made.objective.players[player].net
        assert all(torch.equal(net.state_dict()[key], value) for key, value in tensors.items())
        assert modes[player] == [m.training for m in net.modules()]
        assert all(p.grad is None and p.requires_grad for p in net.parameters())
        assert not net._forward_hooks and not net._forward_pre_hooks
        assert "optimizer" not in vars(made.objective.players[player])
    assert all(torch.equal(value, made.objective.state()[key]) for key, value in state.items())


def test_what_a_folder_forgets_is_found(gannet: Command, apart: Path) -> None:
    (apart / "forgetful.py").write_text((Path(__file__).parent / "bugs" / "forgetful.py").read_text())
    done = gannet("preflight", "./forgetful.py", "--json", status=1)
    checks = json.loads(done.stdout)["checks"]
    assert [check["name"] for check in checks if check["verdict"] == "fail"] == ["fresh-process"]
    one_line(done.stderr, "fresh-process failed", "weights or settings that the folder does not hold", "--skip")


def test_the_bug_of_the_readme_is_stopped_before_it_trains(gannet: Command, apart: Path) -> None:
    (apart / "mixed.py").write_text((Path(__file__).parent / "bugs" / "mixed.py").read_text())
    stopped = gannet("train", "./mixed.py", "--size", "tiny", "--data", "digits8", "--steps", "2", status=1)
    one_line(
        stopped.stderr,
        "dependencies failed",
        "a reshape, a normalisation",
        "gannet preflight ./mixed.py --size tiny --data digits8",
    )
    assert not (apart / "runs").exists()


def test_the_page_says_what_the_code_does() -> None:
    root = Path(__file__).parent.parent
    page = (root / "docs" / "preflight.md").read_text(encoding="utf-8")
    sys.path.insert(0, str(root / "bench"))
    try:
        bench = importlib.import_module("preflight")
    finally:
        sys.path.remove(str(root / "bench"))
    assert bench.written(page) == page, "python bench/preflight.py --docs"


def test_a_run_with_preflight_is_the_run_without() -> None:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    with_it = gannet.train("digits", steps=3, out="with", **TINY)
    drawn = torch.rand(3), random.random(), np.random.rand()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    without = gannet.train("digits", steps=3, out="without", skip={"all": "to compare"}, **TINY)
    assert torch.equal(drawn[0], torch.rand(3)) and drawn[1:] == (random.random(), np.random.rand())
    for kind in ("generator", "critic"):
        for one, two in zip(with_it.nets[kind].parameters(), without.nets[kind].parameters(), strict=True):
            assert torch.equal(one, two)
    assert (Path("with") / "resume").is_dir()
    one, two = (sorted((Path(name) / "resume").iterdir())[-1] for name in ("with", "without"))
    states = [torch.load(path, weights_only=True) for path in (one, two)]
    assert str(states[0]["optimizers"]) == str(states[1]["optimizers"])


RISING = """
from gannet import Recipe
from gannet.data import images
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan

def mine(gamma: float = 0.0) -> Recipe:
    train = images.load("digits8").without_classes()
    objective = gan.Gan(Generator(8, 1, width=8), Critic(8, 1, width=8), gamma=gamma, rate=3e-3)
    return Recipe(train, objective, batch=16, examples=3_200)
"""


def test_a_failure_stops_before_there_is_a_run_and_a_reason_goes_on(gannet: Command, apart: Path) -> None:
    (apart / "mine.py").write_text(RISING)
    stopped = gannet("train", "./mine.py", "--steps", "2", "--out", "run", status=1)
    one_line(stopped.stderr, "penalty failed", "expected 0.000001 to 10", "--skip 'penalty=why'")
    assert not (apart / "run").exists()
    gannet(
        "train", "./mine.py", "--steps", "2", "--out", "run", "--skip", "penalty=the point of this run", "--skip", "leak=none"
    )
    record = json.loads((apart / "run" / "preflight.json").read_text())
    skipped = {check["name"]: check["reason"] for check in record["checks"] if check["verdict"] == "skipped"}
    assert skipped["penalty"] == "the point of this run"
    assert "penalty: the point of this run" in (apart / "run" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--skip", "penalty"], ["for a reason", "penalty"]),
        (["--skip", "penalty="], ["for a reason", "penalty"]),
        (["--skip", "pennalty=x"], ["no check has this name", "pennalty"]),
    ],
)
def test_bad_skips(words: list[str], parts: list[str], gannet: Command) -> None:
    one_line(gannet("train", "digits", "--size", "tiny", "--data", "digits8", *words, status=2).stderr, *parts)
    one_line(gannet("preflight", "digits", "--size", "tiny", "--data", "digits8", *words, status=2).stderr, *parts)


def test_the_command_prints_a_table_and_keeps_it(gannet: Command, apart: Path) -> None:
    done = gannet("preflight", "digits", "--size", "tiny", "--data", "digits8", "--classes", "--out", "looked")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["check", "verdict", "measured", "expected", "seconds"]
    others = {"augmentation", "boxes", "boxes-fit", "causality", "foretelling", "repeated-texts", "leaked-text"}
    others |= {"behind-the-end", "opponent-apart"}
    others |= {"repeats", "random-baseline", "observations", "frame-order", "first-ratio", "targets", "known-values"}
    names = {check.name for check in preflight.CHECKS} - others  # this recipe has neither boxes nor texts
    assert names <= {line.split()[0] for line in lines if line}
    record = json.loads((apart / "looked" / "preflight.json").read_text())
    assert record["counts"]["fail"] == 0 and {check["name"] for check in record["checks"]} == names
    from PIL import Image

    with Image.open(apart / "looked" / "fed.png") as picture:
        assert picture.size[0] >= 16 * 8


def test_from_python() -> None:
    rows = look_over("tutorial", skip={"fresh-process": "slow"}, **TINY)
    assert not preflight.failed(rows)
    assert verdicts(rows, "skipped") == {"fresh-process"}


class Unlabelled:
    """Numbers, no pictures, no labels, no evaluation: the least that a data set may be."""

    def batch(self, n: int, rng: Any) -> tuple[torch.Tensor, ...]:
        return images.Batch(rng.normal(n, 6), torch.zeros(n, dtype=torch.int64))

    def facts(self) -> dict[str, Any]:
        return {"name": "numbers", "split": "train", "items": 1}


class Drawn(nn.Module):
    """Noise to numbers, with dropout and a second argument."""

    noise = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 6))

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return self.layers(z)


class Judged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return self.layers(x)[:, 0]


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_no_false_alarm_on_a_small_recipe_of_ones_own(batch: int) -> None:
    objective = gan.Gan(Drawn(), Judged(), contest=gan.hinge, penalty="exact", rate=1e-3)
    rows = preflight.fly(preflight.Case(Recipe(Unlabelled(), objective, batch=batch, examples=100_000)), full=True)
    assert not preflight.failed(rows), preflight.failed(rows)


def test_a_check_of_ones_own_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.case, "CHECKS", [])
    monkeypatch.setattr(preflight.report, "CHECKS", preflight.case.CHECKS)

    @preflight.check(fast=True)
    def batch_is_even(case: preflight.Case) -> preflight.Finding:
        """Batches are even."""
        return preflight.found(case.made.batch % 2 == 1, f"{case.made.batch}", "an odd number", "somebody likes even ones")

    @preflight.check(fast=True)
    def breaks(case: preflight.Case) -> preflight.Finding:
        """It cannot be carried out."""
        raise ValueError("no\nway")

    even, broken = preflight.fly(preflight.Case(healthy.build("digits")))
    assert (even.name, even.verdict, even.measured) == ("batch-is-even", "fail", "16")
    assert (broken.verdict, broken.measured) == ("fail", "ValueError: no way")


@pytest.mark.parametrize("data", ["bars", "digits8"])
def test_no_false_alarm_where_classes_are_learnt(data: str) -> None:
    for seed in range(3):
        case = preflight.Case(healthy.build("digits", data=data, seed=seed, classes=True))
        rows = preflight.fly(case, full=seed == 0)
        assert not preflight.failed(rows), preflight.failed(rows)


# The public functions on nets of anybody's


class Causal(nn.Module):
    """Each place is a sum over the places up to it, or over one more."""

    def __init__(self, ahead: int = 0):
        super().__init__()
        self.embed, self.judge, self.ahead = nn.Embedding(11, 6), nn.Linear(6, 11), ahead

    def forward(self, x_NT: torch.Tensor) -> torch.Tensor:
        x = self.embed(x_NT) if not x_NT.is_floating_point() else x_NT
        mask = torch.ones(x.shape[1], x.shape[1]).tril(self.ahead)
        return self.judge(torch.einsum("st,ntc->nsc", mask, x))


@pytest.mark.parametrize("floats", [False, True])
def test_causality(floats: bool) -> None:
    x = torch.randn(3, 7, 6) if floats else torch.randint(11, (3, 7))
    assert preflight.check_causality(Causal(), x).verdict == "pass"
    finding = preflight.check_causality(Causal(ahead=1), x)
    assert finding.verdict == "fail" and "off by one" in finding.cause


class Listed(nn.Module):
    """Layers in a list that torch does not look into."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(5, 5)]


class Awkward(nn.Module):
    """In place at once, a tuple out, a number per example as a second input, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer = nn.ReLU(inplace=True), nn.Linear(5, 3).double()

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, int]:
        return self.layer(self.first(x)) * t[:, None], 7


class Named(nn.Module):
    """Noise that counts little and a class that counts much, within a tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.noise, self.name = nn.Linear(4, 5), nn.Embedding(3, 5)

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.tanh(0.1 * self.noise(z) + 0.3 * self.name(y))


def test_classes_are_not_taken_for_the_bound_of_a_generator() -> None:
    torch.manual_seed(0)
    given = torch.randn(60, 4), torch.arange(60) % 3
    assert preflight.check_range(torch.rand(60, 5) * 2 - 1, Named(), *given).verdict == "pass"
    assert preflight.check_range(torch.rand(60, 5), Named(), *given).verdict == "fail"


def test_awkward_nets_are_looked_at_all_the_same() -> None:
    x, t = torch.randn(8, 5, dtype=torch.float64), torch.rand(8, dtype=torch.float64)
    kept = x.clone()
    with torch.no_grad():
        findings = [check(Awkward(), x, t) for check in (preflight.check_dependencies, preflight.check_inputs_used)]
        findings += [preflight.check_logits(Awkward(), x, t), preflight.check_units(Awkward(), x, t)]
        findings += [preflight.check_causality(Causal(), torch.randint(11, (3, 2)))]
    assert [finding.verdict for finding in findings] == ["pass"] * 5
    assert torch.equal(x, kept)
    with pytest.raises(gannet.Wrong, match="no input is floating point"):
        preflight.check_dependencies(nn.Embedding(4, 2), torch.arange(4))


def test_plain_nets_and_tensors() -> None:
    net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))
    x, y, many = torch.randn(8, 5), torch.arange(8) % 3, torch.arange(90.0) % 3
    before = [p.clone() for p in net.parameters()]
    good = [
        gannet.preflight.check_dependencies(net, x),
        gannet.preflight.check_inputs_used(net, x),
        gannet.preflight.check_logits(net, x),
        gannet.preflight.check_units(net, x),
        gannet.preflight.check_inputs(x),
        gannet.preflight.check_initial_loss(nn.functional.cross_entropy(net(x), y).item(), float(np.log(3))),
        gannet.preflight.check_overfit(net, lambda n: nn.functional.cross_entropy(n(x), y), rate=1e-2),
        gannet.preflight.check_parameters({"net": net}, {"net": torch.optim.Adam(net.parameters())}),
        gannet.preflight.check_schedule(lambda progress, examples: 1 - progress, 1000),
        gannet.preflight.check_shared_items(torch.randn(50, 4), torch.randn(20, 4)),
        gannet.preflight.check_labels(many[:, None].repeat(1, 4), many.long(), many[:, None].repeat(1, 4), many.long()),
        gannet.preflight.check_range(torch.rand(9, 5) * 2 - 1, nn.Sequential(nn.Linear(4, 5), nn.Tanh()), torch.randn(9, 4)),
    ]
    assert [finding.verdict for finding in good] == ["pass"] * len(good)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    frozen = nn.Sequential(nn.Linear(5, 3), nn.Flatten(0), nn.Unflatten(0, (3, 8)))  # 8 examples of 3 come out as 3 of 8
    bad = [
        gannet.preflight.check_dependencies(nn.Sequential(frozen, nn.Linear(8, 8), nn.Flatten(0), nn.Unflatten(0, (8, 3))), x),
        gannet.preflight.check_inputs(torch.full((4, 4), float("nan"))),
        gannet.preflight.check_inputs(torch.randint(256, (4, 4)).float()),
        gannet.preflight.check_overfit(net, lambda n: (n(x) * 0).sum() + 1),
        gannet.preflight.check_shared_items(torch.arange(40.0)[:, None], torch.arange(5.0)[:, None]),
        gannet.preflight.check_range(torch.rand(9, 5), nn.Sequential(nn.Linear(4, 5), nn.Tanh()), torch.randn(9, 4)),
        gannet.preflight.check_units(nn.Sequential(nn.Linear(5, 4), nn.Sigmoid()), x * 1e4),
        gannet.preflight.check_parameters({"net": Listed()}, {"net": torch.optim.Adam(net.parameters())}),
        gannet.preflight.check_logits(nn.Sequential(nn.Linear(5, 3), nn.Tanh()), x),
    ]
    assert [finding.verdict for finding in bad] == ["fail"] * len(bad)
    assert all(finding.cause for finding in bad)


def test_nothing_more_is_asked_of_a_card_that_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(check: Any, case: preflight.Case) -> report.Row:
        words = "AcceleratorError: CUDA error: device-side assert triggered"
        return report.Row(check.name, "fail", words, "a step that can be taken", "a class number out of range", 0.0, "")

    @contextlib.contextmanager
    def put_back() -> Iterator[None]:
        yield
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(report, "look", broken)
    monkeypatch.setattr(report, "restoring", put_back)
    rows = preflight.fly(preflight.Case(healthy.classifier()))
    assert [row.verdict for row in rows] == ["fail", "skipped"] and "gave up" in rows[1].reason


def test_a_recurrent_net_of_anybody_s_is_looked_at_without_its_dropout() -> None:
    class Told(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.run = nn.LSTM(4, 8, num_layers=2, dropout=0.5, batch_first=True)

        def forward(self, x_NTC: torch.Tensor) -> torch.Tensor:
            return self.run(x_NTC)[0]

    net, x = Told(), torch.randn(4, 6, 4)
    twin = plain.worked_on(net)
    assert torch.equal(twin(x), twin(x)) and twin.run.training and net.run.dropout == 0.5
    assert plain.worked_on(net, train=True).run.dropout == 0.5
    assert preflight.check_causality(net, x).verdict == "pass"
