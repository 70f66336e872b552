"""The card of a run folder, ``model.json``: what a model is, read without trusting it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rhoa.errors import WeightsError
from rhoa.learning.levels import preprocessing
from rhoa.learning.recipes import BACKBONE
from rhoa.reading.bounded import printable, shown
from rhoa.sealed import read_card

if TYPE_CHECKING:
    from pathlib import Path

CARD_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
LARGEST_INPUT = 2048
_LARGEST_XRAY = 16384


def read_model_card(folder: Path) -> dict[str, Any]:
    """What ``model.json`` of a run folder says.

    Raises
    ------
    WeightsError
        If it is absent or damaged, or describes another network or preparation than rhoa's.
    """
    kinds = {
        "architecture": str,
        "image_size": int,
        "xray_size": int | None,
        "weights_sha256": str,
    }
    card = read_card(folder, CARD_FILE, kinds, what="a run folder")
    where = f"{shown(folder)}/{CARD_FILE}"
    size, xray_size = card["image_size"], card["xray_size"]
    sizes_fit = 1 <= size <= LARGEST_INPUT and 1 <= (xray_size or 1) <= _LARGEST_XRAY
    if not BACKBONE.fullmatch(card["architecture"]) or not sizes_fit:
        raise WeightsError(
            f"{where}: a resnet18, or a network of timm, with sizes in pixels, at most "
            f"{LARGEST_INPUT}, is needed; got "
            f"{printable(card['architecture'], most=40)!r}, image_size "
            f"{printable(str(size), most=20)}, xray_size {printable(str(xray_size), most=20)}."
        )
    applied = preprocessing(image_size=size, xray_size=xray_size)
    if card.get("preprocessing", applied) != applied:
        raise WeightsError(f"{where}: its preprocessing is not the one that rhoa applies.")
    return card
