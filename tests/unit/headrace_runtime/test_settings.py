"""A wrong setting is one line that names its variable."""

from typing import Annotated

import pytest
from headrace_runtime.settings import InvalidSettings, ServiceSettings, load, read
from pydantic import AfterValidator, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

PASSWORD = "correct-horse-battery"


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="HEADRACE_PROBE_", extra="forbid", frozen=True)

    slots: int = 4


def _refuse(value: SecretStr) -> SecretStr:
    raise ValueError("no such place")


class Guarded(ServiceSettings):
    """Needs a file, has a secret, and wants two settings to agree."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_GUARDED_", extra="forbid", frozen=True)

    file: str
    low: int = 1
    high: int = 2
    database_url: SecretStr = SecretStr("")
    cache_url: Annotated[SecretStr, AfterValidator(_refuse)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Guarded":
        if self.low > self.high:
            raise ValueError("low must not be more than high")
        return self


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


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "HEADRACE_GUARDED_FILE: Field required"),
        ({"FILE": "f", "LOW": "3"}, "HEADRACE_GUARDED_*: Value error, low must not be more than high"),
        ({"FILE": "f", "CACHE_URL": f"redis://:{PASSWORD}@h/0"}, "HEADRACE_GUARDED_CACHE_URL: Value error, no such place"),
    ],
    ids=["absent", "together", "the secret itself"],
)
def test_a_fault_tells_no_secret(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str) -> None:
    for name, value in {"DATABASE_URL": f"postgresql://u:{PASSWORD}@h/d", **values}.items():
        monkeypatch.setenv(f"HEADRACE_GUARDED_{name}", value)

    with pytest.raises(InvalidSettings) as refused:
        read(Guarded)

    assert str(refused.value) == said
    assert refused.value.__context__ is None
