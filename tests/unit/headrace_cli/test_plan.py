"""Which processes `headrace up` runs, with which environment, in which order they stop."""

import signal

from headrace_cli.embedded.program import Program
from headrace_cli.supervisor import plan
from headrace_cli.supervisor.plan import Backing, Layout, Part

LAYOUT = Layout(edge=8080, router=1, planner=2, rag=3, executors=(4, 5))
BACKING = Backing("postgresql://u:p@127.0.0.1:9/headrace", "redis://:p@127.0.0.1:8/0", "models.yaml")


def _parts(layout: Layout = LAYOUT) -> dict[str, Part]:
    return {part.name: part for part in plan.services(layout, BACKING)}


def _store(name: str) -> Part:
    return plan.embedded(Program(name, ("true",), lambda: True, stop_signal=signal.SIGINT), 7)


def test_every_service_is_there_once_and_listens_on_its_own_port() -> None:
    parts = _parts()

    assert set(parts) == {"edge", "router", "planner", "rag", "executor-1", "executor-2"}
    assert {part.port for part in parts.values()} == {8080, 1, 2, 3, 4, 5}
    for name, part in parts.items():
        kind = name.partition("-")[0]
        assert part.program.env[f"HEADRACE_{kind.upper()}_LISTEN"] == f"127.0.0.1:{part.port}"
        assert part.program.argv[1:] == ("-m", f"headrace_{kind}")


def test_one_executor_has_no_number() -> None:
    assert "executor" in _parts(Layout(8080, 1, 2, 3, (4,)))


def test_the_edge_knows_every_executor_and_no_password() -> None:
    edge = _parts()["edge"].program.env

    assert edge["HEADRACE_EDGE_EXECUTOR_TARGET"] == "127.0.0.1:4,127.0.0.1:5"
    assert edge["HEADRACE_EDGE_RAG_TARGET"] == "127.0.0.1:3"
    assert not [value for value in edge.values() if ":p@" in value]


def test_executors_reach_the_stores_and_the_other_services() -> None:
    env = _parts()["executor-2"].program.env

    assert env["HEADRACE_EXECUTOR_DATABASE_URL"] == BACKING.database_url
    assert env["HEADRACE_EXECUTOR_REDIS_URL"] == BACKING.redis_url
    assert [env[f"HEADRACE_EXECUTOR_{name}_TARGET"] for name in ("ROUTER", "PLANNER", "RAG")] == [
        "127.0.0.1:1",
        "127.0.0.1:2",
        "127.0.0.1:3",
    ]


def test_whoever_asks_models_has_the_registry_and_the_gate_and_one_numpy_thread() -> None:
    for name in ("router", "planner", "rag", "executor-1"):
        env = _parts()[name].program.env
        assert env["HEADRACE_LLM_MODELS_FILE"] == BACKING.models_file
        assert env["HEADRACE_LLM_REDIS_URL"] == BACKING.redis_url
        assert env["OPENBLAS_NUM_THREADS"] == "1"


def test_services_wait_for_the_stores_that_they_use() -> None:
    parts = _parts()

    assert parts["edge"].needs == ()
    assert parts["router"].needs == ("valkey",)
    assert set(parts["rag"].needs) == set(parts["executor-1"].needs) == {"postgres", "valkey"}


def test_the_edge_stops_first_and_the_stores_last() -> None:
    stores = (_store("valkey"), _store("postgres"), _store("model"))

    order = plan.stop_order((*stores, *plan.services(LAYOUT, BACKING)))

    assert [{part.name for part in group} for group in order] == [
        {"edge"},
        {"executor-1", "executor-2"},
        {"router", "planner", "rag"},
        {"model"},
        {"valkey"},
        {"postgres"},
    ]


def test_a_service_is_killed_only_after_its_drain() -> None:
    for name, part in _parts().items():
        kind = name.partition("-")[0].upper()
        assert part.stop_s > float(part.program.env[f"HEADRACE_{kind}_DRAIN_S"])
