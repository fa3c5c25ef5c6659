"""``hitl-bot demo`` and ``hitl-bot sandbox``."""

import os
import signal
import tempfile
import webbrowser
from pathlib import Path
from threading import Event

import click

_FLOW = Path(__file__).parent / "flows" / "train_and_deploy.py"


@click.command(help="Start a local Slack, the bot and two gated runs, and print the address to open.")
@click.option("--auto", is_flag=True, help="Play the clicks too, and exit with 0 only if the run ends as expected.")
@click.option("--port", default=0, show_default="a free one", help="Where the page listens, on 127.0.0.1.")
@click.option(
    "--flow", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=_FLOW, help="The flow to run."
)
def demo(auto: bool, port: int, flow: Path) -> None:  # noqa: FBT001 - click hands flags over like this
    """Run the demo until it ends, or until Ctrl-C."""
    # Metaflow and the sandbox take a second to import, and `hitl-bot --help` should not.
    from hitl_bot.settings import LogFormat, LogLevel  # noqa: PLC0415
    from hitl_bot.telemetry.logs import set_up_logs  # noqa: PLC0415

    from .stage import EARLIER, WentWrong, approve_earlier, in_another_terminal, play, set_stage  # noqa: PLC0415  # noqa: PLC0415

    set_up_logs(LogFormat.CONSOLE, LogLevel.WARNING)  # what a person sees here is the run
    # As Ctrl-C does: a demo that is ended must not leave its run behind, waiting.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def say(line: str) -> None:
        click.echo(click.style("demo ", fg="green") + line)

    with (
        tempfile.TemporaryDirectory(prefix="hitl-demo-") as folder,
        set_stage(flow.resolve(), Path(folder), port, click.echo, arguments=EARLIER if flow == _FLOW else ()) as first,
    ):
        say(f"Open {first.url} in a browser: the questions appear there in a moment, in #ml-approvals.")
        say("To use the commands below in another terminal, paste this there first:")
        for line in in_another_terminal(first.flow, first.exports):
            click.echo(f"  {line}")
        if not auto and os.environ.get("BROWSER") != "none":
            webbrowser.open(first.url)
        stage = first
        try:
            if flow == _FLOW:
                say("The first run trains v6, and carol approves it, so that the second has something to compare with.")
                approve_earlier(first)
                stage = first.next_run()
                say("The second run trains v7. It waits for you, or for whoever you choose to be on the page.")
            if auto:
                play(stage, say)
                say("Everything worked as expected.")
                return
            code = stage.run.wait()
            say(
                "The run succeeded."
                if code == 0
                else f"The run ended with exit code {code}, as it does after a rejection."
            )
            say("The page stays up until you press Ctrl-C.")
            Event().wait()
        except WentWrong as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            say("Bye.")


@click.command(help="Keep a local Slack and the bot up for flows of your own, and print the settings that they need.")
@click.option("--port", default=0, show_default="a free one", help="Where the page listens, on 127.0.0.1.")
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the records are kept. Default: a temporary folder, removed when the sandbox ends.",
)
def sandbox(port: int, root: Path | None) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from hitl_bot.settings import LogFormat, LogLevel  # noqa: PLC0415
    from hitl_bot.telemetry.logs import set_up_logs  # noqa: PLC0415

    from .stage import local_slack, shell_exports  # noqa: PLC0415 - as above

    set_up_logs(LogFormat.CONSOLE, LogLevel.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="hitl-sandbox-") as folder:
        records = str((root or Path(folder) / "hitl").resolve())
        try:
            with local_slack(records, port) as slack:
                click.echo(f"The local Slack is at {slack.url}")
                click.echo("The bot is connected. In the terminal where you run your flows, paste:\n")
                for line in shell_exports(slack.exports):
                    click.echo(f"  {line}")
                click.echo("\nThen: python your_flow.py run")
                click.echo("Both stay up until you press Ctrl-C.")
                Event().wait()
        except KeyboardInterrupt:
            click.echo("The sandbox has ended.")
