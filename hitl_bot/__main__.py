"""Where ``hitl-bot`` and ``python -m hitl_bot`` start. What they need may not be installed, and is named then."""

import sys

_SANDBOX = ("aiohttp", "hitl_bot.sandbox")
_OWN = ("hitl_bot", "metaflow_extensions")


def main() -> None:
    """Run the command line; in an installation that lacks an extra, say which one and how to install it."""
    try:
        from hitl_bot.cli import main as run  # noqa: PLC0415 - click comes with the extra `bot`

        run()
    except ModuleNotFoundError as error:
        advice = _advice(error.name or "")
        if advice is None:
            raise
        sys.exit(f"hitl-bot: {advice}")


def _advice(module: str) -> str | None:
    """Say what to install for a module that is missing; None if it is a part of this project, which is a defect."""
    if _is_in(module, _SANDBOX):
        return 'the local Slack is not installed. Install it: pip install "metaflow-hitl[bot,sandbox]"'
    if _is_in(module, _OWN):
        return None
    return f'the Python package {module!r} is missing. Install what the bot needs: pip install "metaflow-hitl[bot]"'


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


if __name__ == "__main__":
    main()
