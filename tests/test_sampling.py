"""What is drawn besides single pictures: films, truncated noise, and the noise behind a picture."""

from __future__ import annotations

import json
import math
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command, one_line
from gannet import run, sampling
from gannet.errors import Wrong

NONE = {"all": "to be quick"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampling") / "bars"
    return run.train("digits", size="tiny", data="bars", steps=150, out=folder, skip=NONE).folder


def test_noises_between_are_as_large_and_end_where_they_began() -> None:
    z = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    way = sampling.between(z, 10)
    assert way.shape == (30, 64)
    assert torch.allclose(way[::10], z, atol=1e-5)
    a, b = z[0], z[1]
    angle = math.acos(float(a @ b / a.norm() / b.norm()))
    expected = (math.sin(0.7 * angle) * a + math.sin(0.3 * angle) * b) / math.sin(angle)  # one by hand, t = 0.3
    assert torch.allclose(way[3], expected, atol=1e-4)
    norms = way.norm(dim=1)
    assert norms.min() > 0.95 * z.norm(dim=1).min() and norms.max() < 1.05 * z.norm(dim=1).max()
    same = torch.ones(2, 4)
    assert torch.isfinite(sampling.between(same, 5)).all() and torch.isfinite(sampling.between(-same, 5)).all()


def test_painting_is_sampling(trained: Path) -> None:
    objective = run.load(trained).objective
    for n in (3, 64, 70):
        one = objective.sample(n, 5)
        assert torch.equal(one, objective.paint(objective.noises(n, 5), objective.kinds(n)))
        assert torch.equal(one[:3], objective.sample(3, 5))
    assert objective.kinds(4, 1).tolist() == [1, 1, 1, 1] and objective.kinds(3).tolist() == [0, 1, 0]


def test_less_noise_gives_pictures_more_alike(trained: Path) -> None:
    loaded = run.load(trained)
    wide, narrow = (loaded.sample(64, label=1, truncation=t).astype(float).std(0).mean() for t in (1.0, 0.3))
    assert narrow < 0.8 * wide
    with pytest.raises(Wrong, match="above 0"):
        loaded.sample(4, truncation=0)


def test_the_critic_rejects_all_but_the_best(trained: Path) -> None:
    objective = run.load(trained).objective
    n, of = 70, 3
    kept = objective.sample(n, 5, best_of=of)
    z, y = objective.noises(128 * of, 5), objective.kinds(128).repeat_interleave(of)
    for k in (0, 17, 69):  # one by one
        candidates = objective.paint(z[k * of : (k + 1) * of], y[k * of : (k + 1) * of])
        with torch.no_grad():
            rated = objective.critic(candidates, y[k * of : (k + 1) * of])
        assert torch.allclose(kept[k], candidates[rated.argmax()], atol=1e-5)
    assert torch.equal(kept[:5], objective.sample(5, 5, best_of=of))  # whatever n is
    assert torch.equal(objective.sample(n, 5, best_of=1), objective.sample(n, 5))
    plain, some = objective.sample(64, 5, 1), objective.sample(64, 5, 1, best_of=of)
    ones = torch.ones(64, dtype=torch.int64)
    assert objective.rate(some, ones).mean() > objective.rate(plain, ones).mean()


def test_rating_leaves_the_critic_as_it_was(trained: Path) -> None:
    objective = run.load(trained).objective
    for training in (True, False):
        objective.critic.train(training)
        objective.rate(objective.sample(3, 0), torch.zeros(3, dtype=torch.int64))
        assert objective.critic.training is training


def test_a_film(gannet: Command, trained: Path, apart: Path) -> None:
    done = gannet("sample", str(trained), "--film", "3", "--class", "across", "--out", "film")
    assert done.stdout.split() == ["film/film.gif", "film/film.mp4"]
    with Image.open(apart / "film" / "film.gif") as film:
        assert film.size == (256, 256) and film.n_frames > 3 * sampling.FRAMES / 2  # equal ones are joined
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(apart / "film" / "film.mp4"))
    assert frames == 3 * sampling.FRAMES and seconds == pytest.approx(frames / sampling.PER_SECOND)
    assert not list((apart / "film").glob(".*"))
    gannet("sample", str(trained), "--film", "2", "--out", "film")  # over one of ours


def test_the_noise_behind_a_picture_of_its_own_is_found(trained: Path) -> None:
    loaded = run.load(trained)
    own = torch.from_numpy(loaded.sample(5, seed=99)[4]).permute(2, 0, 1)
    found = sampling.find(loaded, own)
    assert own.min() == 0 and own.max() == 255  # the net overshoots both, and bytes do not show by how much
    assert found.distance < 0.5 * found.untrained and found.distance < 0.5 and found.label == 0
    assert found.noise_Z.norm().item() == pytest.approx(math.sqrt(64), rel=1e-3)
    again = loaded.objective.paint(found.noise_Z[None], torch.tensor([found.label]))
    assert torch.equal(sampling.images.to_bytes(again)[0], found.drawn_CHW)
    assert not loaded.objective.average.training


def test_like_a_file(gannet: Command, trained: Path, apart: Path) -> None:
    Image.fromarray(np.full((40, 30, 3), 200, np.uint8)).save("grey.png")
    done = gannet("sample", str(trained), "--like", "grey.png", "--out", "like")
    assert "of 255 apart" in done.stdout
    report = json.loads((apart / "like" / "like.json").read_text())
    assert len(report["noise"]) == 64 and 0 < report["distance"] <= report["nearest_of_1024"] + 0.5
    with Image.open(apart / "like" / "like.png") as picture:
        assert picture.size == (16, 8)


@pytest.mark.parametrize(
    ("words", "parts", "status"),
    [
        (["--film", "1"], ["two at least", "--film 1"], 2),
        (["--film", "3", "--like", "x.png"], ["both given"], 2),
        (["--like", "absent.png"], ["cannot be used", "absent.png"], 1),
        (["--like", "words.png"], ["cannot be used", "words.png: no picture"], 1),
        (["--like", "dot.png"], ["cannot be used", "1x1 pixels"], 1),
        (["--film", "3", "--out", "full"], ["holds other things"], 1),
        (["--truncation", "-1"], ["above 0", "-1"], 2),
        (["--film", "3", "--truncation", "nan"], ["above 0", "nan"], 2),
        (["--best-of", "0"], ["--best-of must be at least 1"], 2),
        (["--film", "3", "--best-of", "4"], ["--film", "rejects none"], 2),
    ],
)
def test_bad_wishes_in_one_line(
    words: list[str], parts: list[str], status: int, gannet: Command, trained: Path, apart: Path
) -> None:
    (apart / "words.png").write_text("no picture")
    Image.new("RGB", (1, 1)).save("dot.png")
    (apart / "full").mkdir()
    (apart / "full" / "mine.txt").write_text("x")
    one_line(gannet("sample", str(trained), *words, status=status).stderr, *parts)
