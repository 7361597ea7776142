import subprocess
import sys

import pytest

HEAVY = ("litellm", "redis", "numpy", "tokenizers", "openai", "safetensors")


@pytest.mark.parametrize("module", ["client", "app", "service", "embeddings", "models_file", "cache.app"])
def test_importing_a_module_imports_no_client(module: str) -> None:
    code = f"import sys, headrace_llm.{module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
