"""The rag service over gRPC, as `ports.Rag` and `memories.Embeddings`."""

from collections.abc import Sequence

import grpc
from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace_llm.usage import Usage
from headrace_runtime import channels, errors

from headrace_executor.memories import Vectors
from headrace_executor.model import ClaimedRun, Json
from headrace_executor.ports import Found, Passage

SEARCH_S = 20.0
"""Deadline of one search."""
INGEST_S = 600.0
"""Deadline of one reading; a model is asked once per chunk of the document."""

_MODES = {
    "": rag_pb2.SEARCH_MODE_UNSPECIFIED,
    "naive": rag_pb2.SEARCH_MODE_NAIVE,
    "local": rag_pb2.SEARCH_MODE_LOCAL,
    "global": rag_pb2.SEARCH_MODE_GLOBAL,
    "hybrid": rag_pb2.SEARCH_MODE_HYBRID,
    "mix": rag_pb2.SEARCH_MODE_MIX,
}
_STATES = {
    rag_pb2.DOCUMENT_STATE_PENDING: "pending",
    rag_pb2.DOCUMENT_STATE_PROCESSING: "processing",
    rag_pb2.DOCUMENT_STATE_READY: "ready",
    rag_pb2.DOCUMENT_STATE_FAILED: "failed",
}


class RagClient:
    """Calls the rag service. Raises `headrace_runtime.errors.ServiceError`."""

    def __init__(self, channel: grpc.aio.Channel, *, search_s: float = SEARCH_S, ingest_s: float = INGEST_S) -> None:
        self._stub = rag_pb2_grpc.RagServiceStub(channel)
        self._search_s = search_s
        self._ingest_s = ingest_s

    async def search(self, run: ClaimedRun, *, query: str, workspace: str, mode: str, top_k: int) -> Found:
        """Find passages; a workspace that was never written has none."""
        if mode not in _MODES:
            raise errors.InvalidArgument(f"unknown search mode {mode!r}; one of {', '.join(filter(None, _MODES))}")
        request = rag_pb2.SearchRequest(
            tenant_id=run.tenant_id,
            workspace=workspace,
            query=query,
            mode=_MODES[mode],
            top_k=top_k,
            context=run.call_context.to_proto(),
        )
        try:
            answer = await channels.unary(self._stub.Search, request, timeout_s=self._search_s, wait_for_ready=True)
        except errors.NotFound:
            return Found((), (), (), Usage())
        return Found(
            tuple(_passage(chunk) for chunk in answer.chunks),
            tuple({"name": e.name, "kind": e.kind, "description": e.description} for e in answer.entities),
            tuple(
                {"source": r.source, "target": r.target, "keywords": r.keywords, "description": r.description}
                for r in answer.relations
            ),
            Usage.from_proto(answer.usage),
        )

    async def ingest(
        self, run: ClaimedRun, *, document_id: str, title: str, text: str, workspace: str
    ) -> tuple[Json, Usage]:
        """Read a document."""
        request = rag_pb2.IngestRequest(
            tenant_id=run.tenant_id,
            workspace=workspace,
            document_id=document_id,
            title=title,
            text=text,
            context=run.call_context.to_proto(),
        )
        answer = await channels.unary(self._stub.Ingest, request, timeout_s=self._ingest_s, wait_for_ready=True)
        return _document(answer.document), Usage.from_proto(answer.usage)

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> Vectors:
        """A unit vector for each text."""
        answer = await channels.unary(self._stub.Embed, rag_pb2.EmbedRequest(texts=texts), timeout_s=timeout_s)
        return Vectors(answer.model, [tuple(one.values) for one in answer.embeddings])


def _passage(chunk: rag_pb2.Chunk) -> Passage:
    score = chunk.score if chunk.HasField("score") else None
    return Passage(chunk.document_id, chunk.title, chunk.text, score)


def _document(document: rag_pb2.Document) -> Json:
    return {
        "document_id": document.document_id,
        "workspace": document.workspace,
        "title": document.title,
        "status": _STATES.get(document.state, "pending"),
        "error": document.error or None,
        "chunks": document.chunks,
        "characters": document.characters,
        "created_at": _time(document, "create_time"),
        "updated_at": _time(document, "update_time"),
    }


def _time(document: rag_pb2.Document, field: str) -> str | None:
    return getattr(document, field).ToJsonString() if document.HasField(field) else None
