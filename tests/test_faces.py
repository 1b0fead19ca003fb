"""Faces: what is drawn, people parted, margins and scores against definitions written out; from training to a name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from conftest import Command, one_line
from gannet import matching, preflight, recipe, run
from gannet.data import Ledger, faces, keeping
from gannet.data.images import Images, to_float
from gannet.data.pictures import prepared
from gannet.errors import Wrong
from gannet.evaluation import faces as verification
from gannet.evaluation.faces import Verification
from gannet.nets.faces import Embedder
from gannet.objectives import embed
from gannet.objectives.embed import MARGINS, Embed
from gannet.rng import Rng
from gannet.training.guard import Guard

NONE = {"all": "to be quick"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "bars"
    return run.train("faces", size="tiny", data="bars", out=folder, skip=NONE).folder


def people(root: Path, names: dict[str, int], pixels: int = 16) -> Path:
    """A folder with a folder of drawn pictures for each person."""
    for number, (name, count) in enumerate(names.items()):
        (root / name).mkdir(parents=True)
        for k, one in enumerate(faces.drawn([number] * count, list(range(count)), pixels=pixels)):
            Image.fromarray(one.permute(1, 2, 0).numpy()).save(root / name / f"{k}.png")
    return root


# --------------------------------------------------------------------------------------------------------------- what is drawn


def test_a_picture_is_a_function_of_seed_person_and_number() -> None:
    x = faces.drawn([3, 3, 4], [0, 1, 0], pixels=24)
    assert x.dtype == torch.uint8 and x.shape == (3, 3, 24, 24)
    assert torch.equal(faces.drawn([4, 3], [0, 1], pixels=24), x[[2, 1]])  # whoever else is drawn
    assert torch.equal(faces.drawn([3, 3, 4], [0, 1, 0], pixels=24, part=2), x)
    assert not torch.equal(x[0], x[1]) and not torch.equal(faces.drawn([3], [0], seed=1, pixels=24)[0], x[0])
    assert (x.flatten(1).float().std(1) > 10).all()


def test_neither_pixels_nor_colours_tell_the_drawn_people_apart() -> None:
    y_N = torch.arange(40).repeat_interleave(8)
    x = faces.drawn((1_500 + y_N).tolist(), list(range(8)) * 40)
    for embed_ in (verification.pixels, verification.colours):
        same_S, other_O = verification.scores_of(embed_(x), y_N)
        assert verification.accepted(same_S, other_O, 0.01)[0] < 0.3


def test_the_drawn_splits_share_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "PEOPLE", {"train": (0, 110, 2), "test": (110, 5, 2)})
    faces.read.cache_clear()
    parts = [faces.load("faces", split, 8) for split in ("train", "watched", "test")]
    faces.read.cache_clear()
    assert [len(part.classes) for part in parts] == [10, 100, 5]
    names = [set(part.classes) for part in parts]
    assert not names[0] & names[1] and not (names[0] | names[1]) & names[2] and "person 0110" in names[2]
    whole = faces.drawn([int(name.split()[1]) for name in parts[0].classes], [0] * 10, pixels=8)
    assert torch.equal(parts[0].x_NCHW[::2], whole)  # labels are who was drawn


# --------------------------------------------------------------------------------------------------------------- people parted


def test_parts_share_nobody_and_lose_nothing() -> None:
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.integers(0, 20, 200))
    y[y == 7] = 8
    y = torch.cat([y, torch.tensor([7])])  # who has one picture
    x = (torch.arange(201) % 256).to(torch.uint8)[:, None, None, None].expand(201, 1, 8, 8).clone()
    parts = faces.parted(Images(x, y, [f"p{i}" for i in range(20)]), {"train": 0, "watched": 3, "test": 4})
    assert [len(part.classes) for part in parts.values()] == [13, 3, 4]
    assert "p7" in parts["train"].classes and sum(map(len, parts.values())) == 201
    for part in parts.values():
        for one, label in zip(part.x_NCHW[:, 0, 0, 0].tolist(), part.labels_N.tolist(), strict=True):
            assert part.classes[label] == f"p{int(y[one])}"
    again = faces.parted(Images(x, y, [f"p{i}" for i in range(20)]), {"train": 0, "watched": 3, "test": 4})
    assert all(again[split].classes == parts[split].classes for split in parts)


def test_a_folder_of_people_and_what_a_run_remembers_of_it() -> None:
    people(Path("club"), {f"p{i:02d}": 3 for i in range(13)} | {"zoe": 1})
    with keeping(Ledger()) as book:
        parts = {split: faces.load("club", split, 8) for split in ("train", "watched", "test")}
    assert {split: len(part.classes) for split, part in parts.items()} == {"train": 7, "watched": 3, "test": 4}
    assert "zoe" in parts["train"].classes and len(parts["train"]) == 19
    assert list(book.facts) == ["club/train", "club/watched", "club/test"]
    assert len({facts["more"]["sha256"] for facts in book.facts.values()}) == 3
    with keeping(Ledger(facts=book.facts, recalled=True)):
        for split, part in parts.items():
            recalled = faces.load("club", split, 8)
            assert (len(recalled), recalled.classes, recalled.split) == (len(part), part.classes, split)


def test_a_picture_beside_the_folders_of_people_stops_and_names_it() -> None:
    people(Path("club"), {f"p{i:02d}": 3 for i in range(13)})
    Path("club/p00/0.png").rename("club/group.png")
    with pytest.raises(Wrong) as error, keeping(Ledger()):
        faces.load("club", "train", 8)
    one_line(str(error.value), "nobody's folder", "club: group.png", "elsewhere")


def test_one_more_person_moves_nobody_from_training_to_the_test() -> None:
    counts = {f"p{i:02d}": 3 for i in range(20)}
    people(Path("club"), counts)
    people(Path("larger"), counts | {"zoe": 3})
    with keeping(Ledger()):
        learnt, tested = faces.load("club", "train", 8).classes, faces.load("larger", "test", 8).classes
    assert not set(learnt) & set(tested)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ({"anna": 20}, ["one person alone", "here"]),
        ({f"p{i}": 1 for i in range(20)}, ["one picture", "20 people", "two pictures or more"]),
        ({f"p{i}": 4 for i in range(5)}, ["of 12 people", "5 of 5 people"]),
        ({f"p{i}": 2 for i in range(8)} | {f"q{i}": 1 for i in range(8)}, ["of 12 people", "8 of 16 people"]),
    ],
)
def test_too_few_people_in_one_line(names: dict[str, int], parts: list[str]) -> None:
    people(Path("here"), names, 8)
    with pytest.raises(Wrong) as error:
        faces.load("here", "train")
    one_line(str(error.value), *parts)


def test_pictures_of_nobody_knows_whom() -> None:
    people(Path("here"), {"anna": 20}, 8)
    with pytest.raises(Wrong, match="nothing says who is who"):
        faces.load("here/anna", "train")
    with pytest.raises(Wrong, match="no such split of people"):
        faces.load("bars", "valid")


# ----------------------------------------------------------------------------------------------------------------- the margins


def objective(people: int = 6, **words: Any) -> Embed:
    torch.manual_seed(0)
    return Embed(Embedder(8, 1, 16, widths=(8, 8)), people, 16, **words)


@pytest.mark.parametrize("margin", MARGINS)
def test_margins_are_the_papers_equations(margin: str) -> None:
    game = objective(margin=margin, scale=11.0)
    game.progress.fill_(0.5)  # half of the way from 0.25 to 0.75
    x, y = torch.randn(9, 1, 8, 8), torch.arange(9) % 6
    net = game.players["recogniser"].net
    e_ND, w_KD = net(x).detach(), net.people_KD.detach()
    game.lengths_2.copy_(torch.tensor([3.0, 0.5]))
    loss, weights, notes = game.loss("recogniser", (x, y), Rng(0, 0, "x"))
    m = MARGINS[margin] / 2
    lengths = e_ND.norm(dim=1)
    mean, deviation = 0.99 * 3.0 + 0.01 * float(lengths.mean()), 0.99 * 0.5 + 0.01 * float(lengths.std())
    for i in range(9):
        logits = []
        for k in range(6):
            cos = float(e_ND[i] @ w_KD[k] / lengths[i] / w_KD[k].norm())
            if k == int(y[i]):
                theta = math.acos(cos)
                if margin == "arcface":
                    cos = math.cos(theta + m)
                elif margin == "cosface":
                    cos -= m
                else:
                    long = min(max((float(lengths[i]) - mean) / (deviation + 1e-3) * 0.333, -1), 1)
                    cos = math.cos(theta - m * long) - (m * long + m)
            logits.append(11 * cos)
        expected = math.log(sum(map(math.exp, logits))) - logits[int(y[i])]
        assert loss[i].item() == pytest.approx(expected, abs=2e-4)
    assert weights is None and 0 <= notes["accuracy"] <= 1


def test_a_turned_cosine_never_turns_back() -> None:
    cos = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    for angle in (-0.5, -0.1, 0.0, 0.3, 0.5):
        made = embed.turned(cos, torch.full_like(cos, angle))
        assert (made.diff() > 0).all() and made.diff().max() < 0.02
        x = cos.clone().requires_grad_()
        (slope,) = torch.autograd.grad(embed.turned(x, torch.full_like(x, angle)).sum(), x)
        assert torch.isfinite(slope).all()


def test_the_margin_grows_with_the_run_and_is_resumed() -> None:
    game = objective(margin="arcface")
    widths = []
    for progress in (0.0, 0.25, 0.5, 0.75, 1.0):
        game.after(progress, 100)
        widths.append(game.width)
    assert widths == pytest.approx([0, 0, 0.25, 0.5, 0.5])
    assert float(game.state()["progress"]) == 1.0


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("kinds", [12, 400])
def test_the_first_loss_is_the_expected_one(margin: str, kinds: int) -> None:
    torch.manual_seed(1)
    game = Embed(Embedder(16, 3, 128, widths=(8, 16)), kinds, 128, margin=margin)
    x, y = torch.randn(256, 3, 16, 16), torch.arange(256) % kinds
    loss = game.loss("recogniser", (x, y), Rng(0, 0, "x"))[0].mean().item()
    assert loss == pytest.approx(game.expect()["recogniser"], abs=0.25)


def test_scales_suit_the_number_of_people() -> None:
    scales = [embed.suitable(k) for k in (2, 10, 1_000, 100_000, 10**15)]
    assert scales == sorted(scales) and scales[0] == 4
    assert scales[2] == pytest.approx(1.5 * math.sqrt(2) * math.log(999)) and scales[-1] == 64
    with pytest.raises(Wrong, match="no such margin"):
        objective(margin="faceface")


def test_vectors_have_length_one_and_come_from_the_average() -> None:
    game = objective()
    x = (torch.rand(7, 1, 8, 8) * 255).to(torch.uint8)
    e_ND = game.embed(x)
    assert e_ND.shape == (7, 16) and torch.allclose(e_ND.norm(dim=1), torch.ones(7), atol=1e-5)
    with torch.no_grad():
        game.players["recogniser"].net.embedder.gather.weight.zero_()
    assert torch.equal(game.embed(x), e_ND)
    (net,) = game.nets().values()
    assert not any("people" in name for name, _ in net.named_parameters())
    assert game.embed(x[:0]).shape == (0, 16)


# ------------------------------------------------------------------------------------------------------------- what is counted


def scores(seed: int = 0, n: int = 300, m: int = 900) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(0.5, 0.2, n).round(2)), torch.from_numpy(rng.normal(0.0, 0.2, m).round(2))  # with ties


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_true_accepts_at_a_rate_are_the_definition(rate: float) -> None:
    same, other = scores()
    best = 0.0
    for at in sorted({*same.tolist(), *other.tolist()}):
        if sum(score > at for score in other.tolist()) / len(other) <= rate:
            best = max(best, sum(score > at for score in same.tolist()) / len(same))
    assert verification.accepted(same, other, rate)[0] == pytest.approx(best)
    wrongly, missed = verification.errors(same, other, verification.threshold_at(other, rate))
    assert wrongly <= rate and missed == pytest.approx(1 - best)


def test_the_equal_error_is_the_definition() -> None:
    for seed in range(4):
        same, other = scores(seed)
        found = []
        for at in same.tolist():
            for just_below in (0.0, 1e-6):
                wrongly = float((other > at - just_below).double().mean())
                missed = float((same <= at - just_below).double().mean())
                found.append((abs(wrongly - missed), (wrongly + missed) / 2))
        best = [error for apart, error in found if apart < min(found)[0] + 1e-9]
        assert any(verification.equal_error(same, other) == pytest.approx(error) for error in best)
    assert verification.equal_error(torch.ones(5), torch.zeros(5)) == pytest.approx(0)
    assert verification.equal_error(torch.zeros(5), torch.ones(5)) == pytest.approx(1)


def test_the_best_threshold_is_right_most_often() -> None:
    for seed in range(4):
        same, other = scores(seed, 40, 50)

        def right(at: float, same: torch.Tensor = same, other: torch.Tensor = other) -> int:
            return int((same > at).sum() + (other <= at).sum())

        candidates = [-9.0, *same.tolist(), *other.tolist()]
        assert right(verification.most_right(same, other)) == max(map(right, candidates))
    assert 0 < verification.most_right(torch.ones(3), torch.zeros(3)) < 1


def vectors(kinds: int = 24, each: int = 6, noise: float = 0.6) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy directions of people, and who they are."""
    rng, y = Rng(0, 0, "vectors"), torch.arange(kinds).repeat_interleave(each)
    e = rng.normal(kinds, 16)[y] + noise * rng.normal(len(y), 16)
    return torch.nn.functional.normalize(e), y


