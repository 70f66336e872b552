"""A cheap second view of where a model looks: Grad-CAM, from one pass forth and one back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError, require_count, require_extra
from rhoa.picture import resize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.learning import Model


def grad_cam(model: Model, image: ArrayLike, *, target: int | None = None) -> NDArray[np.float32]:
    """Where the last maps of a network speak for a class; zero or more, of the image's shape.

    The maps of the last stage are weighed by the mean gradient of the class's output and summed;
    what is below zero is left out. It tells less finely than `rhoa.occlusion` where (a map of 224
    pixels has 7 x 7 values) and has no unit, but takes as long as one prediction.

    Parameters
    ----------
    model
        Of `rhoa.load_model`, on torch.
    image
        2-D grey levels, as the model takes them.
    target
        The class; the most probable one by default.

    Raises
    ------
    ParameterError
        If the image is not 2-D or no picture, or the target is no class of the model.

    References
    ----------
    Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via gradient-based
    localization, ICCV.
    """
    torch = require_extra("torch", extra="train", purpose="Grad-CAM")
    from rhoa.learning.dataset import as_input
    from rhoa.learning.levels import WHITE, prepare, require_grey

    grey = require_grey(image, where="image")
    card, network = model.card, model.network
    stage = network.get_submodule("maps" if hasattr(network, "maps") else "layer4")
    levels = prepare(grey, image_size=card["image_size"], xray_size=card["xray_size"])
    inputs = as_input(torch.from_numpy(levels)[None].to(model.device).float() / WHITE)
    kept = []
    hook = stage.register_forward_hook(lambda *call: kept.append(call[2]))
    try:
        with torch.enable_grad():
            outputs = model.network(inputs.requires_grad_())[0]
            chosen = int(outputs.argmax()) if target is None else _require_class(target, outputs)
            (gradient,) = torch.autograd.grad(outputs[chosen], kept)
    finally:
        hook.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    seen = (weights * kept[0]).sum(dim=1)[0].clamp(min=0).detach().cpu().numpy()
    return resize(np.asarray(seen, np.float32), *grey.shape)


def _require_class(target: int, outputs: NDArray[np.float32]) -> int:
    number = require_count("target", target, least=0)
    if number >= len(outputs):
        raise ParameterError(
            f"target must be one of the model's {len(outputs)} classes; got {number}."
        )
    return number
