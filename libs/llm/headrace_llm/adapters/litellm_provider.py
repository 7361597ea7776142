"""Speaks to providers through LiteLLM, the only module that imports it, and only in `warm`, on a thread."""

import asyncio
import functools
import gc
import json
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Mapping
from importlib import import_module
from typing import Any

import structlog
from headrace_runtime.errors import InvalidArgument, ServiceError

from headrace_llm import metrics
from headrace_llm.adapters import litellm_answers, litellm_errors
from headrace_llm.client import Message
from headrace_llm.errors import ProviderAuth, ProviderRejected
from headrace_llm.ports import Answer, ProviderCall
from headrace_llm.registry import ModelEntry

log = structlog.get_logger()

CLOSE_S = 5.0
"""How long LiteLLM may take to close what it has open."""

OPTIONS = frozenset(
    {
        "top_p", "stop", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "user", "tool_choice",
        "parallel_tool_calls", "response_format", "reasoning_effort",
    }
)  # fmt: skip
"""The options of a request that are passed on. Where the call goes, its key, deadline and retries are never among them."""


_loading = threading.Lock()


class LiteLlm:
    """Implements `ports.Provider`. One for a process: LiteLLM keeps its clients in globals."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._warming: asyncio.Task[Any] | None = None
        self._picky: set[str] = set()

    def start(self) -> None:
        """Begin to import LiteLLM on a thread."""
        if self._warming is None:
            self._warming = asyncio.create_task(asyncio.to_thread(_load), name="litellm warm-up")

    async def warm(self) -> Any:
        """LiteLLM, once it is imported; every call waits for that."""
        self.start()
        assert self._warming is not None
        return await asyncio.shield(self._warming)

    async def ready(self) -> None:
        """See `ports.Provider`."""
        await self.warm()

    async def complete(self, call: ProviderCall, *, timeout_s: float) -> Answer:
        """See `ports.Provider`."""
        litellm = await self.warm()
        try:
            response = await self._send(litellm, call, timeout_s)
        except Exception as error:
            raise self._translated(error, call.model) from error
        return litellm_answers.whole(litellm, call.model, response)

    async def stream(self, call: ProviderCall, *, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        """See `ports.Provider`."""
        litellm = await self.warm()
        response: Any = None
        pieces = litellm_answers.Pieces()
        try:
            response = await self._send(litellm, call, timeout_s, stream=True, stream_options={"include_usage": True})
            async for chunk in response:
                piece = pieces.add(chunk)
                if piece is not None:
                    yield piece
            if response.received_finish_reason is None:
                raise ConnectionError("the stream ended before the answer did")
        except Exception as error:
            raise self._translated(error, call.model) from error
        finally:
            if response is not None:
                await response.aclose()
        yield pieces.answer(litellm, call.model, response.received_finish_reason)

    async def faults(self, entry: ModelEntry) -> tuple[str, ...]:
        """What can be seen to be wrong with an entry before the first call: its provider's name, an unset key."""
        litellm = await self.warm()
        try:
            litellm.get_llm_provider(model=entry.model)
        except Exception as error:  # noqa: BLE001 - as above
            return (self._translated(error, entry).message,)
        if entry.api_key_env:
            missing = [] if self._environment.get(entry.api_key_env) else [entry.api_key_env]
        else:
            # A provider's address (OLLAMA_API_BASE) is not needed: LiteLLM knows where it is by default.
            named = () if entry.api_base else litellm.validate_environment(entry.model)["missing_keys"]
            missing = [name for name in named if not name.endswith("_API_BASE")]
        return (f"{entry.id}: set {' and '.join(missing)} in the environment",) if missing else ()

    async def close(self) -> None:
        """Close LiteLLM's connections and background work of this loop."""
        if self._warming is None:
            return
        try:
            litellm = await self._warming
        except ImportError as error:
            log.error("litellm_not_importable", cause=str(error))
            return
        try:
            await _release(litellm)
        except TimeoutError:
            log.warning("litellm_close_incomplete", seconds=CLOSE_S)

    async def _send(self, litellm: Any, call: ProviderCall, timeout_s: float, **how: Any) -> Any:
        """Make the call. A model that takes no temperature, say, is refused by LiteLLM itself, and asked without it.

        Only such a model is asked with `drop_params`: with it LiteLLM repeats a call that was answered with 422.
        """
        arguments = self._arguments(litellm, call, timeout_s)
        try:
            return await litellm.acompletion(**arguments, **how)
        except litellm.UnsupportedParamsError:
            if arguments["drop_params"]:
                raise
            self._picky.add(call.model.model)
        return await litellm.acompletion(**{**arguments, "drop_params": True}, **how)

    def _arguments(self, litellm: Any, call: ProviderCall, timeout_s: float) -> dict[str, Any]:
        entry = call.model
        messages = [_message(message) for message in call.messages]
        arguments: dict[str, Any] = {
            "model": entry.model,
            "messages": messages,
            "temperature": call.temperature,
            "max_tokens": call.max_tokens,
            "timeout": timeout_s,
            "max_retries": 0,
            "num_retries": 0,
            "drop_params": entry.model in self._picky,
            **_options(call),
        }
        if call.tools:
            _require_tools(litellm, entry)
            arguments["tools"] = list(call.tools)
            # LiteLLM's own handling of MCP tools would call the model again past the gate, and needs a package more.
            arguments["_skip_mcp_handler"] = True
        if entry.api_base:
            arguments["api_base"] = entry.api_base
        if key := self._key(entry):
            arguments["api_key"] = key
        if call.schema is not None:
            form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(call.schema)}}
            arguments["response_format"] = form
        _ask_for_json(arguments, as_schema=_understands_schema(litellm, entry))
        return arguments

    def _key(self, entry: ModelEntry) -> str | None:
        """The key to send. A server of one's own (`api_base`) gets no provider's key unless models.yaml says so."""
        if entry.api_key_env:
            key = self._environment.get(entry.api_key_env, "")
            if not key:
                raise ProviderAuth(f"{entry.id} needs a key: set {entry.api_key_env} in the environment")
            return key
        return "none" if entry.api_base else None

    def _translated(self, error: Exception, entry: ModelEntry) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        name = entry.api_key_env or f"{entry.provider.upper()}_API_KEY"
        return litellm_errors.translate(error, entry, key_name=name, secret=self._environment.get(name))


