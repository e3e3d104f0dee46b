"""The Dockerfile, as far as it can be read; `make image-test` builds it and tries what comes of it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
RUNTIME = DOCKERFILE.rpartition("\nFROM ")[2]


def test_hadolint_finds_nothing() -> None:
    """No rule is switched off."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint" not in DOCKERFILE


def test_the_image_runs_as_a_user_of_its_own_and_says_how_it_is() -> None:
    """By number, so that an orchestrator can tell that it is not root."""
    assert re.findall(r"^USER (.+)$", RUNTIME, re.MULTILINE) == ["10001:10001"]
    assert "\nHEALTHCHECK " in RUNTIME
    assert "\nSTOPSIGNAL SIGTERM" in RUNTIME
    for label in ("title", "description", "licenses", "version", "revision", "source"):
        assert f"org.opencontainers.image.{label}=" in RUNTIME


def test_everything_that_is_installed_is_locked_with_hashes() -> None:
    """Each call of pip's `install` wants hashes, but that of the wheel which was just built."""
    calls = re.findall(r"pip (?:--python \S+ )?install ([^\\\n]+)", DOCKERFILE)
    assert len(calls) == 3
    assert [call for call in calls if "--require-hashes" not in call] == ["--no-deps /dist/*.whl "]


def test_the_build_sees_only_what_it_copies() -> None:
    """A secret that lies in the working tree does not get into a layer."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert "*" in rules
    assert {name for names in copies for name in names.split()} == {
        rule[1:].rstrip("/") for rule in rules if rule.startswith("!")
    }
