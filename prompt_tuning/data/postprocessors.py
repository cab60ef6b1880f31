# SPDX-License-Identifier: Apache-2.0
"""From decoded text to what metrics compare; names and arguments as in T5 and prompt-tuning.

Every function takes the decoded text first and accepts SeqIO's keywords (`example`, `is_target`).
Knows no tokens and no model; imports no TensorFlow.
"""

import re
import string
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

UNKNOWN_LABEL = -1
_NO_EXAMPLE: Mapping[str, Any] = types.MappingProxyType({})

_EXTRA_ID_0 = "<extra_id_0>"
_EXAMPLE_FIELDS = ("inputs_pretokenized", "targets_pretokenized")

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)

# Words that do not tell one referent of WSC from another.
_DETERMINERS = frozenset(
    "a an each every few her his many much my our some that the their these this those which "
    "whose your".split()
)


def string_label_to_class_id(
    postprocessed: str, label_classes: Sequence[str], default: int = UNKNOWN_LABEL, **unused
) -> int:
    """Index of a label word in `label_classes`; `default` for any other text."""
    if postprocessed in label_classes:
        return label_classes.index(postprocessed)
    return default


def identity(output: str, *unused, **unused_kwargs) -> str:
    """The text itself."""
    return output


def string_to_float(string: str, default: float = -1.0, **unused) -> float:
    """The number that a text spells; `default` for any other text."""
    try:
        return float(string)
    except ValueError:
        return default


def multirc(
    string_label: str, example: Mapping[str, Any] = _NO_EXAMPLE, is_target: bool = False
) -> dict[str, Any]:
    """{"value": class id of False or True}, and for a target {"group": its question}."""
    result: dict[str, Any] = {"value": string_label_to_class_id(string_label, ("False", "True"))}
    if is_target:
        result["group"] = (int(example["idx/paragraph"]), int(example["idx/question"]))
    return result


def record(
    answer: str, example: Mapping[str, Any] = _NO_EXAMPLE, is_target: bool = False
) -> dict[str, Any]:
    """{"value": answer}; for a target all answers as the value, and {"group": its query}."""
    if not is_target:
        return {"value": answer}
    group = (int(example["idx/passage"]), int(example["idx/query"]))
    return {"value": qa(answer, example, is_target), "group": group}


def qa(
    answer: str, example: Mapping[str, Any] = _NO_EXAMPLE, is_target: bool = False
) -> str | list[str]:
    """The answer; for a target the list of all answers of the example."""
    return [_text(text) for text in example["answers"]] if is_target else answer


def normalize_squad(answer: str) -> str:
    """An answer as SQuAD compares it: lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def wsc_simple(
    prediction: str, example: Mapping[str, Any] = _NO_EXAMPLE, is_target: bool = False
) -> int:
    """1 if the prediction names the span that the example asks about, else 0; -1 if it is empty.

    The words of one must be among the words of the other, determiners and case aside, and both or
    neither have an apostrophe, so that "Bob" is not "Bob's hat". For a target: its label.
    """
    if is_target:
        return int(example["label"])
    given, span = _referent(prediction), _referent(_text(example["targets_pretokenized"]))
    if not given:
        return UNKNOWN_LABEL
    if ("'" in given) != ("'" in span):
        return 0
    given_words, span_words = set(given.split(" ")), set(span.split(" "))
    return int(given_words <= span_words or span_words <= given_words)


def _referent(text: str) -> str:
    return " ".join(word for word in text.strip().lower().split(" ") if word not in _DETERMINERS)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def mrpc_to_qqp(output: str, *unused, **unused_kwargs) -> str:
    """What a model trained on MRPC says, in the words of QQP."""
    return output.replace("equivalent", "duplicate")


def qqp_to_mrpc(output: str, *unused, **unused_kwargs) -> str:
    """What a model trained on QQP says, in the words of MRPC."""
    return output.replace("duplicate", "equivalent")


def remove_extra_id_0(output: str, *unused, **unused_kwargs) -> str:
    """Drops the sentinel that models with span corruption alone put before their answer."""
    return output.removeprefix(_EXTRA_ID_0).lstrip() if output.startswith(_EXTRA_ID_0) else output


def sequential(*functions: Callable[..., Any]) -> Callable[..., Any]:
    """One postprocessor that applies `functions` from left to right with the same keywords."""

    def apply(output: Any, *args, **kwargs) -> Any:
        for function in functions:
            output = function(output, *args, **kwargs)
        return output

    return apply


def postprocess_with_examples(
    postprocess_func: Callable[..., Any],
    decoded_model_output: Any,
    prediction_field: str = "prediction",
    prediction_text_field: str = "prediction_pretokenized",
    example_fields: Sequence[str] = _EXAMPLE_FIELDS,
    decoded_model_output_field: str | None = None,
    **kwargs,
) -> Any:
    """Keeps the texts of the example beside the postprocessed prediction, for text metrics.

    Args:
      postprocess_func: what turns the decoded text into what is compared.
      decoded_model_output: the text, or the dict of an earlier stage of this function.
      prediction_field: key of the result of `postprocess_func`.
      prediction_text_field: key of the text itself.
      example_fields: keys to copy, from `example` or else from the earlier stage's dict.
      decoded_model_output_field: where the text is in the earlier stage's dict.
      **kwargs: SeqIO's `example` and `is_target`, passed on.

    Returns:
      For a target, `postprocess_func`'s result alone; for a prediction the dict.
    """
    if kwargs.get("is_target"):
        return postprocess_func(decoded_model_output, **kwargs)
    earlier: Mapping[str, Any] = {}
    text = decoded_model_output
    if decoded_model_output_field is not None:
        earlier = decoded_model_output
        text = earlier[decoded_model_output_field]
    example = kwargs.get("example") or {}
    return {
        prediction_field: postprocess_func(text, **kwargs),
        prediction_text_field: text,
        **{field: example.get(field, earlier.get(field)) for field in example_fields},
    }
