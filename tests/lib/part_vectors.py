"""The part vectors: one table of what the faces made of the shared vectors."""

import json

from children import ROOT, CannotRun

REPORTS = ROOT / "target" / "vectors"
# Each face, and the part of tests/run that runs it.
FACES = {"rust": "rust", "python": "python", "python-asyncio": "python", "javascript": "wasm", "kotlin": "uniffi"}


def vectors(part):
    """the table: every vector, the same in Rust, Python, JavaScript and Kotlin"""
    tallies = {}
    for face, run_by in FACES.items():
        report = REPORTS / f"{face}.json"
        if not report.exists():
            raise CannotRun(f"there is no report of {face}; the part {run_by} writes it: tests/run {run_by} vectors")
        tallies[face] = json.loads(report.read_text())
    kinds = sorted({kind for tally in tallies.values() for kind in tally["kinds"]})
    print(f"{'':<16}" + "".join(f"{kind:>16}" for kind in kinds) + f"{'agree':>10}")
    for face, tally in tallies.items():
        cells, good, cases, skipped = [], 0, 0, 0
        for kind in kinds:
            counts = tally["kinds"].get(kind, {"cases": 0, "passed": 0, "skipped": 0})
            good, cases, skipped = good + counts["passed"], cases + counts["cases"], skipped + counts["skipped"]
            cells.append(f"{counts['passed']}/{counts['cases']}")
        print(f"{face:<16}" + "".join(f"{cell:>16}" for cell in cells) + f"{100 * good / max(cases, 1):>8.1f} %")
        needs = {case["need"] for case in tally["skipped"]}
        if needs:
            print(f"{'':<16}{skipped} skipped, which need {', '.join(sorted(needs))}")
        part.verdict(f"{face} skips nothing", needs and f"it lacks {', '.join(sorted(needs))}")
        bad = cases - skipped - good
        part.verdict(f"every vector in {face}", (bad or not good) and f"{bad} differ: {tally['failures'][:5]}")
