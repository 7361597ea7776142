-- Saved workflows, pages with their versions, and the outputs of steps that are too large for one row.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0003.retry

-- A row holds at most 256 KiB of an output: the first part is in `steps`, the others are here, 1, 2 ….
CREATE TABLE IF NOT EXISTS step_parts (
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    step   text NOT NULL,
    part   smallint NOT NULL,
    data   bytea NOT NULL,
    PRIMARY KEY (run_id, step, part)
);

-- What a write changes is in no index (HOT). `flows` are the workflows that the blueprint's flow nodes name.
CREATE TABLE IF NOT EXISTS workflows (
    tenant_id   text NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    name        text NOT NULL,
    description text NOT NULL,
    blueprint   bytea NOT NULL,
    inputs      bytea NOT NULL,
    flows       text[] NOT NULL,
    revision    bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, workflow_id)
) WITH (fillfactor = 80);

-- Pages stay until they are deleted. Neither sessions nor runs are foreign keys: both may go before.
-- A page's row is locked by whoever adds a version, so versions are numbered one after the other; that is HOT, too.
CREATE TABLE IF NOT EXISTS pages (
    page_id         uuid PRIMARY KEY,
    tenant_id       text NOT NULL,
    session_id      uuid,
    current_version integer NOT NULL,
    last_version    integer NOT NULL,
    size_bytes      bigint NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS pages_of_tenant ON pages (tenant_id, page_id DESC);
CREATE INDEX IF NOT EXISTS pages_of_session ON pages (session_id, page_id DESC);

-- A version is never changed. It names its values by their digests: names[n] is digests[n].
CREATE TABLE IF NOT EXISTS page_versions (
    page_id        uuid NOT NULL REFERENCES pages ON DELETE CASCADE,
    version        integer NOT NULL,
    parent_version integer NOT NULL,
    run_id         uuid NOT NULL,
    session_id     uuid,
    instruction    text NOT NULL,
    title          text NOT NULL,
    usage          bytea NOT NULL,
    names          text[] NOT NULL,
    digests        bytea[] NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (page_id, version)
);
-- A run makes at most one version.
CREATE UNIQUE INDEX IF NOT EXISTS page_versions_of_run ON page_versions (run_id);
CREATE INDEX IF NOT EXISTS page_versions_of_session ON page_versions (session_id, run_id DESC);

-- A value under its SHA-256, in parts of at most 256 KiB, 0, 1, 2 …. All versions of a page share it, and it goes with the page.
CREATE TABLE IF NOT EXISTS page_values (
    page_id uuid NOT NULL REFERENCES pages ON DELETE CASCADE,
    digest  bytea NOT NULL,
    part    smallint NOT NULL,
    data    bytea NOT NULL,
    PRIMARY KEY (page_id, digest, part)
);
