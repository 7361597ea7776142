"""Imports LightRAG and keeps it from what it would do to the process: install packages, read files of the working folder.

It must not be imported in any other way: what it must not find has to be hidden before.
"""

import contextlib
import logging
import os
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from headrace_runtime.settings import InvalidSettings

from headrace_rag import extraction, metrics

FORBIDDEN = "POSTGRES_WORKSPACE"
"""Where this variable is set, LightRAG reads and writes every tenant's documents in the one workspace that it names."""
MAX_SCAN_TUPLES = 100_000
"""Rows of other workspaces that one vector search may pass over."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Library:
    """What is used of LightRAG."""

    light_rag: Any
    query_param: Any
    embedding_func: Any
    tokenizer: Any
    client_manager: Any
    statuses: Any
    """DocStatus."""
    pipeline_status: Any
    """async (workspace) -> the pipeline's state and its lock."""
    too_short: type[Exception]
    """RAGQueryTooShortError."""


class ForbiddenVariable(InvalidSettings):
    """The environment has a variable under which tenants would read each other's documents."""

    def __init__(self) -> None:
        super().__init__(
            f"{FORBIDDEN} must not be set, in the environment or in a config.ini: it puts all tenants in one workspace"
        )


class InvalidUrl(InvalidSettings):
    """The database's URL cannot be given to LightRAG."""


def refuse_shared_workspace() -> None:
    """Raise `ForbiddenVariable` where tenants would share a workspace."""
    if os.environ.get(FORBIDDEN):
        raise ForbiddenVariable


def load() -> Library:
    """Import LightRAG with its Postgres storages; half a second and 55 MB. Call it on a thread, as often as you like."""
    refuse_shared_workspace()
    _hear(logging.getLogger("lightrag"))
    # A dictionary of 50 MB to sort Chinese labels by, which nothing here shows.
    sys.modules.setdefault("pypinyin", None)  # type: ignore[arg-type]
    sys.modules["pipmaster"] = _no_installer()
    with _no_dotenv():
        from lightrag import base, lightrag, prompt, query_validation, utils
        from lightrag.kg import pgtable_impl, postgres_impl, shared_storage  # noqa: F401 - found by name later
    prompt.PROMPTS.update(extraction.PROMPTS)

    async def pipeline_status(workspace: str) -> tuple[Any, Any]:
        state = await shared_storage.get_namespace_data("pipeline_status", workspace=workspace)
        return state, shared_storage.get_namespace_lock("pipeline_status", workspace=workspace)

    return Library(
        light_rag=lightrag.LightRAG,
        query_param=base.QueryParam,
        embedding_func=utils.EmbeddingFunc,
        tokenizer=utils.Tokenizer,
        client_manager=postgres_impl.ClientManager,
        statuses=base.DocStatus,
        pipeline_status=pipeline_status,
        too_short=query_validation.RAGQueryTooShortError,
    )


@contextmanager
def environment(dsn: str, *, connections: int, statement_timeout_s: float) -> Iterator[str]:
    """The variables by which alone LightRAG finds Postgres, for the block, which gets an empty folder that it insists on.

    Raises `InvalidUrl` for one that they cannot express, `ForbiddenVariable`.
    """
    refuse_shared_workspace()
    wanted = _variables(dsn, connections=connections, statement_timeout_s=statement_timeout_s)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with tempfile.TemporaryDirectory(prefix="headrace-rag-") as folder:
            yield folder
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _variables(dsn: str, *, connections: int, statement_timeout_s: float) -> Mapping[str, str]:
    url = urlsplit(dsn)
    options = parse_qs(url.query)
    if not url.hostname or "," in url.netloc or not url.path.strip("/"):
        raise InvalidUrl("the database's URL must name one host and a database: postgresql://USER:PASSWORD@HOST:PORT/NAME")
    server = {
        # All tenants' vectors are in one index: without this a search for one ends after the first forty rows of any.
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": str(MAX_SCAN_TUPLES),
        "statement_timeout": str(int(statement_timeout_s * 1000)),
        "application_name": "headrace-rag-index",
        "jit": "off",
    }
    return {
        "POSTGRES_HOST": url.hostname,
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": unquote(url.username or ""),
        "POSTGRES_PASSWORD": unquote(url.password or ""),
        "POSTGRES_DATABASE": unquote(url.path.strip("/")),
        "POSTGRES_SSL_MODE": options.get("sslmode", [""])[0],
        "POSTGRES_SSL_ROOT_CERT": options.get("sslrootcert", [""])[0],
        "POSTGRES_MAX_CONNECTIONS": str(connections),
        "POSTGRES_SERVER_SETTINGS": "&".join(f"{name}={value}" for name, value in server.items()),
        "POSTGRES_VECTOR_INDEX_TYPE": "HNSW",
        # With more, connecting anew waits for ever, for a lock that it holds itself; asyncpg's pool connects anew anyway.
        "POSTGRES_CONNECTION_RETRIES": "1",
        "POSTGRES_POOL_CLOSE_TIMEOUT": "2",
    }


def _no_installer() -> types.ModuleType:
    """In place of pipmaster, which runs pip for what it misses: all counts as there, and nothing can be installed."""

    def install(*_: Any, **__: Any) -> None:
        raise ImportError("packages are not installed while the service runs")

    stub = types.ModuleType("pipmaster")
    vars(stub).update(is_installed=lambda *_: True, install=install, install_multiple=install, install_if_missing=install)
    return stub


@contextmanager
def _no_dotenv() -> Iterator[None]:
    """LightRAG reads a `.env` of the working folder into the environment when it is imported."""
    import dotenv

    original = dotenv.load_dotenv
    dotenv.load_dotenv = lambda *_, **__: False
    try:
        yield
    finally:
        dotenv.load_dotenv = original


class _Errors(logging.Handler):
    """Says where LightRAG logged an error. Its messages may have texts of documents, and its failures reach us as such."""

    quiet = False

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and not self.quiet:
            metrics.INDEX_ERRORS.labels(record.module).inc()
            log.warning("lightrag_error", module=record.module, function=record.funcName, line=record.lineno)


_errors = _Errors()


def _hear(logger: logging.Logger) -> None:
    logger.handlers[:] = [_errors]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """LightRAG makes its tables by failing to read them first; those errors are none."""
    _errors.quiet = True
    try:
        yield
    finally:
        _errors.quiet = False
