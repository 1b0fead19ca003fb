"""The oracle benchmark: the oracle against its equations written out, and the two numbers that it is about."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import one_line
from gannet.errors import Wrong
from gannet.objectives.language import Language
from gannet.rng import Rng


@pytest.fixture
def tiny(bench: Any) -> Any:
    return bench.Oracle.drawn(3, tokens=3, embedding=2, hidden=2)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def naive(oracle: Any, ids: tuple[int, ...]) -> list[list[float]]:
    """The probabilities of each token of one sequence, number by number in double precision, from SeqGAN's equations."""
    a = {name: array.double().tolist() for name, array in oracle.arrays.items()}
    hidden, tokens = len(a["U_i"]), len(a["b_out"])
    h, c, before, told = [0.0] * hidden, [0.0] * hidden, 0, []
    for token in ids:
        x = a["embedding"][before]
        sums = {}
        for gate in "ifoc":
            sums[gate] = [
                sum(x[k] * a[f"W_{gate}"][k][j] for k in range(len(x)))
                + sum(h[k] * a[f"U_{gate}"][k][j] for k in range(hidden))
                + a[f"b_{gate}"][j]
                for j in range(hidden)
            ]
        c = [sigmoid(sums["f"][j]) * c[j] + sigmoid(sums["i"][j]) * math.tanh(sums["c"][j]) for j in range(hidden)]
        h = [sigmoid(sums["o"][j]) * math.tanh(c[j]) for j in range(hidden)]
        powers = [math.exp(sum(h[k] * a["W_out"][k][v] for k in range(hidden)) + a["b_out"][v]) for v in range(tokens)]
        told.append([power / sum(powers) for power in powers])
        before = token
    return told


def test_a_step_is_the_equations(bench: Any) -> None:
    oracle = bench.Oracle.drawn(0, tokens=7, embedding=3, hidden=4)
    ids = (5, 0, 6, 2)
    state, before = oracle.start(1), 0
    for wanted, token in zip(naive(oracle, ids), ids, strict=True):
        logits_NV, state = oracle.step(torch.tensor([before]), state)
        np.testing.assert_allclose(logits_NV.softmax(1)[0], wanted, rtol=1e-5)
        before = token


def test_nll_by_hand(bench: Any, tiny: Any) -> None:
    every = list(itertools.product(range(3), repeat=3))
    nll_NT = tiny.nll(torch.tensor(every))
    wanted = [[-math.log(p[token]) for p, token in zip(naive(tiny, ids), ids, strict=True)] for ids in every]
    np.testing.assert_allclose(nll_NT, wanted, rtol=1e-5)
    assert math.isclose(float((-nll_NT.sum(1)).exp().sum()), 1, rel_tol=1e-5)  # all sequences there can be
    mean, error = bench.mean_and_error(nll_NT)
    each = [sum(row) / 3 for row in wanted]
    assert math.isclose(mean, sum(each) / 27, rel_tol=1e-5)
    assert math.isclose(error, math.sqrt(sum((one - mean) ** 2 for one in each) / 26 / 27), rel_tol=1e-4)


def test_what_is_written_is_as_frequent_as_it_is_likely(tiny: Any) -> None:
    n = 20_000
    ids_NT = tiny.write(n, 2, Rng(0, 0, "write"))
    assert torch.equal(ids_NT, tiny.write(n, 2, Rng(0, 0, "write")))
    for ids in itertools.product(range(3), repeat=2):
        p = math.prod(p[token] for p, token in zip(naive(tiny, ids), ids, strict=True))
        share = float((ids_NT == torch.tensor(ids)).all(1).float().mean())
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-9, ids


def test_the_ends_of_the_distribution_are_drawn(bench: Any) -> None:
    logits_NV = torch.tensor([[0.0, math.log(2), 0.0]])
    u_N = torch.tensor([0.0, 0.249, 0.251, 0.749, 0.751, 1 - 2**-24])
    assert bench.drawn_by(logits_NV.expand(6, 3), u_N).tolist() == [0, 0, 1, 1, 2, 2]


