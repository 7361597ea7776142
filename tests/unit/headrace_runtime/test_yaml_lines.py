"""Faults of a YAML file: where they are, and what was probably meant."""

from headrace_runtime import yaml_lines
from headrace_runtime.settings import Fault
from pydantic import BaseModel, ConfigDict


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    timeout_s: float = 1


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: _Inner | None = None
    many: dict[str, _Inner] = {}
    size: int = 0


def _faults(text: str) -> list[Fault]:
    root, value, faults = yaml_lines.load(text)
    assert not faults
    yaml_lines.validate(_Outer, value, (), root, faults)
    return faults


def test_an_unknown_key_is_answered_with_the_nearest_one_of_its_own_level() -> None:
    assert _faults("siez: 1") == [Fault(1, "siez", "there is no such setting; did you mean size?")]
    assert _faults("size: 1\ninner:\n  timeout: 1") == [
        Fault(3, "inner.timeout", "there is no such setting; did you mean timeout_s?")
    ]
    assert _faults("many:\n  a:\n    size: 1") == [Fault(3, "many.a.size", "there is no such setting")]


def test_text_that_is_no_yaml_is_one_fault_with_its_line() -> None:
    _, _, faults = yaml_lines.load("a: 1\nb: [")
    assert [fault.line for fault in faults] == [2]


def test_a_key_given_twice_is_a_fault() -> None:
    root, _, _ = yaml_lines.load("a: 1\na: 2")
    assert [(fault.line, fault.path) for fault in yaml_lines.repeated(root)] == [(2, "a")]
