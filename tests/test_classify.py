"""Classifiers: what is counted, against definitions written out; the recipe from training to a class for a file."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command, one_line
from gannet import cli, recipe, run
from gannet.data import images
from gannet.data.images import Images
from gannet.errors import Wrong
from gannet.evaluation import classes
from gannet.evaluation.classes import Classes
from gannet.nets.images import Classifier
from gannet.objectives.classify import Classify
from gannet.rng import Rng
from gannet.training.guard import Guard

NONE = {"all": "to be quick"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify") / "bars"
    return run.train("classify", size="tiny", data="bars", out=folder, skip=NONE).folder


# ---------------------------------------------------------------------------------------------------------- what is counted


def test_calibration_error_is_the_definition() -> None:
    rng = np.random.default_rng(0)
    sure, right = torch.from_numpy(rng.uniform(0, 1, 500)), torch.from_numpy(rng.integers(0, 2, 500)).bool()
    expected = 0.0
    for b in range(classes.BINS):  # bins (b, b + 1] / 15
        inside = [i for i in range(500) if b / classes.BINS < sure[i] <= (b + 1) / classes.BINS]
        if inside:
            apart = abs(np.mean([float(sure[i]) for i in inside]) - np.mean([float(right[i]) for i in inside]))
            expected += len(inside) / 500 * apart
    assert classes.calibration_error(sure, right) == pytest.approx(expected, abs=1e-9)
    assert classes.calibration_error(torch.ones(4), torch.ones(4).bool()) == 0
    assert classes.calibration_error(torch.ones(4), torch.zeros(4).bool()) == 1


def test_the_temperature_that_logits_were_spoilt_with_is_found() -> None:
    rng = Rng(0, 0, "temperature")
    logits = rng.normal(20_000, 5) * 2
    y = torch.multinomial(logits.softmax(1), 1, generator=rng.generator)[:, 0]
    for spoilt in (0.3, 1.0, 4.0):
        assert classes.temperature(logits * spoilt, y) == pytest.approx(spoilt, rel=0.04)


def test_a_handful_of_pictures_makes_no_net_endlessly_sure_or_unsure() -> None:
    sure = torch.tensor([[2.3, 0.0]]).repeat(6, 1)  # 91 %
    right, wrong = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)
    assert 0.5 < classes.temperature(sure, right) < 1 < classes.temperature(sure[:2], wrong[:2]) < 3


def test_a_loss_near_zero_may_jump_and_be_no_collapse() -> None:
    y = torch.arange(30) % 3
    scores = Classes(*[Images(torch.zeros(30, 1, 8, 8, dtype=torch.uint8), y, list("abc"))] * 3)
    watch = Guard(level=scores.level)
    assert watch.look({"loss_watched": 1e-5}) is None and watch.look({"loss_watched": 0.9}) is None
    assert "more than 10 times" in str(watch.look({"loss_watched": 1.2}))  # worse than ln 3


def test_intervals() -> None:
    low, high = classes.wilson(97, 100)
    z, p, n = 1.959964, 0.97, 100  # written out
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx(((centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)), abs=1e-6)
    assert classes.wilson(100, 100)[0] < 1 == classes.wilson(100, 100)[1]


def test_confusion_and_the_table_of_classes() -> None:
    y, told = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 0, 0])
    counts = classes.confusion(y, told, 3)
    assert counts.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    found = classes.table(counts, ["a", "b", "c"])
    assert found["a"] == {
        "n": 3,
        "precision": 0.5,
        "recall": pytest.approx(2 / 3, abs=1e-4),
        "f1": pytest.approx(4 / 7, abs=1e-4),
    }
    assert found["c"] == {"n": 1, "precision": 0, "recall": 0, "f1": 0}
    picture = classes.drawn(counts, ["a", "b", "c"])
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_the_nearest_mean_is_the_nearest_mean() -> None:
    rng = np.random.default_rng(1)
    x, y = torch.from_numpy(rng.integers(0, 256, (90, 1, 8, 8), np.uint8)), torch.arange(90) % 3
    x[y == 1, :, :4] //= 2
    data = Images(x, y, list("abc"))
    means = [images.to_float(x[y == k]).mean(0) for k in range(3)]
    told = [min(range(3), key=lambda k: float((one - means[k]).square().sum())) for one in images.to_float(x)]
    assert classes.nearest_mean(data, data, part=7) == pytest.approx(
        np.mean([a == b for a, b in zip(told, y.tolist(), strict=True)])
    )


class Told:
    """An objective that says what it is told to."""

    def __init__(self, logits: dict[int, torch.Tensor]):
        self.said = logits

    def logits(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return self.said[len(x_NCHW)]


def test_the_report_of_known_answers() -> None:
    x = torch.zeros(30, 1, 8, 8, dtype=torch.uint8)
    y = torch.arange(30) % 3
    scores = Classes(Images(x, y, list("abc")), Images(x[:9], y[:9], list("abc")), Images(x[:12], y[:12], list("abc")))
    say = torch.nn.functional.one_hot(y, 3).float() * 3
    say[0] = torch.tensor([0.0, 5.0, 0.0])
    report, _ = scores.judge(Told({9: say[:9], 12: say[:12]}))
    assert report["scores"]["accuracy"]["value"] == pytest.approx(11 / 12)
    assert report["scores"]["loss"]["floor"] == pytest.approx(math.log(3))
    assert report["confusion"] == [[3, 1, 0], [0, 4, 0], [0, 0, 4]]
    assert report["interval"][0] < 11 / 12 < report["interval"][1]
    assert report["temperature"] == pytest.approx(classes.temperature(say[:9], y[:9]))  # by what was watched alone
    for words in ({"wish": "random"}, {"full": True}):
        with pytest.raises(Wrong, match="by the test set alone"):
            scores.judge(Told({}), **words)


# -------------------------------------------------------------------------------------------------------------- the objective


def objective(**words: Any) -> Classify:
    torch.manual_seed(0)
    return Classify(Classifier(8, 1, 2, widths=(8, 8)), 2, **words)


def test_mixup_is_its_naive_twin() -> None:
    game = objective(mixup=0.4)
    x, y = images.load("bars").batch(16, Rng(0, 0, "x"))
    game.average.train(False)
    net = game.players["classifier"].net.eval()
    loss, weights, notes = game.loss("classifier", (x, y), Rng(0, 3, "mix"))
    from scipy import stats

    share = torch.from_numpy(stats.beta(0.4, 0.4).ppf(Rng(0, 3, "mix").uniform(16).double().numpy())).float()
    for i in range(16):
        mixed = share[i] * x[i] + (1 - share[i]) * x[15 - i]
        soft = torch.zeros(2)
        for label, part in ((y[i], share[i]), (y[15 - i], 1 - share[i])):
            soft += part * (0.95 * torch.nn.functional.one_hot(label, 2) + 0.05 / 2)
        expected = -(soft * net(mixed[None]).log_softmax(1)[0]).sum()
        assert loss[i].item() == pytest.approx(expected.item(), abs=1e-4)
    assert weights is None and 0 <= notes["accuracy"] <= 1


def test_without_mixup_nothing_is_mixed() -> None:
    x, y = images.load("bars").batch(16, Rng(0, 0, "x"))
    game = objective(smoothing=0.0)
    loss, _, _ = game.loss("classifier", (x, y), Rng(0, 0, "mix"))
    expected = torch.nn.functional.cross_entropy(game.players["classifier"].net(x), y, reduction="none")
    assert torch.allclose(loss, expected)


def test_one_cycle() -> None:
    assert [recipe.one_cycle(p) for p in (0.125, 0.25, 0.625)] == pytest.approx([0.5, 1.0, 0.5])
    assert recipe.one_cycle(0) == recipe.one_cycle(1) == 0.002


def test_a_rate_that_is_held() -> None:
    share = recipe.held(0.4)
    assert [share(p, 0) for p in (0.01, 0.02, 0.6, 0.8)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert share(0.0, 0) == share(1.0, 0) == 0.002
    early = recipe.held(0.98)  # which is `one_cycle` with a short rise
    assert all(early(p / 100, 0) == pytest.approx(recipe.one_cycle(p / 100, rise=0.02)) for p in range(101))


# ------------------------------------------------------------------------------------------------------------------ the recipe


def test_bars_are_told_apart(trained: Path, gannet: Command) -> None:
    table = gannet("evaluate", trained).stdout
    report = json.loads((trained / "evaluation.json").read_text())
    assert report["scores"]["accuracy"]["value"] > 0.95
    assert "baseline" in table and "across" in table and "recall" in table
    card = (trained / "README.md").read_text()
    assert "| across |" in card and "predict(" in card and "generator" not in card
    assert not list((trained / "samples").glob("*.gif")) and (trained / "samples" / "last.png").is_file()
    record = json.loads((trained / "recipe.json").read_text())
    assert 0.05 <= record["trained"]["temperature"] <= 20 and record["draws"] is False


def test_a_file_gets_a_class(trained: Path, gannet: Command, apart: Path) -> None:
    test = images.load("bars", "test")
    for i in range(4):
        Image.fromarray(test.x_NCHW[i, 0].numpy()).resize((16, 16), Image.Resampling.NEAREST).save(f"{i}.png")
    found = json.loads(gannet("predict", trained, *(f"{i}.png" for i in range(4)), "--json").stdout)
    assert [one["class"] for one in found] == [test.classes[int(y)] for y in test.labels_N[:4]]
    assert [one["file"] for one in found] == [f"{i}.png" for i in range(4)]
    for one in found:
        assert sum(one["chances"].values()) == pytest.approx(1, abs=1e-5) and one["chance"] == max(one["chances"].values())
    assert gannet("predict", trained, "0.png", "--top", "1").stdout.startswith(f"0.png: {found[0]['class']} ")


def test_arrays_and_files_agree_and_the_temperature_counts(trained: Path) -> None:
    loaded = run.load(trained)
    x = images.load("bars", "test").x_NCHW[:5]
    found = loaded.predict(x.permute(0, 2, 3, 1).numpy())
    warm = loaded.record["trained"]["temperature"]
    expected = (loaded.objective.logits(x) / warm).softmax(1).amax(1)
    assert [one["chance"] for one in found] == pytest.approx(expected.tolist(), abs=1e-5)


def test_one_file_nothing_and_transparency(trained: Path, apart: Path) -> None:
    loaded = run.load(trained)
    Image.new("L", (8, 8), 99).save("one.png")
    assert loaded.predict("one.png") == loaded.predict(["one.png"]) and loaded.predict([]) == []
    assert loaded.predict(np.zeros((0, 8, 8, 1), np.uint8)) == []
    straight = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 4, 8, 8), np.uint8))
    fed = images.times_alpha(straight)
    assert torch.equal(fed[:, 3], straight[:, 3]) and (fed[:, :3] <= fed[:, 3:]).all()
    assert torch.equal(images.times_alpha(straight[:, :3]), straight[:, :3])
    opaque = straight.clone()
    opaque[:, 3] = 255
    assert torch.equal(images.times_alpha(opaque), opaque) and torch.equal(images.straight(opaque), opaque)


def test_other_classes_in_the_test_set_are_refused() -> None:
    x = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    mine, others = (Images(x, torch.tensor([0, 0, 1, 1]), kinds, name="people") for kinds in (["a", "b"], ["c", "d"]))
    with pytest.raises(Wrong) as told:
        Classes(mine, mine, others)
    one_line(str(told.value), "not of the classes that are learnt", "people", "gannet train faces")


def test_what_may_be_letters_is_not_mirrored() -> None:
    grey, colour = (Images(torch.zeros(4, c, 8, 8, dtype=torch.uint8), name="folder") for c in (1, 3))
    assert not images.shaken(grey).mirror and images.shaken(colour).mirror and images.shaken(grey, "photo").mirror
    assert isinstance(images.shaken(Images(grey.x_NCHW, name="ylecun/mnist")), images.Shaken)


def test_one_picture_of_each_class_is_refused_in_one_line() -> None:
    with pytest.raises(Wrong) as error:
        images.with_classes(Images(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.arange(3), list("abc")))
    one_line(str(error.value), "none can be kept to watch", "3 pictures")


def test_a_files_name_that_is_no_text_is_told_all_the_same(trained: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(name)
    except OSError:
        pytest.skip("this disk has no such names")
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")  # as a terminal's is
    with contextlib.redirect_stdout(printed):
        assert cli.main(["predict", str(trained), name]) == 0
    printed.flush()
    assert printed.buffer.getvalue().startswith(b"caf\\udce9.png: ")  # type: ignore[attr-defined]


def test_left_may_be_taught_to_be_left() -> None:
    x = torch.zeros(60, 3, 8, 8, dtype=torch.uint8)
    x[:, :, :, 0] = 255  # bright on the left
    data = Images(x, torch.arange(60) % 2, ["a", "b"])
    sides = {}
    for mirror in (True, False):
        fed = images.shaken(data, "photo", mirror).batch(256, Rng(0, 0, "x")).x_NCHW
        sides[mirror] = float((fed[:, 0, :, 4:].mean(1).amax(1) > 0.7).float().mean())  # a bright column on the right
    assert sides[True] > 0.3 and sides[False] == 0, sides
    chosen = recipe.find("classify")
    for i in range(40):
        Path(f"arrows/{'ab'[i % 2]}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)).save(f"arrows/{'ab'[i % 2]}/{i}.png")
    for flags, mirrored in (({}, True), ({"mirror": False}, False)):
        made = recipe.build(chosen, recipe.resolve(chosen, {"size": "tiny", "data": "./arrows", "pixels": 8} | flags))
        assert made.data.mirror is mirrored


def test_nothing_of_the_test_set_or_of_what_is_watched_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = recipe.find("classify")
    made = recipe.build(chosen, recipe.resolve(chosen, {"size": "tiny", "data": "digits8", "change": "none"}))
    fed = {
        one.numpy().tobytes() for step in range(60) for one in images.to_bytes(made.data.batch(32, Rng(0, step, "x")).x_NCHW)
    }
    watched, tested = (
        {one.numpy().tobytes() for one in some.x_NCHW} for some in (made.evaluation.watched, made.evaluation.test)
    )
    assert len(fed) > 1000 and len(watched) == 71 and not fed & watched
    assert len(tested) > 300 and not fed & tested and not watched & tested


def test_a_fine_net_looks_at_every_pixel_and_is_loaded_and_told_from_the_other(apart: Path) -> None:
    def made(size: str, **words: Any) -> Classifier:
        card = recipe.find("classify")
        built = recipe.build(card, recipe.resolve(card, {"size": size, "data": "bars"} | words))
        return built.objective.players["classifier"].net

    small, fine = made("small"), made("small", net="fine")
    assert not small.fine and fine.fine and fine.name.in_features == 96 and small.name.in_features == 128
    net = Classifier(28, 1, 10, widths=(8, 12, 16), fine=True)
    x = torch.zeros(1, 1, 28, 28)
    assert net.start(x).shape == (1, 8, 28, 28) and net.places(x).shape == (1, 16, 7, 7)
    assert Classifier(30, 1, 10, widths=(8, 12, 16), fine=True).places(torch.zeros(1, 1, 30, 30)).shape == (1, 16, 8, 8)
    trained = run.train("classify", size="tiny", data="bars", net="fine", steps=40, out="fine", skip=NONE)
    x = images.load("bars", "test").x_NCHW
    net = trained.objective.average
    assert net.fine and torch.equal(trained.objective.logits(x), net(images.to_float(x)).detach())
    with pytest.raises(Wrong, match="nothing of the run to begin with fits"):  # but what batch normalisation counts
        run.train("classify", size="small", data="digits8", steps=1, start="fine", out="other", skip=NONE)


@pytest.mark.parametrize("net", ["resnet-18", "resnet-50"])
def test_he_s_nets_train_and_are_loaded_again(net: str, apart: Path) -> None:
    made = run.train("classify", size="tiny", data="bars", net=net, batch=8, steps=2, out="run", skip=NONE)
    assert run.load("run").digest() == made.digest()


@pytest.mark.parametrize(
    ("words", "parts", "status"),
    [
        (["predict", "RUN"], ["no picture to look at"], 2),
        (["predict", "RUN", "absent.png"], ["absent.png"], 1),
        (["predict", "RUN", "words.png"], ["words.png: no picture"], 1),
        (["predict", "RUN", "words.png", "--top", "0"], ["--top"], 2),
        (["sample", "RUN"], ["draws nothing", "gannet predict"], 2),
        (["sample", "RUN", "--film", "3"], ["paint()"], 1),
        (["train", "classify", "--data", "bars", "--smoothing", "1.5"], ["--smoothing", "1.5"], 2),
        (["evaluate", "RUN", "--full"], ["test set alone"], 2),
        (["train", "classify", "--data", "plain", "--size", "tiny"], ["no classes to tell apart", "plain"], 1),
    ],
)
def test_bad_wishes_in_one_line(
    words: list[str], parts: list[str], status: int, gannet: Command, trained: Path, apart: Path
) -> None:
    (apart / "words.png").write_text("no picture")
    (apart / "plain").mkdir()
    for i in range(20):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9), np.uint8)).save(apart / "plain" / f"{i}.png")
    one_line(
        gannet(*(str(trained) if word == "RUN" else word for word in words), status=status).stderr.splitlines()[-1], *parts
    )


def test_a_generator_tells_nothing_apart(gannet: Command, apart: Path) -> None:
    run.train("digits", size="tiny", data="bars", steps=2, out="run", skip=NONE)
    Image.new("L", (8, 8)).save("x.png")
    one_line(gannet("predict", "run", "x.png", status=2).stderr, "tells nothing apart", "gannet sample")


def test_the_best_weights_have_a_temperature_of_their_own() -> None:
    where = run.train("classify", size="tiny", data="digits8", steps=60, out="own", skip=NONE).folder
    record = json.loads((where / "recipe.json").read_text())["trained"]
    last, best = run.load(where), run.load(where, weights="best")
    assert last.record["trained"]["temperature"] == record["temperature"]
    assert best.record["trained"]["temperature"] == record["of_best"]["temperature"]
    made = recipe.build(recipe.find("classify"), last.record["arguments"])
    for one, name in ((last, record["temperature"]), (best, record["of_best"]["temperature"])):
        assert made.evaluation.finish(one.objective)["temperature"] == pytest.approx(name, rel=1e-4)


def test_flags_of_detectors_are_refused(trained: Path, gannet: Command) -> None:
    for words in (("--least", "0.5"), ("--out", "there")):
        one_line(gannet("predict", str(trained), "a.png", *words, status=2).stderr, words[0], "no boxes")
