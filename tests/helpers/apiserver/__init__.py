"""A fake API server: TLS, tokens and client certificates, lists in pages, watches, and faults.

It says what a real one (1.36) says on the wire, as its transcripts in `tests/apiserver/transcripts`
have it. `python -m tests.helpers.apiserver FOLDER` runs one with a kubeconfig in the folder.
"""

from tests.helpers.apiserver.chaos import Chaos as Chaos
from tests.helpers.apiserver.resources import Served as Served
from tests.helpers.apiserver.server import ApiServer as ApiServer
from tests.helpers.apiserver.store import Store as Store
