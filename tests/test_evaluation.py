"""Scores against naive twins and known cases; the shipped net against its record; the verb from the command line."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from conftest import Command, one_line
from gannet import recipe, run
from gannet.data.images import Images, Shaken, load
from gannet.errors import Wrong
from gannet.evaluation import features, sets
from gannet.evaluation import images as evaluation
from gannet.evaluation.images import Pictures
from gannet.nets.images import Classifier
from gannet.objectives import follow
from gannet.objectives.classify import Classify
from gannet.rng import Rng
from gannet.training import log, loop
from gannet.training.engine import Engine


def vectors(n: int, d: int = 5, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(7))
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) @ mix + shift


def test_frechet_against_the_formula_as_written() -> None:
    a, b = sets.Gaussian.of(vectors(50)), sets.Gaussian.of(vectors(60, seed=1, shift=0.5))
    root = scipy.linalg.sqrtm(a.covariance_DD @ b.covariance_DD).real
    naive = ((a.mean_D - b.mean_D) ** 2).sum() + np.trace(a.covariance_DD + b.covariance_DD - 2 * root)
    assert sets.frechet(a, b) == pytest.approx(naive, rel=1e-9)
    assert sets.frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_of_known_gaussians() -> None:
    one, other = sets.Gaussian(np.zeros(3), np.eye(3)), sets.Gaussian(np.array([1.0, 2.0, 2.0]), 4 * np.eye(3))
    assert sets.frechet(one, other) == pytest.approx(9 + 3 * (2 - 1) ** 2)


def test_frechet_where_a_feature_never_varies() -> None:
    still = torch.cat([vectors(50), torch.zeros(50, 1)], 1)
    assert math.isfinite(sets.frechet(sets.Gaussian.of(still), sets.Gaussian.of(still + 1)))


def test_kernel_distance_against_loops() -> None:
    x, y = vectors(6).double(), vectors(6, seed=1).double()

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / 5 + 1) ** 3)

    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs) / 30
    across = sum(kernel(a, b) for a in x for b in y) / 36
    found = sets.kernel_distances(x.float(), y.float(), subsets=3, size=6)
    assert found == pytest.approx([within - 2 * across] * 3, rel=1e-4)


def test_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    found = sets.kernel_distances(vectors(2000), vectors(2000, seed=1), subsets=50, size=200)
    assert abs(found.mean()) < 0.2 * sets.kernel_distances(vectors(2000), vectors(2000, seed=1, shift=1.0)).mean()


def test_neighbour_scores_against_loops() -> None:
    real, made = vectors(40), vectors(30, seed=1, shift=0.7)

    def reach(points: torch.Tensor, k: int) -> list[float]:
        return [sorted(float((p - q).norm()) for q in points)[k] for p in points]

    def near(p: torch.Tensor, q: torch.Tensor, radius: float) -> bool:
        return float((p - q).norm()) <= radius

    narrow, wide, theirs = reach(real, 3), reach(real, 5), reach(made, 3)
    expected = {
        "precision": np.mean([any(near(m, r, d) for r, d in zip(real, narrow, strict=True)) for m in made]),
        "recall": np.mean([any(near(r, m, d) for m, d in zip(made, theirs, strict=True)) for r in real]),
        "density": np.mean([sum(near(m, r, d) for r, d in zip(real, wide, strict=True)) / 5 for m in made]),
        "coverage": np.mean([any(near(m, r, d) for m in made) for r, d in zip(real, wide, strict=True)]),
    }
    assert 0.05 < expected["precision"] < 0.95
    assert sets.Neighbours(real).scores(made) == pytest.approx(expected)


def test_neighbour_scores_of_one_distribution_and_of_a_collapsed_one() -> None:
    judge = sets.Neighbours(vectors(1000))
    same = judge.scores(vectors(1000, seed=1))
    assert same["density"] == pytest.approx(1, abs=0.1)
    assert same["coverage"] == pytest.approx(1 - 1 / 2**5, abs=0.03)
    collapsed = judge.scores(vectors(1, seed=1).expand(1000, -1) + 1e-3 * vectors(1000, seed=2))
    assert collapsed["recall"] < 0.05
    assert collapsed["coverage"] < 0.05


def test_nearest_is_exact_at_zero() -> None:
    x = 100 + vectors(40, d=700)
    distance, who = sets.nearest(x[:5], x)
    assert distance.tolist() == [0.0] * 5
    assert who.tolist() == [0, 1, 2, 3, 4]


def test_copies_are_found() -> None:
    """Among many more training pictures than test pictures, as with real data sets."""
    generator = torch.Generator().manual_seed(0)
    train, fresh = torch.randint(256, (2, 2000, 1, 8, 8), generator=generator, dtype=torch.uint8)
    test = torch.randint(256, (200, 1, 8, 8), generator=generator, dtype=torch.uint8)
    copied, pairs = evaluation.memorised(train[:100], train, test)
    honest, _ = evaluation.memorised(fresh[:100], train, test)
    assert copied["nearer_to_training"].value == 1
    assert copied["closest_distance"].value == 0
    assert honest["nearer_to_training"].value == pytest.approx(0.5, abs=0.15)
    assert copied["nearer_to_training"].floor == pytest.approx(0.5, abs=0.15)
    assert honest["closest_distance"].value == pytest.approx(honest["closest_distance"].floor, rel=0.1)
    assert all(pair["drawn"] == pair["train"] and pair["distance"] == 0 for pair in pairs)


def test_the_chance_of_lying_nearer_against_loops() -> None:
    generator = torch.Generator().manual_seed(1)
    train, test, drawn = (torch.randint(4, (n, 1, 8, 8), generator=generator, dtype=torch.uint8) for n in (30, 20, 10))

    def nearest(x: torch.Tensor) -> float:
        return min(float(((x.float() - other.float()) / 255).norm()) for other in train)

    pairs = [(nearest(d), nearest(t)) for d in drawn for t in test]
    naive = np.mean([1.0 if d < t - 1e-6 else 0.5 if abs(d - t) <= 1e-6 else 0.0 for d, t in pairs])
    assert evaluation.memorised(drawn, train, test)[0]["nearer_to_training"].value == pytest.approx(naive, abs=0.02)


def test_the_shipped_net_is_the_recorded_one() -> None:
    record = json.loads(features.DIGIT_NET.with_suffix(".json").read_text())
    assert features.digits().sha256 == record["sha256"]
    assert record["bytes"] == features.DIGIT_NET.stat().st_size <= 1_000_000
    assert record["parameters"] == sum(p.numel() for p in Classifier(28, 1, 10).parameters())
    assert record["test_accuracy"] >= 0.996
    assert record["command"].startswith("python bench/features.py")


@pytest.fixture
def enlarged() -> tuple[Images, Images]:
    """Other people's digits of 8 pixels at MNIST's size and under its name: nothing is downloaded."""
    bunch = load_digits()
    small = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16)
    large = torch.nn.functional.interpolate(small, (20, 20), mode="bilinear")
    x = torch.nn.functional.pad(large, (4, 4, 4, 4)).round().clamp(0, 255).to(torch.uint8)
    y, names = torch.from_numpy(bunch.target).long(), [str(i) for i in range(10)]
    return Images(x[:1000], y[:1000], names, name="mnist"), Images(x[1000:], y[1000:], names, name="mnist", split="test")


def test_the_shipped_net_tells_digits_that_it_has_never_seen(enlarged: tuple[Images, Images]) -> None:
    net = features.choose(enlarged[0])
    assert net.name == "gannet digits 1"
    x_ND = net.measure(enlarged[0].x_NCHW)
    assert x_ND.shape == (1000, 80)
    assert (net.classify(x_ND) == enlarged[0].labels_N).float().mean() > 0.8


def test_a_missing_class_shows(enlarged: tuple[Images, Images]) -> None:
    train, test = enlarged
    full = Pictures(train, test).report(lambda n, seed: (test.x_NCHW[:n], None))[0]
    assert full["classes"]["drawn"]["counts"] == full["classes"]["test"]["counts"]
    assert sum(full["classes"]["drawn"]["counts"]) == full["n"] == len(test)
    assert full["scores"]["classes_off"]["value"] == pytest.approx(full["scores"]["classes_off"]["floor"])
    assert full["classes"]["test"]["p"] > 1e-4
    kept = test.x_NCHW[test.labels_N != 4]
    less = Pictures(train, test).report(lambda n, seed: (kept[torch.arange(n) % len(kept)], None))[0]
    assert less["classes"]["drawn"]["counts"][4] < 30
    assert less["classes"]["drawn"]["p"] < 1e-6
    assert less["scores"]["classes_off"]["value"] > full["scores"]["classes_off"]["value"] + 0.05
    assert less["scores"]["fid"]["value"] > 3 * full["scores"]["fid"]["value"]


def test_digits_features_know_no_classes_of_other_pictures(enlarged: tuple[Images, Images]) -> None:
    clothes = Images(enlarged[0].x_NCHW, name="fashion-mnist")
    assert features.choose(clothes).name.startswith("gannet random 1")
    assert features.choose(clothes, "digits").classify is None
    wide = Images(torch.zeros(3, 1, 32, 32, dtype=torch.uint8), name="mnist")
    assert features.choose(wide).name.startswith("gannet random 1")


def test_a_model_with_classes_is_asked_for_the_training_sets_mix() -> None:
    train = load("bars", "train")
    few = Images(train.x_NCHW[:100], (torch.arange(100) < 90).long(), ["rare", "common"])
    y_N = Pictures(few, load("bars", "test")).classes(200, seed=0)
    assert torch.bincount(y_N).tolist() == [20, 180]
    assert Pictures(train.without_classes(), load("bars", "test")).classes(5, 0) is None


def test_another_net_under_its_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in (".safetensors", ".json"):
        (tmp_path / "digits").with_suffix(suffix).write_bytes(features.DIGIT_NET.with_suffix(suffix).read_bytes())
    with open(tmp_path / "digits.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    monkeypatch.setattr(features, "DIGIT_NET", tmp_path / "digits.safetensors")
    features.digits.cache_clear()
    with pytest.raises(Wrong) as error:
        features.digits()
    features.digits.cache_clear()
    one_line(str(error.value), "not the one that was recorded", tmp_path)


def test_the_random_net_is_always_the_same() -> None:
    assert features.random(8, 1).sha256 == features.random.__wrapped__(8, 1).sha256
    assert features.random(8, 1).sha256 != features.random(8, 3).sha256
    assert features.random(32, 3).measure(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 64)


def bars() -> Pictures:
    return Pictures(load("bars", "train"), load("bars", "test"))


def test_a_generator_that_draws_the_test_set_gets_the_floor() -> None:
    scores = bars().report(lambda n, seed: (load("bars", "test").x_NCHW[:n], None))[0]["scores"]
    for name in ("fid", "kid", "precision", "recall", "density", "coverage"):
        assert scores[name]["value"] == pytest.approx(scores[name]["floor"])
        assert scores[name]["spread"] == pytest.approx(0)


def test_a_collapsed_generator_is_seen() -> None:
    one = load("bars", "train").x_NCHW[:1]
    scores = bars().report(lambda n, seed: (one.expand(n, -1, -1, -1), None))[0]["scores"]
    assert scores["fid"]["value"] > 20 * scores["fid"]["floor"]
    assert scores["coverage"]["value"] < 0.1 < scores["coverage"]["floor"]
    assert scores["nearer_to_training"]["value"] > scores["nearer_to_training"]["floor"]


def test_accuracy_of_a_classifier_trained_on_drawn_pictures() -> None:
    train, test = load("bars", "train"), load("bars", "test")
    scores = bars().report(lambda n, seed: (train.x_NCHW[:n], train.labels_N[:n]), full=True)[0]["scores"]
    assert scores["cas"]["value"] == scores["cas"]["floor"] > 0.9  # the same pictures: the same classifier
    wrong = bars().report(lambda n, seed: (train.x_NCHW[:n], 1 - train.labels_N[:n]), full=True)[0]["scores"]
    assert wrong["cas"]["value"] < 0.1
    assert evaluation.accuracy(Classifier(8, 1, 2).eval(), test) < 0.9


def test_the_classifier_expects_ln_k_learns_and_goes_on_as_it_would_have() -> None:
    data, engine = load("bars", "train"), Engine()

    def fresh() -> Classify:
        torch.manual_seed(0)
        return Classify(Classifier(8, 1, 2, widths=(8, 8)), 2)

    def steps(objective: Classify, first: int, last: int) -> None:
        settings = {"batch": 16, "steps": 60, "schedule": recipe.constant, "seed": 0}
        loop.fit(objective, Shaken(data), engine, **settings, start=first, stop=last)

    whole = fresh()
    steps(whole, 0, 60)
    assert whole.expect() == {"classifier": pytest.approx(math.log(2))}
    assert evaluation.accuracy(whole.average, load("bars", "test")) > 0.9
    parts, after = fresh(), fresh()
    steps(parts, 0, 30)
    run.save_checkpoint(Path("parts"), parts, 30)
    assert run.restore(Path("parts"), after, engine) == 30
    steps(after, 30, 60)
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, after.state()[name]), name


def test_follow_is_the_running_average_of_its_half_life() -> None:
    average, net, seen = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False), torch.tensor(10_000)
    with torch.no_grad():
        average.weight.fill_(0.0)
        net.weight.fill_(1.0)
    follow(average, net, 100, seen, 10_100)
    assert average.weight.item() == pytest.approx(0.5)
    assert int(seen) == 10_100


def test_shaken_pictures_are_functions_of_the_step_and_keep_their_classes() -> None:
    data = load("digits8", "train")
    shaken, still = Shaken(data), Shaken(data, turn=0, stretch=0, shear=0, move=0)
    a, b = (shaken.batch(32, Rng(0, 3, "x")) for _ in range(2))
    assert torch.equal(a.x_NCHW, b.x_NCHW)
    plain = data.batch(32, Rng(0, 3, "x"))
    assert torch.equal(a.y_N, plain.y_N)
    assert torch.allclose(still.batch(32, Rng(0, 3, "x")).x_NCHW, plain.x_NCHW, atol=1e-5)
    assert not torch.allclose(a.x_NCHW, plain.x_NCHW, atol=0.1)
    assert a.x_NCHW.min() >= -1.001
    assert a.x_NCHW.max() <= 1.001


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once") / "trained"
    return run.train("digits", size="tiny", data="bars", classes=True, steps=30, out=folder).folder


@pytest.fixture
def trained(once: Path) -> Path:
    """The same run in a folder of its own."""
    return Path(shutil.copytree(once, "trained"))


def test_the_verb_prints_a_table_and_writes_it_down(trained: Path, gannet: Command) -> None:
    assert "Not measured yet" in (trained / "README.md").read_text()
    told = gannet("evaluate", trained, "--full").stdout
    report = json.loads((trained / "evaluation.json").read_text())
    assert set(report["scores"]) == set(evaluation.MEANINGS) - {"classes_off", "cas_seen"}
    for name, score in report["scores"].items():
        assert f"{score['value']:.4f}" in told
        assert f"{score['floor']:.4f}" in (trained / "README.md").read_text(), name
        assert score["n"] > 0
    assert report["weights"] == "last"
    assert report["step"] == 30
    assert report["n"] == 500
    assert report["features"]["sha256"][:12] in told
    assert "bars/test" in told
    with Image.open(trained / "samples" / "closest.png") as picture:
        assert picture.size == (20 * 8, 3 * 8)


def test_the_verb_in_json_and_on_the_best_weights(trained: Path, gannet: Command) -> None:
    report = json.loads(gannet("evaluate", trained, "--weights", "best", "--json", "--seed", "4").stdout)
    assert report == json.loads((trained / "evaluation.json").read_text())
    assert report["weights"] == "best"
    assert report["step"] == run.best_score(trained)["step"] == 30
    assert report["seeds"] == [4, 5, 6]
    assert run.load(trained, weights="best").sample(2).shape == (2, 8, 8, 1)


def test_evaluating_twice_gives_the_same(trained: Path) -> None:
    assert run.evaluate(trained) == run.evaluate(trained)


def test_best_weights_are_those_of_the_lowest_score(tmp_path: Path) -> None:
    made = recipe.build(recipe.find("digits"), recipe.resolve(recipe.find("digits"), {"size": "tiny", "data": "bars"}))
    for step, value in ((10, 3.0), (20, 2.0), (30, 2.5), (40, 2.0)):
        with torch.no_grad():
            made.objective.average.finish.bias.fill_(step)
        run.keep_best(tmp_path, made.objective, step, {"fid_2k": value})
    assert run.best_score(tmp_path) == {"step": 20, "fid_2k": 2.0}
    assert (load_file(tmp_path / "best.safetensors")["generator.finish.bias"] == 20).all()


def test_scoring_does_not_count_as_training(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[float] = []

    def slow(self: Pictures, objective: object) -> dict[str, float]:
        marks.append(4 if len(marks) in (0, 6) else 0.5)  # the first, and the one after training
        return {"fid_2k": 1.0}

    now = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(marks))  # as if it had taken so many seconds
    monkeypatch.setattr(log, "time", now)
    monkeypatch.setattr(Pictures, "quick", slow)
    made = run.train("digits", size="tiny", data="bars", steps=5, out="slow")
    seconds = json.loads((made.folder / "recipe.json").read_text())["trained"]["seconds"]
    assert len(marks) == 7
    assert json.loads((made.folder / "metrics.jsonl").read_text().splitlines()[-1])["seconds"] < 3
    assert seconds < 3


OWN = '''"""One of my own.

