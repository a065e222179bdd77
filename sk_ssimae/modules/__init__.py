"""Networks, and the tools to initialize and speed them up."""

from sk_ssimae.modules._autoencoder import ConvolutionalAutoencoder, Normalization
from sk_ssimae.modules._critic import Critic
from sk_ssimae.modules._features import ImageNetFeatures, load_feature_extractor
from sk_ssimae.modules._folding import fold_normalization
from sk_ssimae.modules._generative import GenerativeAdversarialNetwork
from sk_ssimae.modules._initialization import initialize_autoencoder
from sk_ssimae.modules._variational import VariationalAutoencoder, VariationalOutput

__all__ = [
    "ConvolutionalAutoencoder",
    "Normalization",
    "VariationalAutoencoder",
    "VariationalOutput",
    "Critic",
    "GenerativeAdversarialNetwork",
    "ImageNetFeatures",
    "load_feature_extractor",
    "initialize_autoencoder",
    "fold_normalization",
]
