"""The domain-free kit that every service starts with. It knows no run, model or document."""

import os

# gRPC reads this when it is imported. What a service forks becomes another program at once; gRPC's handlers around a fork
# are for one that goes on calling: they stop its threads, and write lines of their own into the log.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