def test_all_pairs_are_compared_once() -> None:
    e, y = vectors(5, 3)
    same, other = [], []
    for i in range(15):
        for j in range(i):
            (same if y[i] == y[j] else other).append(float(e[i] @ e[j]))
    found = verification.scores_of(e, y)
    for mine, naive in zip(found, (same, other), strict=True):
        assert mine.sort().values.tolist() == pytest.approx(sorted(naive), abs=1e-6)


def test_lfw_s_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAIRS", 20)
    e, y = vectors()
    seen: list[tuple[int, int]] = []
    real = verification.most_right

    def noted(same: torch.Tensor, other: torch.Tensor) -> float:
        seen.append((len(same), len(other)))
        return real(same, other)

    monkeypatch.setattr(verification, "most_right", noted)
    folds, pairs = verification.lfw(e, y)
    assert len(folds) == 10 and pairs == 400 and seen == [(180, 180)] * 10
    assert 0.85 < np.mean(folds) <= 1 and verification.lfw(e, y)[0] == folds
    assert verification.lfw(e, y, seed=1)[0] != folds or np.mean(folds) == 1
    lost = torch.nn.functional.normalize(Rng(0, 0, "lost").normal(len(y), 16))
    assert abs(np.mean(verification.lfw(lost, y)[0]) - 0.5) < 0.15  # vectors that know nothing
    assert len(verification.lfw(*vectors(4))[0]) == 2
    e, y = vectors(4, each=2)
    alone, pairs = verification.lfw(e, torch.tensor([0, 0, 1, 1, 2, 3, 4, 5]))  # a fold may have no pair: it counts as none
    assert len(alone) in (1, 2) and pairs == 4  # both pairs of one person in one fold, or in two


