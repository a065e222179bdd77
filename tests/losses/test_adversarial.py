import pytest
import torch

from sk_ssimae.losses import L1Loss, VariationalL1Loss, gradient_penalty, kl_divergence


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_penalty_of_a_linear_critic_is_that_of_its_weights():
    weights = draw(2, 3, 3)
    penalty = gradient_penalty(
        lambda x: (weights * x).flatten(1).sum(dim=1),
        [draw(4, 2, 3, 3)],
        [draw(4, 2, 3, 3, seed=1)],
    )
    torch.testing.assert_close(penalty, (weights.norm() - 1) ** 2)


def test_the_norm_is_that_of_all_inputs_together():
    pairs = [draw(5, 1, 2, 2), draw(5, 3)]
    critic = lambda x, z: 3 * x[:, 0, 0, 0] + 4 * z[:, 1]  # noqa: E731
    torch.testing.assert_close(gradient_penalty(critic, pairs, pairs), torch.tensor(16.0).double())


def test_it_is_taken_between_the_two():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.sum(dim=1)

    real, generated = torch.ones(50, 3), torch.zeros(50, 3)
    generator = torch.Generator().manual_seed(0)
    gradient_penalty(critic, [real], [generated], generator=generator)
    (mixed,) = seen
    assert ((mixed >= 0) & (mixed <= 1)).all()
    assert (mixed == mixed[:, :1]).all()  # One share for each input.
    assert mixed.std() > 0.2


def test_its_gradient_reaches_the_critic_alone():
    layer = torch.nn.Linear(3, 1, dtype=torch.float64)
    real = draw(4, 3).requires_grad_()
    gradient_penalty(lambda x: layer(x)[:, 0], [real], [draw(4, 3, seed=1)]).backward()
    assert layer.weight.grad.abs().sum() > 0
    assert real.grad is None


def test_a_generator_gives_the_same_penalty_and_leaves_the_global_one():
    def penalty():
        generator = torch.Generator().manual_seed(3)
        return gradient_penalty(
            lambda x: x.pow(3).sum(dim=1), [draw(4, 3)], [draw(4, 3, seed=1)], generator=generator
        )

    state = torch.get_rng_state()
    assert torch.equal(penalty(), penalty())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_constant_critic_has_a_finite_gradient():
    weight = torch.zeros(3, requires_grad=True)
    penalty = gradient_penalty(lambda x: x @ weight, [torch.rand(2, 3)], [torch.rand(2, 3)])
    penalty.backward()
    assert penalty.item() == pytest.approx(1, rel=1e-5)
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("real", "generated", "error", "message"),
    [
        ([draw(2, 3)], [draw(2, 4)], ValueError, "real and generated must have the same shapes"),
        ([], [], ValueError, "real and generated must have the same shapes"),
        ([draw(0, 3)], [draw(0, 3)], ValueError, "with N of at least 1"),
        (draw(2, 3), [draw(2, 3)], TypeError, "real must be a list or tuple of floating-point ten"),
        ([draw(2, 3)], [None], TypeError, "generated must be a list or tuple of floating-point"),
    ],
)
def test_wrong_inputs_of_the_penalty(real, generated, error, message):
    with pytest.raises(error, match=message):
        gradient_penalty(lambda x: x.sum(dim=1), real, generated)


def test_variational_l1_is_the_sum_of_both():
    output = draw(2, 1, 4, 4), draw(2, 3, seed=1), draw(2, 3, seed=2)
    target = draw(2, 1, 4, 4, seed=3)
    expected = L1Loss()(output[0], target) + 5 * kl_divergence(*output[1:]).mean()
    torch.testing.assert_close(VariationalL1Loss(5)(output, target), expected)
    with pytest.raises(ValueError, match="kl_weight must be"):
        VariationalL1Loss(-1)
