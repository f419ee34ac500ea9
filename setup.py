"""Build the wheel with the folder data_specs inside the package `wavlm`. Everything else is in pyproject.toml.

In the repository the folder lies beside `wavlm`, where people look for it. `wavlm.specs.lookup` finds both places.
"""

from setuptools import find_packages, setup

SPECS = "wavlm.data_specs"

setup(
    packages=[*find_packages(include=["wavlm*", "tasks*", "flows*"]), SPECS],
    package_dir={SPECS: "data_specs"},
)
