-- The extension, before LightRAG asks for it: the executor's migrations ask for it too, perhaps at the same moment, and of two that
-- make it at once one fails. Both hold this lock.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0001.documents

DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('headrace_extension_vector')); END $$;
CREATE EXTENSION IF NOT EXISTS vector;
