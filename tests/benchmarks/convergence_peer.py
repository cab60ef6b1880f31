# SPDX-License-Identifier: Apache-2.0
"""PEFT's side of convergence_benchmark, in its own environment: a sweep on files of tokens.

  python convergence_peer.py REQUEST.json

Prints a line of JSON for each setting. Imports nothing of this repository.
"""

import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import peft
import torch
import transformers


def make_model(request: dict, initializer: str):
    """The frozen model with a fresh prompt, and the prompt's table."""
    torch.manual_seed(0)
    base = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        request["folder"], dtype=torch.float32
    )
    settings = peft.PromptTuningConfig(
        task_type="SEQ_2_SEQ_LM",
        num_virtual_tokens=request["length"],
        num_transformer_submodules=1,
    )
    model = peft.get_peft_model(base, settings)
    table = model.prompt_encoder["default"].embedding.weight  # PEFT's RANDOM.
    if initializer == "sampled":
        table.data = torch.tensor(np.load(request["sampled_prompt"]))
    return model, table


def accuracy(model, data) -> float:
    """Share of examples whose own label word is the likelier one."""
    model.eval()
    inputs = torch.tensor(data["eval_inputs"]).long()
    words = torch.tensor(data["label_tokens"]).long()
    with torch.no_grad():
        logits = model(
            input_ids=inputs,
            attention_mask=(inputs > 0).long(),
            labels=words[:1].repeat(len(inputs), 1),
        ).logits[:, 0]
    model.train()
    found = logits[:, words[1, 0]] > logits[:, words[0, 0]]
    return float((found.numpy() == data["eval_labels"]).mean())


def run(request: dict, data, setting: dict) -> dict:
    """Trains until the goal or the last step; seconds are those of the steps alone."""
    model, table = make_model(request, setting["initializer"])
    model.train()
    optimizer = torch.optim.AdamW([table], lr=setting["learning_rate"], weight_decay=0.0)
    batches = np.random.default_rng(0)
    seconds, reached = 0.0, accuracy(model, data)
    curve = [(0, 0.0, reached)]
    for step in range(1, request["steps"] + 1):
        began = time.process_time()
        rows = batches.choice(len(data["inputs"]), setting["batch_size"], replace=False)
        inputs = data["inputs"][rows]
        inputs = torch.tensor(inputs[:, : int((inputs > 0).sum(axis=1).max())]).long()
        labels = torch.tensor(data["label_tokens"][data["labels"][rows]]).long()
        if setting["schedule"] == "linear":
            optimizer.param_groups[0]["lr"] = setting["learning_rate"] * (
                1 - (step - 1) / request["steps"]
            )
        model(input_ids=inputs, attention_mask=(inputs > 0).long(), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds += time.process_time() - began
        if step % request["period"] == 0:
            reached = accuracy(model, data)
            curve.append((step, seconds, reached))
            if reached >= request["goal"]:
                break
    return setting | {"curve": curve}


def main() -> None:
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    with np.load(request["data"]) as file:
        data = dict(file)
    for setting in request["settings"]:
        print(json.dumps(run(request, data, setting)), flush=True)


if __name__ == "__main__":
    main()
