"""What the routes work with: the ports and the process's own parts, gathered by `app`. It does nothing itself."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from headrace_edge import ports
from headrace_edge.draining import Drain
from headrace_edge.limits import Streams
from headrace_edge.quota.admission import RunAdmission
from headrace_edge.readiness import Readiness
from headrace_edge.settings import Settings
from headrace_edge.waiting import Waiter
from headrace_edge.watching import Watcher


@dataclass(frozen=True, slots=True)
class Edge:
    """One process's edge."""

    settings: Settings
    runs: ports.Runs
    sessions: ports.Sessions
    catalog: ports.Catalog
    chats: ports.Chats
    documents: ports.Documents
    usage: ports.Usage
    workflows: ports.Workflows
    pages: ports.Pages
    memories: ports.Memories
    watcher: Watcher
    waiter: Waiter
    streams: Streams
    admission: RunAdmission
    readiness: Readiness
    drain: Drain


async def _edge(request: Request) -> Edge:
    edge: Edge = request.app.state.edge
    return edge


Parts = Annotated[Edge, Depends(_edge)]
