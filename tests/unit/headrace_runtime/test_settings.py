"""A wrong setting is one line that names its variable."""

import pytest
from headrace_runtime.settings import ServiceSettings, load
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="HEADRACE_PROBE_", extra="forbid", frozen=True)

    slots: int = 4


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PROBE_SLOTS", "9")
    monkeypatch.setenv("HEADRACE_PROBE_LISTEN", "0.0.0.0:50051")

    settings = load(Settings)

    assert (settings.slots, settings.listen) == (9, "0.0.0.0:50051")


def test_each_wrong_variable_is_named_and_the_process_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_PROBE_SLOTS", "many")
    monkeypatch.setenv("HEADRACE_PROBE_LISTEN", "nowhere")

    with pytest.raises(SystemExit) as ended:
        load(Settings)

    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["HEADRACE_PROBE_LISTEN", "HEADRACE_PROBE_SLOTS"]


@pytest.mark.parametrize("address", ["collector:4317", "grpc://collector:4317"])
def test_a_collector_without_http_in_front_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HEADRACE_PROBE_OTLP_ENDPOINT", address)

    with pytest.raises(SystemExit):
        load(Settings)
