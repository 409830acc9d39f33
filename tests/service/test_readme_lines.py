"""The README's curl lines work as pasted."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

LINES = re.findall(r"^curl .*$", (Path(__file__).parents[2] / "README.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_curl_lines_of_the_readme_answer(address):
    assert len(LINES) >= 3
    for line in LINES:
        asked = [*shlex.split(line.replace("http://127.0.0.1:8000", address)), "-o", "/dev/null", "-w", "%{http_code}"]
        assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "200", line
