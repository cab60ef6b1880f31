# SPDX-License-Identifier: Apache-2.0
"""Times the tokenizer and its peers side by side and prints a table; draws it, too.

    tools/bazel run //tests/benchmarks:tokenizer_benchmark -- --model=$PWD/spiece.model \
        --markdown=$PWD/table.md --svg=$PWD/chart.svg

The corpora are made of the machine's own text (text_corpora.py) unless --corpus names others.

The peers need an environment of their own (//third_party/benchmark_peers), so each environment and
number of threads is a process of its own (tokenizer_peers.py), and this one lets them take turns:
all variants once, then all of them again. What is compared is CPU time, which other jobs on the
machine disturb less than they disturb the clock; two threads are compared by the clock.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from tests.benchmarks import text_corpora

HERE = "here"
PEERS = "peers"

# variant -> the environment it lives in, and how many bytes of a corpus it gets per turn: the slow
# ones would take minutes for all of it.
VARIANTS = {
    "ours, ragged": (HERE, 1 << 30),
    "ours, padded to 128": (HERE, 1 << 30),
    "ours, padded to 256": (HERE, 1 << 30),
    "tensorflow_text, eager": (HERE, 4 << 20),
    "seqio, in-graph map": (HERE, 1 << 20),
    "sentencepiece, lists": (PEERS, 4 << 20),
    "sentencepiece, numpy": (PEERS, 4 << 20),
    "HF tokenizers": (PEERS, 1 << 20),
    "splintr": (PEERS, 4 << 20),
    "tokie": (PEERS, 4 << 20),
}
OURS = "ours, ragged"

# (variant, corpus, threads, "cold" or "warm") -> answers of the worker
Results = dict[tuple[str, str, int, str], list[dict[str, Any]]]


class Worker:
    """A process of tokenizer_peers.py."""

    def __init__(self, python: str, model: str, tokenizer_json: str, threads: int):
        script = str(pathlib.Path(__file__).with_name("tokenizer_peers.py"))
        arguments = [f"--model={model}", f"--json={tokenizer_json}", f"--threads={threads}"]
        self._command = [python, script, *arguments]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer, or {"error"}: a variant that ends the process does not end the others."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith("ANSWER "):
                    return json.loads(line.removeprefix("ANSWER "))
        code = self._process.wait()
        self._process = self._start()
        return {"error": f"the process ended with {code}"}

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def measure(workers: dict[tuple[str, int], Worker], corpora: dict[str, str], reps: int) -> Results:
    """`reps` rounds; in each, every variant encodes every corpus twice: new, then knowing it.

    A variant that fails once has no results at all.
    """
    results: Results = collections.defaultdict(list)
    broken: set[str] = set()
    for rep in range(reps):
        for name, path in corpora.items():
            for variant, (environment, max_bytes) in VARIANTS.items():
                # Documents are longer than the rows: a cut text would count as a whole one.
                if "padded" in variant and path.endswith(".bin"):
                    continue
                for (where, threads), worker in workers.items():
                    if where != environment or variant in broken:
                        continue
                    for state in ("cold", "warm"):
                        answer = worker.ask(
                            variant=variant,
                            corpus=path,
                            max_bytes=max_bytes,
                            cold=state == "cold",
                            rows=rep == 0,
                        )
                        if "error" in answer:
                            print(f"skipped {variant}: {answer['error']}", file=sys.stderr)
                            broken.add(variant)
                            break
                        results[variant, name, threads, state].append(answer)
        print(f"round {rep + 1} of {reps}", file=sys.stderr, flush=True)
    return {key: answers for key, answers in results.items() if key[0] not in broken}


def rate(answers: list[dict[str, Any]], clock: str) -> float:
    """Median MB per second of the "cpu" or the "wall" clock."""
    return statistics.median(answer["megabytes"] / answer[clock] for answer in answers)


def differing(results: Results, variant: str, corpus: str, reference: str) -> str:
    """How many texts have other ids than `reference` gives, among those that both encoded."""
    ours = results[variant, corpus, 1, "cold"][0]["checksums"]
    theirs = results[reference, corpus, 1, "cold"][0]["checksums"]
    pairs = list(zip(ours, theirs, strict=False))
    return f"{sum(a != b for a, b in pairs)} of {len(pairs)}"


def table(results: Results, corpus: str) -> list[str]:
    """One corpus as the lines of a Markdown table."""
    classic = "tensorflow_text, eager"
    with_two = any(threads == 2 for _, _, threads, _ in results)
    titles = ["", "cold MB/CPU-s", "warm MB/CPU-s", "ours is × as fast, cold"]
    titles += ["M tokens/CPU-s, cold"]
    titles += ["2 threads ÷ 1, by the clock"] * with_two
    titles += ["texts unlike tensorflow_text's"]
    lines = ["| " + " | ".join(titles).lstrip() + " |", "|---" * len(titles) + "|"]
    if (OURS, corpus, 1, "cold") not in results:
        return lines
    ours = rate(results[OURS, corpus, 1, "cold"], "cpu")
    for variant in VARIANTS:
        if (variant, corpus, 1, "cold") not in results:
            continue
        cold = results[variant, corpus, 1, "cold"]
        cold_rate = rate(cold, "cpu")
        tokens = cold_rate * cold[0]["tokens"] / cold[0]["megabytes"] / 1e6
        row = [
            variant,
            f"{cold_rate:.1f}",
            f"{rate(results[variant, corpus, 1, 'warm'], 'cpu'):.1f}",
        ]
        row += [f"{ours / cold_rate:.1f}", f"{tokens:.2f}"]
        two = results.get((variant, corpus, 2, "warm"))
        one = results[variant, corpus, 1, "warm"]
        if with_two:
            row.append(f"{rate(two, 'wall') / rate(one, 'wall'):.2f}" if two else "")
        known = (classic, corpus, 1, "cold") in results and "padded" not in variant
        row.append(differing(results, variant, corpus, classic) if known else "")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def chart(results: Results, corpora: list[str]) -> str:
    """The cold rates of one thread as an SVG: a group of bars per corpus."""
    rates = {
        (corpus, name): rate(results[name, corpus, 1, "cold"], "cpu")
        for corpus in corpora
        for name in VARIANTS
        if (name, corpus, 1, "cold") in results
    }
    scale = 420 / max(rates.values())
    shapes, y = [], 20
    for corpus in corpora:
        shapes.append(f'<text x="10" y="{y}" font-weight="bold">{corpus}, MB per CPU-second</text>')
        for name in VARIANTS:
            if (corpus, name) not in rates:
                continue
            y += 20
            value = rates[corpus, name]
            fill = "#1f6feb" if name.startswith("ours") else "#9aa4b2"
            shapes.append(f'<text x="10" y="{y}">{name}</text>')
            shapes.append(
                f'<rect x="180" y="{y - 12}" width="{value * scale:.1f}" height="14" fill="{fill}"/>'
            )
            shapes.append(f'<text x="{186 + value * scale:.1f}" y="{y}">{value:.1f}</text>')
        y += 36
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{y}" '
        'font-family="sans-serif" font-size="12">\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def machine() -> str:
    """The processor, and how busy it was."""
    model = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    return f"{model}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"


def _corpus(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=path")
    return name, path


def _make_corpora(folder: pathlib.Path) -> list[tuple[str, str]]:
    text_corpora.make(folder, megabytes=20, all_megabytes=0, roots=text_corpora.ROOTS)
    return [(path.stem, str(path)) for path in sorted(folder.iterdir(), reverse=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="a .model file")
    parser.add_argument("--corpus", type=_corpus, action="append", help="name=path")
    parser.add_argument("--peers_python", help="the interpreter of the peers' environment")
    parser.add_argument("--peers_python_file", help="a file that names it; Bazel passes that")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--markdown", help="file to write the tables to")
    parser.add_argument("--svg", help="file to write the chart to")
    arguments = parser.parse_args()
    peers_python = arguments.peers_python
    if not peers_python and arguments.peers_python_file:
        peers_python = pathlib.Path(arguments.peers_python_file).read_text().strip()

    with tempfile.TemporaryDirectory() as scratch:
        corpora = dict(arguments.corpus or _make_corpora(pathlib.Path(scratch)))
        tokenizer_json = os.path.join(scratch, "tokenizer.json")
        pythons = {HERE: sys.executable}
        if peers_python:
            pythons[PEERS] = peers_python
            script = str(pathlib.Path(__file__).with_name("tokenizer_peers.py"))
            convert = [f"--model={arguments.model}", f"--json={tokenizer_json}", "--convert"]
            subprocess.run([peers_python, script, *convert], check=True)
        workers = {
            (name, threads): Worker(python, arguments.model, tokenizer_json, threads)
            for name, python in pythons.items()
            for threads in arguments.threads
        }
        results = measure(workers, corpora, arguments.reps)
        for worker in workers.values():
            worker.close()

    report = [f"{machine()}; medians of {arguments.reps} rounds."]
    for corpus in corpora:
        report += ["", f"**{corpus}**", "", *table(results, corpus)]
    print("\n".join(report))
    if arguments.markdown:
        pathlib.Path(arguments.markdown).write_text("\n".join(report) + "\n")
    if arguments.svg:
        pathlib.Path(arguments.svg).write_text(chart(results, list(corpora)))


if __name__ == "__main__":
    main()
