"""A fitted `VariationalAutoencoderSegmenter` in a file: an autoencoder, and its posteriors."""

from typing import Any, NamedTuple

from sk_ssimae.estimators import Posteriors, VariationalAutoencoderSegmenter
from sk_ssimae.estimators._variational import LARGEST_N_POSTERIORS
from sk_ssimae.modules._variational import LOG_VARIANCE_RANGE
from sk_ssimae.persistence import _autoencoder
from sk_ssimae.persistence._autoencoder import TrainedBlueprint
from sk_ssimae.persistence._checks import check_count
from sk_ssimae.persistence._container import TensorHeader, Tensors
from sk_ssimae.persistence._families import Family, prefixed, without_prefix


class VariationalBlueprint(NamedTuple):
    """An autoencoder and its posteriors but for their tensors."""

    autoencoder: TrainedBlueprint
    shape: tuple[int, int]

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors."""
        return {**self.autoencoder.headers(), **prefixed("posteriors", self._of_posteriors())}

    def complete(self, tensors: Tensors) -> None:
        """Give the segmenter its net and its posteriors.

        Raises
        ------
        ValueError
            If a log-variance is none that the network computes.
        """
        posteriors = Posteriors(**without_prefix("posteriors", self._of_posteriors(), tensors))
        least, most = LOG_VARIANCE_RANGE
        if posteriors.log_variance.min() < least or posteriors.log_variance.max() > most:
            raise ValueError(f"its log-variances of posteriors must be from {least} to {most}.")
        self.autoencoder.complete(tensors)
        self.autoencoder.segmenter.posteriors_ = posteriors

    def _of_posteriors(self) -> dict[str, TensorHeader]:
        return dict.fromkeys(Posteriors._fields, TensorHeader("F32", self.shape))


def _describe(segmenter: VariationalAutoencoderSegmenter) -> tuple[dict[str, Any], Tensors]:
    facts, tensors = _autoencoder.FAMILY.describe(segmenter)
    posteriors = segmenter.posteriors_
    return {**facts, "n_posteriors": len(posteriors.mean)}, {
        **tensors,
        **prefixed("posteriors", posteriors._asdict()),
    }


def _restore(
    segmenter: VariationalAutoencoderSegmenter, document: dict[str, Any]
) -> VariationalBlueprint:
    n_posteriors = check_count(
        document["n_posteriors"], "n_posteriors", least=1, below=LARGEST_N_POSTERIORS + 1
    )
    autoencoder: Any = _autoencoder.FAMILY.restore(segmenter, document)
    latent_dim = int(segmenter.fitted_parameters_["latent_dim"])
    return VariationalBlueprint(autoencoder, (n_posteriors, latent_dim))


FAMILY = Family((*_autoencoder.FAMILY.keys, "n_posteriors"), _describe, _restore)
