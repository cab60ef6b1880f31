# SPDX-License-Identifier: Apache-2.0
"""Examples of public datasets as the pairs of texts that T5 was trained and published with.

Every function is a SeqIO text preprocessor: it takes a `tf.data.Dataset` of the features that TFDS
gives and returns one of scalar `inputs` and `targets` (strings) and what a metric needs beside
them. The texts are byte for byte those of the `t5` package and of prompt-tuning, because released
prompts were trained on them. Knows no vocabulary and no task name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

Example = Mapping[str, Any]

# The target of an example without a label, which is what TFDS gives in test splits.
UNLABELLED = "<unk>"

_INDEX_FEATURES = ("idx", "label")


def pad_punctuation(text: tf.Tensor) -> tf.Tensor:
    """Spaces around each ASCII punctuation mark, and one space for every run of white space."""
    text = tf.strings.regex_replace(text, r"([[:punct:]])", r" \1 ")
    return tf.strings.regex_replace(text, r"\s+", " ")


def join(parts: Sequence[Any]) -> tf.Tensor:
    """The parts with one space between them, and for every run of white space within."""
    return tf.strings.regex_replace(tf.strings.join(parts, separator=" "), r"\s+", " ")


def label_text(label: tf.Tensor, names: Sequence[str], unlabelled: str = UNLABELLED) -> tf.Tensor:
    """Name of an integer label; `unlabelled` for -1."""
    return tf.gather([unlabelled, *names], tf.cast(label, tf.int32) + 1)


@seqio.map_over_dataset
def glue(
    example: Example,
    benchmark_name: str,
    label_names: Sequence[str],
    feature_names: Sequence[str] | None = None,
) -> Example:
    """`<benchmark> <feature>: <text> <feature>: <text> ...` and the name of the label.

    Args:
      example: texts, `label` and `idx` (a number, or for MultiRC a dict of three).
      benchmark_name: the first word of the inputs.
      label_names: by class.
      feature_names: which features, in order; default: all but `idx` and `label`, sorted.
    """
    names = feature_names or sorted(set(example).difference(_INDEX_FEATURES))
    parts = [part for name in names for part in (f"{name}:", example[name])]
    inputs = tf.strings.join([benchmark_name, *parts], separator=" ")
    index = example["idx"]
    if benchmark_name == "multirc":
        inputs = tf.strings.regex_replace(inputs, "<br>", " ")
        inputs = tf.strings.regex_replace(inputs, "</?b>", "")
        extra = {f"idx/{name}": index[name] for name in ("paragraph", "question", "answer")}
    else:
        extra = {"idx": index}
    return {"inputs": inputs, "targets": label_text(example["label"], label_names), **extra}


@seqio.map_over_dataset
def stsb(example: Example) -> Example:
    """STS-B, whose target is the score rounded to a multiple of 0.2, as text with one decimal."""
    parts = ["stsb sentence1:", example["sentence1"], "sentence2:", example["sentence2"]]
    score = tf.round(example["label"] * 5) / 5
    return {
        "inputs": tf.strings.join(parts, separator=" "),
        "targets": tf.as_string(score, precision=1),
        "idx": example["idx"],
    }


def _record_inputs(example: Example) -> tf.Tensor:
    passage = tf.strings.regex_replace(
        example["passage"], r"(\.|\?|\!|\"|\')\n@highlight\n", r"\1 "
    )
    passage = tf.strings.regex_replace(passage, r"\n@highlight\n", ". ")
    entities = tf.strings.reduce_join(example["entities"], separator=", ")
    parts = ["record query:", example["query"], "entities:", entities, "passage:", passage]
    return tf.strings.join(parts, separator=" ")


def record(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """ReCoRD: one example for each answer; where there is none, one that asks for `<unk>`."""

    def one_for_each_answer(example: Example) -> tf.data.Dataset:
        answers = example["answers"]
        shared = {
            "inputs": _record_inputs(example),
            "idx/passage": example["idx"]["passage"],
            "idx/query": example["idx"]["query"],
            "answers": answers,
        }
        targets = tf.cond(tf.size(answers) > 0, lambda: answers, lambda: tf.constant([UNLABELLED]))
        return tf.data.Dataset.from_tensor_slices(targets).map(
            lambda target: {**shared, "targets": target}
        )

    return dataset.flat_map(one_for_each_answer)


@seqio.map_over_dataset
def record_to_rank(example: Example) -> Example:
    """ReCoRD once for each query, with its entities, for ranking them."""
    answers = example["answers"]
    first = tf.concat([answers, [UNLABELLED]], axis=0)[0]
    return {
        "inputs": _record_inputs(example),
        "targets": first,
        "idx/passage": example["idx"]["passage"],
        "idx/query": example["idx"]["query"],
        "answers": answers,
        "entities": example["entities"],
    }


def wsc_simple(
    dataset: tf.data.Dataset, label: str = "wsc:", correct_referent_only: bool = False
) -> tf.data.Dataset:
    """WSC as generation of the referent: `wsc: <text with the pronoun as *he*>` -> `<referent>`.

    Args:
      dataset: of super_glue/wsc.fixed.
      label: the first word of the inputs.
      correct_referent_only: keep the examples whose span is the referent; for training.
    """
    if correct_referent_only:
        dataset = dataset.filter(lambda example: tf.equal(example["label"], 1))

    @seqio.map_over_dataset
    def to_text(example: Example) -> Example:
        marked = _mark_pronoun(example["text"], example["span2_text"], example["span2_index"])
        return {
            "inputs": tf.strings.join([label, marked], separator=" "),
            "targets": example["span1_text"],
            "label": example["label"],
            "idx": example["idx"],
        }

    return to_text(dataset)


def _mark_pronoun(text: tf.Tensor, pronoun: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """`text` with stars around `pronoun`, the word at `index`.

    In two texts of the dataset the index does not fall on the pronoun alone: one has quotes glued
    to it, in the other it is a word further on. As in T5, the marks are split off in the first and
    the pronoun is searched in the second.
    """
    words = tf.strings.split(text, sep=" ")
    index, length = tf.cast(index, tf.int32), tf.strings.length(pronoun)
    # Padded, because a substring must lie within its string.
    padded = tf.strings.join([words, tf.fill(tf.shape(words), " " * 64)])
    begins = tf.strings.substr(padded, 0, length) == pronoun
    not_before = tf.range(tf.size(words)) >= index
    whole = tf.where(tf.logical_and(words == pronoun, not_before))
    glued = tf.where(tf.logical_and(begins, not_before))
    use_glued = tf.logical_or(begins[index], tf.equal(tf.size(whole), 0))
    found = tf.cond(use_glued, lambda: glued, lambda: whole)
    message = "a text of WSC does not hold its pronoun at or after span2_index"
    with tf.control_dependencies([tf.debugging.Assert(tf.size(found) > 0, [message, text])]):
        place = tf.cast(found[0, 0], tf.int32)
    rest = tf.strings.substr(words[place], length, -1)
    marked = tf.strings.join(["*", pronoun, "*"])
    marked = tf.cond(
        tf.equal(rest, ""), lambda: marked, lambda: tf.strings.join([marked, rest], separator=" ")
    )
    pieces = tf.concat([words[:place], marked[tf.newaxis], words[place + 1 :]], axis=0)
    joined = tf.strings.reduce_join(pieces, separator=" ")
    return tf.cond(tf.equal(rest, ""), lambda: joined, lambda: tf.strings.strip(joined))


@seqio.map_over_dataset
def definite_pronoun_resolution_simple(example: Example, label: str = "wsc:") -> Example:
    """DPR in the form of `wsc_simple`; the first occurrence of the pronoun is marked."""
    pattern = tf.strings.join([r" (", example["pronoun"], r")( |\.|,)"])
    marked = tf.strings.regex_replace(
        example["sentence"], pattern, r" *\1*\2", replace_global=False
    )
    return {
        "inputs": tf.strings.join([label, marked], separator=" "),
        "targets": tf.gather(example["candidates"], example["label"]),
    }


def _question_answering(
    question: tf.Tensor, context: tf.Tensor, answers: tf.Tensor, task_name: str | None = None
) -> dict[str, tf.Tensor]:
    question, context, answers = map(pad_punctuation, (question, context, answers))
    parts = ["question:", question, "context:", context]
    return {
        "inputs": join(parts if task_name is None else [task_name, *parts]),
        "targets": answers[0],
        "question": question,
        "context": context,
        "answers": answers,
    }


@seqio.map_over_dataset
def squad(example: Example) -> Example:
    """`question: <question> context: <context>` -> the first answer, punctuation padded."""
    fields = _question_answering(
        example["question"], example["context"], example["answers"]["text"]
    )
    return {**fields, "id": example["id"]}


@seqio.map_over_dataset
def mrqa(example: Example, task_name: str | None = None) -> Example:
    """As `squad`, over the features of MRQA; `task_name` becomes the first word."""
    fields = _question_answering(
        example["question"], example["context"], example["answers"], task_name
    )
    return {**fields, "answer": fields["targets"], "idx": example["qid"]}


@seqio.map_over_dataset
def tsv_to_qa(
    line: tf.Tensor,
    field_delim: str = "\t",
    answer_delim: str = "|||",
    field_names: Sequence[str] = ("id", "context", "question", "answer", "answers"),
) -> Example:
    """As `squad`, from lines of a TSV file whose last column has all answers, delimited."""
    cells = tf.io.decode_csv(
        line, [""] * len(field_names), field_delim=field_delim, use_quote_delim=False
    )
    row = dict(zip(field_names, cells, strict=True))
    answers = tf.strings.split(row["answers"], answer_delim)
    fields = _question_answering(row["question"], row["context"], answers)
    answer = pad_punctuation(row["answer"])
    return {**fields, "answer": answer, "targets": answer, "id": row["id"]}


@seqio.map_over_dataset
def summarize(example: Example, article_key: str, summary_key: str) -> Example:
    """`summarize: <article>` -> `<summary>`."""
    return {"inputs": join(["summarize:", example[article_key]]), "targets": example[summary_key]}


@seqio.map_over_dataset
def text_generation(
    example: Example,
    source_key: str,
    target_key: str,
    task_name: str | None = None,
    prefix: str | None = None,
    source_nested_key: str | None = None,
    target_nested_key: str | None = None,
) -> Example:
    """`[task_name] [prefix] <source>` -> `<target>`; keys may lead one level down."""

    def value(key: str, nested: str | None) -> tf.Tensor:
        return example[key] if nested is None else example[key][nested]

    parts = [task_name, prefix, value(source_key, source_nested_key)]
    return {
        "inputs": tf.strings.join([part for part in parts if part is not None], separator=" "),
        "targets": value(target_key, target_nested_key),
    }


@seqio.map_over_dataset
def text_classification(
    example: Example,
    text_a_key: str,
    text_b_key: str | None = None,
    task_name: str | None = None,
    label_names: Sequence[str] | None = None,
) -> Example:
    """`[task_name] <a key>: <a> [<b key>: <b>]` -> name of the label (the number without names)."""
    keys = [key for key in (text_a_key, text_b_key) if key is not None]
    parts = [part for key in keys for part in (f"{key}:", example[key])]
    label = example["label"]
    if label_names is None:
        target = label if label.dtype == tf.string else tf.as_string(label)
    else:
        if label.dtype == tf.string:
            label = tf.strings.to_number(label, tf.int64)
        target = label_text(label, label_names)
    return {"inputs": join(parts if task_name is None else [task_name, *parts]), "targets": target}


@seqio.map_over_dataset
def remove_first_text_token(example: Example, key: str = "inputs") -> Example:
    """Drops everything up to the first space: the name of the task."""
    text = tf.strings.regex_replace(example[key], r"^[^ ]* ", "", replace_global=False)
    return {**example, key: text}


@seqio.map_over_dataset
def label_idx_to_string(
    example: Example,
    label_names: Sequence[str],
    key: str = "label",
    unk_value: int = -1,
    unk_string: str = "UNK",
) -> Example:
    """Names for the numbers of a feature; `unk_string` for `unk_value`."""
    label = tf.cast(example[key], tf.int32)
    label = tf.where(tf.equal(label, unk_value), -1, label)
    return {**example, key: label_text(label, label_names, unk_string)}


@seqio.map_over_dataset
def join_fields(
    example: Example,
    fields: Sequence[str] = ("title", "description"),
    output_field: str = "text",
) -> Example:
    """One text of several; fields that the example lacks are left out."""
    return {**example, output_field: join([example[f] for f in fields if f in example])}


def filter_langid(
    dataset: tf.data.Dataset,
    lang_code: str,
    lang_detector: Any,
    text_key: str = "text",
    threshold: float = 0.95,
) -> tf.data.Dataset:
    """Keeps the texts that a detector is sure are of one language.

    Args:
      dataset: with `text_key`.
      lang_code: of the language to keep.
      lang_detector: `find_language(text=bytes)` gives `is_reliable`, `probability`, `language`.
      text_key: the feature to look at.
      threshold: least probability.
    """
    keep = build_langid_filter(lang_code, lang_detector, threshold)
    return dataset.filter(
        lambda example: tf.ensure_shape(tf.numpy_function(keep, [example[text_key]], tf.bool), [])
    )


def build_langid_filter(
    lang_code: str, lang_detector: Any, threshold: float
) -> Callable[[bytes], bool]:
    """The predicate of `filter_langid`, on one text."""

    def keep(text: bytes) -> bool:
        found = lang_detector.find_language(text=text)
        sure = found.is_reliable and found.probability >= threshold
        return bool(sure and found.language == lang_code)

    return keep
