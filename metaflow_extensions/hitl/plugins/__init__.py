"""What Metaflow sees of this project: the decorator, the flow's commands, the Argo compiler.

Metaflow reads this module at every start, so it imports nothing of its own.
"""

# Metaflow imports the plugins while it loads itself. Whoever imports one of them first must let it, or the module
# would be half made when Metaflow asks for it.
import metaflow  # noqa: F401

STEP_DECORATORS_DESC = [("hitl", ".hitl_decorator.HitlDecorator")]
CLIS_DESC = [("hitl", ".hitl_cli.cli")]
