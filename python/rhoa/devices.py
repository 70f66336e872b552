"""Which device torch works on."""

from __future__ import annotations

import torch

from rhoa.errors import ParameterError


def choose_device(device: str) -> torch.device:
    """The torch device of that name; ``"auto"`` is a GPU where there is one.

    Raises
    ------
    ParameterError
        If torch knows no such device or this machine has none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ParameterError(
            f'device must be "auto" or one this machine has; got {device!r} ({reason}).'
        ) from None
    return place
