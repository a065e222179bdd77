import pytest
import torch

from sk_ssimae.modules import ConvolutionalAutoencoder, Critic, GenerativeAdversarialNetwork


def test_the_rating_of_a_patch_depends_on_no_other():
    critic, patches = Critic(2, 32), torch.rand(3, 2, 32, 32)
    torch.testing.assert_close(critic(patches)[:1], critic(patches[:1]))
    assert critic.features(patches).shape == (3, 128 * 2 * 2)


def test_pairs_are_rated_by_both_parts():
    critic = Critic(1, 16, latent_dim=4)
    patches, latent = torch.rand(2, 1, 16, 16), torch.rand(2, 4)
    ratings = critic(patches, latent)
    assert ratings.shape == (2,)
    assert not torch.equal(ratings, critic(patches, latent + 1))
    assert not torch.equal(ratings, critic(patches + 1, latent))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 16), "n_channels must be an integer of at least 1, got 0 instead"),
        ((1, 24), "patch_size must be a positive multiple of 16, got 24 instead"),
        ((1, 16, 0), "latent_dim must be an integer of at least 1, got 0 instead"),
    ],
)
def test_wrong_sizes(sizes, message):
    with pytest.raises(ValueError, match=message):
        Critic(*sizes)


def test_generator_and_encoder_are_those_of_the_autoencoder():
    network = GenerativeAdversarialNetwork(1, 4, 32, "batch").eval()
    plain = ConvolutionalAutoencoder(1, 4, 32, "batch").eval()
    plain.encoder.load_state_dict(network.encoder.state_dict())
    plain.decoder.load_state_dict(network.decoder.state_dict())
    patches = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(network(patches), plain(patches))


def test_what_the_kinds_have():
    search, bigan = (GenerativeAdversarialNetwork(1, 4, 16, None, e) for e in ("search", "bigan"))
    assert bigan.critic.of_latent is not None
    assert search.critic.of_latent is None
    with pytest.raises(RuntimeError, match="encoding='search' has no encoder"):
        search(torch.rand(1, 1, 16, 16))
    with pytest.raises(ValueError, match=r"encoding must be one of .*, got 'no' instead"):
        GenerativeAdversarialNetwork(1, 4, 16, None, "no")
