"""Slack's documented limits, in one place.

Sources: the pages of docs.slack.dev/reference/block-kit (blocks, block elements, composition objects),
docs.slack.dev/reference/views, docs.slack.dev/reference/methods and docs.slack.dev/apis/web-api/rate-limits.
Lengths are characters unless said otherwise.
"""

# Messages
MESSAGE_BLOCKS = 50
MESSAGE_BLOCKS_LENGTH = 13_200  # of the JSON of all blocks; slackapi/bolt-js issue 2509 measured it
MESSAGE_TEXT = 40_000  # chat.postMessage cuts longer text
UPDATE_TEXT = 4_000  # chat.update refuses longer text: msg_too_long
METADATA_BYTES = 16_000

# Blocks
SECTION_TEXT = 3_000
SECTION_FIELDS = 10
FIELD_TEXT = 2_000
HEADER_TEXT = 150
CONTEXT_ELEMENTS = 10
ACTIONS_ELEMENTS = 25
MARKDOWN_TEXT = 12_000
ALT_TEXT = 2_000
IMAGE_TITLE = 2_000
URL = 3_000
INPUT_LABEL = 2_000
INPUT_HINT = 2_000
BLOCK_ID = 255
TABLE_ROWS = 100  # the head is one of them
TABLE_COLUMNS = 20
TABLE_CHARACTERS = 10_000  # of all cells

# Elements
ACTION_ID = 255
BUTTON_TEXT = 75
BUTTON_VALUE = 2_000
PLACEHOLDER = 150
SELECT_OPTIONS = 100
OPTION_GROUPS = 100
OPTION_TEXT = 75
OPTION_VALUE = 150
OPTION_DESCRIPTION = 75
OVERFLOW_OPTIONS = 5
CHOICES = 10  # radio buttons and checkboxes
TYPED_TEXT = 3_000

# Confirm objects
CONFIRM_TITLE = 100
CONFIRM_TEXT = 300
CONFIRM_BUTTON = 30

# Views
VIEW_BLOCKS = 100
VIEW_TITLE = 24
VIEW_BUTTON = 24
PRIVATE_METADATA = 3_000
CALLBACK_ID = 255
EXTERNAL_ID = 255
VIEW_BYTES = 250_000
VIEW_STACK = 3

# Time, in seconds
ACKNOWLEDGE = 3.0
TRIGGER_LIFE = 3.0
RESPONSE_URL_LIFE = 30 * 60.0
RESPONSE_URL_USES = 5
RETRY_DELAYS = (0.0, 60.0, 300.0)  # events only: at once, after a minute, after five
TICKET_LIFE = 30.0  # of a Socket Mode address that nobody used yet
