"""The guard where connections are made: what a name resolves to, where a redirect leads, whom TLS believes."""

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from headrace_tools.adapters.http_client import HttpClient
from headrace_tools.connectors import Outbound
from headrace_tools.credentials import Credential
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import Limits
from headrace_tools.requests import Request
from prometheus_client import REGISTRY

from tests.support.tool_servers import http_connector, http_server, tool, toolbox

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names:
    """A resolver that answers each question about a name with the next addresses that it was given."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._names.get(host)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


async def _ok(request: web.Request) -> web.Response:
    return web.json_response(request.host)


async def _refused(tmp_path: Path, base_url: str, resolve: Names, **settings: Any) -> ToolFailed:
    entry = {"kind": "http", "base_url": base_url, "tools": {"t": tool()}, **settings}
    async with toolbox(tmp_path, {"connectors": {"s": entry}}, resolve=resolve) as opened:
        with pytest.raises(ToolFailed) as raised:
            await opened.call("t", "s.t", {}, deadline_s=10)
        return raised.value


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:{port}",
        "http://[::ffff:127.0.0.1]:{port}",
        "http://[::1]:{port}",
        "http://0.0.0.0:{port}",
        "http://[64:ff9b::7f00:1]:{port}",
        "http://[2002:7f00:1::]:{port}",
        "http://[::127.0.0.1]:{port}",
        "http://[fe80::1%25lo]:{port}",
        "http://[::]:{port}",
    ],
)
async def test_an_address_in_a_url_is_refused(tmp_path: Path, base_url: str) -> None:
    async with http_server(_ok) as url:
        error = await _refused(tmp_path, base_url.format(port=url.rpartition(":")[2]), Names())
    assert error.reason == "refused"
    assert "allow_hosts" in str(error)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["8.8.8.8", "127.0.0.1"],
        ["fe80::1%lo"],
        ["::ffff:127.0.0.1"],
        ["nonsense"],
        ["64:ff9b::7f00:1"],
        ["64:ff9b::10.0.0.1"],
        ["2002:7f00:1::"],
        ["2606:4700:4700::1111", "::ffff:192.168.0.1"],
    ],
)
async def test_a_name_that_leads_to_what_is_not_public_is_refused_and_counted(tmp_path: Path, addresses: list[str]) -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("headrace_tools_refused_addresses_total", {"connector": "s"}) or 0.0

    before = refused()
    async with http_server(_ok) as url:
        error = await _refused(tmp_path, f"http://inside.test:{url.rpartition(':')[2]}", Names(inside_test=[addresses]))
    assert error.reason == "refused"
    assert refused() == before + 1


async def test_a_host_that_is_named_may_be_anywhere(tmp_path: Path) -> None:
    names = Names(inside_test=[["127.0.0.1"]])
    async with http_server(_ok) as url:
        entry = http_connector(f"http://Inside.test:{url.rpartition(':')[2]}", {"t": tool()}, allow_hosts=["inside.TEST."])
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, resolve=names) as opened:
            assert (await opened.call("t", "s.t", {}, deadline_s=10)).startswith("inside.test:")


async def test_a_name_is_resolved_once_and_that_address_is_connected_to(tmp_path: Path) -> None:
    """A name whose second answer would be another address: the first was checked, and no second question is asked."""
    names = Names(rebinding_test=[["192.0.0.1"], ["127.0.0.1"]])
    async with http_server(_ok) as url:
        error = await _refused(tmp_path, f"http://rebinding.test:{url.rpartition(':')[2]}", names)
    assert error.reason == "refused"
    assert names.asked == ["rebinding.test"]

    connected = Names(named_test=[["127.0.0.1"], ["127.0.0.2"]])
    async with http_server(_ok) as url:
        entry = http_connector(f"http://named.test:{url.rpartition(':')[2]}", {"t": tool()}, allow_hosts=["named.test"])
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, resolve=connected) as opened:
            for _ in range(3):
                await opened.call("t", "s.t", {}, deadline_s=10)
    assert connected.asked == ["named.test"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.2:{port}/", "refused"),
        ("http://127.0.0.1.:{port}/", "refused"),
        ("http://127.1:{port}/", "refused"),
        ("http://0177.0.0.1:{port}/", "refused"),
        ("http://0x7f000001:{port}/", "refused"),
        ("http://017700000001:{port}/", "refused"),
        ("http://１２７.0.0.1:{port}/", "refused"),
        ("http://127。0。0。1:{port}/", "refused"),
        ("http://localhost.:{port}/", "refused"),
        ("http://LOCALHOST:{port}/", "refused"),
        ("http://localhost..:{port}/", "refused"),
        ("http://[::ffff:7f00:1]:{port}/", "refused"),
        ("http://[64:ff9b::127.0.0.1]:{port}/", "refused"),
        ("http://[2002:7f00:1::]:{port}/", "refused"),
        ("http://[fe80::1%25lo]:{port}/", "refused"),
        ("http://169.254.169.254/latest/meta-data/", "refused"),
        ("http://[fd00:ec2::254]/", "refused"),
        ("http://127.0.0.1\\@localhost:{port}/", "refused"),
        ("http://127.0.0.1:{port}@localhost:{port}/", "refused"),
        ("http://rebinding.test:{port}/", "refused"),
        ("gopher://127.0.0.1:{port}/", "refused"),
        ("http://127.0.0.1:99999/", "refused"),
        ("http://2130706433:{port}/", "refused"),
        ("http://0x7f.0.0.1:{port}/", "refused"),
        ("http://localhost:{port}/", "refused"),
        ("//[::1]:{port}/", "refused"),
        ("http://inside.test:{port}/", "refused"),
        ("file:///etc/passwd", "refused"),
        ("http://user:pw@127.0.0.1:{port}/", "refused"),
        ("http://[half", "refused"),
        ("http://unknown.test/", "away"),
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(tmp_path: Path, location: str, reason: str) -> None:
    heard: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.path)
        port = request.url.port
        return web.Response(status=302, headers={"Location": location.format(port=port)})

    async with http_server(handler) as url:
        # The server's own port is reached as `here.test`, so that 127.0.0.1 itself is not allowed.
        here = url.replace("127.0.0.1", "here.test")
        names = Names(
            here_test=[["127.0.0.1"]],
            inside_test=[["127.0.0.1"]],
            localhost=[["127.0.0.1", "::1"]],
            rebinding_test=[["8.8.8.8", "127.0.0.1"]],
        )
        entry = {"kind": "http", "base_url": here, "allow_hosts": ["here.test"], "tools": {"t": tool()}, "retries": 0}
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, resolve=names) as opened:
            with pytest.raises(ToolFailed) as raised:
                await opened.call("t", "s.t", {}, deadline_s=10)
    assert raised.value.reason == reason
    assert heard == ["/"]


@pytest.mark.parametrize("kind", ["http", "mcp"])
async def test_the_environments_proxies_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A proxy would resolve the names itself, and fetch what the guard refuses."""
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.json_response("proxied")

    async with http_server(proxy) as elsewhere, http_server(_ok) as url:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, elsewhere)
        inside = {"kind": "http", "base_url": "http://inside.test", "tools": {"t": tool()}}
        if kind == "mcp":
            inside = {"kind": "mcp", "url": "http://inside.test/mcp"}
        file = {"connectors": {"s": http_connector(url, {"t": tool()}), "inside": inside}}
        limits = Limits(start_timeout_s=0.2)
        names = Names(inside_test=[["10.0.0.1"]])
        async with toolbox(tmp_path, file, resolve=names, limits=limits) as opened:
            assert await opened.call("t", "s.t", {}, deadline_s=10) == url.removeprefix("http://")
            with pytest.raises(ToolFailed):
                await opened.call("t", "inside.t", {}, deadline_s=10)
    assert asked == []


