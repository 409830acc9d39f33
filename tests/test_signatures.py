"""What signs, what checks, and that both mean the same."""

import base64
import json
import shutil
import stat
import sys

import pytest
from model_signing import verifying

from recsys_core.errors import BundleError
from recsys_core.signatures import PUBLIC_KEY, SIGNATURE, key_name, own_key, sign_folder, signed_hashes


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A folder of two files, and the keys that signed it."""
    root = tmp_path_factory.mktemp("signed")
    (root / "folder" / "sub").mkdir(parents=True)
    (root / "folder" / "a.json").write_text("{}")
    (root / "folder" / "sub" / "b.txt").write_text("b")
    sign_folder(root / "folder", own_key(root / "keys"))
    return root


@pytest.fixture
def copy(signed, tmp_path):
    return shutil.copytree(signed / "folder", tmp_path / "copy")


def theirs(folder, key) -> bool:
    """Whether `model-signing` itself accepts a folder."""
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, folder / SIGNATURE)
    except Exception:
        return False
    return True


def ours(folder, key) -> bool:
    """Whether this project does: the signature holds, and the files are those it lists."""
    import hashlib

    try:
        listed = signed_hashes(folder, key)
    except BundleError:
        return False
    found = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
             for path in folder.rglob("*") if path.is_file() and path.name != SIGNATURE}
    return listed == found


def edited(folder, change) -> None:
    bundle = json.loads((folder / SIGNATURE).read_text())
    change(bundle)
    (folder / SIGNATURE).write_text(json.dumps(bundle))


def payload(folder, change) -> None:
    """Change the statement under an unchanged signature."""
    def within(bundle):
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        change(statement)
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    edited(folder, within)


TAMPERED = {
    "nothing": lambda folder: None,
    "a flipped byte": lambda folder: (folder / "a.json").write_text("[}"),
    "an extra file": lambda folder: (folder / "c.txt").write_text("c"),
    "a missing file": lambda folder: (folder / "sub" / "b.txt").unlink(),
    "another statement": lambda folder: payload(folder, lambda s: s["predicate"]["resources"].pop()),
    "no signature": lambda folder: edited(folder, lambda b: b["dsseEnvelope"]["signatures"].clear()),
    "another signature": lambda folder: edited(
        folder, lambda b: b["dsseEnvelope"]["signatures"][0].update(sig=base64.b64encode(b"0" * 70).decode())),
    "another type": lambda folder: edited(folder, lambda b: b["dsseEnvelope"].update(payloadType="text/plain")),
    "no JSON": lambda folder: (folder / SIGNATURE).write_bytes(b"\x80\x04."),
    "nothing of what it should hold": lambda folder: (folder / SIGNATURE).write_text("[]"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_it_accepts_and_refuses_what_model_signing_does(signed, copy, what):
    TAMPERED[what](copy)
    key = signed / "keys" / PUBLIC_KEY
    assert ours(copy, key) == theirs(copy, key) == (what == "nothing")


def test_another_key_is_no_trusted_one(signed, copy, tmp_path):
    own_key(tmp_path / "keys")
    other = tmp_path / "keys" / PUBLIC_KEY
    with pytest.raises(BundleError, match="another key made it"):
        signed_hashes(copy, other)
    assert not theirs(copy, other) and key_name(other) != key_name(signed / "keys" / PUBLIC_KEY)
    edited(copy, lambda b: b["verificationMaterial"]["publicKey"].update(hint=key_name(other)))
    with pytest.raises(BundleError, match="it was changed"):
        signed_hashes(copy, other)


def test_a_larger_curve_signs_too(copy, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    (tmp_path / "private.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (tmp_path / "public.pem").write_bytes(key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    sign_folder(copy, tmp_path / "private.pem")
    assert ours(copy, tmp_path / "public.pem") and theirs(copy, tmp_path / "public.pem")


def test_a_key_pair_is_made_once_and_only_its_owner_reads_it(tmp_path):
    private = own_key(tmp_path / "keys")
    first = private.read_bytes()
    assert own_key(tmp_path / "keys") == private and private.read_bytes() == first
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PUBLIC KEY" in (tmp_path / "keys" / PUBLIC_KEY).read_bytes()


@pytest.mark.parametrize("content", [b"", b"no key", None])
def test_what_is_no_key_is_named(signed, copy, tmp_path, content):
    if content is not None:
        (tmp_path / "odd.pem").write_bytes(content)
    for wrong in (lambda: signed_hashes(copy, tmp_path / "odd.pem"), lambda: sign_folder(copy, tmp_path / "odd.pem")):
        with pytest.raises(BundleError, match=r"odd\.pem"):
            wrong()
    with pytest.raises(BundleError, match=r"signing-key\.pub\.pem: cannot sign"):
        sign_folder(copy, signed / "keys" / PUBLIC_KEY)


def test_a_missing_package_is_one_clear_error(signed, copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(BundleError, match=r"fewshot-recsys\[sign\]"):
        sign_folder(copy, signed / "keys" / "signing-key.pem")
    assert ours(copy, signed / "keys" / PUBLIC_KEY)  # checking needs cryptography alone
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(BundleError, match=r"fewshot-recsys\[verify\]"):
        signed_hashes(copy, signed / "keys" / PUBLIC_KEY)
