"""What Metaflow sees of this project: the decorator, the flow's commands, the Argo compiler."""

# Metaflow imports the modules here while it loads itself. Whoever imports one of them first must let it, or the
# module would be half made when Metaflow asks for it.
import metaflow  # noqa: F401
