"""HTTP to one connector's server: its credentials, its limits, redirects that are looked at one by one."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urljoin

import httpx2

from headrace_tools import guard, metrics
from headrace_tools.adapters.network import GuardedBackend, GuardedTransport, Resolve, resolve
from headrace_tools.answers import Answer
from headrace_tools.connectors import Outbound
from headrace_tools.credentials import Credential
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_REDIRECTS, MAX_URL_CHARACTERS, Limits
from headrace_tools.requests import Request

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BECOME_GET = frozenset({301, 302, 303})


class HttpClient:
    """A pool of connections of one connector. Its answers are whole and within the limit."""

    def __init__(
        self,
        label: str,
        settings: Outbound,
        credential: Credential,
        *,
        limits: Limits,
        context: ssl.SSLContext,
        resolve: Resolve = resolve,
    ) -> None:
        self._label = label
        self._limit = settings.max_response_bytes
        self._credential = credential
        backend = GuardedBackend(label, settings.allow_hosts, resolve)
        self._client = httpx2.AsyncClient(
            transport=GuardedTransport(backend, limits=limits, context=context),
            timeout=settings.timeout_s,
            trust_env=False,
            follow_redirects=False,
            cookies=no_cookies(),
        )

    async def send(self, request: Request, *, limit: int | None = None, anonymous: bool = False) -> Answer:
        """Send a request and follow where it is redirected, at most `MAX_REDIRECTS` times.

        The credentials go to the request's own scheme, host and port alone, and nowhere if `anonymous`. `limit`, in bytes,
        replaces the connector's limit of an answer. Raises `ToolFailed`.
        """
        own = guard.target(request.url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._once(
                request, limit or self._limit, authorized=guard.target(request.url) == own and not anonymous
            )
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            try:
                request = _redirected(request, answer.status, location, own=own)
            except guard.AddressRefused:
                metrics.REFUSED_ADDRESSES.labels(self._label).inc()
                raise
        raise ToolFailed(f"it was redirected more than {MAX_REDIRECTS} times", reason="failed")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _once(self, request: Request, limit: int, *, authorized: bool) -> Answer:
        headers = {"Accept": "application/json, text/*;q=0.5", "Accept-Encoding": "identity", **request.headers}
        url = request.url
        if authorized:
            headers, url = self._credential.beside(headers), self._credential.at(url)
        try:
            async with self._client.stream(request.method, url, headers=headers, content=request.body) as response:
                body = await _body(response, limit)
                said = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, said, body)
        except httpx2.TimeoutException as error:
            raise ToolFailed("it did not answer in time", reason="deadline") from error
        except httpx2.TransportError as error:
            raise ToolFailed(f"it cannot be reached, or broke off ({type(error).__name__})", reason="away") from error
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise ToolFailed("the URL cannot be called", reason="invalid") from error


def no_cookies() -> CookieJar:
    """A jar that takes none: what one tenant's call was given must not go with another's."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _redirected(request: Request, status: int, location: str, *, own: guard.Target) -> Request:
    if len(location) > MAX_URL_CHARACTERS:
        raise ToolFailed("it was redirected to a URL that is too long", reason="failed")
    try:
        url = urljoin(request.url, location)
    except ValueError as error:
        raise guard.AddressRefused("it was redirected to what is no URL") from error
    target = guard.target(url)
    if own.scheme == "https" and target.scheme == "http":
        raise guard.AddressRefused("it was redirected from https to http")
    headers = request.headers if target == own else {}
    if status in _BECOME_GET and request.method not in ("GET", "HEAD"):
        return Request("GET", url)
    if request.body is not None and "Content-Type" in request.headers:
        headers = {**headers, "Content-Type": request.headers["Content-Type"]}
    return Request(request.method, url, headers, request.body)


async def _body(response: httpx2.Response, limit: int) -> bytes:
    """The body, of which no more than one chunk past the limit is ever read. A compressed one was not asked for."""
    if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise ToolFailed("it answered compressed, though it was asked not to", reason="failed")
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit and response.request.method != "HEAD":
        raise _too_large(limit)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> ToolFailed:
    return ToolFailed(f"it answered more than {limit} bytes", reason="too_large")
