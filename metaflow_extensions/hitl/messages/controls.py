"""What people click and fill in: the IDs that Slack sends back, and the buttons and menus of a question.

Whoever builds a button and whoever listens to it find its ID here.
"""

from metaflow_extensions.hitl.approvals.record import Approval

from . import sentences
from .blocks import (
    ELLIPSIS,
    Block,
    actions,
    button,
    confirm,
    is_web_address,
    link_button,
    one_line,
    overflow,
    utc,
)

# Buttons and menus (action_id). The value of each button is the id of its approval.
APPROVE = "hitl_approve"  # decides at once without a schema; opens the form with one
CHOOSE = tuple(f"hitl_choose_{number}" for number in range(4))  # approves with the choice of this number
REJECT = "hitl_reject"  # opens the view that asks for the reason
REQUEST_CHANGES = "hitl_request_changes"  # opens the view that asks what must change
CONFIRM_ANSWER = "hitl_confirm_answer"  # the value is `<approval id>:<nonce>:<SHA-256>` of what is confirmed
CONFIRM_RUN = "hitl_confirm_run"
OBLIGATION_DONE = "hitl_obligation_done"  # opens the view that closes one; the value is `<approval id>:<number>`
RUN_AGAIN = "hitl_run_again"  # opens the view with the parameters of the run
OPEN = "hitl_open"  # a link to the message: Slack follows it, and the click still wants its ack
LINKS = tuple(f"hitl_link_{number}" for number in range(10))  # links to elsewhere; likewise
DETAILS = "hitl_details"  # the overflow menu; the value of an option is `<choice>:<approval id>`
PREVIOUS_PAGE = "hitl_previous_page"  # of a list; the value is `<page>:<words after /hitl>`
NEXT_PAGE = "hitl_next_page"
HOME_FLOW = "hitl_home_flow"  # the menu of the Home tab that chooses a flow

# Buttons of a message that many gates share. The value is the id of the batch.
APPROVE_ALL = "hitl_approve_all"
APPROVE_EXCEPT = "hitl_approve_except"
REJECT_ALL = "hitl_reject_all"
APPROVE_TO_COME = "hitl_approve_to_come"  # all, also the shards that have not asked yet
TAKE_BACK = "hitl_take_back"  # an answer for shards that have not asked yet

# The entry of a message's own menu (callback_id of the shortcut in the app's manifest)
WHY = "hitl_why"

# The choices of the overflow menu
SHOW_DETAILS = "details"
LIKE_BEFORE = "before"
COPY_COMMAND = "command"

# Views, told apart by their callback_id
APPROVE_VIEW = "hitl_approve_view"
REJECT_VIEW = "hitl_reject_view"
CHANGES_VIEW = "hitl_changes_view"
RUN_AGAIN_VIEW = "hitl_run_again_view"
OBLIGATION_VIEW = "hitl_obligation_view"
NOTICE_VIEW = "hitl_notice_view"  # nothing to submit: loading, closed, details
APPROVE_ALL_VIEW = "hitl_approve_all_view"
APPROVE_EXCEPT_VIEW = "hitl_approve_except_view"
REJECT_ALL_VIEW = "hitl_reject_all_view"
HOME_VIEW = "hitl_home_view"

# The reason: input of the views that reject and request changes, and of the one that approves where a rule wants it
REASON_BLOCK = "hitl_reason"
REASON_VALUE = "value"

# Inputs of an obligation, in the view that approves and in the one that closes it
OBLIGATION_TEXT = "hitl_obligation_text"
OBLIGATION_OWNER = "hitl_obligation_owner"
OBLIGATION_DUE = "hitl_obligation_due"
OBLIGATION_VALUE = "value"

# Inputs of the view that runs again: a parameter each, named behind this
PARAMETER_BLOCK = "hitl_parameter:"
PARAMETER_VALUE = "value"

