"""The durable half: queue, leases, the group commit, the event log and its watchers. It knows no blueprint."""
