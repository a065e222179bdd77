import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sk_ssimae

ROOT = Path(sk_ssimae.__file__).parent
LEAVES = {
    "exceptions",
    "_areas",
    "_atomic",
    "_extras",
    "_out_of_memory",
    "_validation",
    "_images",
    "_intensity",
    "_interest",
    "_lock",
    "_pixel_store",
    "_pixels",
    "_reading",
    "_patches",
    "_sliced",
    "_formulas",
}
# Subpackages that each may import from, besides itself.
DIRECTIONS = {
    **dict.fromkeys(LEAVES, LEAVES),
    "metrics": LEAVES,
    "_inference": LEAVES | {"metrics"},
    # Estimators use its thresholds; it trains candidates and draws, with imports when needed.
    "model_selection": LEAVES | {"metrics", "datasets", "estimators", "_inference", "plotting"},
    "losses": LEAVES,
    "modules": LEAVES | {"losses"},
    # It opens the model file of initial_weights and paints defects, with imports when needed.
    "estimators": LEAVES
    | {"_inference", "metrics", "model_selection", "losses", "modules", "persistence", "datasets"},
    "persistence": LEAVES
    | {"_inference", "metrics", "model_selection", "losses", "modules", "estimators"},
    "datasets": LEAVES | {"metrics"},
    "plotting": LEAVES | {"metrics"},
    "testing": LEAVES,
    "cli": LEAVES
    | {"_inference", "metrics", "model_selection", "estimators"}
    | {"datasets", "plotting", "persistence"},
    "__main__": {"cli"},
}
# Levels above, whose modules are imported only when needed.
ABOVE = {"model_selection": {"estimators"}, "estimators": {"persistence", "datasets"}}
# Imports allowed besides NumPy where torch is not.
WITHOUT_TORCH: dict[str, set[str]] = {
    **{name: set() for name in LEAVES | {"model_selection"}},
    "_lock": {"filelock"},
    "metrics": {"scipy"},
    "_inference": {"scipy", "skimage"},
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def imported_modules(path: Path, *, at_import_time: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if at_import_time else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_keep_their_direction(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    names = imported_modules(path)
    imported = {name.split(".")[1] for name in names if name.startswith("sk_ssimae.")}
    assert imported <= DIRECTIONS[own] | {own}
    at_once = imported_modules(path, at_import_time=True)
    for above in ABOVE.get(own, ()):
        assert not {name for name in at_once if name.startswith(f"sk_ssimae.{above}")}
    if own in WITHOUT_TORCH:
        imports = {name.split(".")[0] for name in imported_modules(path, at_import_time=True)}
        allowed = {"numpy", "sk_ssimae", *WITHOUT_TORCH[own], *sys.stdlib_module_names}
        assert imports <= allowed


@pytest.mark.parametrize(
    "module",
    [
        "sk_ssimae",
        "sk_ssimae.metrics",
        "sk_ssimae.model_selection",
        "sk_ssimae.cli._app",
        "sk_ssimae.persistence",
        "sk_ssimae.persistence._onnx._segmenter",
        "sk_ssimae.persistence._onnx._parity",
    ],
)
def test_light_modules_do_without_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_there():
    for name in sk_ssimae.__all__:
        assert getattr(sk_ssimae, name) is not None
    assert set(sk_ssimae.__all__) <= set(dir(sk_ssimae))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        sk_ssimae.no_such_name  # noqa: B018
