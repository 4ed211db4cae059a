"""Weights of the Hugging Face hub, and what is said where it cannot be reached."""

import hashlib
import http.server
import socket
import threading
import time

import pytest
from checkpoints import assert_same, checkpoint, prepare, pretrained, refusal, without_classifier
from tokengeometry.model import weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def hub_at(monkeypatch, tmp_path):
    """Point the hub's client at an address, with an empty cache."""

    def point(address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    return point


def assert_says_what_to_fetch(message):
    assert "fetch model.safetensors of the Hugging Face hub repository timm/test_vit.r160_in1k by hand" in message
    assert "weights: {source: file, path: <that file>}" in message


def test_without_a_route_the_hub_fails_in_seconds_and_says_what_to_fetch(tmp_path, hub_at):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hub_at(f"http://127.0.0.1:{unused.getsockname()[1]}")
        start = time.monotonic()
        assert_says_what_to_fetch(refusal(tmp_path, {"source": "timm"}))
    assert time.monotonic() - start < 20  # its own retries take the better part of a minute


def test_a_hub_that_never_answers_is_given_up(tmp_path, hub_at, monkeypatch):
    monkeypatch.setattr(weights, "HUB_CONNECT_SECONDS", 120)
    monkeypatch.setattr(weights, "HUB_ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub_at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        message = refusal(tmp_path, {"source": "timm"})
        assert_says_what_to_fetch(message)
        assert "no answer in 0.5 s" in message
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_come_from_the_hub_and_then_from_its_cache(tmp_path, hub_at, file):
    state = pretrained().state_dict()
    content = checkpoint(tmp_path, state, file).read_bytes()
    requests = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append(self.path)
            found = self.path == f"/timm/test_vit.r160_in1k/resolve/main/{file}"
            self.send_response(200 if found else 404)
            self.send_header("X-Repo-Commit", "1" * 40)
            if found:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Content-Length", str(len(content)))
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
            self.end_headers()
            return found

        def do_GET(self):
            if self.do_HEAD():
                self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub_at(f"http://127.0.0.1:{server.server_address[1]}")
        model, written = prepare(tmp_path, {"source": "timm"})
        server.shutdown()
    assert_same(written, without_classifier(state))
    assert model["source"] == {
        "source": "timm",
        "repository": "timm/test_vit.r160_in1k",
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert requests
    _, again = prepare(tmp_path, {"source": "timm"})
    assert_same(again, written)


def test_an_architecture_without_pretrained_weights_is_named(tmp_path):
    message = refusal(tmp_path, {"source": "timm"}, architecture="vit_small_patch16_36x1_224")
    assert "timm has no pretrained weights for 'vit_small_patch16_36x1_224'" in message
