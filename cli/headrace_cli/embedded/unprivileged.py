"""Postgres refuses to run as root. For root it runs as `nobody`, who must be able to reach its files."""

import contextlib
import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

USER = "nobody"
SHARED_HOME = Path("/var/lib/headrace")
"""Where root's files go that `nobody` could not reach in root's own folders."""


def server_user() -> str | None:
    """Who runs the server: None for the caller, or `nobody` when the caller is root."""
    return USER if os.geteuid() == 0 else None


def reachable(path: Path, user: str | None) -> bool:
    """Whether `user` may enter every folder on the way to `path`."""
    if user is None:
        return True
    uid = pwd.getpwnam(user).pw_uid
    for folder in [*path.absolute().parents]:
        with contextlib.suppress(FileNotFoundError):
            status = folder.stat()
            bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
            if not status.st_mode & bit:
                return False
    return True


def data_folder(wanted: Path, user: str | None) -> Path:
    """Make the folder for a server's data, owned by `user`, and return it: `wanted`, or one that `user` can reach."""
    folder = wanted
    if not reachable(wanted, user):
        folder = SHARED_HOME / hashlib.sha256(str(wanted.absolute()).encode()).hexdigest()[:16] / wanted.name
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    folder.chmod(0o700)
    return folder


def readable_copy(source: Path, version: str, user: str | None) -> Path:
    """Return `source` when `user` can reach it, else a copy of it that is made once per version."""
    if reachable(source, user):
        return source
    target = SHARED_HOME / f"{source.name}-{version}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copytree(source, partial, symlinks=True)
        with contextlib.suppress(OSError):  # another process was first
            partial.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
    return target
