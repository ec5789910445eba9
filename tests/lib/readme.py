"""The lines of README.md stand in files that are run, or in Swift's case generated for, line by line."""

import re

from children import ROOT

TASTE, ENFORCEMENT = "A taste", "Nobody reaches a secret without a yes"
# Where the lines of a section and a language are run. Nothing here runs Swift.
FILES = {
    (TASTE, "rust"): "bindings/native/tests/environment.rs",
    (TASTE, "python"): "python/README.md",
    (TASTE, "ts"): "wasm/tests/node.test.mjs",
    (TASTE, "kotlin"): "bindings/uniffi/kotlin-tests/src/test/kotlin/QuickstartTest.kt",
    (TASTE, "swift"): "bindings/uniffi/README.md",
    (ENFORCEMENT, "rust"): "bindings/native/tests/service_environment.rs",
}


def differences():
    """What README.md shows and its file does not hold, as text; empty where all is well."""
    readme = (ROOT / "README.md").read_text()
    faults = []
    for (section, language), file in FILES.items():
        # Up to the next section, so that a block that went missing is not found further down.
        text = re.search(rf"^## {section}$(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
        block = text and re.search(rf"^```{language}\n(.*?)^```", text[1], re.MULTILINE | re.DOTALL)
        shown = _lines(block[1]) if block else []
        held = _lines((ROOT / file).read_text())
        if not shown or not any(held[i:i + len(shown)] == shown for i in range(len(held))):
            faults.append(f"the lines for {language} in \"{section}\" are not in {file}")
    return "; ".join(faults)


def _lines(text):
    """Lines without indentation, comments at their end and empty ones."""
    lines = (re.sub(r"\s+(//|#) .*$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]
