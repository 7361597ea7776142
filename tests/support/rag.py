"""The rag service on a real Postgres with the real embeddings, and a model that a test scripts."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace_llm import embeddings
from headrace_llm.client import ChatRequest
from headrace_rag import app
from headrace_rag.ports import Models
from headrace_rag.settings import Settings
from headrace_runtime import channels, serve
from pydantic import SecretStr

from tests.support.embeddings import WordEmbedder

GRAPH: Mapping[str, Sequence[Mapping[str, str]]] = {
    "entities": [
        {"name": "Depot", "type": "Location", "description": "Where the grain is kept."},
        {"name": "Mill", "type": "Artifact", "description": "It grinds grain by water."},
    ],
    "relationships": [
        {"source": "Depot", "target": "Mill", "keywords": "supply", "description": "The depot supplies the mill."}
    ],
}
KEYWORDS = {"themes": ["supply of grain"], "names": ["Depot", "Mill"]}


def obedient(request: ChatRequest) -> str:
    """Answer with the graph, or with keywords where those are asked for."""
    wants = (request.schema or {}).get("required", ())
    return json.dumps(KEYWORDS if "themes" in wants else GRAPH)


class Rag:
    """The service as a caller sees it, for one tenant."""

    def __init__(self, channel: grpc.aio.Channel, tenant: str = "acme", *, target: str = "") -> None:
        self.stub = rag_pb2_grpc.RagServiceStub(channel)
        self.channel = channel
        self.tenant = tenant
        self.target = target

    def of(self, tenant: str) -> "Rag":
        """The same service for another tenant."""
        return Rag(self.channel, tenant, target=self.target)

    async def ingest(
        self, document_id: str, text: str, *, workspace: str = "", title: str = "", timeout_s: float = 60
    ) -> rag_pb2.IngestResponse:
        request = rag_pb2.IngestRequest(
            tenant_id=self.tenant, workspace=workspace, document_id=document_id, title=title, text=text
        )
        return await channels.unary(self.stub.Ingest, request, timeout_s=timeout_s)

    async def search(self, query: str, *, timeout_s: float = 30, **fields: Any) -> rag_pb2.SearchResponse:
        request = rag_pb2.SearchRequest(tenant_id=self.tenant, query=query, **fields)
        return await channels.unary(self.stub.Search, request, timeout_s=timeout_s)

    async def document(self, document_id: str, *, workspace: str = "") -> rag_pb2.Document:
        request = rag_pb2.GetDocumentRequest(tenant_id=self.tenant, workspace=workspace, document_id=document_id)
        return (await channels.unary(self.stub.GetDocument, request, timeout_s=10)).document

    async def documents(self, **fields: Any) -> rag_pb2.ListDocumentsResponse:
        request = rag_pb2.ListDocumentsRequest(tenant_id=self.tenant, **fields)
        return await channels.unary(self.stub.ListDocuments, request, timeout_s=10)

    async def workspace(self, workspace: str = "") -> rag_pb2.GetWorkspaceResponse:
        request = rag_pb2.GetWorkspaceRequest(tenant_id=self.tenant, workspace=workspace)
        return await channels.unary(self.stub.GetWorkspace, request, timeout_s=10)

    async def delete(self, document_id: str, *, workspace: str = "") -> None:
        request = rag_pb2.DeleteDocumentRequest(tenant_id=self.tenant, workspace=workspace, document_id=document_id)
        await channels.unary(self.stub.DeleteDocument, request, timeout_s=30)

    async def embed(self, *texts: str, timeout_s: float = 30) -> rag_pb2.EmbedResponse:
        return await channels.unary(self.stub.Embed, rag_pb2.EmbedRequest(texts=texts), timeout_s=timeout_s)


@asynccontextmanager
async def running(
    postgres_url: str, models: Models, multilingual: embeddings.Embedder | None = None, **settings: Any
) -> AsyncIterator[Rag]:
    """The whole service behind a real channel. What `Embed` answers is a double's unless the real one is given."""
    chosen = Settings(database_url=SecretStr(postgres_url), **settings)
    async with AsyncExitStack() as stack:
        embedder = await stack.enter_async_context(embeddings.open_embedder())
        made = await stack.enter_async_context(
            app.wired(chosen, models=models, embedder=embedder, multilingual=multilingual or WordEmbedder())
        )
        server, _, port = await serve.start(made, "127.0.0.1:0")
        target = f"127.0.0.1:{port}"
        channel = channels.open_channel(target)
        try:
            yield Rag(channel, target=target)
        finally:
            await channel.close()
            await server.stop(None)
