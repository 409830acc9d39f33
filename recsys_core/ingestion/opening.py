"""Any folder of items and events, or the embedded shop, behind one interface."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.boundary import refusing
from recsys_core.ingestion.config import SHOP_FILE, ShopConfig, load_config, make_config, preset_settings
from recsys_core.ingestion.folder import FolderShop
from recsys_core.ingestion.presets.complete_journey import CompleteJourney
from recsys_core.ingestion.segments import refuse_ids, validate_families, validate_segments
from recsys_core.ingestion.shop import Shop
from recsys_core.oversight import check_groups
from recsys_core.pseudonyms import UserKeys

EMBEDDED = "complete_journey"


def open_shop(folder: str | Path | None, profile: Literal["full", "quick"] = "full", keys: UserKeys | None = None) -> Shop:
    """Open a shop and check everything that names and headers can tell.

    Args:
        folder: a folder that keeps the shop contract (docs/shop_contract.md); None or "" is the embedded
            Complete Journey data.
        profile: "quick" is a deterministic slice of the embedded shop; other shops are always full
            (narrow them by first_day and last_day).
        keys: under which its shoppers are named; None: by their own ids.

    Raises:
        ShopError: no such folder, a broken shop.yaml, a missing file, a predicate that does not parse.
    """
    if profile not in ("full", "quick"):
        raise ShopError(f"profile {profile!r}", "is unknown", "use full or quick")
    with refusing(str(folder or f"the preset {EMBEDDED}")):
        return _opened(*_config_of(folder), profile, keys or UserKeys())


def open_settings(settings: Mapping[str, Any], folder: Path) -> Shop:
    """Open a folder as if its shop.yaml held `settings`; see `open_shop`."""
    with refusing(str(folder)):
        return _opened(make_config(settings, str(folder / SHOP_FILE)), folder, "full", UserKeys())


def _opened(config: ShopConfig, base: Path | None, profile: Literal["full", "quick"], keys: UserKeys) -> Shop:
    if config.preset == EMBEDDED or base is None:
        shop: Shop = CompleteJourney(config, profile, keys)
    else:
        shop = FolderShop(config, base, keys)
    artefact = f"the preset {EMBEDDED}" if base is None else str(base / SHOP_FILE)
    tables: dict[str, schema.Columns] = {
        "events": {name: dtype for name, dtype in schema.CLEAN_EVENTS.items() if name != "context"},
        "context": dict.fromkeys(shop.config.context, pl.String()), **shop.table_columns()}
    validate_segments(shop.config.segments, tables, artefact)
    if keys.present is not None:
        refuse_ids(shop.config.segments, artefact)
    validate_families(shop.config.families, tables, artefact)
    check_groups(shop.config.fairness, tables, artefact)
    return shop


def _config_of(folder: str | Path | None) -> tuple[ShopConfig, Path | None]:
    if folder is None or str(folder) == "":
        artefact = f"the preset {EMBEDDED}"
        return make_config(preset_settings(EMBEDDED, artefact), artefact), None
    base = Path(folder).expanduser()
    if not base.is_dir():
        raise ShopError(str(base), "is not a folder", "name a folder that holds items and events, "
                        "or unset RECSYS_SHOP to use the embedded shop")
    return load_config(base), base
