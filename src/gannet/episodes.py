"""What `gannet sample` writes of an agent: episodes as films, with what the net sees and thinks beside them, and as data.

On the left what a person sees; on the right the observation as it reaches the net, the chances of its actions, the one that was
taken, and the value that it expects, as a line. Drawn with Pillow, a few milliseconds a frame; films are written while the
episode is played, so that a long one needs no more memory than a short one.

Shapes: H height, W width, C stacked frames, D numbers of an observation, A actions or numbers of an action, T steps.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from gannet.data.play import Play
from gannet.errors import Wrong
from gannet.evaluation.play import MOST, SHOWN, Luck, Window, drawn_from, moments, seeds
from gannet.files import check_ours, save_mp4, write_bytes, write_json
from gannet.run import Run, check_number, save_gif

NOTE = "drawn.json"  # by which a folder of ours is known
TALL = 420  # pixels of a game's picture on the left, at most; smaller ones are enlarged by whole numbers
PANEL = 300  # pixels of the panel's width
SOME = 18  # actions, or numbers of an observation, that have a bar of their own
LINE = 240  # steps of the value's line
GIF = 200  # frames of a GIF at most: of longer episodes every second, fourth … is left out
GIF_WIDE = 480
GROUND, INK, FAINT, BAR, TAKEN, WORTH = (
    (20, 22, 28),
    (230, 230, 230),
    (70, 74, 84),
    (96, 125, 180),
    (255, 179, 26),
    (90, 200, 140),
)


@dataclass(frozen=True)
class Told:
    """What is said of an episode that was written.

    Attributes:
        number, seed: which one, and the environment's seed
        returns, length: sum of its rewards; steps of the agent
        terminated: it came to an end; False where it was cut off
        files: what was written of it
        blind: why there is no film; empty where there is one
    """

    number: int
    seed: int
    returns: float
    length: int
    terminated: bool
    files: list[Path] = field(default_factory=list)
    blind: str = ""


def play_into(
    run: Run, folder: Path, n: int = 1, *, seed: int = 0, greedy: bool = False, record: bool = False
) -> Iterator[Told]:
    """Play n episodes and write each as episode-00000.mp4 and .gif; an earlier drawing of ours in the folder is replaced.

    Args:
        run: of an agent
        folder: to write into
        n: how many; episode k is the same whatever n is
        seed: of the environments and of the choices
        greedy: the likeliest action is taken always, instead of being drawn
        record: also write episode-00000.npz, to be imitated: `observations` (T, …), each before its step, `actions` (T, …),
            `rewards` and `ends` (T,), `last` (what is seen after the last step), `terminated`, `environment`; never pickled

    Raises:
        Wrong: for a run that does not play, n < 1, and a folder that holds other things.
    """
    objective = run.agent()
    check_number(n)
    check_ours(folder, NOTE)
    for old in folder.glob("episode-[0-9]*.*"):
        old.unlink()
    write_json(folder / NOTE, {"run": str(run.folder), "n": n, "seed": seed, "greedy": greedy, "record": record})
    for number, one in enumerate(seeds(SHOWN, n, seed)):
        path = folder / f"episode-{number:05d}"
        yield _played(objective, objective.play, path, number, one, seed, greedy, record)


def _played(
    objective: Any, play: Play, path: Path, number: int, seed_of_it: int, seed: int, greedy: bool, record: bool
) -> Told:
    """One episode, written."""
    decisions: deque[Any] = deque(maxlen=1)

    def choose(seen_E: torch.Tensor, luck: Luck) -> torch.Tensor:
        decisions.append(objective.decide(seen_E))
        return drawn_from(decisions[0], luck, greedy)

    returns, steps, now = 0.0, [], None
    blind, files = "", []
    with contextlib.ExitStack() as stack:
        vector: Any = None
        try:
            vector = stack.enter_context(contextlib.closing(Window(play)))
            vector.reset([seed_of_it])  # some can only say now that they cannot draw themselves
        except Wrong as reason:
            blind = str(reason)
            vector = stack.enter_context(contextlib.closing(play.open(1, workers=False)))

        def pictures() -> Iterator[np.ndarray]:
            """Play; what is to be shown of each step, and of the end."""
            nonlocal returns, now
            panel = None
            for now in moments(vector, 1, choose, [seed_of_it], seed=seed, most=play.limit or MOST):
                if record:
                    steps.append((now.seen_E[0].numpy(), now.did_E[0].numpy(), float(now.reward_E[0])))
                if not blind:
                    panel = panel or Panel(play, vector.before.shape)
                    yield panel.drawn(vector.before, now.seen_E[0], decisions[0], now.did_E[0], returns)
                returns += float(now.reward_E[0])
            if panel is not None and now is not None:
                yield panel.drawn(vector.now, now.after_E[0], None, None, returns)

        if blind:
            deque(pictures(), maxlen=0)
        else:
            thin = Thin()
            save_mp4(thin.through(pictures()), path.with_suffix(".mp4"), vector.rate)
            save_gif(thin.frames, thin.milliseconds(vector.rate), path.with_suffix(".gif"))
            files = [path.with_suffix(".mp4"), path.with_suffix(".gif")]
    assert now is not None
    if record:
        save_episode(path.with_suffix(".npz"), play, steps, now.after_E[0].numpy(), bool(now.terminated_E[0]))
        files.append(path.with_suffix(".npz"))
    return Told(number, seed_of_it, returns, now.step + 1, bool(now.terminated_E[0]), files, blind)


def save_episode(
    path: Path, play: Play, steps: list[tuple[np.ndarray, np.ndarray, float]], last: np.ndarray, ended: bool
) -> None:
    """An episode as data, loadable with allow_pickle=False; see `play_into`."""
    seen, did, rewards = zip(*steps, strict=True)
    ends = np.zeros(len(steps), dtype=bool)
    ends[-1] = True
    held = {"observations": np.stack(seen), "actions": np.stack(did), "rewards": np.asarray(rewards, np.float32), "ends": ends}
    buffer = io.BytesIO()
    more: dict[str, Any] = {"last": last, "terminated": np.asarray(ended), "environment": np.asarray(play.called)}
    np.savez_compressed(buffer, **held, **more)
    write_bytes(path, buffer.getvalue())


class Thin:
    """Keeps of any number of frames at most GIF, evenly: every stride-th; the stride doubles when they become too many."""

    def __init__(self) -> None:
        self.frames: list[Image.Image] = []
        self.stride, self.seen = 1, 0

    def through(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass frames on, and keep some."""
        for frame in frames:
            if self.seen % self.stride == 0:
                small = Image.fromarray(frame)
                if small.width > GIF_WIDE:
                    small = small.resize((GIF_WIDE, round(small.height * GIF_WIDE / small.width)), Image.Resampling.BOX)
                self.frames.append(small)
                if len(self.frames) > GIF:
                    self.frames, self.stride = self.frames[::2], 2 * self.stride
            self.seen += 1
            yield frame

    def milliseconds(self, rate: float) -> list[int]:
        """How long each is shown: as in the game, but long episodes go faster; the last one stays."""
        each = round(min(max(1000 * self.stride / rate, 20), 100))
        return [each] * (len(self.frames) - 1) + [1500]


