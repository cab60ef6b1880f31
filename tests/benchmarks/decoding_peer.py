# SPDX-License-Identifier: Apache-2.0
"""PEFT's side of decoding_benchmark: PyTorch, transformers and PEFT, in their own environment.

  python decoding_peer.py REQUEST.json

Makes a random T5 1.1 for both sides, says so in a line, then answers one command a line in JSON.
A prompt is an adapter here; a batch has one, so tasks that differ are one pass each. Imports nothing
of this repository.
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


def make_model(request: dict) -> transformers.T5ForConditionalGeneration:
    """A random model with a head of its own, in which padding and EOS are never likely."""
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
    head = 0.05 * torch.randn_like(model.shared.weight)
    head[:2] = 0.0
    model.lm_head.weight = torch.nn.Parameter(head)
    model.save_pretrained(request["folder"])
    return model.eval()


class Peer:
    """A frozen model with its adapters, and the inputs."""

    def __init__(self, request: dict):
        torch.set_num_threads(request["threads"])
        device = {"cpu": "cpu", "gpu": "cuda"}[request["device"]]
        dtype = getattr(torch, request["dtype"])
        base = make_model(request).to(device, dtype)
        with np.load(request["arrays"]) as file:
            self.tokens = torch.tensor(file["tokens"], device=device).long()
            prompts = torch.tensor(file["prompts"], device=device, dtype=dtype)
        self.length = request["targets_length"]
        settings = peft.PromptTuningConfig(
            task_type="SEQ_2_SEQ_LM",
            num_virtual_tokens=prompts.shape[1],
            num_transformer_submodules=1,
        )
        self.names = [f"task{i}" for i in range(len(prompts))]
        self.model = peft.get_peft_model(base, settings, adapter_name=self.names[0])
        for name in self.names[1:]:
            self.model.add_adapter(name, settings)
        for name, prompt in zip(self.names, prompts, strict=True):
            self.model.prompt_encoder[name].embedding.weight.data = prompt
        self.model.set_adapter(self.names[0])
        self.model.eval()

    def _generate(self, tokens: torch.Tensor, beams: int) -> np.ndarray:
        with torch.no_grad():
            found = self.model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=self.length,
                eos_token_id=None,  # Every answer has the same length.
                do_sample=False,
                num_beams=beams,
                length_penalty=0.0,
            )
        return found[:, 1:].cpu().numpy()  # Without the start; waits for a device.

    def one_prompt(self, beams: int) -> np.ndarray:
        """All rows with the first prompt, in one pass."""
        return self._generate(self.tokens, beams)

    def every_prompt(self, beams: int) -> np.ndarray:
        """Row i with prompt i modulo their number, in one pass for each prompt."""
        found = np.zeros((len(self.tokens), self.length), np.int64)
        for i, name in enumerate(self.names):
            self.model.set_adapter(name)
            found[i :: len(self.names)] = self._generate(self.tokens[i :: len(self.names)], beams)
        self.model.set_adapter(self.names[0])
        return found

    def logits(self) -> np.ndarray:
        """Of the first decoder position, all rows with the first prompt."""
        with torch.no_grad():
            output = self.model(
                input_ids=self.tokens,
                attention_mask=torch.ones_like(self.tokens),
                labels=torch.full_like(self.tokens[:, :1], 3),
            )
        return output.logits.float().cpu().numpy()


def main() -> None:
    """Serves until the input ends."""
    transformers.logging.set_verbosity_error()
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    peer = Peer(request)
    versions = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        cpu, wall = time.process_time(), time.perf_counter()
        result = getattr(peer, name)(*arguments)
        seconds = time.process_time() - cpu, time.perf_counter() - wall
        np.save(request["result"], result)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
