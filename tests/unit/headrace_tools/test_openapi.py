"""Tools from OpenAPI documents."""

from collections.abc import Mapping
from typing import Any

import pytest
from headrace_schemas import counted
from headrace_tools import openapi, schemas
from headrace_tools.connectors import Auth, OpenApiConnector
from headrace_tools.errors import ToolFailed
from headrace_tools.limits import MAX_SPEC_OPERATIONS, MAX_TOOLS
from headrace_tools.openapi import Imported, InvalidSpec
from headrace_tools.requests import build
from hypothesis import given
from hypothesis import strategies as st

TEXT = {"type": "string"}
JSON = "application/json"


def spec(
    operation: Mapping[str, Any] | None = None, *, path: str = "/a", method: str = "get", **more: Any
) -> dict[str, Any]:
    return {
        "openapi": "3.0.3",
        "servers": [{"url": "http://host/v1/"}],
        "paths": {path: {method: operation if operation is not None else {}}},
        **more,
    }


def imported(document: Any, source: str = "", **settings: Any) -> Imported:
    return openapi.tools("c", OpenApiConnector(kind="openapi", spec="x.json", **settings), document, source=source)


def only(document: Any, **settings: Any) -> Any:
    found = imported(document, **settings)
    assert not found.skipped
    (endpoint,) = found.endpoints.values()
    return endpoint


def schema(document: Any) -> Any:
    return only(document).entry.tool.input_schema


def parameter(name: str, where: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "schema": TEXT, **more}


def body(of: Any, kind: str = JSON, **more: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": of}}, **more}}


def test_an_operation_is_a_tool() -> None:
    one = only(spec({"operationId": "getA", "summary": "Get A.", "description": "All of it."}))
    assert one.entry.tool.name == "c.getA"
    assert one.entry.tool.description == "Get A.\nAll of it."
    assert (one.entry.kind, one.entry.connector, one.entry.idempotent) == ("openapi", "c", True)
    assert build(one, {}).url == "http://host/v1/a"
    assert not only(spec(method="post")).entry.idempotent


def test_without_an_id_the_method_and_the_path_are_the_name() -> None:
    assert set(imported(spec(path="/a/{b}/c-d", method="delete")).skipped) == {"delete_a_b_c-d"}
    assert only(spec(path="/a/c-d", method="delete")).entry.tool.name == "c.delete_a_c-d"
    assert only(spec({"operationId": "pupils.list all"})).entry.tool.name == "c.pupils_list_all"


def test_parameters_of_the_path_and_the_operation_are_arguments() -> None:
    document = spec(
        {"parameters": [parameter("q", explode=False), parameter("X-H", "header"), {"$ref": "#/components/parameters/p"}]}
    )
    document["components"] = {"parameters": {"p": parameter("id", "path", required=True, description="Which.")}}
    document["paths"] = {"/a/{id}": {**document["paths"]["/a"], "parameters": [parameter("q", required=True)]}}
    one = only(document)
    assert one.entry.tool.input_schema == {
        "type": "object",
        "properties": {"q": TEXT, "X-H": TEXT, "id": {"type": "string", "description": "Which."}},
        "required": ["id"],
        "additionalProperties": False,
    }
    request = build(one, {"id": "a/b", "q": ["1", "2"], "X-H": "h"})
    assert request.url == "http://host/v1/a/a%2Fb?q=1%2C2"
    assert request.headers == {"X-H": "h"}


def test_equal_names_in_two_places_are_two_arguments() -> None:
    one = only(spec({"parameters": [parameter("id", "path", required=True), parameter("id")]}, path="/a/{id}"))
    assert build(one, {"id": "1", "query_id": "2"}).url == "http://host/v1/a/1?id=2"


def test_fields_of_a_body_stand_beside_the_parameters() -> None:
    of = {"type": "object", "properties": {"name": TEXT, "age": {"type": "integer"}}, "required": ["name"]}
    one = only(spec({"parameters": [parameter("q")], **body(of)}, method="post"))
    assert set(one.entry.tool.input_schema["properties"]) == {"q", "name", "age"}
    assert one.entry.tool.input_schema["required"] == ["name"]
    request = build(one, {"q": "1", "name": "n"})
    assert (request.url, request.body) == ("http://host/v1/a?q=1", b'{"name":"n"}')


@pytest.mark.parametrize(
    "of",
    [
        {"type": "object", "properties": {"q": TEXT}},
        {"type": "array", "items": TEXT},
        {"oneOf": [{"type": "object"}, TEXT]},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": True},
        {},
    ],
)
def test_any_other_body_is_one_argument(of: Any) -> None:
    one = only(spec({"parameters": [parameter("q")], **body(of, "application/vnd.x+json; v=1")}, method="put"))
    assert one.entry.tool.input_schema["required"] == ["body"]
    request = build(one, {"q": "1", "body": [1]})
    assert (request.body, request.headers) == (b"[1]", {"Content-Type": "application/vnd.x+json"})


def test_what_is_only_in_answers_is_no_argument() -> None:
    of = {"type": "object", "properties": {"id": {**TEXT, "readOnly": True}, "a": TEXT}, "required": ["id", "a"]}
    found = schema(spec(body(of), method="post"))
    assert (set(found["properties"]), found["required"]) == ({"a"}, ["a"])


def test_what_3_0_says_in_its_own_way_is_json_schema() -> None:
    of = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "nullable": True, "enum": ["x"], "example": "x"},
            "b": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False},
        },
    }
    assert schema(spec(body(of), method="post"))["properties"] == {
        "a": {"type": ["string", "null"], "enum": ["x", None]},
        "b": {"type": "number", "exclusiveMinimum": 0, "maximum": 9},
    }


