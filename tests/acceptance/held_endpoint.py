"""A judge that takes as long as the test wants."""

import threading
from collections.abc import Mapping
from typing import Any

from monitor.demo.scripted_endpoint import ScriptedEndpoint


class HeldEndpoint(ScriptedEndpoint):
    """Calls wait until `answers` is set; `asked` counts those that have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self._asked = threading.Lock()
        self.asked = 0

    def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Wait, then answer as the scripted judge does."""
        with self._asked:
            self.asked += 1
        self.answers.wait()
        return super().complete(request)
