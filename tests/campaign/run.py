"""Runs the kinds of trials and prints what held: python tests/campaign/run.py [--kinds KIND ...]

Every trial is a line of OUTPUT/trials.jsonl as it ends; another call goes on after the last one.
`--kinds KIND --only INDEX` repeats one trial, `--document` writes docs/reliability.md.
"""

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if not __package__:
    # In place of this folder: the package `campaign` lies beside the other helpers of tests.
    sys.path[:1] = [str(ROOT), str(ROOT / "tests")]

from campaign.trial import Kind  # noqa: E402

# Modules of this folder, in the order of the campaign.
KINDS = (
    "damage",
    "fuzz",
    "configurations",
    "attacks",
    "kills",
    "signals",
    "disks",
    "together",
    "memory",
)
DOCUMENT = ROOT / "docs" / "reliability.md"
MARKERS = ("<!-- figures -->", "<!-- end of figures -->")
LONGEST_NOTE = 300


def module(name: str) -> Kind:
    """The trials of a kind."""
    return importlib.import_module(f"campaign.{name}")


def main(argv: Sequence[str]) -> int:
    """Runs what the command line says; 1 if a trial failed."""
    options = parse(argv)
    record = options.output / "trials.jsonl"
    options.output.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    late = []
    for name in options.kinds:
        for done in remaining(name, options, len(read(record, options.seed).get(name, {}))):
            with record.open("a") as file:
                file.write(f"{json.dumps(done)}\n")
            print(f"{name} {done['index']}: {done['what']}: {done['note']}", flush=True)
            if time.monotonic() - begin > 3600 * options.hours:
                late.append(name)
                break
    found = read(record, options.seed)
    print(f"\n{table(found, options.short)}")
    for name, lines in found.items():
        for line in lines.values():
            if not line["held"]:
                print(f"FAILED {name} {line['index']}: {line['what']}: {line['note']}")
    if late:
        print(f"the time was over in {late[0]}: call it again to go on")
    if options.document:
        document(table(found, short=False))
    return int(any(not line["held"] for lines in found.values() for line in lines.values()))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--kinds", nargs="+", default=KINDS, choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    add("--short", action="store_true", help="as few trials as the tests make")
    add("--hours", type=float, default=1.75, help="no trial begins later")
    add("--seed", type=int, default=0, help="of all draws")
    add("--only", type=int, nargs="+", metavar="INDEX", help="repeat these trials of the kinds")
    add("--output", type=Path, default=ROOT / "runs" / "campaign", help="where the record goes")
    add("--document", action="store_true", help="write the table into docs/reliability.md")
    return parser.parse_args(argv)


def remaining(name: str, options: argparse.Namespace, first: int) -> Iterator[dict[str, Any]]:
    """Makes the trials of a kind that are not in the record yet, as lines for it."""
    kind = module(name)
    spans = [(first, kind.SHORT if options.short else kind.FULL)]
    if options.only:
        spans = [(index, index + 1) for index in options.only]
    commit = _git("describe", "--always", "--dirty")
    for start, end in spans:
        if start >= end:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = kind.trials(end, options.seed, Path(folder), start)
            for index, trial in enumerate(found, start):
                done = trial._replace(note=trial.note[:LONGEST_NOTE])._asdict()
                now = datetime.now(UTC).date().isoformat()
                head = {"kind": name, "seed": options.seed, "index": index}
                yield head | done | {"date": now, "commit": commit}


def read(record: Path, seed: int) -> dict[str, dict[int, dict[str, Any]]]:
    """Kind -> index -> the latest line of that trial."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for text in record.read_text().splitlines() if record.exists() else ():
        line = json.loads(text)
        if line["seed"] == seed:
            found.setdefault(line["kind"], {})[line["index"]] = line
    return {name: found[name] for name in KINDS if name in found}


def table(found: dict[str, dict[int, dict[str, Any]]], short: bool) -> str:
    """What was tried, what held and what was not tried, in Markdown."""
    rows = ["| kind | tried | held | failed | not tried | date | commit |", f"|{'---|' * 7}"]
    for name in KINDS:
        kind, lines = module(name), list(found.get(name, {}).values())
        held, wanted = sum(line["held"] for line in lines), kind.SHORT if short else kind.FULL
        cells = [kind.KIND, len(lines), held, len(lines) - held, max(wanted - len(lines), 0)]
        cells += [", ".join(sorted({line[key] for line in lines})) for key in ("date", "commit")]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def document(rows: str) -> None:
    """Writes the table between the markers of the document."""
    begin, end = MARKERS
    text = re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{rows}\n{end}",
                  DOCUMENT.read_text(), flags=re.DOTALL)  # fmt: skip
    DOCUMENT.write_text(text)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
