"""Convolutions of 3 x 3 kernels by matrix products, with a quarter of the multiplications.

Four neighbouring outputs of a kernel of three are a polynomial product, which six values of the two
polynomials determine. Along both axes, 16 outputs take 36 multiplications a pair of channels
instead of 144, and those of all tiles and images are matrix products. Nothing is approximated;
rounding errors are those of a direct convolution (smaller, of many channels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Matrix = NDArray[np.float64]

TILE, KERNEL = 4, 3
SEEN = TILE + KERNEL - 1
# Where the polynomials are evaluated, besides infinity: what keeps the numbers near one.
POINTS = (0.0, 1.0, -1.0, 2.0, -0.5)
WORTH_IT = 256  # channels; with fewer, the sums around the products take what they save


class Winograd:
    """A convolution of 3 x 3 kernels and stride one, by Winograd's minimal filtering F(4, 3).

    Parameters
    ----------
    weight
        ``(outputs, inputs, 3, 3)``.
    bias
        ``(outputs,)``.

    References
    ----------
    Winograd 1980, Arithmetic complexity of computations, SIAM. Lavin and Gray 2016, Fast algorithms
    for convolutional neural networks, CVPR: 4013-4021. Barabasz et al. 2020, Error analysis and
    improving the accuracy of Winograd convolution for deep neural networks, ACM Trans Math Softw
    46(4):37, of the points.

    Examples
    --------
    >>> import torch
    >>> from rhoa.learning.winograd import Winograd
    >>> weight, bias, maps = torch.ones(2, 5, 3, 3), torch.zeros(2), torch.ones(1, 5, 7, 9)
    >>> Winograd(weight, bias)(maps, padding=1)[0, 0, :2, :3]
    tensor([[20., 30., 30.],
            [30., 45., 45.]])
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.outputs, self.inputs = weight.shape[:2]
        _, of_kernel, _ = _matrices()
        both = weight.new_tensor(np.kron(of_kernel, of_kernel))
        values = both @ weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)
        self.values = values.view(SEEN**2, self.inputs, self.outputs)
        self.bias = bias

    def __call__(self, maps: Tensor, *, padding: int) -> Tensor:
        """Outputs ``(n, outputs, rows, columns)`` of ``maps``, with ``padding`` zeros around.

        In memory the result has its pixels first, as it is fastest to take.
        """
        images, _, rows, columns = maps.shape
        pixels = maps.permute(2, 3, 0, 1).contiguous().view(rows, columns, -1)
        down = [maps.new_tensor(matrix) for matrix in _along(rows, padding)]
        across = [maps.new_tensor(matrix) for matrix in _along(columns, padding)]
        height, width = down[1].shape[0], across[1].shape[0]
        result = maps.new_empty((height, width, images, self.outputs))
        for top in range(0, height, TILE):  # a row of tiles at once stays in the cache
            tile = top // TILE
            seen = down[0][:, tile] @ pixels.view(rows, -1)
            seen = across[0].flatten(0, 1) @ seen.view(SEEN, columns, -1)
            product = torch.bmm(seen.view(SEEN**2, -1, self.inputs), self.values)
            product = across[1].flatten(1, 2) @ product.view(SEEN, -1, images * self.outputs)
            there = down[1][top : top + TILE, :, tile]
            lines = there @ product.view(SEEN, -1)
            result[top : top + TILE] = lines.view(-1, width, images, self.outputs)
        return result.add_(self.bias).permute(2, 3, 0, 1)


def _matrices() -> tuple[Matrix, Matrix, Matrix]:
    """What makes six values of the inputs, six of the kernel, and four outputs of the products."""
    powers = np.vander(POINTS, SEEN, increasing=True)
    at_infinity = np.eye(SEEN)[-1:]
    of_inputs = np.linalg.inv(np.concatenate([powers, at_infinity])).T
    of_kernel, of_products = (
        np.concatenate([powers[:, :terms], np.eye(terms)[-1:]]) for terms in (KERNEL, TILE)
    )
    scale = np.abs(of_inputs).max(axis=1, keepdims=True)
    return of_inputs / scale, of_kernel * scale, of_products.T


def _along(length: int, padding: int) -> tuple[Matrix, Matrix]:
    """Of one axis: values of all tiles from inputs, and outputs from products of all tiles.

    Their shapes are ``(6, tiles, length)`` and ``(outputs, 6, tiles)``. Zeros around, and what the
    last tile sees or makes beyond the end, are left out.
    """
    outputs = length + 2 * padding - KERNEL + 1
    tiles = -(-outputs // TILE)
    of_inputs, _, of_products = _matrices()
    around = np.zeros((SEEN, tiles, padding + length + SEEN + TILE))
    made = np.zeros((tiles * TILE, SEEN, tiles))
    for tile in range(tiles):
        start = tile * TILE
        around[:, tile, start : start + SEEN] = of_inputs
        made[start : start + TILE, :, tile] = of_products
    return around[:, :, padding : padding + length], made[:outputs]
