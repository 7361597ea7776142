"""The rag service as the port `Documents`."""

import time
from datetime import UTC
from typing import Any, Literal, cast

import grpc
from headrace.rag.v1 import rag_pb2 as pb
from headrace.rag.v1 import rag_pb2_grpc as grpc_pb

from headrace_edge.adapters import decoding
from headrace_edge.adapters.calls import Caller
from headrace_edge.model import Document, Found, Listing


class RagDocuments:
    """`ports.Documents` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller, *, search_timeout_s: float) -> None:
        self._stub = grpc_pb.RagServiceStub(channel)
        self._caller = caller
        self._search_timeout_s = search_timeout_s

    async def require_workspace(self, tenant: str, workspace: str) -> None:
        """See the port."""
        request = pb.GetWorkspaceRequest(tenant_id=tenant, workspace=workspace)
        await self._caller.repeatable(self._stub.GetWorkspace, request)

    async def search(self, tenant: str, *, query: str, workspace: str, mode: str, top_k: int) -> Found:
        """See the port."""
        request = pb.SearchRequest(
            tenant_id=tenant,
            workspace=workspace,
            query=query,
            mode=f"SEARCH_MODE_{mode.upper()}",
            top_k=top_k,
        )
        started = time.perf_counter()
        answer: pb.SearchResponse = await self._caller.repeatable(
            self._stub.Search, request, timeout_s=self._search_timeout_s
        )
        return Found(
            chunks=[_chunk(one) for one in answer.chunks],
            entities=[{"name": one.name, "kind": one.kind, "description": one.description} for one in answer.entities],
            relations=[
                {"source": one.source, "target": one.target, "keywords": one.keywords, "description": one.description}
                for one in answer.relations
            ],
            usage=decoding.usage(answer.usage),
            timings={"search_ms": round((time.perf_counter() - started) * 1000, 3)},
        )

    async def get(self, tenant: str, *, workspace: str, document_id: str) -> Document:
        """See the port."""
        request = pb.GetDocumentRequest(tenant_id=tenant, workspace=workspace, document_id=document_id)
        answer: pb.GetDocumentResponse = await self._caller.repeatable(self._stub.GetDocument, request)
        return _document(answer.document)

    async def list(self, tenant: str, *, workspace: str, cursor: str, limit: int) -> Listing[Document]:
        """See the port."""
        request = pb.ListDocumentsRequest(tenant_id=tenant, workspace=workspace, page_size=limit, page_token=cursor)
        answer: pb.ListDocumentsResponse = await self._caller.repeatable(self._stub.ListDocuments, request)
        return Listing[Document](
            items=[_document(one) for one in answer.documents], next_cursor=answer.next_page_token or None
        )

    async def delete(self, tenant: str, *, workspace: str, document_id: str) -> None:
        """See the port."""
        request = pb.DeleteDocumentRequest(tenant_id=tenant, workspace=workspace, document_id=document_id)
        await self._caller.once(self._stub.DeleteDocument, request)


def _chunk(one: pb.Chunk) -> dict[str, Any]:
    score = one.score if one.HasField("score") else None
    return {"document_id": one.document_id, "title": one.title, "text": one.text, "score": score}


def _document(one: pb.Document) -> Document:
    return Document(
        document_id=one.document_id,
        workspace=one.workspace,
        title=one.title,
        status=cast(
            'Literal["pending", "processing", "ready", "failed"]',
            pb.DocumentState.Name(one.state).removeprefix("DOCUMENT_STATE_").lower(),
        ),
        error=one.error or None,
        chunks=one.chunks,
        characters=one.characters,
        created_at=one.create_time.ToDatetime(tzinfo=UTC),
        updated_at=one.update_time.ToDatetime(tzinfo=UTC),
    )
