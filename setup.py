"""What pyproject.toml can't say: the README as a package index shows it, where a relative link leads nowhere."""

import re
from pathlib import Path

from setuptools import setup

README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")


def without_relative_links(text: str) -> str:
    """Leave out pictures that lie beside the page, and name the file where a link leads to one."""
    text = re.sub(r"!\[[^\]]*\]\((?!\w+:)[^)]+\)\n*", "", text)
    return re.sub(r"\[([^\]]+)\]\((?!\w+:|#)([^)#]+)[^)]*\)", r"\1 (`\2`)", text)


setup(long_description=without_relative_links(README), long_description_content_type="text/markdown")
