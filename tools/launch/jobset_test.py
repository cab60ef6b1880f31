# SPDX-License-Identifier: Apache-2.0
import re

import hypothesis
import yaml
from absl.testing import absltest, parameterized
from hypothesis import strategies

from prompt_tuning.config import process_flags
from tools.launch import jobset, launch_spec

# The fields of each object that the manifest may have: JobSet v1alpha2, batch/v1 Job, core/v1 Pod.
_FIELDS = {
    "jobset": {"apiVersion", "kind", "metadata", "spec"},
    "metadata": {"name", "namespace", "labels", "annotations"},
    "jobset spec": {
        "replicatedJobs", "network", "successPolicy", "failurePolicy", "startupPolicy", "suspend",
        "coordinator", "managedBy", "ttlSecondsAfterFinished",
    },
    "replicated job": {"name", "replicas", "template", "dependsOn", "groupName"},
    "job spec": {
        "parallelism", "completions", "backoffLimit", "completionMode", "template",
        "activeDeadlineSeconds", "podFailurePolicy", "suspend",
    },
    "pod spec": {
        "containers", "nodeSelector", "restartPolicy", "terminationGracePeriodSeconds",
        "serviceAccountName", "tolerations", "volumes", "hostNetwork", "dnsPolicy", "subdomain",
    },
    "container": {
        "name", "image", "command", "args", "env", "envFrom", "ports", "resources",
        "volumeMounts", "securityContext", "workingDir", "imagePullPolicy",
    },
}  # fmt: skip


def spec(accelerator="v5litepod-64", args=("--model_dir=${MODEL_DIR}",), **attributes):
    attributes = {"image": "image:1"} | attributes
    return launch_spec.Spec(
        "sst2_XXL", "//prompt_tuning:train", "jobset", accelerator, list(args), **attributes
    )


def expanded(argument, environment):
    """Kubernetes' expansion of container arguments: `$(NAME)`, and `$$` for a dollar."""
    return re.sub(
        r"\$(\$|\((?P<name>[^)]*)\))",
        lambda m: (
            environment[m["name"]] if m["name"] in environment else ("$" if m[0] == "$$" else m[0])
        ),
        argument,
    )


class JobSetTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.jobset = yaml.safe_load(jobset.manifest(spec()))
        (self.replicated,) = self.jobset["spec"]["replicatedJobs"]
        self.job = self.replicated["template"]["spec"]
        self.pod = self.job["template"]["spec"]
        (self.container,) = self.pod["containers"]

    def test_has_only_fields_that_exist(self):
        for kind, found in (
            ("jobset", self.jobset),
            ("metadata", self.jobset["metadata"]),
            ("jobset spec", self.jobset["spec"]),
            ("replicated job", self.replicated),
            ("job spec", self.job),
            ("pod spec", self.pod),
            ("container", self.container),
        ):
            self.assertContainsSubset(found, _FIELDS[kind], kind)

    def test_is_a_jobset_with_a_valid_name(self):
        self.assertEqual(self.jobset["apiVersion"], "jobset.x-k8s.io/v1alpha2")
        self.assertEqual(self.jobset["kind"], "JobSet")
        self.assertEqual(self.jobset["metadata"]["name"], "sst2-xxl")
        self.assertIn(
            "alpha.jobset.sigs.k8s.io/exclusive-topology", self.jobset["metadata"]["annotations"]
        )

    def test_one_pod_on_each_host_and_all_its_chips(self):
        self.assertEqual(self.job["parallelism"], 16)
        self.assertEqual(self.job["completions"], 16)
        self.assertEqual(self.job["completionMode"], "Indexed")
        self.assertEqual(self.job["backoffLimit"], 0)
        self.assertEqual(self.pod["restartPolicy"], "Never")
        self.assertEqual(self.container["resources"], {"limits": {"google.com/tpu": 4}})
        self.assertEqual(
            self.pod["nodeSelector"],
            {
                "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
                "cloud.google.com/gke-tpu-topology": "8x8",
            },
        )

    def test_variables_come_from_the_config_map(self):
        self.assertEqual(self.container["args"], ["--model_dir=$(MODEL_DIR)"])
        self.assertEqual(
            self.container["env"][1:],
            [
                {
                    "name": "MODEL_DIR",
                    "valueFrom": {"configMapKeyRef": {"name": "sst2-xxl", "key": "MODEL_DIR"}},
                }
            ],
        )
        self.assertIn(
            "#   kubectl create configmap sst2-xxl --from-literal=MODEL_DIR=...\n",
            jobset.manifest(spec()),
        )

    def test_gpu_nodes_find_one_another_by_the_manifests_variables(self):
        gpus = spec("nvidia-h100-80gb:8", workers=4)
        manifest = yaml.safe_load(jobset.manifest(gpus))
        (replicated,) = manifest["spec"]["replicatedJobs"]
        job = replicated["template"]["spec"]
        self.assertEqual((job["parallelism"], job["completions"]), (4, 4))
        self.assertEqual(job["completionMode"], "Indexed")
        pod = job["template"]["spec"]
        self.assertEqual(
            pod["nodeSelector"], {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
        )
        (container,) = pod["containers"]
        self.assertContainsSubset(container, _FIELDS["container"])
        self.assertEqual(container["resources"], {"limits": {"nvidia.com/gpu": 8}})
        # Each pod is a process with all GPUs of its node; its number is Kubernetes' index.
        first_pod = f"sst2-xxl-{replicated['name']}-0-0.sst2-xxl"
        environment = {entry["name"]: entry for entry in container["env"]}
        self.assertEqual(environment["JAX_COORDINATOR_ADDRESS"]["value"], f"{first_pod}:8476")
        self.assertEqual(environment["JAX_NUM_PROCESSES"]["value"], "4")
        self.assertEqual(environment["JAX_PLATFORMS"]["value"], "cuda,cpu")
        field = environment["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
        self.assertIn("batch.kubernetes.io/job-completion-index", field)
        self.assertEqual(container["ports"], [{"containerPort": 8476}])
        self.assertIn("MODEL_DIR", environment)
        # The program takes exactly these variables.
        given = dict.fromkeys(process_flags.PROCESS_FLAGS)
        values = {name: entry.get("value", "2") for name, entry in environment.items()}
        self.assertEqual(
            process_flags._settings(given, values),
            {
                "coordinator_address": f"{first_pod}:8476",
                "process_count": 4,
                "process_index": 2,
            },
        )

    def test_gpus_of_any_type(self):
        manifest = yaml.safe_load(jobset.manifest(spec("gpu:4", workers=2)))
        (replicated,) = manifest["spec"]["replicatedJobs"]
        pod = replicated["template"]["spec"]["template"]["spec"]
        self.assertEqual(pod["nodeSelector"], {})

    def test_a_run_without_flags_is_valid_too(self):
        manifest = yaml.safe_load(jobset.manifest(spec(args=[])))
        (replicated,) = manifest["spec"]["replicatedJobs"]
        (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
        self.assertEqual(container["args"], [])

    @hypothesis.settings(deadline=None)
    @hypothesis.given(
        strategies.lists(
            strategies.text(
                strategies.characters(exclude_categories=["Cs"], exclude_characters="\0")
            )
            | strategies.text(alphabet="$(){}AB :#-\n'\"")
        )
    )
    def test_every_argument_arrives_as_it_was_written(self, args):
        manifest = yaml.safe_load(jobset.manifest(spec(args=args)))
        (replicated,) = manifest["spec"]["replicatedJobs"]
        (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
        environment = {name: f"<{name}>" for name in spec(args=args).variables}
        expected = [re.sub(r"\$\{([A-Z][A-Z0-9_]*)\}", r"<\1>", argument) for argument in args]
        self.assertEqual([expanded(a, environment) for a in container["args"]], expected)

    @parameterized.parameters(
        ({"accelerator": "v2-8"}, "v2-8 is not offered by GKE"),
        ({"accelerator": "v4-9"}, "nearest valid one is v4-8"),
        ({"image": ""}, "needs the attribute image"),
        ({"zone": "z"}, "zone='z' is the affair of the node pool"),
        ({"workers": 3}, "workers=3, but v5litepod-64 has 16 hosts"),
        ({"accelerator": "a100:8"}, "needs the attribute workers"),
        ({"accelerator": "a100:0", "workers": 2}, "'a100:0' is not TYPE:COUNT"),
    )
    def test_refuses(self, change, message):
        with self.assertRaisesRegex(ValueError, message):
            jobset.manifest(spec(**change))


if __name__ == "__main__":
    absltest.main()
