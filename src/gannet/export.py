"""A run's net as ONNX: what plays, tells classes or people apart, finds things, or draws, to be run where there is no torch.

    made = to_onnx(run, "model.onnx")          # held against torch before it is written
    Session("model.onnx").best(seen_E)         # what an agent does, by onnxruntime

Pictures and frames go in as the bytes that they are: what a net does to them first is part of the file.

Shapes: N examples, E observations, C channels, H, W pixels, A actions, K classes, D numbers of a vector, Z of noise, Q things.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gannet import __version__
from gannet.data.images import to_float
from gannet.errors import Wrong
from gannet.evaluation.boxes import USUAL
from gannet.evaluation.driving import one_thread
from gannet.files import write_bytes
from gannet.objectives.detect import peaks
from gannet.objectives.pqn import dueling
from gannet.run import Run

NAME = "exported/model.onnx"  # in the run folder, where nothing else is said
LEAST = 1e-4  # of the largest number that comes out: what ONNX and torch may be apart
FOUND = 100  # things of a picture that are told, at most, however unsure
CHECKED = 16  # inputs on which they are compared
TIMED, WARM = 200, 20  # runs at batch 1, and those before that do not count


class Deciding(nn.Module):
    """Observations as the environment shows them -> what an agent holds of its actions: `chances` (N, A), what each is `worth`
    (N, A), or the numbers of a continuous `action` (N, A), of which -1 to 1 is what the environment allows."""

    def __init__(self, objective: Any):
        super().__init__()
        self.net, self.looked = objective.finished, objective.looked
        self.called = "worth" if hasattr(objective, "quality") else "chances" if objective.play.box is None else "action"
        self.unit: torch.Tensor  # of rewards
        self.register_buffer("unit", objective.unit(objective.finished).clone())

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        seen = self.looked(seen)
        if self.called == "worth":
            return dueling(*self.net(seen)) * self.unit
        policy_NA = self.net.only_policy(seen).float()
        return policy_NA.softmax(1) if self.called == "chances" else policy_NA


class Telling(nn.Module):
    """Byte pictures (N, C, H, W) -> `chances` (N, K) at the temperature that was fitted."""

    def __init__(self, net: nn.Module, temperature: float):
        super().__init__()
        self.net, self.temperature, self.called = net, temperature, "chances"

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return (self.net(to_float(pictures)).float() / self.temperature).softmax(1)


class Embedding(nn.Module):
    """Byte pictures (N, C, H, W) -> `vectors` (N, D) of length 1."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.called = net, "vectors"

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.net(to_float(pictures)).float())


class Mapping(nn.Module):
    """Byte pictures (N, C, P, P) -> what a detector tells of each cell, `map` (N, K + 4, P/4, P/4)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.called = net, "map"

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.net(to_float(pictures)).float()


class Finding(nn.Module):
    """Byte pictures (N, C, P, P) -> `things` (N, Q, 6), the surest first: left, top, right, bottom in pixels, chance, class."""

    def __init__(self, net: nn.Module, classes: int):
        super().__init__()
        self.map, self.classes, self.called = Mapping(net), classes, "things"

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        told = peaks(self.map(pictures), self.classes, FOUND)
        return torch.cat([told.boxes_NQ4, told.chance_NQ[..., None], told.kinds_NQ[..., None].float()], 2)

    @staticmethod
    def apart(ours_NQ6: torch.Tensor, theirs_NQ6: torch.Tensor) -> float:
        """How far the chances are from one another, in order, in parts of the largest; or, where that is further, each of our
        things from the one of theirs that is most like it, boxes in parts of the furthest side.

        Things as sure as the last one are not compared: which of them are told is anybody's choice.
        """
        chances = ours_NQ6[..., 4], theirs_NQ6[..., 4]
        most = chances[0].max().clamp(min=1e-30)
        apart_NQ = (chances[0] - chances[1]).abs() / most
        units_6 = torch.tensor([*[float(ours_NQ6[..., :4].max().clamp(min=1))] * 4, float(most), LEAST])
        near_NQ = torch.cdist(ours_NQ6 / units_6, theirs_NQ6 / units_6, p=math.inf).amin(2)
        sure_NQ = chances[0] > chances[0][:, -1:] + 10 * LEAST * most
        return float(torch.where(sure_NQ, near_NQ.maximum(apart_NQ), apart_NQ).max())


class Drawing(nn.Module):
    """Noise (N, Z), and where classes were learnt `kind` (N,) int64 -> `pictures` (N, C, H, W): bytes are 127.5 (x + 1), cut
    off."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.called = net, "pictures"

    def forward(self, noise: torch.Tensor, kind: torch.Tensor | None = None) -> torch.Tensor:
        return self.net(noise, kind).float()


