"""Agent steps a second while learning Pong, beside Stable-Baselines3's PPO: the same games, rollout, epochs and minibatches.

    python bench/atari.py                                        (about ten minutes on two idle cores)
    python bench/atari.py --rival-python /PATH/TO/VENV/bin/python   where Stable-Baselines3 lives in an environment of its own
    python bench/atari.py --parts                                where a step's time goes, ours alone

Each contestant is a process of its own, opened and warmed up before anything is timed; they take turns, a few rollouts each,
and medians over the rounds are told. Beside the clock stand processor seconds, those of the games included: on a machine that
others use, the clock measures the others. One agent step is four frames. All play 8 games for 128 steps and learn 4 epochs of
4 minibatches of 256, with sticky actions 0.25, games that end with the last life, rewards clipped to their sign, and four grey
frames of 84 × 84; only "recipe" plays as `gannet train atari` does: 16 games, 2 epochs, minibatches of 256.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

GAMES, STEPS, EPOCHS, MINIBATCHES = 8, 128, 4, 4
OURS = {
    "gannet nature": {"encoder": "nature", "environments": GAMES, "epochs": EPOCHS, "minibatches": MINIBATCHES},
    "gannet small": {"encoder": "small", "environments": GAMES, "epochs": EPOCHS, "minibatches": MINIBATCHES},
    "gannet impala": {"encoder": "impala", "environments": GAMES, "epochs": EPOCHS, "minibatches": MINIBATCHES},
    "gannet recipe": {"encoder": "small", "environments": 16, "epochs": 2, "minibatches": 8},
}
RIVAL = "sb3 nature"
NEEDS = "stable-baselines3, ale-py, psutil and opencv-python-headless"


def spent() -> float:
    """Processor seconds of this process and of those that it has started."""
    import psutil

    me = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in [me, *me.children(recursive=True)])


def ours(name: str) -> tuple[Callable[[int], None], int]:
    """Learning by so many rollouts, and the agent steps of one."""
    from gannet.data import play
    from gannet.nets.agents import Agent
    from gannet.objectives.ppo import PPO
    from gannet.training import loop
    from gannet.training.engine import Engine

    words: dict[str, Any] = dict(OURS[name])
    encoder = words.pop("encoder")
    pong = play.load("ALE/Pong-v5", steps=STEPS, **words)
    net = Agent(pong.seen, pong.actions, encoder=encoder)
    objective, engine = PPO(net, pong, rewards="sign", clip=0.1), Engine(cpu=True)
    engine.prepare(objective)
    live, batch, at = pong.played_by(objective, 0), pong.environments * STEPS, 0

    def learn(rollouts: int) -> None:
        nonlocal at
        rest = {"batch": batch, "steps": 10**6, "schedule": lambda progress, examples: 1.0, "seed": 0}
        loop.fit(objective, live, engine, start=at, stop=at + rollouts, **rest)
        at += rollouts

    return learn, batch


def rival(name: str) -> tuple[Callable[[int], None], int]:
    """As `ours`, by Stable-Baselines3 as its users run it: a process for each game."""
    from stable_baselines3 import PPO  # type: ignore[import-not-found]
    from stable_baselines3.common.env_util import make_atari_env  # type: ignore[import-not-found]
    from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack  # type: ignore[import-not-found]

    wrapped = {"terminal_on_life_loss": False, "action_repeat_probability": 0.25}
    games = make_atari_env("ale_py:PongNoFrameskip-v4", n_envs=GAMES, seed=0, vec_env_cls=SubprocVecEnv, wrapper_kwargs=wrapped)
    learner = PPO(
        "CnnPolicy",
        VecFrameStack(games, 4),
        n_steps=STEPS,
        n_epochs=EPOCHS,
        batch_size=GAMES * STEPS // MINIBATCHES,
        learning_rate=2.5e-4,
        clip_range=0.1,
        ent_coef=0.01,
        device="cpu",
    )
    return lambda rollouts: learner.learn(rollouts * GAMES * STEPS, reset_num_timesteps=False), GAMES * STEPS


def contestant(name: str, threads: int) -> None:
    """The process of one: it learns by as many rollouts as a line on its standard input says, and tells what that took."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    told, sys.stdout = sys.stdout, sys.stderr
    learn, batch = rival(name) if name == RIVAL else ours(name)
    learn(1)
    print(json.dumps({"batch": batch}), file=told, flush=True)
    for line in sys.stdin:
        began, before = time.perf_counter(), spent()
        learn(int(line))
        found = {"seconds": time.perf_counter() - began, "processor": spent() - before, "steps": int(line) * batch}
        print(json.dumps(found), file=told, flush=True)
    os._exit(0)  # Stable-Baselines3's games would wait for one another


