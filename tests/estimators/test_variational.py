import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from sk_ssimae import VariationalAutoencoderSegmenter
from sk_ssimae._patches import taper_weights
from sk_ssimae.losses import kl_divergence
from sk_ssimae.model_selection import DefectFreeKFold


@pytest.fixture(scope="module")
def segmenter(tiny, good):
    return VariationalAutoencoderSegmenter(**tiny).fit(good)


@pytest.fixture
def with_params(segmenter):
    """Set parameters of the fitted segmenter for one test."""
    before = segmenter.get_params()
    yield segmenter.set_params
    segmenter.set_params(**before)


def one_window(segmenter, image):
    """Return the network, the loss and the only patch of an image, on the CPU."""
    network, loss = segmenter.net_.module_.cpu().eval(), segmenter.net_.criterion_.cpu().eval()
    return network, loss, torch.from_numpy(image.copy())[None, None]


@torch.inference_mode()
def mean_improbability(segmenter, image, column):
    """Compute the improbability of the patch at a column, averaged over three samples."""
    network, loss, window = one_window(segmenter, image[:, column : column + 16])
    mean, log_variance = network.encode(window)
    bits = np.random.Philox(key=network.noise_key, counter=[0, 0, 0, column])
    noise = np.random.Generator(bits).standard_normal((3, mean.shape[1]), dtype=np.float32)
    total = 0
    for sample in torch.from_numpy(noise):
        reconstruction = network.decode(mean + log_variance.exp().sqrt() * sample)
        pixels = torch.distributions.Normal(reconstruction, loss.variance.sqrt())
        total = total - pixels.log_prob(window)[0, 0] / 3
    return total.numpy()


def test_residual_is_the_mean_improbability_of_samples(with_params, good):
    image = good[0, :16, :16]
    segmenter = with_params(n_samples=3, smoothing=0)
    expected = mean_improbability(segmenter, image, 0)
    np.testing.assert_allclose(segmenter.decision_function([image])[0], expected, rtol=1e-5)


@pytest.mark.parametrize("taper", [0, 0.5, 1])
def test_improbabilities_are_averaged_over_windows(with_params, good, taper):
    image = good[0, :16, :24]
    segmenter = with_params(n_samples=3, stride=8, taper=taper, smoothing=0)
    left, right = (mean_improbability(segmenter, image, column) for column in (0, 8))
    weights = taper_weights(16, taper)
    overlap = weights[8:] * left[:, 8:] + weights[:8] * right[:, :8]
    expected = np.hstack([left[:, :8], overlap / (weights[8:] + weights[:8]), right[:, 8:]])
    np.testing.assert_allclose(segmenter.decision_function([image])[0], expected, rtol=1e-5)


def test_noise_belongs_to_the_place(segmenter, good):
    flat = np.full((40, 40), 0.5, dtype=np.float32)
    maps = segmenter.decision_function([flat, good[0], flat])
    np.testing.assert_array_equal(maps[0], maps[2])
    assert len(np.unique(maps[0])) > 10


def test_windows_of_one_look_differ_by_their_place(with_params):
    flat = np.full((16, 32), 0.5, dtype=np.float32)
    maps = with_params(stride=16).decision_function([flat, flat[:, :16]])
    np.testing.assert_allclose(maps[0][:, :16], maps[1], rtol=1e-5)
    assert not np.allclose(maps[0][:, 16:], maps[1], rtol=1e-5)


def test_more_samples_extend_the_fewer(with_params, good):
    first = [np.asarray(with_params(n_samples=n).decision_function(good)) for n in (1, 2, 64)]
    assert not np.allclose(first[0], first[1])
    # The standard error shrinks: two halves of many samples agree better than single ones.
    spread = [np.abs(maps - first[2]).mean() for maps in first[:2]]
    assert spread[1] < spread[0]


@torch.inference_mode()
def test_divergence_is_spread_over_windows(with_params, good):
    image = good[0, :16, :24]
    segmenter = with_params(residual="kl", stride=8, taper=0, n_samples=1, threshold=1.0)
    network, _, window = one_window(segmenter, image)
    left, right = (
        float(kl_divergence(*network.encode(window[..., start : start + 16]))) for start in (0, 8)
    )
    expected = np.repeat([left, (left + right) / 2, right], 8)[None].repeat(16, axis=0)
    np.testing.assert_allclose(segmenter.decision_function([image])[0], expected, rtol=1e-5)
    assert segmenter.predict(good).shape == good.shape


@torch.inference_mode()
def test_reconstruction_error_is_the_mean_over_a_patch_and_samples(with_params, good):
    image = good[0, :16, :16]
    segmenter = with_params(residual="reconstruction_error", n_samples=3, threshold=1.0)
    _, loss, _ = one_window(segmenter, image)
    improbability = mean_improbability(segmenter, image, 0).mean()
    # The likelihood with one variance is the error but for a factor and a constant.
    variance = float(loss.variance)
    expected = 2 * variance * (improbability - 0.5 * np.log(2 * np.pi * variance))
    np.testing.assert_allclose(segmenter.decision_function([image])[0], expected, rtol=1e-4)
    far = segmenter.decision_function([1 - image])[0]
    assert far.min() > 2 * expected


