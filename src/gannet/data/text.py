"""Texts as numbered tokens, whole files of one's own, and the named data sets of text.

    texts = load("tinyshakespeare")                   # or a file, or a folder of .txt files
    tokens_NT, there_NT, y_N = texts.batch(32, rng)

A text is one flat array of ids: every document is an end token and its ids, and one more end token closes the array. The end
token is thus read before the first piece of a document and told after its last. The vocabulary is learnt from the training part
alone; what only the test part holds is the unknown token there.
"""

from __future__ import annotations

import codecs
import contextlib
import difflib
import functools
import hashlib
import io
import itertools
import json
import math
import unicodedata
import uuid
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from gannet.data import catalog, ledger
from gannet.errors import Wrong
from gannet.files import beside, write_bytes, write_json
from gannet.rng import Rng

LARGE = 64 << 20  # bytes of text above which ids are kept in a file and not in memory
PIECE = 1 << 20  # characters, or bytes, read at a time
STRETCH = 1 << 16  # characters of one line that are cut into byte pairs at once: a line may be the whole file
VERSION = 1  # of the ids in the cache: another number, and they are made afresh
TEST = 20  # one document in this many is kept for the test split
FEWEST_DOCUMENTS, FEWEST_CHARACTERS = 20, 2_000
CONTEXT = 128  # of a continuous text; documents are given what nearly all of them need, up to LONGEST
LONGEST = 256
KINDS = ("characters", "words", "bpe")
DIVISIONS = ("lines", "blank", "whole")
SIZES = {"words": 20_000, "bpe": 2_000}
UNKNOWN = "\ufffd"


class Batch(NamedTuple):
    """Rows of tokens.

    tokens_NT: int64 (N, T + 1), T being the context: token t is read, token t + 1 is to be told
    there_NT: bool (N, T): which of tokens_NT[:, 1:] count; the others only fill the row
    y_N: int64 (N,): class numbers, all 0 where there are no classes
    """

    tokens_NT: torch.Tensor
    there_NT: torch.Tensor
    y_N: torch.Tensor


# ------------------------------------------------------------------------------------------------------- vocabularies


