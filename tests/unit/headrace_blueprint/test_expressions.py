"""CEL: what an expression names, what is refused before it runs, and what it evaluates to."""

import subprocess
import sys
import threading
from typing import Any

import pytest
from headrace_blueprint import cel_engine, expressions, scanner, validation
from headrace_blueprint.expressions import EvaluationFailed, InvalidExpression, compile_expression, evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.unit.headrace_blueprint.documents import blueprint

SCOPE: dict[str, Any] = {
    "inputs": {"n": 11, "f": 1.5, "l": [1, 2, 3], "s": "a,b", "o": {"k": None}},
    "nodes": {"a": {"output": {"b": [{"c": 5}]}}, "b": {"output": [1.5, 2]}},
    "item": {"text": "hi"},
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("inputs.n > 10", True),
        ("nodes.a.output.b[0].c + inputs.n", 16),
        ("nodes['a'].output.b.size()", 1),
        ("inputs.l.map(i, i * 2)", [2, 4, 6]),
        ("inputs.l.filter(i, i > 1).size() == 2 && inputs.l.exists(i, i == 3)", True),
        ("sum(inputs.l) + int(math.floor(inputs.f))", 7),
        ("inputs.s.split(',').join('-')", "a-b"),
        ("has(inputs.q) ? inputs.q : 'none'", "none"),
        ("{'a': inputs.o.k, 'b': [1.5, 'x']}", {"a": None, "b": [1.5, "x"]}),
        ("size(item.text)", 2),
        ("timestamp('2020-01-01T00:00:00Z')", "2020-01-01T00:00:00Z"),
        ("// a comment\n 1 + 1", 2),
    ],
)
def test_an_expression_evaluates_to_json(source: str, value: Any) -> None:
    assert evaluate(compile_expression(source), SCOPE) == value


