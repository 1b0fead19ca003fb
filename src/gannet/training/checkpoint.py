"""Everything that training changes, as tensors that can be saved, and back into an objective in place."""

from __future__ import annotations

from typing import Any


def pack(objective: Any) -> dict[str, Any]:
    """Nets, optimizers and the objective's own state."""
    return {
        "nets": {name: player.net.state_dict() for name, player in objective.players.items()},
        "optimizers": {name: player.optimizer.state_dict() for name, player in objective.players.items()},
        "objective": objective.state(),
    }


def unpack(objective: Any, state: dict[str, Any]) -> None:
    """The inverse, in place."""
    for name, player in objective.players.items():
        player.net.load_state_dict(state["nets"][name])
        player.optimizer.load_state_dict(state["optimizers"][name])
    for key, tensor in objective.state().items():
        tensor.copy_(state["objective"][key])
