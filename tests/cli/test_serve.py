import asyncio
import contextlib
import copy
import io
import json
import re
import signal
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from sk_ssimae.cli._roi import regions_of_any_image
from sk_ssimae.cli._terminal import Terminal

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")
httpx = pytest.importorskip("httpx", reason="the dependency group test is not installed")

from starlette.requests import Request  # noqa: E402

from sk_ssimae.cli.serve import _body, _drain, _inspector, _serve  # noqa: E402
from sk_ssimae.cli.serve._application import Application  # noqa: E402
from sk_ssimae.cli.serve._errors import RequestError  # noqa: E402
from sk_ssimae.cli.serve._inspector import Inspector  # noqa: E402

PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import torch
torch.set_num_threads(1)
from sk_ssimae.cli import main
main()
"""
MAX_BYTES = 50_000


@pytest.fixture(scope="module")
def level(segmenter, folders):
    """Between the scores of the images: some are OK, some are NG."""
    return sorted(segmenter.score_images(sorted(folders.defective.iterdir())))[1]


@pytest.fixture(scope="module")
def facts():
    return {
        "model": "<tiny>",
        "segmenter": "SSIMAutoencoderSegmenter",
        "threshold": 0.5,
        "promise": "It promises nothing.",
    }


@pytest.fixture
def make(segmenter, level, facts):
    """Make an application, with parameters of the segmenter."""
    made = []

    def make(queue=2, roi=None, allowed_hosts=(), **parameters):
        used = copy.copy(segmenter).set_params(threshold=float(level), **parameters)
        made.append(Inspector(used, regions_of_any_image(roi), queue))
        return Application(
            *(made[-1], facts, MAX_BYTES, Terminal(quiet=True)),
            host="line-1.example",
            allowed_hosts=allowed_hosts,
        )

    yield make
    for inspector in made:
        inspector.close()


@pytest.fixture
def application(make):
    return make()


def ask(application, *requests):
    """Send requests at the same time, each of a method, an address and options."""

    async def send():
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000"
        ) as client:
            return await asyncio.gather(
                *(client.request(method, url, **options) for method, url, options in requests)
            )

    answers = asyncio.run(send())
    return answers[0] if len(answers) == 1 else answers


def post(application, content, query="", **options):
    return ask(application, ("POST", f"/inspect{query}", {"content": content, **options}))


@pytest.fixture(scope="module")
def predicted(run, model, folders, level, tmp_path_factory):
    out = tmp_path_factory.mktemp("served") / "out"
    result = run("predict", model, folders.defective, "-o", out, f"--threshold={level}")
    assert result.exit_code == 0
    return out


def test_answers_are_those_of_predict(application, folders, predicted, level):
    coco = json.loads((predicted / "coco.json").read_text())
    verdicts = []
    for image in sorted(folders.defective.iterdir()):
        name, content = image.stem, image.read_bytes()
        answer = post(application, content)
        assert answer.status_code == 200
        found = answer.json()
        row = next(
            line.split('","')
            for line in (predicted / "scores.csv").read_text().splitlines()
            if f'"{name}"' in line
        )
        assert found["verdict"] == {"yes": "NG", "no": "OK"}[row[3]]
        assert f"{found['score']:.9g}" == row[2] == answer.headers["X-Score"]
        assert found["threshold"] == pytest.approx(level)
        assert (found["height"], found["width"]) == (40, 56)
        assert found["milliseconds"] > 0
        regions = json.loads((predicted / "regions" / f"{name}.json").read_text())["annotations"]
        assert len(found["regions"]) == len(regions)
        for served, written in zip(found["regions"], regions, strict=True):
            for key in ("label", "centroid_row", "area", "peak", "mean_residual", "distance"):
                assert served[key] == written[key]
            left, top, width, height = written["bbox"]
            assert (served["min_column"], served["min_row"]) == (left, top)
            assert (served["max_column"], served["max_row"]) == (left + width, top + height)
        mask, residual_map = (
            post(application, content, query) for query in ("?mask=png", "?map=tiff")
        )
        assert mask.headers["Content-Type"] == "image/png"
        assert mask.headers["X-Verdict"] == found["verdict"]
        assert mask.content == (predicted / "masks" / f"{name}.png").read_bytes()
        assert residual_map.headers["Content-Type"] == "image/tiff"
        assert residual_map.content == (predicted / "residual_maps" / f"{name}.tif").read_bytes()
        form = ask(application, ("POST", "/inspect", {"files": {"image": (image.name, content)}}))
        assert form.json()["score"] == found["score"]
        verdicts.append(found["verdict"])
    assert {*verdicts} == {"OK", "NG"}
    assert coco["images"]


def test_a_region_of_interest_holds_for_all_images(make, segmenter, folders):
    image = folders.defective / "0.png"
    inside = np.zeros((40, 56), dtype=bool)
    inside[5:30, :20] = True
    answer = post(make(roi="0,5,20,25"), image.read_bytes())
    assert answer.json()["score"] == pytest.approx(
        float(segmenter.score_images([image], roi=[inside])[0])
    )
    refused = post(make(roi="0,0,100,100"), image.read_bytes())
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("--roi: the rectangle of columns 0 to 99")


def refused(answer, status):
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()["error"]


def test_requests_without_an_image_are_refused(application):
    how = "Send the content of one image file as the body, or as a file of a multipart form."
    assert refused(post(application, b""), 400) == f"The request contains no image. {how}"
    two = [("image", ("a.png", b"a")), ("image", ("b.png", b"b"))]
    text = refused(ask(application, ("POST", "/inspect", {"files": two})), 400)
    assert text.startswith("The form cannot be read (Too many files.")
    only_text = {"files": {"note": (None, "text")}}
    text = refused(ask(application, ("POST", "/inspect", only_text)), 400)
    assert text.startswith("The request contains no image.")
    for kind in ("multipart/form-data", "Multipart/Form-Data; boundary=x"):
        text = refused(post(application, b"?", headers={"Content-Type": kind}), 400)
        assert text.startswith("The form cannot be read (")


@pytest.mark.parametrize("query", ["?map=png", "?mask=tiff", "?mask=png&map=tiff", "?other=1"])
def test_unknown_queries_are_refused(application, query):
    text = refused(post(application, b"x", query), 400)
    assert text.startswith("The query must be map=tiff, mask=png or empty, got ")


def test_unknown_addresses_and_methods_are_refused(application):
    for method, url, status in [("GET", "/none", 404), ("GET", "/inspect", 405)]:
        text = refused(ask(application, (method, url, {})), status)
        assert text.endswith("There are GET /, GET /health and POST /inspect.")


def test_files_that_are_no_images_are_refused(application, folders):
    whole = (folders.good / "0.png").read_bytes()
    for content in (b"no image", whole[: len(whole) // 2]):
        text = refused(post(application, content), 415)
        assert text.startswith("The image cannot be read as an image: ")
        assert "/tmp" not in text


def test_images_that_do_not_suit_the_model_are_refused(application, write, tmp_path):
    write(tmp_path / "colour.png", np.zeros((40, 56, 3)))
    text = refused(post(application, (tmp_path / "colour.png").read_bytes()), 422)
    assert text.startswith("The image must have 1 channel like the training images")


def test_too_many_bytes_are_refused(application):
    async def parts():
        for _ in range(1 + MAX_BYTES // 1000):
            yield bytes(1000)

    for content in (bytes(MAX_BYTES + 1), parts()):
        text = refused(post(application, content), 413)
        assert text.startswith(f"The request must have at most {MAX_BYTES} bytes.")
    refused(post(application, bytes(MAX_BYTES)), 415)


def test_too_many_pixels_are_refused(make, folders):
    application = make(max_image_pixels=40 * 56 - 1)
    text = refused(post(application, (folders.good / "0.png").read_bytes()), 413)
    assert text == (
        "The image has 2240 pixels, more than the 2239 of the model's max_image_pixels. Send a "
        "smaller image."
    )


def test_large_images_are_refused_before_they_are_decoded(application, monkeypatch):
    file = io.BytesIO()
    PIL.Image.new("1", (8, 8)).save(file, "png")
    content = bytearray(file.getvalue())
    content[16:24] = struct.pack(">II", 60_000, 60_000)  # Width and height in the header.
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", None)
    text = refused(post(application, bytes(content)), 413)
    assert text.startswith("The image has 3600000000 pixels, more than the 268435456 of the model")


def test_too_large_images_for_the_memory_are_refused(application, folders, monkeypatch):
    def fail(self, X, *, roi):
        raise MemoryError

    segmenter = application._inspector.segmenter
    monkeypatch.setattr(type(segmenter), "segment_images", fail)
    text = refused(post(application, (folders.good / "0.png").read_bytes()), 413)
    assert text.startswith("The image is too large for the memory here")


def test_a_slow_sender_is_refused(monkeypatch):
    async def receive():
        await asyncio.sleep(10)

    monkeypatch.setattr(_body, "_SECONDS", 0.01)
    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(RequestError, match="did not arrive within 0 s") as raised:
        asyncio.run(_body.read_image_content(request, 10))
    assert raised.value.status == 408


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:81", "[::1]:8000", "192.0.2.7"])
def test_addresses_and_localhost_are_answered(application, host):
    assert ask(application, ("GET", "/health", {"headers": {"Host": host}})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["site.example:8000", "127.0.0.1.site.example", "localhost.site.example", "", "[::", "@"],
)
def test_names_that_could_be_rebound_are_refused(application, host):
    for method, url in (("GET", "/"), ("GET", "/health"), ("POST", "/inspect"), ("GET", "/none")):
        text = refused(ask(application, (method, url, {"headers": {"Host": host}})), 403)
        assert text.startswith("The header Host must be an IP address, localhost or a name of")
        assert f"got {host!r} instead." in text


def test_own_names_are_answered(make):
    application = make(allowed_hosts=["Line-3.example"])
    for host in ("line-1.example", "line-3.example:8000"):
        assert ask(application, ("GET", "/health", {"headers": {"Host": host}})).status_code == 200


def test_pages_of_other_sites_are_refused(make, folders):
    application = make(allowed_hosts=["line-3.example"])
    content = (folders.good / "0.png").read_bytes()
    for origin in ("http://127.0.0.1:8000", "https://line-3.example"):
        assert post(application, content, headers={"Origin": origin}).status_code == 200
    sites = ["http://site.example", "null", "http://localhost:8000", "http://127.0.0.1:8001"]
    sites += [
        "http://127.0.0.1:8000.site.example",
        "file://127.0.0.1:8000",
        "http://line-1.example",
    ]
    for origin in sites:
        text = refused(post(application, content, headers={"Origin": origin}), 403)
        assert text.startswith(f"A page of {origin!r} must not send requests here.")


def test_allowed_hosts_are_names(run, model):
    for name in ("http://line-3.example", "line-3:8000", "*", "", "a..b"):
        result = run("serve", model, "--port=0", f"--allowed-host={name}")
        assert result.exit_code == 1
        assert "--allowed-host must be the name of a host, without" in result.stderr


def test_images_of_clients_that_have_gone_are_not_inspected(application, folders, monkeypatch):
    async def is_gone():
        return True

    inspector = application._inspector
    monkeypatch.setattr(inspector, "_inspect", None)
    with pytest.raises(RequestError, match="connection ended before the image was inspected"):
        asyncio.run(inspector.inspect((folders.good / "0.png").read_bytes(), is_gone))


def test_a_full_queue_is_told(make, folders, monkeypatch):
    waiting = threading.Event()

    def wait(*args):
        assert waiting.wait(30)
        return segment(*args)

    segment = _inspector.segment
    monkeypatch.setattr(_inspector, "segment", wait)
    application = make(queue=2)
    content = (folders.good / "0.png").read_bytes()
    requests = [("POST", "/inspect", {"content": content})] * 5
    threading.Timer(0.5, waiting.set).start()
    answers = ask(application, *requests)
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 2
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["error"].startswith("All places are taken: one image is")
    # All places are free again, also after errors.
    post(application, b"no image")
    assert ask(application, ("GET", "/health", {})).json()["requests"] == 0


def test_one_image_is_inspected_at_a_time(application, folders, monkeypatch):
    threads = set()

    def record(*args):
        threads.add(threading.get_ident())
        return segment(*args)

    segment = _inspector.segment
    monkeypatch.setattr(_inspector, "segment", record)
    content = (folders.good / "0.png").read_bytes()
    ask(application, *[("POST", "/inspect", {"content": content})] * 3)
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_health_and_page(application, facts):
    health = ask(application, ("GET", "/health", {})).json()
    assert health == {"status": "ok", "requests": 0, **facts}
    page = ask(application, ("GET", "/", {})).text
    assert page.startswith("<!DOCTYPE html>")
    assert "&lt;tiny&gt;" in page
    assert "<tiny>" not in page
    assert not re.search(r"(src|href)=\"(?!data:)[^\"]", page)
    assert not re.search(r"\$\w", re.sub(r"<script>.*</script>", "", page, flags=re.DOTALL))
    # Each control has a label, and each picture a text.
    for control in re.findall(r"<input [^>]*>", page):
        (name,) = re.findall(r'id="(\w+)"', control)
        assert f'for="{name}"' in page or re.search(rf"<label><input [^>]*id=\"{name}\"", page)


@contextlib.contextmanager
def serving(model, *options):
    """Serve in a process, and end it by Ctrl-C."""
    args = ["serve", model, "--port=0", "--device=cpu", *options]
    command = [sys.executable, "-c", PROGRAM, *map(str, args)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            line = process.stderr.readline()
            (url,) = re.findall(r"at (http://127\.0\.0\.1:\d+/) ", line)
            yield SimpleNamespace(url=url, process=process)
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert process.stderr.read() == "error: interrupted.\n"
    assert process.returncode == 130


def test_clients_of_a_process_get_all_answers(model, folders, predicted, level):
    images = {image.stem: image.read_bytes() for image in folders.defective.iterdir()}
    expected = {name: (predicted / "masks" / f"{name}.png").read_bytes() for name in images}

    def inspect(name):
        request = urllib.request.Request(f"{served.url}inspect?mask=png", images[name])
        with urllib.request.urlopen(request, timeout=60) as answer:
            return name, answer.read()

    with serving(model, f"--threshold={level}") as served:
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(inspect, sorted(images) * 5))
        with urllib.request.urlopen(f"{served.url}health", timeout=60) as answer:
            health = json.loads(answer.read())
        assert len(answers) == 5 * len(images)
        assert all(content == expected[name] for name, content in answers)
        assert (health["model"], health["threshold"]) == (model.name, pytest.approx(level))


def test_other_hosts_are_warned_about(run, model, monkeypatch):
    monkeypatch.setattr(_serve.uvicorn.Server, "run", lambda self, sockets: None)
    result = run("serve", model, "--port=0", "--host=0.0.0.0")
    assert result.exit_code == 0
    assert "warning: --host 0.0.0.0: anyone who reaches this machine can use" in result.stderr
    assert "warning" not in run("serve", model, "--port=0").stderr


def test_clients_that_send_everything_first_get_early_answers(model):
    with serving(model, "--max-bytes=100") as served:
        # The connection is closed after the answer.
        request = urllib.request.Request(f"{served.url}inspect", bytes(20_000_000))
        for headers, status in ({}, "413"), ({"Origin": "null"}, "403"):
            request.headers = headers
            with pytest.raises(urllib.error.HTTPError, match=status):
                urllib.request.urlopen(request, timeout=60)


def test_clients_that_never_end_get_early_answers(monkeypatch):
    sent = []

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 413})

    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"0", "more_body": True}

    async def send(message):
        sent.append(message["status"])

    monkeypatch.setattr(_drain, "_SECONDS", 0.01)
    asyncio.run(_drain.Drain(answer)({"type": "http"}, receive, send))
    assert sent == [413]


def test_a_used_port_is_named(run, model):
    with _serve._listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        result = run("serve", model, f"--port={port}")
    assert result.exit_code == 1
    assert (
        f"--host, --port: cannot listen on '127.0.0.1', port {port} (Address already in use"
        in result.stderr
    )


def test_a_missing_extra_is_named(run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run("serve", model)
    assert result.exit_code == 1
    assert "sk-ssimae serve needs starlette, uvicorn and python-multipart (" in result.stderr
    assert 'Run pip install ".[serve]" in a clone of the repository.' in result.stderr