@pytest.mark.parametrize(
    ("source", "names", "needs", "inputs", "loops"),
    [
        ("inputs.n > 10", {"inputs"}, set(), {"n"}, False),
        ("nodes.a.output + nodes['b'].output", {"nodes"}, {"a", "b"}, set(), False),
        ("inputs.l.map(x, x * item)", {"inputs", "item"}, set(), {"l"}, True),
        ("inputs.l . map ( x , x )", {"inputs"}, set(), {"l"}, True),
        ("inputs.map + inputs.filter", {"inputs"}, set(), {"map", "filter"}, False),
        ("size('l.map(x, x)') + size(r'\\') + inputs.n // .map(x, x)", {"inputs"}, set(), {"n"}, False),
        ("'a\\'.map(' + inputs.s", {"inputs"}, set(), {"s"}, False),
        ("'''l.map(x,\n'y')''' + inputs.s", {"inputs"}, set(), {"s"}, False),
        ("[x].map(x, x)", {"x"}, set(), set(), True),
        ("math.floor(inputs.f)", {"inputs"}, set(), {"f"}, False),
        ("inputs['f']", {"inputs"}, set(), {"f"}, False),
    ],
)
def test_what_an_expression_names(source: str, names: set[str], needs: set[str], inputs: set[str], loops: bool) -> None:
    expression = compile_expression(source)
    assert [set(expression.names), set(expression.needs), set(expression.inputs)] == [names, needs, inputs]
    assert expression.has_comprehension is loops


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("1 +", "Syntax error"),
        ("", "Syntax error"),
        ("x" * 5_000, "at most 4096 characters"),
        ("+".join(["1"] * 1_000), "at most 600 tokens"),
        ("1in-" * 250 + "1", "at most 600 tokens"),
        ("(" * 40 + "1" + ")" * 40, "at most 32 deep"),
        ("true ? 1 : " * 40 + "1", "at most 32 deep"),
        ("l.all(a, l.all(b, l.all(c, true)))", "at most 2 deep"),
        ("l.all(a, l.map(b, [l.exists(c, true)]) == a)", "at most 2 deep"),
        ("[1].map(inputs, inputs)", "may not be called inputs"),
        ("nodes[inputs.x].output", "nodes.ID.output"),
        ("nodes", "nodes.ID.output"),
        ("nodes.a", "nodes.a.output"),
        ("nodes.a.text", "nodes.a.output"),
        (".inputs.n", "not understood"),
        ("inputs.?n", "unsupported"),
    ],
)
def test_what_is_refused_before_it_runs(source: str, says: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        compile_expression(source)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("inputs.q", "'q'"),
        ("nodes.z.output", "'z'"),
        ("other", "'other'"),
        ("inputs.n + 1.5", "overload"),
        ("1 / 0", "zero"),
        ("9223372036854775807 + 1", "overflow"),
        ("double(1) / 0.0", "not finite"),
        ("b'abc'", "bytes"),
        ("{1: 2}", "not strings"),
        ("duration('1s')", "timedelta"),
        ("inputs.s.join(',')", ""),
        ("int('x')", ""),
    ],
)
def test_what_fails_on_its_data_says_why(source: str, says: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(compile_expression(source), SCOPE)
    assert says.lower() in str(caught.value).lower()


def test_only_what_an_expression_names_is_handed_over() -> None:
    class Unreadable(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            assert key == "a"
            return super().__getitem__(key)

    scope = {"nodes": Unreadable(SCOPE["nodes"]), "item": object()}
    assert evaluate(compile_expression("nodes.a.output.b[0].c"), scope) == 5


BUILTIN_CALLS = (
    "bytes('a')",
    "'ab'.contains('a')",
    "double(1)",
    "duration('1s')",
    "'ab'.endsWith('b')",
    "has({'a': 1}.a)",
    "int('1')",
    "'ab'.matches('a.')",
    "size('a')",
    "'ab'.startsWith('a')",
    "string(1)",
    "timestamp('2020-01-01T00:00:00Z')",
    "type(1)",
    "uint(1)",
)


def test_every_function_that_is_offered_exists() -> None:
    """The engine says `Undefined` for a function that it does not know, and something else for wrong arguments."""
    moment = "timestamp('2020-01-01T00:00:00Z')"
    missing = []
    for name in sorted(cel_engine.FUNCTIONS):
        if name in cel_engine.BUILTIN:
            source = next((call for call in BUILTIN_CALLS if f"{name}(" in call), f"{moment}.{name}()")
        else:
            source = f"{name}()"
        try:
            cel_engine.compile_source(source).execute(cel_engine.context({}))
        except RuntimeError as error:
            missing += [name] if "Undefined variable or function" in str(error) else []
        except (TypeError, ValueError):
            continue
    assert missing == []


@pytest.mark.parametrize(
    "source",
    [
        "+".join(["1"] * 300),
        "1" + "-1" * 299,
        "inputs" + ".a" * 290,
        "inputs.l" + "[0]" * 190,
        "size(" * 31 + "'a'" + ")" * 31,
        "[" * 31 + "]" * 31,
        "!" * 590 + "true",
        "inputs.l" + ".map(x,x)" * 70,
        "'a'" + ".trim()" * 140,
        "{'a':" * 31 + "1" + "}" * 31,
        "(true?1:" * 15 + "1" + ")" * 15,
    ],
)
def test_the_longest_expressions_fit_a_small_stack(source: str) -> None:
    """In a process of its own: an overflow would end it."""
    code = f"""
import threading
from headrace_blueprint.expressions import compile_expression, evaluate, EvaluationFailed
def run():
    expression = compile_expression({source!r})
    try:
        evaluate(expression, {{"inputs": {{"l": [1], "a": 1}}}})
    except EvaluationFailed:
        pass
    print("done")
threading.stack_size(512 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-500:]


def test_loading_leaves_the_command_line_of_the_library_out() -> None:
    code = "import sys; from headrace_blueprint.cel_engine import context; context({}); print('typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"


def test_a_program_may_be_used_from_another_thread() -> None:
    expression = compile_expression("inputs.n + 1")
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(evaluate(expression, SCOPE)))
    thread.start()
    thread.join()
    assert results == [12]


def test_a_comprehension_that_multiplies_is_marked() -> None:
    assert compile_expression("inputs.l.map(a, inputs.l.map(b, [a, b]))").has_comprehension


@settings(max_examples=examples(500))
@given(st.text(max_size=40) | st.text(alphabet="inputs.map(x,) 'r\"\\+[]{}?:!&|01", max_size=40))
def test_any_text_compiles_or_says_why_not(source: str) -> None:
    try:
        expression = compile_expression(source)
    except InvalidExpression:
        return
    if not expression.has_comprehension:
        try:
            evaluate(expression, SCOPE)
        except EvaluationFailed:
            return


def test_a_failing_function_writes_no_value_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EvaluationFailed):
        evaluate(compile_expression("sum([inputs.s])"), {"inputs": {"s": "a secret"}})
    assert caplog.records == []


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("1in-2", "1 in - 2"),
        ("1.5.5 1.5e-3 2E5 0x1Fu 7u .5", "1.5 .5 1.5e-3 2E5 0x1Fu 7u .5"),
        ("l[0].a.b 1.a", "l [ 0 ] . a . b 1 . a"),
        ("r'\\'+b'x'+br'y'+rb'z'+b+r", "r'\\' + b'x' + br'y' + rb'z' + b + r"),
        ("1e 1e+ 0x", "1 e 1 e + 0 x"),
    ],
)
def test_a_source_is_split_as_the_engine_splits_it(source: str, texts: str) -> None:
    """A token that hides others would hide how deep the engine's parser goes."""
    assert " ".join(text for _, text in scanner.tokens(source, at_most=100)) == texts


def test_a_minus_weighs_more_and_a_wrong_source_is_counted_too() -> None:
    assert scanner.weight(scanner.tokens("1-1", at_most=9)) == 3 + scanner.MINUS
    wrong = [{"id": f"n{i}", "kind": "compute", "expr": f"{i} +"} for i in range(200)]
    found = validation.validate(blueprint(*wrong), tools={})
    assert "wrong ones counted" in found[-1].message
    assert len(found) < 100


def test_known_expressions_are_kept_up_to_a_limit() -> None:
    assert compile_expression.cache_info().maxsize == expressions.COMPILED


def test_a_map_has_the_same_order_each_time_so_that_a_prompt_made_of_it_is_the_same() -> None:
    expression = compile_expression('[{"b": 1, "a": {"d": 2, "c": 3}, "e": 4, "f": 5}]')

    assert {str(evaluate(expression, {})) for _ in range(20)} == {"[{'a': {'c': 3, 'd': 2}, 'b': 1, 'e': 4, 'f': 5}]"}
