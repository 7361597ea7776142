"""Documents in, cited passages out: LightRAG on Postgres, one workspace of one tenant at a time."""
