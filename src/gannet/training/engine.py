"""Devices, precision and processes: the one place that knows where the numbers live.

A thin layer over accelerate. Gradients are averaged here, after backward, rather than by a DDP wrapper, because
double backward (exact gradient penalties) goes round such a wrapper.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import nn

from gannet.errors import Wrong
from gannet.objectives import Player, nets_of
from gannet.rng import Rng


def bfloat16_pays(device: torch.device) -> bool:
    """True where convolutions in bfloat16 are certainly faster than in float32: two to three times (docs/results.md)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def repeatable() -> None:
    """Have CUDA, in this whole process, give the same bits for the same work, and float32 where float32 is asked for.

    By default convolutions take whichever kernel is quickest, whose sums may be in another order each time, and keep ten
    bits of a float's fraction: then no run can be repeated or resumed exactly. An operation without such a kernel warns.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first matrix product is made
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A pass over all memory, for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False


class Engine:
    """Runs losses and steps on one or many processes.

    Args:
        precision: "float32" or "bfloat16" (autocast; weights stay float32)
        cpu: never use an accelerator
    """

    def __init__(self, precision: str = "float32", cpu: bool = False):
        # Without an accelerator accelerate must be told so, or torchrun's processes would not find one another.
        cpu = cpu or not torch.accelerator.is_available()
        processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if not cpu and processes_here > torch.accelerator.device_count():
            beside = ", or CUDA_VISIBLE_DEVICES= before the command to work on the CPU" if torch.cuda.is_available() else ""
            raise Wrong(
                "more processes than accelerators on this machine",
                got=f"{processes_here} processes, {torch.accelerator.device_count()} of them",
                try_=f"a smaller --nproc_per_node{beside}",
            )
        # PartialState keeps what it was told first for all engines of this process: what one alone wants, it need not know.
        alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
        self.state = PartialState(cpu=not torch.accelerator.is_available() if alone else cpu)
        device = torch.device(self.state.device or "cpu")
        self.device = torch.device("cpu")  # of which ranks get "cpu:1", no place to load to
        if not cpu and device.type != "cpu":
            index = torch.accelerator.current_device_index() if device.index is None else device.index
            self.device = torch.device(device.type, index)
        if self.device.type == "cuda":
            repeatable()
        self.rank, self.world = self.state.process_index, self.state.num_processes
        self.precision = precision
        asked = int(os.environ.get("WORLD_SIZE", "1"))
        if asked != self.world:
            raise Wrong("fewer processes work together than were started", got=f"{self.world} of {asked}")

    @property
    def first(self) -> bool:
        """True on the process that writes and prints."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """This process's part of a batch."""
        if batch % self.world:
            raise Wrong(
                f"a batch of {batch} cannot be shared by {self.world} processes", got=batch, try_=f"a multiple of {self.world}"
            )
        return batch // self.world

    def rng(self, seed: int, step: int, stream: str) -> Rng:
        """This process's random numbers for a step."""
        return Rng(seed, step, stream, self.rank, self.world)

    def seed(self, number: int) -> None:
        """Set torch's own random numbers here and on the device; `torch.manual_seed` asks every backend, which takes longer."""
        torch.default_generator.manual_seed(number)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(number)
        elif self.device.type == "mps":
            torch.mps.manual_seed(number)

    def prepare(self, objective: Any) -> None:
        """Move every net of an objective to the device, and what its optimizers know; channels last, which CPUs and tensor
        cores both like."""
        elsewhere = [
            player
            for player in objective.players.values()
            if any(p.device != self.device for p in player.net.parameters()) and "optimizer" in vars(player)
        ]
        net: Any  # torch's own types of `to` know no memory format alone with a device
        for net in nets_of(objective):
            net.to(self.device, memory_format=torch.channels_last)
        for player in elsewhere:  # an optimizer's numbers go where its parameters are when they are loaded
            player.optimizer.load_state_dict(player.optimizer.state_dict())

    def to_device(self, batch: Any) -> Any:
        """A batch's tensors on the device."""
        return type(batch)(*(t.to(self.device, non_blocking=True) for t in batch))

    def settle(self, asked: str, bfloat16: bool) -> None:
        """Decide on the precision.

        Args:
            asked: float32, bfloat16, or auto: what is faster on the first process's machine, if the recipe allows it
            bfloat16: whether the recipe does
        """
        if asked == "auto":
            asked = self.agree(lambda: "bfloat16" if bfloat16 and bfloat16_pays(self.device) else "float32")
        self.precision = asked

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision that losses are computed in."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor added up over all processes."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def mean(self, values_N: torch.Tensor, weights_N: torch.Tensor | None) -> torch.Tensor:
        """This process's part of the weighted mean over all processes: the parts add up to the mean.

        Weights make padding and uneven shards count right: a plain mean of means would not.
        """
        if weights_N is None:
            return values_N.mean() / self.world
        total = self.sum(weights_N.detach().sum().clone())
        return (values_N * weights_N).sum() / total

    def backward(self, loss: torch.Tensor, player: Player) -> None:
        """Gradients of a player's own parameters, added up over processes. Nobody else's are touched or computed."""
        parameters = list(player.net.parameters())
        player.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=parameters)
        if self.world > 1:
            slopes = [p.grad for p in parameters if p.grad is not None]
            flat = self.sum(torch.cat([slope.reshape(-1) for slope in slopes]))
            for slope, part in zip(slopes, flat.split([slope.numel() for slope in slopes]), strict=True):
                slope.copy_(part.view_as(slope))

    def step(self, player: Player, rate: float) -> torch.Tensor:
        """One update at this share of the player's rate; returns the gradient's norm before clipping.

        Nothing is updated where the norm is not finite: the caller finds the weights as they were.
        """
        slopes = [p.grad for p in player.net.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(slopes)
        if not torch.isfinite(norm):
            return norm
        if player.clip is not None:
            nn.utils.clip_grads_with_norm_(player.net.parameters(), player.clip, norm)
        for group in player.optimizer.param_groups:
            group["lr"] = player.rate * player.share * rate
        player.optimizer.step()
        return norm

    def broadcast(self, number: float) -> float:
        """The first process's number, on all of them."""
        if self.world == 1:
            return number
        tensor = torch.tensor([number], dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return float(tensor.item())

    def agree(self, choose: Callable[[], Any]) -> Any:
        """What the first process chose (files, names), on all of them; its refusal, too, is everybody's."""
        if self.world == 1:
            return choose()
        told: list[Any] = [None]
        if self.first:
            try:
                told = [(choose(), None)]
            except Wrong as wrong:
                told = [(None, wrong)]
        dist.broadcast_object_list(told, 0)
        value, wrong = told[0]
        if wrong is not None:
            raise wrong
        return value

    def any(self, flag: bool) -> bool:
        """True on all processes where it is true on one of them."""
        if self.world == 1:
            return flag
        return bool(self.sum(torch.tensor([int(flag)], device=self.device)).item())

    def wait(self) -> None:
        """Until every process is here."""
        self.state.wait_for_everyone()
