"""What pip installs is what the folders hold, and what the project says about itself is true."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import cast

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from raylite.policies.placement import (
    choose_followers,
    place_followers,
    region_of,
    tolerated_losses,
    tolerated_nodes,
)
from raylite.policies.regions import Regions
from raylite.policies.system import Node

_ROOT = Path(__file__).parents[2]
_CODE = ("actors", "router", "policies")
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())
_ELSEWHERE = {"tests/recovery", "tests/wan", "tests/compat", "tests/browser"}
"""Tests that take long, or need more than a fresh machine has; each has its own command."""


def _files(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy: setuptools leaves folders behind, and takes what lies in them along."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*_CODE, "src"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(_ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(_ROOT / name, source)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(target)!r})"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return zipfile.ZipFile(built)


@pytest.mark.parametrize("folder", _CODE)
def test_the_wheel_holds_every_file_of_the_folder_and_nothing_else(
    wheel: zipfile.ZipFile, folder: str
) -> None:
    prefix = f"raylite/{folder}/"
    packed = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    assert packed == _files(_ROOT / folder)
    assert all(wheel.read(prefix + name) == (_ROOT / folder / name).read_bytes() for name in packed)


def test_the_wheel_puts_nothing_beside_the_package(wheel: zipfile.ZipFile) -> None:
    roots = {name.split("/")[0] for name in wheel.namelist()}
    assert roots == {"raylite", f"raylite-{_PROJECT['project']['version']}.dist-info"}
    assert {"raylite/__init__.py", "raylite/py.typed"} <= set(wheel.namelist())


def test_the_package_is_three_links_into_the_folders() -> None:
    package = _ROOT / "src" / "raylite"
    assert {path.name for path in package.iterdir() if path.is_symlink()} == set(_CODE)
    assert all((package / name).resolve() == _ROOT / name for name in _CODE)


@pytest.mark.parametrize(
    "folder", [path for name in _CODE for path in (_ROOT / name).rglob("*") if path.is_dir()]
)
def test_every_folder_with_modules_is_a_package(folder: Path) -> None:
    if any(folder.glob("*.py")):
        assert (folder / "__init__.py").exists()


def test_every_actor_module_has_its_place_in_the_import_layers() -> None:
    layers = " ".join(_PROJECT["tool"]["importlinter"]["contracts"][0]["layers"])
    placed = set(re.findall(r"raylite\.actors\.(\w+)", layers))
    modules = {path.stem for path in (_ROOT / "actors").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (_ROOT / "actors").glob("*/__init__.py")}
    assert modules | packages <= placed


def test_every_folder_of_tests_is_run_by_the_test_command_or_has_its_own() -> None:
    folders = {path.parent.relative_to(_ROOT).as_posix() for path in (_ROOT / "tests").rglob("test_*.py")}
    run = set(cast("list[str]", _PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]))
    assert {"/".join(folder.split("/")[:2]) for folder in folders} <= run | _ELSEWHERE


def test_the_lock_names_no_place_of_this_machine() -> None:
    addresses = re.findall(r'"((?:https?|file|git[+a-z]*):[^"]*|/[^"]*)"', (_ROOT / "uv.lock").read_text())
    assert addresses
    odd = [
        one for one in addresses if not re.match(r"https://(pypi\.org/simple|files\.pythonhosted\.org/)", one)
    ]
    assert odd == []


def test_ray_accepts_the_cluster_file_and_every_node_has_a_region() -> None:
    config = cast("dict[str, object]", yaml.safe_load((_ROOT / "cluster.yaml").read_text()))
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    types = cast("dict[str, dict[str, dict[str, str]]]", config["available_node_types"])
    regions = {name: one["labels"]["ray.io/availability-region"] for name, one in types.items()}
    assert len(set(regions.values())) == len(types) - 1 >= 3
    starts = cast("list[str]", [*prepared["head_start_ray_commands"], *prepared["worker_start_ray_commands"]])
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    # `raylite up` would start a Ray of its own without it; Ray runs actors at low priority unless told.
    assert "RAY_ADDRESS=127.0.0.1:6379 raylite up" in (_ROOT / "cluster.yaml").read_text()
    assert any("--head --port=6379" in command and "RAY_worker_niceness=0" in command for command in starts)


def test_the_cluster_file_survives_what_it_says() -> None:
    config = yaml.safe_load((_ROOT / "cluster.yaml").read_text())
    types = cast("dict[str, dict[str, object]]", config["available_node_types"])
    nodes = [
        Node(f"{name}-{number}", cast("dict[str, str]", one["labels"])["ray.io/availability-region"])
        for name, one in types.items()
        for number in range(cast("int", one.get("min_workers", 1)))
    ]
    sites = {site.follower: site for site in place_followers(nodes, {}, 0)}
    for number in range(100):
        chosen = choose_followers(f"database-{number}", sites.values(), nodes[0].region, Regions())
        spread = [sites[follower] for follower in chosen]
        assert (tolerated_nodes(spread), tolerated_losses(spread, region_of)) == (2, 1)


def test_ray_refuses_a_cluster_file_with_a_setting_that_it_does_not_know() -> None:
    config = yaml.safe_load((_ROOT / "cluster.yaml").read_text())
    config["available_node_types"]["head"]["label"] = {}
    with pytest.raises(Exception, match="label"):
        validate_config(prepare_config(config))
