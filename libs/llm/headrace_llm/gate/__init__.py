"""The shared gate: `pace`, `adaptive`, `turns`, `limiter` decide, purely; `lane` and `paced` wait; `script` is shared."""
