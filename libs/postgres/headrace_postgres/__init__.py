"""How a service reaches Postgres: bounded pools, translated errors, migrations. It knows no table of a service."""
