"""Serves a random llama of a few thousand weights with llama.cpp's own HTTP server, and prints its address.

Runs in an interpreter that has ``xllamacpp`` (llama.cpp in a wheel) and ``gguf``; see test_real_servers.py.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH, INNER, LAYERS, HEADS, KV_HEADS = 32, 64, 2, 4, 2


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return sorted([*map(chr, printable), *(chr(256 + number) for number, _ in enumerate(rest))])


def write(path: Path, context: int) -> None:
    """A model in llama.cpp's format, its weights drawn with a fixed seed."""
    generator = np.random.default_rng(0)
    control = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    plain = [*byte_alphabet(), "th"]  # one merge: llama.cpp insists on having some
    tokens = control + plain
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(context)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([gguf.TokenType.CONTROL] * len(control) + [gguf.TokenType.NORMAL] * len(plain))
    out.add_token_merges(["t h"])
    out.add_pad_token_id(0)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)
    head = WIDTH // HEADS
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm": (WIDTH,),
            f"blk.{layer}.attn_q": (WIDTH, WIDTH),
            f"blk.{layer}.attn_k": (KV_HEADS * head, WIDTH),
            f"blk.{layer}.attn_v": (KV_HEADS * head, WIDTH),
            f"blk.{layer}.attn_output": (WIDTH, WIDTH),
            f"blk.{layer}.ffn_norm": (WIDTH,),
            f"blk.{layer}.ffn_gate": (INNER, WIDTH),
            f"blk.{layer}.ffn_up": (INNER, WIDTH),
            f"blk.{layer}.ffn_down": (WIDTH, INNER),
        }
    for name, shape in shapes.items():
        weights = np.ones(shape) if len(shape) == 1 else 0.2 * generator.standard_normal(shape)
        out.add_tensor(f"{name}.weight", weights.astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main() -> None:
    """Serves until it is ended."""
    path, context = Path(sys.argv[1]) / "tiny.gguf", int(sys.argv[3])
    write(path, context)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context
    params.n_parallel = 2
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[2])
    params.use_jinja = True
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
