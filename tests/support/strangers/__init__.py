"""外人: clients that are not ours; whether this machine has them, and how they are run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODULES = HERE.parents[2] / ".tools" / "strangers" / "node_modules"
NODE = Path(sys.executable).parent / "node"
TIMEOUT_S = 60


def lacking_modules() -> str | None:
    """What is missing to run the scripts beside this file, as a sentence."""
    if not NODE.exists():
        return "Node is not in .venv (make bootstrap installs it)"
    if not (MODULES / "kafkajs").is_dir():
        return "the packages of npm are not in .tools/strangers (make strangers fetches them)"
    return None


def lacking_kcat() -> str | None:
    """What is missing to run kcat, as a sentence."""
    return None if shutil.which("kcat") else "kcat is not installed (on Debian: apt install kcat)"


def run(command: list[str]) -> str:
    """What a stranger's program says; its complaint fails the test."""
    env = {**os.environ, "NODE_PATH": str(MODULES), "KAFKAJS_NO_PARTITIONER_WARNING": "1"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def node(script: str, *words: str) -> Any:
    """Each line that a script says, as JSON."""
    said = run([str(NODE), str(HERE / script), *words])
    return [json.loads(line) for line in said.splitlines()]