@torch.inference_mode()
@pytest.mark.parametrize("residual", ["euclidean", "bhattacharyya"])
def test_distances_are_those_to_the_nearest_posterior(with_params, good, residual):
    image = good[0, :16, :16]
    segmenter = with_params(residual=residual, threshold=1.0)
    network, _, window = one_window(segmenter, image)
    mean, log_variance = network.encode(window)
    own = (mean,) if residual == "euclidean" else (mean, log_variance)
    expected = float(getattr(segmenter.posteriors_, residual)(*own))
    assert expected > 0
    np.testing.assert_allclose(segmenter.decision_function([image])[0], expected, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("augmentation", [None, "dihedral"])
def test_posteriors_are_those_of_training_patches(tiny, good, augmentation):
    params = tiny | {"augmentation": augmentation, "patch_size": 32, "n_patches": 4}
    # The only places of a patch are the nine of the two regions without the held-out band.
    images = good[:2, :34, :34]
    segmenter = VariationalAutoencoderSegmenter(
        **params, n_posteriors=200, threshold=1.0, residual="euclidean", smoothing=0
    ).fit(images)
    posteriors = segmenter.posteriors_
    assert posteriors.mean.shape == posteriors.log_variance.shape == (200, 8)
    # To rounding, each is one of 2 * 9 patches, or of these turned and flipped.
    n_different = len(np.unique(posteriors.mean.round(3), axis=0))
    assert n_different <= 18 * (1 if augmentation is None else 8)
    assert n_different > 12 * (1 if augmentation is None else 3)
    patch = images[0, 1:33, 2:34]
    assert segmenter.decision_function([patch])[0].max() < 1e-4
    turned = segmenter.decision_function([np.ascontiguousarray(patch[::-1])])[0].max()
    assert (turned < 1e-4) == (augmentation == "dihedral")


def test_partial_fit_keeps_posteriors_of_the_new_images(tiny, good):
    segmenter = VariationalAutoencoderSegmenter(**tiny, n_posteriors=20).fit(good)
    before = segmenter.posteriors_
    segmenter.set_params(patch_size=32, n_posteriors=30).partial_fit(1 - good)
    assert segmenter.posteriors_.mean.shape == (30, 8)
    assert not np.isin(segmenter.posteriors_.mean, before.mean).any()


def test_posteriors_show_inspected_pixels_only(tiny, good):
    images = good.copy()
    images[:, :, 28:] = 0  # Not inspected.
    roi = np.zeros(good.shape[1:], bool)
    roi[:, :28] = True
    params = tiny | {"residual": "euclidean", "smoothing": 0, "threshold": 1.0}
    segmenter = VariationalAutoencoderSegmenter(**params).fit(images, roi=roi)
    other = VariationalAutoencoderSegmenter(**params).fit(good, roi=roi)
    np.testing.assert_array_equal(segmenter.posteriors_.mean, other.posteriors_.mean)


@pytest.mark.parametrize("residual", ["reconstruction_error", "euclidean", "bhattacharyya"])
def test_measures_find_images_of_another_texture(tiny, good, residual):
    params = tiny | {"max_epochs": 20, "residual": residual}
    segmenter = VariationalAutoencoderSegmenter(**params).fit(good)
    noise = np.random.default_rng(0).random(good.shape, dtype=np.float32)
    assert segmenter.score_images(noise).min() > segmenter.score_images(good).max()


def test_reconstruction_decodes_the_mean(segmenter, good):
    image = good[0, :16, :16]
    network, _, window = one_window(segmenter, image)
    with torch.inference_mode():
        expected = network.decode(network.encode(window)[0])[0, 0]
    np.testing.assert_allclose(segmenter.reconstruct([image])[0], expected, rtol=1e-5, atol=1e-6)


def test_weight_of_the_divergence_reaches_training(tiny, good):
    def divergence(kl_weight):
        segmenter = VariationalAutoencoderSegmenter(
            **(tiny | {"max_epochs": 20}), kl_weight=kl_weight, residual="kl"
        )
        return np.mean(segmenter.fit(good).decision_function(good))

    assert divergence(100) < 0.5 * divergence(0.01)


def test_variance_is_fitted(tiny, good):
    segmenter = VariationalAutoencoderSegmenter(**(tiny | {"max_epochs": 20})).fit(good)
    error = np.square(segmenter.reconstruct(good) - good).mean()
    assert error < float(segmenter.net_.criterion_.variance) < 10 * error


def test_grid_search(tiny, good, defective):
    images, masks = defective
    X, y = np.concatenate([good, images]), np.concatenate([np.zeros_like(masks), masks])
    grid = {"kl_weight": [0.1, 1], "n_samples": [1, 2], "residual": ["likelihood", "euclidean"]}
    search = GridSearchCV(VariationalAutoencoderSegmenter(**tiny), grid, cv=DefectFreeKFold(2))
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 0}, "'n_samples' parameter"),
        ({"kl_weight": -1}, "'kl_weight' parameter"),
        ({"residual": "l2"}, "'residual' parameter"),
        ({"n_posteriors": 0}, "'n_posteriors' parameter"),
        ({"n_posteriors": 100_001}, "'n_posteriors' parameter"),
    ],
)
def test_wrong_parameters(params, message, tiny, good):
    with pytest.raises(ValueError, match=message):
        VariationalAutoencoderSegmenter(**tiny, **params).fit(good)


def test_a_threshold_belongs_to_its_residual(with_params, good):
    segmenter = with_params(residual="kl")
    with pytest.raises(NotFittedError, match=r"not been calibrated for residual=.* Call calibrate"):
        segmenter.predict(good)
    with_params(residual="likelihood").predict(good)


def test_images_without_texture_stay_finite(tiny):
    flat = np.full((4, 40, 40), 0.5, dtype=np.float32)
    flat[:, 0, 0] = 0.6
    segmenter = VariationalAutoencoderSegmenter(**(tiny | {"max_epochs": 20})).fit(flat)
    assert np.isfinite(segmenter.decision_function(flat)).all()
