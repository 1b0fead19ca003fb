"""Agents shown: films, recorded episodes, what their actions rest on, and a line for whatever cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import one_line
from gannet import cli, episodes, explain, run
from gannet.errors import Wrong
from gannet.evaluation import play as playing
from gannet.nets.scales import Scaled

gym = pytest.importorskip("gymnasium")
NONE = {"all": "to be quick"}


class Dot(gym.Env):
    """A picture with a dot in one of two places; whoever names its place gets a point. It cannot draw itself."""

    observation_space = gym.spaces.Box(0, 255, (24, 24), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length: int = 8):
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = self.length
        return self.look(), {}

    def look(self) -> np.ndarray:
        self.place = int(self.np_random.integers(2))
        seen = np.zeros((24, 24), np.uint8)
        seen[4:8, 4:8] = 255 * (self.place == 0)
        seen[16:20, 16:20] = 255 * (self.place == 1)
        return seen

    def step(self, action: Any) -> Any:
        self.left -= 1
        return self.look(), float(int(action) == self.place), False, self.left == 0, {}


@pytest.fixture(scope="module")
def pole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has hardly begun: its episodes are short."""
    return run.train("play", size="tiny", steps=2, out=tmp_path_factory.mktemp("play") / "pole", skip=NONE).folder


@pytest.fixture(scope="module")
def dot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in an environment of one's own, of pixels."""
    out = tmp_path_factory.mktemp("play") / "dot"
    return run.train("play", size="tiny", data="test_episodes:Dot", steps=30, out=out, skip=NONE).folder


