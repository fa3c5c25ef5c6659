"""``python -m metaflow_hitl`` is ``hitl``."""

import sys

from metaflow_extensions.hitl.commands.standalone import main

if __name__ == "__main__":
    sys.exit(main())