def parts(name: str, threads: int, rollouts: int) -> None:
    """Processor milliseconds of an agent step, by what they are spent on."""
    import torch

    from gannet.data import play
    from gannet.objectives.ppo import PPO
    from gannet.training.engine import Engine

    torch.set_num_threads(threads)
    sums: dict[str, float] = collections.defaultdict(float)

    def count(owner: Any, attribute: str, what: str) -> None:
        do = getattr(owner, attribute)

        def counted(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            done = do(*given, **named)
            sums[what] += time.process_time() - began
            return done

        setattr(owner, attribute, counted)

    count(play.Live, "advance", "emulator")
    count(play, "taken", "gathering minibatches")
    for owner, attribute, what in (
        (PPO, "act", "acting"),
        (PPO, "prepare", "advantages, packing"),
        (PPO, "loss", "forward"),
        (Engine, "backward", "backward"),
        (Engine, "step", "optimizer"),
    ):
        count(owner, attribute, what)
    learn, batch = ours(name)
    learn(1)
    sums.clear()
    began = time.process_time()
    learn(rollouts)
    sums["the rest"] = time.process_time() - began - sum(sums.values())
    each = {what: round(1_000 * seconds / (rollouts * batch), 3) for what, seconds in sums.items()}
    print(f"{name}: processor ms of an agent step: {each}, in all {sum(each.values()):.2f}", flush=True)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--only", nargs="+", choices=[RIVAL, *OURS], default=[RIVAL, *OURS])
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--rollouts", type=int, default=3, help="of each contestant in a round")
    flags.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    flags.add_argument("--rival-python", default=sys.executable, help="that imports stable_baselines3")
    flags.add_argument("--parts", action="store_true")
    flags.add_argument("--contestant", help=argparse.SUPPRESS)
    told = flags.parse_args()
    if told.contestant:
        return contestant(told.contestant, told.threads)
    if told.parts:
        for name in [one for one in told.only if one != RIVAL]:
            parts(name, told.threads, told.rollouts)
        return None
    names = list(told.only)
    there = subprocess.run([told.rival_python, "-c", "import stable_baselines3, ale_py, cv2, psutil"], capture_output=True)
    if RIVAL in names and there.returncode:
        names.remove(RIVAL)
        print(f"{RIVAL}: not measured, since {told.rival_python} lacks one of {NEEDS} (see --rival-python)")
    environment = os.environ | {"OMP_NUM_THREADS": str(told.threads), "SDL_VIDEODRIVER": "dummy"}
    running = {}
    for name in names:
        python = told.rival_python if name == RIVAL else sys.executable
        words = [python, __file__, "--contestant", name, "--threads", str(told.threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        running[name] = subprocess.Popen(words, text=True, env=environment, **pipes)  # type: ignore[call-overload]
        if not running[name].stdout.readline():  # one after another: opened and warm
            raise SystemExit(f"{name} has not begun: try {' '.join(words)!r} by hand")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    load = [os.getloadavg()[0]]
    for _ in range(told.rounds):
        for name, process in running.items():
            process.stdin.write(f"{told.rollouts}\n")
            process.stdin.flush()
            found[name].append(json.loads(process.stdout.readline()))
        load.append(os.getloadavg()[0])
    for process in running.values():
        process.stdin.close()
        process.wait()
    print(f"{told.threads} threads, {told.rounds} rounds of {told.rollouts} rollouts; load {min(load):.1f} to {max(load):.1f}")
    base: dict[str, float] = {}
    for name, rounds in found.items():
        clock = statistics.median(one["steps"] / one["seconds"] for one in rounds)
        processor = statistics.median(one["steps"] / one["processor"] for one in rounds)
        base = base or {"clock": clock, "processor": processor}
        ratios = f"{clock / base['clock']:5.2f} ×   {processor / base['processor']:5.2f} ×"
        print(
            f"{name:14s} {clock:7.0f} steps/s   {processor:7.0f} steps per processor second   {ratios} of {next(iter(found))}"
        )


if __name__ == "__main__":
    main()
