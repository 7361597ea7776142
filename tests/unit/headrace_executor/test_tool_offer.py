"""Which tools a request's names stand for, and which of them a plan or a conversation's model is offered."""

from collections.abc import Sequence

import pytest
from headrace_blueprint.model import MAX_TOOLS
from headrace_blueprint.tools import TOOLS
from headrace_executor.engine import tool_names, tool_offer
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode
from headrace_tools.model import ToolEntry
from hypothesis import given
from hypothesis import strategies as st

from tests.support.toolbox import tool

KNOWN = ("school.grades", "school.pupils", "schoolbus.times", "calculator", "time", "search")
ENTRIES = {entry.tool.name: entry for entry in (tool("school.grades"), tool("school.pupils"), tool("crm.leads"))}
MANY = {entry.tool.name: entry for entry in (tool(f"crm.tool{at}") for at in range(MAX_TOOLS))}


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ([], ()),
        (["time", "school.grades", "time"], ("time", "school.grades")),
        (["school.*"], ("school.grades", "school.pupils")),
        (["school.pupils", "school.*"], ("school.pupils", "school.grades")),
        (["*"], KNOWN),
        (["time", "*"], ("time", *(name for name in KNOWN if name != "time"))),
    ],
)
def test_names_stand_for_tools_each_once_in_the_requests_order(names: Sequence[str], meant: Sequence[str]) -> None:
    found = tool_names.read(names, KNOWN)
    assert found.names == tuple(meant)
    assert not found.unknown
    assert not found.faults


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("school.grade", "there is no tool 'school.grade'", "did you mean 'school.grades'?"),
        ("calculater", "there is no tool 'calculater'", "did you mean 'calculator'?"),
        ("telescope", "there is no tool 'telescope'", "there are: calculator, school.grades, "),
        ("shcool.*", "there are no tools 'shcool.*'", "did you mean 'school.*'?"),
        ("time.*", "there are no tools 'time.*'", "there are: school.*, schoolbus.*"),
        ("x" * 100, f"there is no tool {'x' * 64!r}", "there are: "),
    ],
)
def test_a_name_that_stands_for_nothing_has_its_place_and_the_nearest(name: str, message: str, hint: str) -> None:
    found = tool_names.read(["time", name], KNOWN)
    (fault,) = found.faults
    assert (found.names, found.unknown) == (("time",), (name,))
    assert (fault.pointer, fault.message) == ("/tools/1", message)
    assert fault.hint.startswith(hint)


def test_one_model_is_given_so_many_and_no_more() -> None:
    known = [f"t{at}" for at in range(MAX_TOOLS + 1)]
    assert not tool_names.for_a_model(known[1:], known).faults
    (fault,) = tool_names.for_a_model(["*"], known).faults
    assert (fault.pointer, fault.message) == ("/tools", "these are 33 tools, and a model is given at most 32")
    assert not tool_names.read(["*"], known).faults


_NAMES = st.lists(st.sampled_from([*KNOWN, "*", "school.*", "gone", "gone.*", "", ".*", "**"]), max_size=8)


@given(_NAMES)
def test_every_name_is_a_tool_or_a_fault(names: list[str]) -> None:
    found = tool_names.read(names, KNOWN)
    assert set(found.names) <= set(KNOWN)
    assert len(set(found.names)) == len(found.names)
    assert len(found.faults) == len(found.unknown) == sum(name in ("gone", "gone.*", "", ".*", "**") for name in names)


@pytest.mark.parametrize("intent", ["chat", "qa"])
def test_a_conversations_model_gets_what_is_named_and_nothing_without_names(intent: str) -> None:
    assert tool_offer.offered(intent, ENTRIES, ()) == tool_offer.Offer()
    offer = tool_offer.offered(intent, ENTRIES, ["calculator", "school.*"])
    assert offer.names == ("calculator", "school.grades", "school.pupils")
    assert [one.name for one in offer.tools] == ["school.grades", "school.pupils"]


@pytest.mark.parametrize(
    ("known", "names", "says"),
    [
        (ENTRIES, ["school.grade"], "/tools/0: there is no tool 'school.grade' (did you mean 'school.grades'?)"),
        (MANY, ["*"], f"these are {MAX_TOOLS + len(TOOLS)} tools, and a model is given at most {MAX_TOOLS}"),
    ],
)
def test_a_conversation_that_names_what_its_model_cannot_have_fails(
    known: dict[str, ToolEntry], names: Sequence[str], says: str
) -> None:
    with pytest.raises(RunFailed) as caught:
        tool_offer.offered("chat", known, names)
    assert caught.value.failure.code is FailureCode.INVALID_BLUEPRINT
    assert says in caught.value.failure.message


def test_a_build_without_names_or_with_all_is_offered_every_tool() -> None:
    for names in ((), ["*"], ["time", "*"]):
        offer = tool_offer.offered("build", ENTRIES, names)
        assert (offer.names, [one.name for one in offer.tools]) == ((), list(ENTRIES))


def test_a_build_is_told_of_unknown_names_too_so_that_they_restrict_it() -> None:
    offer = tool_offer.offered("build", ENTRIES, ["school.*", "telescope"])
    assert list(offer.names) == ["school.grades", "school.pupils", "telescope"]
    assert [one.name for one in offer.tools] == ["school.grades", "school.pupils"]


def test_of_more_tools_than_the_planner_takes_those_are_named_that_it_is_told_of() -> None:
    many = {f"crm.tool{at}": tool(f"crm.tool{at}") for at in range(tool_offer.MAX_TOOLS + 5)}
    offer = tool_offer.offered("build", many, ["crm.*", "time"])
    assert len(offer.tools) == tool_offer.MAX_TOOLS
    assert list(offer.names) == [*(one.name for one in offer.tools), "time"]
    assert offer.warnings


def test_a_quiz_calls_none_and_says_so() -> None:
    assert tool_offer.offered("quiz", ENTRIES, ()) == tool_offer.Offer()
    offer = tool_offer.offered("quiz", ENTRIES, ["time"])
    assert (offer.names, offer.tools) == ((), ())
    assert "a quiz calls no tools" in offer.warnings[0]
