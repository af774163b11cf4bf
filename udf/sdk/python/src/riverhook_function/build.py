"""riverhook-function build FUNCTION.py -o FUNCTION.wasm: makes a component of a module with one `@record` function.

Modules that it imports are taken from the folder that it is in, and from the packages installed beside this one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# The module is imported first, so that an error in it is told as its own.
ENTRY = """\
import {module}
import riverhook_function
if riverhook_function._function is None:
    raise SystemExit("{module}.py marks no function with @record")
from riverhook_function.component import Records
"""


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="riverhook-function")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build_command = commands.add_parser("build", help="make a component of a module")
    build_command.add_argument("source", type=Path, metavar="FUNCTION.py")
    build_command.add_argument("-o", "--output", type=Path, metavar="FUNCTION.wasm")
    options = parser.parse_args(arguments)
    if not options.source.is_file():
        parser.error(f"cannot read {options.source}")
    if not options.source.stem.isidentifier():
        parser.error(f"{options.source.name} must be named as a module is: letters, digits and `_`")
    build(options.source, options.output or options.source.with_suffix(".wasm"))


def build(source, output):
    """Makes the component `output` of the module `source`, or ends the program with the builder's exit code."""
    package = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "riverhook_entry.py").write_text(ENTRY.format(module=source.stem))
        # As its own command does it: the package has no other way in.
        command = [sys.executable, "-c", "import componentize_py; componentize_py.script()"]
        command += ["-d", contract(package), "-w", "record-function", "componentize", "riverhook_entry"]
        for place in (folder, source.resolve().parent, package.parent):
            command += ["-p", str(place)]
        command += ["--stub-wasi", "-o", str(output)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "RUST_BACKTRACE": "0"}
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode != 0:
        # Around the error of the module itself stands how the builder came to it.
        error = ended.stdout.split("AssertionError: ", 1)[-1].split("\nCaused by:")[0].strip()
        raise SystemExit(f"{error}\ncannot build {source}")
    print(f"wrote {output} ({output.stat().st_size} bytes)")


def contract(package):
    """The folder of the WIT files: in the package, or in the repository that this is run from."""
    packed = package / "wit"
    return str(packed if packed.is_dir() else package.parents[3] / "wit")


if __name__ == "__main__":
    main()
