-- When a session was used last: a run was submitted to it, or a memory written. Those that nobody uses are removed.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0007.memories

-- A day, so that a session's row is written once a day however much it is used. Those that there are count as used today.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS used_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date;
CREATE INDEX IF NOT EXISTS sessions_by_use ON sessions (used_on);

-- What its maker calls the request that opened it, so that the same request again finds it.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS request_id text;
CREATE UNIQUE INDEX IF NOT EXISTS sessions_of_request ON sessions (tenant_id, request_id) WHERE request_id IS NOT NULL;
