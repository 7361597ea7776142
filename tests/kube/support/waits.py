"""Conditions that tests wait for."""

from tests.kube.support.api import Api, until
from tests.kube.support.objects import EXECUTOR, condition, replicas
from tests.kube.support.operator import Operator


async def wait_for_replicas(api: Api, namespace: str, count: int, *, name: str = EXECUTOR) -> None:
    """Wait until a Deployment asks for so many."""

    async def there() -> bool:
        return await replicas(api, namespace, name) == count

    await until(there, what=f"{count} replicas")


async def wait_for(api: Api, namespace: str, kind: str, state: str, reason: str, *, name: str = "exec") -> str:
    """Wait for a condition, and return its message."""

    async def there() -> str:
        found = await condition(api, namespace, kind, name)
        return found[2] if found[:2] == (state, reason) else ""

    message: str = await until(there, what=f"{kind}={state} {reason}")
    return message


async def rounds(operator: Operator, count: int = 2) -> None:
    """Wait for so many more decisions."""
    before = len(operator.events("decided"))

    async def more() -> bool:
        return len(operator.events("decided")) >= before + count

    await until(more, what=f"{count} more decisions")
