"""Imports go down only: the folder is the layer."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Each layer may import itself and those after it; GROUND is what the layers of the daemon share.
LAYERS = [
    "scheduler.cli",
    "scheduler.daemon",
    "scheduler.api",
    "scheduler.engine",
    "scheduler.store",
    "workers",
    "schemas",
]
GROUND = {
    "scheduler.config",
    "scheduler.config_values",
    "scheduler.bus",
    "scheduler.log_config",
    "scheduler.sdnotify",
    "scheduler.state_dir",
}


def _layer(module: str) -> int | None:
    found = [rank for rank, name in enumerate(LAYERS) if module == name or module.startswith(name + ".")]
    return found[0] if found else None


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules() -> Iterator[tuple[str, Path]]:
    for part in ("schemas", "workers", "scheduler"):
        for path in sorted((ROOT / part).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def climbing() -> list[str]:
    rows = []
    for module, path in _modules():
        own = _layer(module)
        for name in _imports(path):
            theirs = _layer(name)
            if own is not None and theirs is not None and theirs < own:
                rows.append(f"{module} imports {name}")
            if module in GROUND and theirs is not None and theirs < _layer_of_ground():
                rows.append(f"{module} imports {name}")
    return rows


def _layer_of_ground() -> int:
    return LAYERS.index("workers")


def test_imports_go_down_only() -> None:
    assert climbing() == []


def test_every_layer_has_modules() -> None:
    found = {_layer(module) for module, _ in _modules()}
    assert set(range(len(LAYERS))) <= found


def test_the_launcher_imports_the_standard_library_only() -> None:
    for path in sorted((ROOT / "workers" / "launcher").glob("*.py")):
        names = {name.split(".")[0] for name in _imports(path)}
        assert not names & {"schemas", "workers", "scheduler", "orjson", "psutil", "pydantic"}, path


def test_client_verbs_import_neither_aiohttp_nor_pydantic_nor_the_daemon() -> None:
    for path in sorted((ROOT / "scheduler" / "cli").rglob("*.py")):
        top = {name for node in ast.parse(path.read_text(encoding="utf-8")).body for name in _names(node)}
        assert not {name.split(".")[0] for name in top} & {"aiohttp", "pydantic", "aiosqlite", "ray"}, path


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