class Outward(NamedTuple):
    """A net as the outside sees it, and inputs of the kind that it takes, by the names of its arguments."""

    net: Any
    inputs: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: of the file
        inputs, outputs: name -> shape and type, N where there may be any number
        apart: largest difference from torch, on 16 inputs
        milliseconds: at batch 1 on one thread, {"onnx": [median, 99th percentile], "torch": …}
    """

    path: Path
    inputs: dict[str, str]
    outputs: dict[str, str]
    apart: float
    milliseconds: dict[str, list[float]]


def to_onnx(run: Run, path: str | Path | None = None) -> Exported:
    """Write a run's net as ONNX, once it has given what torch gives.

    Args:
        run: whose finished net it is
        path: of the file; without, exported/model.onnx in the run folder

    Raises:
        Wrong: for a run that writes texts, where a package is missing, and where the two differ.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):  # whether all is there, before anything is done
        needed(name)
    path = Path(path or run.folder / NAME)
    if path.suffix != ".onnx":
        raise Wrong("a file of this kind ends in .onnx", got=path, try_=f"--out {path}.onnx", usage=True)
    made = outward(run, CHECKED)
    made.net.eval()
    content = serialised(made, about(run))
    session = Session(content)
    ours, theirs = both(made, session)
    if isinstance(made.net, Finding):  # all that it tells of cells, number by number, and what is made of it
        whole = Outward(made.net.map, made.inputs)
        apart = held(*both(whole, Session(serialised(whole, {}))))
        apart = max(apart, refused(made.net.apart(ours, theirs), 1.0))
    else:
        apart = held(ours, theirs)
    one = {name: value[:1] for name, value in made.inputs.items()}
    arrays = {name: value.numpy() for name, value in one.items()}
    with torch.inference_mode(), one_thread():
        times = {"onnx": timed(lambda: session.raw(arrays)), "torch": timed(lambda: made.net(**one))}
    write_bytes(path, content)
    goes, comes = ({one.name: shape_of(one) for one in side} for side in session.sides())
    return Exported(path, goes, comes, apart, times)


def both(made: Outward, session: Session) -> tuple[torch.Tensor, torch.Tensor]:
    """What torch and what onnxruntime gives, for all inputs at once and for one: any number of them goes in."""
    pairs = []
    with torch.no_grad():
        for n in (CHECKED, 1):
            some = {name: value[:n] for name, value in made.inputs.items()}
            pairs.append((made.net(**some), session(**some)))
    ours, theirs = (torch.cat(side) for side in zip(*pairs, strict=True))
    return ours, theirs


