"""What Metaflow's configuration says, read without Metaflow, which takes longer to import than a command takes.

The order is Metaflow's own (2.19, ``metaflow_config_funcs.py``): the environment, then ``config.json`` in the nearest
``.metaflow`` folder, then the file of the profile in ``METAFLOW_HOME``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .approvals.errors import HitlError

_FOLDER = ".metaflow"


class BadConfiguration(HitlError):
    """The configuration can't be read, or does not say where approvals are kept."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The values by their whole names, the nearest of each.

    Attributes
    ----------
    values : Mapping[str, str]
        All that are set, by names such as ``METAFLOW_HITL_ROOT``.
    folder : Path or None
        The nearest ``.metaflow`` folder, where local runs keep their data.
    """

    values: Mapping[str, str]
    folder: Path | None

    @classmethod
    def read(cls, environ: Mapping[str, str], here: Path) -> "Configuration":
        """Read what holds in a folder.

        Raises
        ------
        BadConfiguration
            A file is not JSON, or the profile has none.
        """
        folder = next((one / _FOLDER for one in (here, *here.parents) if (one / _FOLDER).is_dir()), None)
        home = Path(environ.get("METAFLOW_HOME") or "~/.metaflowconfig").expanduser()
        profile = environ.get("METAFLOW_PROFILE")
        file = home / (f"config_{profile}.json" if profile else "config.json")
        if profile and not file.exists():
            raise BadConfiguration(f"METAFLOW_PROFILE is {profile!r}, and {file} does not exist.")
        return cls(
            values={**_read(file), **(_read(folder / "config.json") if folder else {}), **environ}, folder=folder
        )

    @property
    def root(self) -> str:
        """Where approvals are kept: ``METAFLOW_HITL_ROOT``, or ``hitl`` in Metaflow's datastore.

        Raises
        ------
        BadConfiguration
            Nothing says.
        """
        if root := self.values.get("METAFLOW_HITL_ROOT"):
            return root
        if self.values.get("METAFLOW_DEFAULT_DATASTORE") == "s3":
            datastore = self.values.get("METAFLOW_DATASTORE_SYSROOT_S3")
        elif local := self.values.get("METAFLOW_DATASTORE_SYSROOT_LOCAL"):
            datastore = str(Path(local) / _FOLDER)
        else:
            datastore = str(self.folder) if self.folder else None
        if not datastore:
            raise BadConfiguration(
                "Nothing says where the approvals are. Give the root (--root s3://bucket/prefix, or a path), or set "
                "METAFLOW_HITL_ROOT."
            )
        return f"{datastore.rstrip('/')}/hitl"

    @property
    def public_keys(self) -> str:
        """The keys of the bots whose answers count; with none, this is the open mode."""
        return self.values.get("METAFLOW_HITL_PUBLIC_KEYS", "")

    @property
    def s3_endpoint(self) -> str | None:
        """A server other than Amazon's."""
        return self.values.get("METAFLOW_S3_ENDPOINT_URL") or None

    @property
    def user(self) -> str | None:
        """Who sits here, by Metaflow's own rule (``metaflow.util.get_username``)."""
        names = ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER")
        return next((name for name in map(self.values.get, names) if name and name != "root"), None)


def _read(file: Path) -> dict[str, str]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadConfiguration(f"Metaflow's configuration {file} can't be read: {error}") from error
    if not isinstance(document, dict):
        raise BadConfiguration(f"Metaflow's configuration {file} is not a JSON object.")
    return {str(name): str(value) for name, value in document.items() if value is not None}
