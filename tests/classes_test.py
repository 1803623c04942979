import jax
import numpy as np

from crnn_jax.model.classes import Classes, ClassLogits
from tests.networks import apply_head, random_hidden


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def test_the_head_is_a_dense_layer_and_its_answers_a_softmax():
    output, params = apply_head(Classes(3))
    logits = random_hidden() @ params["class"]["kernel"] + params["class"]["bias"]
    np.testing.assert_allclose(output.logits_TxNxK, logits, rtol=1e-5, atol=1e-6)
    answers = output.answers()
    np.testing.assert_array_equal(answers.answer, logits.argmax(axis=-1))
    assert answers.answer.dtype == np.int32
    np.testing.assert_allclose(answers.confidence, softmax(logits).max(axis=-1), rtol=1e-5)
    assert answers.estimate is None


def test_the_loss_is_the_cross_entropy_of_the_right_class():
    logits = np.random.default_rng(0).normal(0, 3, (4, 2, 3)).astype(np.float32)
    targets = np.random.default_rng(1).integers(0, 3, (4, 2))
    right = np.take_along_axis(softmax(logits.astype(np.float64)), targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(ClassLogits(logits).loss(targets), -np.log(right), rtol=1e-5)


def test_the_gradient_is_the_softmax_less_the_right_class():
    logits = np.random.default_rng(0).normal(0, 3, (4, 2, 3)).astype(np.float32)
    targets = np.random.default_rng(1).integers(0, 3, (4, 2))
    found = jax.grad(lambda x: ClassLogits(x).loss(targets).sum())(logits)
    np.testing.assert_allclose(found, softmax(logits) - np.eye(3)[targets], rtol=1e-4, atol=1e-6)
