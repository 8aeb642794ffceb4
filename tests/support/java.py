"""Java and the jars of Apache Kafka: whether this machine has them, how they are called."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

CONFIGURATION = Path(__file__).parent / "kafka"
JARS = CONFIGURATION.parents[2] / ".tools" / "kafka" / "libs"
OLDEST = 17

# Small and quick to start: not for measuring load.
FLAGS = [
    "-Xms128m",
    "-Xmx256m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:ReservedCodeCacheSize=64m",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disableJmx=true",
    f"-Dlog4j2.configurationFile={(CONFIGURATION / 'log4j2.properties').as_uri()}",
]


def java() -> list[str]:
    """The command that runs a class of Kafka, up to the name of the class."""
    return ["java", *FLAGS, "-cp", f"{JARS}/*"]


def lacking() -> str | None:
    """What this machine lacks to run a broker, as a sentence; None where nothing is missing."""
    if shutil.which("java") is None:
        return "Java is not installed (Kafka needs 17 or newer)"
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', told)
    if version is None or int(version[1]) < OLDEST:
        return f"this Java is too old for Kafka, which needs 17: {told.splitlines()[:1]}"
    if not any(JARS.glob("kafka_*.jar")):
        return "the jars of Kafka are not in .tools/kafka/libs (make kafka fetches them)"
    return None
