-- Sessions, runs, their steps and their events.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends:

CREATE TABLE IF NOT EXISTS sessions (
    session_id uuid PRIMARY KEY,
    tenant_id  text NOT NULL,
    title      text NOT NULL DEFAULT '',
    metadata   bytea NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS sessions_of_tenant ON sessions (tenant_id, session_id DESC);

-- A session's messages go with it. run_id is no foreign key: a message outlives its run, which retention removes.
CREATE TABLE IF NOT EXISTS messages (
    position   bigint GENERATED ALWAYS AS IDENTITY,
    message_id uuid NOT NULL,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    run_id     uuid NOT NULL,
    role       text NOT NULL CHECK (role IN ('user', 'assistant')),
    body       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, position)
);

-- One row per living executor process. Its lease covers every run whose owner it is: a heartbeat writes one row, however
-- many runs there are, and a lapsed lease is never renewed (the process comes back under another id).
CREATE TABLE IF NOT EXISTS executors (
    executor_id     text PRIMARY KEY,
    lease_until     timestamptz NOT NULL,
    slots           integer NOT NULL,
    seconds_per_run double precision NOT NULL DEFAULT 0,
    finished        integer NOT NULL DEFAULT 0
);

-- A deleted session leaves its finished runs, which then name none; while a run is unfinished its session stays.
CREATE TABLE IF NOT EXISTS runs (
    run_id           uuid PRIMARY KEY,
    tenant_id        text NOT NULL,
    request_id       text,
    request_hash     bytea NOT NULL,
    session_id       uuid REFERENCES sessions ON DELETE SET NULL,
    kind             text NOT NULL,
    priority         smallint NOT NULL,
    state            text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    owner            text,
    fence            bigint NOT NULL DEFAULT 0,
    attempt          integer NOT NULL DEFAULT 0,
    takeovers        integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    last_seq         bigint NOT NULL DEFAULT 0,
    noticed_position integer NOT NULL DEFAULT 0,
    noticed_at       timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    deadline         timestamptz NOT NULL,
    traceparent      text NOT NULL DEFAULT '',
    error_code       text,
    error_message    text,
    usage            bytea NOT NULL DEFAULT '',
    body             bytea NOT NULL,
    output           bytea NOT NULL DEFAULT '',
    UNIQUE (tenant_id, request_id),
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- What a flush changes is in no index, so that its updates stay within their page (HOT).
CREATE INDEX IF NOT EXISTS runs_queued ON runs (priority, tenant_id, run_id) INCLUDE (fence) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS runs_running ON runs (owner, tenant_id) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS runs_of_tenant ON runs (tenant_id, run_id DESC);
CREATE INDEX IF NOT EXISTS runs_of_session ON runs (session_id, run_id DESC);

CREATE TABLE IF NOT EXISTS steps (
    run_id      uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    step        text NOT NULL,
    output      bytea NOT NULL,
    usage       bytea NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, step)
);

-- One row holds the events of one run that one flush wrote, JSON texts with line feeds between. A run's id is a UUIDv7,
-- which begins with its time: ranges of ids are days of creation. No foreign key: a log goes with its partition, at once.
CREATE TABLE IF NOT EXISTS events (
    run_id    uuid NOT NULL,
    last_seq  bigint NOT NULL,
    first_seq bigint NOT NULL,
    final     boolean NOT NULL,
    data      bytea NOT NULL,
    PRIMARY KEY (run_id, last_seq)
) PARTITION BY RANGE (run_id);
CREATE TABLE IF NOT EXISTS events_default PARTITION OF events DEFAULT;
