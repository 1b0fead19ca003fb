"""Bugs, each a few lines over a healthy recipe, and the whole set of checks that must fail on it: those and no others."""

from __future__ import annotations

import dataclasses
import inspect
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bugs import healthy
from gannet import preflight
from gannet.data.games import Corridor
from gannet.data.images import Batch, Images, to_float
from gannet.data.text import Texts
from gannet.nets.sequence import TextCritic
from gannet.objectives import gan
from gannet.objectives.classify import Classify
from gannet.objectives.language import Language
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PQN
from gannet.objectives.text_gan import TextGan
from gannet.recipe import Recipe, constant
from gannet.rng import Rng
from gannet.training.engine import Engine


@dataclass(frozen=True)
class Bug:
    """A planted bug.

    Attributes:
        name: what is wrong
        base: the healthy recipe
        plant: changes a recipe in place
        fails: the checks that must fail, and no others; the one that it was made for first
        warns: those that must warn
        data: named set of the healthy recipe
    """

    name: str
    base: str
    plant: Callable[..., Any]
    fails: tuple[str, ...]
    warns: tuple[str, ...] = ()
    data: str = "digits8"


GALLERY: list[Bug] = []


def planted(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> preflight.Case:
    """The case of a healthy recipe with this bug in it, at whatever size."""
    engine = Engine(cpu=True)  # before the bug, which may be about processes

    def make(size: str = "tiny") -> Recipe:
        made = healthy.build(bug.base, size=size, data=bug.data)
        words = (monkeypatch,) if "monkeypatch" in inspect.signature(bug.plant).parameters else ()
        bug.plant(made, *words)
        return made

    return preflight.Case(make(), engine, again=make)


def bug(base: str, *fails: str, warns: tuple[str, ...] = (), data: str = "digits8") -> Callable[[Callable[..., Any]], Any]:
    """Hang a bug in the gallery. The check that it was made for comes first; what else fails is its consequence."""

    def hang(plant: Callable[..., Any]) -> Callable[..., Any]:
        name = plant.__name__.replace("_", " ")
        GALLERY.append(Bug(name, base, plant, fails, warns, data))
        return plant

    return hang


class Through:
    """A data set whose batches go through a function (x, y, rng) -> (x, y)."""

    def __init__(self, data: Any, change: Callable[..., tuple[torch.Tensor, torch.Tensor]]):
        self.data, self.change = getattr(data, "data", data), change

    def batch(self, n: int, rng: Any) -> Batch:
        x, y = self.data.batch(n, rng)
        return Batch(*self.change(x, y, rng))


class Changed(nn.Module):
    """A net whose inputs and outputs go through functions."""

    def __init__(self, net: nn.Module, before: Callable[[Any], Any] = lambda x: x, after: Callable[[Any], Any] = lambda x: x):
        super().__init__()
        self.net, self.before, self.after = net, before, after
        self.noise = getattr(net, "noise", 0)

    def forward(self, x: torch.Tensor, *others: Any) -> torch.Tensor:
        return self.after(self.net(self.before(x), *others))


def change(made: Recipe, player: str, **functions: Callable[[Any], Any]) -> None:
    """Put functions before and after a player's net, trained and averaged alike."""
    objective = made.objective
    objective.players[player].net = Changed(objective.players[player].net, **functions)
    if player != "critic":
        objective.average = Changed(objective.average, **functions).eval()


def become(thing: Any, **methods: Callable[..., Any]) -> None:
    """Override methods of one object. By its class, since copies of it must have them too."""
    thing.__class__ = type(type(thing).__name__, (type(thing),), methods)


# Data


@bug("classifier", "inputs", "labels", "augmentation")
def bytes_that_nobody_divided(made: Recipe) -> None:
    made.data = Through(made.data, lambda x, y, rng: ((x + 1) * 127.5, y))


@bug("classifier", "inputs", "labels", "augmentation", "overfit", "input-baseline")
def a_mask_that_hides_everything(made: Recipe) -> None:
    made.data = Through(made.data, lambda x, y, rng: (x * 0 - 1, y))


@bug("classifier", "same-batch", "same-seed", "resume")
def augmentation_from_another_source_of_chance(made: Recipe) -> None:
    made.data = Through(made.data, lambda x, y, rng: (x + 0.01 * random.random(), y))


@bug("digits", "same-batch")
def the_same_batch_for_ever(made: Recipe) -> None:
    batch = made.data.batch

    def always(n: int, rng: Any) -> Batch:
        rng.step = 0
        return batch(n, rng)

    made.data.batch = always


@bug("digits", "constant-items")
def three_damaged_pictures(made: Recipe) -> None:
    made.data.x_NCHW = made.data.x_NCHW.clone()
    made.data.x_NCHW[[5, 50, 500]] = 0


@bug("digits", warns=("repeated-items",))
def files_copied_into_the_folder(made: Recipe) -> None:
    made.data.x_NCHW = torch.cat([made.data.x_NCHW, made.data.x_NCHW[:100]])
    made.data.items += 100


@bug("digits", "leak")
def trained_on_the_test_set(made: Recipe) -> None:
    made.data = made.evaluation.test.without_classes()


@bug("digits", "leak")
def a_split_drawn_with_replacement(made: Recipe) -> None:
    made.data.x_NCHW = torch.cat([made.data.x_NCHW, made.evaluation.test.x_NCHW[:30]])
    made.data.items += 30


@bug("classifier", "balance")
def a_class_that_is_never_there(made: Recipe) -> None:
    keep = made.data.data.labels_N != 7
    data = made.data.data
    made.data.data = Images(data.x_NCHW[keep], data.labels_N[keep], data.classes)


@bug("classifier", warns=("balance",))
def a_class_that_is_rare(made: Recipe) -> None:
    data = made.data.data
    keep = (data.labels_N != 7) | (torch.arange(len(data)) < 50)
    made.data.data = Images(data.x_NCHW[keep], data.labels_N[keep], data.classes)


@bug("classifier", "labels", "augmentation")
def labels_shifted_by_one(made: Recipe) -> None:
    made.data = Through(made.data, lambda x, y, rng: (x, (y + 1) % 10))


@bug("classifier", "labels")
def pictures_sorted_without_their_labels(made: Recipe) -> None:
    data = made.data.data
    order = data.x_NCHW.flatten(1).float().mean(1).argsort()
    made.data.data = Images(data.x_NCHW[order], data.labels_N, data.classes)
    made.data = made.data.data


@bug("classifier", "augmentation", "labels", data="bars")
def a_quarter_turn_without_its_label(made: Recipe) -> None:
    def turn(x: torch.Tensor, y: torch.Tensor, rng: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.where((rng.uniform(len(x)) < 0.4)[:, None, None, None], x.transpose(2, 3), x), y

    made.data = Through(made.data, turn)


@bug("classifier", "shuffled", "input-baseline")
def sorted_by_class_and_never_shuffled(made: Recipe) -> None:
    data = made.data.data
    order = data.labels_N.argsort()
    made.data = data = Images(data.x_NCHW[order], data.labels_N[order], data.classes)
    data.batch = lambda n, rng: in_order(data, n, rng)


def in_order(data: Images, n: int, rng: Any) -> Batch:
    """The next n items, as they lie."""
    at = (rng.step * n + torch.arange(n)) % len(data)
    return Batch(to_float(data.x_NCHW[at]), data.labels_N[at])


class ThroughBoxes(Through):
    """A data set whose batches of boxes go through a function."""

    def batch(self, n: int, rng: Any) -> Any:
        return self.change(self.data.batch(n, rng))


@bug("detect", "boxes", "boxes-fit", "input-baseline")
def boxes_in_shares_of_the_picture(made: Recipe) -> None:
    pixels = made.data.pixels
    made.data = ThroughBoxes(made.data, lambda batch: batch._replace(boxes_NM4=batch.boxes_NM4 / pixels))


@bug("detect", "boxes-fit")
def boxes_with_x_and_y_exchanged(made: Recipe) -> None:
    made.data = ThroughBoxes(made.data, lambda batch: batch._replace(boxes_NM4=batch.boxes_NM4[..., [1, 0, 3, 2]]))


@bug("detect", "boxes-fit")
def pictures_upside_down_without_their_boxes(made: Recipe) -> None:
    made.data = ThroughBoxes(made.data, lambda batch: batch._replace(x_NCHW=batch.x_NCHW.flip(2)))


# Nets


@bug("detect", "initial-loss", "input-baseline")
def a_detector_that_expects_a_thing_in_every_other_cell(made: Recipe) -> None:
    with torch.no_grad():
        made.objective.players["detector"].net.tell.bias.zero_()


@bug("faces", "initial-loss", data="bars")
def a_margin_that_is_whole_from_the_first_step(made: Recipe) -> None:
    made.objective.rise = (-1.0, 0.0)


@bug("classifier", "initial-loss")
def a_last_layer_that_begins_too_large(made: Recipe) -> None:
    with torch.no_grad():
        made.objective.players["classifier"].net.name.weight.mul_(100)


@bug("classifier", "initial-loss")
def a_sum_where_a_mean_is_meant(made: Recipe) -> None:
    def loss(self: Any, player: str, batch: Any, rng: Any) -> Any:
        values, weights, notes = Classify.loss(self, player, batch, rng)
        return values * len(values), weights, notes

    become(made.objective, loss=loss)


class Noisy(nn.Module):
    """Dropout from a source of chance of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chance = torch.Generator()
        chance.seed()
        return x * (torch.rand(x.shape, generator=chance) > 0.05 * self.training)


@bug("digits", "same-seed", "resume")
def dropout_from_numbers_that_no_seed_sets(made: Recipe) -> None:
    critic = made.objective.players["critic"].net
    critic.trunk = nn.Sequential(critic.trunk, Noisy())


@bug("dcgan", "modes")
def a_critic_left_in_eval_mode(made: Recipe) -> None:
    made.objective.players["critic"].net.eval()


@bug("dcgan", "modes")
def an_average_left_in_train_mode(made: Recipe) -> None:
    made.objective.average.train()


@bug("digits", "dependencies")
def a_reshape_that_mixes_the_batch(made: Recipe) -> None:
    def mixed(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.reshape(c, n, h, w).transpose(0, 1) if c > 1 else x.flatten().view(h, w, n, c).permute(2, 3, 0, 1)

    change(made, "critic", before=mixed)


@bug("digits", "dependencies")
def a_normalisation_over_the_batch(made: Recipe) -> None:
    change(made, "generator", before=lambda z: z - z.mean(0))


@bug("digits", "inputs-used")
def noise_of_which_half_is_cut_off(made: Recipe) -> None:
    change(made, "generator", before=lambda z: torch.cat([z[:, :32], z[:, 32:] * 0], 1))


@bug("digits", "inputs-used")
def a_crop_of_two_pixels(made: Recipe) -> None:
    change(made, "critic", before=lambda x: F.pad(x[..., 2:-2, 2:-2], (2, 2, 2, 2), value=-1.0))


@bug("classifier", "logits", "overfit")
def softmax_before_cross_entropy(made: Recipe) -> None:
    change(made, "classifier", after=lambda x: x.softmax(1))


@bug("digits", "logits")
def a_sigmoid_before_the_contest(made: Recipe) -> None:
    change(made, "critic", after=torch.sigmoid)


@bug("dcgan", "units", "dependencies", "inputs-used", "moved", "noise", "reproduce", "variety")
def rectifiers_that_begin_dead(made: Recipe) -> None:
    for net in (made.objective.players["generator"].net, made.objective.average):
        nn.init.constant_(net.layers[1].bias, -10.0)


@bug("tutorial", "units", "reproduce")
def a_tanh_that_begins_saturated(made: Recipe) -> None:
    with torch.no_grad():
        made.objective.players["generator"].net.finish.weight.mul_(300)


# Optimizers and the loop


@bug("digits", "parameters", "moved", "gradients-cleared")
def a_layer_that_no_optimizer_has(made: Recipe) -> None:
    player = made.objective.players["critic"]
    player.make = lambda net, lr: torch.optim.Adam(list(net.parameters())[2:], lr=lr)


@bug("digits", "parameters")
def an_optimizer_that_has_both_nets(made: Recipe) -> None:
    players = made.objective.players
    both = [*players["critic"].net.parameters(), *players["generator"].net.parameters()]
    players["generator"].optimizer = torch.optim.Adam(both, lr=3e-3)


@bug("digits", "others-untouched", "parameters", "detached")
def a_layer_that_two_nets_share(made: Recipe) -> None:
    critic, generator = (made.objective.players[name].net for name in ("critic", "generator"))
    critic.trunk[0].first = generator.trunk[0].first


@bug("digits", "moved", "dependencies", "inputs-used", "average", "rate")
def a_trunk_cut_off_by_a_detach(made: Recipe) -> None:
    critic = made.objective.players["critic"].net
    critic.start = nn.Sequential(critic.start, Detach())


class Detach(nn.Module):
    """Passes values on, and no gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


@bug("classifier", "gradients-cleared", "resume")
def gradients_that_are_never_cleared(made: Recipe) -> None:
    class Forgetful(torch.optim.Adam):
        def zero_grad(self, set_to_none: bool = True) -> None:
            pass

    made.objective.players["classifier"].make = lambda net, lr: Forgetful(net.parameters(), lr=lr)


@bug("digits", "schedule")
def a_warm_up_longer_than_the_run(made: Recipe) -> None:
    made.schedule = lambda progress, examples: min(1.0, examples / 100_000)


@bug("digits", "schedule")
def a_decay_made_for_another_length(made: Recipe) -> None:
    made.schedule = lambda progress, examples: max(0.0, 1 - progress / 0.3)


@bug("digits", "resume")
def an_average_that_is_not_saved(made: Recipe) -> None:
    become(made.objective, state=lambda self: {"seen": self.seen})


@bug("classifier", "resume")
def a_weight_of_the_loss_that_is_not_saved(made: Recipe) -> None:
    def loss(self: Any, player: str, batch: Any, rng: Any) -> Any:
        values, weights, notes = Classify.loss(self, player, batch, rng)
        return values * (1 + 0.01 * self.steps), weights, notes

    def after(self: Any, progress: float, examples: int) -> None:
        Classify.after(self, progress, examples)
        self.steps += 1

    made.objective.steps = 0
    become(made.objective, loss=loss, after=after)


@bug("digits", "average")
def an_average_that_is_never_updated(made: Recipe) -> None:
    become(made.objective, after=lambda self, progress, examples: None)


@bug("digits", "average")
def the_trained_net_judged_in_place_of_its_average(made: Recipe) -> None:
    become(made.objective, nets=lambda self: {"generator": self.generator})


@bug("classifier", "overfit", "input-baseline")
def targets_smoothed_until_nothing_is_left(made: Recipe) -> None:
    made.objective.smoothing = 0.95


@bug("digits", "rate", "balance-of-players")
def a_rate_a_hundred_times_too_high(made: Recipe) -> None:
    for player in made.objective.players.values():
        player.rate *= 100


@bug("digits", "rate")
def a_rate_ten_thousand_times_too_low(made: Recipe) -> None:
    for player in made.objective.players.values():
        player.rate /= 10_000


# Contests


@bug("digits", "detached")
def a_forgotten_detach(made: Recipe) -> None:
    def judge(self: Any, groups: Any) -> Any:
        real, _, *near = groups
        drawn = self.draw(len(real[0]), None, Rng(0, 0, "attached"), real[0].device)
        return gan.Gan.judge(self, [real, (drawn, None), *near])

    become(made.objective, judge=judge)


@bug("digits", "opposed")
def real_and_generated_swapped(made: Recipe) -> None:
    right = made.objective.contest
    made.objective.contest = dataclasses.replace(right, critic=lambda real, fake: right.critic(fake, real))


@bug("digits", "noise")
def noise_that_is_always_the_same(made: Recipe) -> None:
    become(made.objective, sample=lambda self, n, seed, label=None: gan.Gan.sample(self, n, 0, label))


@bug("digits", "noise")
def noise_drawn_for_all_pictures_at_once(made: Recipe) -> None:
    become(made.objective, sample=at_once)


def at_once(objective: Any, n: int, seed: int, label: Any = None) -> torch.Tensor:
    """Pictures that depend on how many are drawn."""
    with torch.no_grad():
        random = torch.Generator().manual_seed(seed + n)
        return objective.average(torch.randn(n, objective.noise, generator=random), None)


@bug("digits", "ranges")
def real_pictures_from_0_to_1_beside_a_tanh(made: Recipe) -> None:
    made.data = Through(made.data, lambda x, y, rng: ((x + 1) / 2, y))


@bug("digits", "penalty")
def a_penalty_of_weight_0(made: Recipe) -> None:
    made.objective.gamma = 0.0


@bug("digits", "penalty", "overfit", "input-baseline")
def a_penalty_for_other_pictures(made: Recipe) -> None:
    made.objective.gamma *= 1e5


@bug("digits", "reproduce", "ranges", "variety")
def a_rectifier_behind_the_generator(made: Recipe) -> None:
    change(made, "generator", after=F.relu)


@bug("digits", "input-baseline")
def a_class_that_says_who_is_real(made: Recipe) -> None:
    """The critic is told a class, and generated pictures always get the first."""

    def judge(self: Any, groups: Any) -> Any:
        told = [(x, torch.full((len(x),), number % 2)) for number, (x, _) in enumerate(groups)]
        return gan.Gan.judge(self, told)

    made.objective.players["critic"].net = Told(made.objective.players["critic"].net)
    become(made.objective, judge=judge)


class Told(nn.Module):
    """A critic that is told something beside the picture."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.belief = net, nn.Embedding(2, 1)
        nn.init.zeros_(self.belief.weight)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        judged = self.net(x, None)
        return judged if y is None else judged + 50 * self.belief(y).squeeze(1)


# Machine and artefact


@bug("digits", "memory", warns=("length",))
def a_batch_for_another_machine(made: Recipe) -> None:
    made.batch, made.examples, made.schedule = 1_000_000_000, 10**15, constant


@bug("digits", warns=("waiting",))
def a_loader_that_keeps_the_nets_waiting(made: Recipe) -> None:
    batch = made.data.batch

    def slow(n: int, rng: Any) -> Batch:
        time.sleep(0.03 if rng.step < 4 else 0)  # which are looked at
        return batch(n, rng)

    made.data.batch = slow


@bug("digits", "disk")
def a_disk_that_is_full(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))


@bug("digits", "processes")
def one_process_of_two(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")


@bug("digits", "scores-repeat")
def a_score_on_noise_that_nobody_fixed(made: Recipe) -> None:
    quick = made.evaluation.quick
    made.evaluation.quick = lambda objective: {name: value + float(torch.rand(())) for name, value in quick(objective).items()}


@bug("classifier", "capacity")
def a_larger_size_that_is_smaller(made: Recipe) -> None:
    net = made.objective.players["classifier"].net
    if net.start.out_channels == 24:  # of "small"
        with torch.no_grad():
            net.name.weight.mul_(0)
            net.trunk[1].enter.mix.weight.mul_(0)


# ------------------------------------------------------------------------------------------------------------- texts


@bug("write", "causality", "foretelling")
def a_mask_is_missing(made: Recipe) -> None:
    for look in made.objective.players["writer"].net.looks:
        look.branch.causal = False


@bug("write", "foretelling")
def the_shift_is_forgotten(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Language.loss

    def wrong(self: Language, player: str, batch: Any, rng: Rng) -> Any:
        at = batch.tokens_NT[:, :-1]
        logits = self.players[player].net(at)
        nll_NT = F.cross_entropy(logits.flatten(0, 1), at.flatten(), reduction="none").view_as(at) * batch.there_NT
        return nll_NT.sum(1) / batch.there_NT.sum(1), *right(self, player, batch, rng)[1:]

    monkeypatch.setattr(Language, "loss", wrong)


@bug("gumbel", "inputs-used", "moved")
def the_writer_s_noise_is_not_used(made: Recipe) -> None:
    class Nothing(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 0 * super().forward(input)

    made.objective.players["writer"].net.mood.__class__ = Nothing


@bug("policy", "behind-the-end")
def the_critic_looks_behind_the_end(made: Recipe) -> None:
    class Careless(TextCritic):
        def forward(self, ids: torch.Tensor, there_NT: Any = None, y_N: Any = None) -> Any:
            return super().forward(ids, None, y_N)

    made.objective.players["critic"].net.__class__ = Careless


@bug("cot", "opponent-apart")
def the_mediator_s_words_keep_their_graph(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = TextGan.told

    @torch.enable_grad()
    def wrong(self: TextGan, *words: Any) -> torch.Tensor:
        return right(self, *words)

    monkeypatch.setattr(TextGan, "told", wrong)


@bug("write", "leaked-text")
def the_test_text_is_the_training_text(made: Recipe) -> None:
    made.evaluation.test = made.data


@bug("write", warns=("repeated-texts",))
def every_text_stands_there_twice(made: Recipe) -> None:
    data = made.data
    ids = np.concatenate([data.ids[:-1], data.ids])
    starts = np.concatenate([data.starts[:-1], data.starts + len(data.ids) - 1])
    made.data = Texts(ids, starts, data.vocabulary, data.context)


# ----------------------------------------------------------------------------------------------------------- playing

CORRIDOR, SCREEN = "gannet.data.games:Corridor", "gannet.data.games:Screen"


@bug("play", "repeats", "same-batch", "same-seed", "resume", data=CORRIDOR)
def an_environment_with_chance_of_its_own(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Corridor.seen
    monkeypatch.setattr(Corridor, "seen", lambda self: right(self) + np.float32(1e-4 * random.random()))


@bug("play", warns=("random-baseline",), data=CORRIDOR)
def a_reward_that_chance_never_meets(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Corridor.step

    def step(self: Corridor, action: int) -> Any:
        seen, _, *rest = right(self, action)
        return seen, 0.0, *rest

    monkeypatch.setattr(Corridor, "step", step)


@bug("play", "observations")
def scales_of_another_environment(made: Recipe) -> None:
    made.objective.net.seen.variance.fill_(1e6)


@bug("play", "frame-order", data=SCREEN)
def frames_stacked_newest_first(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    from gannet.data.environments import Vector

    right = Vector._looked
    monkeypatch.setattr(Vector, "_looked", lambda self, seen: right(self, np.asarray(seen)[:, ::-1] if self.bytes else seen))


@bug("play", "first-ratio")
def log_chances_of_the_policy_at_another_temperature(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PPO.act

    def act(self: PPO, seen_E: torch.Tensor, rng: Rng, greedy: bool = False) -> Any:
        did_E, kept = right(self, seen_E, rng, greedy)
        return did_E, kept | {"log_p": kept["log_p"] * 1.1}

    monkeypatch.setattr(PPO, "act", act)


@bug("play", "targets", "known-values")
def truncation_taken_for_termination(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PPO.prepare

    def prepare(self: PPO, rollout: Any, rng: Rng) -> Any:
        ended = rollout.terminated_TE | rollout.truncated_TE
        return right(self, rollout._replace(terminated_TE=ended), rng)

    monkeypatch.setattr(PPO, "prepare", prepare)


@bug("pqn", "targets", "known-values")
def truncation_taken_for_termination_by_a_q_network(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PQN._samples

    def samples(self: PQN, rollout: Any, reward_TE: torch.Tensor, best_TE: torch.Tensor) -> Any:
        ended = rollout.terminated_TE | rollout.truncated_TE
        return right(self, rollout._replace(terminated_TE=ended), reward_TE, best_TE)

    monkeypatch.setattr(PQN, "_samples", samples)


@bug("play", "targets", "known-values")
def rewards_that_belong_to_the_step_before(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PPO.worth
    monkeypatch.setattr(PPO, "worth", lambda self, rollout, rng: right(self, rollout, rng).roll(-1, 0))


@bug("play", "known-values", "targets", "resume")
def a_target_that_is_stale(made: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values after the rollout and within it come from a net that is never brought up to date."""
    right = PPO.prepare

    def prepare(self: PPO, rollout: Any, rng: Rng) -> Any:
        if not hasattr(self, "old"):
            self.old = [(p, p.detach().clone()) for p in self.net.parameters()]
        now = [(p, p.detach().clone()) for p, _ in self.old]
        with torch.no_grad():
            for p, was in self.old:
                p.copy_(was)
            seen_TE = rollout.seen_TE[:-1]
            value_TE = self.judged(self.laid(seen_TE.flatten(0, 1)))[1].view(seen_TE.shape[:2])
            made = right(self, rollout._replace(kept=rollout.kept | {"value": value_TE}), rng)
            for p, is_ in now:
                p.copy_(is_)
        return made

    monkeypatch.setattr(PPO, "prepare", prepare)
