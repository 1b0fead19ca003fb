"""What `gannet export` writes gives what torch gives, elsewhere than here; and what cannot be written is told in a line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command, one_line

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from gannet import export, run
from gannet.data import boxes
from gannet.errors import Wrong
from gannet.rng import Rng

NONE = {"all": "to be quick"}

ALONE = """
import sys, numpy as np, onnxruntime
inputs = dict(np.load("inputs.npz"))
np.save("out.npy", onnxruntime.InferenceSession(sys.argv[1]).run(None, inputs)[0])
assert not {"torch", "gannet"} & set(sys.modules)
"""


def alone(path: Path, **inputs: torch.Tensor) -> torch.Tensor:
    """What the file gives in a process that has neither torch nor us."""
    np.savez("inputs.npz", **{name: value.numpy() for name, value in inputs.items()})
    subprocess.run([sys.executable, "-c", ALONE, str(path)], check=True)
    return torch.from_numpy(np.load("out.npy"))


def trained(name: str, **words: Any) -> run.Run:
    return run.train(name, size="tiny", steps=2, out="run", skip=NONE, **words)


@pytest.mark.parametrize(
    ("data", "method"),
    [("gannet.data.games:Screen", "ppo"), ("gannet.data.games:Screen", "pqn"), ("Pendulum-v1", "ppo")],
)
def test_an_agent_decides_as_it_does_here(data: str, method: str) -> None:
    pytest.importorskip("gymnasium")
    made = trained("play", data=data, method=method)
    play, rng = made.objective.play, Rng(1, 2, "seen")
    seen = rng.integers(256, 5 * int(np.prod(play.seen))).view(5, *play.seen)  # as many as nobody has said before
    seen = seen.to(torch.uint8) if play.bytes else seen / 100 - 1
    wrote = export.to_onnx(made)
    assert wrote.path == Path("run/exported/model.onnx") and wrote.apart < 1e-5
    held, decided = alone(wrote.path, seen=seen), made.objective.decide(seen)
    assert torch.equal(export.Session(wrote.path).best(seen), made.objective.best(seen)) or play.box is not None
    if play.box is not None:
        torch.testing.assert_close(held, decided.mean_EA, rtol=1e-4, atol=1e-5)
        assert wrote.inputs == {"seen": "(N, 3) float32"} and wrote.outputs == {"action": "(N, 1) float32"}
    elif method == "pqn":
        best = held.amax(1)  # in the rewards' own unit, as `decide` tells it
        torch.testing.assert_close(best, decided.value_E, rtol=1e-4, atol=1e-5)
        assert wrote.outputs == {"worth": "(N, 2) float32"}
    else:
        torch.testing.assert_close(held, decided.p_EA, rtol=1e-4, atol=1e-5)
        assert wrote.inputs == {"seen": "(N, 4, 36, 36) uint8"} and wrote.outputs == {"chances": "(N, 2) float32"}


def test_a_classifier_says_what_predict_says(gannet: Command) -> None:
    made = trained("classify", data="bars", precision="float32")  # in which it is exported, whatever this machine prefers
    said = gannet("export", "run", "--out", "mine/bars.onnx").stdout.splitlines()
    assert said[0] == "mine/bars.onnx" and said[1].startswith("pictures (N, 1, 8, 8) uint8 -> chances (N, 2) float32; at most")
    assert said[2].startswith("one at a time, on one thread: onnx 0.") and "torch" in said[2]
    Image.fromarray(Rng(0, 0, "x").integers(256, 64).view(8, 8).to(torch.uint8).numpy()).save("x.png")
    (told,) = made.predict(["x.png"])
    x = torch.from_numpy(np.asarray(Image.open("x.png")).copy())[None, None]
    held = alone(Path("mine/bars.onnx"), pictures=x)[0].tolist()
    assert dict(zip(made.classes, held, strict=True)) == pytest.approx(told["chances"], abs=1e-5)
    import onnxruntime

    about = onnxruntime.InferenceSession("mine/bars.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(about["names"]) == made.classes and about["recipe"] == "classify" and "licence" in about["trained_on"]


def test_faces_and_digits_are_what_they_are_here() -> None:
    faces = trained("faces", data="bars")
    x = Rng(0, 0, "x").integers(256, 3 * 64).view(3, 1, 8, 8).to(torch.uint8)
    torch.testing.assert_close(
        alone(export.to_onnx(faces, "f.onnx").path, pictures=x), faces.objective.embed(x), rtol=1e-4, atol=1e-5
    )
    assert set(export.about(faces)) == {"gannet", "recipe", "command", "step", "trained_on"}  # and not whom it learnt from
    digits = run.train("digits", size="tiny", data="bars", steps=2, out="digits", skip=NONE)
    z, y = digits.objective.noises(3, 7), digits.objective.kinds(3)
    held = alone(export.to_onnx(digits, "d.onnx").path, noise=z, kind=y)
    torch.testing.assert_close(held, digits.objective.paint(z, y), rtol=1e-4, atol=1e-5)


def test_a_detector_finds_what_it_finds_here(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run.train("detect", size="tiny", data="bars", steps=120, out="run", skip=NONE, precision="float32")
    pictures = boxes.load("bars", 48)[2].x_NCHW[:4]
    write, written = export.serialised, {}

    def once(net: Any, told: dict[str, str]) -> bytes:  # it takes seconds, and is the same each time
        name = net.net.called
        if name not in written:
            written[name] = write(net, told)
        return written[name]

    monkeypatch.setattr(export, "serialised", once)
    wrote = export.to_onnx(made)
    assert wrote.inputs == {"pictures": "(N, 1, 48, 48) uint8"} and wrote.apart < 1e-4
    held_NQ6, told = alone(wrote.path, pictures=pictures), made.objective.boxes(pictures)
    assert wrote.outputs == {"things": f"(N, {held_NQ6.shape[1]}, 6) float32"}
    torch.testing.assert_close(held_NQ6[..., 4], told.chance_NQ, rtol=1e-3, atol=1e-5)
    for held, box, chance, kind in zip(held_NQ6, told.boxes_NQ4, told.chance_NQ, told.kinds_NQ, strict=True):
        assert len(set(chance[:5].tolist())) == 5  # none as sure as another: they stand in the same order
        torch.testing.assert_close(held[:5, :4], box[:5], rtol=1e-3, atol=1e-2)
        assert held[:5, 5].tolist() == kind[:5].tolist()
    right = export.Session.__call__
    for spoilt in ("map", "things"):  # a number of a cell; the class of the surest thing

        def call(self: Any, spoilt: str = spoilt, **inputs: torch.Tensor) -> torch.Tensor:
            out = right(self, **inputs)
            if self.called == spoilt == "map":
                out[0, 3, 5, 5] += 0.1
            elif self.called == spoilt:
                out[0, 0, 5] = 1 - out[0, 0, 5]
            return out

        monkeypatch.setattr(export.Session, "__call__", call)
        with pytest.raises(Wrong, match="do not give the same"):
            export.to_onnx(made, f"{spoilt}.onnx")
        assert not Path(f"{spoilt}.onnx").exists()
    about = export.about(made)
    assert json.loads(about["names"]) == made.classes and float(about["threshold"]) == made.record["trained"]["threshold"]


def test_two_lists_of_things_are_as_far_apart_as_their_sure_ones() -> None:
    ours = torch.tensor([[[0, 0, 8, 8, 0.9, 1], [2, 2, 10, 10, 0.8, 0], [4, 4, 5, 5, 0.1, 0], [6, 6, 7, 7, 0.1, 1]]])
    apart = export.Finding.apart
    assert apart(ours, ours) == 0 and apart(ours, ours[:, [0, 1, 3, 2]]) == 0  # of those at the end any may be told
    moved, other = ours.clone(), ours.clone()
    moved[0, 1, 2] += 1
    other[0, 0, 5] = 0
    assert apart(ours, moved) == pytest.approx(0.1) and apart(ours, other) > 0.5
    moved[0, 0, 4] = math.nan
    assert not apart(ours, moved) <= 1e9
    close = torch.tensor([[[0, 0, 8, 8, 0.90001, 1], [2, 2, 10, 10, 0.9, 0], [4, 4, 5, 5, 0.1, 0]]])
    assert apart(close, close[:, [1, 0, 2]]) < 1e-4  # rounding may exchange two that are as sure


def test_what_is_not_exported_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, gannet: Command) -> None:
    made = trained("write", data="sums")
    one_line(gannet("export", "run", status=2).stderr, "no others", "write")
    for name in ("onnxruntime", "onnxscript"):
        with monkeypatch.context() as missing, pytest.raises(Wrong) as told:
            missing.setitem(sys.modules, name, None)
            export.to_onnx(made)
        one_line(str(told.value), "not installed", name, "gannet[export]")
    Path("none.onnx").write_bytes(b"no net")
    for path in ("none.onnx", "absent.onnx"):
        with pytest.raises(Wrong) as told:
            export.Session(path)
        one_line(str(told.value), path)
    made = run.train("dcgan", size="tiny", data="bars", steps=2, out="draws", skip=NONE)
    with pytest.raises(Wrong) as told:
        export.to_onnx(made, "model.bin")
    one_line(str(told.value), "ends in .onnx", "model.bin")
    right = export.Session.__call__
    monkeypatch.setattr(export.Session, "__call__", lambda self, **inputs: right(self, **inputs) + 0.01)
    with pytest.raises(Wrong) as told:
        export.to_onnx(made)
    one_line(str(told.value), "do not give the same", "nothing was written", "0.01")
    monkeypatch.setattr(export.Session, "__call__", lambda self, **inputs: right(self, **inputs) * math.nan)
    with pytest.raises(Wrong, match="do not give the same"):
        export.to_onnx(made)
    assert not Path("draws/exported").exists()
