"""drizzle-orm and Prisma's D1 adapter in Workers, over workerd's own D1 binding."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.compat.clients.conftest import HERE, MODULES, Gateways, got, node
from tests.compat.clients.workers import worker


def bundled(name: str, folder: Path) -> list[str]:
    """The Worker of this name as one module, in workerd's configuration."""
    subprocess.run(
        [
            MODULES / ".bin/esbuild", HERE / f"{name}.mjs", "--bundle", "--format=esm", "--target=es2022",
            "--conditions=workerd,worker,browser,import", "--external:node:*", "--external:cloudflare:*",
            "--external:*.wasm?module", "--log-level=error", f"--outfile={folder / 'worker.mjs'}",
        ],
        check=True, timeout=120,
    )  # fmt: skip
    return ['(name = "worker.mjs", esModule = embed "worker.mjs")']


def test_drizzle(gateways: Gateways, tmp_path: Path) -> None:
    with worker(gateways, tmp_path, bundled("drizzle", tmp_path), flags=["nodejs_compat"]) as url:
        found = got(url)
    assert "UNIQUE constraint failed: d_authors.name" in str(found.pop("rolledBack"))
    assert "please use the state.storage.transaction()" in str(found.pop("transaction"))
    austen = found.pop("austen")
    assert found == {
        "changed": ["Persuasion", "Ulysses"],
        "upserted": "James Joyce",
        "joined": [
            {"author": "Austen", "title": "Emma", "price": 3},
            {"author": "Austen", "title": "Persuasion", "price": 4},
            {"author": "James Joyce", "title": "Ulysses", "price": 12.5},
        ],
        "nested": [
            ["Austen", [["Emma", False, None, None], ["Persuasion", True, None, None]]],
            ["James Joyce", [["Ulysses", True, ["long"], "1922-02-02T00:00:00.000Z"]]],
        ],
        "counted": [{"author": austen, "n": 2}],
        "prepared": 1,
        "deleted": 3,
        "left": 1,
    }


def test_prisma(gateways: Gateways, tmp_path: Path) -> None:
    # Prisma looks for an engine that only its migrations need, and that it would download.
    prisma = (MODULES / "prisma/build/index.js", "generate", "--schema", "schema.prisma")
    node(*prisma, PRISMA_SCHEMA_ENGINE_BINARY="/bin/true", CHECKPOINT_DISABLE="1")
    (compiler,) = (HERE / "built/prisma/internal").glob("*.wasm")
    shutil.copy(compiler, tmp_path)
    embedded = f'(name = "{compiler.name}?module", wasm = embed "{compiler.name}")'
    modules = [*bundled("prisma", tmp_path), embedded]
    with worker(gateways, tmp_path, modules, flags=["nodejs_compat"]) as url:
        found = got(url)
    assert found == {
        "created": [["Ulysses", [0, 255], "1922-02-02T00:00:00.000Z"]],
        "books": 1,
        "many": 2,
        "taken": {"code": "P2002", "target": {"fields": ["name"]}},
        "missing": {"code": "P2025"},
        "foreign": {"code": "P2003", "target": {"foreignKey": {}}},
        "found": [{"name": "Austen", "books": [{"title": "Emma"}, {"title": "Persuasion"}]}],
        "sums": [12.5, 7],
        "upserted": "Woolf",
        "raw": [{"title": "Persuasion", "price": 4}, {"title": "Ulysses", "price": 12.5}],
        "executed": 2,
        "deleted": "Austen",
        "left": 1,
    }
