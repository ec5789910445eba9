"""The five lines of README.md stand in files that are run, or in Swift's case generated for, line by line."""

import re

from children import ROOT

# Where each language's lines are run. Nothing here runs Swift.
FILES = {
    "rust": "bindings/native/tests/environment.rs",
    "python": "python/README.md",
    "ts": "wasm/tests/node.test.mjs",
    "kotlin": "bindings/uniffi/kotlin-tests/src/test/kotlin/QuickstartTest.kt",
    "swift": "bindings/uniffi/README.md",
}


def differences():
    """What README.md shows and its file does not hold, as text; empty where all is well."""
    readme = (ROOT / "README.md").read_text()
    faults = []
    for language, file in FILES.items():
        block = re.search(rf"^## A taste$.*?^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
        shown = _lines(block[1]) if block else []
        held = _lines((ROOT / file).read_text())
        if not shown or not any(held[i:i + len(shown)] == shown for i in range(len(held))):
            faults.append(f"the lines for {language} are not in {file}")
    return "; ".join(faults)


def _lines(text):
    """Lines without indentation, comments at their end and empty ones."""
    lines = (re.sub(r"\s+(//|#) .*$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]
