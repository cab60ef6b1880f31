# SPDX-License-Identifier: Apache-2.0
"""A trained prompt as one reproducible archive that says what it belongs to."""

def _prompt_artifact_impl(ctx):
    archive = ctx.actions.declare_file(ctx.label.name + ".tar")
    args = ctx.actions.args()
    args.add("--name", ctx.label.name)
    args.add("--output", archive)
    args.add("--prompt", ctx.file.prompt)
    args.add_all(ctx.files.base, before_each = "--base_model")
    for flag in ("vocabulary", "summary"):
        if getattr(ctx.file, flag):
            args.add("--" + flag, getattr(ctx.file, flag))
    for flag in ("base_name", "metrics", "placement", "recipe", "task"):
        if getattr(ctx.attr, flag):
            args.add("--" + flag, getattr(ctx.attr, flag))
    if ctx.attr.extra_ids >= 0:
        args.add("--extra_ids", str(ctx.attr.extra_ids))
    ctx.actions.run(
        arguments = [args],
        executable = ctx.executable._pack,
        inputs = depset(ctx.files.base + ctx.files.prompt + ctx.files.summary + ctx.files.vocabulary),
        mnemonic = "PromptArtifact",
        outputs = [archive],
        progress_message = "Packing prompt {}".format(ctx.label.name),
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([archive]), runfiles = ctx.runfiles([archive]))]

# A rule and no genrule: its tool is built as everything else is, not once more for the host.
_prompt_artifact = rule(
    implementation = _prompt_artifact_impl,
    attrs = {
        "base": attr.label(allow_files = True, mandatory = True),
        "base_name": attr.string(),
        "extra_ids": attr.int(default = -1),
        "metrics": attr.string(),
        "placement": attr.string(),
        "prompt": attr.label(allow_single_file = True, mandatory = True),
        "recipe": attr.string(),
        "summary": attr.label(allow_single_file = True),
        "task": attr.string(),
        "vocabulary": attr.label(allow_single_file = True),
        "_pack": attr.label(cfg = "target", default = "//tools/artifacts:pack_prompt", executable = True),
    },
)

def prompt_artifact(
        name,
        prompt,
        base,
        base_name = None,
        vocabulary = None,
        extra_ids = None,
        placement = None,
        task = None,
        summary = None,
        metrics = None,
        recipe = None,
        visibility = None,
        testonly = None):
    """Makes `name`.tar: prompt.safetensors, metadata.json and the model card README.md.

    The same inputs give the same bytes. `--prompt_file` takes the archive wherever it takes a prompt, and a run refuses
    it on another base model, with another vocabulary or with another length.

    Args:
      name: of the target and of the prompt.
      prompt: label of the prompt's file (npy, or another artifact).
      base: label of all files of the base model: a HuggingFace folder or a T5X checkpoint.
      base_name: what people call the base model; the folder's name by default.
      vocabulary: label of the SentencePiece model; the one among the base model's files by default.
      extra_ids: sentinels behind the vocabulary's pieces.
      placement: "prefix" (default), "prefix_after_bos" or "suffix".
      task: what the prompt was trained for.
      summary: label of the training run's summary.json: task and metrics.
      metrics: further ones, a dictionary.
      recipe: how the prompt was trained, a dictionary.
      visibility: of the target.
      testonly: as everywhere in Bazel.
    """
    _prompt_artifact(
        name = name,
        base = base,
        base_name = base_name,
        extra_ids = -1 if extra_ids == None else extra_ids,
        metrics = json.encode(metrics) if metrics else None,
        placement = placement,
        prompt = prompt,
        recipe = json.encode(recipe) if recipe else None,
        summary = summary,
        task = task,
        testonly = testonly,
        visibility = visibility,
        vocabulary = vocabulary,
    )
