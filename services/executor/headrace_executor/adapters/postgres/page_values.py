"""What versions of pages hold: JSON values under their SHA-256, which versions of a page share."""

from collections.abc import Mapping, Sequence

import orjson
from headrace_postgres.pool import Pool

from headrace_executor.pages import PageContent
from headrace_executor.ports import Gap

NODE = "node:"
"""Begins the name of a node's output; the others are blueprint, inputs, sources and gaps."""

_VALUES = """
SELECT n.name, string_agg(v.data, ''::bytea ORDER BY v.part) AS data
FROM unnest($2::text[], $3::bytea[]) AS n(name, digest)
JOIN page_values v ON v.page_id = $1 AND v.digest = n.digest
GROUP BY n.name
"""


async def read_values(pool: Pool, page_id: str, names: Sequence[str], digests: Sequence[bytes]) -> Mapping[str, bytes]:
    """The values by their names, in the order of those; none of a version that was removed meanwhile."""
    found = {row["name"]: row["data"] for row in await pool.fetch(_VALUES, page_id, names, digests)}
    return {name: found[name] for name in names} if len(found) == len(names) else {}


def content(values: Mapping[str, bytes]) -> PageContent | None:
    """All that a version holds; None when there is nothing."""
    if not values:
        return None
    read = {name: orjson.loads(data) for name, data in values.items()}
    return PageContent(
        blueprint=read["blueprint"],
        inputs=read["inputs"],
        sources=read["sources"],
        gaps=[Gap(**gap) for gap in read["gaps"]],
        outputs={name.removeprefix(NODE): value for name, value in read.items() if name.startswith(NODE)},
    )
