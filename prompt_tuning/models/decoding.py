# SPDX-License-Identifier: Apache-2.0
"""The searches a model can decode with, under the names they have in T5X's `decoding`.

`temperature_sample` and `beam_search` take the same leading arguments, `(inputs, cache,
tokens_to_logits, eos_id)`, and return tokens `[B, K, L]` with scores `[B, K]`, best last. They
know nothing of networks.
"""

from prompt_tuning.models import beams, decoding_state, sampling

DecodingState = decoding_state.DecodingState
TokensToLogits = decoding_state.TokensToLogits
SamplingLoopState = sampling.SamplingLoopState
beam_search = beams.beam_search
brevity_penalty = beams.brevity_penalty
temperature_sample = sampling.temperature_sample
