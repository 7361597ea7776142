"""What a log line may not tell."""

import io
import logging
import sys
from collections.abc import Iterator

import orjson
import pytest
import structlog
from headrace_runtime import logs


@pytest.fixture
def _restored() -> Iterator[None]:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.mark.usefixtures("_restored")
def test_a_logged_exception_names_its_place_but_no_local_value(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure("test", "info")

    def fail() -> None:
        api_key = "-".join(["secret", "of", "a", "caller"])
        raise RuntimeError(f"a key of {len(api_key)} letters")

    try:
        fail()
    except RuntimeError as error:
        structlog.get_logger().error("failed", exc_info=error)

    line = orjson.loads(written.getvalue())
    assert line["exception"][0]["exc_value"] == "a key of 18 letters"
    assert [frame["name"] for frame in line["exception"][0]["frames"]][-1] == "fail"
    assert "secret-of-a-caller" not in written.getvalue()
