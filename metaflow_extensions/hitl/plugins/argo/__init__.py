"""What a gate becomes on Argo Workflows."""
