"""A task's log, as whoever started the run reads it while it goes on."""

import array
import sys
import time
from contextlib import suppress

from metaflow_extensions.hitl.messages.terminal import harmless

_PATIENCE = 0.5  # seconds a line waits for its reader; a log that nobody reads must not hold the gate
_LOOK = 0.002  # seconds between two looks
_LONGEST = 20_000  # characters; what is said is far shorter


def say(text: str) -> None:
    """Print a text so that each line of it is seen now.

    Metaflow's scheduler reads one line at each sign of output, and keeps what came with it until the next sign
    (metaflow 2.19, ``runtime.py``, ``Worker.read_logline``). Of lines written at once, a task that then waits would
    show the first, and the rest when the wait is over: so each is written when the one before has been read.
    What a terminal would obey in it is written out. If nobody is there to read, the wait will notice.
    """
    for line in harmless(text, _LONGEST).splitlines():
        with suppress(BrokenPipeError):
            print(line, flush=True)  # noqa: T201 - a task's log is its standard output
        end = time.monotonic() + _PATIENCE
        while _unread() and time.monotonic() < end:
            time.sleep(_LOOK)


def complain(text: str) -> None:
    """Print an error, which Metaflow shows as one."""
    with suppress(BrokenPipeError):
        print(harmless(f"Error: {text}", _LONGEST), file=sys.stderr, flush=True)  # noqa: T201 - likewise, its errors


def _unread() -> int:
    """Count the bytes in the pipe that nobody has read yet; 0 where the log is not a pipe."""
    count = array.array("i", [0])
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
        import termios  # noqa: PLC0415

        fcntl.ioctl(sys.stdout.fileno(), termios.FIONREAD, count)
    except (ImportError, OSError, ValueError, AttributeError):
        return 0
    return count[0]
