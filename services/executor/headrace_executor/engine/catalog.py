"""What the nodes of a tenant's blueprints may call: the built-in tools, and what its connectors have now."""

from collections.abc import Mapping

from headrace_blueprint import tools
from headrace_tools.ports import Toolbox

from headrace_executor.model import Json


def schemas(toolbox: Toolbox, tenant_id: str) -> Mapping[str, Mapping[str, Json]]:
    """JSON Schema of the arguments by the tool's name. Returns at once."""
    found = toolbox.tools(tenant_id)
    return {**tools.SCHEMAS, **{name: entry.tool.input_schema for name, entry in found.items()}} if found else tools.SCHEMAS
