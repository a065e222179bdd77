import copy

import pytest
import torch

from sk_ssimae.modules import (
    ConvolutionalAutoencoder,
    VariationalAutoencoder,
    initialize_autoencoder,
)


def make_network(seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VariationalAutoencoder(2, 7, 32, generator=generator, **kwargs)
    weights = torch.Generator().manual_seed(1)
    initialize_autoencoder(network, generator=weights, mean_intensity=torch.tensor([0.5, 0.5]))
    return network


def test_layers_match_the_autoencoder():
    network, plain = make_network(), ConvolutionalAutoencoder(2, 7, 32)
    shapes = [parameter.shape for parameter in network.decoder.parameters()]
    assert shapes == [parameter.shape for parameter in plain.decoder.parameters()]
    *hidden, weight, bias = (parameter.shape for parameter in network.encoder.parameters())
    *plain_hidden, plain_weight, plain_bias = (p.shape for p in plain.encoder.parameters())
    assert hidden == plain_hidden
    assert (weight[0], bias[0]) == (2 * plain_weight[0], 2 * plain_bias[0]) == (14, 14)


def test_output_is_a_sample_of_the_posterior():
    network = make_network()
    patches = torch.rand((3, 2, 32, 32), generator=torch.Generator().manual_seed(2))
    output = network(patches)
    mean, log_variance = network.encode(patches)
    torch.testing.assert_close(output.mean, mean)
    torch.testing.assert_close(output.log_variance, log_variance)
    assert mean.shape == log_variance.shape == (3, 7)
    noise = torch.randn((3, 7), generator=torch.Generator().manual_seed(0))
    expected = network.decode(mean + log_variance.exp().sqrt() * noise)
    torch.testing.assert_close(output.reconstruction, expected)
    assert not torch.equal(network(patches).reconstruction, output.reconstruction)


def test_gradients_reach_both_heads():
    network = make_network()
    network(torch.rand(3, 2, 32, 32)).reconstruction.sum().backward()
    gradient = network.encoder[-1].weight.grad.flatten(1).abs().sum(dim=1)
    assert (gradient > 0).all()


def test_copies_leave_out_the_generator():
    network = make_network(seed=5)
    copied = copy.deepcopy(network)
    assert copied.generator is None
    assert copied.noise_key == network.noise_key == 5
    assert network.generator is not None


def test_wrong_parameters():
    with pytest.raises(ValueError, match="latent_dim must be an integer of at least 1, got 0"):
        VariationalAutoencoder(1, 0)
