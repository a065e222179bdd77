"""Sparse codes, the density of their indicators, and the vote of patches."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import gaussian_kde
from sklearn.decomposition import sparse_encode

from sk_ssimae import SparseDictionarySegmenter
from sk_ssimae._patches import Patches
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators import _sparse_dictionary
from sk_ssimae.estimators._sparse_coding import IndicatorDensity, SparseCoder, learn_atoms, vote
from sk_ssimae.persistence import load, save

GOOD = make_woven_fabric(4, shape=(64, 72), thread_spacing=6, random_state=0)
FEW = {
    "patch_size": 8,
    "n_atoms": 24,
    "n_training_patches": 150,
    "n_density_patches": 150,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fitted():
    return SparseDictionarySegmenter(**FEW).fit(GOOD)


@pytest.fixture
def segmenter(fitted):
    return pickle.loads(pickle.dumps(fitted))


def patches_of(image, size, rows, columns):
    """Return patches less their means, one after the other."""
    found = [image[r : r + size, c : c + size].ravel() for r in rows for c in columns]
    return np.array([patch - patch.mean() for patch in np.array(found, dtype=float)])


def test_indicators_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((30, 20))
    atoms = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(np.float32)
    patches = rng.standard_normal((50, 20)) * rng.uniform(0, 2, (50, 1))
    patches[0] = 0
    codes = sparse_encode(patches, atoms.astype(float), algorithm="lasso_lars", alpha=0.3)
    expected = np.linalg.norm(patches - codes @ atoms, axis=1), np.abs(codes).sum(axis=1)
    found = SparseCoder(atoms, 0.3).indicators(patches)
    np.testing.assert_allclose(found, np.transpose(expected), atol=2e-3)
    assert (np.transpose(expected)[:, 1] == 0).sum() > 1
    np.testing.assert_array_equal(found[0], 0)


def test_the_dictionary_codes_patches_better_than_their_principal_components():
    """Patches are sums of three of 24 atoms, more than they have pixels."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((24, 16))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((600, 24))
    for code in codes:
        code[rng.choice(24, 3, replace=False)] = rng.uniform(1, 2, 3)
    patches = codes @ atoms
    learned = learn_atoms(patches[:500], 24, 0.1, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(learned, axis=1), 1, rtol=1e-5)
    components = np.linalg.svd(patches[:500], full_matrices=False)[2]

    def objective(dictionary):
        errors, norms = SparseCoder(dictionary, 0.1).indicators(patches[500:]).T
        return (errors**2 / 2 + 0.1 * norms).mean()

    assert objective(learned) < 0.9 * objective(components)


def test_the_density_equals_that_of_scipy():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((300, 2)) @ np.array([[1, 0.9], [0, 0.3]]) + 3
    density, expected = IndicatorDensity(points), gaussian_kde(points.T)
    places = np.concatenate([points[:40], [[5, 9]]])
    highest = expected.logpdf(points.T).max()
    np.testing.assert_allclose(
        density.improbability(places), highest - expected.logpdf(places.T), rtol=1e-4, atol=1e-4
    )


def test_improbability_goes_on_rising_where_the_density_underflows():
    points = np.random.default_rng(0).standard_normal((100, 2))
    far = np.array([[10.0, 0], [100, 0], [1e3, 0], [1e6, 0]])
    found = IndicatorDensity(points).improbability(far)
    assert gaussian_kde(points.T).pdf(far.T)[1:].max() == 0
    assert np.isfinite(found.astype(np.float32)).all()
    assert (np.diff(found) > 0).all()


def test_the_vote_is_that_of_more_than_half_of_the_patches():
    shape, rng = (23, 31), np.random.default_rng(0)
    for stride in (1, 3, 4, 6):
        patches = Patches.of_image(shape, 6, stride)
        scores = rng.random((len(patches.rows), len(patches.columns)), dtype=np.float32)
        found = vote(scores, patches, (slice(0, 23), slice(0, 31)))
        n_covering, n_above = np.zeros(shape), np.zeros(shape)
        threshold = np.float32(0.55)
        for i, row in enumerate(patches.rows):
            for j, column in enumerate(patches.columns):
                place = slice(row, row + 6), slice(column, column + 6)
                n_covering[place] += 1
                n_above[place] += scores[i, j] > threshold
        np.testing.assert_array_equal(found > threshold, n_above > n_covering / 2)
        assert 0 < (found > threshold).mean() < 1


def test_the_residual_is_made_of_these_steps(segmenter):
    image = GOOD[1]
    rows, columns = (np.append(np.arange(0, n - 7, 5), n - 8) for n in image.shape)
    coder = SparseCoder(segmenter.dictionary_, 0.1)
    indicators = coder.indicators(patches_of(image, 8, np.unique(rows), np.unique(columns)))
    scores = IndicatorDensity(segmenter.indicators_.astype(float)).improbability(indicators)
    patches = Patches.of_image(image.shape, 8, 5)
    scores = scores.reshape(len(patches.rows), -1).astype(np.float32)
    expected = vote(scores, patches, (slice(0, 64), slice(0, 72)))
    found = segmenter.set_params(stride=5).compute_residual(image[..., np.newaxis])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_it_finds_defects(fitted):
    test = draw_defects(
        make_woven_fabric(3, shape=(64, 72), thread_spacing=6, random_state=1), random_state=0
    )
    assert fitted.score(test.images, test.masks) > 0.75


def test_threads_and_repetition_change_nothing(segmenter):
    maps = segmenter.decision_function(GOOD)
    np.testing.assert_array_equal(segmenter.set_params(n_jobs=2).decision_function(GOOD), maps)
    again = SparseDictionarySegmenter(**FEW).fit(GOOD)
    np.testing.assert_array_equal(again.decision_function(GOOD), maps)


