import matplotlib.pyplot as plt
import numpy as np
import pytest
from skimage.io import imsave

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.plotting import ResidualMapDisplay


@pytest.fixture
def arrays(good, defective):
    images, masks = defective
    return images[0], np.abs(images[0] - good[0]), masks[0]


def titles(display):
    return [ax.get_title() for ax in display.axes_]


def test_one_panel_per_array(arrays):
    image, residual_map, mask = arrays
    display = ResidualMapDisplay.from_predictions(image, residual_map)
    assert titles(display) == ["image", "residual map"]
    display = ResidualMapDisplay(
        image, residual_map, mask=mask, true_mask=mask, reconstruction=image
    ).plot(vmax=0.5, cmap="viridis")
    assert titles(display) == ["image", "truth", "reconstruction", "residual map", "mask"]
    shown = display.axes_[3].images[0]
    np.testing.assert_array_equal(shown.get_array(), residual_map)
    assert (shown.get_clim(), shown.get_cmap().name) == ((0, 0.5), "viridis")
    assert len(display.axes_[4].collections) == 1  # The outline of the true mask.


def test_chosen_panels_on_given_axes(arrays):
    image, residual_map, mask = arrays
    _, axes = plt.subplots(1, 2)
    display = ResidualMapDisplay(image, residual_map, mask=mask)
    display.plot(axes, panels=["mask", "image"], titles=False)
    assert display.figure_ is axes[0].figure
    assert titles(display) == ["", ""]
    np.testing.assert_array_equal(axes[0].images[0].get_array(), mask)
    with pytest.raises(ValueError, match=r"for each of the 3 panels, .* got 2 instead"):
        display.plot(axes)
    with pytest.raises(ValueError, match=r"got \['truth'\] instead"):
        display.plot(panels=["truth"])


def test_from_estimator(tiny, good, defective, tmp_path):
    images, masks = defective
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(good)
    display = ResidualMapDisplay.from_estimator(segmenter, images[0], masks[0], titles=False)
    np.testing.assert_array_equal(display.residual_map, segmenter.decision_function(images)[0])
    np.testing.assert_array_equal(display.mask, segmenter.predict(images)[0])
    imsave(tmp_path / "image.png", np.uint8(255 * images[0]), check_contrast=False)
    from_file = ResidualMapDisplay.from_estimator(segmenter, tmp_path / "image.png")
    assert from_file.image.shape[:2] == images[0].shape


class DarkSegmenter:
    """Marks dark pixels; it has no network and so no `reconstruct`."""

    def decision_function(self, X):
        return [1 - np.atleast_3d(image).mean(axis=-1) for image in X]

    def predict(self, X):
        return [residual_map > 0.5 for residual_map in self.decision_function(X)]


def test_from_estimator_without_reconstruct(arrays):
    image, _, mask = arrays
    display = ResidualMapDisplay.from_estimator(DarkSegmenter(), image, mask)
    assert titles(display) == ["image", "truth", "residual map", "mask"]
    assert display.reconstruction is None
    np.testing.assert_allclose(display.residual_map, 1 - image)


def test_colours(arrays):
    image, residual_map, _ = arrays
    colour = np.stack([image] * 3, axis=-1)
    display = ResidualMapDisplay.from_predictions(colour, residual_map, reconstruction=colour * 2)
    assert display.axes_[0].images[0].get_array().shape == colour.shape
    assert display.axes_[1].images[0].get_array().max() <= 1


def test_wrong_arrays(arrays):
    image, residual_map, mask = arrays
    with pytest.raises(ValueError, match="residual_map must have the image's height and width"):
        ResidualMapDisplay(image, residual_map[:5])
    with pytest.raises(ValueError, match="mask must contain only 0"):
        ResidualMapDisplay(image, residual_map, mask=residual_map)
    with pytest.raises(ValueError, match="true_mask must have the image's height and width"):
        ResidualMapDisplay(image, residual_map, true_mask=mask[:5])
    with pytest.raises(ValueError, match="residual_map must have the image's height and width"):
        ResidualMapDisplay(image, residual_map[..., None])
    for name in ("residual_map", "reconstruction"):
        with pytest.raises(ValueError, match=f"{name} must contain finite numbers, got none, NaN"):
            ResidualMapDisplay(image, **{"residual_map": residual_map, name: image * np.nan})
    with pytest.raises(ValueError, match="residual_map must contain real numbers, got <U"):
        ResidualMapDisplay(image, residual_map.astype(str))
    with pytest.raises(ValueError, match=r"image must have floats in \[0, 1\], got"):
        ResidualMapDisplay(image * 255, residual_map)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"panels": []}, ValueError, r"panels must be chosen from .* got \[\]"),
        ({"panels": 3}, ValueError, r"panels must be chosen from .* got 3"),
        ({"panels": [["image"]]}, ValueError, r"panels must be chosen from .* got \[\['image'\]\]"),
        ({"vmax": "x"}, ValueError, "vmax must be a finite number of at least 0, got 'x'"),
        ({"vmax": -1}, ValueError, "vmax must be a finite number of at least 0, got -1"),
        ({"cmap": ["gray"]}, TypeError, r"cmap must be the name of a colour map, got \['gray'\]"),
        ({"axes": [1, 2]}, TypeError, "axes must be a sequence of matplotlib Axes, got"),
    ],
)
def test_wrong_options(arrays, options, error, message):
    with pytest.raises(error, match=message):
        ResidualMapDisplay(*arrays[:2]).plot(**options)


@pytest.mark.usefixtures("without_matplotlib")
def test_without_matplotlib(arrays):
    with pytest.raises(ImportError, match=r'matplotlib. Run pip install "\.\[plot\]"'):
        ResidualMapDisplay(*arrays[:2]).plot()


def test_residuals_may_be_negative(arrays):
    image, residual_map, _ = arrays
    display = ResidualMapDisplay.from_predictions(image, residual_map - 2)
    low, high = display.axes_[1].images[0].get_clim()
    assert (low, high) == ((residual_map - 2).min(), (residual_map - 2).max())
