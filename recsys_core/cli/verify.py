"""Commands about trust in a bundle: `recsys verify` and `recsys sign`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from recsys_core.cli.bundles import add_bundle, bundle_folder


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    checked = commands.add_parser("verify", help="check every file of a bundle, and who signed it; nothing in them is read")
    add_bundle(checked)
    checked.add_argument("--key", type=Path, default=None, help="PEM file of the public key that is trusted (RECSYS_TRUSTED_KEY)")
    checked.set_defaults(run=verify)
    signed = commands.add_parser("sign", help="sign a verified bundle: writes model.sig")
    add_bundle(signed)
    signed.add_argument("--key", type=Path, required=True, help="PEM file of the private key, an elliptic-curve one")
    signed.set_defaults(run=sign)


def verify(options: argparse.Namespace) -> None:
    """Print what was checked; anything wrong is one line on stderr that names the file."""
    from recsys_core.serving import TRUSTED_KEY, verify_bundle
    from recsys_core.signatures import SIGNATURE, key_name

    folder, named = bundle_folder(options), os.environ.get(TRUSTED_KEY)
    key = options.key or (Path(named) if named else None)
    manifest = verify_bundle(folder, key)
    size = sum(entry["size"] for entry in manifest["files"].values())
    print(f"files      {len(manifest['files'])} of {size / 1e6:.1f} MB are those that the manifest lists, by SHA-256; "
          "no other file, no link, no pickle")
    if key is not None:
        print(f"signature  {SIGNATURE} covers all of them and the manifest; key {key_name(key)[:16]}… ({key})")
    elif (folder / SIGNATURE).is_file():
        print(f"signature  {SIGNATURE} was not checked: name the public key, --key or {TRUSTED_KEY}")
    else:
        print("signature  none")


def sign(options: argparse.Namespace) -> None:
    """Verify a bundle's files, then sign them."""
    from recsys_core.serving import verify_bundle
    from recsys_core.signatures import SIGNATURE, sign_folder

    folder = bundle_folder(options)
    verify_bundle(folder)
    sign_folder(folder, options.key)
    print(f"signed     {folder / SIGNATURE}")
