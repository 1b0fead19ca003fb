"""Writing, the whole path: train on somebody's text, sample, go on with a prompt, evaluate, and one line for what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Command, one_line
from gannet import preflight, recipe, run
from gannet.data import text
from gannet.data.text import Texts, Vocabulary
from gannet.errors import Wrong
from gannet.evaluation import texts as scores
from gannet.nets.sequence import Recurrent, Transformer
from gannet.objectives.language import Language, negative_log_likelihood
from gannet.objectives.text_gan import TextGan

NONE = {"all": "to be quick"}


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt what sums look like."""
    folder = tmp_path_factory.mktemp("write") / "sums"
    return run.train("write", size="tiny", data="sums", steps=500, out=folder, skip=NONE).folder


def test_it_writes_what_it_learnt_from_and_goes_on_with_a_prompt(sums: Path, gannet: Command) -> None:
    loaded = run.load(sums)
    told = loaded.write(200, temperature=0.7)
    assert sum(set(one) <= set("0123456789+=") and one.count("=") == 1 for one in told) > 180
    done = gannet("sample", str(sums), "--prompt", "12+7", "--temperature", "0.5", "-n", "2", "--seed", "3")
    assert done.stdout == "\n\n".join(loaded.write(2, prompt="12+7", temperature=0.5, seed=3)) + "\n"
    assert all(one.startswith("12+7") for one in done.stdout.strip().split("\n\n"))
    Path("begun.txt").write_text("3+\n")
    done = gannet("sample", str(sums), "--prompt-file", "begun.txt", "--out", "texts", "--top-p", "0.5", "-n", "3")
    assert [p.read_text()[:2] for p in sorted(Path("texts").glob("*.txt"))] == ["3+"] * 3
    Path("texts/2024 best.txt").write_text("mine")  # numbered, and not as ours are
    for wrong in (("--prompt", "%"), ("--class", "1")):  # nothing goes for a wish that cannot be had
        gannet("sample", str(sums), "--out", "texts", *wrong, status=2)
        assert len(list(Path("texts").iterdir())) == 5
    gannet("sample", str(sums), "--out", "texts")  # an earlier one of ours is replaced
    assert [p.name for p in sorted(Path("texts").iterdir())] == ["00000.txt", "2024 best.txt", "drawn.json"]
    assert loaded.write(1, temperature=0) == loaded.write(1, temperature=0, seed=9)
    assert loaded.write(3, seed=1) == loaded.write(5, seed=1)[:3]
    assert len(loaded.write(1, length=2)[0]) <= 2
    assert "".join(loaded.stream(seed=4, number=2)) == loaded.write(3, seed=4)[2]


def test_an_unfinished_text_is_streamed_piece_by_piece(sums: Path) -> None:
    pieces = list(run.load(sums).stream(prompt="1", seed=1))
    assert pieces[0] == "1" and all(len(piece) == 1 for piece in pieces)


