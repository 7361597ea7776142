"""Keys are found by digest, files are checked, and a keyless edge serves this machine's programs only."""

import hashlib
from pathlib import Path

import pytest
from headrace_edge import auth

KEY = "hr_0123456789abcdef"


def write(folder: Path, text: str) -> Path:
    path = folder / "keys.yaml"
    path.write_text(text)
    return path


def read(path: Path, **environ: str) -> auth.Keys:
    return auth.read_keys(path, environ, requests_per_minute=600, max_streams=50)


def test_a_key_is_found_by_its_digest_or_from_its_variable(tmp_path: Path) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    text = f"- {{name: a, tenant: t1, key_sha256: {digest}}}\n- {{name: b, tenant: t2, key_env: B_KEY, max_streams: 7}}\n"
    keys = read(write(tmp_path, text), B_KEY="another-key-of-enough-letters")

    first, second = keys.find(KEY), keys.find("another-key-of-enough-letters")

    assert first == auth.Caller("a", "t1", auth.KeyEntry.model_fields["scopes"].default, 600, 50)
    assert second is not None
    assert (second.tenant, second.max_streams) == ("t2", 7)
    assert keys.find("unknown") is None
    assert keys.find("") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "valid list"),
        ("[]", "at least 1"),
        ("a: [", "cannot be read"),
        ("- {name: a, tenant: t}", "key_sha256 or key_env"),
        (f"- {{name: a, tenant: t, key_env: A, key_sha256: {'a' * 64}}}", "not both"),
        ("- {name: a, tenant: t, key_sha256: abc}", "key_sha256"),
        ("- {name: a, tenant: t, key_env: A, role: admin}", "role"),
        ("- {name: a, tenant: t, key_env: A, scopes: [all]}", "scopes"),
        ("- {name: a, tenant: t, key_env: MISSING}", "MISSING"),
        ("- {name: a, tenant: t, key_env: SHORT}", "16 characters"),
        ("- {name: a, tenant: t, key_env: A}\n- {name: b, tenant: t, key_env: A}", "same key"),
        ("- {name: a, tenant: t, key_env: A}\n- {name: a, tenant: u, key_env: A}", "a is the name of keys of two tenants"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_fault_and_no_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(auth.KeysFileError) as caught:
        read(write(tmp_path, text), A=KEY, SHORT="short")
    assert says in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(auth.KeysFileError, match="cannot be read"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("header", "key"), [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("", ""), ("Bearer", "")]
)
def test_only_bearer_tokens_are_keys(header: str, key: str) -> None:
    assert auth.bearer(header) == key


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.9.9.9",
        "::1",
        "[::1]",
        "[::1]:8080",
        "localhost",
        "LOCALHOST:80",
        "::ffff:127.0.0.1",
    ],
)
def test_loopback_names_and_addresses_are_known(host: str) -> None:
    assert auth.is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "10.0.0.1",
        "0.0.0.0:8080",
        "example.org",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "[::2]:80",
        "[",
        "::ffff:10.0.0.1",
    ],
)
def test_everything_else_is_not(host: str) -> None:
    assert not auth.is_loopback(host)


def test_a_web_page_of_another_site_does_not_pass_for_a_program_of_this_machine() -> None:
    assert auth.from_this_machine("127.0.0.1", "localhost:8080", "")
    assert auth.from_this_machine("127.0.0.1", "localhost:8080", "http://localhost:3000")
    assert not auth.from_this_machine("127.0.0.1", "rebound.example.org:8080", "")
    assert not auth.from_this_machine("127.0.0.1", "localhost:8080", "https://example.org")
    assert not auth.from_this_machine("127.0.0.1", "localhost:8080", "null")
    assert not auth.from_this_machine("192.168.1.5", "localhost:8080", "")
