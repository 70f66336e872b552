"""Projection: from a volume to radiograph-like images, and to stacks of them."""

from rhoa.projection.render import ctap, sweep
from rhoa.projection.slabs import coronal, cumulative, thin_slab

__all__ = ["coronal", "ctap", "cumulative", "sweep", "thin_slab"]