def held(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """How far two are apart, number by number.

    Raises:
        Wrong: where it is further than LEAST of the largest.
    """
    return refused(float((ours - theirs).abs().max()), float(ours.abs().max()))


def refused(apart: float, largest: float) -> float:
    """`apart`, where it is no more than LEAST of the largest number.

    Raises:
        Wrong: otherwise, and where it is no number.
    """
    if not apart <= LEAST * max(largest, 1e-3):
        raise Wrong("ONNX and torch do not give the same; nothing was written", got=f"{apart:.2g} apart of {largest:.2g}")
    return apart


def outward(run: Run, n: int) -> Outward:
    """What of a run is exported, and n inputs of its kind.

    Raises:
        Wrong: for a run of which nothing can be.
    """
    objective = run.objective
    if hasattr(objective, "decide"):
        return Outward(Deciding(objective), {"seen": run.random_inputs(n)})
    if hasattr(objective, "paint"):
        inputs = {"noise": objective.noises(n, 0)}
        kinds = objective.kinds(n)
        return Outward(Drawing(run.nets["generator"]), inputs if kinds is None else inputs | {"kind": kinds})
    if hasattr(objective, "embed"):
        return Outward(Embedding(objective.average), {"pictures": run.random_inputs(n)})
    if hasattr(objective, "logits"):
        warm = run.record.get("trained", {}).get("temperature", 1.0)
        return Outward(Telling(run.nets["classifier"], warm), {"pictures": run.random_inputs(n)})
    if hasattr(objective, "boxes"):
        return Outward(Finding(run.nets["detector"], objective.classes), {"pictures": run.random_inputs(n)})
    what = "agents, classifiers, detectors, recognisers of faces and generators of pictures are exported, and no others"
    raise Wrong(what, got=run.record["recipe"], usage=True)


def about(run: Run) -> dict[str, str]:
    """What the file says of itself."""
    facts = next(iter(run.record["data"].values()))
    told = {"gannet": __version__, "recipe": run.record["recipe"], "command": run.record["command"], "step": str(run.step)}
    told |= {"trained_on": f"{facts['name']}, licence: {facts['licence']}"}
    if hasattr(run.objective, "boxes"):
        told |= {"threshold": str(run.record.get("trained", {}).get("threshold", USUAL))}
    names = facts.get("meanings") if hasattr(run.objective, "decide") else run.classes
    names = None if hasattr(run.objective, "embed") else names  # of the people it has learnt from: they are nobody's business
    return told | ({"names": json.dumps(names, ensure_ascii=False)} if names else {})


def serialised(made: Outward, told: dict[str, str]) -> bytes:
    """The net as the bytes of an ONNX file; the first dimension of whatever goes in and comes out is free."""
    with quietly(), torch.no_grad():
        program = torch.onnx.export(
            made.net,
            kwargs=made.inputs,
            dynamo=True,
            input_names=list(made.inputs),
            output_names=[made.net.called],
            dynamic_shapes={name: {0: torch.export.Dim("N")} for name in made.inputs},
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(told)
    return program.model_proto.SerializeToString()


class Session:
    """An exported net, run by onnxruntime on one thread.

    Args:
        model: the file, or its bytes
    """

    def __init__(self, model: str | Path | bytes):
        runtime = needed("onnxruntime")  # alone: a file is read where none can be written
        runtime.set_default_logger_severity(3)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise Wrong("there is no such file", got=model, try_="gannet export RUN")
        model = model if isinstance(model, bytes) else str(model)
        try:
            self.session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of onnxruntime's own, of many kinds
            said = " ".join(str(error).split())[:200]
            raise Wrong(
                "onnxruntime cannot read this", got=f"{'the net' if isinstance(model, bytes) else model}: {said}"
            ) from error
        self.names = [one.name for one in self.session.get_inputs()]
        self.called = self.session.get_outputs()[0].name

    def sides(self) -> tuple[Any, Any]:
        """Inputs and outputs as onnxruntime tells them."""
        return self.session.get_inputs(), self.session.get_outputs()

    def raw(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """What comes out, of arrays by name."""
        return self.session.run(None, inputs)[0]

    def __call__(self, **inputs: torch.Tensor) -> torch.Tensor:
        """What comes out, of tensors by name."""
        return torch.from_numpy(self.raw({name: value.numpy() for name, value in inputs.items()}))

    def best(self, seen_E: torch.Tensor) -> torch.Tensor:
        """What an agent does, (E,) or (E, A): as `best` of its objective has it."""
        held = self.raw({self.names[0]: seen_E.numpy()})
        return torch.from_numpy(held if self.called == "action" else held.argmax(1))


def shape_of(one: Any) -> str:
    """Of what goes in or comes out, as (N, 4, 84, 84) uint8."""
    sort = one.type.removeprefix("tensor(").removesuffix(")")
    return f"({', '.join(map(str, one.shape))}) {'float32' if sort == 'float' else sort}"


def timed(do: Callable[[], Any]) -> list[float]:
    """Median and 99th percentile in milliseconds."""
    took = []
    for _ in range(WARM + TIMED):
        began = time.perf_counter()
        do()
        took.append(time.perf_counter() - began)
    return [round(1e3 * float(value), 4) for value in np.percentile(took[WARM:], [50, 99])]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what the exporter has to say of packages that are not there, and of what it will do otherwise some day."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def needed(name: str) -> Any:
    """A package of the extra `export`.

    Raises:
        Wrong: where it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        hint = "pip install 'gannet[export]'"
        raise Wrong("exporting needs a package that is not installed", got=name, try_=hint) from missing