# ------------------------------------------------------------------------------------------------------------ the panel


class Panel:
    """Draws a step: the game on the left, on the right what the net sees, does and expects.

    Args:
        play: the environment
        shape: (H, W, 3) of the game's pictures
    """

    def __init__(self, play: Play, shape: tuple[int, ...]):
        self.play = play
        high, wide = shape[:2]
        share = max(1, TALL // high) if high <= TALL else TALL / high
        self.size = (round(wide * share), round(high * share))
        self.font = ImageFont.load_default(11)
        self.names = play.meanings or [str(a) for a in range(play.actions or play.box or 0)]
        self.rows = min(len(self.names), SOME)
        self.actions_at = 26 + self._view_height() + 24
        self.value_at = self.actions_at + 14 * self.rows + 26
        height = max(self.size[1], self.value_at + 80)
        self.canvas = Image.new("RGB", (self.size[0] + PANEL, height + height % 2), GROUND)
        draw = ImageDraw.Draw(self.canvas)
        for text, y in (
            ("what the net sees", 6),
            ("what it does", self.actions_at - 20),
            ("what it expects", self.value_at - 18),
        ):
            draw.text((self.size[0] + 10, y), text, fill=INK, font=self.font)
        for row in range(self.rows):
            at = (self.size[0] + 10, self.actions_at + 14 * row)
            draw.text(at, self.names[row][:14], fill=INK, font=self.font)
        self.values: deque[float] = deque(maxlen=LINE)
        self.low, self.high = math.inf, -math.inf
        self.largest_D = np.full(math.prod(play.seen), 1e-6)

    def _view_height(self) -> int:
        if self.play.bytes:
            self.tiles = min(self.play.seen[0], 4)
            return 136 * (2 if self.tiles > 2 else 1) if self.tiles > 1 else 200
        return 12 * min(math.prod(self.play.seen), SOME)

    def drawn(
        self, frame: np.ndarray, seen: torch.Tensor, decision: Any | None, did: torch.Tensor | None, returns: float
    ) -> np.ndarray:
        """One step as a picture (H, W, 3), bytes.

        Args:
            frame: the game's own picture
            seen: the observation
            decision: what the net decides on it; None after the last step
            did: the action that was taken
            returns: sum of the rewards so far
        """
        canvas = self.canvas.copy()
        draw = ImageDraw.Draw(canvas)
        game = Image.fromarray(frame)
        if game.size != self.size:
            way = Image.Resampling.NEAREST if self.size[0] > game.width else Image.Resampling.BOX
            game = game.resize(self.size, way)
        canvas.paste(game, (0, (canvas.height - self.size[1]) // 2))
        left = self.size[0] + 10
        if self.play.bytes:
            self._frames(canvas, seen, left)
        else:
            self._numbers(draw, seen, left)
        if decision is not None and did is not None:
            self._chances(draw, decision, did, left)
            value = float(decision.value_E[0])
            self.values.append(value)
            self.low, self.high = min(self.low, value), max(self.high, value)
        self._value(draw, left, returns)
        return np.asarray(canvas)

    def _frames(self, canvas: Image.Image, seen: torch.Tensor, left: int) -> None:
        """The newest stacked frames, enlarged, the newest last."""
        side = 132 if self.tiles > 1 else 196
        for tile, picture in enumerate(seen[-self.tiles :].numpy()):
            at = (left + (side + 4) * (tile % 2), 26 + (side + 4) * (tile // 2))
            high, wide = picture.shape
            size = (max(1, round(side * wide / max(high, wide))), max(1, round(side * high / max(high, wide))))
            canvas.paste(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST).convert("RGB"), at)

    def _numbers(self, draw: ImageDraw.ImageDraw, seen: torch.Tensor, left: int) -> None:
        """A bar for each number of an observation, as long as the largest so far is the whole width."""
        numbers_D = seen.flatten().numpy()
        self.largest_D = np.maximum(self.largest_D, np.abs(numbers_D))
        middle, half = left + 130, 80
        for row, value in enumerate(numbers_D[:SOME]):
            y = 26 + 12 * row
            draw.text((left, y - 2), f"{row}", fill=FAINT, font=self.font)
            end = middle + half * float(value) / float(self.largest_D[row])
            draw.rectangle((min(middle, end), y, max(middle, end), y + 8), fill=BAR)
            draw.text((left + 224, y - 2), f"{value:.2f}", fill=INK, font=self.font)
        draw.line((middle, 24, middle, 26 + 12 * min(len(numbers_D), SOME)), fill=FAINT)

    def _chances(self, draw: ImageDraw.ImageDraw, decision: Any, did: torch.Tensor, left: int) -> None:
        """A bar for each action's chance, or for each number from -1 to 1; what was taken is marked."""
        start, wide = left + 96, 146
        for row in range(self.rows):
            y = self.actions_at + 14 * row
            if self.play.box is None:
                taken = row == int(did)
                # A net without chances, as one that tells values of actions, does what it thinks best.
                share = float(taken) if decision.p_EA is None else float(decision.p_EA[0, row])
                draw.rectangle((start, y + 1, start + wide * share, y + 11), fill=TAKEN if taken else BAR)
                draw.text((start + wide + 6, y), f"{share:.0%}", fill=INK, font=self.font)
                continue
            middle = start + wide / 2
            end = middle + wide / 2 * float(decision.did_E[0, row].clamp(-1, 1))
            draw.rectangle((min(middle, end), y + 1, max(middle, end), y + 11), fill=BAR)
            at = middle + wide / 2 * float(did[row].clamp(-1, 1))
            draw.rectangle((at - 1, y, at + 1, y + 12), fill=TAKEN)
            draw.text((start + wide + 6, y), f"{float(did[row]):.2f}", fill=INK, font=self.font)

    def _value(self, draw: ImageDraw.ImageDraw, left: int, returns: float) -> None:
        """The value as a line, and the return so far."""
        top, high, span = self.value_at, 52, max(self.high - self.low, 1e-6)
        points = [(left + 1 + i, top + high - high * (value - self.low) / span) for i, value in enumerate(self.values)]
        draw.rectangle((left, top, left + LINE + 2, top + high), outline=FAINT)
        if len(points) > 1:
            draw.line(points, fill=WORTH, width=2)
        said = f"value {self.values[-1]:.2f}   " if self.values else ""
        draw.text((left, top + high + 6), f"{said}return so far {returns:g}", fill=INK, font=self.font)