class Vocabulary:
    """Pieces of text and their numbers.

    Args:
        kind: "characters", "words" (what stands between blanks) or "bpe" (byte pairs)
        tokens: the pieces by number; the first is the end token and the second the unknown one. Of byte pairs they are
            written as the `tokenizers` library writes bytes
        join: what words are joined with when they are read back
        model: the library's own JSON, of byte pairs alone
    """

    end = 0
    unknown = 1

    def __init__(self, kind: str, tokens: list[str], *, join: str = " ", model: str = ""):
        if kind not in KINDS:
            raise Wrong("no such kind of tokens", got=kind, try_=", ".join(KINDS), usage=True)
        self.kind, self.tokens, self.join, self.model = kind, tokens, join, model
        self._index = {token: i for i, token in enumerate(tokens) if i > self.unknown}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's pieces, without end tokens; `unknown` for a piece that no training text held."""
        return self.numbers(text).tolist()

    def numbers(self, text: str) -> np.ndarray:
        """As `encode`, an int64 array."""
        if self.kind == "characters":
            return self._table[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")]
        if self.kind == "words":
            return np.array([self._index.get(word, self.unknown) for word in self.words(text)], np.int64)
        stretches = list(_stretches(text))
        ids = [np.array(found.ids, np.int64) for found in self._coder.encode_batch(stretches)]
        return np.concatenate([np.zeros(0, np.int64), *ids]) + 2  # after end and unknown, which the library does not know

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these numbers: nothing for the end token, U+FFFD for the unknown one and for bytes that are no text."""
        inner = [int(i) for i in ids if int(i) != self.end]
        if self.kind == "bpe":
            spelt = ("".join(self.tokens[i] if i != self.unknown else _as_bytes(UNKNOWN) for i in inner)).translate(_BYTES)
            return spelt.encode("latin-1").decode("utf-8", "replace")
        return (self.join if self.kind == "words" else "").join(self.tokens[i] for i in inner)

    def unseen(self, text: str) -> list[str]:
        """The pieces of a text that it does not know, in their order, each once."""
        if self.kind == "bpe":
            return []  # every byte is known
        pieces = text if self.kind == "characters" else self.words(text)
        return list(dict.fromkeys(piece for piece in pieces if piece not in self._index))

    def words(self, text: str) -> list[str]:
        """The words of a text. Where they are joined without blanks, a piece that is no known word is its characters."""
        if self.join:
            return text.split()
        pieces = ([piece] if piece in self._index else piece for piece in text.split())
        return list(itertools.chain.from_iterable(pieces))

    def characters(self, ids: np.ndarray, unknown: float = 1.0) -> int:
        """How many characters these numbers stand for, were each unknown piece `unknown` characters long."""
        widths = self._widths.copy()
        widths[self.unknown] = unknown
        total = sum(widths[ids[at : at + PIECE]].sum() for at in range(0, len(ids), PIECE))
        return round(float(total))

    @functools.cached_property
    def _widths(self) -> np.ndarray:
        """Characters of each token; of byte pairs, the bytes in it that begin a character; a word and what joins it."""
        if self.kind == "bpe":
            raw = [token.translate(_BYTES).encode("latin-1") for token in self.tokens[2:]]
            return np.array([0, 1, *(sum(byte & 0xC0 != 0x80 for byte in token) for token in raw)], float)
        joint = len(self.join) if self.kind == "words" else 0
        return np.array([0, *(len(token) + joint for token in self.tokens[1:])], float)

    @functools.cached_property
    def _table(self) -> np.ndarray:
        """The number of every code point there can be."""
        table = np.full(0x110000, self.unknown, np.int64)
        for character, i in self._index.items():
            table[ord(character)] = i
        return table

    @functools.cached_property
    def _coder(self) -> Any:
        return _tokenizers().Tokenizer.from_str(self.model)

    def facts(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        further = {"join": self.join} if self.kind == "words" else {"model": self.model} if self.kind == "bpe" else {}
        return {"kind": self.kind, "tokens": self.tokens, **further}

    @classmethod
    def recall(cls, facts: dict[str, Any]) -> Vocabulary:
        """The vocabulary that `facts` told of."""
        return cls(facts["kind"], list(facts["tokens"]), join=facts.get("join", " "), model=facts.get("model", ""))

    @classmethod
    def learn(cls, kind: str, texts: Iterable[str], size: int | None = None, *, join: str = " ") -> Vocabulary:
        """The vocabulary of these texts, read once.

        Characters are sorted by code point, all of them; of words the most frequent come first, equals by code point.

        Args:
            kind: as for the class
            texts: documents, or the parts of one that are cut where no piece is cut
            size: tokens at most, with those for end and unknown; 20,000 words or 2,000 byte pairs where nothing is said
            join: what words are joined with

        Raises:
            Wrong: for an unknown kind, a size that holds no piece, or where `tokenizers` is not installed.
        """
        size = size or SIZES.get(kind)
        least = 2 + 256 if kind == "bpe" else 3
        if size is not None and size < least:
            raise Wrong(f"a vocabulary of {kind} has {least} tokens or more", got=size, try_=str(SIZES.get(kind, 100)))
        reserved = ["", UNKNOWN]
        if kind == "characters":
            seen: set[str] = set()
            for text in texts:
                seen.update(text)
            counted = sorted(seen - {UNKNOWN})
            return cls(kind, reserved + counted if size is None else reserved + counted[: size - 2])
        if kind == "words":
            counts: Counter[str] = Counter()
            for text in texts:
                counts.update(text.split())
            del counts[UNKNOWN]
            ranked = sorted(counts, key=lambda word: (-counts[word], word))
            return cls(kind, reserved + ranked[: (size or SIZES[kind]) - 2], join=join)
        if kind != "bpe":
            raise Wrong("no such kind of tokens", got=kind, try_=", ".join(KINDS), usage=True)
        library = _tokenizers()
        coder = library.Tokenizer(library.models.BPE())
        coder.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = library.trainers.BpeTrainer(
            vocab_size=(size or SIZES[kind]) - 2,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),  # all bytes, so that nothing is unknown
            show_progress=False,
        )
        coder.train_from_iterator(itertools.chain.from_iterable(map(_stretches, texts)), trainer)
        numbered = sorted(coder.get_vocab(), key=coder.get_vocab().__getitem__)
        return cls(kind, reserved + numbered, model=coder.to_str())


def _tokenizers() -> Any:
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise Wrong("byte pairs need the tokenizers library", got=error, try_="pip install 'gannet[text]'") from error
    return tokenizers


def _byte_letters() -> dict[int, int]:
    """Letter -> byte, in the spelling of GPT-2: bytes that can be printed are themselves, the others go on from U+0100."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: byte for byte in printed} | {0x100 + i: byte for i, byte in enumerate(others)}


_BYTES = _byte_letters()


def _as_bytes(text: str) -> str:
    """A text in the spelling of byte pairs."""
    letters = {byte: chr(letter) for letter, byte in _BYTES.items()}
    return "".join(letters[byte] for byte in text.encode())


def _stretches(text: str) -> Iterator[str]:
    """A text cut after every line end, and within a line after every STRETCH characters: byte pairs never reach across.

    So a text that is read in pieces gives the same ids as one that is read at once, as long as pieces end where these do.
    """
    for line in io.StringIO(text, newline="\n"):  # str.splitlines would also cut at seven other marks
        for at in range(0, len(line), STRETCH):
            yield line[at : at + STRETCH]


# -------------------------------------------------------------------------------------------------------------- texts


def evenly(rows_N: np.ndarray, limit: int | None) -> np.ndarray:
    """All of them, or `limit` from the first to the last, (limit,)."""
    if limit is None or len(rows_N) <= limit:
        return rows_N
    return rows_N[np.linspace(0, len(rows_N) - 1, limit).astype(int)]


class Texts:
    """Documents as one flat array of ids, with or without classes.

    Args:
        ids: 1-d, uint16 or uint32, in memory or a np.memmap: each document is [end] + its ids, and one more end closes all
        starts: int64 (D + 1,): where each document's leading end lies; the last is len(ids) - 1
        vocabulary: what the ids mean
        context: tokens that are read at once, at most
        labels_D: int64 (D,), one class for each document, or None
        classes: a name for each class
        whole: a continuous text, cut anywhere; else every row lies inside one document
        characters_D: int64 (D,): characters of the text of each document; counted from the ids where it is None
        prepared: what was done to the text, one sentence
        name, split, licence, source, more: as for pictures
    """

    def __init__(
        self,
        ids: np.ndarray,
        starts: np.ndarray,
        vocabulary: Vocabulary,
        context: int = CONTEXT,
        *,
        labels_D: torch.Tensor | None = None,
        classes: list[str] | None = None,
        whole: bool = False,
        characters_D: np.ndarray | None = None,
        prepared: str = "",
        name: str = "text",
        split: str = "train",
        licence: str = "unknown",
        source: str = "",
        more: dict[str, Any] | None = None,
    ):
        if context < 1:
            raise Wrong("a context is one token or more", got=context, try_=str(CONTEXT), usage=True)
        self.ids, self.starts, self.vocabulary, self.context = ids, starts, vocabulary, int(context)
        self.labels_D, self.classes, self.whole, self.prepared = labels_D, classes or [], whole, prepared
        self.name, self.split, self.licence, self.source, self.more = name, split, licence, source, more or {}
        self.items, self.tokens = len(starts) - 1, len(ids)
        if characters_D is None:
            spans = itertools.pairwise(starts.tolist())
            joint = len(vocabulary.join) if vocabulary.kind == "words" else 0
            counted = [max(vocabulary.characters(ids[first:last]) - joint, 0) for first, last in spans]
            characters_D = np.array(counted, np.int64)
        self.characters_D = characters_D
        self.characters = int(characters_D.sum())

    def __len__(self) -> int:
        return self.items

    def batch(self, n: int, rng: Rng) -> Batch:
        """n rows for this process, a function of the rng's seed, step and stream alone.

        Of a continuous text they begin anywhere. Of documents each epoch holds every document once; one that is longer than
        the context is read from its start in half of the cases, and from a random place in it otherwise.
        """
        if self.whole:
            start_N = rng.integers(max(self.tokens - self.context, 1), n).numpy()
            return self._rows(start_N, np.full(n, self.tokens - 1), self._document_of(start_N))
        d_N = rng.indices(self.items, n).numpy()
        u_N2 = rng.uniform(n, 2).double().numpy()
        last_N = self.starts[d_N + 1]
        beyond_N = np.maximum(last_N - self.starts[d_N] - self.context, 0)  # places after the first one where a row is full
        moved_N = 1 + np.floor(u_N2[:, 1] * beyond_N).astype(np.int64)
        start_N = self.starts[d_N] + np.where((beyond_N > 0) & (u_N2[:, 0] >= 0.5), moved_N, 0)
        return self._rows(start_N, last_N, d_N)

    def windows(self, limit: int | None = None) -> Batch:
        """The whole set in its order: without overlap, every token to be told exactly once. Or `limit` rows, evenly over it.

        Not its first: documents lie in the order of their classes and files, and a play's first act is not the play.
        """
        if self.whole:
            start_W = evenly(np.arange(0, max(self.tokens - 1, 0), self.context), limit)
            return self._rows(start_W, np.full(len(start_W), self.tokens - 1), self._document_of(start_W))
        firsts_D, lasts_D = self.starts[:-1], self.starts[1:]
        rows_D = -((firsts_D - lasts_D) // self.context)  # rounded up
        d_W = np.repeat(np.arange(self.items if len(self.ids) else 0), rows_D)
        first_W = np.cumsum(rows_D)[d_W] - rows_D[d_W]  # of all rows, the first of the same document
        at_W = evenly(np.arange(len(d_W)), limit)
        d_W, first_W = d_W[at_W], first_W[at_W]
        start_W = firsts_D[d_W] + (at_W - first_W) * self.context
        return self._rows(start_W, lasts_D[d_W], d_W)

    def _rows(self, start_N: np.ndarray, last_N: np.ndarray, d_N: np.ndarray) -> Batch:
        """Rows that begin at start_N (N,) and hold nothing after the end tokens at last_N (N,)."""
        at_NT = start_N[:, None] + np.arange(self.context + 1)
        inside_NT = at_NT <= last_N[:, None]
        tokens_NT = np.asarray(self.ids[np.minimum(at_NT, last_N[:, None])]).astype(np.int64)
        tokens_NT[~inside_NT] = self.vocabulary.end
        y_N = torch.zeros(len(d_N), dtype=torch.int64) if self.labels_D is None else self.labels_D[torch.from_numpy(d_N)]
        return Batch(torch.from_numpy(tokens_NT), torch.from_numpy(inside_NT[:, 1:].copy()), y_N)

    def _document_of(self, place_N: np.ndarray) -> np.ndarray:
        return np.minimum(np.searchsorted(self.starts, place_N, "right") - 1, self.items - 1)

    def bodies(self) -> Iterator[np.ndarray]:
        """The ids of each document, without end tokens."""
        return (self.ids[first + 1 : last] for first, last in itertools.pairwise(self.starts.tolist()))

    def documents(self, limit: int | None = None) -> list[str]:
        """The documents, or the first `limit`, as text."""
        return [self.vocabulary.decode(ids.tolist()) for ids in itertools.islice(self.bodies(), limit)]

    def parted(self, one_in: int) -> tuple[Texts, Texts]:
        """What to learn from, and one part in `one_in` to watch meanwhile, whose split is called watched.

        Always the same ones. Documents are set aside by what they say, so that equal ones are on the same side; of a
        continuous text, the last part of each of its documents. As a run folder remembers it, by its number of items.

        Raises:
            Wrong: for one in fewer than two, and where all documents are the same.
        """
        if one_in < 2:
            raise Wrong("one document in two or more can be kept to watch", got=one_in, try_="10")
        if not len(self.ids):
            parts = self._part([], "train"), self._part([], "watched")
            parts[1].items = self.items if self.whole else max(self.items // one_in, min(self.items // 2, 1))
            parts[0].items = self.items if self.whole else self.items - parts[1].items
            return parts
        spans = list(itertools.pairwise(self.starts.tolist()))
        if self.whole:
            cuts = [last - (last - first) // one_in for first, last in spans]
            kept = [(d, first + 1, cut) for d, ((first, _), cut) in enumerate(zip(spans, cuts, strict=True))]
            watched = [(d, cut, last) for d, ((_, last), cut) in enumerate(zip(spans, cuts, strict=True))]
        else:
            hashes = [_hash(b"watched" + self.ids[first + 1 : last].astype("<u4").tobytes()) for first, last in spans]
            forced = min(hashes)  # where chance takes none, this one
            if len(set(hashes)) < 2:
                raise Wrong("all documents say the same, and none can be kept to watch", got=self.name)
            if all(one % one_in for one in hashes):
                aside = [one == forced for one in hashes]
            else:
                aside = [one % one_in == 0 for one in hashes]
            if all(aside):  # and where it takes all, all but this one
                aside = [one != forced for one in hashes]
            bodies = [(d, first + 1, last) for d, (first, last) in enumerate(spans)]
            kept = [body for body, out in zip(bodies, aside, strict=True) if not out]
            watched = [body for body, out in zip(bodies, aside, strict=True) if out]
        return self._part(kept, self.split), self._part(watched, "watched")

    def _part(self, bodies: list[tuple[int, int, int]], split: str) -> Texts:
        """These stretches of ids as documents of their own: (document it is of, first, last + 1)."""
        bodies_P3 = np.array(bodies, np.int64).reshape(-1, 3)
        starts = np.concatenate([[0], np.cumsum(bodies_P3[:, 2] - bodies_P3[:, 1] + 1)])
        key = None
        if isinstance(self.ids, np.memmap):
            key = _key("part", Path(str(self.ids.filename)).stem, hashlib.sha256(bodies_P3.tobytes()).hexdigest())
        ids = _mapped(_cached(key), self.ids.dtype) if key and _cached(key).is_file() else None
        if ids is None or len(ids) != starts[-1] + 1:
            with _store(key, self.ids.dtype) as sink:
                for _, first, last in bodies:
                    sink.add(np.zeros(1, self.ids.dtype))
                    for at in range(first, last, PIECE):
                        sink.add(self.ids[at : min(at + PIECE, last)])
                sink.add(np.zeros(1 if bodies else 0, self.ids.dtype))
            ids = sink.ids()
        d_P = bodies_P3[:, 0]
        return Texts(
            ids,
            starts,
            self.vocabulary,
            self.context,
            labels_D=None if self.labels_D is None else self.labels_D[torch.from_numpy(d_P)],
            classes=self.classes,
            whole=self.whole,
            characters_D=None if self.whole else self.characters_D[d_P],
            prepared=self.prepared,
            **{key: getattr(self, key) for key in ("name", "licence", "source", "more")},
            split=split,
        )

    def facts(self) -> dict[str, Any]:
        """What is known of it without the documents themselves, as JSON values."""
        return {
            "kind": "text",
            "name": self.name,
            "split": self.split,
            "items": self.items,
            "tokens": self.tokens,
            "characters": self.characters,
            "context": self.context,
            "classes": self.classes,
            "whole": self.whole,
            "vocabulary": self.vocabulary.facts(),
            "prepared": self.prepared,
            "licence": self.licence,
            "source": self.source,
            **({"more": self.more} if self.more else {}),
        }

    @classmethod
    def recall(cls, facts: dict[str, Any]) -> Texts:
        """The data set as a run folder remembers it: vocabulary, context, classes and licence, and no document."""
        data = cls(
            np.zeros(0, np.uint16),
            np.zeros(1, np.int64),
            Vocabulary.recall(facts["vocabulary"]),
            facts["context"],
            labels_D=torch.empty(0, dtype=torch.int64) if facts["classes"] else None,
            classes=list(facts["classes"]),
            more=facts.get("more"),
            **{key: facts[key] for key in ("whole", "prepared", "name", "split", "licence", "source")},
        )
        data.items, data.tokens, data.characters = facts["items"], facts["tokens"], facts["characters"]
        return data


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


def _key(*parts: object) -> str:
    """The name of a file in the cache, a function of all that its content depends on."""
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()


class _Sink:
    """Where ids go as they are made: memory, or a file that is mapped when it is whole."""

    def __init__(self, dtype: Any, part: Path | None, target: Path | None):
        self.dtype, self.target = np.dtype(dtype), target
        self.held: list[np.ndarray] = []
        self.size = 0
        self.stream = part.open("wb") if part else None

    def add(self, ids: np.ndarray) -> None:
        self.size += len(ids)
        if self.stream:
            self.stream.write(ids.astype(self.dtype.newbyteorder("<")).tobytes())
        else:
            self.held.append(ids.astype(self.dtype))

    def ids(self) -> np.ndarray:
        if self.target:
            return _mapped(self.target, self.dtype)
        return np.concatenate([np.zeros(0, self.dtype), *self.held])


def _mapped(path: Path, dtype: Any) -> np.ndarray:
    if not path.stat().st_size:  # nothing can be mapped there
        return np.zeros(0, dtype)
    return np.memmap(path, np.dtype(dtype).newbyteorder("<"), "r")


def _cached(key: str, suffix: str = ".ids") -> Path:
    return catalog.home() / "text" / f"{key}{suffix}"


@contextlib.contextmanager
def _store(key: str | None, dtype: Any) -> Iterator[_Sink]:
    """A sink: in memory where there is no key, else a file of the cache that appears under its name when it is whole."""
    if key is None:
        yield _Sink(dtype, None, None)
        return
    target = _cached(key)
    with beside(target) as part:
        sink = _Sink(dtype, part, target)
        assert sink.stream is not None
        with sink.stream:
            yield sink


# ---------------------------------------------------------------------------------------------- what a file is made of


@dataclass
class _File:
    """A file that was looked over once.

    Attributes:
        split: "train" or "test" where its place says so
        label: its class
        encoding: the name that Python knows it by
        characters, lines: how many, lines that are not blank
        gaps: whether a blank line stands between two that are not
        letters: the different characters that are not blank, or the first two of them
        spaced: whether almost all that stands between blanks is one Chinese character or one mark
        digest: of the text, line ends made equal
    """

    path: Path
    split: str | None = None
    label: int = 0
    encoding: str = ""
    sha256: str = ""
    characters: int = 0
    lines: int = 0
    gaps: bool = False
    letters: set[str] = field(default_factory=set)
    spaced: bool = False
    digest: int = 0


def _read(path: Path, encoding: str) -> Iterator[str]:
    """A file's text in pieces of PIECE characters at most; all line ends are line feeds."""
    with path.open(encoding=encoding) as stream:
        while piece := stream.read(PIECE):
            yield piece


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(PIECE):
            yield chunk


def _look(file: _File) -> _File:
    """Find out all there is to know of a file, which is read in pieces.

    Raises:
        Wrong: where it cannot be read, is empty or blank, or is no text of one encoding.
    """
    path = file.path
    try:
        file.encoding, file.sha256 = encoding_of(path)
        digest, sample, begun, gap = hashlib.sha256(), "", False, False
        for piece in _read(path, file.encoding):
            file.characters += len(piece)
            digest.update(piece.encode("utf-8", "surrogatepass"))
            sample = sample or piece
            if len(file.letters) < 2:
                file.letters.update(set("".join(piece.split())))
            for i, part in enumerate(piece.split("\n")):
                if i:  # a line has ended before this part
                    gap = gap or (file.lines > 0 and not begun)
                    begun = False
                if not begun and part.strip():
                    begun, file.lines, file.gaps = True, file.lines + 1, file.gaps or gap
        file.digest = _hash(digest.digest())
    except OSError as error:
        raise Wrong(f"this file cannot be read ({error.strerror or error})", got=path) from error
    if not file.lines:
        raise Wrong("there is nothing but blanks in this file", got=path, try_="a file with text in it")
    pieces = sample.split()
    single = sum(len(piece) == 1 and (_is_cjk(piece) or unicodedata.category(piece)[0] in "PS") for piece in pieces)
    chinese = sum(len(piece) == 1 and _is_cjk(piece) for piece in pieces)
    file.spaced = len(pieces) > 1 and single >= 0.95 * len(pieces) and chinese >= 0.5 * len(pieces)
    return file


def _is_cjk(character: str) -> bool:
    """Whether it is a Chinese character, of the planes and blocks that hold them."""
    code = ord(character)
    return 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF


#: UTF-32's first: it begins with one of UTF-16's.
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(path: Path) -> tuple[str, str]:
    """The encoding of a file and the sha256 of its bytes, found in one or a few readings in pieces.

    In this order: a byte order mark, UTF-8, GB 18030 or Big5 where that makes common Chinese characters of most that is not
    ASCII, and else Windows' or ISO's Latin.

    Raises:
        Wrong: for an empty or binary file, and for one where the encoding changes on the way.
    """
    sha, controls, size, nul, kinds = hashlib.sha256(), 0, 0, False, set()
    head = b""
    for chunk in _chunks(path):
        head = head or chunk[: 1 << 18]
        sha.update(chunk)
        size += len(chunk)
        nul = nul or b"\0" in chunk
        controls += len(chunk) - len(chunk.translate(None, bytes({*range(1, 9), *range(14, 32), 127} - {27})))
        kinds |= set(chunk) & UNDEFINED
    if not size:
        raise Wrong("this file is empty", got=path, try_="a file with text in it")
    with path.open("rb") as stream:
        mark = stream.read(4)
    for bom, name in BOMS:
        if mark.startswith(bom):
            if fault := _fault(path, name):
                raise _mixed(path, name, fault)
            return name, sha.hexdigest()
    if nul or controls > 0.05 * size:
        raise Wrong("this is a binary file, not a text", got=path, try_="a text in UTF-8, or in UTF-16 with its mark")
    fault = _fault(path, "utf-8")
    if fault is None:
        return "utf-8", sha.hexdigest()
    good, bad = _utf8_counts(path)
    if good >= bad:  # in no other encoding does so much make sense as UTF-8 by chance
        raise _mixed(path, "utf-8", fault)
    shares = {name: _common(head, name) for name in ("gb18030", "big5")}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] > 0.6:
        if fault := _fault(path, best):
            raise _mixed(path, best, fault)
        return best, sha.hexdigest()
    return ("latin-1" if kinds else "cp1252"), sha.hexdigest()


UNDEFINED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}  # bytes that mean nothing in cp1252


def _mixed(path: Path, encoding: str, fault: tuple[int, int]) -> Wrong:
    name = encoding.removesuffix("-sig").upper()
    what = f"this file is not all of one encoding: it reads as {name} up to byte {fault[0]:,}, line {fault[1]:,}, and not there"
    return Wrong(what, got=path, try_=f"saving it anew as UTF-8 (iconv -f {name} -t UTF-8 -c drops what cannot be read)")


def _fault(path: Path, encoding: str) -> tuple[int, int] | None:
    """The first byte that does not decode, and the line it is in, counted from 1; None where all do."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    before, line, held = 0, 1, b""
    for chunk in itertools.chain(_chunks(path), [b""]):
        data = held + chunk  # what the decoder has kept of the chunks before, and this one
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # Of UTF-16 the mark is not in the decoder's view; an offset two bytes early still finds the line.
            told = bytes(error.object[: error.start]).decode(encoding, "ignore") if error.start else ""
            return before + error.start, line + told.count("\n")
        line += text.count("\n")
        kept = decoder.getstate()[0]
        held = kept if isinstance(kept, bytes) else b""
        before += len(data) - len(held)
    return None


def _utf8_counts(path: Path) -> tuple[int, int]:
    """How many characters beyond ASCII are whole in UTF-8, and how many stretches of bytes are none."""
    bad = 0

    def count(error: UnicodeError) -> tuple[str, int]:
        nonlocal bad
        assert isinstance(error, UnicodeDecodeError)
        bad += 1
        return "", error.end

    handler = f"gannet-{uuid.uuid4().hex}"
    codecs.register_error(handler, count)
    decoder = codecs.getincrementaldecoder("utf-8")(handler)
    good = 0
    for chunk in itertools.chain(_chunks(path), [b""]):
        text = decoder.decode(chunk, final=not chunk)
        good += len(text) - len(text.encode("ascii", "ignore"))
    return good, bad


def _common(head: bytes, encoding: str) -> float:
    """Of what is not ASCII in these bytes, the share that this encoding makes common Chinese characters or their marks.

    Common are the first levels of GB 2312 (rows B0 to D7) and of Big5 (rows A4 to C6), where nine in ten of a text's
    characters lie; read in the other's encoding, they are scattered over rare ones.
    """
    text = codecs.getincrementaldecoder(encoding)("ignore").decode(head)
    beyond = [character for character in text if ord(character) > 127]
    low, high, plain = (0xB0, 0xD7, "gb2312") if encoding == "gb18030" else (0xA4, 0xC6, "big5")
    common = 0
    for character, many in Counter(beyond).items():
        raw = character.encode(plain, "ignore")
        if (
            len(raw) == 2 and low <= raw[0] <= high and _is_cjk(character)
        ) or character in "，。、；：？！「」『』《》（）“”‘’—…　":
            common += many
    return common / max(len(beyond), 1)


# ---------------------------------------------------------------------------------------------------- what is read from


class _Step(NamedTuple):
    """A piece of a document: of the test split or not, its class, whether the document begins here."""

    test: bool
    label: int
    begins: bool
    piece: str


Walk = Callable[[], Iterator[_Step]]


@dataclass
class _Corpus:
    """Documents that can be read again and again, and what is known of them."""

    walk: Walk
    whole: bool
    classes: list[str]
    large: bool
    spaced: bool
    told: str  # how the documents were found
    kept: str  # what the test split is
    key: list[Any]
    more: dict[str, Any]
    name: str
    licence: str = "unknown"
    source: str = ""


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Lines without their ends, of a text that comes in pieces."""
    held: list[str] = []
    for piece in pieces:
        first, *rest = piece.split("\n")
        held.append(first)
        for part in rest:
            yield "".join(held)
            held = [part]
    if held and (line := "".join(held)):
        yield line


def _documents(pieces: Iterable[str], division: str) -> Iterator[str]:
    """One document a line, or one between blank lines; blanks around them are left out."""
    if division == "lines":
        for line in _lines(pieces):
            if line := line.strip():
                yield line
        return
    held: list[str] = []
    for line in itertools.chain(_lines(pieces), [""]):
        if line.strip():
            held.append(line.rstrip())
        elif held:
            yield "\n".join(held)
            held = []


def _aside(hashes: Iterable[int], where: object) -> Callable[[int], bool]:
    """Which documents, by their hashes, are kept for the test: one in TEST, and one at least.

    Raises:
        Wrong: where there are too few documents, or all are the same.
    """
    count, least, most, taken = 0, 1 << 64, -1, 0
    for one in hashes:
        count, least, most, taken = count + 1, min(least, one), max(most, one), taken + (one % TEST == 0)
    if count < FEWEST_DOCUMENTS:
        raise _too_little(where, f"{count} documents")
    if least == most:
        raise Wrong("all documents say the same", got=where, try_="a text with more in it")
    return (lambda one: one % TEST == 0) if 0 < taken < count else (lambda one: one == least)


def _too_little(where: object, got: str) -> Wrong:
    least = f"{FEWEST_DOCUMENTS} documents, or {FEWEST_CHARACTERS:,} characters of a continuous text, are the least"
    return Wrong(f"this is too little to learn from: {least}", got=f"{where}, {got}", try_="more text")


def _text_hash(text: str) -> int:
    return _hash(text.encode("utf-8", "surrogatepass"))


def _of_files(files: list[_File], division: str, classes: list[str], name: str, where: Path) -> _Corpus:
    """A corpus of files. division: "lines", "blank", "whole" (the files are continuous texts), "files" or "auto"."""
    folder = where.is_dir()
    if division == "auto":
        lines = sum(file.lines for file in files) >= FEWEST_DOCUMENTS and not any(file.gaps for file in files)
        division = "files" if folder and len(files) >= FEWEST_DOCUMENTS else "lines" if lines else "whole"
    if len(set().union(*(file.letters for file in files))) < 2:
        raise Wrong("this text is one letter, again and again", got=where, try_="a text with more in it")
    placed = any(file.split for file in files)
    whole = division == "whole"
    characters = sum(file.characters for file in files)
    if whole and characters < FEWEST_CHARACTERS:
        raise _too_little(where, f"{sum(file.lines for file in files):,} lines, {characters:,} characters")
    test: Callable[[int], bool] = lambda one: False  # noqa: E731
    if not whole and not placed:
        if division == "files":
            test = _aside((file.digest for file in files), where)
        else:
            texts = (text for file in files for text in _documents(_read(file.path, file.encoding), division))
            test = _aside(map(_text_hash, texts), where)
    elif placed and division in ("lines", "blank"):
        count = sum(1 for file in files for _ in _documents(_read(file.path, file.encoding), division))
        if count < FEWEST_DOCUMENTS:
            raise _too_little(where, f"{count} documents")

    def walk() -> Iterator[_Step]:
        for file in files:
            pieces = _read(file.path, file.encoding)
            if division in ("lines", "blank"):
                for text in _documents(pieces, division):
                    kept = file.split == "test" if placed else test(_text_hash(text))
                    yield _Step(kept, file.label, True, text)
            elif placed or division == "files":
                kept = file.split == "test" if placed else test(file.digest)
                for i, piece in enumerate(pieces):
                    yield _Step(kept, file.label, i == 0, piece)
            else:
                yield from _halves(pieces, file.characters - file.characters // TEST, file.label)

    told = {
        "lines": "one document a line",
        "blank": "documents lie between blank lines",
        "files": "one document a file",
        "whole": "one continuous text",
    }[division]
    if placed:
        kept = "what was set apart as test"
    elif whole:
        kept = f"the last {100 // TEST} % of the text" + (" of each file" if len(files) > 1 else "")
    else:
        kept = f"one document in {TEST} by its content"
    encodings = sorted({file.encoding for file in files})
    shas = [file.sha256 for file in files]
    sha = shas[0] if len(shas) == 1 else hashlib.sha256("".join(shas).encode()).hexdigest()
    return _Corpus(
        walk,
        whole,
        classes,
        large=sum(file.path.stat().st_size for file in files) > LARGE,
        spaced=all(file.spaced for file in files),
        told=told,
        kept=kept,
        key=[division, [[file.sha256, file.split, file.label, file.encoding] for file in files]],
        more={"sha256": sha, "encoding": ", ".join(encodings)},
        name=name,
    )


def _halves(pieces: Iterable[str], cut: int, label: int) -> Iterator[_Step]:
    """A continuous text as two documents: `cut` characters to learn from, and the rest for the test."""
    done, begun = 0, [False, False]
    for piece in pieces:
        here = max(cut - done, 0)
        for test, part in ((False, piece[:here]), (True, piece[here:])):
            if part:
                yield _Step(test, label, not begun[test], part)
                begun[test] = True
        done += len(piece)


def _regrouped(kind: str, steps: Iterable[_Step]) -> Iterator[_Step]:
    """The same documents in pieces that cut no token: at blanks for words, where `_stretches` cut for byte pairs."""
    if kind == "characters":
        yield from steps
        return
    last: _Step | None = None  # what is held back of the document that is being read
    for step in steps:
        if step.begins:
            if last is not None:
                yield last
            last = step
        else:
            assert last is not None
            last = last._replace(piece=last.piece + step.piece)
        at = _safe(kind, last.piece)
        if at:
            yield last._replace(piece=last.piece[:at])
            last = last._replace(begins=False, piece=last.piece[at:])
    if last is not None:
        yield last


def _safe(kind: str, text: str) -> int:
    """How much of a text that may go on can be cut into tokens already."""
    if kind == "bpe":
        line = text.rfind("\n") + 1
        return line + (len(text) - line) // STRETCH * STRETCH
    at = len(text)
    while at and not text[at - 1].isspace():
        at -= 1
    return at


# ------------------------------------------------------------------------------------------------------------- making it


def _make(corpus: _Corpus, tokens: str, context: int | None) -> tuple[Texts, Texts]:
    """Both splits: the vocabulary is learnt from the first, and then all of it is numbered."""
    kind, why = tokens, ""
    if tokens == "auto":
        kind = "words" if corpus.spaced else "characters"
    join = "" if kind == "words" and corpus.spaced else " "
    if join == "":
        why = ", which are single characters with blanks between them, and are joined without blanks"
    splits = ("train", "test")
    keys = [_key(corpus.key, kind, join, split) for split in splits] if corpus.large else None
    found = _recalled(keys) if keys else None
    if found is None:
        texts = (step.piece for step in _regrouped(kind, corpus.walk()) if not step.test)
        vocabulary = Vocabulary.learn(kind, texts, join=join)
        if len(vocabulary) < 3:
            raise Wrong("there is nothing to learn from in the training part", got=corpus.name, try_="more text")
        found = vocabulary, _number(corpus, vocabulary, keys)
        if keys:
            _remember(keys, *found)
    vocabulary, parts = found
    if any(not len(starts) > 1 for _, starts, _, _ in parts):
        raise Wrong("one of the two splits holds no document", got=corpus.name, try_="more text in it")
    if context is None:
        lengths_D = np.diff(parts[0][1])  # of a document, with one end token: what is told of it
        nearly_all = math.ceil(float(np.percentile(lengths_D, 99)))
        context = CONTEXT if corpus.whole else min(nearly_all, LONGEST)
    called = {"characters": "characters", "words": "words", "bpe": "byte pairs"}[kind]
    prepared = f"{corpus.told}, cut into {called}{why}; the test split is {corpus.kept}"
    made = []
    for split, (ids, starts, characters_D, labels) in zip(splits, parts, strict=True):
        made.append(
            Texts(
                ids,
                starts,
                vocabulary,
                context,
                labels_D=torch.from_numpy(labels) if corpus.classes else None,
                classes=corpus.classes,
                whole=corpus.whole,
                characters_D=characters_D,
                prepared=prepared,
                name=corpus.name,
                split=split,
                licence=corpus.licence,
                source=corpus.source,
                more=dict(corpus.more),
            )
        )
    return made[0], made[1]


Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # ids, starts, characters of each document, labels


def _number(corpus: _Corpus, vocabulary: Vocabulary, keys: list[str] | None) -> list[Part]:
    """The ids of both splits, written as they are made."""
    dtype = np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32
    starts, labels, characters = ([array("q"), array("q")] for _ in range(3))
    joint = len(vocabulary.join) if vocabulary.kind == "words" else 0
    end = np.zeros(1, dtype)
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(_store(keys[i] if keys else None, dtype)) for i in (0, 1)]
        for test, label, begins, piece in _regrouped(vocabulary.kind, corpus.walk()):
            if begins:
                starts[test].append(sinks[test].size)
                labels[test].append(label)
                characters[test].append(-joint)  # one less between words than there are words
                sinks[test].add(end)
            sinks[test].add(vocabulary.numbers(piece))
            if vocabulary.kind == "words":
                words = vocabulary.words(piece)
                characters[test][-1] += sum(map(len, words)) + joint * len(words)
            else:
                characters[test][-1] += len(piece)
        for i, sink in enumerate(sinks):
            starts[i].append(sink.size)
            sink.add(end)
    arrays = [[np.array(one, np.int64) for one in (starts[i], characters[i], labels[i])] for i in (0, 1)]
    return [(sinks[i].ids(), *arrays[i]) for i in (0, 1)]  # type: ignore[misc]


def _remember(keys: list[str], vocabulary: Vocabulary, parts: list[Part]) -> None:
    """Beside the ids, what is needed to use them again; the vocabulary last, which says that all is there."""
    for key, (_, starts, characters_D, labels) in zip(keys, parts, strict=True):
        buffer = io.BytesIO()
        np.savez(buffer, starts=starts, characters=characters_D, labels=labels)
        write_bytes(_cached(key, ".npz"), buffer.getvalue())
    write_json(_cached(keys[0], ".json"), vocabulary.facts() | {"sizes": [len(ids) for ids, *_ in parts]})


def _recalled(keys: list[str]) -> tuple[Vocabulary, list[Part]] | None:
    """What `_remember` wrote; None where anything of it is missing or not as long as it was."""
    try:
        facts = json.loads(_cached(keys[0], ".json").read_text(encoding="utf-8"))
        vocabulary = Vocabulary.recall(facts)
        dtype = np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32
        parts: list[Part] = []
        for key, size in zip(keys, facts["sizes"], strict=True):
            ids = _mapped(_cached(key), dtype)
            with np.load(_cached(key, ".npz")) as held:
                parts.append((ids, held["starts"], held["characters"], held["labels"]))
            if len(ids) != size:
                return None
    except (OSError, ValueError, KeyError):
        return None
    return vocabulary, parts


# --------------------------------------------------------------------------------------------------------------- loading


def load(
    name: str, split: str = "train", *, tokens: str = "auto", documents: str = "auto", context: int | None = None
) -> Texts:
    """A text: a file or a folder of .txt files of one's own, or one that has a name here.

    Args:
        name: tinyshakespeare, names, tang, song or shakespeare, sums (made, to try things on), or a path. In a folder,
            folders are classes, and where there are train and test (folders, or .txt files) they are the splits
        split: train, or test: one document in 20 by its content, or the last 5 % of a continuous text
        tokens: characters, words or bpe; auto: characters, but words where a file is single Chinese characters with blanks
            between them
        documents: lines, blank (between blank lines) or whole (files are continuous texts); auto: in a folder of 20 files or
            more, one a file; else lines, where there are 20 and no blank line is between them; else whole
        context: tokens read at once: by default 128 of a continuous text, else what 99 documents in 100 need, 256 at most

    Raises:
        Wrong: for an unknown name, split or way to cut, and for a file that is no text or holds too little of it.
    """
    return ledger().open(f"{name}/{split}", lambda: _open(str(name), split, tokens, documents, context), Texts.recall)


def _open(name: str, split: str, tokens: str, documents: str, context: int | None) -> Texts:
    for what, given, known in (
        ("split", split, ("train", "test")),
        ("kind of tokens", tokens, ("auto", *KINDS)),
        ("way to find documents", documents, ("auto", *DIVISIONS)),
    ):
        if given not in known:
            raise Wrong(f"no such {what}", got=given, try_=", ".join(known), usage=True)
    if context is not None and context < 2:
        raise Wrong("a context is two tokens or more", got=context, try_=str(CONTEXT), usage=True)
    if name == "sums":
        rows = [((7 * a + b) % TEST == 3, 0, f"{a}+{b}={a + b}") for a in range(40) for b in range(40)]
        corpus = _of_list(name, rows, [], "one sum a line, a program's", f"one sum in {TEST}")
        corpus.licence, corpus.source = "CC0", "drawn by gannet"
        return _make(corpus, tokens, context)[split == "test"]
    if name in NAMES:
        folder = catalog.fetch(name, offline=ledger().offline)
        return _named(name, folder, tokens, documents, context)[split == "test"]
    path = Path(name).expanduser()
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise Wrong("no such file or folder", got=name, try_="--data FILE.txt", usage=True)
        near = difflib.get_close_matches(name.lower(), NAMES, 1, 0.5)
        hint = f"{near[0] if near else ', '.join((*NAMES, 'sums'))}, or --data FILE.txt of your own"
        raise Wrong("no data set of text has this name", got=name, try_=hint, usage=True)
    return _placed(path.absolute(), tokens, documents, context, _stamp(path), LARGE, PIECE)[split == "test"]


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a file in there does."""
    found = [path] if path.is_file() else sorted(path.rglob("*.txt"))
    return tuple((str(one), one.stat().st_mtime_ns, one.stat().st_size) for one in found)


@functools.lru_cache(maxsize=2)
def _placed(path: Path, tokens: str, documents: str, context: int | None, *_: object) -> tuple[Texts, Texts]:
    """Both splits of a file or folder; what else is handed over only says whether it is still the same."""
    name = path.stem if path.is_file() else path.name
    files, classes = _found(path)
    return _make(_of_files([_look(file) for file in files], documents, classes, name, path), tokens, context)


def _found(path: Path) -> tuple[list[_File], list[str]]:
    """The files of a text, in the order of their names, with splits and classes as their folders say."""
    if path.is_file():
        return [_File(path)], []
    inside = sorted((file.relative_to(path) for file in path.rglob("*.txt") if file.is_file()), key=lambda file: file.parts)
    inside = [file for file in inside if not any(part.startswith(".") for part in file.parts)]
    if not inside:
        raise Wrong("no .txt file is in this folder", got=path, try_="a folder with texts in it, or --data FILE.txt")
    heads = {file.parts[0].removesuffix(".txt") if len(file.parts) == 1 else file.parts[0] for file in inside}
    placed = {"train", "test"} <= heads
    found, names = [], []
    for file in inside:
        parts, split = list(file.parts), None
        if placed:
            split = parts[0].removesuffix(".txt") if len(parts) == 1 else parts[0]
            if split not in ("train", "test"):
                continue  # neither to learn from nor to test with
            parts = parts[1:]
        found.append(_File(path / file, split))
        names.append(parts[0] if len(parts) > 1 else "")
    classes = sorted(set(names) - {""})
    if len(classes) < 2 or "" in names:  # some lie in no class: then there are none
        return found, []
    for file, label in zip(found, names, strict=True):
        file.label = classes.index(label)
    return found, classes


# ------------------------------------------------------------------------------------------------------ named data sets

NAMES = ("tinyshakespeare", "names", "tang", "song", "shakespeare")


@functools.lru_cache(maxsize=2)
def _named(name: str, folder: Path, tokens: str, documents: str, context: int | None) -> tuple[Texts, Texts]:
    entry = catalog.get(name)
    if name in ("tinyshakespeare", "names"):
        file = _look(_File(folder / entry.files[0].name))
        division = {"tinyshakespeare": "whole", "names": "lines"}[name] if documents == "auto" else documents
        corpus = _of_files([file], division, [], name, folder / entry.files[0].name)
    else:
        if documents != "auto":
            raise Wrong(f"{name} comes as documents of its own", got=documents, try_="documents auto", usage=True)
        paths = [folder / file.name for file in entry.files]
        corpus = _plays(name, paths) if name == "shakespeare" else _poems(name, paths)
        digests = "".join(file.sha256 for file in entry.files)
        corpus.more = {"sha256": hashlib.sha256(digests.encode()).hexdigest(), "encoding": "utf-8"}
    corpus.licence, corpus.source = entry.licence, entry.source
    return _make(corpus, tokens, context)


def _of_list(name: str, rows: list[tuple[bool, int, str]], classes: list[str], told: str, kept: str) -> _Corpus:
    """A corpus of documents that are in memory: for the test or not, class, text."""

    def walk() -> Iterator[_Step]:
        return (_Step(test, label, True, text) for test, label, text in rows)

    return _Corpus(walk, False, classes, False, False, told, kept, [], {}, name)


def _poems(name: str, paths: Sequence[Path]) -> _Corpus:
    """Poems of JSON files, each a list of {"paragraphs": lines …}; those without a line are left out."""
    poems = ["\n".join(poem["paragraphs"]).strip() for path in paths for poem in json.loads(path.read_text(encoding="utf-8"))]
    poems = [poem for poem in poems if poem]
    test = _aside(map(_text_hash, poems), name)
    rows = [(test(_text_hash(poem)), 0, poem) for poem in poems]
    return _of_list(name, rows, [], "one document a poem, its lines as they stand", f"one poem in {TEST} by its content")


def _plays(name: str, paths: Sequence[Path]) -> _Corpus:
    """Scenes of plays in Markdown. The test plays are whole plays: a play's people would give away its kind."""
    from gannet.data.listings import HELD_OUT, PLAYS

    classes = sorted(PLAYS)
    kinds = {play: classes.index(kind) for kind, plays in PLAYS.items() for play in plays}
    rows = []
    for path in paths:
        for text in scenes(path.read_text(encoding="utf-8")):
            rows.append((path.stem in HELD_OUT, kinds[path.stem], text))
    return _of_list(name, rows, classes, "one document a scene, without its heading", "the scenes of " + ", ".join(HELD_OUT))


def scenes(markdown: str) -> list[str]:
    """The scenes of a play, without headings and marks: `**NAME**` becomes `NAME:`, underscores and backslashes go."""
    found: list[list[str]] = [[]]
    for line in markdown.split("\n"):
        line = line.strip()
        if line.startswith("#"):
            found.append([])
            continue
        if line.startswith("**") and line.endswith("**") and len(line) > 4:
            line = line.strip("*") + ":"
        found[-1].append(line.replace("_", "").replace("\\", "").replace("*", ""))
    texts = ("\n".join(lines).strip() for lines in found)
    squeezed = ("\n".join(_squeezed(text.split("\n"))) for text in texts if text)
    return [text for text in squeezed if len(text) >= 100]  # shorter is a line that stands between two headings


def _squeezed(lines: list[str]) -> Iterator[str]:
    """No two blank lines after another."""
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line
