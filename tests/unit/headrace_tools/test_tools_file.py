"""What a tools.yaml may say, and that each fault is told with its line."""

import re

import pytest
from headrace_tools import limits, tools_file
from headrace_tools.connectors import HttpConnector, McpConnector
from headrace_tools.errors import InvalidToolsFile
from headrace_tools.tools_file import ToolsFile
from hypothesis import given
from hypothesis import strategies as st

ENVIRONMENT = {"SCHOOL_TOKEN": "s3cret", "NOTES_TOKEN": "x"}

GOOD = """\
version: 1
connectors:
  school:
    kind: http
    base_url: http://127.0.0.1:8090/
    allow_hosts: [LOCALHOST., 127.0.0.1]
    auth: {kind: header, secret: SCHOOL_TOKEN, name: X-Api-Key}
    tools:
      grades:
        description: A pupil's grades.
        path: /students/{student_id}/grades
        args:
          type: object
          properties: {student_id: {type: string}, term: {type: string}}
          required: [student_id]
          additionalProperties: false
        query: [term]
      add:
        description: Add a pupil.
        method: POST
        path: /students
      ping: {description: Ping., method: POST, path: /, idempotent: true}
  api: {kind: openapi, spec: ./openapi.json, include: [getX]}
  notes: {kind: mcp, command: [python, server.py], env: {TOKEN: NOTES_TOKEN}}
  remote: {kind: mcp, url: https://example.com/mcp, auth: {kind: bearer, secret: SCHOOL_TOKEN}}
entities:
  pupil: {tool: school.grades, args: {student_id: all}, items: /items, id: id, names: [name, aliases]}
  note: {tool: notes.any, id: id, names: [title]}
tenants:
  acme:
    connectors:
      own: {kind: http, base_url: "https://acme.example", tools: {x: {description: X., path: /x}}}
    entities:
      thing: {tool: own.x, id: id, names: [name]}
      class: {tool: school.add, id: id, names: [name]}
"""


def parsed(text: str) -> ToolsFile:
    return tools_file.parse(text, environment=ENVIRONMENT)


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidToolsFile) as raised:
        parsed(text)
    return str(raised.value).splitlines()


def test_a_file_that_says_everything_is_read() -> None:
    file = parsed(GOOD)
    school = file.connectors[""]["school"]
    assert isinstance(school.entry, HttpConnector)
    assert school.entry.allow_hosts == ("localhost", "127.0.0.1")
    assert (school.entry.timeout_s, school.entry.max_response_bytes, school.entry.retries) == (15.0, 1048576, 2)
    assert [tool.repeatable for tool in school.tools.values()] == [True, False, True]
    assert [one.label for one in file.all()] == ["school", "api", "notes", "remote", "acme/own"]
    assert isinstance(file.connectors[""]["notes"].entry, McpConnector)
    assert file.entities[""]["pupil"].name_fields == ("name", "aliases")
    assert set(file.entities["acme"]) == {"thing", "class"}


def test_the_smallest_file_has_nothing() -> None:
    assert list(parsed("version: 1").all()) == []


