"""Kernels: which are taken, which match, and what of it chance explains."""

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.figures import kernels
from tests.networks import asking, digits, restored

EDGE = np.array([[1.0, 0, -1]] * 3)


def test_correlations_are_those_of_numpy_and_0_with_what_is_flat():
    rng = np.random.default_rng(0)
    mine, others = rng.normal(size=(3, 4, 4)), rng.normal(size=(2, 4, 4))
    found = kernels.correlations(mine, others)
    expected = np.corrcoef(mine.reshape(3, -1), others.reshape(2, -1))[:3, 3:]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    flat = np.full((1, 3, 3), 0.1)
    assert kernels.correlations(flat, np.stack([EDGE, flat[0]])).tolist() == [[0, 0]]


def test_matches_are_one_to_one_whatever_order_sign_and_scale():
    rng = np.random.default_rng(0)
    mine = rng.normal(size=(5, 4, 4))
    others = np.stack([-3 * mine[4], *rng.normal(size=(2, 4, 4)), 0.5 * mine[1] + 7])
    matches = kernels.match(mine, others)
    assert len(matches) == 4
    assert {(k, m): round(r, 9) for k, m, r in matches[:2]} == {(4, 0): -1, (1, 3): 1}
    assert len({k for k, _, _ in matches}) == len({m for _, m, _ in matches}) == 4
    sizes = [abs(r) for _, _, r in matches]
    assert sizes == sorted(sizes, reverse=True)
    assert kernels.mean_matched(matches) == pytest.approx(sum(sizes) / 4)


def test_the_sum_counts_and_not_the_best_single_match():
    x, y, z = np.linalg.qr(np.diff(np.eye(9)[:, ::2]))[0].T[:3].reshape(3, 3, 3)
    mine = np.stack([0.6 * x + 0.5 * y, 0.6 * x + z])
    assert kernels.correlations(mine, np.stack([x, y])).argmax(axis=1).tolist() == [0, 0]
    matches = kernels.match(mine, np.stack([x, y]))
    assert {(k, m) for k, m, _ in matches} == {(0, 1), (1, 0)}


def test_chance_is_the_same_every_time_and_what_random_kernels_reach():
    mine, others = np.zeros((6, 5, 5)), np.zeros((24, 5, 5))
    found = kernels.chance(mine, others, kernels.white_noise)
    assert found == kernels.chance(mine, others, kernels.white_noise)
    rng = np.random.default_rng(8)
    drawn = [
        kernels.mean_matched(
            kernels.match(rng.normal(size=mine.shape), rng.normal(size=others.shape))
        )
        for _ in range(200)
    ]
    assert found == pytest.approx(np.mean(drawn), abs=0.02)
    assert kernels.chance(mine[:1], others[:1], kernels.white_noise) < found / 2


def test_smooth_noise_is_as_smooth_as_the_kernels():
    rng = np.random.default_rng(0)
    stripes = np.cos(np.arange(6) + rng.uniform(0, 7, size=(40, 1)))[:, None] * np.ones((6, 1))

    def covariances(found):
        """At the lags (0, 0), (0, 1), (1, 0): sums over a kernel."""
        pairs = (
            (found, found),
            (found[:, :, 1:], found[:, :, :-1]),
            (found[:, 1:], found[:, :-1]),
        )
        return np.array([np.mean(np.sum(a * b, axis=(1, 2))) for a, b in pairs])

    noise = np.concatenate([kernels.smooth_noise(stripes, rng) for _ in range(200)])
    expected = covariances(stripes - stripes.mean(axis=(1, 2), keepdims=True))
    # Fewer pairs of pixels lie a pixel apart, and in the noise all are equally alike.
    np.testing.assert_allclose(covariances(noise), expected * [1, 5 / 6, 5 / 6], rtol=0.05)
    white = covariances(rng.normal(size=noise.shape))
    assert abs(white[2] / white[0]) < 0.1 < 0.7 < expected[2] / expected[0]
    assert kernels.chance(stripes, stripes, kernels.smooth_noise) > 1.3 * kernels.chance(
        stripes, stripes, kernels.white_noise
    )


def test_the_first_layer_that_sees_pixels_is_taken(tiny_config):
    convs = restored(asking(tiny_config), digits())
    found = kernels.first_kernels(convs)
    kernel = convs.params["params"]["encoder"]["convs"]["conv0_kernel"]
    assert found.shape == (4, 5, 5)
    assert found[3, 1, 2] == kernel[1, 2, 0, 3]
    config = asking(tiny_config)
    config.model.convs, config.model.dense = (), (20,)
    dense = restored(config, digits())
    found = kernels.first_kernels(dense)
    weights = dense.params["params"]["encoder"]["dense0"]["kernel"]
    assert found.shape == (16, 28, 28)
    assert found[15, 3, 4] == weights[3 * 28 + 4, 15]
    config.model.dense = ()
    assert kernels.first_kernels(restored(config, digits())) is None


def test_the_title_says_how_alike_the_kernels_are(tiny_config):
    config = asking(tiny_config)
    mine = restored(config, digits())
    alone = kernels.draw_kernels(mine, None)
    assert alone.texts[0].get_text().startswith("4 first kernels of 5×5 (sum, step 4)\n")
    assert len(alone.axes[0].images) == 4
    itself = kernels.draw_kernels(mine, mine)
    assert "mean |r| of the matches 1.00; of random kernels 0." in itself.texts[0].get_text()
    assert "the same seed" in itself.texts[0].get_text()
    assert [text.get_text() for text in itself.axes[0].texts] == ["r +1.00"] * 4
    other = config.copy_and_resolve_references()
    other.model.convs = ((7, 5, True),)
    wider = kernels.draw_kernels(mine, restored(other, digits()))
    assert len(wider.axes[0].images) == 4 + 7
    assert "the same seed" not in wider.texts[0].get_text()
    drawn = sorted(image.get_array().max() for image in wider.axes[0].images)
    assert drawn[-1] <= 1


def test_kernels_of_another_size_are_refused(tiny_config):
    config = asking(tiny_config)
    mine = restored(config, digits())
    other = config.copy_and_resolve_references()
    other.model.convs = ((4, 3, True),)
    with pytest.raises(UserError, match=r"kernels of that run are 3×3, not 5×5: expected"):
        kernels.draw_kernels(mine, restored(other, digits()))


def test_of_a_layer_that_sees_colours_the_mean_over_them_is_drawn(tiny_config):
    coloured = digits(frame_shape=(17, 23, 3))
    config = asking(tiny_config)
    convs = restored(config, coloured)
    kernel_HxWxCxK = convs.params["params"]["encoder"]["convs"]["conv0_kernel"]
    found = kernels.first_kernels(convs)
    np.testing.assert_allclose(found[3], kernel_HxWxCxK[..., 3].mean(axis=-1), rtol=1e-6)
    config.model.convs, config.model.dense = (), (20,)
    dense = restored(config, coloured)
    weights_PxK = dense.params["params"]["encoder"]["dense0"]["kernel"]
    found = kernels.first_kernels(dense)
    assert found.shape == (16, 17, 23)
    expected = weights_PxK[:, 5].reshape(17, 23, 3).mean(axis=-1)
    np.testing.assert_allclose(found[5], expected, rtol=1e-6)
