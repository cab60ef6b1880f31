# SPDX-License-Identifier: Apache-2.0
"""PEFT's side of memory_benchmark, in its own environment; imports nothing of this repository.

  python memory_peer.py REQUEST.json

The request's `mode` is `make_model` (a random T5 1.1, saved) or `train` (two steps, then figures).
"""

import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import peft
import torch
import transformers


def make_model(request: dict) -> None:
    """Saves a random T5 1.1 without dropout, whose head is its own."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        **request["sizes"],
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    model = transformers.T5ForConditionalGeneration(config)
    # transformers 5 ties the two in every new model.
    model.lm_head.weight = torch.nn.Parameter(0.05 * torch.randn_like(model.shared.weight))
    model.save_pretrained(request["folder"])


def train(request: dict) -> dict:
    """Two steps of prompt tuning; what the second took, and the process's largest size."""
    torch.set_num_threads(request["threads"])
    prompt = torch.tensor(np.load(request["prompt"]))
    dtype = getattr(torch, request["dtype"])
    base = transformers.AutoModelForSeq2SeqLM.from_pretrained(request["folder"], dtype=dtype)
    settings = peft.PromptTuningConfig(
        task_type="SEQ_2_SEQ_LM",
        num_virtual_tokens=prompt.shape[0],
        num_transformer_submodules=1,
    )
    model = peft.get_peft_model(base, settings)
    model.prompt_encoder["default"].embedding.weight.data = prompt.to(dtype)
    if request["checkpointing"]:
        base.gradient_checkpointing_enable({"use_reentrant": False})
        base.enable_input_require_grads()
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with np.load(request["batch"]) as file:
        tokens = torch.tensor(file["encoder_input_tokens"]).long()
        labels = torch.tensor(file["decoder_target_tokens"]).long()
    losses, seconds = [], []
    for _ in range(2):
        began = time.process_time()
        loss = model(input_ids=tokens, attention_mask=(tokens > 0).long(), labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.process_time() - began)
    return {"peak": _peak(), "cpu": seconds[1], "losses": losses}


def _peak() -> int:
    """The process's largest resident size in bytes, by the kernel."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def main() -> None:
    transformers.logging.set_verbosity_error()
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    if request["mode"] == "make_model":
        make_model(request)
    else:
        print(json.dumps(train(request)), flush=True)


if __name__ == "__main__":
    main()