def test_every_fault_is_told_with_its_line_and_what_was_probably_meant() -> None:
    text = GOOD
    for old, new in (
        ("base_url: http://127.0.0.1:8090/", "base_url: http://me:pw@127.0.0.1"),
        ("secret: SCHOOL_TOKEN, name", "secret: SCHOOL_TOKN, name"),
        ("path: /students/{student_id}/grades", "path: /students/{student}/grades"),
        ("{description: Ping.", "{descripton: Ping."),
        ("method: POST\n", "method: post\n"),
        ("kind: openapi", "kind: openap"),
        ("{TOKEN: NOTES_TOKEN}", "{TOKEN: NO_TOKEN}"),
        ("tool: school.grades", "tool: school.grade"),
        ("tool: notes.any", "tool: note.any"),
        ("names: [title]", "names: []"),
        ("tool: own.x", "tool: own"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    found = faults(text)
    for line, words in (
        (5, "base_url: a URL must not hold a user name"),
        (11, "tools.grades.path: 'student' is no property of `args`; did you mean student_id?"),
        (22, "tools.ping.descripton: there is no such setting; did you mean description?"),
        (20, "tools.add.method"),
        (23, "api.kind: must be http, openapi, mcp; did you mean openapi?"),
        (24, "notes.env.TOKEN: the environment variable NO_TOKEN is not set"),
        (28, "note.names"),
    ):
        assert any(one.startswith(f"tools.yaml:{line}: ") and words in one for one in found), (line, words, found)


def _with(old: str, new: str) -> list[str]:
    assert old in GOOD
    return faults(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: 1", "version: 2", "version: Input should be 1"),
        ("version: 1\n", "", "version: Field required"),
        ("secret: SCHOOL_TOKEN, name", "secret: MISSING, name", "MISSING is not set"),
        ("kind: header, ", "kind: basic, ", "username"),
        ("name: X-Api-Key", "username: me", "needs the `name`"),
        ("required: [student_id]", "required: []", "must be in the `required`"),
        ("query: [term]", "query: [student_id]", "'student_id' has two places"),
        ("query: [term]", "query: [other]", "'other' is no property"),
        ("query: [term]", "headers: {Host: term}", "Host is not an argument's to say"),
        ("query: [term]", "result: items", "must be \"\" or begin with /"),
        ("query: [term]", "headers: {x-api-key: term}", "x-api-key is where `auth` puts the secret"),
        ("header, secret: SCHOOL_TOKEN, name: X-Api-Key", "query, secret: SCHOOL_TOKEN, name: term", "term is where"),
        ("path: /students\n", "path: /students?a=1\n", "without a query"),
        ("path: /students\n", "path: /a/../b\n", ". and .."),
        ("path: /students\n", "path: https://evil.example/\n", "path"),
        ("type: object\n", "type: list\n", "type: object"),
        ("{student_id: {type: string}", "{student_id: {type: text}", "is no JSON Schema"),
        ("{student_id: {type: string}", "{student_id: {$ref: 'http://a/b'}", "refers to another document"),
        ("additionalProperties: false", "description: &a [*a]", ""),
        ("  api: {kind", "  school: {kind", "given twice"),
        ("  api: {kind", "  a.b: {kind", "connectors.a.b"),
        ("      add:", "      grades:", "given twice"),
        ("      add:", "      add tool:", "a tool's name has letters"),
        ("description: Add a pupil.", "id: add", "the key of the mapping is the tool's name"),
        ("url: https://example.com/mcp, ", "", "needs either `command` or `url`"),
        ("command: [python, server.py]", "command: [python], url: 'http://a'", "needs either"),
        ("spec: ./openapi.json", "spec: ftp://a/b", "only http and https"),
        ("allow_hosts: [LOCALHOST., 127.0.0.1]", "allow_hosts: [http://a]", "is not the name of a host"),
        ("allow_hosts: [LOCALHOST., 127.0.0.1]", "timeout_s: 61", "timeout_s"),
        ("args: {student_id: all}", "args: {}", "'student_id' is a required property"),
        ("args: {student_id: all}", "args: {student_id: 1}", "not of type 'string'"),
        ("tool: school.grades", "tool: school.grade", "school has no tool 'grade'; did you mean grades?"),
        ("tool: notes.any", "tool: note.any", "no connector 'note'; write CONNECTOR.TOOL; did you mean notes?"),
        ("tool: own.x", "tool: own.y", "own has no tool 'y'"),
        ("    entities:\n", "    entity:\n", "there is no such setting; did you mean entities?"),
        ("kind: http\n", "kind: http\n    tool: {}\n", "there is no such setting; did you mean tools?"),
    ],
)  # fmt: skip
def test_a_fault_is_told(old: str, new: str, said: str) -> None:
    found = _with(old, new)
    assert any(said in one for one in found), found
    assert all(re.match(r"tools\.yaml:\d+: ", one) for one in found)


def test_a_tenants_entity_cannot_use_another_tenants_connector() -> None:
    text = GOOD + "  other: {entities: {thing: {tool: own.x, id: id, names: [name]}}}\n"
    assert ["no connector 'own'" in one for one in faults(text)] == [True]


def test_secrets_must_be_sendable() -> None:
    with pytest.raises(InvalidToolsFile, match="has line breaks"):
        tools_file.parse(GOOD, environment={**ENVIRONMENT, "SCHOOL_TOKEN": "a\r\nX: b"})


def test_no_fault_tells_a_secret() -> None:
    with pytest.raises(InvalidToolsFile) as raised:
        tools_file.parse(GOOD.replace("method: POST", "method: x"), environment=ENVIRONMENT)
    assert "s3cret" not in str(raised.value)


def test_sizes_have_limits() -> None:
    assert "larger than" in faults("#" * (limits.MAX_FILE_BYTES + 1))[0]
    many = "".join(f"  c{n}: {{kind: mcp, command: [a]}}\n" for n in range(limits.MAX_CONNECTORS + 1))
    assert any("at most 64" in one for one in faults(f"version: 1\nconnectors:\n{many}"))
    tools = "".join(f"      t{n}: {{description: T., path: /}}\n" for n in range(limits.MAX_TOOLS + 1))
    text = f"version: 1\nconnectors:\n  c:\n    kind: http\n    base_url: http://a\n    tools:\n{tools}"
    assert any("at most 200" in one for one in faults(text))
    assert any("at most 1000" in one for one in _with("A pupil's grades.", "x" * 1001))


@given(st.text(max_size=200) | st.builds(GOOD.replace, st.sampled_from(GOOD.split()), st.text(max_size=10)))
def test_any_text_is_read_or_refused_with_its_faults(text: str) -> None:
    try:
        found: object = parsed(text)
    except InvalidToolsFile as error:
        found = error.faults
    assert found