def test_every_parameter_is_standard_normal(bench: Any) -> None:
    arrays = bench.Oracle.drawn(0).arrays
    assert [tuple(arrays[name].shape) for name in ("embedding", "W_i", "U_o", "b_c", "W_out", "b_out")] == [
        (5_000, 32), (32, 32), (32, 32), (32,), (32, 5_000), (5_000,)
    ]  # fmt: skip
    all_of_them = torch.cat([array.flatten() for array in arrays.values()])
    assert len(arrays) == 15 and abs(float(all_of_them.mean())) < 0.01 and abs(float(all_of_them.std()) - 1) < 0.01
    assert not torch.equal(arrays["U_i"], bench.Oracle.drawn(1).arrays["U_i"])


def test_parameters_come_back_from_a_file_or_a_folder(bench: Any, tiny: Any, tmp_path: Path) -> None:
    arrays = [array.numpy() for array in tiny.arrays.values()]
    published = ["embedding", "wi", "ui", "bi", "wf", "uf", "bf", "wog", "uog", "bog", "wc", "uc", "bc", "wo", "bo"]
    tiny.save(tmp_path / "named.npz")
    np.savez(tmp_path / "unnamed.npz", *arrays)
    np.savez(tmp_path / "published.npz", **dict(sorted(zip(published, arrays, strict=True))))
    (tmp_path / "folder").mkdir()
    for name, array in zip(published, arrays, strict=True):
        np.savez(tmp_path / "folder" / f"{name}.npz", array)
    for name in ("named.npz", "unnamed.npz", "published.npz", "folder"):
        loaded = bench.Oracle.load(tmp_path / name)
        assert list(loaded.arrays) == list(tiny.arrays)
        assert all(torch.equal(loaded.arrays[key], array) for key, array in tiny.arrays.items()), name


def refuses(bench: Any, path: Path, *parts: str) -> None:
    with pytest.raises(Wrong) as caught:
        bench.Oracle.load(path)
    one_line(str(caught.value), path.name, *parts)


def test_a_file_that_holds_no_oracle_is_refused_in_one_line(bench: Any, tiny: Any, tmp_path: Path) -> None:
    arrays = {name: array.numpy() for name, array in tiny.arrays.items()}
    path = tmp_path / "file.npz"
    refuses(bench, tmp_path / "none.npz", "cannot be read")
    path.write_text("no arrays")
    refuses(bench, path, "cannot be read")
    np.savez(path, **(arrays | {"U_f": np.zeros((2, 3), np.float32)}))
    refuses(bench, path, "U_f", "HH", "(2, 3)")
    np.savez(path, **(arrays | {"b_out": np.full(3, np.nan, np.float32)}))
    refuses(bench, path, "b_out", "finite")
    np.savez(path, **{name: array for name, array in arrays.items() if name != "W_c"})
    refuses(bench, path, "lacks", "W_c")
    np.savez(path, **{f"array {number}": array for number, array in enumerate(arrays.values())})
    refuses(bench, path, "lacks", "embedding")
    np.save(tmp_path / "file.npy", arrays["b_out"])
    (tmp_path / "file.npy").rename(path)
    refuses(bench, path, "cannot be read")
    np.savez(path, **(arrays | {"b_c": np.array([{}, {}], dtype=object)}), allow_pickle=True)
    refuses(bench, path, "cannot be read")


def model(bench: Any, tokens: int = 3) -> Language:
    """An untrained writer with a head that is not 0."""
    torch.manual_seed(0)
    net = bench.Plain(tokens + 2, width=4, context=2)
    torch.nn.init.normal_(net.head.weight)
    torch.nn.init.normal_(net.head.bias)
    return Language(net, bench.vocabulary_of(tokens), longest=2, whole=True)


