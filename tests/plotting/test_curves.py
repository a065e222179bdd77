import numpy as np
import pytest

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.metrics import pixel_roc_auc_score, pixel_roc_curve, region_overlap_quantiles
from sk_ssimae.plotting import PixelRocCurveDisplay, RegionOverlapDisplay

DISPLAYS = [PixelRocCurveDisplay, RegionOverlapDisplay]


@pytest.fixture(scope="module")
def segmenter(tiny, good):
    return L2AutoencoderSegmenter(**tiny).fit(good)


@pytest.fixture(scope="module")
def maps(segmenter, defective):
    return segmenter.decision_function(defective[0])


def test_roc_curve_is_thinned_and_its_area_exact(defective, maps):
    masks = defective[1]
    display = PixelRocCurveDisplay.from_predictions(masks, maps, name="L2", plot_chance_level=True)
    assert display.roc_auc == pixel_roc_auc_score(masks, maps)
    exact = set(zip(*pixel_roc_curve(masks, maps)[:2], strict=True))
    assert set(zip(*display.line_.get_data(), strict=True)) <= exact
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == [f"L2 (AUC = {display.roc_auc:.3f})", "chance (AUC = 0.5)"]
    assert display.figure_ is display.ax_.figure


def test_overlaps_equal_the_score(defective, maps):
    masks = defective[1]
    quantiles = (0.1, 0.25, 0.5, 0.75, 0.9)
    display = RegionOverlapDisplay.from_predictions(
        masks, maps, max_fpr=0.1, quantiles=quantiles, name="L2"
    )
    assert (display.fpr[0], display.fpr[-1]) == (0, 0.1)
    expected = region_overlap_quantiles(masks, maps, display.fpr, quantiles=quantiles)
    np.testing.assert_array_equal(display.overlaps, expected)
    np.testing.assert_array_equal(display.line_.get_ydata(), expected[:, 2])
    assert len(display.bands_) == 2
    assert display.ax_.get_legend().get_texts()[0].get_text() == "L2"


@pytest.mark.parametrize("cls", DISPLAYS)
def test_from_estimator(cls, segmenter, defective, maps):
    display = cls.from_estimator(segmenter, *defective, color="tab:green")
    expected = cls.from_predictions(defective[1], maps)
    np.testing.assert_array_equal(display.line_.get_data(), expected.line_.get_data())
    assert display.name == "L2AutoencoderSegmenter"
    assert display.line_.get_color() == "tab:green"
    with pytest.raises(
        ValueError, match="mark a defect in at least one image, got none in 4 images"
    ):
        cls.from_estimator(segmenter, defective[0], np.zeros_like(defective[1]))


@pytest.mark.parametrize("cls", DISPLAYS)
def test_several_on_the_same_axes(cls, defective, maps):
    first = cls.from_predictions(defective[1], maps, name="first")
    second = cls.from_predictions(defective[1], -maps, name="second", ax=first.ax_)
    assert second.figure_ is first.figure_
    again = first.plot(first.ax_, name="again")
    assert again is first
    labels = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert [label.split()[0] for label in labels] == ["first", "second", "again"]


@pytest.mark.parametrize("cls", DISPLAYS)
def test_without_a_name(cls, defective, maps):
    display = cls.from_predictions(defective[1], maps)
    legend = display.ax_.get_legend()
    if cls is PixelRocCurveDisplay:
        assert legend.get_texts()[0].get_text() == f"AUC = {display.roc_auc:.3f}"
    else:
        assert legend is None


@pytest.mark.parametrize("quantiles", ["x", None, [[0.5]], [None]])
def test_wrong_quantiles(quantiles):
    with pytest.raises(
        ValueError, match="quantiles must be an odd number of values in ascending order, got"
    ):
        RegionOverlapDisplay(np.zeros(1), np.zeros((1, 1)), quantiles=quantiles)


@pytest.mark.parametrize("cls", DISPLAYS)
def test_wrong_axes(cls):
    mask = np.array([[0, 1]])
    with pytest.raises(TypeError, match="ax must be matplotlib Axes, got 3"):
        cls.from_predictions([mask], [mask], ax=3)


def test_wrong_overlaps():
    with pytest.raises(ValueError, match=r"in ascending order, got \(0.2, 0.8\)"):
        RegionOverlapDisplay(np.zeros(3), np.zeros((3, 2)), quantiles=(0.2, 0.8))
    with pytest.raises(ValueError, match=r"overlaps must have shape .* \(3, 3\), got \(3, 2\)"):
        RegionOverlapDisplay(np.zeros(3), np.zeros((3, 2)))


@pytest.mark.usefixtures("without_matplotlib")
@pytest.mark.parametrize("cls", DISPLAYS)
def test_without_matplotlib(cls, defective, maps):
    with pytest.raises(ImportError, match=r'matplotlib. Run pip install "\.\[plot\]"'):
        cls.from_predictions(defective[1], maps)
