"""The documents say what there is: every command, error and limit, and nothing that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from raylite.policies import errors, limits
from raylite.router.cli import main

ROOT = Path(__file__).parents[2]
DOCS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
OPERATIONS = (ROOT / "docs/operations.md").read_text()
README = (ROOT / "README.md").read_text()
CODE_FOLDERS = ("policies", "actors", "router", "benchmarks", "tests", ".ci")
CALLERS_SECTIONS = ("What a caller may send", "Queries", "Routing")
UNITS = {"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "ms": 1}
EVERYWHERE = {"--help", "--data", "--json", "--no-create"}

REFERENCE = re.compile(r"\bdocs/[\w/.-]*\w(?:, (?P<heading>[A-Z][A-Za-z ]*?)[).:;])?")
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[\w-]+))?\)")
LIMIT = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?P<number>[\d.,]+)(?: (?P<unit>\w+))? \|", re.MULTILINE)
TEST_NAME = re.compile(r"(?P<path>tests/[\w/]+\.py)::(?P<test>test_\w+)")


def texts_of_the_project() -> Iterator[tuple[Path, str]]:
    for folder in CODE_FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if path != Path(__file__):
                yield path, path.read_text()
    for path in (*DOCS, ROOT / "cluster.yaml", ROOT / "pyproject.toml", ROOT / "justfile"):
        yield path, path.read_text()


def headings(document: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)


def anchors(document: Path) -> set[str]:
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings(document)}


def test_every_command_is_in_the_readme_and_no_other() -> None:
    rows = re.findall(r"^\| `raylite ([a-z-]+)", README, re.MULTILINE)
    assert set(rows) == set(main.commands)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_of_a_command_is_in_its_row(name: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `raylite {name}"))
    parameters = [one for one in main.commands[name].params if isinstance(one, click.Option)]
    options = {flag for one in parameters for flag in one.opts if flag.startswith("--")}
    assert {flag for flag in options - EVERYWHERE if flag not in row} == set()


def test_every_error_is_in_the_table_and_no_other() -> None:
    table = OPERATIONS.partition("## Errors")[2]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    defined = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.Error)
    ]
    assert sorted(named) == sorted(defined)


def test_every_limit_that_callers_meet_is_in_the_table() -> None:
    source = Path(limits.__file__).read_text()
    sections = re.split(r"^# (.+)$", source, flags=re.MULTILINE)
    by_title = dict(zip(sections[1::2], sections[2::2], strict=True))
    callers = [
        name
        for title in CALLERS_SECTIONS
        for name in re.findall(r"^([A-Z_]+) =", by_title[title], re.MULTILINE)
    ]
    assert len(callers) > len(CALLERS_SECTIONS)
    assert set(callers) - {row["name"] for row in LIMIT.finditer(OPERATIONS)} == set()


@pytest.mark.parametrize("row", list(LIMIT.finditer(OPERATIONS)), ids=lambda row: row["name"])
def test_a_limit_in_the_table_has_its_value(row: re.Match[str]) -> None:
    number = float(row["number"].replace(",", ""))
    value: object = getattr(limits, row["name"])
    assert isinstance(value, int | float)
    assert number * UNITS[row["unit"] or ""] == value


def test_every_reference_to_a_document_leads_somewhere() -> None:
    lost: list[str] = []
    for path, text in texts_of_the_project():
        for found in REFERENCE.finditer(text):
            target = ROOT / found[0].partition(",")[0].rstrip(").:;")
            heading = found["heading"]
            if not target.exists() or (heading and heading not in headings(target)):
                lost.append(f"{path.relative_to(ROOT)}: {found[0]}")
    assert lost == []


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    lost: list[str] = []
    for found in LINK.finditer(document.read_text()):
        target = (document.parent / found["path"]).resolve() if found["path"] else document
        anchor = found["anchor"]
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(found[0])
    assert lost == []


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    missing = [
        found[0]
        for found in TEST_NAME.finditer(document.read_text())
        if f"def {found['test']}(" not in (ROOT / found["path"]).read_text()
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(r"`((?:policies|actors|router|tests)/[\w/.]+\.\w+)`", document.read_text())
    assert [one for one in named if not (ROOT / one).exists()] == []


def scripts() -> list[str]:
    return re.findall(r"```python\n(.+?)```", README, re.DOTALL)


@pytest.mark.parametrize("script", scripts(), ids=["driver", "awaited", "tools"])
def test_the_readmes_scripts_compile_and_use_public_names(script: str) -> None:
    public = ast.parse((ROOT / "src/raylite/__init__.py").read_text())
    names = {
        constant.value
        for node in public.body
        if isinstance(node, ast.Assign)
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant)
    }
    tree = ast.parse(script)
    compile(script, "README.md", "exec")
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "raylite"
    }
    assert used
    assert used - names == set()
