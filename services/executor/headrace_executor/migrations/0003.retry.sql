-- When a run that failed for want of quota may be submitted again: so many seconds after its end.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0002.usage

ALTER TABLE runs ADD COLUMN IF NOT EXISTS error_retry_after_s double precision;
