#!/usr/bin/env python3
"""The files of deploy/ and docker/ are what their readers take.

    deploy.py REPOSITORY RETORTD

Every YAML file parses, with no key twice. What is for Kubernetes is held
against the schema of its API server (unknown fields are errors), and what it
names within itself is there. Every retortd.yaml, that in the ConfigMap too, is
read by retortd itself, and the unit by systemd, with and without the drop-in of
a Slurm cluster.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import jsonschema
import yaml

KUBERNETES = ".deps/tools/kubernetes-1.31.json"


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would drop one."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {twice} twice")
        return super().construct_mapping(node, deep)


def validator(definitions, document):
    """The schema of a document's kind."""
    group, _, version = document["apiVersion"].rpartition("/")
    wanted = {"group": group, "version": version, "kind": document["kind"]}
    for name, definition in definitions["$defs"].items():
        if wanted in definition.get("x-kubernetes-group-version-kind", []):
            schema = {"$ref": f"#/$defs/{name}", "$defs": definitions["$defs"]}
            return jsonschema.Draft202012Validator(schema)
    raise LookupError(f"Kubernetes has no {wanted}")


def volume_errors(document):
    """Mounts of volumes, and ports of probes, that the pod does not have."""
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod.get("containers", []):
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"there is no volume {mount['name']}"
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port is not None and port not in ports:
                yield f"{probe}: there is no port {port}"


def retortd_error(retortd, path):
    run = subprocess.run([retortd, f"--config={path}", "--dry_run"],
                         capture_output=True, text=True, check=False)
    return run.stderr if run.returncode else ""


def unit_errors(repository, drop_in):
    """What systemd finds in the unit; that no program is installed here is no error."""
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder, "retortd.service")
        texts = {unit: repository / "deploy/systemd/retortd.service"}
        if drop_in:
            texts[pathlib.Path(folder, "retortd.service.d/slurm.conf")] = (
                repository / "deploy/slurm/retortd.service.conf")
        for place, source in texts.items():
            place.parent.mkdir(exist_ok=True)
            place.write_text(re.sub(r"(?m)^ExecStart=/\S+", "ExecStart=/bin/true",
                                    source.read_text()))
        run = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                             capture_output=True, text=True, check=False)
    return run.stderr.splitlines() or (["does not verify"] if run.returncode else [])


def main():
    repository, retortd = pathlib.Path(sys.argv[1]), sys.argv[2]
    schema = repository / KUBERNETES
    if not schema.exists():
        sys.exit(f"{KUBERNETES} is missing; scripts/bootstrap.sh --lint installs it")
    definitions = json.loads(schema.read_text())
    errors = []
    checked = {"files": 0, "objects of Kubernetes": 0, "configurations": 0}

    def check_configuration(where, path):
        checked["configurations"] += 1
        error = retortd_error(retortd, path)
        if error:
            errors.append(f"{where}: {error.strip()}")

    def check_object(where, document):
        checked["objects of Kubernetes"] += 1
        for error in validator(definitions, document).iter_errors(document):
            field = ".".join(str(part) for part in error.absolute_path)
            errors.append(f"{where}: {field}: {error.message}")
        errors.extend(f"{where}: {error}" for error in volume_errors(document))
        if document["kind"] == "ConfigMap":
            for name, text in document["data"].items():
                with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    file.write(text)
                    file.flush()
                    check_configuration(f"{where}: {name}", file.name)

    for path in sorted(repository.glob("deploy/**/*.yaml")) + sorted(
            repository.glob("docker/*.yaml")):
        where = path.relative_to(repository)
        checked["files"] += 1
        try:
            documents = list(yaml.load_all(path.read_text(), StrictLoader))
        except yaml.YAMLError as error:
            errors.append(f"{where}: {error}")
            continue
        if path.name == "retortd.yaml":
            check_configuration(where, path)
        for document in documents:
            if "apiVersion" in document:
                check_object(f"{where} ({document['kind']})", document)

    if shutil.which("systemd-analyze"):
        for drop_in in (False, True):
            errors.extend(unit_errors(repository, drop_in))
    else:
        print("deploy: NOT CHECKED: retortd.service, there is no systemd-analyze")

    for error in errors:
        print(error)
    print("deploy:", ", ".join(f"{n} {what}" for what, n in checked.items()),
          f"checked, {len(errors)} errors")
    # A glob that finds nothing is no success.
    return 1 if errors or 0 in checked.values() else 0


if __name__ == "__main__":
    sys.exit(main())
