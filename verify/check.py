"""Check a receipt, a ledger head or a proof with nothing but Python: python3 check.py PUBLIC-KEY-HEX... < DOCUMENT"""

import hashlib
import json
import sys

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE = (4 * pow(5, -1, P) % P).to_bytes(32, "little")


def add(a, b):  # Ed25519 after RFC 8032, 5.1: points are (X, Y, Z, T)
    e, f = (a[1] + a[0]) * (b[1] + b[0]), (a[1] - a[0]) * (b[1] - b[0])
    g, h = 2 * a[2] * b[2], 2 * a[3] * b[3] * D
    return (e - f) * (g - h) % P, (g + h) * (e + f) % P, (g - h) * (g + h) % P, (e - f) * (e + f) % P


def times(n, point):
    result = (0, 1, 1, 0)
    while n:
        result, point, n = add(result, point) if n & 1 else result, add(point, point), n >> 1
    return result


def decode(raw):
    y = int.from_bytes(raw, "little") & 2**255 - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or y >= P:
        raise ValueError("not a point of the curve")
    x = x if x & 1 == raw[31] >> 7 else P - x
    return x, y, 1, x * y % P


def signed(public, signature, document):
    message = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    key, r, s = bytes.fromhex(public), bytes.fromhex(signature[:64]), bytes.fromhex(signature[64:])
    h, s = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little"), int.from_bytes(s, "little")
    left, right = times(s, decode(BASE)), add(decode(r), times(h % ORDER, decode(key)))
    return s < ORDER and not any((left[i] * right[2] - right[i] * left[2]) % P for i in (0, 1))


def node(left, right):  # Merkle trees after RFC 6962, 2.1
    return hashlib.sha256(b"\x01" + left + right).digest()


def climb(index, size, path, leaf):  # the root that a leaf and its path lead to
    if size == 1:
        return leaf if not path else b""
    k = 1 << (size - 1).bit_length() - 1
    if index < k:
        return node(climb(index, k, path[:-1], leaf), path[-1])
    return node(path[-1], climb(index - k, size - k, path[:-1], leaf))


def grow(old_size, size, path, old):  # the (old root, new root) that a consistency proof leads to
    if old_size == size:
        return (old, old) if old else (path[0], path[0])
    k = 1 << (size - 1).bit_length() - 1
    if old_size > k:
        before, after = grow(old_size - k, size - k, path[:-1], b"")
        return node(path[-1], before), node(path[-1], after)
    before, after = grow(old_size, k, path[:-1], old)
    return before, node(after, path[-1])


def check(document, keys):
    if proof := document.pop("proof", None):
        return proof["publicKey"] in keys and signed(proof["publicKey"], proof["signature"], document)
    heads = [document] if "signature" in document else [document[k] for k in ("old", "head", "new") if k in document]
    good = all(h["key"] in keys and signed(h["key"], h["signature"], h["head"]) for h in heads)
    good &= heads != [] != document.get("entries")
    sizes = [{c["chain"]: (c["size"], bytes.fromhex(c["root"])) for c in h["head"]["chains"]} for h in heads]
    for part in document.get("entries", document.get("chains", [])):
        (old_size, old), (size, root) = sizes[0][part["chain"]], sizes[-1][part["chain"]]
        path, body = [bytes.fromhex(step) for step in part["path"]], part.get("body")
        if body is None:
            good &= grow(old_size, size, path, old) == (old, root)
        else:
            leaf = hashlib.sha256(b"\x00" + body.encode()).digest()
            good &= climb(part["sequence"], size, path, leaf) == root and json.loads(body)[1] == document["record"]
    return good


if __name__ == "__main__":
    sys.exit(print("genuine") if check(json.load(sys.stdin), sys.argv[1:]) else "NOT genuine")
