# SPDX-License-Identifier: Apache-2.0
"""What the three programs share: flags, then gin, then one call.

A mistake of the user ends in one line `error: ...` and exit code 2. Everything that can be checked
in the text of flags and gin files is checked before JAX is loaded. Knows no model and no training.
"""

import contextlib
import dataclasses
import importlib
import os
import signal
import sys
import textwrap
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gin
from absl import flags, logging

from prompt_tuning.config import (
    allocator,
    collector,
    early_settings,
    friendly_flags,
    gin_checks,
    gin_files,
    gin_flags,
    gin_functions,
    implied_settings,
    path_checks,
    process_flags,
    run_flags,
    signatures,
    value_checks,
)

USAGE_ERROR = 2
PROCESS_LOST = 3
INTERRUPTED = 130
OUTPUT_CLOSED = 141  # As of a program that SIGPIPE ends.

_HELP = frozenset(("--help", "-help", "-h", "--helpfull", "--helpshort", "-?"))

# What --dry_run prints after the configuration.
_REPORT = "prompt_tuning.runs.dry_run"

# What looks at the user's folders and files while nothing heavy is loaded.
_EARLY_CHECKS = "prompt_tuning.runs.early_checks"
_VOCABULARY = "data_ops.vocabulary:SentencePieceVocabulary"
_PROMPT = "prompt_tuning.prompts.prompt:Prompt"
_PROMPT_FILE = "prompt_tuning.checkpoints.prompt_files:read_prompt"
_TRAINER = "prompt_tuning.training.trainer:Trainer"
_SIZES = "prompt_tuning.models.network:T5Config"

# What a user can cause: values, files, and flags. All else is a defect and shows its traceback.
_USER_ERRORS = (ValueError, OSError, flags.Error)


@dataclasses.dataclass(frozen=True)
class Program:
    """One of the programs.

    Attributes:
        name: as it is started, for the help text.
        entry_point: the function that the gin files configure: "train", "evaluate" or "infer".
        summary: what it does, for the help text.
        examples: worked commands, (what it is for, command).
        report: called with the arguments that the entry point would get; the program prints what
            it returns and does not call the entry point.
        assumed: {macro: gin text} of macros that may be required and do not matter to the report.
    """

    name: str
    entry_point: str
    summary: str
    examples: Sequence[tuple[str, str]]
    report: Callable[[Mapping[str, Any]], str] | None = None
    assumed: Mapping[str, str] = dataclasses.field(default_factory=dict)


# What absl puts behind the help of a flag that may be repeated; ours say so themselves.
_ABSL_REPEATS = "; repeat this option to specify a list of values"


