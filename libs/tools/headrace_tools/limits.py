"""The limits of tools, each with its default. What a connector may set itself is bounded here."""

from dataclasses import dataclass

MAX_FILE_BYTES = 1024 * 1024
"""A larger tools.yaml is a mistake."""
MAX_CONNECTORS = 64
"""Connectors that a tenant sees of its own, and that everybody sees."""
MAX_TENANTS = 1000
MAX_ENTITIES = 64
MAX_TOOLS = 200
"""Tools of one connector; of an imported spec or a server, the first ones."""
MAX_DESCRIPTION = 1000
"""Characters of a tool's description; an imported longer one is cut."""
MAX_SCHEMA_BYTES = 32 * 1024
"""The JSON Schema of a tool's arguments."""
MAX_SCHEMA_DEPTH = 32
MAX_SPEC_BYTES = 4 * 1024 * 1024
"""An OpenAPI document."""
MAX_SPEC_OPERATIONS = 2000
"""Operations that are looked at."""
MAX_ARGUMENTS_BYTES = 1024 * 1024
"""The arguments of one call as JSON."""
CHECK_STEPS_AT_ONCE = 5000
"""Steps of checking a call's arguments in the event loop, some tens of milliseconds; what takes more goes to a thread."""
MAX_CHECK_STEPS = 500_000
"""Steps of checking a call's arguments, some seconds: a list of 100,000 numbers takes 200,000."""
MAX_URL_CHARACTERS = 8192
MAX_ERROR_CHARACTERS = 300
"""What is quoted of an answer that is an error."""
MAX_REDIRECTS = 3
MAX_SKIPPED_SHOWN = 20
"""Operations or tools that cannot be used, of one connector, that a line of the log names."""

DEFAULT_TIMEOUT_S = 15.0
MAX_TIMEOUT_S = 60.0
DEFAULT_RESPONSE_BYTES = 1024 * 1024
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
DEFAULT_RETRIES = 2
MAX_RETRIES = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a process, whatever a tools.yaml says."""

    connections: int = 30
    """Of one connector, and its calls at once."""
    kept_connections: int = 15
    keep_alive_s: float = 30.0
    waiting: int = 500
    """Calls of one connector that wait for their turn; more are refused."""
    start_timeout_s: float = 5.0
    """How long a start waits for MCP servers and specs behind URLs; they come when they come."""
    spec_timeout_s: float = 15.0
    """How long a spec behind a URL may take."""
    first_pause_s: float = 0.5
    """Before a server that is away is tried again; doubled each time, with jitter."""
    longest_pause_s: float = 30.0
    retry_pause_s: float = 0.2
    """Before the first repetition of a call."""
    longest_retry_pause_s: float = 5.0
    connect_timeout_s: float = 10.0
    """How long an MCP server may take for one answer of its greeting and listing."""
    opening_s: float = 30.0
    """How long it may take to greet and list its tools, and to list them again, all pages together."""
    listing_s: float = 30.0
    """An MCP server's tools are listed again at least this often, which also shows that it lives."""
    listing_pause_s: float = 0.2
    """Between two listings, however often a server says that its tools are others."""
    listing_share: float = 0.1
    """Of the time, that listings one after the other take at most: after a long one the pause is longer."""
    reconnect_wait_s: float = 5.0
    """How long a call waits for an MCP server that is being reached again."""
    close_s: float = 8.0
    """How long closing all connectors may take; an MCP server's process is killed after four seconds."""
