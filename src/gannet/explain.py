"""Why does a net say what it says of a picture? Heat maps of where, and the training pictures that it takes for the like.

Of classes, of boxes that a detector sees, of the likeness of two faces, of what a GAN's critic thinks real; and of what an
agent does, which may see pixels, or numbers.

    target = of_net(run.nets["classifier"])            # or Target(score, stages) of anything that gives a picture a number
    heat = maps(target, x_NCHW, y_N, "gradcam")        # (N, H, W)

A map is no proof of itself: `explain` tells for each how far the score falls and rises along it, beside pixels in random order
(gannet.evaluation.explanations). captum draws the first three; guided backpropagation is ours, because captum's hooks modules
that our nets do not have.

Shapes: N pictures, C channels, H height = W width, D features, K classes.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from gannet import matching, nearest
from gannet.data import images
from gannet.data.pictures import fitted, prepared
from gannet.errors import Wrong
from gannet.evaluation import explanations
from gannet.evaluation import play as playing
from gannet.evaluation.boxes import USUAL
from gannet.evaluation.explanations import EMPTY, pointing
from gannet.files import check_ours, save_picture, write_json
from gannet.nearest import at_once
from gannet.nets import r3gan
from gannet.nets.detector import STRIDE, Detector
from gannet.nets.faces import Embedder
from gannet.nets.images import Critic
from gannet.nets.residual import Resize, Trunk
from gannet.nets.scales import Scaled
from gannet.objectives.detect import peaks
from gannet.run import Run

NOTE = "explain.json"  # by which a folder of ours is known
METHODS = ("saliency", "integrated", "gradcam", "hirescam", "guided")
CAMS = ("gradcam", "hirescam")  # that look at a stage
PATH = 64  # points between nothing and the picture that gradients are integrated over
AMBER, RED, BLUE = (1.0, 0.7, 0.1), (1.0, 0.25, 0.15), (0.2, 0.5, 1.0)  # of maps without signs; for, and against

#: pictures (N, C, H, W) in [-1, 1], classes (N,) or None -> a number for each, (N,); of features several, (N, D)
Score = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True)
class Target:
    """What is explained: a number that a net gives each picture.

    Attributes:
        score: differentiable; rows do not see one another. Of one class: a logit, not a chance, whose gradient dies where the
            net is sure. A detector's is the score of one box, a pair of faces' their cosine similarity
        stages: modules by name, first to last, whose output (N, channels, h, w) Grad-CAM may look at; empty for none
        spare: pixels that the net adds to a picture's width and height before its first layer (`nets.images.framed`)
        before: how many of these lie to the left and above; half of them where it is None
        local: the score is of one place of a map, not of the picture
        features: pictures in [-1, 1] and classes as the score's -> (N, D), in which training pictures may be near; or None
        empty: a picture with nothing in it, as a number for all pixels or (C, H, W): where integrated gradients begin, and what
            pixels become that are taken away
    """

    score: Score
    stages: dict[str, nn.Module] = field(default_factory=dict)
    spare: int = 0
    before: int | None = None
    local: bool = False
    features: Score | None = None
    empty: float | torch.Tensor = EMPTY


def of_net(net: nn.Module, tells: bool | None = None) -> Target:
    """A classifier's logit of a class, or a critic's logit of a picture (and its class, where it has been told of classes).

    Args:
        net: called as net(x_NCHW) where it tells classes apart, else as net(x_NCHW, y_N)
        tells: classes apart; without, whoever takes pictures alone, or has `features` and is no critic of ours
    """
    spare = getattr(net, "spare", 0)
    features = getattr(net, "features", None)
    if tells is None:
        ours = isinstance(net, Critic | r3gan.Critic)
        tells = arguments(net) == 1 or (features is not None and not ours)

    def score(x_NCHW: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
        said = net(x_NCHW) if tells else net(x_NCHW, y_N)
        if said.ndim == 1:
            return said.float()
        if y_N is None:
            raise ValueError("which class's logit? y_N is None")
        return said.float().gather(1, y_N[:, None])[:, 0]

    def near(x_NCHW: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
        assert callable(features)
        found: Any = features(x_NCHW) if tells or arguments(features) == 1 else features(x_NCHW, y_N)
        return found

    return Target(score, stages(net), spare if isinstance(spare, int) else 0, features=near if callable(features) else None)


def arguments(call: Any) -> int:
    """How many a net or a function takes."""
    return len(inspect.signature(call.forward if isinstance(call, nn.Module) else call).parameters)


def of_detector(net: Detector, pixels: int) -> Target:
    """A detector's logit in one place of its heat map; in the class's place stands (class · rows + row) · columns + column."""

    def score(x_NCHW: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
        if y_N is None:
            raise ValueError("which place's logit? y_N is None")
        return net(x_NCHW)[:, : net.classes].float().flatten(1).gather(1, y_N[:, None])[:, 0]

    return Target(score, stages(net), spare=-pixels % net.even, before=0, local=True)


def of_pair(net: Embedder, other_1CHW: torch.Tensor) -> Target:
    """How alike an embedder finds pictures and one other (1, C, H, W): the cosine of their vectors."""

    def direction(x_NCHW: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
        return F.normalize(net(x_NCHW).float())

    with torch.no_grad():
        other_1D = direction(other_1CHW, None)

    def score(x_NCHW: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
        return (direction(x_NCHW, y_N) * other_1D).sum(1)

    return Target(score, stages(net.trunk), net.trunk.spare, features=direction)


def of_agent(
    net: nn.Module,
    choice: bool,
    seen_1CHW: torch.Tensor | None = None,
    looked: Callable[[torch.Tensor], torch.Tensor] = lambda x_N: x_N,
) -> Target:
    """An agent's log-probability of an action, where it chooses; else the mean of a number of its action.

    Args:
        net: observations -> (policy (N, A), value (N,)); pixels in [0, 1] where it sees pixels
        choice: it chooses among actions; otherwise in the class's place stands the number of the number
        seen_1CHW: where it sees pixels, some of them in [-1, 1], by which its stages are found; None for vectors, which
            the target takes as they are. Nothing is then the mean frame, as the net knows it, in which what always stands
            there stays
        looked: what the agent makes of them, in [0, 1], before its net sees them: differences, for one
    """

    def score(x_N: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
        if y_N is None:
            raise ValueError("which action? y_N is None")
        policy_NA = net(looked(x_N if seen_1CHW is None else (x_N + 1) / 2))[0].float()
        return (policy_NA.log_softmax(1) if choice else policy_NA).gather(1, y_N[:, None])[:, 0]

    if seen_1CHW is None:
        return Target(score)
    mean_CHW = net.mean_CHW if isinstance(net, Scaled) else None
    return Target(score, places(net, looked((seen_1CHW + 1) / 2)), empty=EMPTY if mean_CHW is None else 2 * mean_CHW - 1)


@torch.no_grad()
def places(net: nn.Module, x_NCHW: torch.Tensor) -> dict[str, nn.Module]:
    """The last module at each size that keeps pixels' places, first to last, of any net: found by running it once.

    Only modules that nothing else stands round at their size, so that a residual block is looked at behind its sum.
    """
    met: dict[tuple[int, ...], nn.Module] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            size = tuple(output.shape[2:])
            met.pop(size, None)
            met[size] = module  # an outer module comes to its end after all that stand in it

    handles = [module.register_forward_hook(note) for module in net.modules()]
    try:
        net(x_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    return {f"stage {i + 1}": module for i, module in enumerate(met.values())}


def stages(net: nn.Module) -> dict[str, nn.Module]:
    """The last residual block at each size, first to last; empty where a net has no trunk that is known here.

    What comes out of a block of ours is the sum before the next activation, of any sign; of He et al.'s, rectified already.
    """
    if isinstance(net, Detector):
        return {f"down {i + 1}": stage for i, stage in enumerate(net.down)} | {
            f"up {i + 1}": stage for i, stage in enumerate(net.join)
        }
    trunk = getattr(net, "trunk", None)
    if isinstance(trunk, Trunk):
        blocks = list(trunk.children())
        firsts = [i for i, block in enumerate(blocks) if i and isinstance(block.enter, Resize)]
        last = [blocks[i - 1] for i in (*firsts, len(blocks))]
    elif isinstance(trunk, nn.ModuleList):
        last = list(trunk)
    else:
        return {}
    return {f"stage {i + 1}": block for i, block in enumerate(last)}


# ---------------------------------------------------------------------------------------------------------------- maps


def captum() -> ModuleType:
    """captum.attr, or the line that says how it is had."""
    try:
        import captum.attr
    except ImportError as error:
        raise Wrong("explanations need captum", got=error, try_="pip install 'gannet[explain]'") from error
    return captum.attr


def maps(
    target: Target,
    x_NCHW: torch.Tensor,
    y_N: torch.Tensor | None,
    method: str,
    *,
    stage: str | None = None,
    signed: bool = False,
    empty: float | torch.Tensor | None = None,
) -> torch.Tensor:
    """Where in each picture the score comes from, (N, H, W), float32: high where it matters.

    saliency: the input gradient, the largest of the channels' absolute values (Simonyan et al. 2014, arXiv 1312.6034, 3.1)
    integrated: integrated gradients from `empty`, a picture with nothing in it (Sundararajan et al. 2017, arXiv 1703.01365,
        equation 1), summed over the channels: they add up to the score less that of nothing, and may be negative
    gradcam: a stage's channels, each weighed by its mean gradient, summed, rectified and enlarged (Selvaraju et al. 2017, arXiv
        1610.02391, equations 1 and 2)
    hirescam: the same with each place's own gradient as its weight (Draelos and Carin 2020, arXiv 2011.08891, equation 3): of
        one place of a map, as a detector's peak is, the mean over all places says nothing
    guided: guided backpropagation (Springenberg et al. 2015, arXiv 1412.6806, section 3.4), as saliency. Only for the sanity
        check: it draws edges, whatever the net knows

    Args:
        target: the score
        x_NCHW: pictures in [-1, 1]
        y_N: classes, or None where the score knows none
        method: one of METHODS
        stage: the two CAMs'; otherwise the last
        signed: of saliency and guided the sum over the channels with its sign, instead of the largest absolute value
        empty: where integrated begins, as `Target.empty`; without, there

    Raises:
        Wrong: for an unknown method or stage, and where captum is missing.
    """
    if method not in METHODS:
        raise Wrong("no such method", got=method, try_=", ".join(METHODS), usage=True)
    if method == "integrated":
        return integrated(target, x_NCHW, y_N, empty=empty)[0]
    parts = []
    for x, y in _parts(x_NCHW, y_N, at_once(x_NCHW)):
        x, more = x.detach().clone().requires_grad_(), () if y is None else (y,)
        if method in CAMS:
            parts.append(_cam(target, x, more, method, stage))
            continue
        if method == "saliency":
            slope = captum().Saliency(_forward(target)).attribute(x, abs=False, additional_forward_args=more)
        else:
            with guided():
                score_N = target.score(x, y)
            (slope,) = torch.autograd.grad(score_N.sum(), x)
        parts.append(slope.sum(1) if signed else slope.abs().amax(1))
    return torch.cat(parts).detach().float()


def _parts(x_NCHW: torch.Tensor, y_N: torch.Tensor | None, part: int) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    kinds = [None] * -(-len(x_NCHW) // part) if y_N is None else y_N.split(part)
    return zip(x_NCHW.split(part), kinds, strict=True)


def _forward(target: Target) -> Callable[..., torch.Tensor]:
    """The score as captum calls it: it repeats classes along with pictures."""
    return lambda x, y=None: target.score(x, y)


def integrated(
    target: Target,
    x_NCHW: torch.Tensor,
    y_N: torch.Tensor | None,
    *,
    empty: float | torch.Tensor | None = None,
    points: int = PATH,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integrated gradients (N, H, W), and how far their sum misses score(x) - score(empty), (N,): 0 were the path exact."""
    empty = target.empty if empty is None else empty
    method, found, gaps = captum().IntegratedGradients(_forward(target)), [], []
    for x, y in _parts(x_NCHW, y_N, max(1, at_once(x_NCHW) // points)):
        more = () if y is None else (y,)
        words: dict[str, Any] = {
            "baselines": explanations.nothing(x, empty),
            "n_steps": points,
            "additional_forward_args": more,
        }
        words["internal_batch_size"] = max(len(x), at_once(x_NCHW))  # of a large picture not all points go at once
        part, gap_N = method.attribute(x, return_convergence_delta=True, **words)
        found.append(part.sum(1))
        gaps.append(gap_N)
    return torch.cat(found).detach().float(), torch.cat(gaps).detach().float()


def _cam(target: Target, x_NCHW: torch.Tensor, more: tuple[Any, ...], method: str, stage: str | None) -> torch.Tensor:
    if not target.stages:
        raise Wrong(f"{method} needs a residual stage to look at, and this net has none", try_="--method saliency")
    name = list(target.stages)[-1] if stage is None else stage
    if name not in target.stages:
        raise Wrong("this net has no such stage", got=stage, try_=", ".join(target.stages), usage=True)
    if method == "gradcam":
        grad_cam = captum().LayerGradCam(_forward(target), target.stages[name])
        cam = grad_cam.attribute(x_NCHW, additional_forward_args=more, relu_attributions=True)
    else:
        products = captum().LayerGradientXActivation(_forward(target), target.stages[name])
        cam = products.attribute(x_NCHW, additional_forward_args=more).sum(1, keepdim=True).relu()
    side = x_NCHW.shape[-1]
    # A stage sees the picture with the frame that the net has put round it.
    cam = F.interpolate(cam, size=(side + target.spare,) * 2, mode="bilinear", align_corners=False)
    first = target.spare // 2 if target.before is None else target.before
    return cam[:, 0, first : first + side, first : first + side]


class _Guided(torch.autograd.Function):
    """A rectifier, leaky or not, whose backward pass lets positive gradients through alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, slope: float) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        ctx.slope = slope
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        grad = grads[0].clamp(min=0)
        return torch.where(x > 0, grad, ctx.slope * grad), None


class _Guide(TorchFunctionMode):
    """Every rectifier that is called meanwhile is a guided one, whether as a module or as a function."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.relu, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, F.relu_):
            return _Guided.apply(args[0] if args else kwargs["input"], 0.0)
        if func in (F.leaky_relu, F.leaky_relu_):
            given = dict(zip(("input", "negative_slope"), args, strict=False)) | kwargs
            return _Guided.apply(given["input"], given.get("negative_slope", 0.01))
        return func(*args, **kwargs)


@contextlib.contextmanager
def guided() -> Iterator[None]:
    """Inside, rectifiers are those of guided backpropagation; a graph built there keeps them. No net is changed.

    captum's GuidedBackprop hooks nn.ReLU modules; our nets call F.relu and F.leaky_relu, and it would hand out their plain
    gradient without a word. For a leaky rectifier Springenberg et al. say nothing: here it passes on what it passes on
    anyway, slope and all, of positive gradients; with slope 0 that is their rule.
    """
    with _Guide():
        yield


def measure(
    target: Target,
    x_1CHW: torch.Tensor,
    y_1: torch.Tensor | None,
    method: str = "all",
    *,
    chance: explanations.Score | None = None,
    stage: str | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Maps of one picture, whatever scores it, and what they are worth.

    Args:
        target: the score that is explained
        x_1CHW: the picture in [-1, 1]
        y_1: its class, or None where the score knows none
        method: one of METHODS, or all: saliency, integrated, and gradcam (of one place hirescam) where there are stages
        chance: what is followed while pixels go and come, of any number of pictures; otherwise the score itself
        stage: Grad-CAM's; otherwise the last
        seed: of the random orders

    Returns:
        {"maps": {method: {"deletion", "insertion": areas, integrated's "gap" "of" what, a CAM's "stage"}}, "floors"}, and
        the maps (H, W) by method
    """
    cams = ["hirescam" if target.local else "gradcam"] if target.stages else []
    wanted = ["saliency", "integrated", *cams] if method == "all" else [method]

    def score(x_NCHW: torch.Tensor) -> torch.Tensor:
        return target.score(x_NCHW, None if y_1 is None else y_1.expand(len(x_NCHW)))

    made: dict[str, torch.Tensor] = {}
    told: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for name in wanted:
        if name == "integrated":
            made[name], gap_1 = integrated(target, x_1CHW, y_1)
            with torch.no_grad():
                whole = score(x_1CHW) - score(explanations.nothing(x_1CHW, target.empty))
            told[name] = {"gap": float(gap_1), "of": float(whole)}
        else:
            made[name] = maps(target, x_1CHW, y_1, name, stage=stage)
            if name in CAMS:
                told[name] = {"stage": stage or list(target.stages)[-1]}
    found = explanations.areas(chance or score, x_1CHW, made, empty=target.empty, seed=seed)
    summed = {way: explanations.summary(way, one) for way, one in found.items()}
    for name in wanted:
        told[name] |= {way: summed[way][name]["area"] for way in summed}
    floors: dict[str, Any] = {"random": {way: summed[way]["random"] for way in summed}}
    floors |= {name: {way: summed[way][name]["area"] for way in summed} for name in ("centre", "ink")}
    return {"maps": told, "floors": floors}, {name: one[0].cpu() for name, one in made.items()}


# ------------------------------------------------------------------------------------------------------------- of a run


@dataclass(frozen=True)
class _Found:
    """What `explain` finds: the report, and what only a picture shows."""

    report: dict[str, Any]
    x_1CHW: torch.Tensor  # bytes
    maps: dict[str, torch.Tensor]  # (H, W)
    near_NCHW: torch.Tensor  # bytes
    near: list[str]  # a line for each
    below: str = ""  # what the second row of the picture shows
    box: list[float] | None = None  # of what a detector sees, in pixels of the prepared picture


@dataclass(frozen=True)
class _Way:
    """How something is explained, whatever it is: words of `explain_into`."""

    method: str = "all"
    stage: str | None = None
    seed: int = 0
    offline: bool = False
    trust: bool = False


def explain(run: Run, file: str | Path, **words: Any) -> dict[str, Any]:
    """Explain what a run says of a picture; its words are those of `explain_into`, whose explain.json it returns."""
    return _explain(run, Path(file), **words).report


def explain_into(run: Run, file: str | Path, folder: str | Path, **words: Any) -> dict[str, Any]:
    """Write explain.png (the picture, its maps, the nearest training pictures) and explain.json.

    Args:
        run: that tells classes apart, sees boxes, compares faces, or has a critic
        file: a picture, prepared as the training pictures were
        folder: to write into
        words: label (the class whose score is explained; otherwise what the net takes the picture for; a critic that has learnt
            classes must be told one; of a detector the surest thing of that class), box (which of the things that a detector
            sees, the surest is 0), beside (the face that this one is compared with), method (one of METHODS, or all, as in
            `measure`), stage (Grad-CAM's), offline (never touch the network), trust (run the folder's own recipe.py), seed
            (of random orders)

    Returns:
        explain.json.

    Raises:
        Wrong: for a run of none of these kinds, what is no picture, an unknown class, box, method or stage, and where captum
            is missing.
    """
    check_ours(Path(folder), NOTE)
    found = _explain(run, Path(file), **words)
    write_json(Path(folder) / NOTE, found.report)
    save_picture(drawn(found), Path(folder) / "explain.png")
    return found.report


def _explain(
    run: Run,
    file: Path,
    *,
    label: int | str | None = None,
    box: int | None = None,
    beside: str | Path | None = None,
    **words: Any,
) -> _Found:
    captum()
    way = _Way(**words)
    sees, compares = hasattr(run.objective, "boxes"), hasattr(run.objective, "embed")
    if beside is not None and not compares:
        raise Wrong("this run compares no faces", got=f"--beside {beside}", try_="a run of faces", usage=True)
    if box is not None and not sees:
        raise Wrong("this run sees no boxes", got=f"--box {box}", try_="--class", usage=True)
    if sees:
        return _explain_box(run, file, label, box or 0, way)
    if compares and label is not None:
        raise Wrong("this run compares two faces and knows no class", got=f"--class {label}", try_="--beside", usage=True)
    if compares:
        return _explain_pair(run, file, beside, way)
    tells, judges = hasattr(run.objective, "logits"), "critic" in run.nets
    if not (tells or judges):
        raise Wrong("this run tells nothing apart, sees no boxes and has no critic", got=run.record["recipe"])
    net = run.nets["classifier" if tells else "critic"]
    target = of_net(net, tells)
    _check(target, way)
    facts = next(iter(run.record["data"].values()))
    bytes_1CHW = prepared(file, facts["pixels"], facts["channels"])[None]
    x_NCHW = images.to_float(bytes_1CHW).to(next(net.parameters()).device)
    asked = run.class_number(label)
    report: dict[str, Any] = {"run": str(run.folder), "step": run.step, "file": str(file)}
    with torch.no_grad():
        if tells:
            warm = run.record.get("trained", {}).get("temperature", 1.0)
            p_K = (net(x_NCHW).float() / warm).softmax(1)[0]
            told = int(p_K.argmax())
            kind = told if asked is None else asked
            report |= {"class": run.classes[told], "chance": round(float(p_K[told]), 6)}
            report |= {"explained": run.classes[kind], "chance_of_it": round(float(p_K[kind]), 6), "of": "a class's logit"}
        elif run.classes:
            if asked is None:  # pairs are of one class: what the critic adds to all of a class means nothing
                what = "a critic's logits under two classes cannot be compared, so one has to be named"
                raise Wrong(what, try_=f"--class {run.classes[0]}", usage=True)
            kind, warm = asked, 1.0
            report |= {"explained": run.classes[kind], "of": "the critic's logit: how real, under this class"}
        else:
            kind, warm = None, 1.0
            report |= {"of": "the critic's logit: how real; it counts beside other pictures' alone"}
    y_N = None if kind is None else torch.tensor([kind], device=x_NCHW.device)
    with torch.no_grad():
        report["logit"] = float(target.score(x_NCHW, y_N))

    def chance(x: torch.Tensor) -> torch.Tensor:
        return (net(x).float() / warm).softmax(1)[:, kind]

    measured, made = measure(target, x_NCHW, y_N, way.method, chance=chance if tells else None, stage=way.stage, seed=way.seed)
    report |= measured
    report["areas"] = (
        f"under the {'chance' if tells else 'logit'} while pixels go (deletion: lower) or come (insertion: higher)"
    )
    report["nearest"], near_NCHW = nearest.pictures(run, _near(target, y_N), x_NCHW, offline=way.offline, trust=way.trust)
    return _Found(report, bytes_1CHW, made, near_NCHW, _lines(report), "the nearest training pictures")


def _near(target: Target, y_N: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The target's features, as they are of any picture of this class."""
    features = target.features
    return None if features is None else lambda x: features(x, None if y_N is None else y_N.expand(len(x)))


def _lines(report: dict[str, Any]) -> list[str]:
    """A line for each of the nearest."""
    return [f"{one.get('class', '')}\n{one['distance']:.2f}".strip() for one in report["nearest"].get("examples", [])]


def _check(target: Target, way: _Way) -> None:
    """One line for a method or a stage that there is not."""
    if way.method != "all" and way.method not in METHODS:
        raise Wrong("no such method", got=way.method, try_=f"all, {', '.join(METHODS)}", usage=True)
    if way.stage is not None and way.stage not in target.stages:
        known = ", ".join(target.stages) or "--method saliency: this net has no stages that are known"
        raise Wrong("this net has no such stage", got=way.stage, try_=known, usage=True)


def _explain_pair(run: Run, file: Path, beside: str | Path | None, way: _Way) -> _Found:
    """Why two faces are found alike, or not: where in the first the likeness to the second comes from."""
    if beside is None:
        raise Wrong("faces are explained in pairs", got=file, try_="--beside OTHER.png", usage=True)
    (net,) = run.nets.values()
    assert isinstance(net, Embedder)
    facts = next(iter(run.record["data"].values()))
    bytes_2CHW = torch.stack([prepared(Path(one), facts["pixels"], facts["channels"]) for one in (file, beside)])
    x_2CHW = images.to_float(bytes_2CHW).to(next(net.parameters()).device)
    target = of_pair(net, x_2CHW[1:])
    _check(target, way)
    measured, made = measure(target, x_2CHW[:1], None, way.method, stage=way.stage, seed=way.seed)
    with torch.no_grad():
        alike = float(target.score(x_2CHW[:1], None))
    at = matching.kept(run)
    report: dict[str, Any] = {"run": str(run.folder), "step": run.step, "file": str(file), "beside": str(beside)}
    report |= {"similarity": round(alike, 4), "same": alike > at["threshold"], **at, "of": "the cosine of the two vectors"}
    report |= {"logit": alike, **measured}
    report["areas"] = "under the similarity while pixels go (deletion: lower) or come (insertion: higher)"
    report["nearest"], near_NCHW = nearest.pictures(
        run, _near(target, None), x_2CHW[:1], where="between directions of the vectors", offline=way.offline, trust=way.trust
    )
    row_NCHW, lines = torch.cat([bytes_2CHW[1:], near_NCHW]), ["beside", *_lines(report)]
    return _Found(report, bytes_2CHW[:1], made, row_NCHW, lines, "the other picture, and the nearest that it learnt from")


def _explain_box(run: Run, file: Path, label: int | str | None, number: int, way: _Way) -> _Found:
    """Why a detector sees one thing: its logit at the peak."""
    net = run.nets["detector"]
    assert isinstance(net, Detector)
    facts = next(iter(run.record["data"].values()))
    target = of_detector(net, facts["pixels"])
    _check(target, way)
    bytes_CHW, fit = fitted(file, facts["pixels"], facts["channels"])
    x_1CHW = images.to_float(bytes_CHW[None]).to(next(net.parameters()).device)
    kind = run.class_number(label)
    with torch.no_grad():
        told = peaks(net(x_1CHW).float(), net.classes, 100)  # in full, as gradients are taken
    least = float(run.record.get("trained", {}).get("threshold", USUAL))
    there_Q = (told.chance_NQ[0].cpu() >= least) & fit.shows(told.boxes_NQ4[0].cpu())
    which = [q for q in there_Q.nonzero().flatten().tolist() if kind in (None, int(told.kinds_NQ[0, q]))]
    if not 0 <= number < len(which):
        what = "this run sees nothing there" if not which else f"this run sees {len(which)} things there, numbered from 0"
        raise Wrong(what, got=f"{file}, --box {number}", try_="gannet predict, which shows all", usage=bool(which))
    chance, told_kind = told.chance_NQ[0, which[number]], int(told.kinds_NQ[0, which[number]])
    y_1 = told.places_NQ[0, which[number]][None]
    ends = told.boxes_NQ4[0, which[number]].tolist()
    measured, made = measure(
        target,
        x_1CHW,
        y_1,
        way.method,
        chance=lambda x: target.score(x, y_1.expand(len(x))).sigmoid(),
        stage=way.stage,
        seed=way.seed,
    )
    inside = {name: pointing(torch.as_tensor(map_HW)[None], torch.tensor([ends]))["map"] == 1 for name, map_HW in made.items()}
    report: dict[str, Any] = {"run": str(run.folder), "step": run.step, "file": str(file)}
    report |= {"class": run.classes[told_kind], "chance": round(float(chance), 6), "explained": run.classes[told_kind]}
    box = fit.back(torch.tensor([ends]))[0].tolist()
    report |= {"box": [round(v, 1) for v in box], "of": "the logit of its peak"}
    report |= {"logit": float(target.score(x_1CHW, y_1)), **measured, "points_into_its_box": inside}
    report["areas"] = "under the chance while pixels go (deletion: lower) or come (insertion: higher)"
    cell = int(y_1) % (facts["pixels"] // STRIDE) ** 2
    report["nearest"], near_NCHW = nearest.things(run, net, x_1CHW, cell, offline=way.offline, trust=way.trust)
    below = "the nearest things that it learnt from"
    return _Found(report, bytes_CHW[None], made, near_NCHW, _lines(report), below, ends)


# --------------------------------------------------------------------------------------------------------- of an agent


@dataclass(frozen=True)
class _Step:
    """A step of an episode that is to be explained."""

    step: int
    seen_1: torch.Tensor  # the observation (1, ...)
    did: torch.Tensor  # (), or (A,)
    decision: Any


def explain_agent_into(
    run: Run, folder: str | Path, *, method: str = "all", stage: str | None = None, seed: int = 0, steps: int = 4
) -> dict[str, Any]:
    """Write explain.png and explain.json: what an agent's actions rest on in some steps of an episode, evenly over it.

    Of pixels maps as of any picture, all stacked frames together. Of vectors integrated gradients of each input, from the mean
    observation of the episode: why this and not what it would do on average. Of a net with attention also which rows each of
    its heads listens to: where it looks, which is not yet what it makes of it.

    Args:
        run: of an agent
        folder: to write into
        method: of pixels: one of METHODS, or all, as in `measure`
        stage: of pixels: Grad-CAM's
        seed: of the episode, and of random orders
        steps: that are explained

    Returns:
        explain.json.

    Raises:
        Wrong: for a run that does not play, an unknown method or stage, and where captum is missing.
    """
    captum()
    objective = run.agent()
    check_ours(Path(folder), NOTE)
    play, net = objective.play, run.nets["agent"]
    if not play.bytes and method not in ("all", "integrated"):
        raise Wrong("of vectors there are integrated gradients alone", got=method, try_="--method integrated", usage=True)
    some, returns, length, mean_1 = _episode(objective, seed, steps)
    device, choice = next(net.parameters()).device, play.box is None
    seen = [images.to_float(one.seen_1) if play.bytes else one.seen_1 for one in some]
    target = of_agent(net, choice, seen[0].to(device) if play.bytes else None, objective.looked)
    if play.bytes:
        _check(target, _Way(method, stage))
    elif stage is not None:
        raise Wrong("of vectors there are no stages", got=f"--stage {stage}", try_="without --stage", usage=True)
    names = play.meanings or [str(a) for a in range(play.actions or play.box)]
    told, shown = [], []
    for one, x in zip(some, seen, strict=True):
        # Of several numbers the one that is furthest from doing nothing.
        which = int(one.did) if choice else int(one.did.abs().argmax())
        said: dict[str, Any] = {"step": one.step, "action": names[which], "value": float(one.decision.value_E[0])}
        if choice and one.decision.p_EA is not None:
            said["chance"] = float(one.decision.p_EA[0, which])
        x_1, y_1 = x.to(device), torch.tensor([which], device=device)
        if play.bytes:
            measured, made = measure(target, x_1, y_1, method, chance=_chance(target, y_1, choice), stage=stage, seed=seed)
            told.append(said | measured)
            shown.append(made)
        else:
            found_D, gap = _inputs(target, x_1, mean_1.to(device), y_1)
            size = found_D.abs().argsort(descending=True)[:3].tolist()
            told.append(said | {"inputs": x.flatten().tolist(), "integrated": found_D.tolist(), "gap": gap, "largest": size})
            with torch.no_grad():
                listens_1HR = net.listens(x_1) if isinstance(net, Scaled) else None
            if listens_1HR is not None:
                share, row = listens_1HR[0].mean(0).max(0)
                told[-1] |= {"attention": listens_1HR[0].tolist(), "most": {"row": int(row), "share": float(share)}}
    report: dict[str, Any] = {"run": str(run.folder), "step": run.step, "seed": seed, "returns": returns, "length": length}
    report |= {
        "of": "the log-probability of the action that was taken" if choice else "the mean of the largest number of the action"
    }
    if play.bytes:
        ways = {name: [one["maps"][name] for one in told] for name in told[0]["maps"]}
        ways |= {name: [_plain(one["floors"][name]) for one in told] for name in told[0]["floors"]}
        report["mean"] = {
            name: {way: float(np.mean([one[way] for one in every])) for way in ("deletion", "insertion")}
            for name, every in ways.items()
        }
        report["areas"] = (
            f"under the {'chance of the action' if choice else 'number'} while pixels go (deletion: lower) or come "
        )
        report["areas"] += "(insertion: higher)"
    report["steps"] = told
    write_json(Path(folder) / NOTE, report)
    picture = _drawn_maps(some, shown, told) if play.bytes else _drawn_inputs(told)
    save_picture(picture, Path(folder) / "explain.png")
    return report


def _episode(objective: Any, seed: int, steps: int) -> tuple[list[_Step], float, int, torch.Tensor]:
    """Steps of an episode, evenly over it; its return, its length, and the mean of what was seen (1, ...)."""
    play, decisions = objective.play, []

    def choose(seen_E: torch.Tensor, luck: playing.Luck) -> torch.Tensor:
        decisions[:] = [objective.decide(seen_E)]
        return playing.drawn_from(decisions[0], luck)

    kept: list[_Step] = []
    returns, length, stride, sum_1 = 0.0, 0, 1, torch.zeros(())
    with contextlib.closing(play.open(1, workers=False)) as vector:
        which = playing.seeds(playing.SHOWN, 1, seed)
        for now in playing.moments(vector, 1, choose, which, seed=seed, most=play.limit or playing.MOST):
            if now.step % stride == 0:
                kept.append(_Step(now.step, now.seen_E, now.did_E[0], decisions[0]))
                if len(kept) > 64 * steps:  # an episode may be longer than the memory
                    kept, stride = kept[::2], 2 * stride
            returns, length, sum_1 = returns + float(now.reward_E[0]), now.step + 1, sum_1 + now.seen_E.float()
    at = sorted({int((k + 0.5) * len(kept) / steps) for k in range(steps)})
    return [kept[k] for k in at], returns, length, sum_1 / length


def _chance(target: Target, y_1: torch.Tensor, choice: bool) -> explanations.Score | None:
    """The chance of an action, of any number of pictures."""
    return (lambda x: target.score(x, y_1.expand(len(x))).exp()) if choice else None


def _plain(floor: dict[str, Any]) -> dict[str, float]:
    """A floor's areas, without their spread."""
    return {way: one["area"] if isinstance(one, dict) else one for way, one in floor.items()}


def _inputs(target: Target, x_1: torch.Tensor, from_1: torch.Tensor, y_1: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Integrated gradients of each input (D,), and how far their sum misses the difference of the scores."""
    method = captum().IntegratedGradients(_forward(target))
    words: dict[str, Any] = {"baselines": from_1, "n_steps": PATH, "additional_forward_args": (y_1,)}
    found, gap_1 = method.attribute(x_1, return_convergence_delta=True, **words)
    return found.detach().float().flatten().cpu(), float(gap_1)


def _said(one: dict[str, Any]) -> str:
    """A step in a few words."""
    chance = f" {one['chance']:.0%}" if "chance" in one else ""
    return f"step {one['step']}: {one['action']}{chance}\nvalue {one['value']:.2f}"


def _sheet(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, np.ndarray]:
    """A figure and its axes (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _picture(figure: Any) -> np.ndarray:
    """What a figure shows (H, W, 3), bytes."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _drawn_maps(some: list[_Step], shown: list[dict[str, torch.Tensor]], told: list[dict[str, Any]]) -> np.ndarray:
    """A row for each step: the newest frame, and its maps on it, darkened (H, W, 3)."""
    figure, grid = _sheet(len(some), 1 + len(shown[0]), (2.2, 2.5))
    for row, one, made, words in zip(grid, some, shown, told, strict=True):
        newest = one.seen_1[0, -1].numpy()
        row[0].imshow(newest, cmap="gray", vmin=0, vmax=255)
        row[0].set_title(_said(words), fontsize=8)
        for axes, (name, map_HW) in zip(row[1:], made.items(), strict=True):
            axes.imshow(newest // 2, cmap="gray", vmin=0, vmax=255)
            _paint(axes, map_HW)
            numbers = words["maps"][name]
            axes.set_title(f"{name}\n↓ {numbers['deletion']:.2f}  ↑ {numbers['insertion']:.2f}", fontsize=8)
        for axes in row:
            axes.axis("off")
    return _picture(figure)


def _drawn_inputs(told: list[dict[str, Any]], most: int = 24) -> np.ndarray:
    """A panel for each step: a bar for each input, the largest where there are too many, by its number; of a net with attention
    a second row, of whom each head listens to (H, W, 3)."""
    rows = len(told[0]["attention"][0]) if "attention" in told[0] else 0
    figure, grid = _sheet(1 + bool(rows), len(told), (2.8, 1.0 + 0.18 * max(min(len(told[0]["inputs"]), most), rows)))
    for axes, one in zip(grid[-1] if rows else (), told, strict=False):
        begun_R = np.zeros(rows)
        for weight_R, colour in zip(one["attention"], (AMBER, BLUE), strict=False):
            axes.barh(range(rows), weight_R, left=begun_R, color=colour)
            begun_R = begun_R + np.asarray(weight_R)
        axes.set_yticks(range(rows), ["itself", *map(str, range(1, rows))], fontsize=7)
        axes.set_xlim(0, len(one["attention"]))
        axes.invert_yaxis()
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title("whom its heads listen to", fontsize=8)
    for axes, one in zip(grid[0], told, strict=True):
        found_D = np.asarray(one["integrated"])
        which = np.sort(np.argsort(-np.abs(found_D), kind="stable")[:most])
        colours = [RED if found_D[i] > 0 else BLUE for i in which]
        axes.barh(range(len(which)), found_D[which], color=colours)
        axes.set_yticks(range(len(which)), [f"{i}: {one['inputs'][i]:.2f}" for i in which], fontsize=7)
        axes.invert_yaxis()
        axes.axvline(0, color="black", linewidth=0.6)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(_said(one), fontsize=8)
    figure.supxlabel("integrated gradients from the mean observation; red: for the action, blue: against it", fontsize=7)
    return _picture(figure)


def _paint(axes: Any, map_HW: torch.Tensor) -> None:
    """A map in colour, over what is there: amber, or red and blue where it has signs."""
    both = bool((map_HW < 0).any())
    size = (map_HW.abs() / map_HW.abs().max().clamp(min=1e-12)).pow(0.5 if both else 1).numpy()
    paint = np.where((map_HW.numpy() < 0)[..., None], BLUE, RED if both else AMBER)
    axes.imshow(np.concatenate([paint, size[..., None]], -1))


def drawn(found: _Found) -> np.ndarray:
    """The picture, its maps and the nearest training pictures as one picture (H, W, 3), bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    report, near = found.report, found.near
    columns, rows = max(1 + len(found.maps), len(near), 2), 2 if near else 1
    figure = Figure(figsize=(1.9 * columns, 2.5 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")

    def show(axes: Any, x_CHW: torch.Tensor, title: str) -> None:
        shown = images.straight(x_CHW[None])[0].permute(1, 2, 0).numpy()
        axes.imshow(shown[..., 0] if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=8)

    said = f"{report['class']} {report['chance']:.1%}" if "class" in report else f"logit {report['logit']:.2f}"
    said = f"similarity {report['similarity']:.2f}" if "similarity" in report else said
    kind = report.get("explained")
    show(grid[0, 0], found.x_1CHW[0], said if kind in (None, report.get("class")) else f"{said}\nexplained: {kind}")
    if found.box is not None:
        x0, y0, x1, y1 = found.box
        for axes in grid[0, : 1 + len(found.maps)]:
            axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="lime", linewidth=0.8)
    for axes, (name, map_HW) in zip(grid[0, 1:], found.maps.items(), strict=False):
        numbers = report["maps"][name]
        show(axes, found.x_1CHW[0] // 2, f"{name}\n↓ {numbers['deletion']:.2f}  ↑ {numbers['insertion']:.2f}")  # darker
        _paint(axes, map_HW)
    for axes, x_CHW, line in zip(grid[-1] if near else (), found.near_NCHW, near, strict=False):
        show(axes, x_CHW, line)
    floor = report["floors"]["random"]
    under = f"area under deletion (↓, low) and insertion (↑, high); random order: ↓ {floor['deletion']['area']:.2f}  "
    under += f"↑ {floor['insertion']['area']:.2f}" + (f"; below: {found.below}" if near else "")
    figure.supxlabel(under, fontsize=7)
    return _picture(figure)
