"""Reads an uploaded document, as JSON or as a multipart file: UTF-8 text or Markdown within the limit, nothing else."""

import asyncio
from pathlib import PurePosixPath

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from headrace_edge import json_body
from headrace_edge.bodies import DocumentBody
from headrace_edge.policy import Fault, Problem, Refused
from headrace_edge.settings import Settings

_TEXT_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
_UNTYPED = frozenset({"", "application/octet-stream"})
_TEXT_SUFFIXES = frozenset({".txt", ".text", ".md", ".markdown"})
_MAX_FIELDS = 8


async def read_document(request: Request, *, settings: Settings) -> DocumentBody:
    """The document that a request carries. Raises Refused (400, 408, 413, 415, 422), ClientDisconnect."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        document = await _from_form(request, settings=settings)
    else:
        json_body.require_json(kind)
        body = await json_body.read(request, timeout_s=settings.body_timeout_s)
        document = _validated(json_body.parse(body, max_depth=settings.max_json_depth))
    size = len(document.text.encode())
    if size > settings.max_document_bytes:
        detail = f"the document has {size} bytes; {settings.max_document_bytes} are taken"
        raise Refused(Problem(413, "DOCUMENT_TOO_LARGE", detail))
    return document


async def _from_form(request: Request, *, settings: Settings) -> DocumentBody:
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            form = await request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=settings.max_body_bytes)
    except TimeoutError as error:
        raise Refused(Problem(408, "BODY_TIMEOUT", "the body did not arrive in time")) from error
    except HTTPException as error:
        raise Refused(Problem(400, "MALFORMED_MULTIPART", str(error.detail))) from error
    try:
        return await _from_fields(form)
    finally:
        await form.close()


async def _from_fields(form: FormData) -> DocumentBody:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refused(_fault("file", "a file is needed"))
    name = PurePosixPath((file.filename or "").replace("\\", "/")).name
    kind = (file.content_type or "").partition(";")[0].strip().lower()
    if kind not in _TEXT_TYPES and not (kind in _UNTYPED and PurePosixPath(name).suffix.lower() in _TEXT_SUFFIXES):
        raise Refused(Problem(415, "UNSUPPORTED_MEDIA_TYPE", "only text/plain and text/markdown files are read"))
    try:
        text = (await file.read()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(_fault("file", f"not UTF-8 at byte {error.start}")) from error
    if "\0" in text:
        raise Refused(_fault("file", "holds the character U+0000, so it is not text"))
    workspace = form.get("workspace")
    return _validated({"title": form.get("title") or name, "text": text, "workspace": workspace or None})


def _validated(value: object) -> DocumentBody:
    try:
        return DocumentBody.model_validate(value)
    except ValidationError as error:
        faults = tuple(Fault(("body", *one["loc"]), one["msg"]) for one in error.errors(include_input=False))
        raise Refused(Problem(422, "INVALID_ARGUMENT", "the document does not have the right form", faults)) from error


def _fault(field: str, message: str) -> Problem:
    return Problem(422, "INVALID_ARGUMENT", f"{field}: {message}", (Fault(("body", field), message),))
