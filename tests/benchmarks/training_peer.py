# SPDX-License-Identifier: Apache-2.0
"""PEFT's side of training_benchmark: PyTorch, transformers and PEFT, in their own environment.

  python training_peer.py REQUEST.json

Answers the commands of `training_worker`, in the same words, and makes the models for both.
Imports nothing of this repository.
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

_IGNORED = -100  # A label that PyTorch's loss leaves out.


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


def features(batch: dict, device: str) -> dict[str, torch.Tensor]:
    """Arguments of the model for arrays under this project's names."""
    tokens = torch.as_tensor(batch["encoder_input_tokens"], dtype=torch.long, device=device)
    labels = torch.as_tensor(batch["decoder_target_tokens"], dtype=torch.long, device=device)
    labels = labels.masked_fill(labels == 0, _IGNORED)
    return {"input_ids": tokens, "attention_mask": (tokens > 0).long(), "labels": labels}


class Trained:
    """A frozen model with a prompt, and its optimizer."""

    def __init__(self, request: dict):
        torch.set_num_threads(request["threads"])
        self.device = {"cpu": "cpu", "gpu": "cuda"}[request["device"]]
        dtype = getattr(torch, request["dtype"])
        prompt = torch.tensor(np.load(request["prompt"]), dtype=dtype)
        base = transformers.AutoModelForSeq2SeqLM.from_pretrained(request["folder"], dtype=dtype)
        settings = peft.PromptTuningConfig(
            task_type="SEQ_2_SEQ_LM",
            num_virtual_tokens=prompt.shape[0],
            num_transformer_submodules=1,
        )
        self.model = peft.get_peft_model(base, settings).to(self.device)
        self.table = self.model.prompt_encoder["default"].embedding.weight
        self.table.data = prompt.to(self.device)
        if request.get("checkpointing"):
            base.gradient_checkpointing_enable({"use_reentrant": False})
            base.enable_input_require_grads()
        self.model.train()
        self.optimizer = torch.optim.AdamW([self.table], lr=1e-3)

    def step(self, batch: dict) -> float:
        """One update; the loss."""
        loss = self.model(**features(batch, self.device)).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()  # Waits for a device.

    def check(self, batch: dict, path: str) -> None:
        """Writes logits and the prompt's gradient, before the first step."""
        output = self.model(**features(batch, self.device))
        output.loss.backward()
        np.savez(
            path,
            logits=output.logits.detach().float().cpu().numpy(),
            gradient=self.table.grad.float().cpu().numpy(),
        )


def text_batches(request: dict):
    """Batches of the texts, tokenised here, each padded to its longest row: PEFT's practice."""
    with open(request["texts"], encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    pieces = [tuple(piece) for piece in request["pieces"]]
    tokenizer = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    encoded = [
        {**tokenizer(text), "labels": tokenizer(text_target=label)["input_ids"]}
        for text, label in rows
    ]
    collate = transformers.DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=0)
    loader = torch.utils.data.DataLoader(
        encoded, batch_size=request["batch_size"], collate_fn=collate
    )
    for batch in loader:
        yield {
            "encoder_input_tokens": batch["input_ids"],
            "decoder_target_tokens": batch["labels"],
        }


def matmul_rate(request: dict) -> float:
    """GFLOP per CPU-second of a square product in the run's dtype."""
    size = 2048
    a = torch.randn(size, size).to(getattr(torch, request["dtype"]))
    a @ a
    seconds = []
    for _ in range(5):
        began = time.process_time()
        a @ a
        seconds.append(time.process_time() - began)
    return 2e-9 * size**3 / float(np.median(seconds))


def peak_bytes() -> int:
    """The process's largest resident size, by the kernel."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def serve(request: dict) -> None:
    """Runs the check or the first step, then one command a line; answers are JSON lines."""
    trained = Trained(request)
    if "texts" in request:

        def batches():
            return text_batches(request)
    else:
        with np.load(request["batch"]) as file:
            fixed = dict(file)

        def batches():
            return [fixed]

    if "check" in request:
        trained.check(batches()[0], request["check"])
        print("{}", flush=True)
        return
    loss = trained.step(next(iter(batches())))
    answer = {"cpu": time.process_time(), "loss": loss}
    print(json.dumps(answer), flush=True)
    for line in sys.stdin:
        command = line.split()
        if command[0] == "pass":
            cpu, wall = time.process_time(), time.perf_counter()
            for batch in batches():
                loss = trained.step(batch)
            answer = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        elif command[0] == "peak":
            answer = {"bytes": peak_bytes()}
            if torch.cuda.is_available():
                answer["device_bytes"] = torch.cuda.max_memory_allocated()
        elif command[0] == "matmul":
            answer = {"gflops": matmul_rate(request)}
        print(json.dumps(answer), flush=True)


_MODES = {"serve": serve, "make_model": make_model}


def main() -> None:
    transformers.logging.set_verbosity_error()
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    _MODES[request["mode"]](request)


if __name__ == "__main__":
    main()