Arm: images
"""
from gannet import Recipe
from gannet.data.images import load
from gannet.nets.dense import Critic, Generator
from gannet.objectives.gan import Gan


def own(seed: int = 0) -> Recipe:
    """Mine."""
    return Recipe(load("bars"), Gan(Generator(8, 1, width=8), Critic(8, 1, width=8)), batch=4, examples=40)
'''


def test_bad_wishes_in_one_line(trained: Path, gannet: Command) -> None:
    one_line(gannet("evaluate", "nowhere", status=1).stderr, "no run folder", "nowhere")
    one_line(gannet("evaluate", trained, "--features", "digits", status=2).stderr, "28 pixels", "8 pixels", "--features random")
    one_line(gannet("evaluate", trained, "--features", "clip", status=2).stderr, "clip")
    run.train("dcgan", size="tiny", data="bars", steps=3, out="plain")
    one_line(gannet("evaluate", "plain", "--full", status=1).stderr, "needs classes", "--classes")
    (trained / "best.safetensors").unlink()
    one_line(gannet("evaluate", trained, "--weights", "best", status=1).stderr, "no best weights", "--weights last")
    Path("own.py").write_text(OWN)
    gannet("train", "./own.py", "--out", "mine")
    one_line(gannet("evaluate", "mine", status=1).stderr, "--trust")
    one_line(gannet("evaluate", "mine", "--trust", status=1).stderr, "no evaluation", "evaluation=Pictures")


def test_a_run_on_other_data_is_not_judged_by_these(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads((trained / "recipe.json").read_text())
    record["data"]["bars/train"]["items"] = 1999
    (trained / "recipe.json").write_text(json.dumps(record))
    with pytest.raises(Wrong) as error:
        run.evaluate(trained)
    one_line(str(error.value), "items of bars/train was 1999", "2000")


def test_pictures_of_a_users_own() -> None:
    x = torch.randint(256, (60, 3, 12, 12), dtype=torch.uint8)
    report, closest = Pictures(Images(x[:40]), Images(x[40:])).report(lambda n, seed: (x[:n], None))
    assert closest.shape == (3 * 12, 10 * 12, 3)
    assert report["n"] == 20
    assert "random" in report["features"]["name"]
    with pytest.raises(Wrong) as error:
        Pictures(Images(x[:40]), Images(x[50:])).report(lambda n, seed: (x[:n], None))
    one_line(str(error.value), "at least 20 pictures", "40 training and 10 test")


def test_inception_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(Wrong) as error:
        features.choose(load("bars"), "inception")
    one_line(str(error.value), "torch-fidelity", "pip install")


def test_dinov2_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Wrong) as error:
        features.choose(load("bars"), "dinov2")
    one_line(str(error.value), "transformers", "pip install")


def test_dinov2_is_fed_what_it_was_trained_on() -> None:
    fed = []

    def net(x_NCHW: torch.Tensor) -> SimpleNamespace:
        fed.append(x_NCHW)
        return SimpleNamespace(last_hidden_state=torch.stack([x_NCHW.mean((2, 3)), torch.full((len(x_NCHW), 3), 9.0)], 1))

    grey = torch.full((25, 1, 8, 8), 128, dtype=torch.uint8)
    token = features.dinov2_tokens(net, grey)
    assert token.shape == (25, 3) and {tuple(x.shape[1:]) for x in fed} == {(3, 224, 224)}
    expected = [(128 / 255 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert token[7].tolist() == pytest.approx(expected, abs=1e-3)
    clear = torch.zeros(1, 4, 8, 8, dtype=torch.uint8)  # nothing there: white
    assert features.dinov2_tokens(net, clear)[0, 0].item() == pytest.approx((1 - 0.485) / 0.229, abs=1e-3)


def test_classes_are_asked_for_in_the_training_sets_own_mix() -> None:
    y = torch.cat([torch.full((n,), k) for k, n in enumerate((700, 200, 99, 1))])
    x = torch.zeros(1000, 1, 8, 8, dtype=torch.uint8)
    pictures = Pictures(Images(x, y, list("abcd")), load("bars", "test"))
    for seed in range(5):
        for n in (10, 100, 1000):
            counts = torch.bincount(pictures.classes(n, seed), minlength=4)
            assert counts.sum() == n and ((counts - torch.bincount(y) * n / 1000).abs() <= 1).all()
    assert not torch.equal(pictures.classes(100, 0), pictures.classes(100, 1))
    assert torch.equal(pictures.classes(100, 0), pictures.classes(100, 0))
    alone = torch.stack([pictures.classes(1, seed) for seed in range(2000)]).flatten()  # each as often as it should be
    assert torch.bincount(alone, minlength=4)[:3].float().div(2000).tolist() == pytest.approx([0.7, 0.2, 0.099], abs=0.04)


def test_a_kill_during_the_last_score_costs_nothing(trained: Path) -> None:
    """The last checkpoint is there, the last score is not."""
    whole = (trained / "best.safetensors").read_bytes()
    lines = (trained / "metrics.jsonl").read_text().splitlines(keepends=True)
    (trained / "metrics.jsonl").write_text("".join(lines[:-1]))
    (trained / "README.md").unlink()
    (trained / "best.safetensors").unlink()
    again = run.train("digits", size="tiny", data="bars", classes=True, steps=30, out=trained)
    assert again.record["trained"]["last"] == pytest.approx(run.best_score(trained))
    assert (trained / "best.safetensors").read_bytes() == whole


def test_a_folder_of_an_older_format_is_refused_in_one_line(trained: Path, gannet: Command) -> None:
    record = json.loads((trained / "recipe.json").read_text())
    (trained / "recipe.json").write_text(json.dumps(record | {"format": 1}))
    one_line(gannet("sample", trained, status=1).stderr, "before gannet 0.1.0", "format 1", "training it again")


def test_scoring_leaves_the_callers_random_numbers_alone() -> None:
    features.random.cache_clear()
    features.digits.cache_clear()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    features.random(8, 1)
    features.digits()
    assert torch.equal(torch.rand(1), expected)
