ALTER TABLE runs DROP COLUMN IF EXISTS error_retry_after_s;
