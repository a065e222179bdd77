import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sk_ssimae.cli import _webhook
from sk_ssimae.cli._webhook import Webhook

VERDICT = {"file": "/camera/ä.png", "name": "ä", "verdict": "NG", "score": 0.5}


class Receiver:
    """A server that records posted texts and answers with the next of some statuses."""

    def __init__(self):
        self.posted, self.statuses = [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                assert self.headers["Content-Type"] == "application/json"
                receiver.posted.append((self.path, json.loads(self.rfile.read(length))))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/verdicts?line=1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_webhook, "_PAUSE", 0.0)
    monkeypatch.setattr(_webhook, "TIMEOUT", 0.2)


def test_verdicts_are_posted_as_json(receiver, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    told = []
    Webhook(receiver.url, told.append, told.append).post(VERDICT)
    assert receiver.posted == [("/verdicts?line=1", VERDICT)]
    assert told == []


def test_failures_are_told_and_tried_again(receiver):
    told = []
    hook = Webhook(receiver.url, told.append, told.append)
    receiver.statuses = [500, 302]
    hook.post(VERDICT)
    assert (len(receiver.posted), told) == (3, [])

    receiver.statuses = [500] * 4
    hook.post(VERDICT)
    hook.post(VERDICT)
    # Once, until one is accepted.
    assert len(receiver.posted) == 3 + 3 + 1
    assert told == [
        f"--webhook: 'ä' was not accepted by {receiver.url!r}, tried {times} (it answered with "
        "status 500). Its results are in the output folder."
        for times in ("3 times", "once")
    ]
    hook.post(VERDICT)
    assert told[2:] == ["--webhook: verdicts are accepted again, 2 were not."]
    receiver.statuses = [500]
    hook.post(VERDICT)
    assert (len(receiver.posted), len(told)) == (10, 3)


def test_a_receiver_that_is_gone_or_hangs_does_not_stop_anything():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for reason in ("Connection refused", "timed out"):
            told = []
            Webhook(url, told.append, told.append).post(VERDICT)
            assert len(told) == 1
            assert f"tried 3 times ({reason}" in told[0]
            listener.listen()  # Connects, but never answers.


def test_an_answer_byte_by_byte_does_not_delay_the_next_image():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(3):
                connection, _ = listener.accept()
                with contextlib.suppress(OSError):  # The webhook ends the connection.
                    for byte in b"HTTP/1.1 204 No Content\r\n\r\n":
                        connection.sendall(bytes([byte]))
                        time.sleep(0.1)
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        told = []
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        Webhook(url, told.append, told.append).post(VERDICT)
        thread.join()
    assert len(told) == 1
    assert "tried 3 times (timed out)" in told[0]


def test_a_receiver_that_speaks_no_http_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(3):
                connection, _ = listener.accept()
                connection.recv(10_000)
                connection.sendall(b"no http\r\n")
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        told = []
        Webhook(f"http://localhost:{listener.getsockname()[1]}", told.append, told.append).post(
            VERDICT
        )
        thread.join()
    assert len(told) == 1
    assert "(no http)" in told[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.5/",
        "http://0.0.0.0:80/",
        "http://example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://2130706433/",
    ],
)
def test_other_machines_are_refused(url):
    with pytest.raises(ValueError, match=r"must be an address of this machine, .* send them on\."):
        Webhook(url, print, print)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "127.0.0.1:80", "http://", "http://a@127.0.0.1/", "http://[::1"]
)
def test_invalid_addresses_are_refused(url):
    with pytest.raises(ValueError, match=r"must be an address such as http://127\.0\.0\.1:9000/"):
        Webhook(url, print, print)


def test_spaces_are_refused():
    with pytest.raises(ValueError, match="must contain neither spaces nor special characters"):
        Webhook("http://127.0.0.1/a b", print, print)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "localhost", "LOCALHOST"])
def test_this_machine_is_accepted(host):
    Webhook(f"http://{host}:9000/x", print, print)