def test_a_model_is_scored_and_writes_at_a_temperature(bench: Any) -> None:
    """Over the oracle's tokens alone, cached or not; what it writes is as frequent as what it tells of is likely."""
    objective, n, inverse = model(bench), 20_000, 1.7
    every = torch.tensor(list(itertools.product(range(3), repeat=2)))
    chances = []
    for ids in every.tolist():
        read_NT = torch.tensor([[0, ids[0] + 2]])  # the start, and the first token behind the reserved two
        powers_TV = (objective.average(read_NT)[0].double() * inverse).exp()
        p_TV = powers_TV[:, 2:] / powers_TV[:, 2:].sum(1, keepdim=True)
        chances.append(float(p_TV[0, ids[0]] * p_TV[1, ids[1]]))
        found, _ = bench.nll_of(objective, bench.Sequences(torch.tensor([ids] * 2), 3), (1.0, inverse))[1]
        assert math.isclose(found, -math.log(chances[-1]) / 2, rel_tol=1e-5)
    assert math.isclose(sum(chances), 1, rel_tol=1e-6)
    ids_NT = bench.write_with(objective, n, 2, inverse, Rng(0, 0, "write"))
    for ids_T, p in zip(every, chances, strict=True):
        assert abs(float((ids_NT == ids_T).all(1).float().mean()) - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_the_best_watched_epoch_is_judged(bench: Any, tiny: Any) -> None:
    """Far too high a rate: the last epoch is not the best, and is not what is kept."""
    oracle = bench.Oracle.drawn(0, tokens=30, embedding=4, hidden=4)
    train, watched = (bench.Sequences(oracle.write(40, 6, Rng(0, 0, use)), 30) for use in ("train", "watched"))
    net = bench.Plain(32, width=16, context=6)
    objective = Language(net, bench.vocabulary_of(30), longest=6, whole=True, rate=0.3, half_life=0)
    wishes = bench.Wishes(epochs=30, batch=8, say=lambda _: None)
    found = bench.trained(objective, train, watched, 0, wishes, lambda *_: 1.0, keep_best=True)
    assert len(found) < 30 and found[-1] > min(found)
    assert math.isclose(bench.nll_of(objective, watched)[0][0], min(found), rel_tol=1e-6)


def test_the_same_seed_gives_the_same_numbers(bench: Any) -> None:
    def once(seed: int) -> dict[str, Any]:
        oracle = bench.Oracle.drawn(seed, tokens=20, embedding=4, hidden=4)
        wishes = bench.Wishes(epochs=2, batch=8, width=16, say=lambda _: None)
        return bench.measured(oracle, "x", seed, 6, 40, ["lstm"], wishes)["models"]["lstm"]["curve"]

    first = once(0)
    torch.randn(1)  # somebody else draws in between
    assert first == once(0) != once(1)


def test_the_bench_runs(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """All models on a tiny oracle from a file: a table, a picture and numbers; a contest has its warm-up beside it."""
    bench.Oracle.drawn(0, tokens=20, embedding=4, hidden=4).save(tmp_path / "tiny.npz")
    words = ["--oracle-params", tmp_path / "tiny.npz", "--sequences", 30, "--epochs", 5, "--batch", 8, "--width", 16]
    words += ["--seeds", 0, "--models", *bench.MODELS, "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["oracle.py", *map(str, words)])
    bench.main()
    told = json.loads((tmp_path / "out" / "oracle.json").read_text())
    (found,) = told["oracles"]
    assert {"lstm", "transformer", "policy", "policy, warmed", "cot", "cot, warmed"} <= set(found["models"])
    for numbers in found["models"].values():
        assert [row["inverse_temperature"] for row in numbers["curve"]] == list(bench.INVERSE_TEMPERATURES)
        assert all(math.isfinite(value) for row in numbers["curve"] for value in row.values())
    assert (tmp_path / "out" / "oracle.png").stat().st_size > 1_000
    assert "| lstm | " in (tmp_path / "out" / "oracle.md").read_text() and "| lstm | " in capsys.readouterr().out
    (tmp_path / "bad.npz").write_text("no")
    monkeypatch.setattr(sys, "argv", ["oracle.py", "--oracle-params", str(tmp_path / "bad.npz")])
    with pytest.raises(SystemExit, match="cannot be read"):
        bench.main()
