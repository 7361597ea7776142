from datetime import UTC, datetime

from headrace.llm.v1 import call_pb2
from headrace_llm.call_context import CallContext
from headrace_llm.client import Priority
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.headrace_llm.fakes import ask

contexts = st.builds(
    CallContext,
    run_id=st.text(st.characters(codec="utf-8"), max_size=20),
    priority=st.none() | st.sampled_from(Priority),
    started_at=st.none() | st.integers(0, 2**33).map(float),
)


@given(contexts)
def test_the_wire_form_keeps_everything(context: CallContext) -> None:
    assert CallContext.from_proto(call_pb2.CallContext.FromString(context.to_proto().SerializeToString())) == context


def test_a_request_takes_the_place_of_its_work() -> None:
    context = CallContext.of_run("r1", 1, datetime(2026, 1, 2, tzinfo=UTC))
    request = context.applied(ask(priority=Priority.BACKGROUND, purpose="plan"))
    assert (request.run_id, request.priority, request.purpose) == ("r1", Priority.INTERACTIVE, "plan")
    assert request.started_at == datetime(2026, 1, 2, tzinfo=UTC).timestamp()


def test_a_context_that_says_nothing_leaves_the_priority() -> None:
    assert CallContext().applied(ask(priority=Priority.BACKGROUND)).priority is Priority.BACKGROUND
