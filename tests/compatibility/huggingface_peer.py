# SPDX-License-Identifier: Apache-2.0
"""What huggingface_parity_test asks of PyTorch, transformers and PEFT. Runs in their environment.

  python huggingface_peer.py REQUEST.json

The request is a list of jobs, `{"job": name, ...arguments}`; each writes its results as an npz file.
Imports nothing of this repository.
"""

import json
import os
import sys

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import peft
import safetensors.torch
import torch
import transformers

_SIZES = {
    "vocab_size": 96,
    "d_model": 24,
    "d_kv": 5,
    "d_ff": 40,
    # Not fewer than the decoder has: transformers 5.23 sizes the cache by it.
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
_CLASSES = {"t5": "T5", "mt5": "MT5"}
_NEW_TOKENS = 12


def _inputs(path: str) -> dict[str, torch.Tensor]:
    with np.load(path) as file:
        return {name: torch.tensor(value).long() for name, value in file.items()}


def _results(model, inputs: dict[str, torch.Tensor], output: str, forward: bool = True, **extra):
    """Logits with the targets given, and what greedy search finds."""
    model.eval()
    tokens = inputs["encoder_input_tokens"]
    mask = (tokens > 0).long()
    results = {}
    with torch.no_grad():
        if forward:
            labels = inputs["decoder_target_tokens"]
            results["logits"] = model(
                input_ids=tokens, attention_mask=mask, labels=labels, **extra
            ).logits.numpy()
        found = model.generate(
            input_ids=tokens,
            attention_mask=mask,
            max_new_tokens=_NEW_TOKENS,
            do_sample=False,
            **extra,
        )
    results["tokens"] = found[:, 1:].numpy()  # Without the start.
    np.savez(output, **results)


def make_model(inputs, directory, output, model_type, config, own_head, dtype, form) -> None:
    """A random model, its folder in some form, and its results in float32."""
    torch.manual_seed(len(directory))
    name = _CLASSES[model_type]
    settings = getattr(transformers, f"{name}Config")(**_SIZES, **config)
    model = getattr(transformers, f"{name}ForConditionalGeneration")(settings)
    if own_head:  # transformers 5 ties in every new model.
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight))
    for parameter in model.parameters():
        parameter.data = parameter.data.to(getattr(torch, dtype)).float()
    _results(model, inputs, output)
    model.to(getattr(torch, dtype))
    shards = {"max_shard_size": "20KB"} if form == "shards" else {}
    model.save_pretrained(directory, **shards)
    if form == "pickle":
        state = dict(model.state_dict())
        torch.save(state, os.path.join(directory, "pytorch_model.bin"))
        os.remove(os.path.join(directory, "model.safetensors"))
    if form == "version_4":
        path = os.path.join(directory, "config.json")
        with open(path) as file:
            entries = json.load(file)
        del entries["scale_decoder_outputs"], entries["dense_act_fn"], entries["is_gated_act"]
        with open(path, "w") as file:
            json.dump(entries | {"tie_word_embeddings": not own_head}, file)


def run_model(inputs, directory, output) -> None:
    """Results of a model's folder."""
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float32)
    _results(model, inputs, output)


def train_adapter(inputs, base, directory, output, config, forward, pickle) -> None:
    """Trains an adapter for a few steps, saves it, and gives the results of the saved one."""
    torch.manual_seed(1)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(base, dtype=torch.float32)
    settings = peft.get_peft_config({"task_type": "SEQ_2_SEQ_LM", "num_virtual_tokens": 6} | config)
    model = peft.get_peft_model(model, settings)
    extra = {"task_ids": inputs["task_ids"]} if "num_tasks" in config else {}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.1)
    model.train()
    for _ in range(5):
        tokens = inputs["encoder_input_tokens"]
        labels = inputs["decoder_target_tokens"]
        mask = (tokens > 0).long()
        model(input_ids=tokens, attention_mask=mask, labels=labels, **extra).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(directory, safe_serialization=True)
    run_adapter(inputs, base, directory, output, forward, bool(extra))
    if pickle:
        path = os.path.join(directory, "adapter_model.safetensors")
        torch.save(safetensors.torch.load_file(path), path.replace(".safetensors", ".bin"))
        os.remove(path)


def run_adapter(inputs, base, directory, output, forward=True, tasks=False) -> None:
    """Results of a model with an adapter."""
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(base, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(model, directory)
    extra = {"task_ids": inputs["task_ids"]} if tasks else {}
    _results(model, inputs, output, forward, **extra)


_JOBS = {
    function.__name__: function for function in (make_model, run_model, train_adapter, run_adapter)
}


def main() -> None:
    transformers.logging.set_verbosity_error()
    with open(sys.argv[1]) as file:
        request = json.load(file)
    for job in request["jobs"]:
        arguments = dict(job)
        _JOBS[arguments.pop("job")](_inputs(request["inputs"]), **arguments)


if __name__ == "__main__":
    main()
