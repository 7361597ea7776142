"""Which revision of a workflow its user has seen last: a save replaces that one and no other. Kept in the state dir."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

MAX_KEPT = 500
"""Workflows that are remembered; the ones that were seen longest ago go first."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """The ETags that were seen, of one edge and one key."""

    file: Path
    edge: str
    """Its URL."""
    api_key: str = ""

    def seen(self, workflow_id: str) -> str:
        """The ETag, "" when it was never seen."""
        return self._all().get(self._name(workflow_id), "")

    def remember(self, workflow_id: str, etag: str) -> None:
        """Note what was read or written; "" forgets it. Who cannot write the file goes on without memory."""
        known = self._all()
        name = self._name(workflow_id)
        known.pop(name, None)
        if etag:
            known[name] = etag
        kept = dict(list(known.items())[-MAX_KEPT:])
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=0))
        new.replace(self.file)

    def _all(self) -> dict[str, str]:
        try:
            known = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return {str(name): str(etag) for name, etag in known.items()} if isinstance(known, dict) else {}

    def _name(self, workflow_id: str) -> str:
        """Two tenants of one edge may each have a workflow of this id: their keys tell them apart."""
        tenant = hashlib.sha256(self.api_key.encode()).hexdigest()[:8] if self.api_key else ""
        return f"{self.edge} {tenant} {workflow_id}"
