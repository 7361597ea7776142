"""Documents: taken on for reading, searched, listed, removed."""

import hashlib
from typing import Any

import orjson
from fastapi import APIRouter, Request
from headrace_runtime import context
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from headrace_edge import policy, uploads
from headrace_edge.bodies import DocumentBody, SearchBody
from headrace_edge.edge import Parts
from headrace_edge.json_body import GONE, JsonRoute
from headrace_edge.middleware.authentication import Librarian
from headrace_edge.model import Document, DocumentAccepted, Found, Listing, Submission
from headrace_edge.routes.parameters import Cursor, IdempotencyKey, Limit, PathId, WorkspaceName
from headrace_edge.submitting import DEFAULT_WORKSPACE, require_size, run_request_id

router = APIRouter(route_class=JsonRoute, tags=["documents"])

_PARSE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/DocumentBody"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "UTF-8 text or Markdown."},
                        "title": {"type": "string", "description": "Absent means the file's name."},
                        "workspace": {"type": "string"},
                    },
                }
            },
        },
    }
}


@router.post(
    "/api/internal/documents/parse",
    status_code=202,
    response_model=DocumentAccepted,
    openapi_extra=_PARSE_BODY,
    summary="Add a document",
)
async def parse_document(
    request: Request, edge: Parts, caller: Librarian, idempotency_key: IdempotencyKey = None
) -> DocumentAccepted | Response:
    """Take a document on for reading. Its id follows from workspace, title and text: the same one is read once."""
    request_id = run_request_id(idempotency_key)
    try:
        document = await uploads.read_document(request, settings=edge.settings)
    except ClientDisconnect:
        return Response(status_code=GONE)
    workspace = document.workspace or DEFAULT_WORKSPACE
    document_id = _document_id(workspace, document)
    value = {"document_id": document_id, "title": document.title, "text": document.text, "workspace": workspace}
    submission = Submission(
        tenant=caller.tenant,
        request_id=request_id,
        kind="document",
        body=orjson.dumps(value),
        priority="background",
        traceparent=context.traceparent(),
        keyed=idempotency_key is not None,
    )
    require_size(submission)
    async with edge.admission.place(submission):
        run = await edge.runs.submit(submission)
    links = {**policy.links(run.run_id), "document": f"/api/documents/{document_id}?workspace={workspace}"}
    return DocumentAccepted(document_id=document_id, run_id=run.run_id, links=links)


def _document_id(workspace: str, document: DocumentBody) -> str:
    parts = orjson.dumps([workspace, document.title, document.text])
    return f"doc-{hashlib.sha256(parts).hexdigest()[:32]}"


@router.post("/api/internal/documents/search", response_model=Found, summary="Search documents")
async def search_documents(body: SearchBody, edge: Parts, caller: Librarian) -> Found:
    """Find passages, and in graph modes entities and relations; `naive` asks no model."""
    return await edge.documents.search(
        caller.tenant, query=body.query, workspace=body.workspace or DEFAULT_WORKSPACE, mode=body.mode, top_k=body.top_k
    )


@router.get("/api/documents", response_model=Listing[Document], summary="List documents")
async def list_documents(
    edge: Parts, caller: Librarian, workspace: WorkspaceName = DEFAULT_WORKSPACE, cursor: Cursor = "", limit: Limit = 50
) -> Listing[Document]:
    """Read the documents of a workspace and the state of their parsing."""
    return await edge.documents.list(caller.tenant, workspace=workspace, cursor=cursor, limit=limit)


@router.get("/api/documents/{document_id}", response_model=Document, summary="Read a document's state")
async def get_document(
    document_id: PathId, edge: Parts, caller: Librarian, workspace: WorkspaceName = DEFAULT_WORKSPACE
) -> Document:
    """Read one document's state; 404 until the rag service has begun with it."""
    return await edge.documents.get(caller.tenant, workspace=workspace, document_id=document_id)


@router.delete("/api/documents/{document_id}", status_code=204, summary="Remove a document")
async def delete_document(
    document_id: PathId, edge: Parts, caller: Librarian, workspace: WorkspaceName = DEFAULT_WORKSPACE
) -> Response:
    """Remove a document and what was learnt from it alone."""
    await edge.documents.delete(caller.tenant, workspace=workspace, document_id=document_id)
    return Response(status_code=204)