def test_references_are_written_out_and_cut_where_they_lead_back() -> None:
    pupil = {
        "type": "object",
        "properties": {"name": {"$ref": "#/components/schemas/Name"}, "friend": {"$ref": "#/components/schemas/Pupil"}},
    }
    document = spec(body({"$ref": "#/components/schemas/Pupil"}), method="post")
    document["components"] = {"schemas": {"Pupil": pupil, "Name": {**TEXT, "maxLength": 9}}}
    assert schema(document)["properties"] == {
        "name": {"type": "string", "maxLength": 9},
        "friend": {"description": "Pupil, as above"},
    }


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (body(TEXT, "application/xml"), "application/xml, not JSON"),
        ({"parameters": [parameter("s", "cookie", required=True)]}, "cookie 's'"),
        ({"parameters": [parameter("d", style="deepObject", required=True)]}, "not supported"),
        ({"parameters": [{"$ref": "#/components/none"}]}, "does not have"),
        ({"parameters": [{"$ref": "https://example.com/p"}]}, "another document"),
        ({"parameters": ["x"]}, "no object"),
        (body({"$ref": "#/loop"}), "leads back"),
        (body({"type": "object", "properties": {"a": {"type": "text"}}}), "no JSON Schema"),
    ],
)
def test_an_operation_that_cannot_be_called_is_skipped_and_the_others_are_not(operation: Any, said: str) -> None:
    document = spec({"operationId": "odd", **operation}, method="post", loop={"$ref": "#/loop"})
    document["paths"]["/b"] = {"get": {"operationId": "good"}}
    found = imported(document)
    if said == "leads back":
        assert set(found.endpoints) == {"odd", "good"}
        return
    assert set(found.endpoints) == {"good"}
    assert said in found.skipped["odd"]


def test_references_that_grow_without_end_are_cut_short() -> None:
    document = spec(body({"$ref": "#/components/schemas/s0"}), method="post")
    parts = {
        f"s{n}": {"type": "object", "properties": {k: {"$ref": f"#/components/schemas/s{n + 1}"} for k in "abcd"}}
        for n in range(14)
    }
    document["components"] = {"schemas": {**parts, "s14": TEXT}}
    assert "parts" in imported(document).skipped["post_a"]


def test_operations_are_chosen() -> None:
    document = spec()
    document["paths"] = {f"/{name}": {"get": {"operationId": name}} for name in ("a", "b", "c.d")}
    assert set(imported(document, include=("a", "c.d")).endpoints) == {"a", "c_d"}
    assert set(imported(document, exclude=("a", "c.d")).endpoints) == {"b"}
    with pytest.raises(InvalidSpec, match="does not have: z"):
        imported(document, include=("a", "z"))