def test_ranks_and_strangers_are_the_definitions() -> None:
    e, y = vectors(noise=1.0)
    centres = {}
    probes = []
    for person in range(24):
        mine = (y == person).nonzero().flatten().tolist()
        mean = e[mine[:3]].mean(0)
        centres[person] = mean / mean.norm()
        probes += mine[3:]
    right = [max(centres, key=lambda k: float(centres[k] @ e[i])) == int(y[i]) for i in probes]
    assert verification.first_rank(e, y) == (pytest.approx(np.mean(right)), 72)

    known = [person for person in range(24) if person % 2 == 0]
    tops = [max(float(centres[k] @ e[i]) for k in known) for i in range(len(y)) if int(y[i]) % 2]
    at = sorted(tops, reverse=True)[int(0.1 * len(tops))]
    hits = []
    for i in probes:
        if int(y[i]) % 2 == 0:
            best = max(known, key=lambda k: float(centres[k] @ e[i]))
            hits.append(best == int(y[i]) and float(centres[best] @ e[i]) > at + 1e-7)
    assert 0 < np.mean(hits) < np.mean(right)
    assert verification.open_set(e, y, 0.1) == (pytest.approx(np.mean(hits)), 36)


def test_hardest_pairs() -> None:
    e, y = vectors(6, 4)
    cos = (e @ e.T).tolist()
    for same in (True, False):
        pairs = verification.hardest(e, y, same=same)
        kinds = [(i, j) for i in range(24) for j in range(i) if (y[i] == y[j]) == same]
        worst = (min if same else max)(kinds, key=lambda pair: cos[pair[0]][pair[1]])
        assert set(pairs[0]) == set(worst)
        who = [k for pair in pairs for k in {int(y[pair[0]]), int(y[pair[1]])}]
        assert len(who) == len(set(who)) == 6


