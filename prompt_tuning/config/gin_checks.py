# SPDX-License-Identifier: Apache-2.0
"""Mistakes in gin files that show without importing JAX: names, missing values, file order.

Every check raises ValueError with one sentence. What only a signature can tell (an argument that a
function does not have) is left to gin itself.
"""

from collections.abc import Mapping

from prompt_tuning.config import aliases, gin_files, spelling

# Upstream's order of groups on the command line. A later group may override an earlier one; where
# an earlier group overrides a later one, the files are in the wrong order.
GROUPS = ("models", "prompts", "sizes", "decoding", "runs")
_GROUP_OF_FOLDER = {
    "architectures": "models",
    "models": "models",
    "prompts": "prompts",
    "sizes": "sizes",
    "decoding": "decoding",
    "runs": "runs",
}

_ENTRY_MODULES = ("__main__", "t5x.train", "t5x.eval", "t5x.infer")


def group_of(path: str | None) -> str | None:
    """The group of a gin file by its folder; None for one elsewhere, which may stand anywhere."""
    parts = (path or "").split("/")
    return _GROUP_OF_FOLDER.get(parts[-2]) if len(parts) > 1 else None


def final_bindings(statements: gin_files.Statements) -> dict[tuple, gin_files.Binding]:
    """What each key is bound to in the end."""
    return {binding.key: binding for binding in statements.bindings}


def macros(statements: gin_files.Statements) -> dict[str, gin_files.Binding]:
    """The last binding of each macro."""
    return {b.name: b for b in statements.bindings if b.is_macro}


def known_selectors(statements: gin_files.Statements) -> set[str]:
    """What the files bind or refer to, as gin registers it: what the command line may bind."""
    return {
        selector.registered
        for binding in statements.bindings
        if binding.place.file
        for selector in (binding.selector, *binding.references)
        if "." in selector.registered
    }


def has_foreign_imports(statements: gin_files.Statements) -> bool:
    """Whether the files import modules that are neither ours nor ones that T5X's files import."""
    roots = {name.split(".")[0] for name in aliases.TABLE} | {"__main__", "jax", "prompt_tuning"}
    return any(i.module.split(".")[0] not in roots for i in statements.imports)


def has_key(statements: gin_files.Statements, key: str) -> bool:
    """Whether the files know a macro `NAME` or something that `a.b.argument` can bind."""
    if "." not in key:
        return any(b.is_macro and b.name == key and b.place.file for b in statements.bindings)
    selector = key.split("/")[-1].rpartition(".")[0]
    return any(ends_with(known, selector) for known in known_selectors(statements))


def ends_with(full: str, selector: str) -> bool:
    """gin's rule for short names: the last components agree."""
    return full == selector or full.endswith("." + selector)


def check_order(statements: gin_files.Statements) -> None:
    """A file of an earlier group must not override one of a later group."""
    seen: dict[tuple, gin_files.Binding] = {}
    for binding in statements.bindings:
        before = seen.get(binding.key)
        group, old_group = group_of(binding.place.file), before and group_of(before.place.file)
        if before and group and old_group and GROUPS.index(group) < GROUPS.index(old_group):
            key = binding.name
            raise ValueError(
                f"gin files are in the wrong order: {before.place.file} is listed before "
                f"{binding.place.file}, which sets {key} again; list the files in the order "
                f"{', '.join(GROUPS)} (flag --gin_file)"
            )
        seen[binding.key] = binding


def check_imports(statements: gin_files.Statements) -> None:
    """Every module can exist, and the modules of the alias table have the names that are used."""
    for statement in statements.imports:
        if not aliases.may_exist(statement.module):
            raise ValueError(f"{statement.place}: {aliases.unknown_module(statement.module)}")
    for binding in statements.bindings:
        if not binding.place.file:
            continue
        for selector in (binding.selector, *binding.references):
            known = aliases.TABLE.get(selector.module)
            name = selector.full[len(selector.module) + 1 :].split(".")[0]
            if known is not None and name not in known:
                sentence = aliases.unknown_name(selector.module, name, list(known))
                raise ValueError(f"{binding.place}: {sentence}")


