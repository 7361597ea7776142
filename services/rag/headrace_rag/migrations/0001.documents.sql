-- Workspaces that were ever written, and their documents as callers see them. What LightRAG learnt is in LightRAG's tables.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends:

CREATE TABLE IF NOT EXISTS rag_workspaces (
    tenant_id  text NOT NULL,
    workspace  text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, workspace)
);

-- `digest` is the SHA-256 of title and text: the same ones are read once. `vectors` names the embeddings that a document
-- was read with; those of other names cannot be compared with a query's.
CREATE TABLE IF NOT EXISTS rag_documents (
    tenant_id   text NOT NULL,
    workspace   text NOT NULL,
    document_id text NOT NULL,
    title       text NOT NULL,
    state       text NOT NULL CHECK (state IN ('pending', 'processing', 'ready', 'failed')),
    error       text NOT NULL DEFAULT '',
    characters  bigint NOT NULL,
    chunks      integer NOT NULL DEFAULT 0,
    digest      bytea NOT NULL,
    vectors     text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, workspace, document_id),
    FOREIGN KEY (tenant_id, workspace) REFERENCES rag_workspaces
);
CREATE INDEX IF NOT EXISTS rag_documents_newest ON rag_documents (tenant_id, workspace, created_at DESC, document_id DESC);
