"""Copies the contract into the package before it is built: in the repository it stands once, in udf/wit."""

import shutil
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        contract = Path(self.root, "..", "..", "wit")
        if (contract / "function.wit").is_file():
            copy = Path(self.root, "src", "riverhook_function", "wit")
            shutil.copytree(contract, copy, dirs_exist_ok=True)
