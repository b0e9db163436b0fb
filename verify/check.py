"""Check a receipt, a ledger head or a proof, without the package: python3 check.py PUBLIC-KEY-HEX... < DOCUMENT"""

import json
import sys
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def signed(public, signature, document):  # Ed25519 over canonical JSON: True, or InvalidSignature is raised
    message = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message) is None


def climb(index, size, path, leaf):  # RFC 6962, 2.1: the root that a leaf (byte 0) leads to by nodes (byte 1)
    if size == 1:
        return leaf if not path else b""
    k = 1 << (size - 1).bit_length() - 1
    inner = climb(index, k, path[:-1], leaf) if index < k else climb(index - k, size - k, path[:-1], leaf)
    return sha256(b"\1" + inner + path[-1]).digest() if index < k else sha256(b"\1" + path[-1] + inner).digest()


def grow(old_size, size, path, old):  # the (old root, new root) that a consistency proof leads to
    if old_size == size:
        return (old, old) if old else (path[0], path[0])
    k = 1 << (size - 1).bit_length() - 1
    if old_size > k:
        before, after = grow(old_size - k, size - k, path[:-1], b"")
        return sha256(b"\1" + path[-1] + before).digest(), sha256(b"\1" + path[-1] + after).digest()
    before, after = grow(old_size, k, path[:-1], old)
    return before, sha256(b"\1" + after + path[-1]).digest()


def check(document, keys):
    if proof := document.pop("proof", None):
        return proof["publicKey"] in keys and signed(proof["publicKey"], proof["signature"], document)
    heads = [document] if "signature" in document else [document[k] for k in ("old", "head", "new") if k in document]
    good = heads != [] and all(h["key"] in keys and signed(h["key"], h["signature"], h["head"]) for h in heads)
    sizes = [{c["chain"]: (c["size"], bytes.fromhex(c["root"])) for c in h["head"]["chains"]} for h in heads]
    for entry in document.get("entries", []):
        (size, root), path = sizes[0][entry["chain"]], [bytes.fromhex(step) for step in entry["path"]]
        good &= climb(entry["sequence"], size, path, sha256(b"\0" + entry["body"].encode()).digest()) == root
        good &= json.loads(entry["body"])[1] == document["record"]
    paths = {c["chain"]: [bytes.fromhex(step) for step in c["path"]] for c in document.get("chains", [])}
    for chain, (old_size, old) in sizes[0].items() if "new" in document else ():
        good &= chain in paths and grow(old_size, sizes[1][chain][0], paths[chain], old) == (old, sizes[1][chain][1])
    return good and ("record" in document) == bool(document.get("entries"))


if __name__ == "__main__":
    unfit = [key for key in sys.argv[1:] if len(key) != 64 or set(key) - set("0123456789abcdef")]
    if unfit or not sys.argv[1:]:
        sys.exit(print(__doc__, f"not a key: {unfit[0]}" if unfit else "no key given", sep="\n", file=sys.stderr) or 2)
    try:
        sys.exit(print("genuine") if check(json.load(sys.stdin), sys.argv[1:]) else "NOT genuine")
    except (json.JSONDecodeError, UnicodeDecodeError):
        sys.exit(print("not a JSON document on standard input", file=sys.stderr) or 2)
    except (InvalidSignature, ValueError, LookupError, TypeError, AttributeError):
        sys.exit("NOT genuine")
