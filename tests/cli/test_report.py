import base64
import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from sk_ssimae._inference._decision import Levels, mark
from sk_ssimae.cli import _report
from sk_ssimae.cli._candidates import find_candidates
from sk_ssimae.cli._page import digest
from sk_ssimae.cli._runs import runs_of_mask

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Page(HTMLParser):
    """Overview and data blocks of a page, its tags, and the URLs that it loads."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.scripts, self.text = [], [], {}, ""
        self._script = None
        self.feed(text)
        self.overview = json.loads(self.scripts["overview"])

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.loaded += [values[name] for name in ("src", "href", "srcset") if name in values]
        self._script = values.get("id") if tag == "script" else None

    def handle_endtag(self, tag):
        self._script = None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        self.text += data

    def data(self, index):
        return json.loads(self.scripts[f"data-{index}"])


def decode_runs(runs, shape):
    mask = np.zeros(np.prod(shape), dtype=bool)
    ends = np.cumsum(runs).reshape(-1, 2)
    for start, end in ends:
        mask[start:end] = True
    return mask.reshape(shape)


@pytest.fixture(scope="module")
def report(run, model, folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    bad = root / "=<script>&.png"
    bad.write_bytes(b"no image")
    output = root / "report.html"
    given = ["report", model, folders.defective, bad, "-o", output, "--masks", folders.masks]
    given += ["--good", folders.good]
    stopped = run(*given)
    assert stopped.exit_code == 1
    assert "cannot be read as an image" in stopped.stderr
    assert not output.exists()
    result = run(*given, "--on-error=skip")
    assert result.exit_code == 3
    assert "8 images, " in result.stdout
    return output


@pytest.fixture(scope="module")
def page(report):
    return Page(report.read_text("utf-8"))


def test_masks_at_the_levels_are_those_of_predict(page, segmenter, folders):
    images = sorted(folders.defective.iterdir())
    shown = {image["file"]: (i, image) for i, image in enumerate(page.overview["images"])}
    scores = segmenter.score_images(images)
    for path, score in zip(images, scores, strict=True):
        index, image = shown[str(path)]
        assert image["score"] == score
        peaks = [peak for peak, *_ in image["regions"]]
        assert peaks == sorted(peaks, reverse=True)
        runs = page.data(index)["runs"]
        residual_map = segmenter.decision_function([path])[0]
        opened = segmenter._open(residual_map)
        levels = segmenter._with_radius(segmenter._levels(), residual_map.shape)
        for level in (segmenter.threshold_, levels.extent_threshold, np.median(peaks), score):
            # As after set_params(threshold=level), with the extent of the calibration.
            expected = mark(opened, levels._replace(threshold=float(level)))
            marked = [r for r, peak in zip(runs, peaks, strict=True) if peak > level]
            found = sum((decode_runs(r, image["shape"]) for r in marked), np.zeros_like(expected))
            np.testing.assert_array_equal(found, expected)
            assert expected.any() == (score > level)
            areas = [area for peak, area, *_ in image["regions"] if peak > level]
            assert sum(areas) == expected.sum()
        own = [r for r, peak in zip(runs, peaks, strict=True) if peak > segmenter.threshold_]
        found = sum((decode_runs(r, image["shape"]) for r in own), np.zeros_like(expected))
        np.testing.assert_array_equal(found, segmenter.predict([path])[0])
    assert page.overview["threshold"] == segmenter.threshold_
    assert page.overview["extent"] == segmenter.extent_threshold_


def test_truth_is_that_of_the_masks(page, folders, defective):
    for index, image in enumerate(page.overview["images"]):
        if image["error"]:
            assert image["truth"] is None
        elif str(folders.good) in image["file"]:
            assert image["truth"] is False
        else:
            assert image["truth"] is True
            mask = defective[1][int(image["name"].removeprefix("defective_"))]
            found = decode_runs(page.data(index)["truth"], image["shape"])
            np.testing.assert_array_equal(found, mask)


def test_the_page_loads_nothing_and_trusts_no_name(report, page, segmenter):
    text = report.read_text("utf-8")
    assert set(page.loaded) == {"#images"}
    assert "default-src 'none'" in text
    assert "unsafe" not in text
    assert "//" not in re.sub(r"base64,[\w+/=]+|// [A-Za-z].*", "", text)
    # The template's scripts, and the data of seven images: nothing from the name of the eighth.
    assert page.tags.count("script") == 2 + 7
    assert segmenter.calibration_.promise() in page.text
    first = page.overview["images"][0]
    assert first["file"].endswith("=<script>&.png")
    assert first["error"]
    order = [image["score"] for image in page.overview["images"][1:]]
    assert order == sorted(order, reverse=True)


def open_in_browser(path, *, fragment="", script="", height=3000):
    """Return the document after scripts, and the messages of the console."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"pip installs no browser, and none of {', '.join(BROWSERS)} was found")
    if script:
        text = path.read_text("utf-8").replace("</body>", f"<script>{script}</script></body>")
        text = text.replace("script-src ", f"script-src '{digest(script)}' ")
        path = path.with_name("driven.html")
        path.write_text(text, "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    done = subprocess.run(
        [
            *(browser, *flags, "--disable-background-networking", "--no-first-run"),
            *(f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=3000"),
            *(f"--window-size=1200,{height}", "--dump-dom", path.as_uri() + fragment),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # The console reports violations of the page's security policy here.
    assert "Content Security Policy" not in done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def drive(path, body, **options):
    """Run the body of a function in the page and return its result."""
    # After rows have come into view, which takes a frame: frames come by the clock, timers of the
    # page by virtual time, which runs ahead of it on a busy machine. So each wait has work to do.
    script = f"""
    const run = () => {{
      const result = document.createElement("pre");
      result.id = "result";
      let value;
      try {{ value = (() => {{ {body} }})(); }} catch (error) {{ value = String(error); }}
      result.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(value))));
      document.body.append(result);
    }};
    let turns = 0;
    const wait = () => {{
      if (visible.size || ++turns > 2000) return run();
      for (let i = 0; i < 1e6; i++) Math.sqrt(i);
      setTimeout(wait, 1);
    }};
    wait();"""
    document = open_in_browser(path, script=script, **options)
    return json.loads(base64.b64decode(re.search(r'<pre id="result">(.*?)</pre>', document)[1]))


def test_browser_masks_are_those_of_predict(report, page, segmenter, folders):
    found = drive(
        report,
        """
        const masks = images.filter(image => !image.error).map(image =>
          [image.file, Array.from(markedMask(image, loadData(image), image.shape))]);
        return { masks, status: document.getElementById("status").textContent };
        """,
    )
    n_marked = 0
    for file, mask in found["masks"]:
        expected = segmenter.predict([file])[0]
        n_marked += expected.any()
        np.testing.assert_array_equal(np.reshape(mask, expected.shape), expected)
    assert found["status"].startswith(f"8 images: {n_marked} NG, {7 - n_marked} OK, 1 failed")


def test_the_slider_moves_verdicts_counts_and_masks(report, page):
    scores = [image["score"] for image in page.overview["images"] if image["score"]]
    median = float(np.median(scores))
    found = drive(
        report,
        f"const levels = [0, {median!r}, {max(scores)!r}];"
        """
        const state = () => ({
          level,
          ng: images.filter(isNg).length,
          shown: rows.filter(row => row.querySelector(".verdict").textContent === "NG").length,
          status: document.getElementById("status").textContent,
          said: slider.getAttribute("aria-valuetext"),
          marked: images.map(image => image.error ? 0 : markedArea(image)),
          tables: document.querySelectorAll("li table").length,
        });
        const before = state(), states = [];
        for (const value of levels) {
          setLevel(value);
          states.push(state());
        }
        document.getElementById("reset").click();
        return { before, states, after: state() };
        """,
    )
    assert found["before"] == found["after"]
    assert found["before"]["level"] == page.overview["threshold"]
    assert [state["level"] for state in found["states"]] == [
        page.overview["extent"],  # Not lower.
        median,
        max(scores),
    ]
    areas = [sum(state["marked"]) for state in found["states"]]
    assert areas[0] > areas[1] > areas[2] == 0
    for state in found["states"]:
        n_above = sum(score > state["level"] for score in scores)
        assert state["ng"] == state["shown"] == state["tables"] == n_above
        assert f"8 images: {n_above} NG" in state["status"]
        assert float(state["said"]) == pytest.approx(state["level"], rel=1e-3)


def test_marks_are_downloaded_as_csv(report):
    text, n_blobs, size, pressed = drive(
        report,
        """
        images[1].name = "=1+1";
        const press = (index, mark) => rows[index].querySelector(`[data-mark="${mark}"]`).click();
        setLevel((images[1].score + images[2].score) / 2);
        press(2, "missed");
        press(1, "false alarm");
        press(3, "missed");
        press(3, "missed");  // Taken back.
        const blobs = [];
        URL.createObjectURL = blob => { blobs.push(blob); return "#"; };
        document.getElementById("download").click();
        return [asCsv(), blobs.length, blobs[0].size, rows.map(row =>
          row.querySelectorAll("[aria-pressed=true]").length)];
        """,
    )
    assert (n_blobs, size) == (1, len(text.encode()))
    assert pressed == [0, 1, 1, 0, 0, 0, 0, 0]
    header, first, second = csv.reader(io.StringIO(text))
    assert header == ["file", "name", "mark", "verdict", "score", "level"]
    assert first[1:4] == ["'=1+1", "false alarm", "NG"]
    assert second[2:4] == ["missed", "OK"]
    assert float(second[4]) < float(second[5]) == float(first[5]) < float(first[4])


def test_the_address_sets_order_filter_and_level(report, page):
    document = open_in_browser(report, fragment="#sort=name&show=ng&ascending=1&level=1e9")
    shown = re.findall(r"<li data-index=\"\d+\"([^>]*)>.*?<h2>(.*?)</h2>", document, re.DOTALL)
    names = [name for _, name in shown]
    assert len(names) == 8
    assert names == sorted(names, key=str.casefold)
    # The image that failed is always shown.
    assert ["script" in name for attributes, name in shown if "hidden" not in attributes] == [True]
    assert "--threshold 1000000000" in document


def test_images_are_enlarged_and_reached_by_keyboard(report):
    found = drive(
        report,
        """
        const row = rows[1];
        row.querySelector(".coloured").click();
        const dialog = document.getElementById("enlarged");
        const name = () => document.getElementById("enlarged-name").textContent;
        const first = [dialog.open, name(), dialog.querySelectorAll("img").length];
        dialog.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
        const second = [dialog.open, name(), dialog.querySelectorAll("img").length];
        document.getElementById("close").click();
        const focusable = Array.from(document.querySelectorAll("button, input, select, summary"))
          .filter(element => !element.closest("dialog"));
        const unnamed = focusable.filter(element => !(element.textContent.trim()
          || element.getAttribute("aria-label") || element.closest("label"))).length;
        const tabbed = focusable.filter(element => element.tabIndex === 0).length;
        return { first, second, isOpen: dialog.open, names: images.map(image => image.name),
          unnamed, all: focusable.length, tabbed };
        """,
    )
    assert found["first"] == [True, found["names"][1], 2]
    assert found["second"] == [True, found["names"][2], 2]
    assert not found["isOpen"]
    assert found["unnamed"] == 0
    assert found["all"] == found["tabbed"] > 4 * 7


def test_pictures_exist_only_near_the_screen(report):
    n_visible, with_pictures = drive(
        report,
        """
        return [visible.size, rows.map(row => row.querySelectorAll("img, canvas").length)];
        """,
        height=600,
    )
    assert 0 < n_visible < 7
    assert sum(n > 0 for n in with_pictures) == n_visible


def test_candidates_are_the_regions_at_any_level():
    rng = np.random.default_rng(0)
    opened = rng.random((30, 40)).astype(np.float32)
    for radius in (0, 2):
        levels = Levels(0.9, 0.6, radius)
        candidates = find_candidates(opened, levels)
        for level in (0.6, 0.8, 0.99):
            marked = [decode_runs(c.runs, (30, 40)) for c in candidates if c.peak > level]
            expected = mark(opened, levels._replace(threshold=level))
            np.testing.assert_array_equal(np.logical_or.reduce(marked), expected)
        for candidate in candidates:
            mask = decode_runs(candidate.runs, (30, 40))
            assert candidate.area == mask.sum()
            assert candidate.peak == opened[mask].max() == opened[candidate.row, candidate.column]
    assert find_candidates(opened, Levels(3.0, 2.0)) == []


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_runs_restore_masks(share):
    mask = np.random.default_rng(0).random((7, 9)) < share
    np.testing.assert_array_equal(decode_runs(runs_of_mask(mask), (7, 9)), mask)


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


def test_masks_that_do_not_suit_are_named(run, model, folders, tmp_path, write):
    output = tmp_path / "report.html"
    given = ["report", model, folders.defective, "-o", output, "--masks"]
    write(tmp_path / "other" / "unknown_mask.png", np.eye(40, 56))
    result = run(*given, tmp_path / "other")
    assert "has the name of an image, such as '0_mask.png' or '0.png'" in result.stderr
    write(tmp_path / "small" / "0.png", np.eye(9))
    result = run(*given, tmp_path / "small")
    assert "must have the height and width of its image, (40, 56), got (9, 9)" in result.stderr
    write(tmp_path / "twice" / "0.png", np.eye(40, 56))
    write(tmp_path / "twice" / "0_mask.png", np.eye(40, 56))
    result = run(*given, tmp_path / "twice")
    assert "'0.png', '0_mask.png' have the same name" in result.stderr
    result = run(*given, tmp_path / "nowhere")
    assert "--masks: the folder" in result.stderr
    assert not output.exists()


def test_too_large_images_are_named(run, model, folders, tmp_path, monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(_report, "draw", fail)
    given = ["report", model, folders.defective, "-o", tmp_path / "r.html", "--on-error=skip"]
    result = run(*given)
    assert result.exit_code == 3
    assert "0.png' is too large for the memory here (MemoryError)." in result.stderr
