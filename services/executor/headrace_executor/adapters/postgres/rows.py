"""Turns rows into nouns, and texts into what rows hold."""

from datetime import UTC, datetime, timedelta

import asyncpg
import orjson
from headrace_llm.usage import Usage

from headrace_executor.model import ClaimedRun, Failure, FailureCode, Priority, Run, RunKind, RunState
from headrace_executor.runs.records import Claim

RUN_COLUMNS = """r.run_id::text, r.tenant_id, COALESCE(r.session_id::text, '') AS session_id, r.kind, r.state, r.priority,
    r.created_at, r.started_at, r.finished_at, r.attempt, r.error_code, r.error_message, r.error_retry_after_s,
    r.usage, r.last_seq"""
"""A run without its output, which may be large."""


def run(row: asyncpg.Record) -> Run:
    """Decode RUN_COLUMNS, and `output` where it was asked for."""
    code = row["error_code"]
    return Run(
        run_id=row["run_id"],
        tenant_id=row["tenant_id"],
        session_id=row["session_id"],
        kind=RunKind(row["kind"]),
        state=RunState(row["state"]),
        priority=Priority(row["priority"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        attempt=row["attempt"],
        output=row.get("output") or b"",
        error=Failure(FailureCode(code), row["error_message"], row["error_retry_after_s"]) if code else None,
        usage=usage(row["usage"]),
        last_seq=row["last_seq"],
    )


def usage(stored: bytes) -> Usage:
    """Decode a stored usage; nothing stored is no usage."""
    return Usage.from_json(orjson.loads(stored)) if stored else Usage()


def claim(row: asyncpg.Record) -> Claim:
    """Decode a claimed run. The deadline is set by our own clock from what Postgres says is left."""
    return Claim(
        run=ClaimedRun(
            run_id=row["run_id"],
            tenant_id=row["tenant_id"],
            session_id=row["session_id"],
            kind=RunKind(row["kind"]),
            priority=Priority(row["priority"]),
            attempt=row["attempt"],
            fence=row["fence"],
            created_at=row["created_at"],
            deadline=datetime.now(UTC) + timedelta(seconds=row["left_s"]),
            body=orjson.loads(row["body"]),
            traceparent=row["traceparent"],
        ),
        last_seq=row["last_seq"],
        takeovers=row["takeovers"],
        cancel_requested=row["cancel_requested"],
    )


def storable(text: str) -> str:
    """Postgres' text holds every character but NUL."""
    return text.replace("\x00", "\ufffd")
