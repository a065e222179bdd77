import functools

import numpy as np
import pytest

from sk_ssimae.datasets import make_checkerboards, make_nanofibres, make_woven_fabric

GENERATORS = [
    make_checkerboards,
    make_nanofibres,
    make_woven_fabric,
    functools.partial(make_woven_fabric, weave="plain"),
    functools.partial(make_woven_fabric, weave="satin"),
]


@pytest.mark.parametrize("make", GENERATORS)
@pytest.mark.parametrize("shape", [(64, 64), (40, 90)])
def test_images_are_seeded_and_in_range(make, shape):
    images = make(3, shape=shape, random_state=1)
    assert images.shape == (3, *shape)
    assert images.dtype == np.float32
    assert 0 <= images.min() < 0.4 < 0.6 < images.max() <= 1
    np.testing.assert_array_equal(make(3, shape=shape, random_state=1), images)
    assert not np.array_equal(make(3, shape=shape, random_state=2), images)
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("make", GENERATORS)
def test_tiny_shapes(make):
    for shape in [(1, 1), (1, 30), (30, 2)]:
        assert make(1, shape=shape, random_state=0).shape == (1, *shape)


def spectrum(image):
    power = np.abs(np.fft.rfft2(image - image.mean())) ** 2
    return power / power.sum()


def test_threads_repeat_at_their_spacing():
    regular = make_woven_fabric(1, shape=(96, 96), weave="plain", irregularity=0, random_state=0)[0]
    power = spectrum(regular)
    rows, columns = np.nonzero(power > 0.01)
    # 12 threads on 96 pixels: all peaks lie at multiples of half that frequency.
    assert (rows % 6 == 0).all()
    assert (columns % 6 == 0).all()


def test_irregularity_breaks_the_repeats():
    sharpest = [
        spectrum(make_woven_fabric(1, irregularity=i, random_state=0)[0]).max() for i in (0, 1, 3)
    ]
    assert sharpest[0] > sharpest[1] > sharpest[2]


@pytest.mark.parametrize("size", [6, 15, 16.5])
def test_squares_have_their_size(size):
    boards = make_checkerboards(30, shape=(200, 200), square_size=(size, size), random_state=0)
    for board in boards:
        rows, columns = np.fft.fftfreq(200)[:, None], np.fft.rfftfreq(200)
        power = spectrum(board)
        strongest = np.unravel_index(power.argmax(), power.shape)
        # Squares repeat along the diagonals at size / sqrt(2).
        frequency = np.hypot(rows[strongest[0], 0], columns[strongest[1]])
        assert frequency == pytest.approx(1 / (np.sqrt(2) * size), abs=0.005)


def test_boards_are_half_dark_and_half_bright():
    boards = make_checkerboards(20, square_size=(2, 24), random_state=0)
    for board in boards:
        assert board.min() <= 0.3
        assert board.max() >= 0.7
        middle = (board.min() + board.max()) / 2
        assert (board > middle).mean() == pytest.approx(0.5, abs=0.06)
    # Anti-aliasing: intermediate values lie on the edges only.
    board = make_checkerboards(1, square_size=(20, 20), random_state=0)[0]
    is_edge = (board > board.min() + 0.01) & (board < board.max() - 0.01)
    assert 0.02 < is_edge.mean() < 0.2


def test_dense_and_thin_nanofibres():
    levels = [
        make_nanofibres(4, shape=(128, 128), density=density, random_state=0).mean()
        for density in (0.2, 1, 3)
    ]
    assert levels[0] < levels[1] < levels[2]
    edges = [
        np.abs(np.diff(make_nanofibres(4, fibre_diameter=d, random_state=0), axis=1)).mean()
        for d in (4, 8, 16)
    ]
    assert edges[0] > edges[1] > edges[2]


def test_nanofibres_run_in_all_directions():
    rows, columns = np.gradient(make_nanofibres(6, random_state=0), axis=(1, 2))
    angle = np.arctan2(rows, columns) % np.pi
    counts, _ = np.histogram(angle, bins=6, range=(0, np.pi), weights=np.hypot(rows, columns))
    assert counts.max() < 2 * counts.min()


@pytest.mark.parametrize("make", [make_checkerboards, make_nanofibres, make_woven_fabric])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        ({"n_samples": 2.5}, r"n_samples must be an integer of at least 1, got 2\.5"),
        ({"shape": 5}, r"shape must be \(height, width\)"),
        ({"shape": (0, 5)}, r"shape must be \(height, width\)"),
        ({"random_state": "zero"}, "random_state must be a non-negative integer.* got 'zero'"),
    ],
)
def test_wrong_number_shape_and_seed(make, params, message):
    with pytest.raises(ValueError, match=message):
        make(**params)


@pytest.mark.parametrize(
    ("make", "params", "message"),
    [
        (
            make_woven_fabric,
            {"weave": "denim"},
            r"weave must be one of \['plain', 'satin', 'twill'\], got 'denim'",
        ),
        (
            make_woven_fabric,
            {"thread_spacing": 2},
            "thread_spacing must be a finite number from 3 to 10000, got 2",
        ),
        (
            make_woven_fabric,
            {"irregularity": -1},
            "irregularity must be a finite number from 0 to 10, got -1",
        ),
        (make_checkerboards, {"square_size": 8}, r"square_size must be \(least, largest\).* got 8"),
        (
            make_checkerboards,
            {"square_size": (1, 8)},
            r"2 <= least <= largest <= 10000, got \(1, 8\)",
        ),
        (
            make_checkerboards,
            {"square_size": (9, 8)},
            r"2 <= least <= largest <= 10000, got \(9, 8\)",
        ),
        (
            make_nanofibres,
            {"fibre_diameter": 1},
            "fibre_diameter must be a finite number from 2 to 1000, got 1",
        ),
        (make_nanofibres, {"fibre_diameter": "8"}, "fibre_diameter must be .* got '8'"),
        (make_nanofibres, {"shape": (64.0, 64)}, r"both integers of at least 1, got \(64.0, 64\)"),
        (make_checkerboards, {"square_size": ("a", 8)}, r"square_size must be .* got \('a', 8\)"),
        (make_woven_fabric, {"thread_spacing": float("nan")}, "thread_spacing must be .*, got nan"),
        (make_woven_fabric, {"irregularity": 1e300}, r"irregularity must be .*, got 1e\+300"),
        (make_woven_fabric, {"weave": ["plain"]}, r"weave must be one of .* got \['plain'\]"),
        (make_woven_fabric, {"shape": [[4], [4, 4]]}, r"shape must be .*, got \[\[4\], \[4, 4\]\]"),
        (make_nanofibres, {"fibre_diameter": 1e9}, r"fibre_diameter must be .*, got 1000000000.0"),
        (make_checkerboards, {"square_size": (2, 1.7e308)}, r"square_size must be .*e\+308\)"),
        (make_nanofibres, {"n_samples": True}, "n_samples must be an integer .* got True"),
        (make_nanofibres, {"shape": (True, 5)}, r"shape must be .* got \(True, 5\)"),
        (make_nanofibres, {"density": 0}, "density must be above 0 and at most 5, got 0"),
        (make_nanofibres, {"density": 6}, "density must be above 0 and at most 5, got 6"),
    ],
)
def test_wrong_parameters(make, params, message):
    with pytest.raises(ValueError, match=message):
        make(**params)
