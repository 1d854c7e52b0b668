"""Runs a fake API server: `python -m tests.helpers.apiserver FOLDER [OBJECTS.json ...]`.

FOLDER gets the certificates and `config`, a kubeconfig; the URL is printed once it listens. It ends
when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.helpers.apiserver.server import ApiServer


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="tests.helpers.apiserver")
    parser.add_argument("folder", type=Path)
    parser.add_argument("objects", nargs="*", type=Path, help="JSON: a list of objects")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    with ApiServer(given.folder, host=given.host, port=given.port) as server:
        for path in given.objects:
            server.store.apply_all(json.loads(path.read_bytes()))
        server.kubeconfig()
        print(server.url, flush=True)
        sys.stdin.read()


main()
