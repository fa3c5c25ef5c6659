"""What Argo keeps of a workflow, and how much it takes."""

from __future__ import annotations

import json
from typing import Any

MOST_TEMPLATES = 200  # argo-workflows 4.1.2, workflow_types.go, MaxItems of WorkflowSpec.templates in the full CRDs
WORKFLOW_SIZE = 2**20  # argo-workflows 3.7.3, workflow/packer/packer.go, unless MAX_WORKFLOW_SIZE says otherwise
COPIES = 2  # storedWorkflowTemplateSpec and storedTemplates in a Workflow's status
_PER_TEMPLATE = 440  # bytes of names and empty fields that the second adds; 434 to 438 measured on 3.7.3


def stored_size(spec: dict[str, Any]) -> int:
    """Return the bytes that Argo keeps of a specification in each workflow, before any node has begun."""
    text = json.dumps(spec, separators=(",", ":"))
    return COPIES * len(text) + _PER_TEMPLATE * len(spec["templates"])


def fits(spec: dict[str, Any]) -> bool:
    """Whether Argo takes it as it is installed."""
    return len(spec["templates"]) <= MOST_TEMPLATES and stored_size(spec) <= WORKFLOW_SIZE
