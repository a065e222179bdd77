import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from PIL import Image

from sk_ssimae._intensity import IntensityRange
from sk_ssimae._pixels import Conversion
from sk_ssimae.cli import _pictures, _report
from sk_ssimae.cli._pictures import ColourScale, draw


class Page(HTMLParser):
    """Rows and text of a page, and the URLs that it loads."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.text = [], [], ""
        self.loaded = re.findall(r"url\(([^)]*)\)", text)
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.loaded += [values[name] for name in ("src", "href", "srcset") if name in values]
        if "data-name" in values:
            self.rows.append(values)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def report(run, model, folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    (root / "<b>&.png").write_bytes(b"no image")
    output = root / "report.html"
    given = ["report", model, folders.defective, root / "<b>&.png", "-o", output]
    stopped = run(*given)
    assert stopped.exit_code == 1
    assert "cannot be read as an image" in stopped.stderr
    assert not output.exists()
    result = run(*given, "--on-error=skip")
    assert result.exit_code == 3
    assert "5 images, " in result.stdout
    return output


def test_report_shows_each_image(report, segmenter, folders):
    page = Page(report.read_text("utf-8"))
    images = sorted(folders.defective.iterdir())
    scores = segmenter.score_images(images)
    shown = {row["data-name"]: row for row in page.rows}
    for image, score, mask in zip(images, scores, segmenter.predict(images), strict=True):
        row = shown[image.stem]
        assert float(row["data-score"]) == pytest.approx(score, rel=1e-6)
        assert row["data-defective"] == str(int(mask.any()))
        assert str(image) in page.text
    order = [float(row["data-score"] or "-inf") for row in page.rows]
    assert order == sorted(order, reverse=True)
    assert f"{segmenter.threshold_:.4g}" in page.text
    # Text, not markup: file names are not trusted.
    assert segmenter.calibration_.promise() in page.text
    assert shown["<b>&"]["class"] == "bad"
    assert page.tags.count("b") == 2 * len(images) + 3


def test_report_loads_nothing(report):
    text = report.read_text("utf-8")
    page = Page(text)
    assert len(page.loaded) == 3 * 4
    assert all(url.startswith("data:image/") for url in page.loaded)
    assert "default-src 'none'" in text
    assert "//" not in re.sub(r"base64,[\w+/=]+|// [A-Z].*", "", text)


def test_report_sorts_in_a_browser(report):
    browsers = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    if browser is None:
        # A browser is no Python package, so that the project cannot install one.
        pytest.skip(f"needs one of {', '.join(browsers)}")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    done = subprocess.run(
        [
            *(browser, *flags, "--disable-background-networking", "--no-first-run"),
            *(f"--user-data-dir={report.parent / 'profile'}", "--virtual-time-budget=2000"),
            *("--dump-dom", f"{report.as_uri()}#sort=name&order=desc&only=1"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    page = Page(done.stdout)
    assert [row["data-name"] for row in page.rows] == ["3", "2", "1", "0", "<b>&"]
    assert '<body class="only">' in done.stdout
    assert 'aria-sort="descending"><button data-key="name">' in done.stdout
    # The console reports violations of the page's security policy here.
    assert "Content Security Policy" not in done.stderr
    assert "CONSOLE" not in done.stderr


def decode(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2])))


def test_pictures_are_small_and_lose_no_defect(tmp_path, write):
    write(tmp_path / "x.png", np.full((100, 1000), 0.5))
    mask = np.zeros((100, 1000), dtype=bool)
    mask[50, 707] = True
    residual_map = np.where(mask, 0.9, 0.1).astype(np.float32)
    drawn = draw(tmp_path / "x.png", residual_map, mask, ColourScale(0, 1), Conversion())
    assert (drawn.width, drawn.height) == (_pictures.LONGEST_SIDE, 32)
    for url in drawn[2:]:
        assert decode(url).size == (320, 32)
    assert np.asarray(decode(drawn.image)).std() < 1
    for url in (drawn.residual_map, drawn.mask):
        opacity = np.asarray(decode(url).convert("RGBA"))[..., 3]
        row, column = np.unravel_index(opacity.argmax(), opacity.shape)
        assert (row, column) == (50 * 32 // 100, 707 * 320 // 1000)
        assert opacity.max() > 200
    assert (np.asarray(decode(drawn.mask)) > 0).sum() == 1


def test_colours_depend_on_the_model(segmenter):
    colours = ColourScale.of(segmenter)
    assert colours.low == 0
    assert colours.high == pytest.approx(min(2 * segmenter.threshold_, 2))
    assert colours.position(np.array([-1, 0, 9])).tolist() == [0, 0, 1]
    assert colours.css().startswith("rgba(255, 245, 190, 0.000), ")


def test_images_are_shown_as_the_model_sees_them(tmp_path):
    ramp = np.linspace(0, 4095, 32 * 32).astype(np.uint16).reshape(32, 32)
    ramp[0, 0] = 65535  # A stuck pixel.
    camera = Conversion(IntensityRange(0, 4095))
    tifffile.imwrite(tmp_path / "x.tif", ramp)
    nothing = np.zeros((32, 32), np.float32)
    drawn = draw(tmp_path / "x.tif", nothing, nothing > 0, ColourScale(0, 1), camera)
    shown = np.asarray(decode(drawn.image))
    assert shown.mean() == pytest.approx(127, abs=5)
    # Black stays black.
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((32, 32), np.uint16))
    drawn = draw(tmp_path / "x.tif", nothing, nothing > 0, ColourScale(0, 1), camera)
    assert np.asarray(decode(drawn.image)).max() == 0


def test_reports_replace_only_reports(run, model, folders, report, tmp_path):
    image = tmp_path / "a" / "0.png"
    image.parent.mkdir()
    image.write_bytes((folders.defective / "0.png").read_bytes())
    notes, earlier = tmp_path / "notes.html", tmp_path / "earlier.html"
    notes.write_text("<p>Mine")
    earlier.write_bytes(report.read_bytes())
    for output, message in [
        (model, "is an input"),
        (image, "is an input"),
        (notes, "does not beg"),
    ]:
        before = output.read_bytes()
        result = run("report", model, image.parent, "-o", output)
        assert result.exit_code == 1
        assert message in result.stderr
        assert output.read_bytes() == before
    assert run("report", model, image.parent, "-o", earlier).exit_code == 0
    assert earlier.read_bytes() != report.read_bytes()


def test_too_large_images_are_named(run, model, folders, tmp_path, monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(_report, "draw", fail)
    given = ["report", model, folders.defective, "-o", tmp_path / "r.html", "--on-error=skip"]
    result = run(*given)
    assert result.exit_code == 3
    assert "0.png' is too large for the memory here (MemoryError)." in result.stderr


def test_colour_images_stay_in_colour(tmp_path, write):
    picture = np.zeros((20, 30, 3))
    picture[..., 0] = 1
    write(tmp_path / "red.png", picture)
    nothing = np.zeros((20, 30), np.float32)
    drawn = draw(tmp_path / "red.png", nothing, nothing > 0, ColourScale(0, 1), Conversion())
    red, green, blue = np.asarray(decode(drawn.image)).reshape(-1, 3).mean(axis=0)
    assert red > 240
    assert max(green, blue) < 20
