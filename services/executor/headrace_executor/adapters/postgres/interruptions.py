"""Runs that ended by asking back."""

import orjson
from headrace_postgres.pool import Pool

from headrace_executor.model import ClaimedRun
from headrace_executor.ports import Interrupted
from headrace_executor.runs import ids

_LOAD = """
SELECT body, output FROM runs
WHERE run_id = $1 AND tenant_id = $2 AND session_id = $3 AND state = 'succeeded'
"""


class InterruptionStore:
    """`ports.Interruptions` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self, run: ClaimedRun, run_id: str) -> Interrupted | None:
        """What a run of the same tenant and session asked, None when it asked nothing."""
        known = ids.parse(run_id)
        row = await self._pool.fetchrow(_LOAD, known, run.tenant_id, run.session_id or None) if known else None
        if row is None or not row["output"]:
            return None
        output = orjson.loads(row["output"])
        asked = output.get("interrupts") if isinstance(output, dict) else None
        return Interrupted(orjson.loads(row["body"]), asked) if asked else None
