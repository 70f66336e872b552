"""``python -m rhoa`` is the command line."""

import sys

from rhoa.cli import main

sys.exit(main())
