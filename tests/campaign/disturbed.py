"""A script of the project that a signal meets at a chosen moment.

    python tests/campaign/disturbed.py MOMENT train.py ...

MOMENT is JSON: `target` is `module:function` or `module:Class.method`, and at the beginning of its
`call`-th call, or at once without a target, a thread waits `delay` seconds and sends the process
`signals`, `apart` seconds apart.
"""

import functools
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def send(moment: dict[str, Any]) -> None:
    """Sends the signals to this process."""
    for number in moment["signals"]:
        time.sleep(moment["delay"])
        os.kill(os.getpid(), number)
        moment = moment | {"delay": moment["apart"]}


def wrap(moment: dict[str, Any]) -> None:
    """Lets the function of a moment send the signals when it is called."""
    name, _, path = moment["target"].partition(":")
    *outer, last = path.split(".")
    owner = functools.reduce(getattr, outer, importlib.import_module(name))
    function, calls = getattr(owner, last), iter(range(1, sys.maxsize))

    @functools.wraps(function)
    def wrapped(*args, **options):
        if next(calls) == moment["call"]:
            threading.Thread(target=send, args=(moment,), daemon=True).start()
            if not moment["delay"]:
                time.sleep(0.01)
        return function(*args, **options)

    setattr(owner, last, wrapped)


def main() -> None:
    """Runs the script, disturbed."""
    moment, script, *rest = sys.argv[1:]
    moment = json.loads(moment)
    sys.path[0] = str(ROOT)
    sys.argv = [script, *rest]
    # A process in the background, or under nohup, has been started to ignore them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if moment["target"]:
        wrap(moment)
    else:
        threading.Thread(target=send, args=(moment,), daemon=True).start()
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
