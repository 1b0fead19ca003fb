"""Texts: what is read is what is there, nothing is told twice or left out, and odd files are refused in one line."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Command, one_line
from gannet.data import Ledger, keeping, ledger, listings, text
from gannet.data.text import Texts, Vocabulary, load
from gannet.errors import Wrong
from gannet.rng import Rng

WORDS = ["the", "old", "gannet", "dives", "where", "cold", "water", "hides", "a", "silver", "shoal", "and", "nobody", "knows"]
CHINESE = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少？白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
TRADITIONAL = "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少？白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"


def sentences(n: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) + f" {i}" for i in range(n)]


def lines_file(path: Path, n: int = 200) -> Path:
    path.write_text("\n".join(sentences(n)) + "\n", encoding="utf-8")
    return path


def prose_file(path: Path, n: int = 120, extra: str = "") -> Path:
    path.write_text("\n\n".join(sentences(n)) + extra, encoding="utf-8")
    return path


def flat(documents: list[list[int]], **words: object) -> Texts:
    """Texts of documents that are given as ids."""
    vocabulary = Vocabulary("characters", ["", "\ufffd", *"abcdefghij"])
    ids = [i for document in documents for i in [0, *document]] + [0]
    starts = np.cumsum([0, *(len(document) + 1 for document in documents)])
    return Texts(np.array(ids, np.uint16), starts, vocabulary, **words)


def refused(*words: object, **named: object) -> str:
    with pytest.raises(Wrong) as error:
        load(*map(str, words), **named)
    one_line(str(error.value))
    return str(error.value)


# ------------------------------------------------------------------------------------------------------- vocabularies


def test_characters_against_a_dictionary() -> None:
    texts = ["a gannet\n", "dives 鰹鳥 \U0001f41f"]
    vocabulary = Vocabulary.learn("characters", texts)
    letters = sorted(set("".join(texts)))
    numbers = {letter: i + 2 for i, letter in enumerate(letters)}
    said = "dives at \U0001f41f z鳥?"
    assert vocabulary.encode(said) == [numbers.get(letter, 1) for letter in said]
    assert vocabulary.decode([0, *vocabulary.encode(said), 0]) == "dives at \U0001f41f \ufffd鳥\ufffd"
    assert vocabulary.unseen("z?z!a") == ["z", "?", "!"] and vocabulary.end == 0 and vocabulary.unknown == 1
    assert len(vocabulary) == len(letters) + 2
    assert vocabulary.encode("\udc80a") == [1, numbers["a"]]  # what a terminal hands over that is no UTF-8


def test_words_the_most_frequent_first() -> None:
    texts = [" ".join(sentences(50, seed)) for seed in range(3)]
    vocabulary = Vocabulary.learn("words", texts)
    counts = Counter(" ".join(texts).split())
    assert vocabulary.tokens[2:] == [word for word, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    assert vocabulary.decode(vocabulary.encode("  the cold\n gannet whale")) == "the cold gannet \ufffd"
    assert vocabulary.unseen("the whale whale cold") == ["whale"]
    assert len(Vocabulary.learn("words", texts, 10)) == 10


def test_words_that_are_single_characters() -> None:
    vocabulary = Vocabulary.learn("words", [" ".join(CHINESE)], join="")
    assert vocabulary.encode("春眠 不觉晓") == vocabulary.encode("春 眠 不 觉 晓")  # however a person types it
    assert vocabulary.decode(vocabulary.encode("春 眠 不 觉 晓")) == "春眠不觉晓"
    assert vocabulary.unseen("春鲸") == ["鲸"]


def test_byte_pairs_come_back() -> None:
    pytest.importorskip("tokenizers")
    vocabulary = Vocabulary.learn("bpe", sentences(300), 400)
    said = "the old gannet\u2028 dives\n\n  鰹鳥 \U0001f41f<end>\x85 never seen\n"
    ids = vocabulary.encode(said)
    assert vocabulary.decode([0, *ids, 0]) == said and min(ids) > 1 and len(vocabulary) <= 400
    assert len(vocabulary.encode("the old gannet dives")) < 10 and vocabulary.unseen("鰹") == []
    assert vocabulary.characters(np.array(ids)) == len(said)
    assert vocabulary.decode([1]) == "\ufffd"
    again = Vocabulary.learn("bpe", sentences(300), 400)
    assert again.facts() == vocabulary.facts()


def test_byte_pairs_without_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(Wrong) as error:
        Vocabulary.learn("bpe", ["a b"])
    one_line(str(error.value), "gannet[text]")


@pytest.mark.parametrize("kind", text.KINDS)
def test_vocabularies_are_remembered(kind: str) -> None:
    if kind == "bpe":
        pytest.importorskip("tokenizers")
    vocabulary = Vocabulary.learn(kind, sentences(60))
    again = Vocabulary.recall(json.loads(json.dumps(vocabulary.facts())))
    assert again.facts() == vocabulary.facts() and again.encode("the gannet!") == vocabulary.encode("the gannet!")


def test_vocabularies_refuse() -> None:
    for words in (("letters", ["a"]), ("words", ["a"], 2), ("bpe", ["a"], 100)):
        with pytest.raises(Wrong) as error:
            Vocabulary.learn(*words)
        one_line(str(error.value))


# ------------------------------------------------------------------------------------------------------------- batches


def told(documents: list[list[int]], whole: bool, context: int) -> list[tuple[int, int]]:
    """(read, told) of every token that is to be told, the naive way."""
    if whole:
        everything = [i for document in documents for i in [0, *document]] + [0]
        return list(itertools.pairwise(everything))
    return [pair for document in documents for pair in zip([0, *document], [*document, 0], strict=True)]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("context", [1, 2, 3, 5, 100])
def test_windows_tell_everything_once(whole: bool, context: int) -> None:
    draw = random.Random(context)
    documents = [[draw.randint(2, 11) for _ in range(draw.randint(1, 12))] for _ in range(30)]
    texts = flat(documents, whole=whole, context=context, labels_D=torch.arange(30), classes=[str(i) for i in range(30)])
    tokens_NT, there_NT, y_N = texts.windows()
    assert tokens_NT.shape == (len(y_N), context + 1) and there_NT.shape == (len(y_N), context)
    assert tokens_NT.dtype == torch.int64 and there_NT.dtype == torch.bool
    pairs = zip(tokens_NT[:, :-1][there_NT].tolist(), tokens_NT[:, 1:][there_NT].tolist(), strict=True)
    assert list(pairs) == told(documents, whole, context)
    assert (tokens_NT[:, 1:][~there_NT] == 0).all()
    assert there_NT[:, 0].all() and (there_NT.int().diff(dim=1) <= 0).all()  # nothing to be told after what is not there
    if not whole:
        assert y_N.tolist() == [d for d, document in enumerate(documents) for _ in range(-(-(len(document) + 1) // context))]
    last = len(tokens_NT) - 1
    some_3 = [0, last // 2, last]  # of many rows a few, evenly
    short = texts.windows(3)
    assert torch.equal(short.tokens_NT, tokens_NT[some_3]) and torch.equal(short.y_N, y_N[some_3])
    assert torch.equal(short.there_NT, there_NT[some_3]) and torch.equal(texts.windows(10_000).tokens_NT, tokens_NT)


def test_rows_of_documents_lie_inside_one() -> None:
    documents = [[2 + d] * (1 + 3 * d) for d in range(10)]
    texts = flat(documents, context=8)
    starts: Counter[bool] = Counter()
    for step in range(40):
        tokens_NT, there_NT, _ = texts.batch(10, Rng(1, step, "x"))
        assert sorted({max(row) - 2 for row in tokens_NT.tolist()}) == list(range(10))  # an epoch holds each document once
        for row, there in zip(tokens_NT.tolist(), there_NT.tolist(), strict=True):
            d = max(row) - 2
            whole = [0, *documents[d], 0]
            kept = row[: 1 + sum(there)]
            places = [at for at in range(len(whole)) if whole[at : at + len(kept)] == kept]
            assert places and there == [True] * sum(there) + [False] * (8 - sum(there))
            assert len(kept) == min(9, len(whole)) and row[len(kept) :] == [0] * (9 - len(kept))
            if len(whole) > 9:
                starts[kept[0] == 0] += 1
            else:
                assert kept == whole
    assert 0.4 < starts[True] / sum(starts.values()) < 0.6


def test_every_place_of_a_long_document_is_learnt_from() -> None:
    texts = flat([[2, 3, 4, 5, 6, 7, 8], [9, 10]], context=3)
    seen = {tuple(row) for step in range(60) for row in texts.batch(4, Rng(0, step, "x")).tokens_NT.tolist()}
    whole = [0, 2, 3, 4, 5, 6, 7, 8, 0]
    assert seen == {tuple(whole[at : at + 4]) for at in range(6)} | {(0, 9, 10, 0)}


def test_a_continuous_text_is_cut_anywhere() -> None:
    texts = flat([[2, 3, 4, 5, 6]], context=3, whole=True)
    seen = {tuple(row) for step in range(60) for row in texts.batch(4, Rng(0, step, "x")).tokens_NT.tolist()}
    whole = [0, 2, 3, 4, 5, 6, 0]
    assert seen == {tuple(whole[at : at + 4]) for at in range(4)}
    short = flat([[2]], context=5, whole=True).batch(2, Rng(0, 0, "x"))
    assert short.tokens_NT.tolist() == [[0, 2, 0, 0, 0, 0]] * 2 and short.there_NT.tolist() == [[True] * 2 + [False] * 3] * 2


@pytest.mark.parametrize("whole", [True, False])
def test_batches_are_functions_of_the_rng(whole: bool) -> None:
    texts = flat([[2 + i % 10] * (i % 7 + 1) for i in range(40)], whole=whole, context=4)
    one = texts.batch(8, Rng(3, 5, "x"))
    assert torch.equal(one.tokens_NT, texts.batch(8, Rng(3, 5, "x")).tokens_NT)
    halves = [texts.batch(4, Rng(3, 5, "x", rank, 2)) for rank in (0, 1)]
    for whole_one, parts in zip(one, zip(*halves, strict=True), strict=True):
        assert torch.equal(whole_one, torch.cat(parts))


# ------------------------------------------------------------------------------------------------------------- parting


def test_equal_documents_are_on_one_side() -> None:
    documents = [[2 + i % 10] * (i % 13 + 1) for i in range(300)]
    texts = flat(documents, labels_D=torch.arange(300) % 2, classes=["a", "b"])
    kept, watched = texts.parted(5)
    sides = [Counter(part.documents()) for part in (kept, watched)]
    assert sides[0] + sides[1] == Counter(texts.documents()) and not set(sides[0]) & set(sides[1])
    assert watched.split == "watched" and kept.items + watched.items == 300 and len(watched) > 0
    assert kept.characters + watched.characters == texts.characters == sum(map(len, documents))
    assert len(kept.labels_D) == kept.items and kept.ids[0] == kept.ids[-1] == 0
    assert kept.documents() == flat(documents).parted(5)[0].documents()
    few = flat([[2], [3]]).parted(1000)
    assert [len(part) for part in few] == [1, 1]
    for bad in (lambda: texts.parted(1), lambda: flat([[2], [2]]).parted(2)):
        with pytest.raises(Wrong):
            bad()


def test_of_a_continuous_text_the_last_is_watched() -> None:
    texts = flat([list(range(2, 12)) * 10], whole=True)
    kept, watched = texts.parted(10)
    assert kept.documents()[0] + watched.documents()[0] == texts.documents()[0]
    assert len(watched.documents()[0]) == 10 == watched.characters and kept.characters == 90


# -------------------------------------------------------------------------------------------------------------- loading


def test_lines_are_documents(tmp_path: Path) -> None:
    path = lines_file(tmp_path / "notes.txt")
    train, test = load(str(path)), load(str(path), "test")
    assert not train.whole and train.name == "notes" and (train.split, test.split) == ("train", "test")
    assert len(train) + len(test) == 200 and 1 <= len(test) <= 30
    assert sorted(train.documents() + test.documents()) == sorted(sentences(200)) or "\ufffd" in "".join(test.documents())
    assert train.vocabulary is test.vocabulary
    assert train.vocabulary.tokens[2:] == sorted(set("".join(train.documents())))
    lengths = sorted(len(document) + 1 for document in train.documents())
    assert lengths[int(0.985 * len(lengths))] <= train.context <= lengths[-1] and test.context == train.context
    assert train.more == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "encoding": "utf-8"}
    assert train.characters == sum(map(len, train.documents())) and train.ids.dtype == np.uint16
    naive = [line for line in sentences(200) if int.from_bytes(hashlib.sha256(line.encode()).digest()[:8], "little") % 20 == 0]
    assert len(naive) == len(test)


def test_a_continuous_text(tmp_path: Path) -> None:
    path = prose_file(tmp_path / "book.txt")
    train, test = load(str(path)), load(str(path), "test")
    said = path.read_text(encoding="utf-8")
    assert train.whole and train.context == 128 and len(train) == len(test) == 1
    assert train.documents()[0] == said[: len(said) - len(said) // 20] and len(test.documents()[0]) == len(said) // 20
    assert "the last 5 %" in train.facts()["prepared"] and "one continuous text" in train.facts()["prepared"]
    blank = load(str(path), documents="blank")
    assert len(blank) + len(load(str(path), "test", documents="blank")) == 120 and not blank.whole
    assert load(str(path), context=7).batch(2, Rng(0, 0, "x")).tokens_NT.shape == (2, 8)


def test_poems_with_blanks_between_characters(tmp_path: Path) -> None:
    draw = random.Random(0)
    poems = ["".join(draw.sample(CHINESE, 20)) for _ in range(60)]
    path = tmp_path / "poems.txt"
    path.write_text("\n".join(" ".join(poem) + " " for poem in poems), encoding="utf-8")
    train, test = load(str(path)), load(str(path), "test")
    assert train.vocabulary.kind == "words" and "joined without blanks" in train.prepared
    assert sorted(train.documents() + test.documents()) == sorted(poems) and train.characters == 20 * len(train)
    path.write_text("\n".join(poems), encoding="utf-8")
    assert load(str(path)).vocabulary.kind == "characters"


def test_facts_are_remembered(tmp_path: Path) -> None:
    path = lines_file(tmp_path / "notes.txt")
    book = Ledger()
    with keeping(book):
        train = load(str(path))
    facts = json.loads(json.dumps(book.facts))
    assert facts[f"{path}/train"]["kind"] == "text"
    path.unlink()
    with keeping(Ledger(facts, recalled=True)):
        again = load(str(path))
    assert again.facts() == train.facts() and again.items == len(again) == len(train) and again.context == train.context
    assert [part.items for part in again.parted(10)] == [train.items - train.items // 10, train.items // 10]
    assert ledger().facts == {}


def test_folders(tmp_path: Path) -> None:
    for kind in ("birds", "fish"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for i in range(15):
            (tmp_path / "mine" / kind / f"{i}.txt").write_text(f"{kind} number {i}\nand more")
    (tmp_path / "mine" / "notes.csv").write_text("no text")
    train, test = load("mine"), load("mine", "test")
    assert train.classes == ["birds", "fish"] and len(train) + len(test) == 30 and not train.whole
    for part in (train, test):
        for document, label in zip(part.documents(), part.labels_D.tolist(), strict=True):
            assert document[:4].replace("\ufffd", "") in part.classes[label] or "\ufffd" in document
    assert len(load("mine", documents="lines")) + len(load("mine", "test", documents="lines")) == 60
    (tmp_path / "parted").mkdir()
    lines_file(tmp_path / "parted" / "train.txt", 50)
    lines_file(tmp_path / "parted" / "test.txt", 7)
    assert (len(load("parted")), len(load("parted", "test"))) == (50, 7)
    assert load("parted").documents() == sentences(50)
    for split, n in (("train", 18), ("test", 4)):
        for kind in ("x", "y"):
            (tmp_path / "both" / split / kind).mkdir(parents=True)
            for i in range(n):
                (tmp_path / "both" / split / kind / f"{i}.txt").write_text(f"{kind} {split} {i}")
    assert (len(load("both")), len(load("both", "test")), load("both").classes) == (36, 8, ["x", "y"])


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = lines_file(tmp_path / "notes.txt", 50)
    before = len(load(str(path)))
    lines_file(path, 90)
    assert len(load(str(path))) > before


# ------------------------------------------------------------------------------------------------------------ encodings

LATIN = [f"{i} où est l'été à la forêt, déjà passé" for i in range(40)]


@pytest.mark.parametrize(
    ("encoding", "lines", "found"),
    [
        ("utf-8", [CHINESE + str(i) for i in range(40)], "utf-8"),
        ("utf-8-sig", LATIN, "utf-8-sig"),
        ("utf-16", LATIN, "utf-16"),
        ("utf-32", LATIN, "utf-32"),
        ("utf-32-be", ["\ufeff" + LATIN[0], *LATIN[1:]], "utf-32"),
        ("utf-16-be", ["\ufeff" + LATIN[0], *LATIN[1:]], "utf-16"),
        ("gb18030", [CHINESE + str(i) for i in range(40)], "gb18030"),
        ("big5", [TRADITIONAL + str(i) for i in range(40)], "big5"),
        ("cp1252", [line + " “€”" for line in LATIN], "cp1252"),
        ("latin-1", [line + "\x81" for line in LATIN], "latin-1"),
    ],
)
@pytest.mark.parametrize("piece", [1 << 20, 7])
def test_encodings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, lines: list[str], found: str, piece: int
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes("\r\n".join(lines).encode(encoding))
    if found != "gb18030" and found != "big5":
        monkeypatch.setattr(text, "PIECE", piece)  # inside characters, and between CR and LF
    train = load(str(path), tokens="characters")
    assert train.more["encoding"] == found
    documents = train.documents() + load(str(path), "test", tokens="characters").documents()
    assert all("\r" not in document for document in documents)
    assert len(set(documents) & {line.removeprefix("\ufeff") for line in lines}) >= len(train)


@pytest.mark.parametrize("piece", [1 << 20, 5])
def test_mixed_encodings_are_located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(text, "PIECE", piece)
    good = [f"été {i}" for i in range(60)]
    path = tmp_path / "notes.txt"
    before = "\n".join(good[:33]).encode() + b"\nab "
    path.write_bytes(before + "é".encode("latin-1") + b"t\n" + "\n".join(good[33:]).encode())
    said = refused(path)
    assert f"byte {len(before)}, line 34," in said and "UTF-8" in said


def test_utf16_that_breaks_is_located(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes("\n".join(LATIN).encode("utf-16") + b"a")
    assert "UTF-16" in refused(path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b" \n\t\n" * 2000, "blanks"),
        (b"one line of text", "too little"),
        (b"few\nlines\nare\nhere\n", "4 lines"),
        (b"a" * 5000, "one letter"),
        (b"a\n" * 5000, "one letter"),
        (b"ab\n" * 5000, "say the same"),
        (bytes(range(256)) * 40, "binary"),
        (bytes(range(1, 32)) * 400, "binary"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    said = refused(path)
    assert part in said and str(path) in said


def test_wrong_words(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    path = lines_file(tmp_path / "notes.txt")
    assert "no such file" in refused("nothing.txt") and "no .txt file" in refused("empty")
    said = refused("tinyshakespear")
    assert "try tinyshakespeare, or --data FILE.txt" in said
    assert "names, tang" in refused("qqqq")
    for named in ({"tokens": "letters"}, {"documents": "pages"}, {"split": "valid"}, {"context": 0}):
        refused(path, **named)


# ----------------------------------------------------------------------------------------------------------- large files


@pytest.mark.parametrize("tokens", text.KINDS)
@pytest.mark.parametrize("documents", text.DIVISIONS)
@pytest.mark.parametrize("piece", [3, 64])
def test_streamed_as_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: str, documents: str, piece: int
) -> None:
    if tokens == "bpe":
        pytest.importorskip("tokenizers")
        monkeypatch.setattr(text, "STRETCH", 11)
    path = prose_file(tmp_path / "book.txt", 100, extra="\n\n鰹鳥 été \U0001f41f\n\nthe\xa0end of it all\n")
    words: dict = {"tokens": tokens, "documents": documents}
    held = [load(str(path), split, **words) for split in ("train", "test")]
    monkeypatch.setattr(text, "LARGE", 100)
    monkeypatch.setattr(text, "PIECE", piece)
    mapped = [load(str(path), split, **words) for split in ("train", "test")]
    text._placed.cache_clear()
    monkeypatch.setattr(text, "_number", None)  # the second time nothing is made
    again = [load(str(path), split, **words) for split in ("train", "test")]
    for one, two, three in zip(held, mapped, again, strict=True):
        assert not isinstance(one.ids, np.memmap) and isinstance(two.ids, np.memmap) and isinstance(three.ids, np.memmap)
        for other in (two, three):
            assert np.array_equal(one.ids, other.ids) and np.array_equal(one.starts, other.starts)
            assert np.array_equal(one.characters_D, other.characters_D) and one.context == other.context
            assert one.vocabulary.facts() == other.vocabulary.facts() and one.ids.dtype == other.ids.dtype
        assert torch.equal(one.batch(4, Rng(0, 0, "x")).tokens_NT, two.batch(4, Rng(0, 0, "x")).tokens_NT)
    for one, two in zip(held[0].parted(10), mapped[0].parted(10), strict=True):
        assert np.array_equal(one.ids, two.ids) and isinstance(two.ids, np.memmap) and one.characters == two.characters
    assert not list((tmp_path / "cache" / "text").glob("*.part"))
    if tokens == "characters" and documents == "whole":  # the naive twin of all of it
        said = path.read_text(encoding="utf-8")
        cut = len(said) - len(said) // 20
        numbers = {letter: i + 2 for i, letter in enumerate(sorted(set(said[:cut])))}
        for part, texts in ((said[:cut], mapped[0]), (said[cut:], mapped[1])):
            assert texts.ids.tolist() == [0, *(numbers.get(letter, 1) for letter in part), 0]
            assert texts.characters == len(part)


def test_a_damaged_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines_file(tmp_path / "notes.txt")
    monkeypatch.setattr(text, "LARGE", 100)
    before = load(str(path)).ids.tolist()
    for file in (tmp_path / "cache" / "text").glob("*.ids"):
        file.write_bytes(file.read_bytes()[:-2])
    text._placed.cache_clear()
    assert load(str(path)).ids.tolist() == before


# --------------------------------------------------------------------------------------------------------- named sets


def test_plays() -> None:
    assert {kind: len(plays) for kind, plays in listings.PLAYS.items()} == {"comedy": 14, "history": 10, "tragedy": 12}
    known = {play for plays in listings.PLAYS.values() for play in plays}
    files = {line.split()[2].rpartition("/")[2].removesuffix(".md") for line in listings.PLAYS_FILES.split("\n") if line}
    assert known == files and set(listings.HELD_OUT) < known
    long = "And so it goes, and goes, and will go on.  \n" * 3
    play = f"# A Play\n\n## ACT I\n\n### SCENE I. Here.\n\n_Enter A\\&B_\n\n**A**  \n{long}\n\n\n_Exit_\n\n"
    play += f"### SCENE II.\n\n**B**  \n{long}"
    first, second = text.scenes(play)
    said = "And so it goes, and goes, and will go on.\n" * 3
    assert first == f"Enter A&B\n\nA:\n{said}\nExit" and second == f"B:\n{said}".strip()


def test_named_sets_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files as small as can be, in the place of the real ones."""
    folder = tmp_path / "made"
    folder.mkdir()
    monkeypatch.setattr(text.catalog, "fetch", lambda name, offline: folder)
    lines_file(folder / "names.txt")
    prose_file(folder / "input.txt")
    poems = [{"paragraphs": [f"{i}{CHINESE[i % 40]}，", "二。"]} for i in range(40)] + [{"paragraphs": []}]
    for table in (listings.TANG, listings.PLAYS_FILES):
        for line in table.split("\n")[1:-1]:
            name = line.rpartition("/")[2]
            (folder / name).write_text("[]" if name.endswith("json") else f"### I\n{name}\n" + "word " * 40, encoding="utf-8")
    (folder / "poet.tang.0.json").write_text(json.dumps(poems), encoding="utf-8")
    tang = load("tang"), load("tang", "test")
    assert sum(map(len, tang)) == 40 and tang[0].licence == "MIT" and tang[0].documents()[0].endswith("，\n二。")
    plays = load("shakespeare"), load("shakespeare", "test")
    assert (len(plays[0]), len(plays[1])) == (30, 6) and plays[0].classes == ["comedy", "history", "tragedy"]
    assert torch.bincount(plays[1].labels_D).tolist() == [2, 2, 2]
    assert load("tinyshakespeare").whole and not load("names").whole
    with pytest.raises(Wrong):
        load("tang", documents="lines")


def test_the_command_lists_them(gannet: Command) -> None:
    listed = gannet("data", "list").stdout
    for name in text.NAMES:
        assert f"\n{name} " in f"\n{listed}"
