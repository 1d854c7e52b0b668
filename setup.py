"""Builds the matcher extension from ext/, and README.md as PyPI shows it; every other fact about
the package is in pyproject.toml.

setuptools hands .pyx sources to Cython by itself, so this file needs no import of Cython and a
source distribution ships the .pyx and .pxd files rather than generated C.
"""

import re
import tomllib
from glob import glob
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent


def readme() -> str:
    """README.md with links to files of the repository where others find them."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = f"{project['urls']['Homepage']}/blob/main/"
    text = (HERE / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((?!https?:|#)", f"]({files}", text)


setup(
    long_description=readme(),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(
            "netpolc.backends.matcher._core",
            sources=["ext/_core.pyx"],
            depends=sorted(glob("ext/*.px[di]") + glob("ext/*.h")),
            include_dirs=["ext"],
            # At -O2 gcc 12 does not vectorise the loops of ext/tables.h.
            extra_compile_args=["-O3"],
        ),
        Extension(
            "netpolc.flows._columns",
            sources=["ext/_columns.pyx"],
            depends=["ext/address.pxd"],
            include_dirs=["ext"],
        ),
        Extension(
            "netpolc.flows.decode._scan",
            sources=["ext/_scan.pyx"],
            depends=sorted([*glob("ext/flow_*.h"), "ext/json_tokens.h", "ext/slice.h"]),
            include_dirs=["ext"],
            extra_compile_args=["-O3"],
        ),
        Extension(
            "netpolc.frontends.cluster._pods",
            sources=["ext/_pods.pyx"],
            depends=["ext/address.pxd", "ext/slice.h", "ext/pod_text.h", *glob("ext/json_*.h")],
            include_dirs=["ext"],
        ),
        Extension("netpolc.backends.nft.netlink._netlink", sources=["ext/_netlink.pyx"]),
        Extension(
            "netpolc.manifests._json",
            sources=["ext/_json.pyx"],
            depends=sorted(["ext/slice.h", *glob("ext/json_*.h")]),
            include_dirs=["ext"],
        ),
        Extension(
            "netpolc.manifests.yaml._yaml",
            sources=["ext/_yaml.pyx"],
            depends=sorted([*glob("ext/yaml_*.pxi"), "ext/libyaml.pxd"]),
            include_dirs=["ext"],
            libraries=["yaml"],
            # Without libyaml's header PyYAML reads all YAML, more slowly.
            optional=True,
        ),
    ],
    options={"build_ext": {"cython_c_in_temp": True}},
)
