"""What we are made of: `supply.py sbom [FILE]` writes the lock as a CycloneDX document; `licences` checks the installed
packages against the licences that fit; `secrets` looks for secrets that are not in the baseline of known test values.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
LOCK = ROOT / "requirements.lock"
BASELINE = ROOT / ".secrets.baseline"
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^\s;\\]+)", re.MULTILINE)
# Free licences that a program under Apache-2.0 may be used with, unchanged and beside it, as its dependency.
FITS = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla Public|Unlicense|CC0|0BSD|HPND|LGPL|Lesser General"
    r"|Zlib|CNRI|Public Domain|ZPL|Zope Public",
    re.IGNORECASE,
)
# Whose own text says what their metadata does not.
KNOWN = {"crawler-user-agents": "MIT", "atheris": "Apache-2.0", "zensical": "MIT"}
# Texts that hold random-looking values by nature: hashes of the lock, catalogues, pictures.
NOT_SCANNED = r"requirements\.lock|.*\.po|.*\.pot|.*\.png|.*\.min\.js|.*/uplot\.js|.*\.tsv|.*\.svg"
# Not what a careful eye calls a secret: words such as "password" in code, hashes in tests.
SCAN = ["scan", "--no-verify", "--exclude-files", NOT_SCANNED, "--base64-limit", "5.0"]
SCAN += [f"--disable-plugin={name}" for name in ("KeywordDetector", "BasicAuthDetector", "HexHighEntropyString")]


def locked() -> dict[str, str]:
    """Name -> version of every locked package."""
    return {name.lower().replace("_", "-"): version for name, version in LOCKED.findall(LOCK.read_text("utf-8"))}


def sbom(target: str) -> int:
    """A CycloneDX document of the lock, with the hashes of its files."""
    command = [str(PROGRAMS / "cyclonedx-py"), "requirements", str(LOCK), "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--output-reproducible", "--of", "JSON", "-o", target]
    return subprocess.run(command, check=False).returncode


def unfit() -> list[str]:
    """Installed packages whose licence is missing or does not fit: "name: licence"."""
    command = [str(PROGRAMS / "pip-licenses"), "--format=json", "--from=all", "--with-system"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wrong = []
    for package in json.loads(done.stdout):
        name = package["Name"].lower().replace("_", "-")
        stated = [str(package.get(key, "")) for key in ("License-Metadata", "License-Classifier", "License-Expression")]
        licence = "; ".join(text for text in stated if text and text != "UNKNOWN")[:300]
        if name not in KNOWN and not FITS.search(licence):
            wrong.append(f"{package['Name']}: {licence or 'no licence named'}")
    return wrong


def secrets() -> list[str]:
    """Places of possible secrets that the baseline does not know: "file:line kind"."""
    command = [str(PROGRAMS / "detect-secrets"), *SCAN]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    known = {
        (file, one["hashed_secret"])
        for file, found in json.loads(BASELINE.read_text("utf-8"))["results"].items()
        for one in found
    }
    return [
        f"{file}:{one['line_number']} {one['type']}"
        for file, found in json.loads(done.stdout)["results"].items()
        for one in found
        if (file, one["hashed_secret"]) not in known
    ]


def renew_baseline() -> None:
    command = [str(PROGRAMS / "detect-secrets"), *SCAN]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    results = json.loads(done.stdout)["results"]
    kept = {file: [{k: one[k] for k in ("type", "hashed_secret")} for one in found] for file, found in results.items()}
    BASELINE.write_text(json.dumps({"results": kept}, indent=1, sort_keys=True) + "\n", "utf-8")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["sbom"]:
        return sbom(arguments[1] if len(arguments) > 1 else "sbom.json")
    if arguments == ["baseline"]:
        renew_baseline()
        return 0
    checks = {"licences": unfit, "secrets": secrets}
    if len(arguments) == 1 and arguments[0] in checks:
        wrong = checks[arguments[0]]()
        print("\n".join(wrong) or "nothing found", file=sys.stderr)
        return bool(wrong)
    print("usage: supply.py sbom [FILE] | licences | secrets | baseline", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
