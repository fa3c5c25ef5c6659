"""People at work: they click on what they see, fill in forms, type commands, and open the Home tab."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackApiError

from hitl_bot.listeners import table
from hitl_bot.listeners.payloads import fill_in_initial_values, user_of
from hitl_bot.listeners.slash_command import dispatcher
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Origin, Person, State, Verdict
from metaflow_extensions.hitl.approvals.refusals import TooLate
from metaflow_extensions.hitl.approvals.use_cases import Outcome
from metaflow_extensions.hitl.messages import controls
from metaflow_extensions.hitl.messages.views import approval_of
from tests.simulation.kernel import Process
from tests.simulation.schedule import Act
from tests.simulation.world import CHANNEL, buttons_in

if TYPE_CHECKING:
    from tests.simulation.simulation import Bot, Simulation

USERS = {"U0ALICE": "Alice", "U0BOB": "Bob", "U0CAROL": "Carol"}
_WHO = tuple(USERS)
_TYPIST = Person(id="alice@example.com", name="alice@example.com", origin=Origin.CLAIM)  # on a command line
_TRIES = 40  # of a person who sees that nothing happens
_FEW_TRIES = 4  # of somebody who is turned away
_APPROVE = (controls.APPROVE, *controls.CHOOSE)
_BUTTONS = {
    "reject": (controls.REJECT,),
    "changes": (controls.REQUEST_CHANGES,),
    "all": (controls.APPROVE_ALL,),
    "except": (controls.APPROVE_EXCEPT,),
}
_OF_FORM = {
    controls.APPROVE_VIEW: Verdict.APPROVE,
    controls.APPROVE_ALL_VIEW: Verdict.APPROVE,
    controls.APPROVE_EXCEPT_VIEW: Verdict.APPROVE,
    controls.CHANGES_VIEW: Verdict.CHANGES,
}  # all others reject
_ENTERED = {  # in an input that shows nothing, by the type of its element
    "plain_text_input": lambda _: {"value": "Stale."},
    "datepicker": lambda _: {"selected_date": "2026-04-01"},
    "static_select": lambda element: {"selected_option": element["options"][-1]},
    "radio_buttons": lambda element: {"selected_option": element["options"][-1]},
}
_command = dispatcher(table.WORDS, table.WORDS_WITH_ID)
_Deliver = Callable[["Bot"], None]


class People:
    """Everybody in the workspace of one simulation.

    Attributes
    ----------
    acting : int
        How many acts are not over.
    acknowledged : list
        Answers that somebody was told are taken: of which approval, whose, which verdict.
    delegated : list
        Delegations that somebody was told hold: whose, and to whom.
    """

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._rng = random.Random(f"people {world.schedule.seed}")
        self._process = Process(world.kernel, "people")
        self._clicks: dict[str, int] = {}  # by who made them
        self.acting = 0
        self.acknowledged: list[tuple[str, str, Verdict]] = []
        self.delegated: list[tuple[str, str]] = []

    def plan(self, act: Act) -> None:
        self.acting += 1
        self._process.spawn(lambda: self._act(act), act.at)

    def _act(self, act: Act) -> None:
        approval_id, who = self._world.pathspec(act.gate).approval_id, _WHO[act.who]
        may_answer = not self._world.schedule.named or act.who == 0
        try:
            for _ in range(_TRIES if may_answer else _FEW_TRIES):
                if act.what in _ONCE:
                    if _ONCE[act.what](self, who):
                        return
                    self._world.kernel.sleep(2.0)
                    continue
                newest = self._world.newest(approval_id)
                if newest is not None and (newest.state is not State.PENDING or who in answered(newest)):
                    return
                if act.what == "line":
                    if newest is not None:
                        self._answer_on_a_line(approval_id)
                        return
                elif not self._answer(act, approval_id, who):
                    self._world.kernel.sleep(2.0)
                    continue
                self._world.kernel.sleep(self._rng.uniform(4, 12))
        finally:
            self.acting -= 1

    # Where they answer. Each says False if nothing is to be seen, or nobody is there to hear of it.

    def _answer(self, act: Act, approval_id: str, who: str) -> bool:
        if act.what.startswith("typed"):
            verb = "reject" if act.what == "typed no" else "approve"
            return self._type(
                who, f"{verb} {approval_id}{' Stale.' if verb == 'reject' else ''}", form=verb == "approve"
            )
        if act.what == "from home":
            return self._click_on_home(who)
        return self._click(act, approval_id, who)

    def _click(self, act: Act, approval_id: str, who: str) -> bool:
        wanted, shared = _BUTTONS.get(act.what, _APPROVE), self._world.schedule.shared
        if shared and act.what not in ("all", "except"):
            wanted = (controls.REJECT_ALL,) if act.what == "reject" else (controls.APPROVE_ALL,)
        found = [
            (message, button)
            for message in self._world.slack.questions()
            for button in message.buttons()
            if button.get("action_id") in wanted and (shared or button["value"] == approval_id)
        ]
        if not found:
            return False
        message, button = self._rng.choice(found)
        where = {"container": {"type": "message", "channel_id": CHANNEL, "message_ts": message.ts}}
        return self._press(who, button, {**where, "message": {"blocks": message.blocks}}, times=2 if act.twice else 1)

    def _click_on_home(self, who: str) -> bool:
        home = self._world.slack.homes.get(who)
        offered = [] if home is None else [one for one in buttons_in(home["blocks"]) if one["action_id"] in _APPROVE]
        if home is None or not offered:
            self._open_home(who)
            return False
        view = {**home, "type": "home", "id": f"VHOME{who}"}
        return self._press(who, self._rng.choice(offered), {"container": {"type": "view"}, "view": view})

    def _press(self, who: str, button: dict[str, Any], where: dict[str, Any], *, times: int = 1) -> bool:
        there = self._world.bots_there()
        trigger = f"t{self._world.calls.number}"
        body = {"type": "block_actions", "user": {"id": who}, "trigger_id": trigger, **where}
        callback = table.BUTTONS[button["action_id"]]
        for _ in range(times if there else 0):
            self._deliver(self._rng.choice(there), callback, body, action=button)
        if there:
            self._fill_in(trigger, who)
        return bool(there)

    def _type(self, who: str, text: str, *, form: bool = False, done: Callable[[], object] = lambda: None) -> bool:
        there, trigger = self._world.bots_there(), f"t{self._world.calls.number}"
        if there:
            body = {"command": table.COMMAND, "user_id": who, "text": text, "trigger_id": trigger}
            self._deliver(self._rng.choice(there), _command, body, done, command=body)
            if form:
                self._fill_in(trigger, who)
        return bool(there)

    def _answer_on_a_line(self, approval_id: str) -> None:
        process = Process(self._world.kernel, "line", skew=self._world.schedule.skews[2])
        nonce = f"{self._rng.getrandbits(128):032x}"

        def answer() -> None:
            cases, given = self._world.cases(process), Answer(verdict=Verdict.APPROVE)
            try:
                came = cases.answer_from_command_line(approval_id, given, who=_TYPIST, nonce=nonce)
            except HitlError:
                return
            if isinstance(came, Outcome):
                self.acknowledged.append((approval_id, _TYPIST.id, Verdict.APPROVE))
            else:
                self.acting += 1
                self._process.spawn(lambda: self._confirm(nonce))

        process.spawn(answer)

    def _confirm(self, nonce: str) -> None:
        """Wait for the direct message that asks whether that was them, and say yes."""
        try:
            for _ in range(_TRIES):
                self._world.kernel.sleep(2.0)
                for message in self._world.slack.direct:
                    for button in message.buttons():
                        if button["action_id"] == controls.CONFIRM_ANSWER and nonce in button["value"]:
                            where = {"container": {"type": "message", "channel_id": "D1", "message_ts": message.ts}}
                            if self._press("U0ALICE", button, {**where, "message": {"blocks": message.blocks}}):
                                return
        finally:
            self.acting -= 1

    # What else they do.

    def _open_home(self, who: str) -> bool:
        there = self._world.bots_there()
        if there:
            body = {"type": "event_callback", "user": {"id": who}}
            given = {"event": {"tab": "home", "user": who}}
            self._deliver(self._rng.choice(there), table.EVENTS["app_home_opened"], body, **given)
        return bool(there)

    def _delegate(self, who: str) -> bool:
        other = _WHO[(_WHO.index(who) + 1) % len(_WHO)]
        return self._type(
            who, f"delegate <@{other}|them> until 2026-03-04", done=lambda: self.delegated.append((who, other))
        )

    def _take_back(self, who: str) -> bool:
        return self._type(who, "delegate end")

    # Forms.

    def _fill_in(self, trigger: str, who: str) -> None:
        for _ in range(6):
            self._world.kernel.sleep(1.0)
            view = next((one for one in self._world.slack.views.values() if one["trigger"] == trigger), None)
            there = self._world.bots_there()
            if view is None or view["callback_id"] not in table.FORMS or not there:
                continue
            if view["callback_id"] == controls.RUN_AGAIN_VIEW:
                return
            body = {"type": "view_submission", "user": {"id": who}, "view": {**view, "state": self._entered(view)}}
            fill_in_initial_values(body)
            shown = dict(view)
            self._deliver(self._rng.choice(there), table.FORMS[view["callback_id"]], body, view=body["view"])
            self._world.kernel.sleep(2.5)
            if self._world.slack.views.get(view["id"]) == shown:  # it is closed, or nothing came of it
                return

    def _entered(self, view: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        leaves_out = self._rng.random() < 0.5  # what may be left out
        for block in view["blocks"]:
            element = block.get("element") or {}
            enter = _ENTERED.get(element.get("type", ""))
            begins = any(name.startswith("initial_") for name in element)
            if enter is not None and not begins and not (block.get("optional") and leaves_out):
                values[block["block_id"]] = {element["action_id"]: {"type": element["type"], **enter(element)}}
        return {"values": values}

    # How a bot hears of it.

    def _deliver(  # noqa: C901 - a line for each thing that Bolt does
        self,
        bot: Bot,
        callback: Callable[..., None],
        body: dict[str, Any],
        done: Callable[[], object] = lambda: None,
        **given: Any,
    ) -> None:
        world, who, parts = self._world, user_of(body), bot.core.parts

        def ack(**response: Any) -> None:
            if response.get("response_action") == "clear":
                world.slack.views.pop(body["view"]["id"], None)
                self._was_told(body, who)
            elif response.get("response_action") == "update":
                view = world.slack.views.get(body["view"]["id"])
                if view is not None:
                    world.slack.views[view["id"]] = {**view, **response["view"]}

        def respond(**_: Any) -> None:
            world.calls.make(bot.process, "slack", "response_url", lambda: None, error=ConnectionError, timeout=8.0)

        everything = {
            "ack": ack,
            "body": body,
            "client": bot.client,
            "respond": respond,
            **{name: getattr(parts, name) for name in parts.__dataclass_fields__},
            **given,
        }
        wanted = {name: everything[name] for name in _parameters(callback)}

        def listen() -> None:
            bot.awake.set()
            before = world.answered_by(who)
            self._clicks[who] = self._clicks.get(who, 0) + 1
            try:
                callback(**wanted)
            except Exception as error:  # noqa: BLE001 - as Bolt does
                if not isinstance(error, (HitlError, SlackApiError, OSError)):
                    world.violations.append(f"defect: a click raised {error!r}")
                if isinstance(error, TooLate):
                    world.was_too_late(error.approval)
                if isinstance(error, HitlError) and "nothing was" in str(error).lower():
                    after = world.answered_by(who)
                    if after - before and self._clicks[who] == 1:  # of two clicks, the other one may have decided
                        world.violations.append(f"untrue: {who} was told {error}, and answered {after - before}")
                context = SimpleNamespace(response_url="there")
                table.answer_error(error, body, context, bot.client, respond, None)  # type: ignore[arg-type]
            else:
                done()

        bot.process.spawn(listen, 0.05)

    def _was_told(self, body: dict[str, Any], who: str) -> None:
        """A form closed. One for many closes with the first answer; the message shows what became of the others."""
        about, verdict = approval_of(body["view"]), _OF_FORM.get(body["view"]["callback_id"], Verdict.REJECT)
        if about:
            taken = self._world.newest(about)
        else:
            taken = next((one for one in self._world.approvals() if holds(one, who, verdict)), None)
        if taken is None:
            self._world.violations.append(f"acknowledged: {who}'s form closed, and nothing is recorded")
        else:
            self.acknowledged.append((taken.id, who, verdict))


_ONCE: dict[str, Callable[[People, str], bool]] = {
    "home": People._open_home,
    "delegate": People._delegate,
    "take back": People._take_back,
}
_known: dict[Callable[..., None], tuple[str, ...]] = {}


def _parameters(callback: Callable[..., None]) -> tuple[str, ...]:
    if callback not in _known:
        _known[callback] = tuple(inspect.signature(callback).parameters)
    return _known[callback]


def answered(approval: Approval) -> set[str]:
    """Return the ids of those whose answers are in a record."""
    decided = set() if approval.decision is None else {approval.decision.by.id}
    return decided | {vote.by.id for vote in approval.votes}


def holds(approval: Approval, who: str, verdict: Verdict) -> bool:
    """Whether a record has somebody's answer; the same one of whoever was slower changes nothing, and isn't refused."""
    return who in answered(approval) or (approval.decision is not None and approval.decision.verdict is verdict)
