"""Signatures over a folder: made by `model-signing`, checked here before anything in the folder is believed.

The signature is a Sigstore bundle with a DSSE envelope around an in-toto statement that lists the SHA-256 of every file
(OpenSSF Model Signing 1.0). Importing `model_signing` takes longer than loading a bundle, so serving checks the one form
that an elliptic-curve key makes with `cryptography` alone. `model_signing verify key` accepts the same signatures.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.artefacts import staged_file
from recsys_core.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

SIGNATURE = "model.sig"
PRIVATE_KEY, PUBLIC_KEY = "signing-key.pem", "signing-key.pub.pem"  # of a key pair made here
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
DIGESTS = {256: "SHA256", 384: "SHA384", 521: "SHA512"}  # bits of the curve → what ECDSA signs
SIGN_AGAIN = "sign it with the private key of this public key, or name the public key of whoever signed it"


def sign_folder(folder: Path, private_key: Path) -> None:
    """Sign every file below a folder and write model.sig into it; an old signature is replaced.

    Args:
        folder: what is signed.
        private_key: PEM file of an elliptic-curve key (P-256, P-384 or P-521) without a password.

    Raises:
        BundleError: `model-signing` is not installed, or the key cannot be used.
    """
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise BundleError(SIGNATURE, f"cannot be made ({error})", "pip install 'fewshot-recsys[sign]'") from None
    seen = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key).set_hashing_config(seen)
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(str(private_key), f"cannot sign ({error})", "give a PEM file of an elliptic-curve key") from None
    signer.sign(folder, folder / SIGNATURE)


def signed_hashes(folder: Path, public_key: Path) -> dict[str, str]:
    """What a folder's signature vouches for: file name → SHA-256, hex.

    Args:
        folder: with its model.sig.
        public_key: PEM file of the key that is trusted.

    Raises:
        BundleError: no signature, another key's, a broken one, or one that does not list the files as read here.
    """
    key = _read_public(public_key)
    if not (folder / SIGNATURE).is_file():
        raise BundleError(str(folder), f"{SIGNATURE} is missing: the bundle is not signed", SIGN_AGAIN)
    try:
        statement = _signed_statement(json.loads((folder / SIGNATURE).read_bytes()), key)
        return _listed(statement)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise BundleError(str(folder), f"{SIGNATURE} is no signature of this key ({error or type(error).__name__})",
                          SIGN_AGAIN) from None


def key_name(public_key: Path) -> str:
    """SHA-256 of a public key in PEM form, hex: how a signature names it.

    Raises:
        BundleError: the file holds no elliptic-curve public key.
    """
    return _hint(_read_public(public_key))


def own_key(folder: Path) -> Path:
    """The private key in a folder, made there with its public key beside it where there is none; only its owner can read it."""
    private = folder / PRIVATE_KEY
    if private.is_file():
        return private
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / PUBLIC_KEY).write_bytes(public)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with staged_file(private) as staging, open(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(secret)
    return private


def _read_public(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise BundleError(SIGNATURE, "cannot be checked: cryptography is not installed",
                          "pip install 'fewshot-recsys[verify]'") from None
    try:
        key = serialization.load_pem_public_key(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(str(path), f"cannot be read as a public key ({error})", "give a PEM file of a public key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size not in DIGESTS:
        raise BundleError(str(path), "is no P-256, P-384 or P-521 key", "give the public key beside the signing key")
    return key


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives import serialization

    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _signed_statement(bundle: dict[str, Any], key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """The statement inside the envelope, once its signature holds.

    Raises:
        ValueError: it does not.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    envelope = bundle["dsseEnvelope"]
    if bundle["mediaType"] != MEDIA_TYPE or envelope["payloadType"] != PAYLOAD_TYPE:
        raise ValueError("it has another form")
    if bundle["verificationMaterial"]["publicKey"]["hint"] != _hint(key):
        raise ValueError("another key made it")
    payload = base64.b64decode(envelope["payload"], validate=True)
    signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
    # DSSE's pre-authentication encoding: type and length are signed with the content.
    encoded = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
    try:
        key.verify(signature, encoded, ec.ECDSA(getattr(hashes, DIGESTS[key.curve.key_size])()))
    except InvalidSignature:
        raise ValueError("it was changed, or it was made over something else") from None
    return json.loads(payload)


def _listed(statement: dict[str, Any]) -> dict[str, str]:
    """The files of a statement whose signature holds.

    Raises:
        ValueError: it lists something else than whole files by SHA-256.
    """
    predicate = statement["predicate"]
    how = predicate["serialization"]
    if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE) \
            or (how["method"], how["hash_type"]) != ("files", "sha256"):
        raise ValueError("it lists something else than files by SHA-256")
    resources = [(resource["name"], resource["digest"]) for resource in predicate["resources"]]
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in resources)).hexdigest()
    if [subject["digest"]["sha256"] for subject in statement["subject"]] != [root]:
        raise ValueError("its own hashes do not fit together")
    return dict(resources)
