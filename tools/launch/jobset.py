# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes JobSet that runs the binary on every host of a TPU slice in GKE, or on GPU nodes.

The variables of a run come from a ConfigMap with the JobSet's name, so the manifest itself holds
nothing to fill in. JAX finds the other hosts through what GKE tells each TPU container; on GPU nodes
through the JAX_* variables that the manifest sets, one process with all GPUs of its node.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tools.launch import accelerators, launch_spec

# The training binary saves and ends within this time after SIGTERM.
_GRACE_SECONDS = 120
_MAX_RESTARTS = 3
# Between TPU hosts, and JAX's coordinator on the first one.
_TPU_PORTS = (8471, 8482)
_COORDINATOR_PORT = 8476
# JobSet names the pods NAME-REPLICATED_JOB-JOB-POD, in a domain of the set's name.
_REPLICATED_JOB = "hosts"
_POD_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

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


@dataclasses.dataclass(frozen=True)
class _Nodes:
    """What the hosts of a run are in Kubernetes.

    Attributes:
      count: of hosts, and so of processes.
      limits: the resource of each.
      selector: labels of the nodes.
      annotations: of the JobSet.
      environment: entries of the container's `env`.
      ports: that the container opens.
      words: the nodes in words, for the head of the manifest.
    """

    count: int
    limits: Mapping[str, int]
    selector: Mapping[str, str]
    annotations: Mapping[str, str]
    environment: list[dict[str, Any]]
    ports: tuple[int, ...]
    words: str


def _tpu_nodes(spec: launch_spec.Spec) -> _Nodes:
    found = accelerators.find(spec.accelerator)
    spec.check_workers(found.hosts)
    if found.gke_accelerator is None:
        raise ValueError(
            f"accelerator {found.name} is not offered by GKE; use platform tpu or a newer slice"
        )
    return _Nodes(
        found.hosts,
        {"google.com/tpu": found.chips_per_host},
        {
            "cloud.google.com/gke-tpu-accelerator": found.gke_accelerator,
            "cloud.google.com/gke-tpu-topology": found.topology,
        },
        {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"},
        [{"name": "JAX_PLATFORMS", "value": "tpu,cpu"}],
        _TPU_PORTS,
        f"a {found.topology} node pool of {found.gke_accelerator}",
    )


def _gpu_nodes(spec: launch_spec.Spec, name: str) -> _Nodes:
    gpus = accelerators.find_gpus(spec.accelerator)
    if not spec.workers:
        raise ValueError("a JobSet of GPU nodes needs the attribute workers: the number of nodes")
    coordinator = f"{name}-{_REPLICATED_JOB}-0-0.{name}:{_COORDINATOR_PORT}"
    return _Nodes(
        spec.workers,
        {"nvidia.com/gpu": gpus.count},
        {"cloud.google.com/gke-accelerator": gpus.type} if gpus.type else {},
        {},
        [
            {"name": "JAX_PLATFORMS", "value": "cuda,cpu"},
            {"name": "JAX_COORDINATOR_ADDRESS", "value": coordinator},
            {"name": "JAX_NUM_PROCESSES", "value": str(spec.workers)},
            {"name": "JAX_PROCESS_ID", "valueFrom": {"fieldRef": {"fieldPath": _POD_INDEX}}},
        ],
        (_COORDINATOR_PORT,),
        f"{spec.workers} nodes with {gpus.count} GPUs {gpus.type or 'of any type'} each",
    )


def _container(spec: launch_spec.Spec, name: str, nodes: _Nodes) -> dict[str, Any]:
    return {
        "name": "worker",
        "image": spec.image,
        "command": [f"bazel-bin/{spec.binary_path}"],
        "args": [container_argument(argument) for argument in spec.args],
        "env": nodes.environment
        + [
            {
                "name": variable,
                "valueFrom": {"configMapKeyRef": {"name": name, "key": variable}},
            }
            for variable in spec.variables
        ],
        "ports": [{"containerPort": port} for port in nodes.ports],
        "resources": {"limits": dict(nodes.limits)},
    }


def _jobset(spec: launch_spec.Spec, name: str, nodes: _Nodes) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "nodeSelector": dict(nodes.selector),
        "containers": [_container(spec, name, nodes)],
    }
    job = {
        "completionMode": "Indexed",
        "parallelism": nodes.count,
        "completions": nodes.count,
        "backoffLimit": 0,  # One lost host ends the whole program; the set restarts as a whole.
        "template": {"spec": pod},
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name, "annotations": dict(nodes.annotations)},
        "spec": {
            "failurePolicy": {"maxRestarts": _MAX_RESTARTS},
            "replicatedJobs": [{"name": _REPLICATED_JOB, "replicas": 1, "template": {"spec": job}}],
        },
    }


def manifest(spec: launch_spec.Spec) -> str:
    """The JobSet as YAML, with a comment that says how to apply it.

    Raises:
        ValueError: no such slice, none in GKE, no number of GPU nodes, no image, or an attribute
            that means nothing here.
    """
    name = spec.name.lower().replace("_", "-").strip("-")
    nodes = _gpu_nodes(spec, name) if ":" in spec.accelerator else _tpu_nodes(spec)
    if not spec.image:
        raise ValueError("platform jobset needs the attribute image: the container image to run")
    for attribute in ("zone", "version"):
        if getattr(spec, attribute):
            raise ValueError(
                f"{attribute}={getattr(spec, attribute)!r} is the affair of the node pool; remove "
                "it from this JobSet"
            )
    literals = "".join(f" --from-literal={variable}=..." for variable in spec.variables)
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        f"# Made by pod_launch {spec.name}. Before: install JobSet, make",
        f"# {nodes.words}, and push the image. Then:",
        f"#   kubectl create configmap {name}{literals}",
        f"#   kubectl apply --filename {spec.name}.yaml",
        f"#   kubectl get pods --selector jobset.sigs.k8s.io/jobset-name={name}",
        f"#   kubectl logs --follow --selector jobset.sigs.k8s.io/jobset-name={name}",
        f"#   kubectl delete jobset {name}",
        *yaml_lines(_jobset(spec, name, nodes)),
    ]
    return "\n".join(lines) + "\n"
