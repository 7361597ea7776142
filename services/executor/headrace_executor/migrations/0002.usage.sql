-- What model calls of a day cost that no run tells: those of runs that retention removed, and chat calls, which make no run.
-- Every statement may run twice: a migration is applied in one transaction and noted as applied in the next.
-- depends: 0001.runs

-- `kind` is a run's kind, or 'chat'. `cost_usd` is NULL when a call's cost is unknown.
CREATE TABLE IF NOT EXISTS usage_days (
    tenant_id         text NOT NULL,
    day               date NOT NULL,
    kind              text NOT NULL,
    model             text NOT NULL,
    llm_calls         bigint NOT NULL,
    cached_calls      bigint NOT NULL,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_usd          double precision,
    PRIMARY KEY (tenant_id, day, kind, model)
);
CREATE INDEX IF NOT EXISTS usage_days_by_day ON usage_days (day);
