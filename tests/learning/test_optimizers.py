"""Which parameters learn how fast, and which shrink."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rhoa.learning import as_coded, recipes

pytestmark = pytest.mark.torch


def test_the_head_learns_as_much_faster_as_the_code_says() -> None:
    """Of the paper's code: weights of the new layer x1920, biases x1000, so 0.192 and 0.1."""
    from rhoa.learning.network import build_network, build_optimizer, set_learning_rate, with_head

    recipe = as_coded(recipes["model-3"])
    network = with_head(build_network(), recipe)
    optimizer = build_optimizer(network, recipe)
    set_learning_rate(optimizer, 1e-4)

    rates = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert rates[id(network.fc.weight)] == pytest.approx((0.192, 1e-4))
    assert rates[id(network.fc.bias)] == pytest.approx((0.1, 0))
    assert rates[id(network.layer1[0].conv1.weight)] == pytest.approx((1e-4, 1e-4))
    for scale in network.layer1[0].bn1.parameters():  # and offset: MATLAB decays both
        assert rates[id(scale)] == pytest.approx((1e-4, 1e-4))
    assert id(network.conv1.weight) not in rates
    assert len(rates) == sum(p.requires_grad for p in network.parameters())


def test_batch_normalisation_decays_only_where_the_recipe_says_so() -> None:
    from rhoa.learning.network import build_network, build_optimizer

    network = build_network()
    optimizer = build_optimizer(network, replace(recipes["model-1"], weight_decay=0.01))

    decays = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    found = {name: decays[id(parameter)] for name, parameter in network.named_parameters()}
    assert {name for name, decay in found.items() if decay == 0} == {
        name for name, parameter in network.named_parameters() if parameter.ndim == 1
    }


@pytest.mark.parametrize(("name", "kind"), [("model-1", "Adam"), ("modern", "AdamW")])
def test_the_recipe_names_the_optimizer(name: str, kind: str) -> None:
    from rhoa.learning.network import build_network, build_optimizer

    optimizer = build_optimizer(build_network(), recipes[name])

    assert type(optimizer).__name__ == kind
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}
