"""The names that Slack sends back. Whoever builds a button and whoever listens to it read them here."""

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