@pytest.mark.parametrize("version", ["3.0.3", "3.1.1"])
def test_a_document_as_people_write_them(version: str) -> None:
    """Parts that are referred to, composed, recursive; parameters at the path; a server with variables; other bodies."""
    document = {
        "openapi": version,
        "servers": [
            {
                "url": "https://{region}.example.com:{port}/{base}",
                "variables": {
                    "region": {"default": "eu", "enum": ["eu", "us"]},
                    "port": {"default": 8443},
                    "base": {"default": "v2"},
                },
            },
            {"url": "https://other.example.com"},
        ],
        "paths": {
            "/folders/{folder id}/nodes": {
                "summary": "Nodes.",
                "parameters": [{"$ref": "#/components/parameters/folder"}, parameter("trace", "header")],
                "get": {
                    "operationId": "listNodes",
                    "parameters": [parameter("trace", "header", required=True), parameter("session", "cookie")],
                    "responses": {"200": {"description": "Them."}},
                },
                "post": {"operationId": "addNode", "requestBody": {"$ref": "#/components/requestBodies/node"}},
                "put": {"operationId": "upload", **body({}, "multipart/form-data")},
                "patch": {"operationId": "note", "requestBody": {"content": {"text/plain": {"schema": TEXT}}}},
            },
            "x-internal": {"get": {"operationId": "hidden"}},
        },
        "components": {
            "parameters": {"folder": parameter("folder id", "path", required=True)},
            "requestBodies": {
                "node": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}},
                }
            },
            "schemas": {
                "Base": {
                    "type": "object",
                    "properties": {"id": {"type": "string", "readOnly": True}, "title": TEXT},
                    "required": ["id", "title"],
                },
                "Node": {
                    "allOf": [
                        {"$ref": "#/components/schemas/Base"},
                        {
                            "type": "object",
                            "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}},
                        },
                    ]
                },
            },
        },
    }
    found = imported(document)
    assert set(found.endpoints) == {"listNodes", "addNode", "note"}
    assert found.skipped == {"upload": "its body is multipart/form-data, not JSON"}
    listed, added = found.endpoints["listNodes"], found.endpoints["addNode"]
    assert listed.entry.tool.input_schema["required"] == ["folder id", "trace"]
    request = build(listed, {"folder id": "a/b", "trace": "1"})
    assert request.url == "https://eu.example.com:8443/v2/folders/a%2Fb/nodes"
    assert request.headers == {"trace": "1"}
    checker = counted.validator(added.entry.tool.input_schema)
    node = {"title": "a", "children": [{"title": "b", "children": []}]}
    schemas.check("t", checker, {"folder id": "1", "body": node})
    wrongs: list[Any] = [{"children": []}, {"title": 1}, {"title": "a", "children": {}}]
    for wrong in wrongs:
        with pytest.raises(ToolFailed):
            schemas.check("t", checker, {"folder id": "1", "body": wrong})


def test_the_names_of_parameters_in_a_path_are_as_they_are() -> None:
    for name in ("user id", "schüler", "a.b", "$id", "user-id"):
        one = only(spec({"parameters": [parameter(name, "path", required=True)]}, path=f"/über/{{{name}}}"))
        assert build(one, {name: "x y"}).url == "http://host/v1/%C3%BCber/x%20y"


@pytest.mark.parametrize(
    "header", ["Host", "Content-Length", "transfer-encoding", "Connection", "Proxy-Authorization", "TE"]
)
def test_no_argument_says_how_a_request_is_sent_and_to_whom(header: str) -> None:
    assert schema(spec({"parameters": [parameter(header, "header", required=True)]}))["properties"] == {}


@pytest.mark.parametrize(
    ("auth", "names"),
    [
        ({"kind": "header", "name": "x-api-key", "secret": "K"}, {"key"}),
        ({"kind": "query", "name": "key", "secret": "K"}, {"X-API-Key"}),
        ({"kind": "bearer", "secret": "K"}, {"X-API-Key", "key"}),
    ],
)
def test_what_the_connector_says_is_no_argument(auth: Any, names: set[str]) -> None:
    document = spec({"parameters": [parameter("X-API-Key", "header", required=True), parameter("key", required=True)]})
    one = only(document, auth=Auth(**auth))
    assert set(one.entry.tool.input_schema["properties"]) == names
    assert set(one.entry.tool.input_schema["required"]) == names


