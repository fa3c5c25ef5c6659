"""What Metaflow sees of this project: the decorator, the flow's commands, the Argo compiler.

Metaflow reads this module at every start, so it imports nothing of its own.
"""

STEP_DECORATORS_DESC = [("hitl", ".hitl_decorator.HitlDecorator")]
CLIS_DESC = [("hitl", ".hitl_cli.cli")]

# Metaflow imports the plugins while it loads itself. Whoever imports one of them first must let it load all of itself,
# or the plugin would be half made when Metaflow asks for it. Last, because Metaflow reads the lists above meanwhile.
import metaflow  # noqa: E402, F401
