"""JSON Schemas of Kubernetes' objects for kubeconform, from a kube-apiserver that lives for as long as it is asked.

`python -m tests.support.kube_schemas` prints the folder, making it first; scripts/check uses that.
"""

import contextlib
import copy
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from headrace_cli.embedded import program

START_S = 60.0
"""Longest that etcd and the API server may take to answer."""
POLL_S = 0.1
LOCATION = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
"""kubeconform's name for a kind's file."""
GET_IT = (
    "put helm, kubeconform and kube-apiserver with etcd into HEADRACE_KUBE_BIN (~/.cache/headrace/kube/bin) or the PATH"
)
_GVK = "x-kubernetes-group-version-kind"


def tool(name: str) -> str | None:
    """The path of a Kubernetes tool, None when this machine has none."""
    own = Path(os.environ.get("HEADRACE_KUBE_BIN", "~/.cache/headrace/kube/bin")).expanduser()
    return shutil.which(name, path=f"{own}{os.pathsep}{os.environ.get('PATH', '')}")


def folder() -> Path:
    """The schemas of the kube-apiserver that is here, kept beside others' in the user's cache."""
    server, etcd = tool("kube-apiserver"), tool("etcd")
    if server is None or etcd is None:
        raise FileNotFoundError(GET_IT)
    said = subprocess.run([server, "--version"], check=True, capture_output=True, text=True, timeout=START_S).stdout
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "headrace/kube/schemas"
    made = cache / said.split()[-1]
    if not made.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=cache))
        with _api(server, etcd) as definitions:
            for name, schema in kinds(definitions):
                (fresh / name).write_text(json.dumps(schema))
        with contextlib.suppress(OSError):  # another process was first
            fresh.rename(made)
        shutil.rmtree(fresh, ignore_errors=True)
    return made


def kinds(definitions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind's file name and self-contained schema, in which an unknown field is a fault."""
    strict = {name: _strict(copy.deepcopy(one)) for name, one in definitions.items()}
    for name, one in definitions.items():
        for kind in one.get(_GVK, ()):
            group = kind["group"].split(".")[0]
            suffix = f"-{group}-{kind['version']}" if group else f"-{kind['version']}"
            needed = {used: strict[used] for used in _used(name, strict)}
            yield f"{kind['kind'].lower()}{suffix}.json", {"$ref": f"#/definitions/{name}", "definitions": needed}


def custom(manifest: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same for the kinds of a CustomResourceDefinition's manifest."""
    for crd in yaml.safe_load_all(manifest):
        if crd and crd["kind"] == "CustomResourceDefinition":
            spec = crd["spec"]
            for version in spec["versions"]:
                schema = _strict(copy.deepcopy(version["schema"]["openAPIV3Schema"]))
                schema["properties"]["metadata"] = {"type": "object"}
                yield f"{spec['names']['kind'].lower()}-{spec['group'].split('.')[0]}-{version['name']}.json", schema


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.pop("x-kubernetes-int-or-string", False) or schema.get("format") == "int-or-string":
        return {"type": ["string", "integer"]}
    if (
        isinstance(schema.get("type"), str)
        and "description" in schema
        and "quantity" in str(schema["description"])[:200].lower()
    ):
        return {"type": ["string", "number"]}
    if "properties" in schema and isinstance(schema["properties"], dict) and "additionalProperties" not in schema:
        schema["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return {key: _strict(value) for key, value in schema.items() if key != "format"}


def _used(name: str, definitions: dict[str, Any]) -> set[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += [found.rpartition("/")[2] for found in _references(definitions[one])]
    return seen


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


@contextlib.contextmanager
def _api(server: str, etcd: str) -> Iterator[dict[str, Any]]:
    """The definitions of a fresh API server's OpenAPI document."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        token, client, peer, port = secrets.token_hex(16), program.free_port(), program.free_port(), program.free_port()
        (home / "tokens").write_text(f"{token},admin,admin,system:masters\n")
        key = home / "service-accounts.key"
        key.write_bytes(
            rsa.generate_private_key(65537, 2048).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
        store = program.Program(
            "etcd",
            (
                etcd, f"--data-dir={home}/etcd", "--unsafe-no-fsync", f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
            ),
            lambda: program.accepts(client),
        )  # fmt: skip
        api = program.Program(
            "kube-apiserver",
            (
                server, f"--etcd-servers=http://127.0.0.1:{client}", f"--cert-dir={home}", "--bind-address=127.0.0.1",
                f"--secure-port={port}", f"--token-auth-file={home}/tokens", "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}", "--shutdown-delay-duration=0s",
            ),
            lambda: program.accepts(port),
        )  # fmt: skip
        with program.running(store, home / "etcd.log"), program.running(api, home / "apiserver.log"):
            yield _ask(f"https://127.0.0.1:{port}/openapi/v2", token)["definitions"]


def _ask(url: str, token: str) -> dict[str, Any]:
    own = ssl.create_default_context()
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE  # its certificate was made a second ago, by itself
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    give_up = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=START_S, context=own) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:  # it listens before it serves
            if time.monotonic() > give_up:
                raise
            time.sleep(POLL_S)


if __name__ == "__main__":
    try:
        print(folder())
    except FileNotFoundError as missing:
        sys.exit(str(missing))
