"""Secrets that stand in files: read when asked for, never lost in the middle of a rotation, never shown."""

import os

import pytest

from monitor.config import ConfigError, load_config
from monitor.secret_files import FileSecret, SecretFile

SMALLEST = "app: shop\nscorers: [{name: safety, use: Safety}]\n"


@pytest.fixture
def key(tmp_path):
    """A file with a secret, as an orchestrator mounts it."""
    path = tmp_path / "key"
    path.write_text("first-secret\n")
    return path


def _load(tmp_path, text, environ=None):
    path = tmp_path / "tracewatch.yaml"
    path.write_text(SMALLEST + text)
    return load_config([path], environ or {})


def test_a_secret_follows_its_file_without_a_restart(tmp_path, key):
    """The value is that of the moment, wherever the settings are kept."""
    config = _load(tmp_path, f'judge: {{api_key: "${{file:{key}}}"}}')
    assert config.judge.api_key.get_secret_value() == "first-secret"
    key.write_text("second-secret-longer\n")
    assert config.judge.api_key.get_secret_value() == "second-secret-longer"


def test_a_link_that_is_swapped_is_a_change(tmp_path, key):
    """Kubernetes puts new secrets beside the old ones and swaps a link; size and time may be the same."""
    other = tmp_path / "other"
    other.write_text("other-secret\n")
    os.utime(other, ns=(key.stat().st_atime_ns, key.stat().st_mtime_ns))
    link = tmp_path / "link"
    link.symlink_to(key)
    secret = FileSecret([SecretFile(link)])
    link.unlink()
    link.symlink_to(other)
    assert secret.get_secret_value() == "other-secret"


@pytest.mark.parametrize("mishap", ["away", "empty", "binary", "folder"])
def test_a_file_in_the_middle_of_a_rotation_counts_as_unchanged(key, mishap):
    """No moment without a secret, and the new one as soon as it is there."""
    file = SecretFile(key)
    key.unlink()
    if mishap == "folder":
        key.mkdir()
    elif mishap != "away":
        key.write_bytes(b"" if mishap == "empty" else b"\xff\xfe")
    assert file.read() == "first-secret"
    if mishap == "folder":
        key.rmdir()
    key.write_text("third")
    assert file.read() == "third"


def test_a_file_may_be_a_part_of_a_text_beside_variables(tmp_path, key):
    """A URL is put together from a variable, a text and a file, each time anew."""
    text = f'ledger: {{url: "postgresql://${{USER}}:${{file:{key}}}@db/${{NAME:-ledger}}"}}'
    config = _load(tmp_path, text, {"USER": "anna"})
    assert config.ledger.url.get_secret_value() == "postgresql://anna:first-secret@db/ledger"
    key.write_text("second")
    assert config.ledger.url.get_secret_value() == "postgresql://anna:second@db/ledger"


def test_a_secret_in_a_list_or_a_mapping_follows_its_file(tmp_path, key):
    """The headers of a version."""
    text = f'evaluation: {{baseline: a, versions: {{a: {{url: "http://h/", headers: {{X: "${{file:{key}}}"}}}}}}}}'
    header = _load(tmp_path, text).evaluation.versions["a"].headers["X"]
    key.write_text("second")
    assert header.get_secret_value() == "second"


def test_in_a_key_that_is_no_secret_the_file_is_read_once(tmp_path, key):
    """A user name, say: it is a plain text."""
    config = _load(tmp_path, f'source: {{sasl_plain_username: "${{file:{key}}}"}}')
    key.write_text("second")
    assert config.source.sasl_plain_username == "first-secret"


def test_a_doubled_dollar_stands_for_itself(tmp_path):
    """`$${file:...}` names no file."""
    assert _load(tmp_path, 'labels: {team: "$${file:/none}"}').labels == {"team": "${file:/none}"}


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("\n", "it is empty")])
def test_a_file_that_gives_no_secret_at_the_start_is_told_with_its_place(tmp_path, content, said):
    """File, line, key, path and reason."""
    path = tmp_path / "gone"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, f'judge: {{api_key: "${{file:{path}}}"}}')
    assert f"tracewatch.yaml:3: judge.api_key: the file {path} cannot be read: {said}" in str(caught.value)


def test_a_secret_of_a_file_is_shown_nowhere(tmp_path, key):
    """Neither in the settings' own form nor in a complaint about the key."""
    config = _load(tmp_path, f'judge: {{api_key: "${{file:{key}}}"}}')
    assert "first-secret" not in repr(config) + str(config) + config.model_dump_json()
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, f'http: {{port: "${{file:{key}}}"}}\nmlflow: {{tracking_uri: "${{file:{key}}}"}}')
    assert "first-secret" not in str(caught.value)
    assert "http.port" in str(caught.value)
