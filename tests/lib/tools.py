"""What the tests need besides Rust and Python, installed where it is missing.

Tools from crates go into tests/.tools, which git ignores, in the versions that are pinned here.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from children import ROOT, CannotRun, run

FOLDER = ROOT / "tests" / ".tools"
CRATES = {
    "cargo-deny": "0.20.2",
    # The same version as the library gungraun in tests/bench/Cargo.toml: they speak a protocol.
    "gungraun-runner": "0.20.0",
}
INSTALL_LIMIT = 1800


def crate(name):
    """The program of a crate, as a path."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    version, program, installed = CRATES[name], FOLDER / "bin" / name, FOLDER / ".crates.toml"
    if not (program.exists() and f'"{name} {version} ' in installed.read_text()):
        print(f"{name} {version} is missing: a minute or two", flush=True)
        _install(["cargo", "install", "--locked", "--root", FOLDER, f"{name}@{version}"])
    return program


def cerbos():
    """The program of Cerbos, a PDP, in the version and with the hash of its lock file."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise CannotRun("Cerbos is pinned for Linux on x86_64 alone")
    # npm comes with Node, but not in Debian.
    system_package("npm", "npm")
    place, pinned = FOLDER / "cerbos", ROOT / "tests" / "pdp" / "cerbos"
    program = place / "node_modules" / "@cerbos" / "cerbos-linux-x64" / "cerbos-linux-x64"
    lock = pinned / "package-lock.json"
    done = place / "done.json"
    if not (program.exists() and done.exists() and done.read_text() == lock.read_text()):
        place.mkdir(parents=True, exist_ok=True)
        (FOLDER / ".gitignore").write_text("*\n")
        for file in (pinned / "package.json", lock):
            shutil.copy(file, place)
        _install(["npm", "ci", "--prefix", place, "--ignore-scripts", "--no-audit", "--no-fund"])
        shutil.copy(lock, done)
    return program


def rustup_component(name, probe):
    """A component such as rustfmt, which `probe` (a command) shows to be there."""
    if run(probe, timeout=60, quiet=True)[0] != 0:
        _rustup("component", name)


def rust_target(name):
    """A target's standard library."""
    sysroot = run(["rustc", "--print", "sysroot"], timeout=60, quiet=True)[1].strip()
    if not os.path.isdir(os.path.join(sysroot, "lib", "rustlib", name, "lib")):
        _rustup("target", name)


def python_pip():
    """pip, which some systems leave out of their Python."""
    probe = ["python3", "-m", "pip", "--version"]
    system_package("pip for python3", "python3-pip", lambda: run(probe, timeout=60, quiet=True)[0] == 0)


def target_folder(manifest="--manifest-path=Cargo.toml"):
    """Where cargo puts what it builds of a workspace."""
    command = ["cargo", "metadata", manifest, "--no-deps", "--format-version=1", "-q"]
    status, text = run(command, timeout=120, quiet=True)
    if status != 0:
        raise CannotRun(f"{' '.join(command)} failed: {text.strip()}")
    return Path(json.loads(text[text.index("{"):])["target_directory"])


def system_package(program, package, is_there=None):
    """A program from the system's own packages. People are asked before anything is installed."""
    is_there = is_there or (lambda: shutil.which(program))
    if is_there():
        return
    by_hand = f"{program} is missing: install the package {package}, then start this again"
    if not shutil.which("apt-get"):
        raise CannotRun(by_hand)
    root = os.geteuid() == 0
    prefix = [] if root else ["sudo"]
    if os.environ.get("CI") == "true" or root:
        prefix = prefix and ["sudo", "-n"]
    elif not (sys.stdin.isatty() and _agreed(f"{program} is missing. Install the package {package} with sudo apt-get?")):
        raise CannotRun(by_hand)
    for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
        # Not through run(): sudo asks for its password on the terminal, which run() takes away.
        command = [*prefix, "apt-get", *words]
        print("$ " + " ".join(command), flush=True)
        try:
            done = subprocess.run(command, timeout=INSTALL_LIMIT, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRun(f"{error}; {by_hand}") from error
    if done.returncode != 0 or not is_there():
        raise CannotRun(by_hand)


def _agreed(question):
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _rustup(kind, name):
    if not shutil.which("rustup"):
        raise CannotRun(f"the {kind} {name} of Rust is missing, and there is no rustup to add it: install it as you installed Rust")
    _install(["rustup", kind, "add", name])


def _install(command):
    status, _ = run(command, timeout=INSTALL_LIMIT)
    if status != 0:
        raise CannotRun(f"could not install it; by hand: {' '.join(map(str, command))}")
