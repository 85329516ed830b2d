"""What the other end of `peer_process.process` does; it needs neither JAX nor PyTorch."""

import json
import sys


def serve(served: object) -> None:
    """Answers a JSON line for each line `[name of a method, argument, ...]` of standard input."""
    # What a library prints is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = getattr(served, name)(*arguments)
        except Exception as error:
            # What fails here is a result, not the end of the table.
            answer = {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
        print(json.dumps(answer), file=answers, flush=True)
