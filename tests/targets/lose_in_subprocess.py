# SPDX-License-Identifier: MIT
"""Loses 2 tokens here, and 3 in a Python started by subprocess, plus children that are not Python."""
import subprocess
import sys

import leaky

code = "import leaky\nfor i in range(3): leaky.token()"
for _ in range(2):
    leaky.token()
print(subprocess.run([sys.executable, "-c", code]).returncode)
print(subprocess.run(["/bin/echo", "from a child"], stdout=subprocess.PIPE).stdout)
print(subprocess.run("echo shell; exit 5", shell=True, stdout=subprocess.PIPE))
