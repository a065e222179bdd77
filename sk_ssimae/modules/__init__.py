"""The networks."""

from sk_ssimae.modules._autoencoder import ConvolutionalAutoencoder, Normalization
from sk_ssimae.modules._initialization import initialize_autoencoder

__all__ = ["ConvolutionalAutoencoder", "Normalization", "initialize_autoencoder"]
