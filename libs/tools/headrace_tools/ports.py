"""What users of tools work with. `headrace_tools.app.open_toolbox` makes the real one."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from headrace_tools.errors import ToolFailed
from headrace_tools.model import EntitySource, Json, ToolEntry


class Toolbox(Protocol):
    """The connectors' tools, tenant by tenant. The built-in ones are not among them."""

    def tools(self, tenant_id: str) -> Mapping[str, ToolEntry]:
        """What the tenant may call now, by name: everybody's and its own. An MCP server that is away keeps the tools that
        it had; one that never answered has none. Returns at once.
        """

    def entities(self, tenant_id: str) -> Sequence[EntitySource]:
        """Where the tenant's names are looked up."""

    async def call(
        self, tenant_id: str, name: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = ""
    ) -> Json:
        """A tool's result, a JSON value, within `deadline_s` seconds, retries included. Cancelling it aborts the call.

        A call that is made again, because nobody knows what became of it, has the same `call_id`: a connector that can
        tell its server so passes it on (HTTP: Idempotency-Key). Raises `errors.ToolFailed`.
        """


class NoTools:
    """A toolbox without any."""

    def tools(self, tenant_id: str) -> Mapping[str, ToolEntry]:
        """None."""
        return {}

    def entities(self, tenant_id: str) -> Sequence[EntitySource]:
        """None."""
        return ()

    async def call(
        self, tenant_id: str, name: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = ""
    ) -> Json:
        """Refuse. Raises `errors.ToolFailed`."""
        raise ToolFailed(f"there is no tool {name!r}", reason="invalid")


class Connector(Protocol):
    """One entry of a tools.yaml, ready to be called."""

    def tools(self) -> Mapping[str, ToolEntry]:
        """Its tools by their own names, without the connector's."""

    async def call(self, tool: str, arguments: Mapping[str, Json], *, deadline_s: float, call_id: str = "") -> Json:
        """A tool's result. The caller has checked the arguments, and cancels the call when `deadline_s` seconds are over.

        Raises `errors.ToolFailed`.
        """
