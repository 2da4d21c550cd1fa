"""The moto server of this process: on loopback only, silent, evaluating the conditions that moto ignores."""

from __future__ import annotations

import logging
import os
from threading import Thread
from typing import Any

import moto
import moto.backends
from moto import settings
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from ferry.rehearsal import alarm_health_checks, conditions, instance_refreshes, nfs_locations, patch_management
from ferry.rehearsal.account import EmbeddedAccount

EMULATOR = f"moto {moto.__version__}"

SEED = 20
"""Of the ids that moto draws, so that two rehearsals of one stack name the same ids."""


class Server:
    """A moto server on 127.0.0.1 and a free port. Its state belongs to the process: one process, one server."""

    def __init__(self) -> None:
        alarm_health_checks.install()
        conditions.install()
        instance_refreshes.install()
        nfs_locations.install()
        patch_management.install()
        os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # stock images are slow to load, and no stack names them
        settings.ACM_VALIDATION_WAIT = -1  # a requested certificate is issued at once
        _remember_modules()
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server, self._thread = self._listen()
        self.reset()

    @property
    def endpoint_url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def account(self, region: str) -> EmbeddedAccount:
        """The account, with clients for a stack's region."""
        return EmbeddedAccount(self.endpoint_url, region)

    def reset(self) -> None:
        """Forget everything, ids included."""
        BackendDict.reset()
        reset_model_data()
        mock_random.seed(SEED)
        conditions.CONDITIONS.evaluated.clear()

    def listen_again(self) -> None:
        """In a fork, which has inherited the state and the socket, but no thread: listen on a port of its own."""
        self._server.server_close()
        self._server, self._thread = self._listen()

    def close(self) -> None:
        """Stop listening. What the server knew is forgotten at the next reset."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _listen(self) -> tuple[BaseWSGIServer, Thread]:
        server = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=MotoRequestHandler)
        thread = Thread(target=server.serve_forever, name="moto", daemon=True)
        thread.start()
        return server, thread


def _remember_modules() -> None:
    """Spare moto listing its own folder for every request, which is a quarter of the time that a request takes."""
    backends: Any = moto.backends
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