def _message(message: Message) -> dict[str, Any]:
    form: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        form["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
            for one in message.tool_calls
        ]
    if message.tool_call_id:
        form["tool_call_id"] = message.tool_call_id
    return form


def _load() -> Any:
    """LiteLLM, imported and rehearsed once for all of this process: the rehearsal cuts the network off for everybody."""
    with _loading:
        return _loaded()


@functools.cache
def _loaded() -> Any:
    started = time.perf_counter()
    # Offline, the price list that comes with LiteLLM is used; fetching it would delay the import and log for seconds.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    litellm: Any = import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    litellm.num_retries = 0
    litellm.disable_streaming_logging = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.CRITICAL)
    try:
        asyncio.run(_rehearse(litellm))
    except Exception as error:  # noqa: BLE001 - without its rehearsal LiteLLM works all the same, only later
        log.warning("litellm_rehearsal_failed", cause=repr(error))
    # A full collection would walk through all of LiteLLM and hold up the loop for half a second, and granted calls with it.
    gc.freeze()
    seconds = time.perf_counter() - started
    metrics.WARM_UP_SECONDS.set(seconds)
    log.info("litellm_warm", seconds=round(seconds, 2))
    return litellm


async def _rehearse(litellm: Any) -> None:
    """Make one call and one stream that never leave the process, for all that LiteLLM imports and builds on its first."""
    import_module("litellm.llms.custom_httpx.http_handler").get_ssl_configuration()
    call = {"model": "openai/rehearsal", "api_key": "none", "messages": [{"role": "user", "content": "-"}], "timeout": 5}
    litellm.network_mock = True
    try:
        await litellm.acompletion(**call, max_retries=0)
        async for _ in await litellm.acompletion(
            **call, max_retries=0, stream=True, stream_options={"include_usage": True}
        ):
            pass
    finally:
        litellm.network_mock = False
        await _release(litellm)


async def _release(litellm: Any) -> None:
    """Close what belongs to the running loop: connections and background tasks."""
    worker = import_module("litellm.litellm_core_utils.logging_worker").GLOBAL_LOGGING_WORKER
    async with asyncio.timeout(CLOSE_S):
        await worker.flush()
        await worker.stop()
        await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


def _require_tools(litellm: Any, entry: ModelEntry) -> None:
    """Raise ProviderRejected for a model that takes no tools: they must not be left out silently, as a temperature is."""
    known = litellm.get_supported_openai_params(model=entry.model)
    if known is not None and "tools" not in known:
        raise ProviderRejected(f"{entry.id} takes no tools; ask another model, or without them")


def _understands_schema(litellm: Any, entry: ModelEntry) -> bool:
    if entry.structured != "auto":
        return entry.structured == "schema"
    return entry.api_base is not None or bool(litellm.supports_response_schema(model=entry.model))


def _options(call: ProviderCall) -> Mapping[str, Any]:
    unknown = call.options.keys() - OPTIONS
    if unknown:
        raise InvalidArgument(f"no option of a call: {', '.join(sorted(unknown))}; there are {', '.join(sorted(OPTIONS))}")
    return call.options


def _ask_for_json(arguments: dict[str, Any], *, as_schema: bool) -> None:
    """Put a schema into words for a model that does not understand it as response_format."""
    form = arguments.get("response_format")
    if as_schema or not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return
    schema = json.dumps(form["json_schema"].get("schema", {}))
    words = f"Answer with one JSON value that satisfies this JSON Schema, and nothing else:\n{schema}"
    arguments["messages"] = [{"role": "system", "content": words}, *arguments["messages"]]
    arguments["response_format"] = {"type": "json_object"}
