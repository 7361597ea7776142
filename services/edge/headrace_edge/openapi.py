"""The API's description: problems as every error's form, the security scheme, stable operation ids."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from headrace_edge.bodies import DocumentBody
from headrace_edge.middleware.authentication import OPEN_PATHS
from headrace_edge.model import ProblemDocument
from headrace_edge.problems import MEDIA_TYPE

DESCRIPTION = """\
LLM agents at the pace that the provider's quota allows. Everything below `/api` that calls a model is a *run*: it survives
crashes, its events are numbered, and a stream resumes after any break with `Last-Event-ID`. `/v1` is OpenAI's protocol.
"""

_SCHEMAS = "#/components/schemas"
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457). 429 and 503 carry Retry-After.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}/Problem"}}},
    }
}


def operation_id(route: APIRoute) -> str:
    """The function's name, which stays when the path changes."""
    return route.name


def install(app: FastAPI) -> None:
    """Make `app.openapi()` describe what the middleware does."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _describe(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = ProblemDocument.model_json_schema(ref_template=f"{_SCHEMAS}/{{model}}")
    schemas["DocumentBody"] = DocumentBody.model_json_schema(ref_template=f"{_SCHEMAS}/{{model}}")
    components["securitySchemes"] = {
        "apiKey": {"type": "http", "scheme": "bearer", "description": "Not needed from loopback without configured keys."}
    }
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in OPEN_PATHS else [{"apiKey": []}, {}]
    return schema
