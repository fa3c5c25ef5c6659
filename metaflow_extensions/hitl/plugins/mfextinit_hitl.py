"""Names the plugins. Metaflow reads this at every start, so nothing else is imported here."""

STEP_DECORATORS_DESC = [("hitl", ".hitl_decorator.HitlDecorator")]
CLIS_DESC = [("hitl", ".hitl_cli.cli")]
