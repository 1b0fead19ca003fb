"""What is drawn from a run: pictures, a film from noise to noise, the noise that draws a given picture; and texts.

Shapes: N pictures, Z numbers of noise, C channels, H = W pixels, F frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gannet.data import images, pictures
from gannet.errors import Wrong
from gannet.files import as_image, check_ours, save_mp4, save_picture, write_json, write_text
from gannet.run import Run, check_truncation, on_white, save_gif

NOTE = "drawn.json"  # by which a folder of ours is known
FRAMES = 24  # from one picture of a film to the next
PER_SECOND = 24


def draw_into(
    run: Run,
    folder: Path,
    n: int,
    *,
    seed: int = 0,
    label: int | str | None = None,
    truncation: float = 1.0,
    best_of: int = 1,
) -> None:
    """Write n pictures as 00000.png … and all of them as grid.png; an earlier drawing of ours in the folder is replaced.

    Raises:
        Wrong: where the folder holds anything that is not such a drawing.
    """
    check_ours(folder, NOTE)
    drawn = run.sample(n, seed=seed, label=label, truncation=truncation, best_of=best_of)
    note = {"run": str(run.folder), "n": n, "seed": seed, "class": label, "truncation": truncation, "best_of": best_of}
    write_json(folder / NOTE, note)
    for old in _numbered(folder, ".png"):
        if int(old.stem) >= n:
            old.unlink()
    for number, picture in enumerate(drawn):
        save_picture(picture, folder / f"{number:05d}.png")
    save_picture(images.grid(torch.from_numpy(drawn).permute(0, 3, 1, 2)), folder / "grid.png")


def _numbered(folder: Path, suffix: str) -> list[Path]:
    """The files in a folder that are numbered as ours are; somebody's `2024.png` is not."""
    return [path for path in folder.glob(f"[0-9]*{suffix}") if path.stem.isdecimal() and f"{int(path.stem):05d}" == path.stem]


# ------------------------------------------------------------------------------------------------------------- texts


def prompt_from(prompt: str | None, file: str | None) -> str:
    """What texts begin with: words, or what is in a file, without the line's end at its end.

    Raises:
        Wrong: where the file is not there or no text.
    """
    if file is None:
        return prompt or ""
    try:
        return Path(file).read_text(encoding="utf-8-sig").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong("the prompt's file cannot be read as UTF-8 text", got=f"{file}: {error}", usage=True) from error


def write_out(run: Run, n: int, folder: Path | None, **wishes: Any) -> Iterator[str]:
    """n texts in pieces as they are written, a blank line between two; and into 00000.txt …, where there is a folder.

    Raises:
        Wrong: where the folder holds anything that is not ours.
    """
    if folder is not None:
        check_ours(folder, NOTE)
        run.check_texts(n, **wishes)  # before the earlier ones go
        write_json(folder / NOTE, {"run": str(run.folder), "n": n, **wishes})
        for old in _numbered(folder, ".txt"):
            old.unlink()
    for number in range(n):
        told = []
        for piece in run.stream(number=number, **wishes):
            told.append(piece)
            yield piece
        yield "\n" if number == n - 1 else "\n\n"
        if folder is not None:
            write_text(folder / f"{number:05d}.txt", "".join(told) + "\n")


def _check_noise(run: Run) -> None:
    """Films and searches need an objective that draws from noise it is handed."""
    if not hasattr(run.objective, "paint"):
        raise Wrong("this run's objective has no noises(), kinds() and paint()", got=run.record["recipe"], try_="-n 64")


# ------------------------------------------------------------------------------------------------------------ a film


def between(z_NZ: torch.Tensor, frames: int) -> torch.Tensor:
    """Noises on the way from each to the next and from the last to the first, (N·F, Z).

    On great circles (White 2016, arXiv 1609.04468, section 2.1): on straight lines the noise in the middle would be
    smaller than any that the generator has learnt from.
    """
    parts = []
    for a, b in zip(z_NZ, z_NZ.roll(-1, 0), strict=True):
        angle = torch.arccos((torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-9)).clamp(-1, 1))
        t_F = torch.arange(frames) / frames
        if angle.sin() < 1e-4:  # the same direction, or opposite ones, between which there is no one circle
            parts.append(torch.lerp(a, b, t_F[:, None]))
            continue
        parts.append((((1 - t_F) * angle).sin()[:, None] * a + (t_F * angle).sin()[:, None] * b) / angle.sin())
    return torch.cat(parts)


