"""X-rays of hips: read, turned upright, prepared."""

from rhoa.xray.margins import Content, blades, content
from rhoa.xray.preparation import halves, prepare
from rhoa.xray.reader import read_xray

__all__ = ["Content", "blades", "content", "halves", "prepare", "read_xray"]
