"""Ed25519 signatures after RFC 8032 with nothing but Python: for a checker on a machine without any package. Slow."""

import hashlib
import json

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE = (4 * pow(5, -1, P) % P).to_bytes(32, "little")


def add(a, b):  # RFC 8032, 5.1.4: points are (X, Y, Z, T)
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
