-- What sessions remember, found again by its meaning.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0006.threads

-- The rag service's migrations ask for the extension too, perhaps at the same moment, and of two that make it at once one fails.
-- Both hold this lock.
DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('headrace_extension_vector')); END $$;
CREATE EXTENSION IF NOT EXISTS vector;

-- A session's memories go with it. `vector` is the text's, made by `model`; none when `model` is empty. Vectors of different
-- models may differ in length. A session has few: they are compared one by one, without an index.
CREATE TABLE IF NOT EXISTS memories (
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    key        text COLLATE "C" NOT NULL,
    value      bytea NOT NULL,
    text       text NOT NULL,
    metadata   bytea NOT NULL,
    model      text NOT NULL DEFAULT '',
    vector     vector,
    revision   bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, key),
    CHECK ((model = '') = (vector IS NULL))
) WITH (fillfactor = 80);
