"""Plans that are kept for all replicas, in memory."""


class KeptPlans:
    """Implements the planner's `ports.Plans`; a test may look into `kept`."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """What was kept."""
        return self.kept.get(key)

    async def put(self, key: str, data: bytes) -> None:
        """Keep it for ever."""
        self.kept[key] = data
