-- What a client of another protocol calls its conversation. One session of a tenant has a name, and most sessions have none.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0005.workflow_marks

ALTER TABLE sessions ADD COLUMN IF NOT EXISTS thread_id text;
CREATE UNIQUE INDEX IF NOT EXISTS sessions_of_thread ON sessions (tenant_id, thread_id) WHERE thread_id IS NOT NULL;
