"""Descriptions that a model wrote beforehand: a JSON object a line, one file per language.

Nobody needs to trust the file. Every text is checked against its item's data again when it is told, so one that is stale or
tampered with is answered by the template.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from recsys_core.artefacts import staged_file

log = logging.getLogger(__name__)

DESCRIPTIONS = "descriptions"  # the folder, below RECSYS_HOME


def read_written(home: Path | None, language: str) -> dict[str, str]:
    """Texts by item id; none where there is no file.

    Args:
        home: RECSYS_HOME; None: there is none.
        language: of the texts.
    """
    path = None if home is None else home / DESCRIPTIONS / f"{language}.jsonl"
    if path is None or not path.is_file():
        return {}
    found = {}
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
            found[str(row["item_id"])] = str(row["text"])
        except (ValueError, KeyError, TypeError):
            log.warning("%s: a line is no description: %s", path, line[:80])
    return found


def write_written(home: Path, language: str, texts: Iterable[tuple[str, str]]) -> Path:
    """Replace the texts of a language in one rename.

    Args:
        home: RECSYS_HOME.
        language: of the texts.
        texts: (item id, text).

    Returns:
        the file.
    """
    path = home / DESCRIPTIONS / f"{language}.jsonl"
    with staged_file(path) as staging:
        staging.write_text("".join(json.dumps({"item_id": item, "text": text}, ensure_ascii=False) + "\n"
                                   for item, text in sorted(texts)), "utf-8")
    return path
