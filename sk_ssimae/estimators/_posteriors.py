"""The posteriors of training patches, and the distance to the nearest of them.

References
----------
A. Vasilev et al., "q-Space Novelty Detection with Variational Autoencoders", arXiv:1806.02997. By
the text: the authors' code takes standard deviations for variances in the Bhattacharyya distance.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_ssimae._formulas._gaussian import bhattacharyya_distance

# Components of pairs that are compared at once: temporary arrays of 16 MB.
_MOST_COMPONENTS = 2**22


class Posteriors(NamedTuple):
    """Distributions q(z | x) of latent vectors, one for each of m patches.

    Attributes
    ----------
    mean, log_variance : array of shape (m, latent_dim), float32
        Normal distributions with independent components.
    """

    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32]

    def euclidean(self, mean: Tensor) -> Tensor:
        """Compute the Euclidean distance of means (N, d) to the nearest mean, of shape (N,)."""
        others = torch.tensor(self.mean, dtype=mean.dtype, device=mean.device)
        # By differences: the product of matrices cancels digits of small distances.
        distances = torch.cdist(mean, others, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.amin(dim=1)

    def bhattacharyya(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Compute the Bhattacharyya distance of distributions (N, d) to the nearest one, (N,).

        It is no metric, so that there is no faster search than comparing with all.
        """
        n_at_once = max(_MOST_COMPONENTS // mean.numel(), 1)
        nearest = torch.full_like(mean[:, 0], torch.inf)
        for start in range(0, len(self.mean), n_at_once):
            others = (
                torch.tensor(part[start : start + n_at_once], device=mean.device) for part in self
            )
            distances = bhattacharyya_distance(mean[:, None], log_variance[:, None], *others)
            nearest = torch.minimum(nearest, distances.min(dim=1).values)
        return nearest
