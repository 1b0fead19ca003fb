"""The table of drivers: every road, everybody who drives on it, on seeds that nobody learnt on.

    python bench/driving.py --roads highway merge --episodes 100 --out driving         # those who have learnt nothing
    python bench/driving.py --roads highway --runs runs/drive-1 --out driving          # and a run of ours, with delays
    python bench/driving.py --roads highway --runs runs/drive-1 --onnx --out driving   # … and as `gannet export` writes it
    python bench/driving.py --roads highway --learn dqn --out driving    # Stable-Baselines3, where it is installed

Everything is kept in --out as it comes, and what is there is not driven again. `--learn` trains by the numbers of highway-env's
own scripts (`scripts/sb3_highway_dqn.py`, `sb3_highway_ppo.py`, `sb3_racetracks_ppo.py`) on the environment as those make it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gannet.data import driving, roads
from gannet.data.driving import Episode
from gannet.data.environments import painting
from gannet.evaluation import driving as scores
from gannet.evaluation.play import judged_on
from gannet.files import write_json


class Learnt:
    """A driver by Stable-Baselines3."""

    def __init__(self, name: str, model: Any):
        self.name, self.model = name, model

    def begin(self, environment: Any, seed: int) -> None:
        pass

    def act(self, seen: np.ndarray, environment: Any) -> Any:
        action, _ = self.model.predict(seen, deterministic=True)
        return action if getattr(environment.action_space, "shape", ()) else int(action)


def learn(kind: str, road: str, where: Path, steps: int, seed: int) -> tuple[Any, Any]:
    """A model of Stable-Baselines3 after `steps` steps, trained where there is none, and an environment to judge it in."""
    import gymnasium
    import stable_baselines3  # type: ignore[import-not-found]  # in an environment of its own
    from stable_baselines3.common.env_util import make_vec_env  # type: ignore[import-not-found]

    identity = driving.find(road).ids[0]

    def bare() -> Any:
        with painting():
            return gymnasium.make(identity, disable_env_checker=True)

    judged = roads.Prepared(roads.Driven(bare(), road))
    judged.prepare = lambda seen, first: seen  # type: ignore[method-assign]
    path = where / f"{kind}-{road}-{steps}-{seed}.zip"
    maker: Any = stable_baselines3.DQN if kind == "dqn" else stable_baselines3.PPO
    if not path.is_file():
        # As in the scripts; theirs asks for six processes, here they are steps in turn, which changes nothing but the time.
        shared = {"learning_rate": 5e-4, "seed": seed, "device": "cpu"}
        if kind == "dqn":
            layers: Any = [256, 256]
            own = {"buffer_size": 15_000, "learning_starts": 200, "batch_size": 32, "gamma": 0.8, "train_freq": 1}
            own |= {"gradient_steps": 1, "target_update_interval": 50}
            world = make_vec_env(lambda: roads.Driven(bare(), road), n_envs=1)
        else:
            layers = {"pi": [256, 256], "vf": [256, 256]}
            own = {"n_steps": 128, "batch_size": 64, "n_epochs": 10, "gamma": 0.9 if road == "racetrack" else 0.8}
            world = make_vec_env(lambda: roads.Driven(bare(), road), n_envs=6)
        model = maker("MlpPolicy", world, policy_kwargs={"net_arch": layers}, **shared, **own)
        began = time.perf_counter()
        model.learn(total_timesteps=steps)
        print(f"{kind} learnt {steps:,} steps of {road} in {(time.perf_counter() - began) / 60:.1f} minutes", flush=True)
        model.save(path)
    return maker.load(path, device="cpu"), judged


def drive(path: Path, environment: Any, driver: Any, seeds: list[int], delay: int = 0) -> None:
    """Drive what is not in the file yet, and keep it there, an episode at a time."""
    kept = json.loads(path.read_text()) if path.is_file() else {"episodes": [], "took": [], "delay": delay}
    for seed in seeds[len(kept["episodes"]) :]:
        episodes, took = scores.play(environment, driver, [seed], delay=delay)
        kept["episodes"].append(asdict(episodes[0]))
        kept["took"] += [round(float(one), 7) for one in took]
        write_json(path, kept)


def show(folder: Path, road: str) -> None:
    """The road's table of all that is kept."""
    rows: dict[str, dict[str, Any]] = {}
    times = []
    for path in sorted((folder / road).glob("*.json")):
        kept = json.loads(path.read_text())
        episodes = [Episode(**one) for one in kept["episodes"]]
        if episodes:
            rows[f"{path.stem} ({len(episodes)})"] = scores.told(episodes)
            late = scores.decision_time(np.array(kept["took"]))
            times.append(f"| {path.stem} | " + " | ".join(f"{late[key]:.2f}" for key in ("p50", "p99", "max")))
            times[-1] += f" | {100 * late['late']:.2f} | {late['n']:,.0f} |"
    print(f"\n{road}\n\n{scores.table(rows)}\n")
    print("| decision, ms | p50 | p99 | max | late % | n |\n" + "| --- " * 6 + "|\n" + "\n".join(times), flush=True)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--roads", nargs="+", default=["highway", "merge", "roundabout", "intersection", "racetrack"])
    words.add_argument("--drivers", nargs="*", help="of those who have learnt nothing; without, all")
    words.add_argument("--runs", type=Path, nargs="*", default=[], help="run folders, of the one road that is named")
    words.add_argument("--weights", choices=["last", "best"], default="last", help="of runs; best: by seeds of their own")
    words.add_argument("--onnx", action="store_true", help="runs as onnxruntime plays them, too")
    words.add_argument("--delays", type=int, nargs="*", default=[0], help="in decisions; of runs alone")
    words.add_argument("--learn", choices=["dqn", "ppo"], nargs="*", default=[], help="by Stable-Baselines3")
    words.add_argument("--steps", type=int, default=20_000, help="of --learn; the racetrack's script has 100,000")
    words.add_argument("--seed", type=int, default=0, help="of --learn")
    words.add_argument("--episodes", type=int, default=100)
    words.add_argument("--out", type=Path, default=Path("driving"))
    given = words.parse_args()
    seeds = judged_on(given.episodes, 0)
    for road in given.roads:
        where = given.out / road
        where.mkdir(parents=True, exist_ok=True)
        eyes = "pixels" if road == "car-racing" else "vector"
        environment = roads.make(road, eyes)
        for driver in scores.baselines(road):
            if given.drivers is None or driver.name in given.drivers:
                drive(where / f"{driver.name}.json", environment, driver, seeds)
        for kind in given.learn:
            model, world = learn(kind, road, where, given.steps, given.seed)
            name = f"sb3-{kind}-{given.steps}-{given.seed}"
            drive(where / f"{name}.json", world, Learnt(name, model), seeds)
        for folder in given.runs:
            from gannet import run

            loaded = run.load(folder, weights=given.weights)
            world = roads.make(**loaded.objective.play.options)
            for delay in given.delays:
                name = folder.name + ("-best" if given.weights == "best" else "") + (f"-delay-{delay}" if delay else "")
                drive(where / f"{name}.json", world, scores.Net(loaded.objective, name), seeds, delay)
            if given.onnx:
                from gannet import export

                path = export.to_onnx(loaded, where / f"{folder.name}.onnx").path
                drive(where / f"{folder.name}-onnx.json", world, scores.Net(export.Session(path)), seeds)
        show(given.out, road)


if __name__ == "__main__":
    main()
