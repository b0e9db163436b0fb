"""Check a folder of sealed releases with nothing but Python: python3 releases.py FOLDER [PUBLIC-KEY-BASE64...]

Every file against its hash, every signature, the chain, one release a period, and what every day was promised. Without
a key, the key of the first release is taken, and shown: compare it with the one that the site publishes.

What a recipient got (DAY.manifest.json) may be a converted copy: another format, or some cubes. Its manifest is
checked, and its files against datapackage.json, which nobody signed: only the sealed Parquet file can be checked byte
by byte.
"""

import base64
import datetime
import hashlib
import json
import math
import pathlib
import re
import sys

from ed25519 import signed  # the file beside this one

DAY = datetime.timedelta(days=1)


def tail(x):
    return 0.5 * math.erfc(x / math.sqrt(2))


def delta(mu, epsilon):  # the exact curve of Gaussian noise: Balle and Wang 2018, theorem 8
    return tail(epsilon / mu - mu / 2) - math.exp(epsilon) * tail(epsilon / mu + mu / 2)


def threshold(m):  # one visitor adds to 100 keys at most, to each no more than 1, in sixteenths
    return 100 * tail((m["tau"] - min(16, math.floor(16 * m["l2"])) / 16) / m["sigma"])


def days(manifest):
    day = datetime.datetime.fromisoformat(manifest["from"]).date()
    while day < datetime.datetime.fromisoformat(manifest["to"]).date():
        yield day
        day += DAY


def is_file(path, sha256):
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def copy_of(path, signature):  # the problems of a converted copy's files; what can be said of it is printed
    package = path.with_name("datapackage.json")
    files = json.loads(package.read_bytes())["resources"] if package.exists() else []
    said = "its files are as datapackage.json says, which nobody signed" if files else "there is no datapackage.json"
    wrong = [f["path"] for f in files if not is_file(path.with_name(pathlib.Path(f["path"]).name), f["hash"][7:])]
    said = "its files are NOT as datapackage.json says" if wrong else said
    print(f"{path.parent}: a converted copy, not the sealed file. The manifest's signature is {signature}; {said}.")
    print("  Only the sealed Parquet file, whole, can be checked byte by byte: ask the site for it.")
    return [f"{path.with_name(name)}: not the file that datapackage.json describes" for name in wrong]


def problems_of(chain, keys):
    previous, seen, spent, hashes = "0" * 64, set(), {}, {}
    for number, (path, raw, envelope) in enumerate(chain, 1):
        manifest = envelope["manifest"]
        key, signature = base64.b64decode(envelope["key"]), base64.b64decode(envelope["signature"])
        fits = envelope["key"] in keys and signed(key.hex(), signature.hex(), manifest)
        delivered = path.name.endswith(".manifest.json")  # a recipient need not have every link of the chain
        if envelope["key"] not in keys:
            yield f"{path}: signed by a key that is not trusted"
        elif not fits:
            yield f"{path}: the signature does not fit"
        if delivered:
            number, previous = manifest["number"], hashes.get(manifest["number"] - 1, manifest["previous"])
        if manifest["number"] != number or manifest["previous"] != previous:
            yield f"{path}: the chain is broken"
        if manifest["period"] in seen:
            yield f"{path}: {manifest['period']} was sealed twice"
        data = path.with_name(pathlib.Path(manifest["file"]["name"]).name)
        if not (sealed := is_file(data, manifest["file"]["sha256"])) and delivered:
            yield from copy_of(path, "genuine" if fits else "NOT genuine")
        elif not sealed:
            yield f"{data}: not the file that was sealed"
        measured = manifest["measurements"]
        if any(m["rho"] < (m["l2"] / m["sigma"]) ** 2 / 2 * (1 - 1e-9) for m in measured):
            yield f"{path}: a measurement spends more than it states"
        if any(m["delta"] < threshold(m) * (1 - 1e-9) for m in measured if "tau" in m):
            yield f"{path}: a threshold is lower than its delta allows"
        for what in ("rho", "delta"):
            if sum(m.get(what, 0) for m in measured) > manifest["spent"][what] * (1 + 1e-9):
                yield f"{path}: the measurements do not add up to what is stated as spent ({what})"
        for day in days(manifest):
            spent.setdefault(day, []).append(manifest)
        seen.add(manifest["period"])
        previous = hashes[number] = hashlib.sha256(raw).hexdigest()
    for day, manifests in sorted(spent.items()):
        mu = math.sqrt(2 * sum(m["spent"]["rho"] for m in manifests))
        epsilon = max(m["promise"]["epsilon"] for m in manifests)
        promised = max(m["promise"]["delta"] for m in manifests)
        if delta(mu, epsilon) + sum(m["spent"]["delta"] for m in manifests) > promised * (1 + 1e-9):
            yield f"{day}: more was spent than epsilon {epsilon:g}, delta {promised:g}"


def main(folder, *keys):
    found = []
    for path in sorted(pathlib.Path(folder).glob("**/*.json")):
        raw = path.read_bytes()
        envelope = json.loads(raw)
        if isinstance(envelope, dict) and "manifest" in envelope:
            found.append((path, raw, envelope))
    problems = [] if found else [f"{folder}: no release"]
    for site in sorted({envelope["manifest"]["site"] for _, _, envelope in found}):
        chain = [entry for entry in found if entry[2]["manifest"]["site"] == site]
        chain.sort(key=lambda entry: entry[2]["manifest"]["number"])
        trusted = keys or (chain[0][2]["key"],)
        if not keys:
            print(f"{site}: signed by {trusted[0]}")
        problems += problems_of(chain, trusted)
    for problem in problems:
        print(problem)
    print(f"{len(found)} release{'s' * (len(found) != 1)}, {len(problems)} problem{'s' * (len(problems) != 1)}")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(print(__doc__) or 2 * ("--help" not in sys.argv))
    if unfit := [key for key in sys.argv[2:] if not re.fullmatch("[A-Za-z0-9+/]{43}=", key)]:
        sys.exit(print(f"not a key (32 bytes in base64): {unfit[0]}") or 2)
    sys.exit(main(*sys.argv[1:]))
