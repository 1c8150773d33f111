"""Tiny deterministic models in GGUF: whatever is asked, a model says its one sentence and stops.

A llama of one layer whose attention and feed-forward are zero, so that the next token depends on the last one alone:
after any token comes the sentence (one token of the vocabulary), and after the sentence the end. No library is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import accumulate

WIDTH, HEADS, CONTEXT = 64, 4, 2048
ALIGNMENT = 32
UINT32, FLOAT32, BOOL, STRING, ARRAY, INT32 = 4, 6, 7, 8, 9, 5
"""GGUF's types of values."""
CONTROL, UNKNOWN, USER_DEFINED, BYTE = 3, 2, 4, 6
"""GGUF's types of tokens."""
Matrix = tuple[tuple[int, ...], bytes]
"""Shape, the fastest dimension first, and float32 values."""


def model(says: str, size: int = 0, *, embeds: bool = False) -> bytes:
    """The bytes of a GGUF file of at least `size` bytes. `embeds`: Ollama takes it for an embedding model."""
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256)), says.encode()]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, USER_DEFINED]
    # The feed-forward's three matrices are zero whatever their width: they make a model as large as a test needs.
    inner = max(WIDTH, -(-size // (3 * WIDTH * 4)))
    facts = {
        "general.architecture": _string("llama"),
        "general.file_type": _uint(0),
        "llama.context_length": _uint(CONTEXT),
        "llama.embedding_length": _uint(WIDTH),
        "llama.block_count": _uint(1),
        "llama.feed_forward_length": _uint(inner),
        "llama.attention.head_count": _uint(HEADS),
        "llama.attention.head_count_kv": _uint(HEADS),
        "llama.attention.layer_norm_rms_epsilon": (FLOAT32, struct.pack("<f", 1e-5)),
        "llama.rope.dimension_count": _uint(WIDTH // HEADS),
        "llama.vocab_size": _uint(len(tokens)),
        "tokenizer.ggml.model": _string("llama"),
        "tokenizer.ggml.pre": _string("default"),
        "tokenizer.ggml.tokens": _array(STRING, [_text(token) for token in tokens]),
        "tokenizer.ggml.scores": _array(FLOAT32, [struct.pack("<f", 0.0)] * len(tokens)),
        "tokenizer.ggml.token_type": _array(INT32, [struct.pack("<i", kind) for kind in kinds]),
        "tokenizer.ggml.bos_token_id": _uint(1),
        "tokenizer.ggml.eos_token_id": _uint(2),
        "tokenizer.ggml.unknown_token_id": _uint(0),
        "tokenizer.ggml.add_bos_token": (BOOL, b"\x01"),
    }
    if embeds:
        facts["llama.pooling_type"] = _uint(1)  # the mean over the tokens
    return _file(facts, _weights(len(tokens), inner))


def _weights(vocabulary: int, inner: int) -> dict[str, Matrix]:
    """Any token lights dimension 0, the sentence (the last token) dimension 1; 0 asks for the sentence, 1 for the end."""
    sentence, end = vocabulary - 1, 2
    embedding = [[float(column == (1 if row == sentence else 0)) for column in range(WIDTH)] for row in range(vocabulary)]
    output = [[20.0 * ((row, column) in {(sentence, 0), (end, 1)}) for column in range(WIDTH)] for row in range(vocabulary)]
    ones = ((WIDTH,), struct.pack(f"<{WIDTH}f", *[1.0] * WIDTH))
    return {
        "token_embd.weight": _matrix(embedding),
        "output_norm.weight": ones,
        "output.weight": _matrix(output),
        "blk.0.attn_norm.weight": ones,
        "blk.0.ffn_norm.weight": ones,
        **{f"blk.0.attn_{name}.weight": _zeros(WIDTH, WIDTH) for name in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": _zeros(WIDTH, inner),
        "blk.0.ffn_up.weight": _zeros(WIDTH, inner),
        "blk.0.ffn_down.weight": _zeros(inner, WIDTH),
    }


def _matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    values = [value for row in rows for value in row]
    return (len(rows[0]), len(rows)), struct.pack(f"<{len(values)}f", *values)


def _zeros(width: int, height: int) -> Matrix:
    return (width, height), bytes(4 * width * height)


def _text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def _string(text: str) -> tuple[int, bytes]:
    return STRING, _text(text.encode())


def _uint(number: int) -> tuple[int, bytes]:
    return UINT32, struct.pack("<I", number)


def _array(kind: int, items: Sequence[bytes]) -> tuple[int, bytes]:
    return ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(items)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % ALIGNMENT)


def _file(facts: Mapping[str, tuple[int, bytes]], weights: Mapping[str, Matrix]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(facts))
    described = [_text(name.encode()) + struct.pack("<I", kind) + value for name, (kind, value) in facts.items()]
    blobs = [_padded(values) for _, values in weights.values()]
    offsets = accumulate((len(blob) for blob in blobs), initial=0)
    for (name, (shape, _)), offset in zip(weights.items(), offsets, strict=False):
        described.append(_text(name.encode()) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset))
    return _padded(head + b"".join(described)) + b"".join(blobs)