def usage(program: Program) -> str:
    """The text of --help."""
    lines = [*textwrap.wrap(program.summary, 100), "", "Examples"]
    for purpose, command in program.examples:
        lines += [f"  {purpose}", *textwrap.indent(command, "    ").split("\n"), ""]
    lines.append("Flags (each sets the gin macro that it names)")
    for name, flag in friendly_flags.flags_of(program.entry_point).items():
        lines.append(f"  --{name}")
        lines += textwrap.wrap(
            flag.full_help, 100, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    lines += ["", "Gin"]
    for name in (*gin_flags.FLAG_NAMES, *process_flags.FLAG_NAMES):
        lines.append(f"  --{name}")
        text = " ".join(flags.FLAGS[name].help.split()).removesuffix(_ABSL_REPEATS)
        lines += textwrap.wrap(text, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What the flags amount to: gin files in order, bindings after them, and where to look.

    `statements` is what both say.
    """

    files: list[str]
    bindings: list[str]
    search_paths: list[str]
    statements: gin_files.Statements


def configuration(
    entry_point: str,
    given: Mapping[str, Any],
    gin_file: Sequence[str] | None,
    gin_bindings: Sequence[str],
    gin_search_paths: Sequence[str],
    assumed: Mapping[str, str] | None = None,
) -> Configuration:
    """Combines the friendly flags with the gin flags, and checks the text of the result.

    Args:
        entry_point: "train", "evaluate" or "infer".
        given: values of the friendly flags; None for those not given.
        gin_file: exactly the files to read, or None for those of --model.
        gin_bindings: the user's bindings; they win.
        gin_search_paths: folders to look in before this project's.
        assumed: {macro: gin text} for those of the files' macros that have no value.

    Raises:
        ValueError, FileNotFoundError: the first mistake, in one sentence.
    """
    paths = gin_flags.search_paths(gin_search_paths)
    friendly_flags.check_files_are_read(entry_point, given)
    friendly_flags.check_answers(given)
    given = implied_settings.resolved(given)
    bindings = []
    if gin_file:
        friendly_flags.check_no_file_flags(given)
        files = list(gin_file)
    else:
        files = friendly_flags.default_files(entry_point, given)
        if friendly_flags.is_demonstration(entry_point, given):
            bindings.append(f"MODEL_DIR = {friendly_flags.new_run_dir()!r}")
        bindings += friendly_flags.final_split(entry_point, given)
    statements = gin_files.read(files, (), paths)
    bindings += [
        f"{macro} = {text}"
        for macro, text in (assumed or {}).items()
        if gin_checks.has_key(statements, macro)
    ]
    bindings += friendly_flags.bindings(entry_point, given, statements)
    statements = gin_files.read(files, [*bindings, *gin_bindings], paths)
    bindings += implied_settings.bindings(entry_point, given, statements)
    bindings += gin_bindings
    statements = gin_files.read(files, bindings, paths)
    gin_checks.check(statements, entry_point, friendly_flags.flag_of_macro(entry_point))
    signatures.check_arguments(statements)
    path_checks.check(statements)
    return Configuration(files, bindings, paths, statements)


def check_early(entry_point: str, statements: gin_files.Statements) -> None:
    """Checks values, folders and the user's files, without JAX and TensorFlow.

    Raises:
        ValueError, FileNotFoundError: the first mistake, in one sentence.
    """
    settings = early_settings.EarlySettings(statements)
    value_checks.check(settings)
    # By name: it knows the runs.
    checks = importlib.import_module(_EARLY_CHECKS)
    checks.check(
        entry_point,
        settings.entry_point(entry_point),
        foreign_tasks=gin_checks.has_foreign_imports(statements),
    )
    checks.check_microbatches(
        settings.entry_point(entry_point).get("train_dataset_cfg"),
        settings.arguments(_TRAINER).get("num_microbatches"),
    )
    sizes = settings.arguments(_SIZES)
    checks.check_model_files(
        vocabulary=settings.make(_VOCABULARY),
        rows=sizes.get("vocab_size"),
        prompt_file=settings.arguments(_PROMPT_FILE).get("path"),
        prompt_shape=(settings.arguments(_PROMPT).get("length"), sizes.get("emb_dim")),
        restore=checks.restore_of(settings.entry_point(entry_point)),
    )


def _parse_flags(program: Program, argv: Sequence[str]) -> dict[str, Any]:
    """Parses the command line into FLAGS; returns the friendly flags' values."""
    rest = flags.FLAGS([argv[0], *gin_flags.rewrite_gin_args(argv[1:])])[1:]
    if rest:
        raise ValueError(f"the argument {rest[0]!r} is not a flag; flags are --name=value")
    return {name: flags.FLAGS[name].value for name in friendly_flags.flags_of(program.entry_point)}


def _apply_data_flags() -> None:
    """Tells TFDS and SeqIO where the data is."""
    if flags.FLAGS.tfds_data_dir:
        os.environ["TFDS_DATA_DIR"] = flags.FLAGS.tfds_data_dir
    if flags.FLAGS.seqio_additional_cache_dirs:
        # By name: SeqIO brings TensorFlow along, and only a user of its caches needs it here.
        seqio = importlib.import_module("seqio")
        seqio.add_global_cache_dirs(flags.FLAGS.seqio_additional_cache_dirs)


def _dry_run(entry_point: str) -> None:
    """Makes everything that the entry point would be given, and prints what that amounts to."""
    settings = gin.get_bindings(gin_flags.entry_point_function(entry_point))
    # By name: it loads JAX, and only computes shapes.
    report = importlib.import_module(_REPORT).report(settings)
    gin_flags.record_call(entry_point)
    print(gin_functions.operative_config())
    print(report)


@contextlib.contextmanager
def _ended_by_an_interrupt() -> Iterator[None]:
    """Lets Ctrl-C end the process while libraries are loaded; nothing is written yet.

    As an exception it would be lost, or worse, where it is raised inside JAX's callback of the
    garbage collector.
    """

    def leave(number: int, frame: types.FrameType | None) -> None:
        del number, frame
        os.write(2, b"interrupted\n")
        os._exit(INTERRUPTED)

    # Else whoever started this ignores interrupts, or handles them.
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(program: Program, argv: Sequence[str]) -> None:
    given = _parse_flags(program, argv)
    process_flags.check_run_mode(program.entry_point, flags.FLAGS.run_mode)
    # Bazel starts programs in a folder of its own; paths are meant from where the user stands.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    # As with `python3 -m`, the user's own modules of tasks are found there.
    sys.path.append(os.getcwd())
    if program.entry_point == "train":
        run_flags.remember(given, flags.FLAGS.gin_file)
    else:
        given = run_flags.carried(given, list(given), flags.FLAGS.gin_file)
    chosen = configuration(
        program.entry_point,
        given,
        flags.FLAGS.gin_file,
        flags.FLAGS.gin_bindings,
        flags.FLAGS.gin_search_paths,
        program.assumed,
    )
    check_early(program.entry_point, chosen.statements)
    _apply_data_flags()
    process_flags.initialize(
        {name: flags.FLAGS[name].value for name in process_flags.PROCESS_FLAGS}
    )
    with _ended_by_an_interrupt(), collector.resting():
        gin_flags.parse_gin(chosen.files, chosen.bindings, chosen.search_paths)
    if program.report is not None:
        function = gin_flags.entry_point_function(program.entry_point)
        print(program.report(gin.get_bindings(function)))
    elif flags.FLAGS.dry_run:
        _dry_run(program.entry_point)
    else:
        gin_flags.configured(program.entry_point)()


def run(program: Program, argv: Sequence[str]) -> int:
    """Runs a program; returns its exit code.

    0, 2 for a mistake of the user, 3 if another process of the run died, 130 interrupted, 141 if
    nobody reads the output any more.
    """
    gin_flags.define_flags()
    process_flags.define_flags()
    friendly_flags.define_flags(program.entry_point)
    logging.use_absl_handler()
    # TensorFlow only feeds examples here, and must not talk about the processor while it loads.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        if _HELP.intersection(argv[1:]):
            print(usage(program), flush=True)
        else:
            _run(program, argv)
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except KeyboardInterrupt as interrupt:
        what = gin_flags.one_line(str(interrupt))
        print(f"interrupted: {what}" if what else "interrupted", file=sys.stderr)
        return INTERRUPTED
    except _USER_ERRORS as error:
        if flags.FLAGS["debug"].value:
            traceback.print_exc()
        print(f"error: {gin_flags.one_line(str(error))}", file=sys.stderr)
        return PROCESS_LOST if isinstance(error, ConnectionError) else USAGE_ERROR
    return 0


def main(program: Program) -> None:
    """Runs a program with the command line and exits."""
    allocator.use_one_heap()
    try:
        code = run(program, sys.argv)
    except Exception:
        traceback.print_exc()
        code = 1
    process_flags.leave(code)
    sys.exit(code)
