"""BERT for sentence vectors, on packed tokens: what MiniLM computes, and nothing that it does not need.

All matrix products and norms run on one matrix of the batch's real tokens, without padding; only inside
attention are the texts padded to the longest of the batch.  Query, key and value are one product.  The
layers are Devlin et al., "BERT" (2019), post-norm, with exact GELU; the tests compare with ``transformers``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention


class BertShape(NamedTuple):
    """The sizes that the weights do not tell, from the model's ``config.json``."""

    layers: int
    heads: int
    epsilon: float


class _Layer(NamedTuple):
    """Weights of one layer: (out, in) matrices and their biases."""

    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    out_bias: Tensor
    out_norm: tuple[Tensor, Tensor]
    up: Tensor
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor
    down_norm: tuple[Tensor, Tensor]


class Bert:
    """An encoder-only transformer with mean pooling.

    Parameters
    ----------
    weights
        By the names of ``BertModel.state_dict``; any prefix is left to the caller.
    dtype, device
        Of weights and arithmetic.

    Raises
    ------
    KeyError
        A weight is missing.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], shape: BertShape, *, dtype: torch.dtype, device: str
    ) -> None:
        self._shape = shape
        self._device = device
        w = {name: tensor.to(device=device, dtype=dtype) for name, tensor in weights.items()}
        self._words = w["embeddings.word_embeddings.weight"]
        # Every text is of segment 0: its vector is part of each position's.
        segment = w["embeddings.token_type_embeddings.weight"][0]
        self._positions = w["embeddings.position_embeddings.weight"] + segment
        self._norm = (w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"])
        self._layers = [_layer(w, f"encoder.layer.{i}.") for i in range(shape.layers)]
        self.dim = int(self._words.shape[1])

    @torch.inference_mode()
    def encode(self, batch: Sequence[Sequence[int]]) -> Tensor:
        """Mean of the last layer's token vectors, of length 1: float32, shape (len(batch), dim)."""
        lengths = torch.tensor([len(tokens) for tokens in batch], device=self._device)
        ids = torch.tensor([token for tokens in batch for token in tokens], device=self._device)
        places = torch.cat([torch.arange(len(tokens), device=self._device) for tokens in batch])
        owner = torch.repeat_interleave(torch.arange(len(batch), device=self._device), lengths)
        x = self._normed(self._words[ids] + self._positions[places], self._norm)
        layout = _Layout.of(lengths, owner, places, x.dtype)
        for layer in self._layers:
            x = self._forward(x, layer, layout)
        sums = torch.zeros(len(batch), self.dim, device=self._device).index_add_(0, owner, x.float())
        return F.normalize(sums / lengths.unsqueeze(1), dim=1)

    def _forward(self, x: Tensor, layer: _Layer, layout: "_Layout") -> Tensor:
        attended = self._attend(F.linear(x, layer.qkv, layer.qkv_bias), layout)
        x = self._normed(x + F.linear(attended, layer.out, layer.out_bias), layer.out_norm)
        hidden = F.gelu(F.linear(x, layer.up, layer.up_bias))
        return self._normed(x + F.linear(hidden, layer.down, layer.down_bias), layer.down_norm)

    def _attend(self, qkv: Tensor, layout: "_Layout") -> Tensor:
        """Self-attention inside each text: (tokens, 3 * dim) to (tokens, dim)."""
        texts, longest = layout.texts, layout.longest
        heads = self._shape.heads
        padded = qkv.new_zeros(texts * longest, qkv.shape[1]).index_copy_(0, layout.cell, qkv)
        q, k, v = padded.view(texts, longest, 3, heads, -1).permute(2, 0, 3, 1, 4)
        scores = torch.matmul(q, k.transpose(-1, -2)) * (q.shape[-1] ** -0.5)
        weights = torch.softmax(scores + layout.mask, dim=-1)
        mixed = torch.matmul(weights, v).transpose(1, 2).reshape(texts * longest, self.dim)
        return mixed.index_select(0, layout.cell)

    def _normed(self, x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(x, (self.dim,), *norm, self._shape.epsilon)


class _Layout(NamedTuple):
    """Where each packed token stands in the padded (texts, longest) grid."""

    texts: int
    longest: int
    cell: Tensor
    mask: Tensor

    @classmethod
    def of(cls, lengths: Tensor, owner: Tensor, places: Tensor, dtype: torch.dtype) -> "_Layout":
        longest = int(lengths.max())
        beyond = torch.arange(longest, device=lengths.device) >= lengths.unsqueeze(1)
        mask = torch.zeros(len(lengths), 1, 1, longest, dtype=dtype, device=lengths.device)
        mask.masked_fill_(beyond.view(len(lengths), 1, 1, longest), torch.finfo(dtype).min)
        return cls(len(lengths), longest, owner * longest + places, mask)


def _layer(w: Mapping[str, Tensor], prefix: str) -> _Layer:
    def norm(name: str) -> tuple[Tensor, Tensor]:
        return w[f"{prefix}{name}.LayerNorm.weight"], w[f"{prefix}{name}.LayerNorm.bias"]

    def joined(kind: str) -> Tensor:
        return torch.cat([w[f"{prefix}attention.self.{name}.{kind}"] for name in ("query", "key", "value")])

    return _Layer(
        qkv=joined("weight"),
        qkv_bias=joined("bias"),
        out=w[f"{prefix}attention.output.dense.weight"],
        out_bias=w[f"{prefix}attention.output.dense.bias"],
        out_norm=norm("attention.output"),
        up=w[f"{prefix}intermediate.dense.weight"],
        up_bias=w[f"{prefix}intermediate.dense.bias"],
        down=w[f"{prefix}output.dense.weight"],
        down_bias=w[f"{prefix}output.dense.bias"],
        down_norm=norm("output"),
    )
