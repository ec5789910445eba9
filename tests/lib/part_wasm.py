"""The part wasm: the npm package as users get it.

Builds the package, packs it, installs the tarball in a project outside the tree that finds nothing
but that, and runs the tests there: in Node, and in workerd through a bundler as users have it.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

import tools
from children import ROOT, CannotRun, run

FACE = ROOT / "wasm"
REPORT = ROOT / "target" / "vectors" / "javascript.json"
INSTALL_LIMIT = 600
TEST_LIMIT = 300
# The most that the main module may weigh as it travels: brotli, quality 11.
MOST_BYTES = 120 * 1024
TYPES = ["--strict", "--noEmit", "--target", "esnext", "--module", "nodenext", "--types", ""]
# The newest names of the language, and what projects with an older target still have.
LIBS = ["esnext,dom", "es2022,dom"]
BROTLI = """
const { readFileSync } = require("node:fs"), { brotliCompressSync } = require("node:zlib");
for (const file of process.argv.slice(1)) {
  const bytes = readFileSync(file);
  console.log(file.split("/").pop(), bytes.length, brotliCompressSync(bytes).length);
}
"""


def wasm(part):
    """JavaScript: the npm tarball in fresh projects, in Node and in workerd"""
    _node()
    tools.rust_target("wasm32-unknown-unknown")
    install = ["npm", "ci", "--prefix", FACE, "--ignore-scripts", "--no-audit", "--no-fund"]
    servers = ["cargo", "build", "--locked", "-p", "baokit-devserver", "-p", "baokit-vectors", "--bins"]
    build = ["cargo", "run", "--locked", "-p", "baokit-wasm-build"]
    steps = [("npm ci", install), ("the servers", servers), ("baokit-wasm-build", build)]
    if not all(part.check(title, command) for title, command in steps):
        return
    target = tools.target_folder()
    package = target / "npm"
    _size(part, package)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        shutil.copytree(FACE / "tests", project, dirs_exist_ok=True)
        (project / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        status, text = run(["npm", "pack", package, "--pack-destination", project, "--json"], timeout=60, quiet=True)
        if status != 0:
            part.verdict("npm pack", text.strip())
            return
        tarball = next(project.glob("*.tgz"))
        add = ["npm", "install", "--offline", "--no-audit", "--no-fund", tarball]
        if part.check("npm install of the tarball", add, cwd=project, timeout=INSTALL_LIMIT):
            _test(part, project, target / "debug")


def _test(part, project, programs):
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    # One of an earlier run would be taken for this one's.
    REPORT.unlink(missing_ok=True)
    for lib in LIBS:
        tsc = ["node", FACE / "node_modules" / "typescript" / "bin" / "tsc", *TYPES, "--lib", lib, "types.ts"]
        part.check(f"tsc --strict --lib {lib}", tsc, cwd=project)
    vectors = ["node", "vectors.mjs", programs / "flow-server", REPORT]
    part.check("the vectors", vectors, cwd=project, timeout=TEST_LIMIT)
    # Which fetches with pip.
    tools.python_pip()
    if not part.check("tests/openbao/fetch", ["tests/openbao/fetch"]):
        return
    environment = {
        "BAOKIT_TOOLS": str(FACE),
        "BAOKIT_DEVSERVER": str(programs / "baokit-devserver"),
        "BAOKIT_BAO": str(ROOT / "tests" / "openbao" / ".servers" / "2.7.2" / "bao"),
    }
    for name in ("node", "workerd"):
        # One process, since the test of memory asks for the collector of its own.
        test = ["node", "--expose-gc", "--test-reporter=tap", f"{name}.test.mjs"]
        part.tap(f"node --test, {name}", test, cwd=project, env=environment, timeout=TEST_LIMIT)


def _size(part, package):
    modules = [package / "wasm" / f"{name}_bg.wasm" for name in ("baokit", "testing")]
    _, text = run(["node", "-e", BROTLI, *modules], timeout=60, quiet=True)
    sizes = {name: (int(raw), int(small)) for name, raw, small in re.findall(r"^(\S+) (\d+) (\d+)$", text, re.MULTILINE)}
    for name, (raw, small) in sizes.items():
        print(f"{name}: {raw} bytes, {small} ({small / 1024:.1f} KB) after brotli")
    small = sizes["baokit_bg.wasm"][1]
    part.verdict("the module's size after brotli", small > MOST_BYTES and f"{small} bytes; {MOST_BYTES} are allowed")


def _node():
    status, text = run(["node", "--version"], timeout=60, quiet=True) if shutil.which("node") else (None, "")
    found = re.match(r"v(\d+)", text)
    if status != 0 or not found or int(found[1]) < 20 or not shutil.which("npm"):
        raise CannotRun(f"Node 20 or later with npm is needed, and found is {text.strip() or 'none'}: install it, then start this again")
