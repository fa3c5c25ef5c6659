"""The methods of Slack's Web API that the sandbox implements; any other answers ``unknown_method``."""

from . import apps, chat, conversations, files, users, validate, views
from .method import Method

METHODS: dict[str, Method] = {
    method.name: method
    for family in (apps, chat, conversations, files, users, validate, views)
    for method in family.METHODS
}
