"""A Kubernetes API server of one's own: etcd, kube-apiserver and kube-controller-manager as processes, without nodes."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from headrace_cli.embedded import program

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
FOLDERS = ("HEADRACE_KUBE_BIN", "KUBEBUILDER_ASSETS")
HOST = "127.0.0.1"
MISSING = (
    "tests/kube need a Kubernetes API server. Set KUBECONFIG to a cluster that tests may write to (kind, k3d, minikube, a "
    f"real one), or HEADRACE_KUBE_BIN or KUBEBUILDER_ASSETS to a folder with {', '.join(PROGRAMS)}."
)


class NoKubernetes(Exception):
    """There is neither a cluster nor the programs to make one; the message says what to set."""


@contextmanager
def open_control_plane(home: Path) -> Iterator[Path]:
    """The kubeconfig of an administrator: of the cluster that KUBECONFIG names, or of one that is made for the block."""
    if os.environ.get("KUBECONFIG"):
        yield Path(os.environ["KUBECONFIG"])
        return
    with _own(_programs(), home) as kubeconfig:
        yield kubeconfig


def _programs() -> dict[str, str]:
    folders = [os.environ[name] for name in FOLDERS if os.environ.get(name)]
    found = {name: shutil.which(name, path=os.pathsep.join(folders)) for name in PROGRAMS} if folders else {}
    if not all(found.get(name) for name in PROGRAMS):
        raise NoKubernetes(MISSING)
    return {name: path for name, path in found.items() if path}


@contextmanager
def _own(programs: dict[str, str], home: Path) -> Iterator[Path]:
    etcd, peer, secure = (program.free_port() for _ in range(3))
    key, tokens, admin = home / "service-accounts.key", home / "tokens.csv", home / "admin.kubeconfig"
    token = secrets.token_hex(16)
    tokens.write_text(f"{token},admin,admin,system:masters\n")
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    key.write_bytes(private)
    url = f"https://{HOST}:{secure}"
    with ExitStack() as stack:
        store = program.Program(
            "etcd",
            (
                programs["etcd"],
                f"--data-dir={home / 'etcd'}",
                f"--listen-client-urls=http://{HOST}:{etcd}",
                f"--advertise-client-urls=http://{HOST}:{etcd}",
                f"--listen-peer-urls=http://{HOST}:{peer}",
                "--unsafe-no-fsync",
            ),
            lambda: program.accepts(etcd),
        )
        stack.enter_context(program.running(store, home / "etcd.log"))
        server = program.Program(
            "kube-apiserver",
            (
                programs["kube-apiserver"],
                f"--etcd-servers=http://{HOST}:{etcd}",
                f"--bind-address={HOST}",
                f"--advertise-address={HOST}",
                f"--secure-port={secure}",
                f"--cert-dir={home / 'certs'}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--shutdown-delay-duration=0s",
            ),
            lambda: program.accepts(secure),
        )
        stack.enter_context(program.running(server, home / "apiserver.log"))
        admin.write_text(kubeconfig(url, token, ca=home / "certs" / "apiserver.crt"))
        controllers = program.Program(
            "kube-controller-manager",
            (
                programs["kube-controller-manager"],
                f"--kubeconfig={admin}",
                f"--bind-address={HOST}",
                "--secure-port=0",
                "--leader-elect=false",
                f"--service-account-private-key-file={key}",
                "--use-service-account-credentials",
            ),
            lambda: True,
        )
        stack.enter_context(program.running(controllers, home / "controllers.log"))
        yield admin


def kubeconfig(
    url: str, token: str, *, ca: Path | None = None, ca_data: str | None = None, namespace: str = "default"
) -> str:
    """A kubeconfig with a bearer token. Without a CA the server is not checked, which may be reached by another name."""
    cluster: dict[str, object] = {"server": url}
    if ca is not None:
        cluster["certificate-authority"] = str(ca)
    elif ca_data is not None:
        cluster["certificate-authority-data"] = ca_data
    else:
        cluster["insecure-skip-tls-verify"] = True
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
            "current-context": "x",
        }
    )
