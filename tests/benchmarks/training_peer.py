# SPDX-License-Identifier: Apache-2.0
"""PEFT's side of training_benchmark: PyTorch, transformers and PEFT, in their own environment.

  python training_peer.py REQUEST.json

Answers the commands of `training_worker`, in the same words, and makes the models for both.
Imports nothing of this repository.
"""

import functools
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


_DEVICES = {"cpu": "cpu", "gpu": "cuda"}
# A product that fills the processor, or a card.
_MATMUL_SIZES = {"cpu": 2048, "gpu": 8192}
_PRODUCTS = {"cpu": 1, "gpu": 20}


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
    torch.set_default_dtype(getattr(torch, request["dtype"]))
    with torch.device(_DEVICES[request["device"]]):  # A card draws 11 billion numbers in seconds.
        model = transformers.T5ForConditionalGeneration(config)
        # transformers 5 ties the two in every new model.
        model.lm_head.weight = torch.nn.Parameter(0.05 * torch.randn_like(model.shared.weight))
    model.save_pretrained(request["folder"], max_shard_size="4GB")


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
        self.device = _DEVICES[request["device"]]
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

    def step(self, batch: dict) -> torch.Tensor:
        """One update, without waiting for a device; the loss."""
        loss = self.model(**features(batch, self.device)).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def check(self, batch: dict, path: str) -> None:
        """Writes logits and the prompt's gradient, before the first step."""
        output = self.model(**features(batch, self.device))
        output.loss.backward()
        np.savez(
            path,
            logits=output.logits.detach().float().cpu().numpy(),
            gradient=self.table.grad.float().cpu().numpy(),
        )
        self.optimizer.zero_grad()


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
    """GFLOP of a square product in the run's dtype per CPU-second, on a device per second."""
    device = request["device"]
    size, count = _MATMUL_SIZES[device], _PRODUCTS[device]
    clock = time.process_time if device == "cpu" else time.perf_counter
    a = torch.randn(size, size, device=_DEVICES[device]).to(getattr(torch, request["dtype"]))
    a @ a
    seconds = []
    for _ in range(5):
        synchronize()
        began = clock()
        for _ in range(count):
            a @ a
        synchronize()
        seconds.append((clock() - began) / count)
    return 2e-9 * size**3 / float(np.median(seconds))


def synchronize() -> None:
    """Waits for the device, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes() -> int:
    """The process's largest resident size, by the kernel."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


class Server:
    """Answers the commands of `training_worker`."""

    def __init__(self, trained: Trained, request: dict):
        self.trained, self.request = trained, request
        self.batches = []
        if "batch" in request:
            self.batch(request["batch"])

    def one_epoch(self):
        return self.batches or text_batches(self.request)

    def batch(self, path: str) -> dict:
        with np.load(path) as file:
            self.batches = [dict(file)]
        return {}

    def check(self) -> None:
        if "check" in self.request:
            with np.load(self.request["check"]["batch"]) as file:
                self.trained.check(dict(file), self.request["check"]["result"])

    def first_step(self) -> dict:
        began = time.perf_counter()
        loss = self.trained.step(next(iter(self.one_epoch()))).item()
        return {"cpu": time.process_time(), "step": time.perf_counter() - began, "loss": loss}

    def run(self, count: str = "1", waits: bool = False) -> dict:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(int(count)):
            for batch in self.one_epoch():
                loss = self.trained.step(batch)
                if waits:
                    synchronize()
        loss = loss.item()  # Waits for the device.
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return {"cpu": cpu / int(count), "wall": wall / int(count), "loss": loss}

    def peak(self) -> dict:
        found = {"bytes": peak_bytes()}
        if torch.cuda.is_available():
            found["device_bytes"] = torch.cuda.max_memory_allocated()
        return found

    def answer(self, command: str) -> dict:
        name, *arguments = command.split()
        commands = {
            "pass": self.run,
            "wait": functools.partial(self.run, waits=True),
            "batch": self.batch,
            "peak": self.peak,
            "matmul": lambda: {"gflops": matmul_rate(self.request)},
        }
        try:
            return commands[name](*arguments)
        except torch.OutOfMemoryError:
            return {"out_of_memory": True}


def serve(request: dict) -> None:
    """Runs the check and the first step, then one command a line; answers are JSON lines."""
    began = time.perf_counter()
    trained = Trained(request)
    synchronize()
    loaded = time.perf_counter() - began
    server = Server(trained, request)
    server.check()
    if "batch" not in request and "texts" not in request:
        print("{}", flush=True)
        return
    about = {module.__name__: module.__version__ for module in (torch, transformers, peft)}
    print(json.dumps(server.first_step() | {"load": loaded, "about": about}), flush=True)
    for line in sys.stdin:
        print(json.dumps(server.answer(line)), flush=True)


_MODES = {"serve": serve, "make_model": make_model}


def main() -> None:
    transformers.logging.set_verbosity_error()
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    _MODES[request["mode"]](request)


if __name__ == "__main__":
    main()
