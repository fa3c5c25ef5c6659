"""Public keys on one line, and private keys in a file."""

from __future__ import annotations

import base64
import stat

import pytest
import yaml
from click.testing import CliRunner

from hitl_bot.cli import cli
from hitl_bot.keys import PrivateKey, SigningKeys, parse_private_keys, signing_keys
from hitl_bot.settings import SettingsError
from metaflow_extensions.hitl.approvals.sealed import InvalidKey, PublicKey, Trust, parse_keys


def run(*arguments):
    result = CliRunner().invoke(cli, ["key", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout.splitlines()


def test_a_public_key_comes_back_from_its_line():
    """Several lines, with blanks or commas between them, are read as what was written."""
    keys = tuple(PrivateKey.new().public_key for _ in range(3))
    assert parse_keys(" ".join(map(str, keys))) == parse_keys(",\n".join(map(str, keys))) == keys
    assert parse_keys("  ") == ()


def test_a_known_id_can_not_be_put_on_another_key():
    """The id follows from the key, so a line with somebody else's id is refused by name."""
    ours, theirs = PrivateKey.new().public_key, PrivateKey.new().public_key
    with pytest.raises(InvalidKey, match=f"has the id {theirs.id}"):
        PublicKey.parse(str(theirs).replace(theirs.id, ours.id))


@pytest.mark.parametrize(
    "line", ["", "abc", "ssh-ed25519:1:2", "hitl-ed25519:1", "hitl-ed25519:1:%", "hitl-ed25519:1:AAAA"]
)
def test_what_is_not_a_public_key_is_refused(line):
    """The refusal says what is accepted, or what to copy again."""
    with pytest.raises(InvalidKey, match=r"hitl-bot key list|Copy the whole line"):
        PublicKey.parse(line)


def test_a_private_key_in_the_wrong_setting_is_not_shown():
    """Whoever puts the private key where the public one belongs does not find it in the error."""
    key = PrivateKey.new()
    with pytest.raises(InvalidKey) as refusal:
        parse_keys(key.text)
    secret = base64.b64encode(key.seed).decode()
    assert secret not in str(refusal.value)
    assert secret not in repr(key)


def test_new_makes_a_file_for_its_owner_alone(tmp_path):
    """`key new` writes the private key with mode 0600, prints the public one, and overwrites nothing."""
    file = tmp_path / "signing.key"
    (line,) = run("new", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("list", file) == [line]
    assert PublicKey.parse(line) == signing_keys(str(file)).public_keys[0]
    with pytest.raises(InvalidKey, match="exists"):
        run("new", file)
    assert run("list", file) == [line]


def test_new_writes_a_secret_that_kubectl_takes(tmp_path):
    """`key new --secret` writes a manifest whose entry is the key; list and rotate work on it as well."""
    file = tmp_path / "secret.yaml"
    (line,) = run("new", file, "--secret", "hitl-signing-key")
    manifest = yaml.safe_load(file.read_text())
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Secret", "hitl-signing-key")
    assert signing_keys(manifest["stringData"]["signing-key"]).public_keys == parse_keys(line)
    lines = run("rotate", file)
    assert lines[1:] == [line]
    assert yaml.safe_load(file.read_text())["metadata"]["name"] == "hitl-signing-key"
    assert run("list", file) == lines


def test_a_secret_counts_for_a_bot_that_starts_after_it(tmp_path):
    """`key new --secret` and `key rotate` say how to apply it, and that a bot that runs has to be restarted."""
    file = tmp_path / "secret.yaml"
    for arguments in (("new", file, "--secret", "hitl-signing-key"), ("rotate", file)):
        said = CliRunner().invoke(cli, ["key", *map(str, arguments)]).stderr
        assert f"kubectl apply -f {file}\n  kubectl rollout restart deployment/hitl-bot" in said


def test_rotate_keeps_the_older_key_until_it_is_retired(tmp_path):
    """The newest key comes first; --retire removes one by id, and never the last."""
    file = tmp_path / "signing.key"
    (older,) = run("new", file)
    newer, kept = run("rotate", file)
    assert kept == older
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("rotate", file, "--retire", PublicKey.parse(older).id) == [newer]
    with pytest.raises(InvalidKey, match="without a key"):
        run("rotate", file, "--retire", PublicKey.parse(newer).id)
    with pytest.raises(InvalidKey, match="has no key"):
        run("rotate", file, "--retire", "0000")


def test_a_damaged_private_key_is_refused_without_showing_it(tmp_path):
    """A file without a key, a changed key and a missing file are said without their content."""
    key = PrivateKey.new()
    swapped = key.text.replace(key.public_key.id, PrivateKey.new().public_key.id)
    for text in ("", "secret-of-mine", swapped):
        file = tmp_path / "key"
        file.write_text(text)
        with pytest.raises(SettingsError) as refusal:
            signing_keys(str(file))
        assert "secret-of-mine" not in str(refusal.value)
        assert key.text.rsplit(":", 1)[1] not in str(refusal.value)
    with pytest.raises(SettingsError, match="can't be read"):
        signing_keys(str(tmp_path / "missing"))
    assert parse_private_keys(f"# ours\n{key.text}\n", place="x") == (key,)


def test_the_newest_key_that_a_flow_knows_signs():
    """A flow that was deployed before a rotation goes on with the key it knows."""
    older, newer = PrivateKey.new(), PrivateKey.new()
    trust = Trust.of((), SigningKeys([newer, older]))
    assert trust.newest_key == newer.public_key.id
    assert trust.key_for([older.public_key.id]) == older.public_key.id
    assert trust.key_for([older.public_key.id, newer.public_key.id]) == newer.public_key.id
    assert trust.key_for(["another"]) is None
