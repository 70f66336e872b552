"""X-rays of hips: read, turned upright, prepared. The public names are those of `rhoa.hips`."""
