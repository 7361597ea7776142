"""RagService on the wire: decode and check, call a use case, encode. No protobuf message goes below this module."""

from itertools import chain
from typing import Any

import grpc
from headrace.rag.v1 import rag_pb2, rag_pb2_grpc
from headrace_llm.call_context import CallContext
from headrace_runtime.errors import Violation

from headrace_rag import policy
from headrace_rag.embedding import Embeddings
from headrace_rag.model import Document, Found, Mode, Passage, State
from headrace_rag.searching import Query, Reader
from headrace_rag.writing import Writer

_MODES = {
    rag_pb2.SEARCH_MODE_UNSPECIFIED: Mode.NAIVE,
    rag_pb2.SEARCH_MODE_NAIVE: Mode.NAIVE,
    rag_pb2.SEARCH_MODE_LOCAL: Mode.LOCAL,
    rag_pb2.SEARCH_MODE_GLOBAL: Mode.GLOBAL,
    rag_pb2.SEARCH_MODE_HYBRID: Mode.HYBRID,
    rag_pb2.SEARCH_MODE_MIX: Mode.MIX,
}
_STATES = {
    State.PENDING: rag_pb2.DOCUMENT_STATE_PENDING,
    State.PROCESSING: rag_pb2.DOCUMENT_STATE_PROCESSING,
    State.READY: rag_pb2.DOCUMENT_STATE_READY,
    State.FAILED: rag_pb2.DOCUMENT_STATE_FAILED,
}

Context = grpc.aio.ServicerContext


class RagServicer(rag_pb2_grpc.RagServiceServicer):
    """Decodes, calls a use case, encodes. Every method raises `InvalidArgument` with all that is wrong."""

    def __init__(self, reader: Reader, writer: Writer, embeddings: Embeddings) -> None:
        self._reader = reader
        self._writer = writer
        self._embeddings = embeddings

    async def Ingest(  # noqa: N802 - the contract's name
        self, request: rag_pb2.IngestRequest, context: "Context[Any, Any]"
    ) -> rag_pb2.IngestResponse:
        """Read a document."""
        space, faults = policy.space(request.tenant_id, request.workspace)
        own = chain(policy.document_faults(request.document_id), policy.source_faults(request.title, request.text))
        policy.refuse(chain(faults, own))
        source = policy.source(request.document_id, request.title, request.text)
        work = CallContext.from_proto(request.context)
        document, usage = await self._writer.ingest(space, source, budget_s=context.time_remaining(), context=work)
        return rag_pb2.IngestResponse(document=_document(document), usage=usage.to_proto())

    async def Search(  # noqa: N802
        self, request: rag_pb2.SearchRequest, context: "Context[Any, Any]"
    ) -> rag_pb2.SearchResponse:
        """Find passages."""
        space, faults = policy.space(request.tenant_id, request.workspace)
        mode = _MODES.get(request.mode)
        unknown = () if mode else (Violation("mode", f"{request.mode} is no search mode"),)
        policy.refuse(chain(faults, policy.query_faults(request.query, request.top_k), unknown))
        query = Query(
            policy.clean(request.query).strip(),
            mode or Mode.NAIVE,
            request.top_k or policy.DEFAULT_TOP_K,
            CallContext.from_proto(request.context),
        )
        found, usage = await self._reader.search(space, query, budget_s=context.time_remaining())
        response = _found(found)
        response.usage.CopyFrom(usage.to_proto())
        return response

    async def GetWorkspace(  # noqa: N802
        self, request: rag_pb2.GetWorkspaceRequest, context: "Context[Any, Any]"
    ) -> rag_pb2.GetWorkspaceResponse:
        """Whether a workspace was ever written."""
        space, faults = policy.space(request.tenant_id, request.workspace)
        policy.refuse(faults)
        documents = await self._reader.count(space)
        return rag_pb2.GetWorkspaceResponse(workspace=space.workspace, documents=documents)

    async def GetDocument(  # noqa: N802
        self, request: rag_pb2.GetDocumentRequest, context: "Context[Any, Any]"
    ) -> rag_pb2.GetDocumentResponse:
        """One document."""
        space, faults = policy.space(request.tenant_id, request.workspace)
        policy.refuse(chain(faults, policy.document_faults(request.document_id)))
        document = await self._reader.document(space, request.document_id)
        return rag_pb2.GetDocumentResponse(document=_document(document))

    async def ListDocuments(  # noqa: N802
        self, request: rag_pb2.ListDocumentsRequest, context: "Context[Any, Any]"
    ) -> rag_pb2.ListDocumentsResponse:
        """A page of documents, the newest first."""
        space, faults = policy.space(request.tenant_id, request.workspace)
        policy.refuse(chain(faults, policy.page_faults(request.page_size)))
        after = policy.read_page_token(request.page_token)
        found, last = await self._reader.page(space, after=after, limit=request.page_size or policy.DEFAULT_PAGE)
        token = policy.page_token(last) if last else ""
        return rag_pb2.ListDocumentsResponse(documents=[_document(one) for one in found], next_page_token=token)

    async def DeleteDocument(  # noqa: N802
        self, request: rag_pb2.DeleteDocumentRequest, context: "Context[Any, Any]"
    ) -> rag_pb2.DeleteDocumentResponse:
        """Remove a document and what was learnt from it alone."""
        space, faults = policy.space(request.tenant_id, request.workspace)
        policy.refuse(chain(faults, policy.document_faults(request.document_id)))
        await self._writer.delete(space, request.document_id, budget_s=context.time_remaining())
        return rag_pb2.DeleteDocumentResponse()

    async def Embed(  # noqa: N802
        self, request: rag_pb2.EmbedRequest, context: "Context[Any, Any]"
    ) -> rag_pb2.EmbedResponse:
        """Vectors of a few texts."""
        policy.refuse(policy.embed_faults(request.texts))
        found = await self._embeddings.embed(request.texts, budget_s=context.time_remaining())
        vectors = [rag_pb2.Embedding(values=one) for one in found]
        return rag_pb2.EmbedResponse(embeddings=vectors, model=self._embeddings.model)


def _document(document: Document) -> rag_pb2.Document:
    message = rag_pb2.Document(
        document_id=document.document_id,
        workspace=document.workspace,
        title=document.title,
        state=_STATES[document.state],
        error=document.error,
        chunks=document.chunks,
        characters=document.characters,
    )
    message.create_time.FromDatetime(document.created_at)
    message.update_time.FromDatetime(document.updated_at)
    return message


def _found(found: Found) -> rag_pb2.SearchResponse:
    return rag_pb2.SearchResponse(
        chunks=[_chunk(passage) for passage in found.passages],
        entities=[rag_pb2.Entity(name=one.name, kind=one.kind, description=one.description) for one in found.entities],
        relations=[
            rag_pb2.Relation(source=one.source, target=one.target, keywords=one.keywords, description=one.description)
            for one in found.relations
        ],
    )


def _chunk(passage: Passage) -> rag_pb2.Chunk:
    return rag_pb2.Chunk(document_id=passage.document_id, title=passage.title, text=passage.text, score=passage.score)
