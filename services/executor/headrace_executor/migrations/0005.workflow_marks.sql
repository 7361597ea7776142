-- The highest revision that a removed workflow of a tenant had: what is made later begins above it, so that no revision of an
-- id ever comes twice.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0004.blueprints

CREATE TABLE IF NOT EXISTS workflow_marks (
    tenant_id text PRIMARY KEY,
    revision  bigint NOT NULL
);