# Inputs of the view that approves all but some, and the buttons in it
SHARDS_BLOCK = "hitl_shards_"  # and `<look>_<number>`: ten shards each
SHARDS_VALUE = "hitl_shards"
SHARDS_PREVIOUS = "hitl_shards_previous"
SHARDS_NEXT = "hitl_shards_next"
TICK_ALL = "hitl_tick_all"
UNTICK_ALL = "hitl_untick_all"
TO_COME_BLOCK = "hitl_to_come"
TO_COME_VALUE = "value"
ASKED, TO_COME = "asked", "to_come"
OTHERS_BLOCK = "hitl_others"
OTHERS_VALUE = "hitl_others"
OTHERS_WAIT, OTHERS_REJECTED = "wait", "rejected"

# Metadata of the question's message
EVENT_TYPE = "hitl_approval"
SAID = "hitl_said"  # and of the lines below it


def overflow_value(choice: str, approval_id: str) -> str:
    return f"{choice}:{approval_id}"


def overflow_choice(value: str) -> tuple[str, str]:
    """Split the value of an option of the overflow menu into its choice and the approval id; both may be empty."""
    choice, _, approval_id = value.partition(":")
    return choice, approval_id


# The buttons and menus of a question.


def approve_button(approval: Approval) -> Block:
    """Build the button that decides after Slack's own question, or that opens the form where input is asked."""
    about = sentences.spoken(approval)
    if sentences.opens_form(approval):
        return button(f"Approve{ELLIPSIS}", APPROVE, approval.id, about=about, style="primary")
    asked = confirm(f"Approve {approval.pathspec.step}?", _asked_again(approval), yes="Approve")
    return button("Approve", APPROVE, approval.id, about=about, style="primary", confirm=asked)


def _approving_buttons(approval: Approval) -> list[Block]:
    """Build the buttons that approve: one, or one for each choice."""
    field = sentences.chosen_by_button(approval)
    if field is None:
        return [approve_button(approval)]
    made: list[Block] = []
    for action_id, (title, _) in zip(CHOOSE, field.labelled, strict=False):
        asked = confirm(f"Approve with {title}?", _asked_again(approval), yes=title)
        made.append(button(title, action_id, approval.id, about=sentences.spoken(approval), confirm=asked))
    return made


def reject_button(approval: Approval) -> Block:
    about = sentences.spoken(approval)
    return button(f"Reject{ELLIPSIS}", REJECT, approval.id, about=about, style="danger")


def changes_button(approval: Approval) -> Block:
    about = sentences.spoken(approval)
    return button(f"Request changes{ELLIPSIS}", REQUEST_CHANGES, approval.id, about=about)


def answer_buttons(approval: Approval) -> list[Block]:
    """Build the buttons that answer, those that the step offers."""
    offered = [*_approving_buttons(approval), reject_button(approval)]
    return [*offered, changes_button(approval)] if approval.question.allow_changes else offered


def link_blocks(approval: Approval) -> list[Block]:
    """Build the buttons that lead to where there is something to look at."""
    offered = [(one_line(name), url) for name, url in approval.question.links.items() if is_web_address(url)]
    buttons = [link_button(name, action_id, url) for action_id, (name, url) in zip(LINKS, offered, strict=False)]
    return [actions(buttons)] if buttons else []


def more_menu(approval: Approval) -> Block:
    return overflow(
        DETAILS,
        [
            ("Details", overflow_value(SHOW_DETAILS, approval.id)),
            ("Like before", overflow_value(LIKE_BEFORE, approval.id)),
            ("Copy command", overflow_value(COPY_COMMAND, approval.id)),
        ],
    )


def _asked_again(approval: Approval) -> str:
    """Return what Slack asks before a button decides: the question, after what to know about who waits."""
    aside = sentences.nobody_waits(approval, utc)
    asked = one_line(sentences.question_text(approval))
    return f"{aside}. {asked}" if aside else asked


def run_again_button(approval: Approval) -> Block:
    return button(f"Run again{ELLIPSIS}", RUN_AGAIN, approval.id, about=sentences.spoken(approval))
