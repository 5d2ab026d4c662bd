#!/usr/bin/env python3
"""Checks that includes follow the house's arrows (docs/architecture.md).

A folder may include its own headers and those of the folders listed here,
nothing else of the project. Also checks that every *_test.cc is in a
CMakeLists.txt, that every source belongs to a target, and that no source is
longer than the ceiling.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
CEILING = 800  # lines of one source

ARROWS = {
    "core/base": [],
    "core/math": ["core/base"],
    "core/nn": ["core/math"],
    "core/io": ["core/math"],
    "core/data": ["core/io", "core/math"],
    "core/analytic": ["core/nn", "core/math", "core/data", "core/io"],
    "core/comm": [],
    "core/distill": ["core/analytic", "core/nn", "core/math"],
    "core/train": ["core/distill", "core/data", "core/comm", "core/nn", "core/io", "core/math"],
    "core/sample": ["core/nn", "core/math"],
    "core/eval": ["core/nn", "core/io", "core/data", "core/math"],
    "core/parity": ["core/*"],
    "server/base": [],
    "server/db": [],
    "server/metrics": [],
    "server/auth": [],
    "server/http": ["server/metrics"],
    "server/jobs": ["server/db"],
    "server/executor": ["server/jobs"],
    "server/scheduler": ["server/jobs", "server/executor", "server/metrics", "server/db"],
    "server/simulator": ["server/scheduler"],
    "server/registry": ["server/db", "server/metrics"],
    "server/batching": ["server/registry", "server/executor", "server/metrics"],
    "server/rpc": ["server/scheduler", "server/jobs", "server/registry", "server/batching",
                   "server/executor", "server/metrics", "server/auth"],
    "server": ["server/*"],
    "server/worker": ["core/*"],
    "client": ["client/commands"],
    "client/commands": ["client"],
}
# Everything outside core may see these.
SERVICE = ["core/base", "retort/v1"]
# Every folder of the server, the worker included, may see its errors and names.
SERVER_WIDE = ["server/base"]
# Single headers of a folder that is closed otherwise: the service checks networks as the worker
# will build them.
HEADERS = {"server/base": ["core/nn/backbone.h", "core/nn/named_networks.h",
                           "core/nn/network_config.h"]}
INTERNAL_PROTO = ["server", "server/executor", "server/scheduler", "server/batching", "server/rpc",
                  "server/worker"]
FORBIDDEN_IN_CORE = re.compile(r"(grpc|google/protobuf|prometheus|retort/(v1|internal))")
FORBIDDEN_IN_CONTROL = re.compile(r"(torch/|ATen/|c10/)")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')


def folder_of(path):
    parts = path.split("/")
    for n in (2, 1):
        name = "/".join(parts[:n]) if len(parts) > n else None
        if name in ARROWS:
            return name
    return None


def allowed(folder, target):
    if folder == target:
        return True
    for rule in ARROWS[folder]:
        if rule == target or (rule.endswith("/*") and target.startswith(rule[:-1])):
            return True
    if folder.startswith("core/"):
        return target == "core/base"
    if folder.startswith("server") and target in SERVER_WIDE:
        return True
    return target in SERVICE


def main():
    problems = []
    sources = [p for top in ("core", "server", "client") for p in (ROOT / top).rglob("*")
               if p.suffix in (".h", ".cc", ".cu")]
    for path in sources:
        rel = path.relative_to(ROOT).as_posix()
        folder = folder_of(rel)
        if folder is None:
            problems.append(f"{rel}: its folder is not in the house (tests/lint/arrows.py)")
            continue
        lines = path.read_text().splitlines()
        if len(lines) > CEILING:
            problems.append(f"{rel}: {len(lines)} lines, the ceiling is {CEILING}")
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            name = match.group(1)
            where = f"{rel}:{number}"
            if folder.startswith("core/") and FORBIDDEN_IN_CORE.match(name):
                problems.append(f"{where}: core must not include {name}")
            if (folder.startswith("server") or folder.startswith("client")) \
                    and folder != "server/worker" and FORBIDDEN_IN_CONTROL.match(name):
                problems.append(f"{where}: {name}: the control plane and the client link no LibTorch")
            if name.startswith("retort/internal/") and folder not in INTERNAL_PROTO:
                problems.append(f"{where}: {folder} must not see the worker link ({name})")
            if name.startswith(("core/", "server/", "client/")) \
                    and name not in HEADERS.get(folder, []):
                target = folder_of(name)
                if target is None or not allowed(folder, target):
                    problems.append(f"{where}: {folder} -> {target or name} is not an arrow of the house")

    lists = {}
    for cmake in ROOT.glob("*/**/CMakeLists.txt"):
        if "build" not in cmake.parts and ".deps" not in cmake.parts:
            lists[cmake.parent] = cmake.read_text()
    tests = [p for p in (ROOT / "tests").rglob("*_test.cc")]
    for path in tests + [p for p in sources if p.suffix in (".cc", ".cu")]:
        for parent in path.parents:
            if parent in lists:
                relative = path.relative_to(parent).as_posix()
                text = lists[parent]
                globbed = re.search(r"GLOB[^)]*\*(_cases)?\.cc", text)
                if relative not in text and not globbed:
                    problems.append(f"{path.relative_to(ROOT)}: not in {parent.relative_to(ROOT)}/CMakeLists.txt")
                break
        else:
            problems.append(f"{path.relative_to(ROOT)}: no CMakeLists.txt above it")

    for problem in problems:
        print(problem)
    print(f"arrows: {len(sources)} sources, {len(tests)} tests, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
