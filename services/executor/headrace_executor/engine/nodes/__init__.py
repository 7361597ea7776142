"""What each kind of node does, a module each. A node gets an `Attempt` and returns a `Result`; the rest is the runner's."""
