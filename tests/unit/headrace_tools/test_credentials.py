"""Secrets: where they go, and where they must not be seen."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from headrace_tools.connectors import Auth
from headrace_tools.credentials import credential, of_process
from headrace_tools.errors import ToolFailed
from headrace_tools.requests import Request
from hypothesis import given
from hypothesis import strategies as st

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=40)


@given(SECRETS, st.sampled_from(["bearer", "basic", "header", "query"]))
def test_a_secret_is_hidden_however_it_is_written(secret: str, kind: str) -> None:
    named = {"name": "X-Key"} if kind in ("header", "query") else {}
    user = {"username": "me"} if kind == "basic" else {}
    found = credential(Auth.model_validate({"kind": kind, "secret": "K", **named, **user}), {"K": secret})
    token = base64.b64encode(f"me:{secret}".encode()).decode()
    for written in (
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        *([token] if user else []),
    ):
        # Digits around it, so that what is left cannot read as the secret again.
        assert found.hidden_text(f"<{written}>") == "<***>"
    assert secret not in repr(found)


def test_short_variables_of_a_process_are_words_like_others() -> None:
    assert (
        of_process({"A": "1", "B": "true", "C": "a-long-token"}).hidden_text("1 is true, a-long-token") == "1 is true, ***"
    )


@pytest.mark.parametrize(
    ("auth", "request_"),
    [
        ({"kind": "query", "name": "key"}, Request("GET", "http://h/a?b=1&key=")),
        ({"kind": "query", "name": "key"}, Request("GET", "http://h/a?%6bey=1")),
        ({"kind": "bearer"}, Request("GET", "http://h/a", {"authorization": "mine"})),
        ({"kind": "header", "name": "X-Key"}, Request("GET", "http://h/a", {"x-key": "mine"})),
    ],
)
def test_an_argument_in_the_secrets_place_is_refused(auth: dict[str, str], request_: Request) -> None:
    found = credential(Auth.model_validate({**auth, "secret": "K"}), {"K": "secret"})
    with pytest.raises(ToolFailed, match="is the connector") as raised:
        found.check(request_)
    assert raised.value.reason == "invalid"
    found.check(Request("GET", "http://h/a?keys=1", {"X-Keys": "1"}))
