"""What the process depends on, and whether it is there: the source of `/readyz` and of the gauge `dependency_up`."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """The state of one dependency; `cause` says in words why it is not up, `tried` whether it was asked at all yet."""

    up: bool
    cause: str = ""
    tried: bool = True


def ready(states: Mapping[str, Dependency]) -> bool:
    """Whether every dependency is up."""
    return all(state.up for state in states.values())


class Health:
    """The last known state of each dependency; safe to use from any thread.

    A dependency starts as not up, so that a process is ready only when it has reached all of them once.
    """

    def __init__(self, names: tuple[str, ...], mask: Callable[[str], str] = str) -> None:
        """All not up yet; every cause goes through `mask` before it is kept."""
        self._mask = mask
        self._lock = threading.Lock()
        self._states = {name: Dependency(up=False, cause="not reached yet", tried=False) for name in names}

    def up(self, name: str) -> bool:
        """Note that the dependency answered; returns whether that is news."""
        return self._note(name, Dependency(up=True))

    def down(self, name: str, cause: str) -> bool:
        """Note that the dependency did not answer, and why; returns whether that is news."""
        return self._note(name, Dependency(up=False, cause=self._mask(cause)))

    def states(self) -> Mapping[str, Dependency]:
        """The state of each dependency by name."""
        with self._lock:
            return dict(self._states)

    def _note(self, name: str, state: Dependency) -> bool:
        with self._lock:
            news = self._states.get(name) != state
            self._states[name] = state
            return news
