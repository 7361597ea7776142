"""How the executor starts."""

import pytest
from headrace_executor import app
from headrace_executor.settings import Settings
from headrace_runtime.settings import InvalidSettings


async def test_without_a_models_file_it_says_so_and_tells_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_LLM_MODELS_FILE", raising=False)
    monkeypatch.setenv("HEADRACE_LLM_REDIS_URL", "redis://:correct-horse-battery@h/0")

    with pytest.raises(InvalidSettings, match=r"^HEADRACE_LLM_MODELS_FILE: Field required$"):
        async with app.service(Settings()):
            raise AssertionError