def gannet(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> tuple[str, str]:
    """The command, in this process: what it printed, and its complaints."""
    capsys.readouterr()
    found = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert found == status, f"{found}: {out}\n{err}"
    return out, err


# -------------------------------------------------------------------------------------------------------------- films


def test_an_episode_is_filmed_recorded_and_the_same_again(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = gannet(capsys, "sample", pole, "-n", 2, "--seed", 3, "--record", "--out", "shown")
    loaded = run.load(pole)
    told = loaded.play(2, seed=3)
    assert out.splitlines()[0] == f"episode 0: return {told[0].returns:g} in {told[0].length} steps"
    assert out.splitlines()[1:4] == [f"shown/episode-00000.{kind}" for kind in ("mp4", "gif", "npz")]
    names = [f"episode-0000{k}.{kind}" for k in range(2) for kind in ("mp4", "gif", "npz")]
    assert {path.name for path in Path("shown").iterdir()} == {"drawn.json", *names}
    for k, one in enumerate(told):
        assert imageio_ffmpeg.count_frames_and_secs(f"shown/episode-0000{k}.mp4")[0] == one.length + 1
        with Image.open(f"shown/episode-0000{k}.gif") as film:
            assert 2 <= film.n_frames <= one.length + 1  # what stands still is one frame
    before = {path.name: path.read_bytes() for path in Path("shown").glob("episode-00000.*")}
    gannet(capsys, "sample", pole, "--seed", 3, "--record", "--out", "shown")  # one alone, the same; the old ones go
    assert {path.name: path.read_bytes() for path in Path("shown").glob("episode-*")} == before
    gannet(capsys, "sample", pole, "--seed", 4, "--out", "shown")
    assert Path("shown/episode-00000.gif").read_bytes() != before["episode-00000.gif"]


def test_what_is_recorded_is_what_gymnasium_plays(pole: Path, tmp_path: Path) -> None:
    loaded = run.load(pole)
    (told,) = episodes.play_into(loaded, tmp_path / "shown", record=True)
    with np.load(told.files[-1], allow_pickle=False) as held:
        data = dict(held)
    assert str(data["environment"]) == "CartPole-v1" and bool(data["terminated"]) == told.terminated
    assert data["rewards"].sum() == told.returns and data["ends"].tolist() == [False] * (told.length - 1) + [True]
    env = gym.make("CartPole-v1")
    seen, _ = env.reset(seed=told.seed)
    for t in range(told.length):
        assert np.array_equal(data["observations"][t], seen)
        seen, reward, *_ = env.step(int(data["actions"][t]))
        assert reward == data["rewards"][t]
    assert np.array_equal(data["last"], seen)


def test_looking_changes_nothing(pole: Path) -> None:
    loaded = run.load(pole)
    (seen,), (plain,) = loaded.play(seed=1, frames=True), loaded.play(seed=1)
    assert (seen.returns, seen.length, seen.last) == (plain.returns, plain.length, plain.last)
    assert seen.frames.shape == (seen.length + 1, 400, 600, 3) and plain.frames is None
    assert loaded.play(3, seed=1)[0] == plain
    assert loaded.play(seed=1, greedy=True) == loaded.play(seed=1, greedy=True)


def test_a_game_in_colour_is_the_game_that_the_net_sees() -> None:
    pytest.importorskip("ale_py")
    from gannet.data import play as places

    window = playing.Window(places.load("ALE/Pong-v5", environments=1, steps=1, epochs=1, minibatches=1), sticky=0.25)
    seen_E = window.reset([5])
    lot = torch.Generator().manual_seed(0)
    for _ in range(120):
        seen_E, *_ = window.step(torch.randint(6, (1,), generator=lot))
    window.close()
    small = np.asarray(Image.fromarray(window.now).convert("L").resize((84, 84), Image.Resampling.BOX), dtype=float)
    assert window.now.shape == (210, 160, 3) and window.rate == 15
    assert np.abs(small - seen_E[0, -1].numpy()).mean() < 3 < np.abs(small - seen_E[0, -1].numpy()[::-1]).mean()


def test_a_long_film_is_thinned_evenly() -> None:
    thin = episodes.Thin()
    many = [np.full((2, 2, 3), k % 256, np.uint8) for k in range(1_000)]
    assert [frame is one for frame, one in zip(thin.through(iter(many)), many, strict=True)] == [True] * 1_000
    assert thin.stride == 8 and [frame.getpixel((0, 0))[0] for frame in thin.frames] == [k % 256 for k in range(0, 1_000, 8)]
    assert thin.milliseconds(50) == [100] * 124 + [1500]


@pytest.mark.parametrize(
    "facts",
    [
        {"actions": 20, "shape": [40]},
        {"box": 2, "shape": [3]},
        {"actions": 2, "shape": [4, 84, 96], "bytes": True},
        {"actions": 2, "shape": [1, 9, 9], "bytes": True},
    ],
    ids=["many", "numbers", "frames", "one frame"],
)
def test_every_kind_of_observation_and_action_can_be_drawn(facts: dict[str, Any]) -> None:
    from test_playing import Decision
    from test_playing import facts as facts_of

    play = playing.Play(facts_of(**facts))
    panel = episodes.Panel(play, (50, 70, 3))
    seen = torch.zeros(play.seen, dtype=torch.uint8 if play.bytes else torch.float32)
    did = torch.tensor(1) if play.box is None else torch.tensor([0.2, -3.0])
    p_EA = None if play.actions in (None, 2) else torch.full((1, 20), 0.05)
    decision = Decision(did[None], p_EA, None, None, torch.tensor([1.5]))
    drawn = panel.drawn(np.full((50, 70, 3), 200, np.uint8), seen, decision, did, 3.0)
    again = panel.drawn(np.full((50, 70, 3), 200, np.uint8), seen, None, None, 3.0)
    assert drawn.shape == again.shape and drawn.shape[0] % 2 == 0 and drawn.shape[1] == 70 * 8 + episodes.PANEL
    assert (drawn != again).any() and (drawn == episodes.TAKEN).all(2).any() and not (again == episodes.TAKEN).all(2).any()


# ------------------------------------------------------------------------------------------- environments of one's own


def test_what_cannot_draw_itself_is_played_all_the_same(dot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = gannet(capsys, "sample", dot, "--trust", "--record", "--out", "shown")
    one_line(err, "without a film", "cannot draw itself", "test_episodes:Dot")
    assert out.startswith("episode 0: return ") and "8 steps, then cut off\nshown/episode-00000.npz" in out
    with np.load("shown/episode-00000.npz") as held:
        assert held["observations"].shape == (8, 4, 24, 24)


def test_somebodys_own_environment_is_run_only_where_it_is_trusted(dot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("sample", "explain", "evaluate"):
        one_line(gannet(capsys, verb, dot, status=1)[1], "test_episodes:Dot", "--trust")
    with pytest.raises(Wrong, match="somebody's own"):
        run.load(dot).play()
    assert len(run.load(dot, trust=True).play(2)) == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda record: record["data"].update({"CartPole-v1/train": evil("evil:Env")}), "evil:Env"),
        (lambda record: record["arguments"].update({"data": "evil:Env"}), "evil:Env"),
        (lambda record: record["data"].update(a=evil("gannet.data.roads:Road", vehicles=["evil.Car"])), "evil.Car"),
        (lambda record: record["data"].update(a=evil("x-v0", config={"deep": {"type": "a.b.evil.Car"}})), "a.b.evil.Car"),
        (lambda record: record["arguments"].update({"options": '{"type": "evil.\\u0043ar"}'}), "evil.Car"),
    ],
    ids=["a second environment", "what the recipe was asked for", "a class among options", "and deeper", "and asked for"],
)
def test_no_code_that_a_run_folder_names_is_run_unasked(change: Any, named: str) -> None:
    ours = {"kind": "play", "name": "gannet.data.roads:Road", "options": {"road": "highway", "x": "highway_env.vehicle.Car"}}
    record: dict[str, Any] = {"data": {"ours": ours}, "arguments": {"data": "highway"}}
    run.check_own(record, trust=False)
    run.check_own({"data": {"text": {"kind": "text"}}, "arguments": {"data": "c:/books/a.b"}}, trust=False)
    change(record)
    with pytest.raises(Wrong) as error:
        run.check_own(record, trust=False)
    one_line(str(error.value), named, "--trust")
    run.check_own(record, trust=True)


def evil(name: str, **options: Any) -> dict[str, Any]:
    return {"kind": "play", "name": name, "options": options}


# -------------------------------------------------------------------------------------------------------- explanations


def test_inputs_of_a_linear_agent_get_their_weight_times_their_way() -> None:
    class Line(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x @ torch.tensor([[2.0, 0.0], [0.0, -1.0], [0.5, 0.0]]), x[:, 0]

    x, start = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    found_D, gap = explain._inputs(explain.of_agent(Line(), choice=False), x, start, torch.tensor([0]))
    assert torch.allclose(found_D, torch.tensor([2.0, 0.0, 1.0]), atol=1e-5) and abs(gap) < 1e-5
    target = explain.of_agent(Line(), choice=True)
    found_D, gap = explain._inputs(target, x, start, torch.tensor([1]))
    both = [float(target.score(one, torch.tensor([1]))) for one in (x, start)]
    assert float(found_D.sum()) == pytest.approx(both[0] - both[1], abs=0.01) and gap == pytest.approx(0, abs=0.01)


def test_numbers_are_explained_input_by_input(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = gannet(capsys, "explain", pole, "--out", "why", "--seed", 2)
    report = json.loads(Path("why/explain.json").read_text())
    (told,) = run.load(pole).play(seed=2)
    assert (report["returns"], report["length"]) == (told.returns, told.length) and f"{told.length} steps" in out
    assert len(report["steps"]) == 4 and all(len(one["integrated"]) == 4 for one in report["steps"])
    with Image.open("why/explain.png") as picture:
        assert picture.width > 800
    assert json.loads(gannet(capsys, "explain", pole, "--out", "why", "--seed", 2, "--json")[0]) == report
    one_line(gannet(capsys, "explain", pole, "--method", "gradcam", status=2)[1], "integrated gradients alone")


def test_an_agent_that_sees_what_moves_is_explained_by_what_moves() -> None:
    """Two frames that are the same: it sees nothing, whatever stands in them."""
    from gannet.nets.agents import Agent
    from gannet.objectives.reinforce import differences

    torch.manual_seed(0)
    net = Agent((4, 24, 24), 3, encoder="small", width=32)
    nn.init.normal_(net.policy.weight)
    seen = torch.full((1, 4, 24, 24), -1.0)
    seen[:, :, 10:14, 10:14] = 1.0  # stands still
    seen[:, -1, 2:6, 2:6] = 1.0  # has come
    target = explain.of_agent(net, True, seen, differences)
    did = torch.tensor([1])
    with torch.no_grad():
        expected = net(differences((seen + 1) / 2))[0].log_softmax(1)[:, 1]
        assert torch.allclose(target.score(seen, did), expected) and list(target.stages)
    heat = explain.maps(target, seen, did, "integrated", empty=explain.EMPTY)[0].abs()
    assert float(heat[2:6, 2:6].sum() / heat.sum()) > 0.99


def test_pixels_are_explained_by_where_the_dot_is(dot: Path, tmp_path: Path) -> None:
    loaded = run.load(dot, trust=True)
    report = explain.explain_agent_into(loaded, tmp_path / "why", steps=2)
    first = report["steps"][0]
    assert set(first["maps"]) == {"saliency", "integrated", "gradcam"} and set(first["floors"]) == {"random", "centre", "ink"}
    assert set(report["mean"]) == set(first["maps"]) | set(first["floors"]) and report["length"] == 8
    seen = torch.full((1, 4, 24, 24), -1.0)
    seen[:, -1, 4:8, 4:8] = 1
    target = explain.of_agent(loaded.nets["agent"], True, seen)
    heat = explain.maps(target, seen, torch.tensor([0]), "integrated", empty=explain.EMPTY)[0]
    assert bool((heat.abs() > 0).any()) and float(heat.abs()[4:8, 4:8].sum() / heat.abs().sum()) > 0.99
    assert list(target.stages) and explain.maps(target, seen, torch.tensor([0]), "hirescam").shape == (1, 24, 24)
    agent = loaded.nets["agent"]
    assert isinstance(agent, Scaled) and agent.mean_CHW is not None
    mean_CHW = 2 * agent.mean_CHW - 1  # nothing is the mean frame: where the dot may be, it is not black
    assert torch.equal(target.empty, mean_CHW) and bool((mean_CHW > -0.99).any())
    assert not explain.maps(target, mean_CHW[None], torch.tensor([0]), "integrated").any()
    heat, gap = explain.integrated(target, seen, torch.tensor([0]))
    with torch.no_grad():
        whole = target.score(seen, torch.tensor([0])) - target.score(mean_CHW[None], torch.tensor([0]))
    assert float(heat.sum() - gap) == pytest.approx(float(whole), abs=1e-4)
    assert set(measured := explain.measure(target, seen, torch.tensor([0]), "integrated")[0]["maps"]) == {"integrated"}
    assert measured["integrated"]["of"] == pytest.approx(float(whole), abs=1e-5)


def test_stages_are_the_last_whole_modules_at_each_size() -> None:
    block = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), block, nn.Conv2d(2, 4, 2, 2), nn.Flatten(), nn.Linear(64, 2))
    assert list(explain.places(net, torch.zeros(1, 1, 8, 8)).values()) == [block, net[2]]


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["sample", "-n", "0"], ["-n 0"]),
        (["sample", "--class", "1"], ["plays", "--class"]),
        (["sample", "--prompt", "x"], ["plays", "--prompt"]),
        (["sample", "--film", "3"], ["plays", "--film"]),
        (["explain", "a.png"], ["plays", "a.png"]),
        (["explain", "--class", "1"], ["plays", "--class"]),
        (["explain", "--box", "1"], ["plays", "--box"]),
        (["evaluate", "--episodes", "0"], ["--episodes 0"]),
        (["evaluate", "--features", "random"], ["--features random"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_what_an_agent_cannot_do_is_told_in_a_line(
    pole: Path, capsys: pytest.CaptureFixture[str], words: list[str], parts: list[str]
) -> None:
    one_line(gannet(capsys, words[0], pole, *words[1:], status=2)[1], *parts)


def test_what_is_no_agent_does_not_play(capsys: pytest.CaptureFixture[str]) -> None:
    run.train("digits", size="tiny", data="bars", steps=2, out="drawer", skip=NONE)
    one_line(gannet(capsys, "sample", "drawer", "--record", status=2)[1], "draws pictures", "--record")
    one_line(gannet(capsys, "evaluate", "drawer", "--greedy", status=2)[1], "plays no episodes", "--greedy")
    one_line(gannet(capsys, "explain", "drawer", status=2)[1], "no picture to explain")
    with pytest.raises(Wrong, match="does not play"):
        run.load("drawer").play()


def test_other_things_are_not_written_over(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/diary.txt").write_text("dear")
    one_line(gannet(capsys, "sample", pole, "--out", "mine", status=1)[1], "holds other things")
    with pytest.raises(Wrong, match="draws nothing"):
        run.load(pole).sample()


def test_evaluating_writes_a_table_of_three_columns(pole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = gannet(capsys, "evaluate", pole, "--episodes", 6)
    assert out.splitlines()[0].split() == ["agent", "random", "constant", "better", "n"] and "[" in out.splitlines()[1]
    report = json.loads((pole / "evaluation.json").read_text())
    card = (pole / "README.md").read_text()
    assert "| score | agent | random | constant | better | n | |" in card and report["about"] in card
    assert (pole / "samples" / "closest.png").is_file()
