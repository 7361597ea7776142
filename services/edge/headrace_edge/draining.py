"""How far the process is on its way out. Everything that waits or streams looks here."""

import asyncio


class Drain:
    """Serving, then announced (readiness says no), then begun (waits end, nothing new is taken)."""

    def __init__(self) -> None:
        self.announced = False
        """Whether readiness says 503."""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once what waits must end."""

    def announce(self) -> None:
        """Ask whoever balances to send requests elsewhere."""
        self.announced = True

    def begin(self) -> None:
        """End what waits."""
        self.announced = True
        if not self.begun.done():
            self.begun.set_result(None)
