"""A recipe file whose generator keeps something that no run folder holds."""

import torch

from gannet import Recipe
from gannet.data import images
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan


class Forgetful(Generator):
    """Draws with a tint from the machine's own source of chance, in no state dict."""

    def __init__(self, pixels: int, channels: int):
        super().__init__(pixels, channels, width=8)
        chance = torch.Generator()
        chance.seed()
        self.tint = 0.8 + 0.2 * float(torch.rand((), generator=chance))

    def forward(self, z_NZ: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        return self.tint * super().forward(z_NZ, y_N)


def forgetful() -> Recipe:
    """Eight pixels and a tint."""
    train = images.load("digits8").without_classes()
    objective = gan.Gan(Forgetful(train.pixels, train.channels), Critic(train.pixels, train.channels, width=8), rate=3e-3)
    return Recipe(train, objective, batch=16, examples=3_200)
