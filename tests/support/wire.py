"""A TCP connection that a test can break, silence and mend."""

import asyncio
from urllib.parse import urlsplit


class Wire:
    """Carries bytes to the server of a URL."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.deaf = False
        """While it is, connections stay and nothing is carried."""

    async def mended_url(self) -> str:
        """Begin to carry, and return the URL of this end."""
        await self.mend()
        return self._url._replace(netloc=self._url.netloc.replace(f":{self._url.port}", f":{self._port}")).geturl()

    async def mend(self) -> None:
        """Carry again, on the same port."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection and refuse new ones."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._open |= {writer, back_writer}
        try:
            await asyncio.gather(self._copy(reader, back_writer), self._copy(back_reader, writer))
        finally:
            self._open -= {writer, back_writer}
            back_writer.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.deaf:
                    writer.write(data)
        except ConnectionError:
            return
        finally:
            writer.close()