@pytest.mark.parametrize(
    ("words", "parts", "status"),
    [
        (["--prompt", "1x?"], ["never seen", "'x' '?'"], 2),
        (["--prompt", "1", "--prompt-file", "x"], ["both given"], 2),
        (["--prompt-file", "absent.txt"], ["absent.txt"], 2),
        (["--temperature", "-1"], ["--temperature", "-1"], 2),
        (["--top-p", "0"], ["--top-p"], 2),
        (["--length", "0"], ["--length"], 2),
        (["-n", "0"], ["-n 0"], 2),
        (["--film", "3"], ["writes texts", "--film"], 2),
        (["--class", "3"], ["not learnt classes"], 2),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_written_is_told_in_a_line(
    sums: Path, gannet: Command, words: list[str], parts: list[str], status: int
) -> None:
    one_line(gannet("sample", str(sums), *words, status=status).stderr, *parts)


def test_a_run_that_draws_takes_no_prompt(gannet: Command) -> None:
    run.train("digits", size="tiny", data="bars", steps=2, out="drawer", skip=NONE)
    one_line(gannet("sample", "drawer", "--prompt", "a", status=2).stderr, "draws pictures", "--prompt")
    with pytest.raises(Wrong, match="writes nothing"):
        run.load("drawer").write()


@pytest.mark.parametrize(
    ("content", "parts"),
    [("", ["empty"]), ("one line alone\n", ["line"]), ("a" * 5_000, ["letter"])],
    ids=["empty", "one line", "one letter"],
)
def test_what_is_no_text_to_learn_from(gannet: Command, content: str, parts: list[str]) -> None:
    Path("bad.txt").write_text(content)
    done = gannet("train", "write", "--size", "tiny", "--data", "bad.txt", status=1)
    one_line(done.stderr, *parts)
    assert not Path("runs").exists()


def test_every_score_has_its_floor_and_the_card_says_them(sums: Path, gannet: Command) -> None:
    report = json.loads(gannet("evaluate", str(sums), "--json").stdout)
    found = report["scores"]
    assert set(found) == {"nats_per_token", "bits_per_character", "bleu5", "self_bleu5", "copied_texts", "longest_copy"}
    assert found["nats_per_token"]["value"] < found["nats_per_token"]["floor"]  # better than counting pairs
    assert found["bits_per_character"]["value"] == pytest.approx(found["nats_per_token"]["value"] / math.log(2))
    points = report["curves"]["this run"]
    assert [point["temperature"] for point in points] == list(scores.TEMPERATURES)
    assert points[0]["self_bleu5"] > points[-1]["self_bleu5"]  # the colder, the more alike
    card = (sums / "README.md").read_text()
    assert "nats_per_token" in card and "1,520 texts" in card
    assert (sums / "samples" / "last.txt").read_text().count("\n\n") == 5


@pytest.mark.parametrize("path", ["policy", "cot", "gumbel"])
def test_a_contest_is_judged_beside_its_own_warm_up(path: str) -> None:
    made = run.train("write", size="tiny", data="sums", steps=40, gan=path, out=path, skip=NONE)
    report = run.evaluate(made.folder, full=True)
    assert set(report["curves"]) == set(report["judged"]) == {"this run", "its warm-up"}
    for points in report["judged"].values():
        assert [point["temperature"] for point in points] == list(scores.FULL_AT)
        assert points[0]["lm"] < points[-1]["lm"]  # the colder, the likelier
    assert report["judged_real"]["reverse_lm"] < min(point["reverse_lm"] for point in report["judged"]["this run"])
    assert report["warmed_nats_per_token"] != report["scores"]["nats_per_token"]["value"]
    assert made.digest() == run.load(path).digest()


@pytest.mark.parametrize("net", ["gru", "lstm"])
def test_recurrent_nets_write_too(net: str) -> None:
    made = run.train("write", size="tiny", data="sums", steps=5, net=net, out=net, skip=NONE)
    assert isinstance(made.nets["writer"], Recurrent)
    assert run.load(net).write(2, seed=1) == made.write(2, seed=1)


def test_kinds_of_text_are_classes(gannet: Command) -> None:
    for kind, letters in (("high", "abc"), ("low", "xyz")):
        Path("kinds", kind).mkdir(parents=True)
        for i in range(60):
            lot = np.random.default_rng(i)
            Path("kinds", kind, f"{i}.txt").write_text("".join(lot.choice(list(letters), 12)))
    run.train("write", size="tiny", data="kinds", steps=400, out="run", skip=NONE)
    told = gannet("sample", "run", "--class", "low", "-n", "5").stdout
    assert sum(letter in "xyz" for letter in told) > 10 * sum(letter in "abc" for letter in told)
    assert run.load("run").class_number("high") == 0


@torch.no_grad()
def test_the_loss_is_what_a_loop_says() -> None:
    torch.manual_seed(0)
    words = Vocabulary.learn("characters", ["abcd"])
    net = Transformer(len(words), width=8, layers=1, heads=2, context=6)
    objective = Language(preflight.case.perturb(net), words, longest=6)  # type: ignore[arg-type]
    batch = text.Batch(torch.randint(6, (3, 7)), torch.rand(3, 6) < 0.7, torch.zeros(3, dtype=torch.int64))
    values, weights, _ = objective.loss("writer", batch, None)  # type: ignore[arg-type]
    logits = net(batch.tokens_NT[:, :-1])
    for n in range(3):
        told = [-logits[n, t].log_softmax(0)[batch.tokens_NT[n, t + 1]] for t in range(6) if batch.there_NT[n, t]]
        assert float(values[n].detach()) == pytest.approx(float(sum(told).detach()) / max(len(told), 1), rel=1e-4)  # type: ignore
        assert weights is not None and int(weights[n]) == len(told)
    assert float(negative_log_likelihood(logits, batch)[~batch.there_NT].abs().sum()) == 0


def test_a_curve_is_not_compared_with_chords_of_another() -> None:
    def points(*values: float) -> list[dict[str, float]]:
        return [{"x": x, "y": 1 / x} for x in values]

    base, same = points(4, 1, 2, 3), points(1.5, 2.5, 3, 3.5, 4.5)
    apart = scores.above(same, base, "x", "y")
    assert apart[-1] is None and all(value is not None and abs(value) < 0.035 for value in apart[:-1])
    chord = 1 / 1.5 - (1 + 1 / 2) / 2  # what straight lines would call a gain
    assert apart[0] is not None and abs(apart[0]) < abs(chord) / 2 and chord < -0.08
    assert scores.above(base, base, "x", "y") == pytest.approx([0, 0, 0, 0])
    once = [{"x": 1.0, "y": 2.0}, {"x": 1.0, "y": 4.0}]
    assert scores.above([{"x": 1.0, "y": 5.0}, {"x": 2.0, "y": 5.0}], once, "x", "y") == [2.0, None]


def test_the_baseline_counts_pairs() -> None:
    words = Vocabulary.learn("characters", ["ab"])
    ids = [0, 2, 3, 2, 3, 0]
    data = Texts(np.array(ids, np.uint16), np.array([0, 5]), words, 4)
    batch = text.Batch(torch.tensor([[2, 3, 3]]), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.int64))
    one = [ids.count(k) + 0.5 for k in range(4)]
    p = [value / sum(one) for value in one]
    by_hand = [(2 + 5 * p[3]) / (2 + 5), (0 + 5 * p[3]) / (2 + 5)]  # a is followed by b twice; b by b never
    assert scores.bigram(data, batch) == pytest.approx(-sum(map(math.log, by_hand)) / 2)


def test_of_a_text_too_large_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    data = text.load("sums")
    assert scores.looked_at(data) == [ids.tolist() for ids in data.bodies()]
    monkeypatch.setattr(scores, "LOOKED", 20)
    few = scores.looked_at(data)
    assert sum(map(len, few)) == 20 and few == [ids.tolist()[: len(one)] for ids, one in zip(data.bodies(), few, strict=False)]
    assert scores.bigram(data, data.windows(8)) > 0


def test_real_texts_are_no_longer_than_what_is_written() -> None:
    data = text.load("sums")
    bodies = [ids.tolist() for ids in data.bodies()]
    assert scores.pieces(data, 10_000, 1_000) == bodies
    assert scores.pieces(data, 10_000, 4) == [ids[:4] for ids in bodies]
    spread = scores.pieces(data, 5, 1_000)  # from the first to the last, as evenly as can be
    assert spread == [bodies[k * (len(bodies) - 1) // 4] for k in range(5)]


def test_of_classes_every_one_is_looked_at(tmp_path: Path) -> None:
    for kind in "abc":
        (tmp_path / kind).mkdir()
        lines = "\n".join(f"{kind}{i:04d}" for i in range(2_000))
        (tmp_path / kind / "all.txt").write_text(lines)
    train, watched = text.load(str(tmp_path), documents="lines").parted(20)
    few = np.bincount(watched.windows(30).y_N.numpy(), minlength=3)
    assert few.min() >= 8 and sum(few) == 30
    said = [train.vocabulary.decode(ids)[0] for ids in scores.pieces(train, 30, 100)]
    assert min(said.count(kind) for kind in "abc") >= 8


def test_a_test_part_of_one_text_is_judged_by_its_nats(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("to be or not to be. " * 110)
    made = run.train("write", size="tiny", data=str(tmp_path / "short.txt"), steps=3, out=tmp_path / "run", skip=NONE)
    report = run.evaluate(made.folder, full=True)
    assert set(report["scores"]) == {"nats_per_token", "bits_per_character"} and "too small" in report["about"]
    assert report["curves"]["this run"] and not report["real"]


@pytest.mark.parametrize(("kind", "whole"), [("characters", True), ("bpe", True), ("words", True), ("characters", False)])
def test_a_text_without_end_begins_behind_a_line(kind: str, whole: bool) -> None:
    if kind == "bpe":
        pytest.importorskip("tokenizers")
    words = Vocabulary.learn(kind, ["one line\nand another\n"])
    objective = Language(Transformer(len(words), width=8, layers=1, heads=2, context=6), words, longest=3, whole=whole)
    first, *rest = objective.beginning("another")
    assert rest == words.encode("another")
    assert words.decode([first]) == ("\n" if whole and kind != "words" else "")
    unlined = Vocabulary.learn("characters", ["one line"])
    net = Transformer(len(words), width=8, layers=1, heads=2, context=6)
    contest = TextGan(net, words, path="cot", longest=3, whole=whole)
    assert contest.beginning("another") == [first, *rest]
    plain = Language(Transformer(len(unlined), width=8, layers=1, heads=2, context=6), unlined, longest=3, whole=True)
    assert plain.beginning("") == [unlined.end]


def test_characters_are_counted_behind_tokens_of_any_kind() -> None:
    words = Vocabulary.learn("words", ["one three"])
    batch = text.Batch(torch.tensor([[0, 2, 3, 0]]), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, dtype=torch.int64))
    data = Texts(np.array([0, 2, 3, 0], np.uint16), np.array([0, 3]), words, 3)
    assert scores.letters(data, batch) == pytest.approx((len("one three") + 1) / 3)  # the end counts as one
    batch.tokens_NT[0, 1] = words.unknown  # how long it is, and what it would cost to spell it, nobody knows
    assert scores.letters(data, batch) is None
    letters = Vocabulary.learn("characters", ["ab"])
    assert scores.letters(Texts(np.array([0, 2, 3, 0], np.uint16), np.array([0, 3]), letters, 3), batch) == 1


def test_half_a_character_is_not_kept_back_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Vocabulary.learn("bpe", ["é" * 40 + "a b c"], size=258)
    first, *_ = words.encode("é")  # a byte of two
    objective = Language(Transformer(len(words), width=8, layers=1, heads=2, context=6), words, longest=3, whole=True)
    monkeypatch.setattr(type(objective), "possible", lambda self, logits: torch.eye(len(words))[[first]])
    assert "".join(objective.stream(0, temperature=0)) == objective.write(1, 0, temperature=0)[0] == "\ufffd" * 3


def test_what_is_fed_can_be_read(gannet: Command) -> None:
    gannet("preflight", "write", "--size", "tiny", "--data", "sums", "--out", "looked")
    lines = Path("looked/fed.txt").read_text().splitlines()
    assert len(lines) == 8 and all("=" in line for line in lines)


def test_the_recipe_says_what_it_is() -> None:
    card: Any = recipe.find("write")
    assert card.arm == "text" and {"gan", "tokens", "documents", "context"} <= {flag.name for flag in card.flags}
