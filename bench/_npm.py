"""Packages of npm for measurements and checks, by its ordinary client, into `var/npm`; none of them is ever shipped."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tarfile
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / "var" / "npm"
SECONDS = 120


def package(name: str, version: str) -> Path | None:
    """The unpacked folder of one package, without what it depends on; None when there is no npm or no network."""
    folder = CACHE / f"{name.replace('/', '-')}-{version}"
    if folder.exists():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        command = [npm, "pack", "--silent", "--pack-destination", str(CACHE), f"{name}@{version}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True, cwd=CACHE)
        except (subprocess.SubprocessError, OSError):
            return None
        archive = CACHE / done.stdout.split()[-1]
        unpacking = folder.with_suffix(".new")
        with tarfile.open(archive) as tar:
            # `filter` came with Python 3.11.4; an older interpreter takes the archive as it is.
            tar.extractall(unpacking, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        archive.unlink()
        unpacking.rename(folder)
    return folder
