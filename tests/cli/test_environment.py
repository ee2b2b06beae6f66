"""The diagnosis tells a missing, an old and a broken package apart, and a whole weight file from a stub."""

from pathlib import Path

import pytest

from latentsync_core.cli import environment as diagnosis
from latentsync_core.cli.environment import (
    REQUIREMENTS,
    Requirement,
    examine_package,
    numbers,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def toy_package(tmp_path, monkeypatch):
    """Put a module with the given source where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> Requirement:
        (tmp_path / f"{name}.py").write_text(source)
        return Requirement(f"no-such-distribution-{name}", name, "2.0", probe="model")

    return write


def test_this_environment_is_fine():
    for requirement in REQUIREMENTS[1:4]:
        finding = examine_package(requirement)
        assert (finding.status, finding.detail) == ("ok", "")
        assert finding.version[0].isdigit()


def test_a_package_that_is_not_there():
    finding = examine_package(Requirement("latentsync-no-such-thing", "latentsync_no_such_thing"))
    assert (finding.status, finding.version) == ("missing", None)


@pytest.mark.parametrize(("version", "status"), [("1.9.9", "too old"), ("2.0", "ok"), ("10.0rc1", "ok")])
def test_versions_compare_by_number(toy_package, version, status):
    finding = examine_package(
        toy_package(f"toy_{status[:2]}_{version[:2].strip('.')}", f"model = 1\n__version__ = '{version}'")
    )
    assert (finding.status, finding.version) == (status, version)


@pytest.mark.parametrize(
    ("name", "source", "detail"),
    [
        (
            "toy_clash",
            "raise RuntimeError('compiled against API 0x10\\nmore')",
            "RuntimeError: compiled against API 0x10",
        ),
        ("toy_lacks", "import latentsync_no_such_thing", "ModuleNotFoundError: No module named"),
        ("toy_syntax", "def", "SyntaxError: "),
        ("toy_hollow", "__version__ = '3.0'", "AttributeError: "),
    ],
)
def test_a_package_that_does_not_import_is_reported_not_raised(toy_package, name, source, detail):
    finding = examine_package(toy_package(name, source))
    assert finding.status == "broken"
    assert finding.detail.startswith(detail)
    assert "\n" not in finding.detail


def test_a_package_of_which_one_file_is_used_may_lack_what_it_needs_itself(tmp_path, monkeypatch):
    """As openai-whisper, installed with --no-deps."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toy_filters").mkdir()
    (tmp_path / "toy_filters" / "__init__.py").write_text("import latentsync_no_such_thing")
    requirement = Requirement("no-such-distribution", "toy_filters", file="filters.npz")
    assert examine_package(requirement).detail.startswith("FileNotFoundError: no filters.npz in ")
    (tmp_path / "toy_filters" / "filters.npz").touch()
    assert examine_package(requirement).status == "ok"


def test_numbers():
    assert numbers("2.13.0+cpu") == (2, 13, 0) > numbers("2.9")
    assert numbers("unknown") > numbers("20231117")


def test_requirements_and_diagnosis_agree():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    stated = dict((line + ">=").split(">=")[:2] for line in lines)
    assert stated == {r.distribution: r.minimum for r in REQUIREMENTS if r.distribution != "torch"}


def test_embedded_face_weights_are_whole():
    for name in diagnosis.FACE_NETWORKS:
        assert diagnosis.is_whole_safetensors(diagnosis.FACE_WEIGHTS / f"{name}.safetensors")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:5],
        lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        lambda content: content[:8] + b"x" * (len(content) - 8),
    ],
    ids=["one byte short", "header cut", "Git LFS pointer", "header spoilt"],
)
def test_damaged_weights_are_noticed(tmp_path, damage):
    whole = (diagnosis.FACE_WEIGHTS / "face_mesh.safetensors").read_bytes()
    path = tmp_path / "face_mesh.safetensors"
    path.write_bytes(damage(whole))
    assert not diagnosis.is_whole_safetensors(path)
    assert not diagnosis.is_whole_safetensors(tmp_path / "absent.safetensors")
