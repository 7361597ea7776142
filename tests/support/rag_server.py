"""`python -m tests.support.rag_server DATABASE_URL`: the rag service with a scripted model, in a process to be killed.

It writes its port to standard output and serves until standard input ends.
"""

import asyncio
import json
import re
import sys
from contextlib import AsyncExitStack

from headrace_llm import embeddings
from headrace_llm.client import ChatRequest
from headrace_rag import app
from headrace_rag.settings import Settings
from headrace_runtime import logs, serve
from pydantic import SecretStr

from tests.support.embeddings import WordEmbedder
from tests.support.models import Scripted, ScriptedModels


def by_week(request: ChatRequest) -> Scripted:
    """One entity for each week that a chunk names, and the depot and the mill in all of them."""
    if "themes" in (request.schema or {}).get("required", ()):
        return Scripted(pieces=(json.dumps({"themes": ["supply"], "names": ["Mill"]}),))
    weeks = [f"Week {number}" for number in re.findall(r"week (\d+)", request.messages[-1].content)]
    entities = [{"name": name, "type": "Event", "description": f"{name} in brief."} for name in ("Depot", "Mill", *weeks)]
    relations = [
        {"source": "Depot", "target": name, "keywords": "supply", "description": f"The depot in {name}."} for name in weeks
    ]
    return Scripted(pieces=(json.dumps({"entities": entities, "relationships": relations}),), delay_s=0.02)


async def main(database_url: str) -> None:
    models = ScriptedModels(otherwise=by_week)
    settings = Settings(database_url=SecretStr(database_url), chunk_tokens=60, extract_parallel=2)
    async with AsyncExitStack() as stack:
        embedder = await stack.enter_async_context(embeddings.open_embedder())
        made = await stack.enter_async_context(
            app.wired(settings, models=models, embedder=embedder, multilingual=WordEmbedder())
        )
        server, _, port = await serve.start(made, "127.0.0.1:0")
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await server.stop(None)


if __name__ == "__main__":
    logs.configure("rag", "warning")
    asyncio.run(main(sys.argv[1]))
