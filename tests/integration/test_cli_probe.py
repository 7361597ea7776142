"""What `--provider` finds out before anything is started, through the real client library and a provider on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from headrace_cli.errors import CliError
from headrace_cli.supervisor import models, probe

REFUSED = {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}}
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


class Provider(BaseHTTPRequestHandler):
    """Knows one key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        known = self.headers["authorization"] == "Bearer sk-right"
        body = json.dumps(ANSWER if known else REFUSED).encode()
        self.send_response(200 if known else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPENAI_API_BASE", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        yield
        server.shutdown()
        thread.join()


def test_a_model_that_answers_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-right")

    probe.check(models.of_names(["openai/gpt-4o"]))


def test_a_wrong_key_is_one_line_that_names_the_variable_and_not_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")

    with pytest.raises(CliError, match="OPENAI_API_KEY") as caught:
        probe.check(models.of_names(["openai/gpt-4o"]))
    assert "sk-wrong" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("name", "word"), [("dashscope/qwen-max", "DASHSCOPE_API_KEY"), ("nonsense/abc", "'nonsense' is no provider")]
)
def test_a_missing_key_and_a_wrong_name_are_found_without_a_call(
    monkeypatch: pytest.MonkeyPatch, name: str, word: str
) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)

    with pytest.raises(CliError, match=word):
        probe.check(models.of_names([name]))
