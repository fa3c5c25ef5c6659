"""Wait here for the answer, then launch what runs elsewhere.

``run --with kubernetes`` has a process on this machine for each task, which asks for a pod and follows its log. A gated
step's process starts as this script: it becomes ``hitl wait-and-run``, and that becomes what Metaflow would have
started. One process all the while, so that stopping the run stops the waiting.

Run by its path, because it needs neither Metaflow nor this project.
"""

import json
import os
import sys

REMOTE = ("kubernetes", "batch")


def waiting(options: list[str], command: list[str]) -> list[str]:
    """Return the command that waits before another one.

    Parameters
    ----------
    options : list of str
        What the task is, as for Metaflow's ``step``: the step first.
    command : list of str
        What launches it: ``python flow.py TOP-LEVEL-OPTIONS kubernetes step STEP ...``.

    Raises
    ------
    ValueError
        It is another command.
    """
    for place, word in enumerate(command):
        if word in REMOTE and command[place + 1 : place + 3] == ["step", options[0]]:
            return [*command[:place], "hitl", "wait-and-run", *options, "--", *command]
    raise ValueError(f"this does not launch a task of step {options[0]}: {' '.join(command)}")


if __name__ == "__main__":
    asked = waiting(json.loads(sys.argv[1]), sys.argv[2:])
    os.execv(asked[0], asked)  # noqa: S606 - Metaflow's own command line, with two words more
