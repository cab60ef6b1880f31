# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes JobSet that runs the binary on every host of a TPU slice in GKE.

The variables of a run come from a ConfigMap with the JobSet's name, so the manifest itself holds
nothing to fill in. JAX finds the other hosts through what GKE tells each TPU container.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tools.launch import accelerators, launch_spec

# The training binary saves and ends within this time after SIGTERM.
_GRACE_SECONDS = 120
_MAX_RESTARTS = 3
# Between TPU hosts, and JAX's coordinator on the first one.
_PORTS = (8471, 8482)

# Valid in JSON, but not as they are in YAML.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def container_argument(argument: str) -> str:
    """`argument` in Kubernetes' spelling: `$(NAME)` is a variable and `$$` a dollar."""
    return "".join(
        f"$({part.text})" if part.is_variable else part.text.replace("$", "$$")
        for part in launch_spec.parts(argument)
    )


def _scalar(value: str | int | bool) -> str:
    text = json.dumps(value, ensure_ascii=False)  # JSON's scalars are YAML's.
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """Block-style YAML of mappings, lists, strings, integers and booleans."""
    if isinstance(value, dict):
        for key, below in value.items():
            if isinstance(below, dict | list) and below:
                yield f"{indent}{key}:"
                yield from yaml_lines(below, indent + "  ")
            else:
                yield f"{indent}{key}: {_scalar(below)}"
    else:
        for item in value:
            lines = [f"{indent}  {_scalar(item)}"]
            if isinstance(item, dict):
                lines = list(yaml_lines(item, indent + "  "))
            yield f"{indent}- {lines[0].lstrip()}"
            yield from lines[1:]


def _container(spec: launch_spec.Spec, name: str, chips: int) -> dict[str, Any]:
    reference = {"name": name}
    return {
        "name": "worker",
        "image": spec.image,
        "command": [f"bazel-bin/{spec.binary_path}"],
        "args": [container_argument(argument) for argument in spec.args],
        "env": [{"name": "JAX_PLATFORMS", "value": "tpu,cpu"}]
        + [
            {
                "name": variable,
                "valueFrom": {"configMapKeyRef": reference | {"key": variable}},
            }
            for variable in spec.variables
        ],
        "ports": [{"containerPort": port} for port in _PORTS],
        "resources": {"limits": {"google.com/tpu": chips}},
    }


def _jobset(spec: launch_spec.Spec, name: str, found: accelerators.Slice) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "nodeSelector": {
            "cloud.google.com/gke-tpu-accelerator": found.gke_accelerator,
            "cloud.google.com/gke-tpu-topology": found.topology,
        },
        "containers": [_container(spec, name, found.chips_per_host)],
    }
    job = {
        "completionMode": "Indexed",
        "parallelism": found.hosts,
        "completions": found.hosts,
        "backoffLimit": 0,  # One lost host ends the slice's program; the set restarts as a whole.
        "template": {"spec": pod},
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": name,
            "annotations": {
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
            },
        },
        "spec": {
            "failurePolicy": {"maxRestarts": _MAX_RESTARTS},
            "replicatedJobs": [{"name": "slice", "replicas": 1, "template": {"spec": job}}],
        },
    }


def manifest(spec: launch_spec.Spec) -> str:
    """The JobSet as YAML, with a comment that says how to apply it.

    Raises:
        ValueError: no such slice, none in GKE, no image, or an attribute that means nothing here.
    """
    found = accelerators.find(spec.accelerator)
    spec.check_workers(found.hosts)
    if found.gke_accelerator is None:
        raise ValueError(
            f"accelerator {found.name} is not offered by GKE; use platform tpu or a newer slice"
        )
    if not spec.image:
        raise ValueError("platform jobset needs the attribute image: the container image to run")
    for attribute in ("zone", "version"):
        if getattr(spec, attribute):
            raise ValueError(
                f"{attribute}={getattr(spec, attribute)!r} is the affair of the node pool; remove "
                "it from this JobSet"
            )
    name = spec.name.lower().replace("_", "-").strip("-")
    literals = "".join(f" --from-literal={variable}=..." for variable in spec.variables)
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        f"# Made by pod_launch {spec.name}. Before: install JobSet, make a {found.topology} node",
        f"# pool of {found.gke_accelerator}, and push the image. Then:",
        f"#   kubectl create configmap {name}{literals}",
        f"#   kubectl apply --filename {spec.name}.yaml",
        f"#   kubectl logs --follow --selector jobset.sigs.k8s.io/jobset-name={name}",
        f"#   kubectl delete jobset {name}",
        *yaml_lines(_jobset(spec, name, found)),
    ]
    return "\n".join(lines) + "\n"
