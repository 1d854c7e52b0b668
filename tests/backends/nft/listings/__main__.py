"""Records what each nft lists; see the package."""

from __future__ import annotations

import sys

import netpolc
from tests.backends.nft.listings import OPTIONS, RECORDED, snapshot
from tests.helpers.lab import Router


def main(roots: list[str]) -> None:
    """Load each ruleset with the nft of this machine; list it with that and those of the roots."""
    program = netpolc.compile(netpolc.load_objects(snapshot()))
    for name, options in OPTIONS.items():
        folder = RECORDED / name
        folder.mkdir(parents=True, exist_ok=True)
        text = program.ruleset("node-a", options).text()
        (folder / "ruleset.nft").write_text(text)
        with Router() as router:
            router.load(text)
            for nft in (["nft"], *(["chroot", root, "nft"] for root in roots)):
                version = router.run(*nft, "--version").split()[1].removeprefix("v")
                for suffix, flags in ("txt", ["-s", "-y"]), ("json", ["-j"]):
                    said = router.run(*nft, *flags, "list", "table", "inet", options.table)
                    (folder / f"nft-{version}.{suffix}").write_text(said)


if __name__ == "__main__":
    main(sys.argv[1:])
