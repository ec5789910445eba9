"""The part uniffi: the Kotlin library as users get it, and the Swift sources.

Builds the native library, generates both languages' sources, packs and installs the jar, and runs
the tests in a project outside the tree that finds nothing but that jar. All that is made lies in
target/uniffi, Maven's own repository too.
"""

import json
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path

import tools
from children import ROOT, CannotRun, run, server

FACE = ROOT / "bindings" / "uniffi"
BUILD = ROOT / "target" / "uniffi"
REPORT = ROOT / "target" / "vectors" / "kotlin.json"
MAVEN_LIMIT = 900
JAVA = 17
START_LIMIT = 30


def uniffi(part):
    """Kotlin: the jar in a fresh project; Swift: the generated sources"""
    tools.system_package("mvn", "maven")
    _require_java()
    target = tools.target_folder()
    build = [
        ["-p", "baokit-uniffi", "--release", "--lib"],
        ["-p", "baokit-uniffi", "--features", "cli", "--bin", "baokit-bindgen"],
        ["-p", "baokit-devserver", "-p", "baokit-vectors", "--bins"],
    ]
    for words in build:
        if not part.check(f"cargo build {words[1]}", ["cargo", "build", "--locked", *words]):
            return
    library = target / "release" / _library_name()
    if _generate(part, target / "debug" / "baokit-bindgen", library) and _pack(part, library):
        _swift(part)
        _test(part, target / "debug")
        _example(part, target / "debug")


def _generate(part, bindgen, library):
    """The sources of both languages, afresh."""
    done = []
    for language in ("kotlin", "swift"):
        shutil.rmtree(BUILD / language, ignore_errors=True)
        words = ["generate", "--config", FACE / "uniffi.toml", "--no-format", "--language", language]
        done.append(part.check(f"generate {language}", [bindgen, *words, "--out-dir", BUILD / language, library]))
    return all(done)


def _pack(part, library):
    """The jar, installed in a repository of our own."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    poms = [FACE / "kotlin" / "pom.xml", FACE / "kotlin-tests" / "pom.xml"]
    wrong = [str(pom) for pom in poms if f"<version>{version}</version>" not in pom.read_text()]
    part.verdict("the Maven projects have the workspace's version", wrong and f"{version} is not in {', '.join(wrong)}")

    shutil.rmtree(BUILD / "native", ignore_errors=True)
    resource = BUILD / "native" / _jna_folder()
    resource.mkdir(parents=True)
    shutil.copy(library, resource)
    if not part.check("mvn install", [*_maven(), "--quiet", "--file", FACE / "kotlin", "clean", "install"], timeout=MAVEN_LIMIT):
        return False
    jar = BUILD / "maven" / f"baokit-{version}.jar"
    print(f"kotlin: native library {library.stat().st_size // 1024} KiB, jar {jar.stat().st_size // 1024} KiB")
    return True


def _swift(part):
    """Compiled where there is a compiler, else looked at."""
    source = BUILD / "swift" / "baokit.swift"
    if shutil.which("swiftc"):
        modules = ["-Xcc", f"-fmodule-map-file={BUILD / 'swift' / 'baokitFFI.modulemap'}"]
        part.check("swiftc", ["swiftc", "-typecheck", *modules, "-I", BUILD / "swift", source])
        return
    text = source.read_text()
    promised = [
        "open class Client", "static func fromEnv(env:", "func read(uri: String)async throws", "enum BaokitError",
        "func rotate(uri: String, value: Value)async throws", "func versions(uri: String)async throws", "func exposeString()throws",
    ]
    missing = [phrase for phrase in promised if phrase not in text]
    part.verdict("the Swift sources have the operations (there is no swiftc)", missing and f"missing: {missing}")


def _test(part, programs):
    """The tests in a project outside the tree, on the dev server, the real one and the flow server."""
    tools.python_pip()
    part.check("tests/openbao/fetch", ["tests/openbao/fetch", "2.7.2"])
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    flow_server = [programs / "flow-server", "--face", "kotlin", "--report", REPORT]
    with tempfile.TemporaryDirectory() as folder, server(flow_server) as (child, log):
        project = Path(folder) / "project"
        shutil.copytree(FACE / "kotlin-tests", project, ignore=shutil.ignore_patterns("target"))
        environment = {
            "BAOKIT_BAO": str(ROOT / "tests" / "openbao" / ".servers" / "2.7.2" / "bao"),
            "BAOKIT_DEVSERVER": str(programs / "baokit-devserver"),
            "BAOKIT_FLOWS": _address(child, log),
        }
        part.surefire("mvn test", [*_maven(), "--file", project, "test"], timeout=MAVEN_LIMIT, env=environment)
    _tally(part)


def _example(part, programs):
    """examples/kotlin on the dev server."""
    def ends_well(text):
        return "quickstart: ok" not in text.splitlines() and "it does not end with quickstart: ok"

    with server([programs / "baokit-devserver"]) as (child, log):
        environment = {"OPENBAO_URL": _address(child, log), "OPENBAO_TOKEN": "root", "TENANT_ALLOWED_MOUNTS": "secret"}
        command = [*_maven(), "--quiet", "--file", ROOT / "examples" / "kotlin", "compile", "exec:java"]
        part.check("examples/kotlin", command, timeout=MAVEN_LIMIT, env=environment, expect=ends_well)


def _tally(part):
    """Prints how the vectors went; the test itself fails where one of them did."""
    if not REPORT.exists():
        part.verdict("the vectors' tally", "the flow server wrote none")
        return
    kinds = json.loads(REPORT.read_text())["kinds"]
    for kind, counts in sorted(kinds.items()):
        print(f"vectors, kotlin: {kind:<8} {counts['passed']:4} passed, {counts['failed']} failed, "
              f"{counts['skipped']} skipped, {counts['missing']} missing")
    bad = sum(counts["failed"] + counts["missing"] + counts["skipped"] for counts in kinds.values())
    part.verdict("the vectors' tally", bad and f"{bad} failed, missing or skipped")


def _maven():
    """Maven without questions, colours and progress; what it downloads must have the right checksum."""
    quiet = ["--batch-mode", "--no-transfer-progress", "-Dstyle.color=never", "-Djansi.mode=strip"]
    return ["mvn", *quiet, "--strict-checksums", f"-Dmaven.repo.local={BUILD / 'm2'}"]


def _require_java():
    """Maven's Java, which is not always the system's: JAVA_HOME may name another."""
    status, text = run(["mvn", "--version"], timeout=60, quiet=True)
    found = re.search(r"^Java version: (?:1\.)?(\d+)", text, re.MULTILINE)
    if status != 0 or not found or int(found[1]) < JAVA:
        has = f"runs on Java {found[1]}" if found else "finds no Java"
        raise CannotRun(f"Maven {has}, and the Kotlin library needs {JAVA} or later: install a JDK such as the package "
                        f"openjdk-{JAVA}-jdk-headless, and if there are several let JAVA_HOME name it")


def _address(child, log):
    """Where a server of ours listens: its first line says so."""
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end and child.poll() is None:
        found = re.match(r"listening (?:on )?(http://\S+)\n", log.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    raise CannotRun(f"{child.args[0]} did not start:\n{log.read_text()[-2000:]}")


def _library_name():
    return {"Darwin": "libbaokit_uniffi.dylib"}.get(platform.system(), "libbaokit_uniffi.so")


def _jna_folder():
    """The folder in the jar where JNA looks for this system's library."""
    system = {"Darwin": "darwin"}.get(platform.system(), "linux")
    machine = {"x86_64": "x86-64", "amd64": "x86-64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return f"{system}-{machine}"
