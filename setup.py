"""Builds the matcher extension from ext/; every other fact about the package is in pyproject.toml.

setuptools hands .pyx sources to Cython by itself, so this file needs no import of Cython and a
source distribution ships the .pyx and .pxd files rather than generated C.
"""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "netpolc.backends.matcher._core",
            sources=["ext/_core.pyx"],
            depends=sorted(glob("ext/*.px[di]") + glob("ext/*.h")),
            include_dirs=["ext"],
            # At -O2 gcc 12 does not vectorise the loops of ext/tables.h.
            extra_compile_args=["-O3"],
        )
    ],
    options={"build_ext": {"cython_c_in_temp": True}},
)
