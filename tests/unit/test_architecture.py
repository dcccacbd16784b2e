"""The rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from activities.connectors.registry import CONNECTORS, connector_class
from workers.roster import WORKFLOWS

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "workflows", "activities", "workers", "starters", "emulators")
_PLACES = re.compile(r"/(?:home|root|work|Users)/\w|--(?:extra-)?index-url|\"resolved\":")
_BRANCHES_ON_A_SYSTEM = re.compile(r"""(?<!sys\.)(?:system|platform|system_type)\s*[!=]=\s*["']""")


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def sources(*packages: str) -> list[Path]:
    return [path for package in packages for path in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("lock", sorted(ROOT.rglob("requirements*.lock")), ids=lambda path: path.name)
def test_a_lock_file_names_hashes_and_no_address(lock: Path):
    if ".venv" in lock.parts:
        pytest.skip("not ours")
    text = lock.read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_no_committed_file_names_a_place_on_somebodys_machine_or_a_registry():
    found = [
        path.relative_to(ROOT)
        for path in committed()
        if path != Path(__file__) and _PLACES.search(path.read_text(errors="replace"))
    ]
    assert found == []


def test_only_connectors_know_which_system_they_are():
    outside = [
        path.relative_to(ROOT)
        for path in sources("contracts", "workflows", "activities", "workers", "starters")
        if "connectors" not in path.parts and _BRANCHES_ON_A_SYSTEM.search(path.read_text())
    ]
    assert outside == []


def test_every_package_of_the_house_says_what_it_is_for():
    silent = [name for name in PACKAGES if not ast.get_docstring(ast.parse((ROOT / name / "__init__.py").read_text()))]
    assert silent == []


def test_workflow_files_import_nothing_that_does_work():
    forbidden = {
        "activities",
        "workers",
        "starters",
        "emulators",
        "httpx",
        "sqlalchemy",
        "os",
        "random",
        "time",
        "uuid",
    }
    found = {
        (path.name, name)
        for path in sources("workflows")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [item.name for item in node.names])
        if name.split(".")[0] in forbidden
    }
    assert found == set()


def test_no_connector_sleeps_to_pace_its_vendor():
    found = [
        path.relative_to(ROOT)
        for path in sources("activities/connectors", "activities/transport")
        if re.search(r"\b(?:asyncio|time)\.sleep\(", path.read_text())
    ]
    assert found == []


def test_nothing_trusts_a_certificate_unseen():
    unseen = re.compile(
        r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False|_create_unverified|_skip_verify|verify_(?:ssl|hostname)"
    )
    assert [path.relative_to(ROOT) for path in sources(*PACKAGES) if unseen.search(path.read_text())] == []


def test_no_connector_opens_a_connection_past_the_outbound_policy():
    own = re.compile(
        r"httpx\.(?:Async)?Client\(|ClientSession\(|TCPConnector\(|\bSession\(\)|PoolManager\(|HTTPAdapter|create_connection"
        r"|open_connection|create_default_context|SSLContext\(|urlopen\("
    )
    found = [path.relative_to(ROOT) for path in sources("activities/connectors") if own.search(path.read_text())]
    assert found == []


def test_no_test_is_switched_off():
    found = [
        path.relative_to(ROOT)
        for path in sources("tests")
        if re.search(r"mark\.(?:skip\b|xfail)", path.read_text()) and path.name != "test_architecture.py"
    ]
    assert found == []


@pytest.mark.parametrize("system", sorted(CONNECTORS))
def test_every_connector_has_a_contract_test(system: str):
    assert (ROOT / "tests" / "contract" / f"test_{system}.py").exists()


@pytest.mark.parametrize("system", sorted(set(CONNECTORS) - {"wedsync"}))
def test_the_readme_states_each_connectors_guarantee(system: str):
    manifest = connector_class(system).manifest
    assert f"\n| {manifest.title} | {manifest.guarantee} |" in (ROOT / "README.md").read_text()


def test_every_workflow_has_an_orchestration_test():
    tests = "".join(path.read_text() for path in sources("tests/orchestration"))
    assert [one.__name__ for one in WORKFLOWS if one.__name__ not in tests] == []
