"""Makes a Python folder ready to run, in an image as without one: `sources` looks for syntax errors and compiles,
`requirements` installs what requirements.txt names; without a word, both."""

import compileall
import importlib.metadata
import os
import py_compile
import re
import subprocess
import sys
import traceback

DEPENDENCIES = ".deps"
# In an image it is copied beside this file, before the sources are.
REQUIREMENTS = ("requirements.txt", ".cares/requirements.txt")


def check_sources():
    wrong = []
    for folder, folders, files in os.walk("."):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in sorted(files):
            if not name.endswith(".py"):
                continue
            path = os.path.normpath(os.path.join(folder, name))
            try:
                with open(path, "rb") as file:
                    compile(file.read(), path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                lines = "".join(traceback.format_exception_only(type(error), error)).rstrip().splitlines()
                line = getattr(error, "lineno", None)
                wrong.append(f"{path}{f', line {line}' if line else ''}: {lines.pop()}; correct it and deploy again")
                print("\n".join(lines + wrong[-1:]), flush=True)
    if wrong:
        sys.exit(wrong[0] if len(wrong) > 1 else 1)


def is_here(line):
    """Whether this Python already has what the line asks for; a line that is not plain is left to pip."""
    plain = re.fullmatch(r"([\w.-]+)\s*((?:[=<>!]=|[<>])\s*[\d.]+(?:\s*,\s*(?:[=<>!]=|[<>])\s*[\d.]+)*)?", line)
    if not plain:
        return False
    try:
        has = version(importlib.metadata.version(plain[1]))
    except importlib.metadata.PackageNotFoundError:
        return False
    ways = {
        "==": has.__eq__, "!=": has.__ne__, ">=": has.__ge__, "<=": has.__le__, ">": has.__gt__, "<": has.__lt__,
    }
    return all(ways[way](version(than)) for way, than in re.findall(r"([=<>!]=|[<>])\s*([\d.]+)", plain[2] or ""))


def version(text):
    """Its numbers, without zeros at the end: 2.0 is 2."""
    numbers = [int(part) for part in re.match(r"[\d.]*", text)[0].split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def install():
    path = next((path for path in REQUIREMENTS if os.path.exists(path)), None)
    if path is None:
        return
    with open(path, encoding="utf-8") as file:
        lines = [line.split(" #")[0].strip() for line in file]
    wanted = [line for line in lines if line and not line.startswith("#")]
    missing = [line for line in wanted if not is_here(line)]
    if not missing:
        print("requirements.txt: this Python has all of it", flush=True)
        return
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        sys.exit(f"requirements.txt: {missing[0]} is not here, nor is pip to install it; install pip (Debian: python3-pip)")
    pip = [sys.executable, "-m", "pip", "install", "--target", DEPENDENCIES, "--no-compile", "--no-input",
           "--disable-pip-version-check", "--root-user-action=ignore", "--progress-bar=off", "--quiet",
           "--requirement", path]
    if "PIP_CACHE_DIR" not in os.environ:
        pip.append("--no-cache-dir")  # an image would keep it
    print(f"requirements.txt: installing {', '.join(wanted)}", flush=True)
    if subprocess.run(pip).returncode != 0:
        sys.exit(f"requirements.txt: pip could not install all of {', '.join(wanted)}; what it said is above")
    compiled(DEPENDENCIES)


def compiled(folder):
    """So that no start has to: the folder cannot be written then. Whatever the files' times are."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder, quiet=2, force=True, invalidation_mode=mode)


def main(steps):
    if "sources" in steps:
        check_sources()
    if "requirements" in steps:
        install()
    if "sources" in steps:
        skipped = re.compile(re.escape(os.sep + DEPENDENCIES + os.sep))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(".", quiet=2, force=True, rx=skipped, invalidation_mode=mode)


main(sys.argv[1:] or ["sources", "requirements"])
