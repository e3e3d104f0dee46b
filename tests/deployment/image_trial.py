"""Try the built image: its user on a read-only root, a stream judged, asked for its health, told to stop.

Run by `.ci/image-test`, as root, with the image's name. Containers are made of a mount and a process namespace and
`chroot`, as there is no engine; entry point, environment, user, volume and health check are the image's own.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATIENCE_S = 180.0
_EVENTS = 20
_BUILDERS = ("pip", "pip3", "gcc", "make")
_INSTALLERS = ("pip", "setuptools", "wheel")
_METRICS = "http://127.0.0.1:9464/metrics"
_ENTER = """
set -e
mount --bind "$ROOT" "$ROOT"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount --bind "$STATE" "$ROOT$VOLUME"
mount --bind "$SETTINGS" "$ROOT/etc/tracewatch"
mount -o remount,bind,ro "$ROOT/etc/tracewatch"
mount -o remount,bind,ro "$ROOT"
"""
_CONFIGURATION = """
app: trial
source: {kind: file, path: /etc/tracewatch/events.jsonl}
mlflow: {tracking_uri: "sqlite:////var/lib/tracewatch/mlflow.db"}
ledger: {url: "sqlite:////var/lib/tracewatch/ledger.db"}
sampling: {rate: always}
dataset: {name: production, rate: always}
scorers: [{name: short, use: AnswerLength, max_length: 40, target: 0.9}]
log: {format: json}
"""


@dataclass(frozen=True)
class Container:
    """A mounted image with folders of the machine for its volume and its settings."""

    root: Path
    config: Mapping[str, Any]
    state: Path
    settings: Path

    def command(self, arguments: Sequence[str]) -> list[str]:
        """What starts `arguments` in it, as the image's user, with no way to more rights."""
        variables = [f"ROOT={self.root}", f"STATE={self.state}", f"SETTINGS={self.settings}"]
        variables.append(f"VOLUME={next(iter(self.config['Volumes']))}")
        inside = ["env", "--ignore-environment", "-C", self.config["WorkingDir"], *self.config["Env"], *arguments]
        enter = ["chroot", f"--userspec={self.config['User']}", "--groups=", str(self.root)]
        confined = [*enter, "/usr/bin/setpriv", "--no-new-privs", *inside]
        script = f"{_ENTER}exec {shlex.join(confined)}"
        return ["env", *variables, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]

    def says(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a command in it."""
        done = subprocess.run(self.command(arguments), capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Its entry point, killed at the end if it still runs."""
        process = subprocess.Popen(self.command([*self.config["Entrypoint"], *self.config["Cmd"]]))
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def container_of(image: str) -> Iterator[Container]:
    """Mount the image's files, and write the settings and the stream of the trial."""
    name = _buildah("from", "--pull=never", image)
    try:
        with tempfile.TemporaryDirectory() as folder:
            root, state, settings = Path(_buildah("mount", name)), Path(folder, "state"), Path(folder, "settings")
            state.mkdir()
            os.chown(state, 10001, 10001)
            settings.mkdir()
            (settings / "tracewatch.yaml").write_text(_CONFIGURATION)
            (settings / "events.jsonl").write_text("".join(_event(number) for number in range(_EVENTS)))
            Path(folder).chmod(0o755)
            (root / "etc/tracewatch").mkdir(exist_ok=True)
            config = json.loads(_buildah("inspect", "--type", "image", image))["Docker"]["config"]
            yield Container(root=root, config=config, state=state, settings=settings)
    finally:
        _buildah("rm", name)


def look_inside(container: Container) -> None:
    """What it is made of."""
    config = container.config
    told("it has a user of its own", config["User"] == "10001:10001", config["User"])
    told("and is that user", container.says("id", "-u") == (0, "10001"))
    code, words = container.says("touch", "/opt/tracewatch/x")
    told("its root is read-only", code != 0 and "Read-only" in words, words)
    told("it may write to its volume and to /tmp", container.says("sh", "-c", "touch x && mktemp")[0] == 0)
    found = [name for name in _BUILDERS if container.says("sh", "-c", f"command -v {name}")[0] == 0]
    asked = f"import importlib.util as u; print([n for n in {_INSTALLERS} if u.find_spec(n)])"
    _, modules = container.says("python3", "-c", asked)
    told("nothing in it installs or builds", not found and modules == "[]", f"{found} {modules}")
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items()}
    wanted = {"title", "description", "licenses", "version", "revision", "source"}
    told("it has the labels of the Open Container Initiative", wanted <= set(labels), str(labels))
    told("it says its version", labels["version"] in container.says("tracewatch", "--version")[1])


def live(container: Container) -> None:
    """A daemon's whole life in it."""
    health = container.config["Healthcheck"]["Test"]
    assert health[0] == "CMD", health
    with container.started() as process:
        eventually(lambda: f'verdict="pass"}} {_EVENTS}.0' in _metrics(), "the stream is judged", process)
        told("its health check is well", container.says(*health[1:])[0] == 0)
        stop = signal.Signals[container.config.get("StopSignal", "SIGTERM")]
        [daemon] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(daemon), stop)
        told(f"it ends on {stop.name} with exit code 0", process.wait(60) == 0)
    told("its health check is not well without it", container.says(*health[1:])[0] != 0)


def told(what: str, holds: bool, found: str = "") -> None:
    """Print a line, and end the trial where it does not hold."""
    print(f"{'ok' if holds else 'NOT OK'}: {what}" + ("" if holds else f" ({found})"), flush=True)
    if not holds:
        sys.exit(1)


def eventually(condition: Any, what: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for it while the process lives."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            told(what, holds=False, found=f"exit code {process.returncode}")
        time.sleep(0.2)
    told(what, holds=True)


def _metrics() -> str:
    try:
        with urllib.request.urlopen(_METRICS, timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _event(number: int) -> str:
    return json.dumps({"trace_id": f"t-{number}", "inputs": {"q": number}, "outputs": "yes"}) + "\n"


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    with container_of(sys.argv[1]) as made:
        look_inside(made)
        live(made)