def test_pixels_and_colours_written_out() -> None:
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8))
    histograms = np.zeros((2, 8, 8, 8))
    for i in range(2):
        for r, g, b in x[i].flatten(1).T.tolist():
            histograms[i, b // 32, g // 32, r // 32] += 1 / 64
    expected = np.sqrt(histograms[0] * histograms[1]).sum()  # Bhattacharyya
    one, two = verification.colours(x)
    assert float(one @ two) == pytest.approx(expected, abs=1e-5) and float(one @ one) == pytest.approx(1)
    flat = x.flatten(1).double().numpy()
    one, two = verification.pixels(x)
    assert float(one @ two) == pytest.approx(np.corrcoef(flat)[0, 1], abs=1e-4)


class Told:
    """An objective whose vectors are what it is told: the first pixels."""

    def embed(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x_NCHW.flatten(1)[:, :16].float() - 128)


def told(kinds: int, each: int) -> Images:
    e, y = vectors(kinds, each)
    x = (Rng(0, 0, "rest").uniform(len(y), 1, 8, 8) * 255).to(torch.uint8)
    x.flatten(1)[:, :16] = (128 + 100 * e).to(torch.uint8)
    return Images(x.view(-1, 1, 8, 8), y, [f"p{i}" for i in range(kinds)], name="told", split="test")


def test_the_report_of_known_answers() -> None:
    watched, unseen = told(12, 6), told(24, 6)
    scores = Verification(watched, unseen)
    report, picture = scores.judge(Told())
    e, y = Told().embed(unseen.x_NCHW), unseen.labels_N
    same, other = verification.scores_of(e, y)
    assert report["scores"]["tar_far_1"]["value"] == pytest.approx(verification.accepted(same, other, 0.01)[0])
    assert report["scores"]["rank_1"]["n"] == 72 and report["columns"] == ["net", "baseline"]
    kept = scores.finish(Told())
    watched_scores = verification.scores_of(Told().embed(watched.x_NCHW), watched.labels_N)
    assert kept["threshold"] == verification.threshold_at(watched_scores[1], 0.01)  # by what was watched alone
    assert kept["false_accept"] <= 0.01 and kept["watched_pairs"] == [12 * 15, 12 * 11 * 18]
    assert report["scores"]["tar_far_1"]["n"] == len(same) and report["scores"]["false_accept"]["n"] == len(other)
    beside = kept["gallery"]  # three pictures enrol a person, three are held against everybody
    assert beside["watched_pairs"] == [12 * 3, 12 * 3 * 11]
    e_w, y_w = Told().embed(watched.x_NCHW), watched.labels_N
    centre_KD, people_K, left_N = verification.enrolled(e_w, y_w)
    others = torch.tensor(
        [float(e @ c) for e, y in zip(e_w[left_N], y_w[left_N], strict=True) for c, k in zip(centre_KD, people_K, strict=True)
         if y != k]
    )  # fmt: skip
    assert beside["threshold"] == pytest.approx(verification.threshold_at(others, 0.01), abs=1e-6)
    assert beside["false_accept"] == pytest.approx(float((others > beside["threshold"] + 1e-6).double().mean()), abs=0.004)
    assert report["threshold"] == kept["threshold"]
    assert report["scores"]["false_reject"]["value"] == pytest.approx(float((same <= kept["threshold"]).double().mean()))
    for key, (better, _) in verification.MEANINGS.items():
        others = [report["ways"][way][key] for way in ("pixels", "colours")]
        assert report["scores"][key]["floor"] == (max if better == "higher" else min)(others)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert scores.sheet(Told()).shape == (8 * 3, 8 * 10, 1)  # twelve people: ten pairs of one, six of two
    quick = scores.quick(Told())
    assert quick["missed_watched"] == pytest.approx(1 - verification.accepted(*watched_scores, 0.01)[0])
    watch = Guard(level=scores.level)
    assert watch.look({"eer_watched": 1e-4}) is None and watch.look({"eer_watched": 0.4}) is None
    for words in ({"wish": "random"}, {"full": True}):
        with pytest.raises(Wrong, match="test people alone"):
            scores.judge(Told(), **words)


# ------------------------------------------------------------------------------------------------------------------ the recipe


def test_bars_that_were_never_seen_are_told_apart(trained: Path, gannet: Command) -> None:
    table = gannet("evaluate", trained).stdout
    report = json.loads((trained / "evaluation.json").read_text())
    assert report["scores"]["tar_far_1"]["value"] > 0.9 and "baseline" in table and "rank_1" in table
    record = json.loads((trained / "recipe.json").read_text())
    assert list(record["data"]) == ["bars/train", "bars/watched", "bars/test"]
    assert record["draws"] is False and -1 <= record["trained"]["threshold"] <= 1
    assert (trained / "samples" / "last.png").is_file() and (trained / "samples" / "closest.png").is_file()


def test_nobody_watched_or_unseen_is_trained_on() -> None:
    chosen = recipe.find("faces")
    made = recipe.build(chosen, recipe.resolve(chosen, {"size": "tiny", "data": "bars"}))
    splits = [set(part.classes) for part in (made.data, made.evaluation.watched, made.evaluation.unseen)]
    assert [len(names) for names in splits] == [9, 3, 4] and len(set.union(*splits)) == 16
    assert made.objective.classes == 9


@pytest.mark.parametrize("margin", MARGINS)
def test_every_margin_trains_and_is_loaded_again(margin: str) -> None:
    made = run.train("faces", size="tiny", data="bars", margin=margin, batch=16, steps=3, out="run", skip=NONE)
    assert run.load("run").digest() == made.digest()


def test_a_run_begins_with_another_on_other_people(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(13):  # grey pictures of the same size as those that it has seen
        Path(f"club/p{k:02d}").mkdir(parents=True)
        for light in (90, 130, 170):
            bar(k % 8, light + k, f"club/p{k:02d}/{light}.png")
    words: dict[str, Any] = {"size": "tiny", "start": trained, "steps": 1, "rate": 1e-9, "skip": NONE}
    made = run.train("faces", data="club", pixels=8, out="run", **words)
    said = capsys.readouterr().err
    assert "begins with" in said and "anew" in said and "embedder" not in said.partition("anew")[2].splitlines()[0]
    theirs = dict(run.load(trained).nets["recogniser.embedder"].named_parameters())
    for name, parameter in made.nets["recogniser.embedder"].named_parameters():
        assert torch.allclose(parameter, theirs[name], atol=1e-4), name
    run.train("faces", data="club", pixels=16, out="larger", **words)  # whose last layer is another
    assert "gather.weight" in capsys.readouterr().err


def bar(place: int, light: int, file: str) -> str:
    x = np.zeros((8, 8), np.uint8)
    x[place] = light
    Image.fromarray(x).save(file)
    return file


def test_two_files_are_of_one_or_not(trained: Path) -> None:
    loaded = run.load(trained)
    one, two, other = bar(2, 170, "one.png"), bar(2, 250, "two.png"), bar(6, 200, "other.png")
    found = matching.same(loaded, one, two)
    assert found["same"] and found["similarity"] > found["threshold"] == loaded.record["trained"]["threshold"]
    assert found["false_accept"] == loaded.record["trained"]["false_accept"] and found["files"] == [one, two]
    assert matching.same(loaded, one, other)["similarity"] < found["similarity"]


def test_people_are_enrolled_kept_and_found(trained: Path) -> None:
    loaded = run.load(trained)
    for place in range(3):
        Path(f"club/p{place}").mkdir(parents=True)
        for light in (170, 210, 250):
            bar(place, light, f"club/p{place}/{light}.png")
    Path("club/p0/words.png").write_text("no picture")
    Path("club/__MACOSX/p0").mkdir(parents=True)  # as a Mac packs it
    Path("club/__MACOSX/p0/._170.png").write_bytes(b"no picture")
    Path("club/p1/._170.png").write_bytes(b"no picture")
    gallery = matching.enrol(loaded, "club")
    assert gallery.people == ["p0", "p1", "p2"] and gallery.pictures == [3, 3, 3]
    assert gallery.model == matching.weights_of(run.load(trained))  # weights, not what they say in their last bits
    assert gallery.left_out == [["p0/words.png", "no picture, whatever its name says"]]
    again = matching.Gallery.load(gallery.save("gallery"))
    assert torch.equal(again.vectors_KD, gallery.vectors_KD) and again.people == gallery.people
    assert sorted(path.name for path in Path("gallery").iterdir()) == ["gallery.json", "gallery.safetensors"]
    found, stranger = matching.search(loaded, again, [bar(1, 190, "x.png"), bar(6, 190, "y.png")], top=2)
    assert found["person"] == "p1" and found["known"] and found["likeliest"][0]["person"] == "p1"
    assert len(found["likeliest"]) == 2 and found["false_alarm"] == pytest.approx(
        1 - (1 - (found["false_accept"] or 3 / found["watched_pairs"][1])) ** 3, abs=1e-3
    )
    assert found["threshold"] == loaded.record["trained"]["gallery"]["threshold"]  # of people, not of pairs of pictures
    loaded.record["trained"]["gallery"]["threshold"] = stranger["similarity"] + 0.01
    assert matching.search(loaded, again, ["y.png"])[0]["person"] == "nobody known"


def test_bad_matches_in_one_line(trained: Path) -> None:
    loaded = run.load(trained)
    bar(1, 200, "one.png")
    Path("words.png").write_text("no picture")
    Path("empty/anna").mkdir(parents=True)
    Path("broken/anna").mkdir(parents=True)
    Path("broken/anna/words.png").write_text("no picture")
    Path("club/p0").mkdir(parents=True)
    bar(1, 200, "club/p0/one.png")
    gallery = matching.enrol(loaded, "club")
    gallery.model = "another"
    Path("damaged").mkdir()
    Path("damaged/gallery.json").write_text("{}")
    cases: list[tuple[Any, list[str]]] = [
        (lambda: matching.same(loaded, "one.png", "absent.png"), ["absent.png"]),
        (lambda: matching.same(loaded, "words.png", "one.png"), ["words.png", "no picture"]),
        (lambda: matching.enrol(loaded, "nowhere"), ["nowhere", "no such folder"]),
        (lambda: matching.enrol(loaded, "empty/anna"), ["empty/anna", "nobody has a folder"]),
        (lambda: matching.enrol(loaded, "empty"), ["anna", "no picture"]),
        (lambda: matching.enrol(loaded, "broken"), ["anna", "words.png"]),
        (lambda: matching.search(loaded, gallery, ["one.png"]), ["another run"]),
        (lambda: matching.search(loaded, gallery, ["one.png"], top=0), ["top=0"]),
        (lambda: matching.Gallery.load("nowhere"), ["no gallery", "nowhere"]),
        (lambda: matching.Gallery.load("damaged"), ["damaged"]),
        (lambda: gallery.save("club"), ["club", "nothing was written"]),
    ]
    for do, parts in cases:
        with pytest.raises(Wrong) as error:
            do()
        one_line(str(error.value), *parts)
    drawing = run.train("digits", size="tiny", data="bars", steps=2, out="digits", skip=NONE)
    with pytest.raises(Wrong, match="tells no people apart"):
        matching.same(drawing, "one.png", "one.png")


def test_a_folder_of_people_from_training_to_its_scores() -> None:
    people(Path("club"), {f"p{i:02d}": 4 for i in range(13)}, 8)
    run.train("faces", size="tiny", data="club", steps=4, out="run", skip=NONE)
    report = run.evaluate("run")
    assert "16 pictures of 4 people" in report["about"] and report["scores"]["eer"]["n"] == 16 * 15 / 2
    assert report["scores"]["tar_far_1"]["n"] == 4 * 6 and report["scores"]["false_accept"]["n"] == 16 * 15 / 2 - 4 * 6
    with pytest.raises(Wrong, match="not those that the run began with"):
        Path("club/p00/0.png").write_bytes(Path("club/p00/1.png").read_bytes())
        run.evaluate("run")


def test_a_healthy_recipe_passes_every_check() -> None:
    chosen = recipe.find("faces")

    def build(size: str) -> recipe.Recipe:
        torch.manual_seed(0)
        return recipe.build(chosen, recipe.resolve(chosen, {"size": size, "data": "bars"}))

    rows = preflight.fly(preflight.Case(build("tiny"), again=build), full=True)
    assert not preflight.failed(rows), preflight.failed(rows)
    warned = {row.name for row in rows if row.verdict == "warn"} - {"waiting", "length"}
    assert warned == {"moved", "repeated-items"}  # biases before batch normalisation; bars repeat themselves


def test_the_command_compares_enrols_searches_and_explains(trained: Path, gannet: Command) -> None:
    for name in ("two", "six"):
        Path(f"people/{name}").mkdir(parents=True)
    for place, light, file in ((2, 200, "people/two/a.png"), (6, 200, "people/six/a.png"), (2, 120, "c.png")):
        bar(place, light, file)
    found = matching.same(run.load(trained), "people/two/a.png", "c.png")
    said = gannet("predict", str(trained), "people/two/a.png", "c.png").stdout
    assert said.startswith(f"{'same' if found['same'] else 'different'}: similarity {found['similarity']:.3f}")
    assert f"{found['false_accept']:.2%}" in said and f"{found['false_reject']:.2%}" in said
    told = gannet("predict", str(trained), "c.png", "--gallery", "people", "--out", "kept", "--json")
    again = gannet("predict", str(trained), "c.png", "--gallery", "kept", "--json")
    assert json.loads(told.stdout) == json.loads(again.stdout)
    assert {one["person"] for one in json.loads(told.stdout)[0]["likeliest"]} == {"two", "six"}
    report = json.loads(
        gannet("explain", str(trained), "c.png", "--beside", "people/two/a.png", "--out", "why", "--json").stdout
    )
    assert report["similarity"] == pytest.approx(found["similarity"], abs=0.01) and Path("why/explain.png").is_file()
    loaded = run.load(trained)
    train = run.recipe.build(run.recipe.find("faces"), loaded.record["arguments"]).data
    with torch.no_grad():  # the training pictures that are most like the first of the two, by hand
        net = next(iter(loaded.nets.values()))
        mine = F.normalize(net(to_float(prepared(Path("c.png"), train.pixels, train.channels)[None])))
        alike_N = (F.normalize(net(to_float(train.x_NCHW))) * mine).sum(1)
    near = report["nearest"]["examples"]
    assert [1 - one["distance"] ** 2 / 2 for one in near] == pytest.approx(alike_N.topk(len(near)).values.tolist(), abs=1e-3)
    assert [one["class"] for one in near] == [train.classes[int(train.labels_N[one["number"]])] for one in near]
    card = (trained / "README.md").read_text()
    assert "matching.same" in card and "one person's pictures that look least alike" in card
    for words, parts in (
        (("predict", str(trained), "c.png"), ["in pairs", "1 pictures", "--gallery"]),
        (("predict", str(trained)), ["no picture"]),
        (("explain", str(trained), "c.png"), ["in pairs", "--beside"]),
        (("explain", str(trained), "c.png", "--beside", "c.png", "--class", "1"), ["no class", "--class 1"]),
        (("predict", str(trained), "c.png", "c.png", "--least", "0.7"), ["threshold that the run keeps", "--least 0.7"]),
        (("predict", str(trained), "c.png", "c.png", "--out", "x"), ["pair", "--out x", "--gallery"]),
    ):
        one_line(gannet(*words, status=2).stderr, *parts)
    one_line(gannet("predict", str(trained), "c.png", "--gallery", "nowhere", status=1).stderr, "nowhere", "folder of people")
