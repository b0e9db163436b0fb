"""Receipts, heads and proofs, checked by the stand-alone script in a Python that has only `cryptography`."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware.keys import canonical, new_signing_key, signing_key
from consent_middleware.ledger import Ledger, merkle
from consent_middleware.ledger.heads import seal
from consent_middleware.ledger.proofs import NothingToProve, consistency_proof, inclusion_proof
from consent_middleware.receipts import genuine, receipt
from tests.ledger.parts import a_record, fill
from verify import check, ed25519

pytestmark = pytest.mark.anyio

SCRIPT = Path(check.__file__)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with `cryptography` and what it needs; without pip, other packages, or this project."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (packages,) = (folder / "venv").glob("lib/*/site-packages")
    for name in ("cryptography", "cffi", "_cffi_backend"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        path = Path(spec.origin)
        path = path.parent if path.name == "__init__.py" else path
        (packages / path.name).symlink_to(path)
    shutil.copy(SCRIPT, folder / "check.py")
    return folder


def checked(bare: Path, document: bytes, *keys: str) -> tuple[int, str]:
    """The exit code and the words of the script."""
    done = subprocess.run(
        [bare / "venv" / "bin" / "python", "-I", "check.py", *keys],
        input=document,
        capture_output=True,
        cwd=bare,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_the_bare_python_really_is_bare(bare_python: Path) -> None:
    for package in ("msgspec", "itsdangerous", "consent_middleware"):
        done = subprocess.run(
            [bare_python / "venv" / "bin" / "python", "-I", "-c", f"import {package}"],
            capture_output=True,
            cwd=bare_python,
            check=False,
        )
        assert b"ModuleNotFoundError" in done.stderr, package


@pytest.mark.parametrize(
    ("document", "keys", "said"),
    [
        (b"{}", [], "no key given"),
        (b"{}", ["nothex"], "not a key: nothex"),
        (b"{}", ["--help"], "python3 check.py PUBLIC-KEY-HEX"),
        (b"garbage", ["0" * 64], "not a JSON document"),
    ],
)
def test_a_wrong_use_of_the_script_is_no_verdict(
    bare_python: Path, document: bytes, keys: list[str], said: str
) -> None:
    code, words = checked(bare_python, document, *keys)
    assert (code, said in words) == (2, True)
    assert "genuine" not in words
    assert "Traceback" not in words


async def test_a_receipt_checks_out_and_a_changed_one_does_not(ledger: Ledger, bare_python: Path) -> None:
    notice = await ledger.notice("Dürfen wir zählen? – ja/nein\u2028\x7f".encode(), "de", 4)
    record = a_record(notice=notice, language="de", controller='Harcourt & "Vane" \\ Söhne')
    await ledger.append(record)
    document = await receipt(ledger, record.record_id)
    public = signing_key(ledger.data_dir).public
    assert checked(bare_python, document, public) == (0, "genuine\n")
    assert genuine(document, [public])
    content = json.loads(document)
    assert content["cm:notices"][notice].startswith("Dürfen wir")
    content["cm:events"][0]["dpv:hasPurpose"][1]["cm:granted"] = True
    changed = json.dumps(content).encode()
    assert checked(bare_python, changed, public) == (1, "NOT genuine\n")
    assert not genuine(changed, [public])


async def test_a_receipt_of_another_key_is_not_genuine(ledger: Ledger, bare_python: Path, tmp_path: Path) -> None:
    (record_id,) = await fill(ledger, 1)
    document = await receipt(ledger, record_id)
    other = new_signing_key(tmp_path / "elsewhere").public
    assert checked(bare_python, document, other) == (1, "NOT genuine\n")
    # An old key goes on verifying what it signed.
    old = signing_key(ledger.data_dir).public
    new = new_signing_key(ledger.data_dir).public
    assert checked(bare_python, document, new, old) == (0, "genuine\n")


async def test_every_entry_of_a_record_is_proved_to_be_in_the_head(ledger: Ledger, bare_python: Path) -> None:
    ids = await fill(ledger, 23, refusals=4)
    seal(ledger)
    public = signing_key(ledger.data_dir).public
    for record_id in (ids[0], ids[-1]):
        proof = inclusion_proof(ledger, record_id)
        assert checked(bare_python, canonical(proof), public) == (0, "genuine\n")
    forged = json.loads(canonical(proof))
    forged["entries"][0]["body"] = forged["entries"][0]["body"].replace("false", "true")
    assert checked(bare_python, canonical(forged), public) == (1, "NOT genuine\n")
    elsewhere = json.loads(canonical(proof))
    elsewhere["record"] = ids[1]
    assert checked(bare_python, canonical(elsewhere), public) == (1, "NOT genuine\n")
    for nothing in ({"entries": []}, {"entries": None}):
        empty = json.loads(canonical(proof)) | nothing
        empty = {name: value for name, value in empty.items() if value is not None}
        assert checked(bare_python, canonical(empty), public) == (1, "NOT genuine\n")


async def test_a_later_head_is_proved_to_continue_an_earlier_one(ledger: Ledger, bare_python: Path) -> None:
    await fill(ledger, 11, refusals=3)
    first = seal(ledger)
    await fill(ledger, 6)
    seal(ledger)
    public = signing_key(ledger.data_dir).public
    proof = consistency_proof(ledger, first.head.number)
    assert checked(bare_python, canonical(proof), public) == (0, "genuine\n")
    assert checked(bare_python, canonical(first), public) == (0, "genuine\n")
    forged = json.loads(canonical(proof))
    forged["chains"][0]["path"][0] = "00" * 32
    assert checked(bare_python, canonical(forged), public) == (1, "NOT genuine\n")
    # What a proof leaves out, it has not proved.
    for left in ([], proof["chains"][:1]):
        less = json.loads(canonical(proof)) | {"chains": left}
        assert checked(bare_python, canonical(less), public) == (1, "NOT genuine\n")
    forged = json.loads(canonical(first))
    forged["head"]["at"] += 1
    assert checked(bare_python, canonical(forged), public) == (1, "NOT genuine\n")


async def test_what_can_not_be_proved_is_said(ledger: Ledger) -> None:
    (record_id,) = await fill(ledger, 1)
    with pytest.raises(NothingToProve, match="no head yet"):
        inclusion_proof(ledger, record_id)
    seal(ledger)
    (younger,) = await fill(ledger, 1)
    with pytest.raises(NothingToProve, match="younger than the last head"):
        inclusion_proof(ledger, younger)
    with pytest.raises(NothingToProve, match="no such record; the id stands on the visitor's receipt"):
        inclusion_proof(ledger, "A" * 22)
    with pytest.raises(NothingToProve, match="no head 9"):
        consistency_proof(ledger, 9)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4), st.binary(min_size=32, max_size=32))
def test_the_scripts_and_the_library_agree_on_what_is_signed(document: dict[str, Any], seed: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw().hex()
    signature = key.sign(canonical(document))
    bent = bytearray(signature)
    bent[seed[0] % 64] ^= 1
    for script in (check, ed25519):
        assert script.signed(public, signature.hex(), document)
        try:
            believed = script.signed(public, bytes(bent).hex(), document)
        except (InvalidSignature, ValueError):
            believed = False
        assert not believed


@given(st.integers(1, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_a_proof_of_one_place_or_size_is_none_of_another(n: int, data: st.DataObject) -> None:
    leaves = [merkle.leaf(b"%d" % number) for number in range(n)]
    tree, root = merkle.Tree(leaves), merkle.root(leaves)
    m, other = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))
    assert check.climb(m, n, tree.inclusion(m), leaves[m]) == root
    assert not _leads(check.climb, m, n, [root, *tree.inclusion(m)], leaves[m], root)
    if other != m:
        assert not _leads(check.climb, other, n, tree.inclusion(m), leaves[m], root)
    size = data.draw(st.integers(1, n))
    old = merkle.root(leaves[:size])
    assert check.grow(size, n, tree.consistency(size), old) == (old, root)
    if size < n:
        forged = merkle.root([merkle.leaf(b"forged"), *leaves[1:size]])
        assert not _leads(check.grow, size, n, tree.consistency(size), forged, (forged, root))


def _leads(function: Any, *arguments: Any) -> bool:
    """Whether a check leads to the last argument; running out of path is a no."""
    try:
        return bool(function(*arguments[:-1]) == arguments[-1])
    except IndexError:
        return False


def test_the_script_fits_on_a_page_and_needs_one_package() -> None:
    lines = SCRIPT.read_text().splitlines()
    assert len(lines) <= 60
    imports = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import", "from"))}
    assert imports <= {*sys.stdlib_module_names, "cryptography"}
