"""How a workspace's LightRAG is set up."""

import asyncio
from dataclasses import dataclass
from typing import Any

from headrace_postgres.pool import Pool

from headrace_rag import chunking, policy
from headrace_rag.adapters.lightrag_index.asking import Asking, AskLimits
from headrace_rag.adapters.lightrag_index.instances import Instance
from headrace_rag.adapters.lightrag_index.library import Library
from headrace_rag.adapters.lightrag_index.tokens import Tokens
from headrace_rag.adapters.lightrag_index.vectors import Vectors
from headrace_rag.model import Space
from headrace_rag.ports import Models

EMBED_BATCH = 8
"""Chunks that LightRAG hands over at once."""
EMBED_TIMEOUT_S = 120
SUMMARY_FROM_TOKENS, SUMMARY_FROM_PIECES, SUMMARY_INPUT_TOKENS = 600, 32, 1500
"""An entity's descriptions are merged by a model when they are that long or that many; before, they are only joined."""
SUMMARY_TOKENS = 200


@dataclass(frozen=True, slots=True)
class IndexLimits:
    """Bounds of the index."""

    connections: int
    statement_timeout_s: float
    workspaces_open: int
    cut: chunking.Cut
    parallel: int
    """Model calls for one document at once."""
    ask: AskLimits
    min_score: float
    exact_chunks: int


@dataclass(frozen=True, slots=True)
class Kit:
    """What LightRAG instances are made of, and makes them."""

    library: Library
    models: Models
    vectors: Vectors
    tokens: Tokens
    pool: Pool
    limits: IndexLimits
    folder: str

    async def make(self, space: Space) -> Instance:
        """A workspace's instance, its storages ready."""
        asking = Asking(self.models, tenant_id=space.tenant_id, limits=self.limits.ask)
        rag = self._light_rag(policy.index_name(space), asking)
        await rag.initialize_storages()
        return Instance(rag, asking)

    def _light_rag(self, name: str, asking: Asking) -> Any:
        limits, tools = self.limits, self.library
        embed = self.vectors.embed
        tokens, cut = self.tokens, limits.cut

        async def embedding(texts: list[str], **_: Any) -> Any:
            return await embed(texts)

        async def chunker(_: Any, content: str, *__: Any) -> list[dict[str, Any]]:
            body = content.partition("\n")[2]
            found = await asyncio.to_thread(chunking.chunks, body, cut, count=tokens.count)
            return [{"content": c.text, "tokens": c.tokens, "chunk_order_index": at} for at, c in enumerate(found)]

        return tools.light_rag(
            workspace=name,
            working_dir=self.folder,
            kv_storage="PGKVStorage",
            vector_storage="PGVectorStorage",
            graph_storage="PGTableGraphStorage",
            doc_status_storage="PGDocStatusStorage",
            tokenizer=tools.tokenizer("minilm", tokens),
            chunking_func=chunker,
            chunk_token_size=cut.limit,
            embedding_func=tools.embedding_func(
                embedding_dim=self.vectors.dimensions, func=embedding, model_name=self.vectors.name
            ),
            embedding_batch_num=EMBED_BATCH,
            embedding_func_max_async=1,
            default_embedding_timeout=EMBED_TIMEOUT_S,
            llm_model_func=asking.function(),
            llm_model_max_async=limits.parallel,
            default_llm_timeout=int(limits.ask.timeout_s) + 30,
            entity_extract_max_gleaning=0,
            entity_extraction_use_json=True,
            force_llm_summary_on_merge=SUMMARY_FROM_PIECES,
            summary_max_tokens=SUMMARY_FROM_TOKENS,
            summary_context_size=SUMMARY_INPUT_TOKENS,
            summary_length_recommended=SUMMARY_TOKENS,
            max_parallel_insert=1,
            cosine_better_than_threshold=limits.min_score,
            addon_params={"language": "the language of the text"},
            user_prompt_prefix="",
        )