def check_command_line(statements: gin_files.Statements) -> None:
    """What the command line binds must mean something to the files."""
    known_macros = {b.name for b in statements.bindings if b.is_macro and b.place.file}
    selectors = known_selectors(statements)
    shorts = {".".join(s.split(".")[-n:]) for s in selectors for n in (1, 2)}
    for binding in statements.bindings:
        if binding.place.file:
            continue
        if binding.is_macro:
            if binding.name not in known_macros:
                near = spelling.nearest(binding.name, sorted(known_macros))
                raise ValueError(f"no gin file uses the macro {binding.name} that --gin sets{near}")
        elif not any(ends_with(full, binding.selector.text) for full in selectors):
            text = binding.selector.text
            near = spelling.nearest(text, sorted(shorts))
            raise ValueError(
                f"no gin file names {text!r}, whose {binding.argument} --gin sets{near}"
            )


def check_required(statements: gin_files.Statements, flag_of: Mapping[str, str]) -> None:
    """No macro or argument is left at `%gin.REQUIRED`.

    Args:
        statements: of all files and the command line.
        flag_of: `{macro: "--flag=VALUE"}` for the macros that have a flag of their own.
    """
    missing = [b for b in final_bindings(statements).values() if b.value == gin_files.REQUIRED]
    if not missing:
        return
    names = sorted({binding.name for binding in missing})
    if len(names) == 1:
        raise ValueError(f"{names[0]} is not set: pass {how_to_set(names[0], flag_of)}")
    ways = "; ".join(how_to_set(name, flag_of) for name in names)
    raise ValueError(f"{', '.join(names)} are not set: pass {ways}")


# What a value of each macro looks like, where the name alone does not say it.
_EXAMPLES = {
    "TASK_FEATURE_LENGTHS": "{'inputs': 512, 'targets': 8}",
    "CLASS_LABELS": "['negative', 'positive']",
    "PROMPT_LENGTH": "100",
    "TRAIN_STEPS": "1130000",
    "MIXTURE_OR_TASK_NAME": "'NAME'",
}
_NUMBERS = ("NUM_", "_DIM", "_STEPS", "_SIZE", "_LENGTH")


def how_to_set(name: str, flag_of: Mapping[str, str]) -> str:
    """`--model_dir=DIR or --gin.MODEL_DIR="'DIR'"`."""
    if name in _EXAMPLES:
        example = _EXAMPLES[name]
    elif any(part in name for part in _NUMBERS):
        example = "N"
    elif name.endswith(("_DIR", "_PATH", "_FILE")):
        example = f"'{name.rsplit('_', 1)[-1]}'"
    else:
        example = "VALUE"
    gin_flag = f'--gin.{name}="{example}"'
    return f"{flag_of[name]} or {gin_flag}" if name in flag_of else gin_flag


def check_bound_macros(statements: gin_files.Statements, flag_of: Mapping[str, str]) -> None:
    """Every macro that a value uses is bound somewhere; gin wants that of unused values too."""
    bound = set(macros(statements)) | {"gin.REQUIRED"}
    for binding in final_bindings(statements).values():
        for leaf in gin_files.flatten(binding.value):
            if isinstance(leaf, gin_files.MacroReference) and leaf.name not in bound:
                near = spelling.nearest(leaf.name, sorted(bound))
                way = how_to_set(leaf.name, flag_of)
                raise ValueError(
                    f"{leaf.name} is not set, and {binding.name} ({binding.place}) needs it: "
                    f"pass {way}{near}"
                )


def _entry_point(binding: gin_files.Binding) -> str | None:
    """The name of the program's function that a binding configures, if it does."""
    module, _, name = binding.selector.full.rpartition(".")
    return name if module in _ENTRY_MODULES and name in aliases.ENTRY_POINTS else None


def check_entry_point(statements: gin_files.Statements, entry_point: str) -> None:
    """Some file configures the function that the program is going to call."""
    names = {name for b in statements.bindings if (name := _entry_point(b))}
    if entry_point in names:
        return
    run_file = {"train": "finetune", "evaluate": "eval"}.get(entry_point, entry_point)
    instead = f" (they configure {', '.join(sorted(names))})" if names else ""
    raise ValueError(
        f"the gin files do not configure {entry_point!r}{instead}; add "
        f"--gin_file=prompt_tuning/configs/runs/prompt_{run_file}.gin as the last file"
    )


def check(
    statements: gin_files.Statements, entry_point: str | None, flag_of: Mapping[str, str]
) -> None:
    """All checks, the one that explains most first.

    Args:
        statements: of all files and the command line.
        entry_point: "train", "evaluate" or "infer"; None for files that are parsed for themselves.
        flag_of: see `check_required`.

    Raises:
        ValueError: one sentence on the first mistake.
    """
    check_order(statements)
    check_imports(statements)
    check_command_line(statements)
    if entry_point:
        check_entry_point(statements, entry_point)
    check_required(statements, flag_of)
    check_bound_macros(statements, flag_of)
