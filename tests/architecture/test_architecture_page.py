"""The architecture page and the code say the same."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
TOPS = ("consumers", "scorers", "monitor")


def _folders_on_the_page(text: str) -> dict[str, set[str]]:
    folders: dict[str, set[str]] = {}
    for heading in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        folder = re.match(r"`([^`]+)/`", heading)
        assert folder, f"a heading that names no folder: {heading.splitlines()[0]}"
        named = re.findall(r"^- `([^`]+\.py)`: \S", heading, flags=re.MULTILINE)
        assert len(named) == len(set(named)), f"{folder[1]}: a module is named twice"
        folders[folder[1]] = set(named)
    return folders


def _folders_of_the_code() -> dict[str, set[str]]:
    folders: dict[str, set[str]] = {}
    for top in TOPS:
        for module in (ROOT / top).rglob("*.py"):
            inside = folders.setdefault(module.parent.relative_to(ROOT).as_posix(), set())
            # A package's own module is what the line below its heading describes.
            if module.name != "__init__.py":
                inside.add(module.name)
    return folders


def test_the_page_names_every_module_and_nothing_else():
    """Each module file has one line below its folder's heading, and each line names a file that exists."""
    assert _folders_on_the_page(PAGE.read_text(encoding="utf-8")) == _folders_of_the_code()


def test_the_page_s_links_lead_somewhere():
    """Every relative link of the documentation and the README leads to a file."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_the_layers_on_the_page_are_those_that_the_linter_holds():
    """The page shows the layers of `pyproject.toml`, in the same order, without their common prefix."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = re.search(r"^layers = \[\n(.*?)^\]", text, flags=re.MULTILINE | re.DOTALL)
    assert layers is not None
    held = [re.findall(r"monitor\.(\w+)", line) for line in layers[1].splitlines()]
    block = re.search(r"```\n(cli.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block is not None
    shown = [line.split(", ") for line in block[1].splitlines()]
    assert shown == [line for line in held if line != ["__main__"]]


def test_the_import_contracts_hold():
    """No module imports what its layer may not."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