def test_the_density_is_that_of_other_images(monkeypatch):
    drawn = []
    draw = _sparse_dictionary._draw
    monkeypatch.setattr(
        _sparse_dictionary,
        "_draw",
        lambda regions, eligible, *rest: drawn.append(eligible) or draw(regions, eligible, *rest),
    )
    SparseDictionarySegmenter(**FEW, threshold=1.0).fit(GOOD)
    for_atoms, for_density = ([mask.any() for mask in masks] for masks in drawn)
    assert sum(for_atoms) == sum(for_density) == 2
    assert not any(np.array(for_atoms) & np.array(for_density))
    drawn.clear()
    SparseDictionarySegmenter(**FEW, threshold=1.0).fit(GOOD[:1])
    (first,), (second,) = drawn
    # Patches of 8 columns from the halves of a single image have no column in common.
    assert np.flatnonzero(first.any(axis=0)).max() + 8 <= np.flatnonzero(second.any(axis=0)).min()


def test_dark_patches_do_not_count():
    half = GOOD.copy()
    half[:, :, :36] = 0.1 * np.random.default_rng(0).random((4, 64, 36), dtype=np.float32)
    segmenter = SparseDictionarySegmenter(**FEW, min_brightness=0.15, threshold=1.0, smoothing=0)
    segmenter.fit(half)
    residual = segmenter.decision_function(half)
    assert (residual[:, :, :28] == 0).all()
    assert (residual[:, :, 44:] > 0).any()
    # Whole windows of 8 columns lie in the dark half or have few bright ones.
    assert segmenter.n_patches_seen_ < 0.65 * 4 * 57 * 65
    with pytest.raises(ValueError, match=r"min_brightness must leave .*, got 0\.99, an"):
        segmenter.set_params(min_brightness=0.99).fit(half)


@pytest.mark.parametrize("shape", [(4, 30, 33), (4, 8, 8), (1, 8, 8), (2, 20, 20, 3)])
def test_constant_and_small_images(shape):
    images = np.full(shape, 0.5)
    segmenter = SparseDictionarySegmenter(**FEW, threshold=1.0).fit(images)
    assert segmenter.decision_function(images).max() == 0
    noise = np.random.default_rng(0).random(shape)
    maps = segmenter.decision_function(noise)
    assert np.isfinite(maps).all()
    assert maps.min() > 10


def test_colours():
    colour = np.stack([GOOD, GOOD[::-1], 1 - GOOD], axis=-1)
    segmenter = SparseDictionarySegmenter(**FEW).fit(colour)
    assert segmenter.dictionary_.shape == (24, 192)
    changed = colour.copy()
    changed[0, 20:40, 20:40, 2] = 0
    difference = segmenter.decision_function(changed)[0] - segmenter.decision_function(colour)[0]
    assert difference[24:36, 24:36].mean() > 10 * abs(difference[:, 55:]).mean()


def test_further_images_extend_the_density(segmenter):
    new = 0.5 * make_woven_fabric(4, shape=(64, 72), thread_spacing=9, random_state=3)
    dictionary, old = segmenter.dictionary_, segmenter.indicators_
    n_seen = segmenter.n_patches_seen_
    before = segmenter.decision_function(new).mean()
    segmenter.partial_fit(new)
    assert segmenter.dictionary_ is dictionary
    assert segmenter.n_patches_seen_ == 2 * n_seen
    is_old = (segmenter.indicators_[:, np.newaxis] == old).all(axis=2).any(axis=1)
    assert is_old.sum() == len(old) // 2
    assert segmenter.decision_function(new).mean() < 0.7 * before


def test_model_files(segmenter, tmp_path):
    segmenter.set_params(stride=7)
    save(segmenter, tmp_path / "m")
    loaded = load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.decision_function(GOOD), segmenter.decision_function(GOOD))
    loaded.calibrate(GOOD)
    new = 0.5 * GOOD
    np.testing.assert_array_equal(
        loaded.partial_fit(new).decision_function(new),
        segmenter.partial_fit(new).decision_function(new),
    )


def test_parameters_of_the_dictionary_take_effect_in_fit_alone(segmenter):
    before = segmenter.decision_function(GOOD)
    segmenter.set_params(patch_size=11, n_atoms=3, sparsity=2.0, min_brightness=0.5)
    np.testing.assert_array_equal(segmenter.decision_function(GOOD), before)
    with pytest.raises(ValueError, match=r"at most the patch_size of fit, 8, .* 9"):
        segmenter.set_params(stride=9).decision_function(GOOD)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"stride": 9}, "stride must be at most patch_size=8, .*, got 9 instead"),
        ({"sparsity": 0}, "The 'sparsity' parameter of SparseDictionarySegmenter must be"),
        ({"n_atoms": 0}, "The 'n_atoms' parameter of SparseDictionarySegmenter must be"),
        ({"min_brightness": 1}, "The 'min_brightness' parameter of SparseDictionarySegmenter must"),
        ({"n_jobs": 0}, "The 'n_jobs' parameter of SparseDictionarySegmenter must be"),
        ({"patch_size": 65}, r"X\[0\] must be at least patch_size=65 pixels"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        SparseDictionarySegmenter(**(FEW | params)).fit(GOOD)


def test_it_needs_no_torch():
    program = """
import sys
from sk_ssimae import SparseDictionarySegmenter
from sk_ssimae.datasets import make_woven_fabric
good = make_woven_fabric(4, shape=(48, 48), random_state=0)
few = {"patch_size": 6, "n_atoms": 9, "n_training_patches": 50, "n_density_patches": 50}
print(SparseDictionarySegmenter(**few, random_state=0).fit(good).predict(good).shape)
print({"torch", "skorch"} & {*sys.modules})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["(4, 48, 48)", "set()"]
