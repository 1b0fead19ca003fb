"""How far two sets of feature vectors lie apart, and how much of each the other covers.

Shapes: N and M vectors of D numbers; real_ND, made_MD.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gannet.rng import Rng


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of a set of vectors, in float64."""

    mean_D: np.ndarray
    covariance_DD: np.ndarray

    @classmethod
    def of(cls, x_ND: torch.Tensor) -> Gaussian:
        """Fitted to vectors (N, D)."""
        x = x_ND.double().numpy()
        return cls(x.mean(0), np.cov(x, rowvar=False))


def frechet(a: Gaussian, b: Gaussian) -> float:
    """FID: |m_a - m_b|² + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) (Heusel et al. 2017, arXiv 1706.08500, equation 6).

    The trace of the root is the sum of the roots of the eigenvalues of R S_b R with R = S_a^(1/2): symmetric, so that no
    imaginary part needs to be thrown away.
    """
    values, vectors = np.linalg.eigh(a.covariance_DD)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b.covariance_DD @ root).clip(0)).sum()
    apart = np.square(a.mean_D - b.mean_D).sum()
    return float(apart + np.trace(a.covariance_DD) + np.trace(b.covariance_DD) - 2 * cross)


def kernel_distances(real_ND: torch.Tensor, made_MD: torch.Tensor, subsets: int = 100, size: int = 1000) -> np.ndarray:
    """KID: unbiased squared maximum mean discrepancy with the kernel (x·y / D + 1)³ on random subsets.

    Binkowski et al. 2018, arXiv 1801.01401, section 4. Unbiased, so it may be negative where the sets are alike.

    Returns:
        one value per subset, (subsets,)
    """
    size, d = min(size, len(real_ND), len(made_MD)), real_ND.shape[1]
    rng, found = Rng(0, 0, "kernel distance"), []
    for _ in range(subsets):
        x = real_ND[torch.randperm(len(real_ND), generator=rng.generator)[:size]].double()
        y = made_MD[torch.randperm(len(made_MD), generator=rng.generator)[:size]].double()
        xx, yy, xy = ((p @ q.T / d + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
        within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (size * (size - 1))
        found.append(float(within - 2 * xy.mean()))
    return np.array(found)


def distances(a_ND: torch.Tensor, b_MD: torch.Tensor) -> torch.Tensor:
    """Euclidean distances (N, M), by the matrix product where there are many: near zero off by a thousandth of the norms."""
    return torch.cdist(a_ND, b_MD)


def radii(x_ND: torch.Tensor, *ks: int) -> list[torch.Tensor]:
    """Distance of each vector to its k-th nearest other vector, for each k: (N,) each."""
    near = [distances(part, x_ND).topk(max(ks) + 1, dim=1, largest=False).values for part in x_ND.split(1000)]
    return [torch.cat([part[:, k] for part in near]) for k in ks]  # column 0 is the vector itself


class Neighbours:
    """Balls round real vectors that reach to their k-th neighbours, against which any number of sets are held.

    Args:
        real_ND: the real vectors
        k: of precision and recall (Kynkaanniemi et al. 2019, arXiv 1904.06991, section 2)
        wide: k of density and coverage (Naeem et al. 2020, arXiv 2002.09797, equations 3 and 4)
    """

    def __init__(self, real_ND: torch.Tensor, k: int = 3, wide: int = 5):
        self.real_ND, self.k, self.wide = real_ND, k, wide
        self.radii_N, self.wide_N = radii(real_ND, k, wide)

    def scores(self, made_MD: torch.Tensor) -> dict[str, float]:
        """All four of made vectors.

        precision: share of them in a ball round a real one; recall: share of real ones in a ball round one of them.
        density: in how many wide balls one lies, over k; coverage: share of wide balls that hold one. Where both sets come
        from one distribution, the density is about 1 and the coverage about 1 - 1/2^k.
        """
        (made_radii_M,) = radii(made_MD, self.k)
        precise = dense = 0
        recalled, covered = torch.zeros(2, len(self.real_ND), dtype=torch.bool)
        for part, reach in zip(made_MD.split(1000), made_radii_M.split(1000), strict=True):
            apart = distances(part, self.real_ND)
            precise += int((apart <= self.radii_N).any(1).sum())
            recalled |= (apart <= reach[:, None]).any(0)
            within = apart <= self.wide_N
            dense += int(within.sum())
            covered |= within.any(0)
        m = len(made_MD)
        return {
            "precision": precise / m,
            "recall": float(recalled.double().mean()),
            "density": dense / (self.wide * m),
            "coverage": float(covered.double().mean()),
        }


def nearest(x_ND: torch.Tensor, among_MD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance to, and number of, the nearest of `among` for each x: (N,), (N,)."""
    i_N = torch.cat([distances(part, among_MD).argmin(1) for part in x_ND.split(500)])
    return (x_ND - among_MD[i_N]).norm(dim=1), i_N  # once more by difference: the matrix product is inexact near zero