@pytest.mark.parametrize("at", ["path", "operation"])
def test_an_operation_with_servers_of_its_own_is_not_called_elsewhere(at: str) -> None:
    servers = {"servers": [{"url": "https://evil.example"}]}
    document = spec({"operationId": "odd", **(servers if at == "operation" else {})})
    if at == "path":
        document["paths"]["/a"] |= servers
    assert "base_url" in imported(document).skipped["odd"]
    assert only(document, base_url="https://mine.example").base_url == "https://mine.example"


@pytest.mark.parametrize(
    "server",
    [
        {"url": "https://{region}.example.com"},
        {"url": "https://{region}.example.com", "variables": []},
        {"url": "https://{region}.example.com", "variables": {"region": "eu"}},
        {"url": "https://{region}.example.com", "variables": {"region": {"enum": ["eu"]}}},
        {"url": "https://{region}.example.com", "variables": {"region": {"default": "user@evil"}}},
        {"url": "https://example.com/{base}"},
        {"url": "https://example.com/v1?key=1"},
        {"url": "http://[half"},
        {"url": 7},
        "https://example.com",
    ],
)
@pytest.mark.parametrize("source", ["", "https://example.com/openapi.json"])
def test_a_server_that_cannot_be_called_is_told(server: Any, source: str) -> None:
    document = {**spec(), "servers": [server]}
    if source and server in ({"url": 7}, "https://example.com"):
        return  # relative to where the document came from
    with pytest.raises(InvalidSpec, match="give base_url"):
        imported(document, source=source)
    assert only(document, source=source, base_url="https://mine.example").base_url == "https://mine.example"


def test_two_thousand_operations_are_looked_at_and_no_more() -> None:
    document = spec()
    document["paths"] = {f"/p{n}": {"get": {"operationId": f"get{n}"}} for n in range(MAX_SPEC_OPERATIONS)}
    found = imported(document)
    assert (len(found.endpoints), len(found.skipped)) == (MAX_TOOLS, MAX_SPEC_OPERATIONS - MAX_TOOLS)
    assert set(imported(document, include=("get1999",)).endpoints) == {"get1999"}
    document["paths"]["/one/more"] = {"get": {}}
    with pytest.raises(InvalidSpec, match=f"more than {MAX_SPEC_OPERATIONS} operations"):
        imported(document)


def test_of_very_many_operations_the_first_are_tools() -> None:
    document = spec()
    document["paths"] = {f"/p{n}": {"get": {}} for n in range(210)}
    found = imported(document)
    assert (len(found.endpoints), len(found.skipped)) == (200, 10)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "no `paths`"),
        ({"openapi": "3.0.0"}, "no `paths`"),
        ({**spec(), "openapi": "2.0"}, "version 2.0"),
        ({**spec(), "servers": [{"url": "/v1"}]}, "give base_url"),
        ({**spec(), "servers": []}, "give base_url"),
        (
            {**spec(), "paths": {"/a": {"get": {"operationId": "x"}, "put": {"operationId": "x"}}}},
            "two operations are named x",
        ),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(document: Any, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        imported(document)


def test_a_fetched_documents_server_must_be_where_it_came_from() -> None:
    assert (
        only({**spec(), "servers": [{"url": "/v2"}]}, source="https://host/docs/openapi.json").base_url == "https://host/v2"
    )
    with pytest.raises(InvalidSpec, match="give base_url"):
        imported(spec(), source="https://other/openapi.json")
    assert only(spec(), source="https://other/openapi.json", base_url="https://third").base_url == "https://third"


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$ref", "type", "properties", "in", "a", "url", "variables", "default", "content", "pattern"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(JSONS, JSONS, JSONS, JSONS)
def test_any_document_gives_tools_or_says_why_not(parameters: Any, request: Any, components: Any, servers: Any) -> None:
    operation = {"parameters": [parameters, parameter("a", schema=components)], "requestBody": request}
    document = {**spec(operation, method="post"), "components": components}
    try:
        imported({**document, "servers": servers})
    except InvalidSpec:
        imported(document)
