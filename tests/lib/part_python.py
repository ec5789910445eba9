"""The part python: the wheel as users get it.

Builds it once, then installs it into a clean virtual environment for each Python that the machine
has: the whole suite runs on the newest, the flow (log in, write, read, rotate, versions; on the dev
server and a real one) on the others. What is installed lies in tests/.tools/python.
"""

import os
import shutil
from pathlib import Path

import tools
from children import ROOT, CannotRun, run

FACE = ROOT / "python"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
INSTALL_LIMIT = 300
SUITE_LIMIT = 900
REPORTS = ROOT / "target" / "vectors"


def python(part):
    """Python: the wheel in a clean environment of each Python from 3.10 to 3.13"""
    REPORTS.mkdir(parents=True, exist_ok=True)
    for name in ("python.json", "python-asyncio.json"):
        # However this run ends, an older one's must not pass for its own.
        (REPORTS / name).unlink(missing_ok=True)
    interpreters = _interpreters()
    if not interpreters:
        raise CannotRun(f"there is no Python of {', '.join(VERSIONS)} with the modules venv and ensurepip")
    newest = max(interpreters, key=VERSIONS.index)
    tools.python_pip()
    if not part.check("tests/openbao/fetch", ["tests/openbao/fetch"]):
        return
    if not part.check("cargo build baokit-vectors", ["cargo", "build", "--locked", "-p", "baokit-vectors", "--bins"]):
        return
    wheel = _build(part, interpreters[newest])
    if not wheel:
        return
    print(f"python: wheel {wheel.stat().st_size // 1024} KiB, {wheel.name}")
    for version, interpreter in interpreters.items():
        full = version == newest
        program = _environment(part, version, interpreter, wheel, "full" if full else "flow")
        if not program:
            continue
        suite = [program, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        if not full:
            part.pytest(f"the flow on Python {version}", [*suite, "tests/test_flow.py"], timeout=SUITE_LIMIT, cwd=FACE)
            continue
        servers = {"FLOW_SERVER": str(tools.target_folder() / "debug" / "flow-server"), "VECTORS_REPORTS": str(REPORTS)}
        # -s: the figures that the tests print (memory, import time, Ctrl-C, vectors) are to be seen.
        part.pytest(f"everything on Python {version}", [*suite, "-s", "tests"], timeout=SUITE_LIMIT, cwd=FACE, env=servers)


def _interpreters():
    """The Pythons of the machine: on the PATH, or installed by pyenv. Stand-ins that start none are passed over."""
    found = {}
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}*/bin/python3"), reverse=True)]
        for candidate in filter(None, candidates):
            probe = [candidate, "-c", "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"]
            status, text = run(probe, timeout=30, quiet=True)
            if status == 0 and text.strip() == version:
                found[version] = candidate
                break
        else:
            print(f"python: there is no Python {version} here", flush=True)
    return found


def _folder():
    """tests/.tools/python, which git ignores."""
    tools.FOLDER.mkdir(exist_ok=True)
    (tools.FOLDER / ".gitignore").write_text("*\n")
    return tools.FOLDER / "python"


def _pip(program, *words):
    return [program, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]


def _requirements(program, file):
    return _pip(program, "install", "--require-hashes", "--only-binary=:all:", "-r", file)


def _build(part, interpreter):
    """Packs the wheel with maturin, in an environment that holds nothing else."""
    program, wheels = _folder() / "build" / "bin" / "python", ROOT / "target" / "wheels"
    pinned = f"maturin {_pinned('maturin')}"
    if not program.exists() or pinned not in run([program.with_name("maturin"), "--version"], timeout=30, quiet=True)[1]:
        made = part.check("an environment for maturin", [interpreter, "-m", "venv", "--clear", program.parents[1]])
        if not (made and part.check("maturin", _requirements(program, FACE / "requirements-build.txt"), timeout=INSTALL_LIMIT)):
            return None
    shutil.rmtree(wheels, ignore_errors=True)
    build = [program.with_name("maturin"), "build", "--release", "--locked", "--manifest-path", FACE / "Cargo.toml"]
    if not part.check("maturin build", [*build, "--interpreter", interpreter, "--out", wheels]):
        return None
    (wheel,) = wheels.glob("baokit-*.whl")
    part.verdict("the wheel is for every Python from 3.10 on", "-cp310-abi3-" not in wheel.name and wheel.name)
    return wheel


def _pinned(name):
    lines = (FACE / "requirements-build.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}==")).split("==")[1].split()[0]


def _environment(part, version, interpreter, wheel, needs):
    """A clean environment with the wheel and the tests' own needs; its Python, or None."""
    program = _folder() / version / "bin" / "python"
    steps = {
        f"an environment of Python {version}": [interpreter, "-m", "venv", "--clear", program.parents[1]],
        f"requirements on Python {version}": _requirements(program, FACE / "tests" / f"requirements-{needs}.txt"),
        f"the wheel on Python {version}": _pip(program, "install", "--no-index", "--no-deps", wheel),
    }
    done = all(part.check(title, command, timeout=INSTALL_LIMIT) for title, command in steps.items())
    return program if done else None
