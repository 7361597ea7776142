"""The models.yaml that the services get."""

from pathlib import Path

import pytest
from headrace_cli.errors import CliError
from headrace_cli.supervisor import models
from headrace_llm import models_file
from headrace_llm.registry import Limits


def test_the_local_model_gets_its_address_and_no_real_key(tmp_path: Path) -> None:
    file = models.write(models.LOCAL, tmp_path / "models.yaml", local_url="http://127.0.0.1:5/v1")

    registry = models_file.parse(file.read_text())
    entry = registry.resolve()
    assert (entry.id, entry.api_base) == ("smollm2", "http://127.0.0.1:5/v1")
    assert entry.api_key_env == models.LOCAL_KEY_VARIABLE
    assert file.stat().st_mode & 0o077 == 0


def test_provider_names_become_a_registry_with_the_first_as_default(tmp_path: Path) -> None:
    source = models.of_names(["dashscope/qwen-max", "ollama/llama3"])

    registry = models_file.parse(models.write(source, tmp_path / "m", local_url="").read_text())
    assert registry.default == "dashscope/qwen-max"
    assert set(registry.models) == {"dashscope/qwen-max", "ollama/llama3"}


def test_a_remote_provider_is_asked_carefully_until_its_quota_is_named(tmp_path: Path) -> None:
    def limits(*names: str, rpm: float | None = None) -> list[Limits]:
        text = models.write(models.of_names(names, rpm=rpm), tmp_path / "m", local_url="").read_text()
        return [entry.limits for entry in models_file.parse(text).models.values()]

    assert limits("dashscope/qwen-max", "ollama/llama3") == [Limits(rpm=models.CAREFUL_RPM, probe=True), Limits()]
    assert limits("dashscope/qwen-max", rpm=120) == [Limits(rpm=120)]


@pytest.mark.parametrize("name", ["qwen", "", "a b/c", "/x"])
def test_what_is_no_model_name_is_one_clear_line(name: str) -> None:
    with pytest.raises(CliError, match="is not a model name") as caught:
        models.of_names([name])
    assert "PROVIDER/MODEL" in caught.value.hint


def test_a_models_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("default: b\nmodels:\n  a: {model: openai/a}\n  b: {model: openai/b}  # mine\n")

    source = models.of_file(file)

    assert source.names == ("b", "a")
    assert source.text == file.read_text()


def test_every_fault_of_a_models_file_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("default: c\nmodels:\n  a: {model: nonsense}\n  b: {model: openai/b, colour: red}\n")

    with pytest.raises(CliError, match="is not a models file") as caught:
        models.of_file(file)
    assert len(caught.value.hint.splitlines()) >= 3
    for word in ("models.a.model", "colour", "default"):
        assert word in caught.value.hint


def test_a_models_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="cannot be read"):
        models.of_file(tmp_path / "none.yaml")


def test_the_simulated_model_has_its_quota_a_price_and_no_real_key(tmp_path: Path) -> None:
    file = models.write(models.simulated(90), tmp_path / "models.yaml", local_url="http://127.0.0.1:5/v1")

    entry = models_file.parse(file.read_text()).resolve()
    assert (entry.id, entry.model, entry.api_base) == ("simulated", "openai/simulated", "http://127.0.0.1:5/v1")
    assert entry.limits.rpm == 90
    assert entry.price is not None
    assert entry.api_key_env == models.LOCAL_KEY_VARIABLE
