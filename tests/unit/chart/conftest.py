"""These tests run the real helm."""

import os

import pytest

from tests.support.kube_schemas import GET_IT, tool


@pytest.fixture(autouse=True)
def _tools() -> None:
    missing = [name for name in ("helm", "kubeconform") if tool(name) is None]
    if missing and os.environ.get("HEADRACE_REQUIRE_KUBE_TOOLS") == "1":
        pytest.fail(f"no {' and no '.join(missing)}: {GET_IT}")
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}: {GET_IT}")
