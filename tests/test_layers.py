"""The house stays as docs/ARCHITECTURE.md draws it: imports point down, no circles, and the library knows no host."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE, NODES = ROOT / "latentsync_core", ROOT / "nodes"
FLOORS = (  # from the ground up; a room may import from floors below its own, and rooms on the ground from one another
    (
        *("__init__", "errors", "file_names", "input_files", "atomic_write", "disk_cache", "progress", "options"),
        *("presets", "intervals", "demo", "settings", "entry_file", "digests", "versions", "run_log", "student"),
    ),
    ("media",),
    ("audio",),
    ("faces",),
    ("models",),
    ("diffusion",),
    ("generators",),
    ("pipeline",),
    ("scoring",),
    ("cluster",),
    ("training",),
    ("visualize",),
    ("evaluation", "benchmark"),
    ("cli", "__main__"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
HOST = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "server", "execution", "nodes"}
HOST_INSIDE = {"comfy", "folder_paths"}  # what only nodes/host may know; comfy_api is the public door
BARE = ("models", "pipeline")  # packages whose face imports nothing, so that nothing heavy comes along by accident


def imports(path: Path, top: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file below `top` imports, whenever it does, as a whole dotted name, and the line."""
    package = path.relative_to(top.parent).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((".".join((*base, module)), node.lineno) for module in modules)


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def test_every_room_has_a_floor():
    found = {room_of(path) for path in python_files(CORE)}
    assert found == set(FLOOR_OF), "name new packages in FLOORS and in docs/ARCHITECTURE.md"


def test_imports_of_the_library_point_down():
    upward = []
    for path in python_files(CORE):
        own = room_of(path)
        if own in ("__main__", "__init__"):
            continue
        for name, line in imports(path, CORE):
            if not name.startswith("latentsync_core."):
                continue
            other = name.split(".")[1]
            other = other if other in FLOOR_OF else "__init__"  # a name of the package itself, such as __version__
            below = FLOOR_OF[other] < FLOOR_OF[own] or FLOOR_OF[other] == FLOOR_OF[own] == 0
            if other != own and not below:
                upward.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not upward, "\n".join(upward)


def test_the_library_knows_no_host():
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in python_files(CORE)
        for name, line in imports(path, CORE)
        if name.split(".")[0] in HOST
    ]
    assert not found, "\n".join(found)


def test_what_reads_a_voice_imports_nothing_of_openai_whisper():
    """Its transcription brings numba, llvmlite and triton along; only its file of mel filters is read. Training may."""
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for folder in (CORE, NODES)
        for path in python_files(folder)
        if folder is NODES or room_of(path) != "training"
        for name, line in imports(path, folder)
        if name.split(".")[0] in {"whisper", "numba", "llvmlite", "triton", "tiktoken"}
    ]
    assert not found, "\n".join(found)


def test_only_the_host_folder_knows_the_host_inside():
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in python_files(NODES)
        if "host" not in path.relative_to(NODES).parts
        for name, line in imports(path, NODES)
        if name.split(".")[0] in HOST_INSIDE
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", BARE)
def test_the_face_of_a_heavy_package_is_a_docstring(package):
    body = ast.parse((CORE / package / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr)


def module_imports(path: Path, modules: set[str]) -> set[str]:
    """The library's modules that `path` imports when it is loaded; what a function imports later makes no circle."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            node.body = []
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join((*package[: len(package) - node.level + 1], *([node.module] if node.module else [])))
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found & modules


def test_no_modules_import_one_another_in_a_circle():
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in python_files(CORE)
    }
    graph = {name: module_imports(path, set(names)) - {name} for name, path in names.items()}
    done: set[str] = set()
    circles = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circles.append(" -> ".join((*trail[trail.index(name) :], name)))
        elif name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert not circles, "\n".join(circles)
