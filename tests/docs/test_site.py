"""The built documentation: all links lead somewhere, and nothing is cut off or needs a network."""

import functools
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

SITE = (Path(__file__).parents[2] / "docs" / "_build" / "html").resolve()
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (400, 1280)  # of a telephone and of a small laptop

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file(), reason="make docs builds the site that is tested here"
)


class Page(HTMLParser):
    """Anchors of a page, the pages that it links to, and the files that it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.anchors.add(values.get("id"))
        if tag == "a":
            self.links.add(values.get("href"))
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.add(values.get("href"))
        elif tag in ("img", "script", "iframe", "source"):
            self.loaded.add(values.get("src"))


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    paths = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)
    return {path: Page(path.read_text("utf-8")) for path in paths}


def test_no_file_comes_from_a_network(pages):
    remote = {
        (path.name, url)
        for path, page in pages.items()
        for url in page.loaded - {None}
        if urlsplit(url).scheme not in ("", "data") or urlsplit(url).netloc
    }
    assert not remote


def test_links_to_pages_and_anchors_of_the_site_lead_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in (page.links | page.loaded) - {None}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors):
                broken.append((str(path.relative_to(SITE)), link))
    assert not broken


def test_formulas_are_mathml():
    method = (SITE / "method.html").read_text("utf-8")
    assert method.count('display="block"') >= 8
    for path in SITE.rglob("*.html"):
        text = re.sub(r"(?s)<pre>.*?</pre>", "", path.read_text("utf-8"))
        assert not re.findall(r"\\(?:frac|mathrm|sum|hat|lVert)\b", text), path


class Server(ThreadingHTTPServer):
    """Serve the site and a script that measures it, until the script posts its results."""

    def __init__(self, script: str) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
        self.page = f"<!doctype html><meta charset=utf-8><body><script>{script}</script>".encode()
        self.results: Any = None
        self.is_done = threading.Event()


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path != "/measure":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.page)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.results = json.loads(self.rfile.read(length))
        self.send_response(204)
        self.end_headers()
        self.server.is_done.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def run_in_browser(tmp_path) -> Iterator[Any]:
    """Return a function that runs a script on the served site and returns its results."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"pip installs no browser, and none of {', '.join(BROWSERS)} was found")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"]

    def run(script: str) -> Any:
        with Server(script) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            url = f"http://127.0.0.1:{server.server_port}/measure"
            with subprocess.Popen(
                [browser, *flags, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                is_done = server.is_done.wait(timeout=240)
                process.terminate()
            server.shutdown()
        assert is_done, "the script posted no results"
        return server.results

    return run


def test_nothing_is_wider_than_its_box_on_telephone_and_laptop(pages, run_in_browser):
    names = json.dumps([str(path.relative_to(SITE)) for path in pages])
    script = (Path(__file__).parent / "measure.js").read_text()
    results = run_in_browser(f"const PAGES = {names}, WIDTHS = {[*WIDTHS]};\n{script}")
    assert len(results) == len(pages) * len(WIDTHS)
    cut_off = [result for result in results if result["excess"] > 0 or result["boxes"]]
    assert not cut_off, "\n".join(map(str, cut_off))


SEARCH = """
const frame = document.createElement("iframe");
frame.src = "search.html?q=threshold";
document.body.append(frame);
const started = Date.now();
const post = () => {
  const links = [...frame.contentDocument.querySelectorAll("#search-results li a")];
  const found = links.map((link) => new URL(link.href).pathname);
  // Results appear one by one, as the summaries of their pages are read: the first is enough.
  if (!found.length && Date.now() - started < 60000) return setTimeout(post, 200);
  return fetch("/results", { method: "POST", body: JSON.stringify(found) });
};
frame.onload = post;
"""


def test_search_works_without_a_network(run_in_browser):
    found = run_in_browser(SEARCH)
    assert found
    assert all("threshold" in (SITE / path.lstrip("/")).read_text("utf-8") for path in found)
