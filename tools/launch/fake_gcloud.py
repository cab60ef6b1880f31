# SPDX-License-Identifier: Apache-2.0
"""Stands in for `gcloud` in tests: takes notes, and fails where a scenario says so.

In the folder FAKE_DIR it appends every call to `calls.jsonl` as a JSON list, reads `scenario.json`,
and keeps what exists as files. The scenario has
  states    what `describe` answers in turn; the last one stays
  workers   homes below `workers/` in which `ssh` really runs the command; none: ssh only notes
  failures  [{"when": part of the call, "call": its number from 1, "times": how often, "code",
            "stderr", "after": the call takes effect all the same}]
Standard library only, and started for every call, so it stays small.
"""

import json
import os
import shutil
import subprocess
import sys

FOLDER = os.environ["FAKE_DIR"]
EXISTS = os.path.join(FOLDER, "exists")


def load(name, default):
    path = os.path.join(FOLDER, name)
    if not os.path.exists(path):
        return default
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def store(name, value):
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as file:
        json.dump(value, file)


def failure(scenario, call, count):
    """The first failure that is due for this call, or None; each is used up `times` times."""
    used = load("used.json", {})
    for number, rule in enumerate(scenario.get("failures", [])):
        key = str(number)
        if rule.get("call", count) != count:
            continue
        if rule.get("when", "") in call and used.get(key, 0) < rule.get("times", 10**6):
            store("used.json", used | {key: used.get(key, 0) + 1})
            return rule
    return None


def flag(argv, name):
    return next(word.partition("=")[2] for word in argv if word.startswith(f"--{name}="))


def not_found():
    print("ERROR: (gcloud) NOT_FOUND: the resource was not found", file=sys.stderr)
    return 1


def homes(argv, scenario):
    chosen = flag(argv, "worker")
    known = scenario.get("workers", [])
    return [
        os.path.join(FOLDER, "workers", name)
        for number, name in enumerate(known)
        if chosen in ("all", str(number))
    ]


def ssh(argv, scenario):
    code = 0
    for home in homes(argv, scenario):
        environment = os.environ | {"HOME": home}
        # Like sshd: the login shell gets the command as one string.
        done = subprocess.run(["bash", "-c", flag(argv, "command")], env=environment, cwd=home)
        code = code or done.returncode
    return code


def act(argv, scenario):
    """Does what the call asks for; returns its exit code."""
    what = argv[2:4]
    if what == ["queued-resources", "create"]:
        if os.path.exists(EXISTS):
            print("ERROR: (gcloud) ALREADY_EXISTS: resource exists", file=sys.stderr)
            return 1
        open(EXISTS, "w").close()
    elif what == ["queued-resources", "delete"]:
        if not os.path.exists(EXISTS):
            return not_found()
        os.remove(EXISTS)
    elif what == ["queued-resources", "describe"]:
        if not os.path.exists(EXISTS):
            return not_found()
        states = load("states.json", scenario.get("states", ["ACTIVE"]))
        print(states[0])
        store("states.json", states[1:] or states)
    elif what == ["tpu-vm", "scp"]:
        for home in homes(argv, scenario):
            shutil.copy(argv[4], os.path.join(home, argv[5].partition(":")[2]))
    elif what == ["tpu-vm", "ssh"]:
        return ssh(argv, scenario)
    return 0


def main(argv):
    with open(os.path.join(FOLDER, "calls.jsonl"), "a+", encoding="utf-8") as file:
        file.write(json.dumps(argv) + "\n")
        file.seek(0)
        count = sum(1 for _ in file)
    scenario = load("scenario.json", {})
    rule = failure(scenario, " ".join(argv), count)
    if rule and not rule.get("after"):
        print(rule.get("stderr", ""), file=sys.stderr)
        return rule.get("code", 1)
    code = act(argv, scenario)
    if rule:
        print(rule.get("stderr", ""), file=sys.stderr)
        return rule.get("code", 1)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
