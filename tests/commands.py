"""The command line as a user calls it, in this process."""

from __future__ import annotations

import pytest

from rhoa import cli


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``rhoa WORDS``."""
    try:
        code = cli.main([str(word) for word in words])
    except SystemExit as leave:
        code = int(leave.code or 0)
    out, err = capsys.readouterr()
    return code, out, err
