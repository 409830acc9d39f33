"""`shop.yaml` as a mapping: YAML as people mean it, and one sentence where it is broken."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from recsys_core.errors import ShopError


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: a key stands once, and `on`, `no`, `yes` are words; only true and false are not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key_node.tag != "tag:yaml.org,2002:merge":
                if not isinstance(key, Hashable):
                    raise yaml.constructor.ConstructorError(None, None, "a key is a list or mapping", key_node.start_mark)
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, OSError, RecursionError, AttributeError, TypeError) as error:
        tabs = "; YAML indents by spaces, and this file has tabs" if b"\t" in _bytes(path) else ""
        raise ShopError(str(path), f"broken YAML ({' '.join(str(error).split())}{tabs})",
                        "correct the line it names; the file is UTF-8 text") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ShopError(str(path), "is not a mapping of field to value", "write lines like `time_zone: UTC`")
    return {str(name): content for name, content in value.items()}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
