"""What a line of log says, and what it must never say."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
from libs.runtime.logs import set_up_logs
set_up_logs(service="inventory", instance="one")
def fail():
    password = "sesame"
    raise ValueError("it failed")
try:
    fail()
except ValueError:
    logging.getLogger("libs.bus").exception("boom")
"""


def test_a_traceback_shows_where_and_never_what_the_variables_held() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)

    assert '"service": "inventory"' in result.stderr
    assert '"name": "fail"' in result.stderr
    assert "sesame" not in result.stderr