def film_into(
    run: Run, folder: Path, n: int, *, seed: int = 0, label: int | str | None = None, truncation: float = 1.0
) -> tuple[Path, Path]:
    """Write film.gif and film.mp4: a walk through the noises of pictures 0 to n - 1 and back to the first.

    With classes and without a label each picture has the next class; between two classes there is nothing, but a cut.

    Raises:
        Wrong: for fewer than two pictures, and for a folder that holds other things.
    """
    _check_noise(run)
    check_truncation(truncation)
    if n < 2:
        raise Wrong("a film goes from picture to picture: two at least", got=f"--film {n}", try_="--film 8", usage=True)
    check_ours(folder, NOTE)
    kinds = run.objective.kinds(n, run.class_number(label))
    y_N = None if kinds is None else kinds.repeat_interleave(FRAMES)
    x_NCHW = run.objective.paint(between(run.objective.noises(n, seed) * truncation, FRAMES), y_N)
    times = max(1, 256 // x_NCHW.shape[-1])
    big = images.straight(images.to_bytes(x_NCHW)).repeat_interleave(times, 2).repeat_interleave(times, 3)
    shown = [on_white(as_image(picture)) for picture in big.permute(0, 2, 3, 1).contiguous().numpy()]
    write_json(folder / NOTE, {"run": str(run.folder), "film": n, "seed": seed, "class": label, "truncation": truncation})
    save_gif(shown, 1000 // PER_SECOND, folder / "film.gif")
    save_mp4((np.asarray(frame.convert("RGB")) for frame in shown), folder / "film.mp4", PER_SECOND)
    return folder / "film.gif", folder / "film.mp4"


# --------------------------------------------------------------------------------------- the noise behind a picture


@dataclass(frozen=True)
class Found:
    """The noise that draws a picture most nearly.

    Attributes:
        noise_Z: it
        label: the class it is drawn as, or None
        drawn_CHW, wanted_CHW: bytes
        distance: root mean square difference between the two, of 255
        untrained: that of the nearest of the random noises that the search began with
    """

    noise_Z: torch.Tensor
    label: int | None
    drawn_CHW: torch.Tensor
    wanted_CHW: torch.Tensor
    distance: float
    untrained: float


def find(run: Run, wanted_CHW: torch.Tensor, *, label: int | None = None, seed: int = 0, steps: int = 300) -> Found:
    """Search the noise that draws a picture (GAN inversion): Adam on the sphere that noise lies on, from the eight nearest
    of 1,024 random ones.

    Args:
        run: whose generator draws
        wanted_CHW: bytes, as the run's data were prepared
        label: the class to draw it as; without, the classes of the eight nearest
        seed: of the random noises
        steps: of the search
    """
    objective, few = run.objective, 8
    start_NZ, y_N = objective.noises(1024, seed), objective.kinds(1024, label)
    wanted = images.to_float(wanted_CHW[None])

    def apart(x_NCHW: torch.Tensor) -> torch.Tensor:
        # Beyond black or white there are no bytes: where black is wanted, anything darker is as good. Clamping both ends
        # everywhere would be as true, but a white point where black is wanted would then have no gradient.
        x_NCHW = torch.where(wanted <= -1, x_NCHW.clamp(min=-1), torch.where(wanted >= 1, x_NCHW.clamp(max=1), x_NCHW))
        return (x_NCHW - wanted).square().mean((1, 2, 3))

    nearest = apart(objective.paint(start_NZ, y_N)).argsort()[:few]
    y = None if y_N is None else y_N[nearest]
    radius = math.sqrt(start_NZ.shape[1])
    z = start_NZ[nearest].clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.1)
    best_N, kept_NZ = torch.full((few,), math.inf), z.detach().clone()
    for step in range(steps + 1):
        error_N = apart(objective.average(z * (radius / z.norm(dim=1, keepdim=True)), y).float())
        better = error_N.detach() < best_N
        best_N[better], kept_NZ[better] = error_N.detach()[better], z.detach()[better]
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - step / (steps + 1))
        optimizer.zero_grad()
        error_N.sum().backward()
        optimizer.step()
    first = int(best_N.argmin())
    noise = kept_NZ[first] * (radius / kept_NZ[first].norm())

    def drawn(z: torch.Tensor, at: int) -> torch.Tensor:
        return images.to_bytes(objective.paint(z[None], None if y is None else y[at : at + 1]))[0]

    made, plain = drawn(noise, first), drawn(start_NZ[nearest[0]], 0)
    distances = [float((x.float() - wanted_CHW.float()).square().mean().sqrt()) for x in (made, plain)]
    return Found(noise, None if y is None else int(y[first]), made, wanted_CHW, *distances)


def like_into(run: Run, path: Path, folder: Path, *, seed: int = 0, label: int | str | None = None) -> Found:
    """Write like.png, a picture file beside what the run draws most like it, and like.json with its noise and distance."""
    _check_noise(run)
    check_ours(folder, NOTE)
    facts = next(iter(run.record["data"].values()))
    found = find(run, pictures.prepared(path, facts["pixels"], facts["channels"]), label=run.class_number(label), seed=seed)
    write_json(folder / NOTE, {"run": str(run.folder), "like": str(path), "seed": seed, "class": label})
    named = None if found.label is None else run.classes[found.label]
    report = {"distance": found.distance, "nearest_of_1024": found.untrained, "class": named, "noise": found.noise_Z.tolist()}
    write_json(folder / "like.json", report)
    save_picture(images.grid(images.straight(torch.stack([found.wanted_CHW, found.drawn_CHW])), columns=2), folder / "like.png")
    return found
