"""Write docs/bucket.md from the map of the bucket: ``python docs/bucket_page.py``."""  # noqa: INP001 - a script beside the documents, no package

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaflow_extensions.hitl.approvals.bucket_map import PREFIXES, Prefix, Role

_HEAD = """# What is in the bucket

Everything that metaflow-hitl keeps is below `METAFLOW_HITL_ROOT`, in keys of these forms. This page is generated from
`metaflow_extensions/hitl/approvals/bucket_map.py` by `python docs/bucket_page.py`; a test compares the two.

Objects whose names have another form are ignored, or make the record that they lie in unreadable. A number has five
digits, `<n>` no leading zeros; times are between the years 2000 and 2200, and names are ASCII.
"""

_RIGHTS = """## Rights

**Open** means that no signing key is configured: runs, command lines and the bot write the same records. **Sealed**
means that the bot signs what it writes, and that runs and command lines only propose. Replace `BUCKET/PREFIX` with your
bucket and the rest of `METAFLOW_HITL_ROOT`. Everybody needs `s3:ListBucket`: without it, S3 answers 403 for a key that
does not exist. No right to overwrite is needed; records are created once.

These are policies to attach to the role or user of each. In a bucket policy, add to each statement whom it
applies to, as in `"Principal": {"AWS": "arn:aws:iam::123456789012:role/hitl-bot"}`. Tests try every prefix with an
account of each kind on a real S3 server.
"""

_WHO = {
    Role.BOT: "The bot",
    Role.RUN: "Runs: local ones, pods of gated steps, and whatever deploys flows",
    Role.CLI: "People who use `python flow.py hitl`",
}

_COLUMNS = (
    "keys",
    "what is there",
    "written by (open)",
    "written by (sealed)",
    "read by",
    "if one is false or missing",
    "removed",
)


def written(prefix: Prefix, role: Role, mode: str) -> bool:
    """Say whether a role has to write below a prefix."""
    return role in (prefix.written_by if mode == "open" else prefix.written_by_if_sealed)


def removed(prefix: Prefix, role: Role, mode: str) -> bool:
    """Say whether a role has to remove what is below a prefix."""
    return role in prefix.removed_by and (role is Role.BOT or written(prefix, role, mode))


def iam_policy(role: Role, mode: str, *, bucket: str = "BUCKET", prefix: str = "PREFIX") -> dict[str, Any]:
    """Return the IAM policy that a role needs in a mode, and no more."""

    def objects(prefixes: list[Prefix]) -> list[str]:
        return [f"arn:aws:s3:::{bucket}/{prefix}/{one.root}*" for one in prefixes]

    reads = [one for one in PREFIXES if role in one.read_by]
    writes = [one for one in PREFIXES if written(one, role, mode)]
    removes = [one for one in PREFIXES if removed(one, role, mode)]
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": [f"{prefix}/{one.root}*" for one in reads]}},
        },
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": objects(reads)},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": objects(writes)},
    ]
    if removes:
        statements.append({"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": objects(removes)})
    return {"Version": "2012-10-17", "Statement": statements}


def bucket_policy(mode: str, principals: Mapping[Role, str], *, bucket: str, prefix: str) -> dict[str, Any]:
    """Return the policy of a bucket that gives each role what ``iam_policy`` does, where roles are accounts."""
    statements = [
        {"Principal": {"AWS": principal}, **statement}
        for role, principal in principals.items()
        for statement in iam_policy(role, mode, bucket=bucket, prefix=prefix)["Statement"]
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def page() -> str:
    """Return the whole page."""
    rows = [
        f"| {' | '.join(_COLUMNS)} |",
        f"| {' | '.join(['---'] * len(_COLUMNS))} |",
    ]
    for prefix in PREFIXES:
        cells = (
            "<br>".join(f"`{pattern}`" for pattern in prefix.pattern.split(", ")),
            prefix.holds,
            _names(prefix.written_by),
            _names(prefix.written_by_if_sealed),
            _names(prefix.read_by),
            prefix.if_false,
            prefix.ends,
        )
        rows.append(f"| {' | '.join(cells)} |")
    parts = [_HEAD, "\n".join(rows) + "\n", _RIGHTS]
    for mode in ("open", "sealed"):
        for role, who in _WHO.items():
            policy = json.dumps(iam_policy(role, mode), indent=2)
            parts.append(f"### {who} ({mode})\n\n```json\n{policy}\n```\n")
    return "\n".join(parts)


def _names(roles: tuple[Role, ...]) -> str:
    return ", ".join(role.value for role in roles)


if __name__ == "__main__":
    (Path(__file__).parent / "bucket.md").write_text(page())