async def test_a_name_is_judged_anew_for_each_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding between two calls. This machine stands for the public address that the name has at first."""
    connect = httpcore2.AnyIOBackend.connect_tcp
    connected: list[str] = []

    async def connect_here(self: Any, host: str, *args: Any, **settings: Any) -> Any:
        connected.append(host)
        return await connect(self, "127.0.0.1", *args, **settings)

    async def closing(request: web.Request) -> web.Response:
        return web.json_response(request.host, headers={"Connection": "close"})

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_here)
    names = Names(turning_test=[["93.184.216.34"], ["127.0.0.1"]])
    async with http_server(closing) as url:
        host = url.removeprefix("http://").replace("127.0.0.1", "turning.test")
        entry = {"kind": "http", "base_url": f"http://{host}", "tools": {"t": tool()}}
        async with toolbox(tmp_path, {"connectors": {"s": entry}}, resolve=names) as opened:
            assert await opened.call("t", "s.t", {}, deadline_s=10) == host
            with pytest.raises(ToolFailed) as raised:
                await opened.call("t", "s.t", {}, deadline_s=10)
    assert raised.value.reason == "refused"
    assert connected == ["93.184.216.34"]


def _certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, secret)
    return server, ssl.create_default_context(cafile=str(certificate))


@asynccontextmanager
async def _over_tls(
    folder: Path, *hosts: str, handler: Handler = _ok, named: Callable[[str | None], None] | None = None
) -> AsyncIterator[tuple[HttpClient, int]]:
    """A client that may reach `hosts`, all of them this machine, and the port of a server that is `right.test`.

    `named` hears which name a client asks TLS for.
    """
    server_context, context = _certificate(folder, "right.test")
    if named is not None:
        server_context.sni_callback = lambda _, name, __: named(name)
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context).start()
    names = Names(**{host.replace(".", "_"): [["127.0.0.1"]] for host in hosts})
    settings = Outbound(allow_hosts=hosts)
    client = HttpClient("tls", settings, Credential(), limits=Limits(), context=context, resolve=names)
    try:
        yield client, runner.addresses[0][1]
    finally:
        await client.aclose()
        await runner.cleanup()


async def test_tls_believes_the_name_and_not_the_address(tmp_path: Path) -> None:
    async with _over_tls(tmp_path, "right.test", "wrong.test") as (client, port):
        answer = await client.send(Request("GET", f"https://right.test:{port}/"))
        assert answer.body == f'"right.test:{port}"'.encode()
        with pytest.raises(ToolFailed) as raised:
            await client.send(Request("GET", f"https://wrong.test:{port}/"))
        assert raised.value.reason == "away"


async def test_tls_and_the_request_say_the_name(tmp_path: Path) -> None:
    said: list[str | None] = []
    async with _over_tls(tmp_path, "right.test", named=said.append) as (client, port):
        assert (await client.send(Request("GET", f"https://right.test:{port}/"))).body == f'"right.test:{port}"'.encode()
    assert said == ["right.test"]


async def test_https_is_not_left_for_http(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://right.test/"})

    async with _over_tls(tmp_path, "right.test", handler=handler) as (client, port):
        with pytest.raises(ToolFailed, match="from https to http") as raised:
            await client.send(Request("GET", f"https://right.test:{port}/"))
        assert raised.value.reason == "refused"
