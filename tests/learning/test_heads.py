"""The ordinal head: its loss by hand, and the two-class layer it becomes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rhoa.learning import recipes

pytestmark = pytest.mark.torch

ORDINAL = replace(recipes["modern"], head="ordinal")


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_the_loss_of_grades_is_that_of_three_yes_or_no_questions() -> None:
    """-log sigmoid(z) is softplus(-z), -log(1 - sigmoid(z)) is softplus(z)."""
    import torch

    from rhoa.learning.network import loss_of

    outputs = torch.tensor([[0.5, -1.0, -2.0], [0.5, -1.0, -2.0], [1.5, 1.0, 0.0]])
    kl, label = torch.tensor([0, 3, 4]), torch.tensor([0, 1, 1])
    by_hand = [
        (softplus(0.5) + softplus(-1.0) + softplus(-2.0)) / 3,
        (softplus(-0.5) + softplus(1.0) + softplus(-2.0)) / 3,
        (softplus(-1.5) + softplus(-1.0) + softplus(0.0)) / 3,
    ]

    assert float(loss_of(outputs, label, kl, ORDINAL)) == pytest.approx(sum(by_hand) / 3, rel=1e-6)


def test_a_hip_without_a_grade_answers_the_first_question_alone() -> None:
    import torch

    from rhoa.learning.network import UNGRADED, loss_of

    outputs = torch.tensor([[0.5, 9.0, -9.0]])
    kl = torch.tensor([UNGRADED])

    rhoa, none = (float(loss_of(outputs, torch.tensor([n]), kl, ORDINAL)) for n in (1, 0))

    assert (rhoa, none) == pytest.approx((softplus(-0.5), softplus(0.5)), rel=1e-6)


def test_smoothed_labels_are_spread_evenly() -> None:
    """Both heads: a share of 0.2 leaves 0.9 of the loss of the label, 0.1 of the other one's."""
    import torch

    from rhoa.learning.network import UNGRADED, loss_of

    kl, label = torch.tensor([UNGRADED]), torch.tensor([1])
    expected = 0.9 * softplus(-0.5) + 0.1 * softplus(0.5)
    ordinal = loss_of(torch.tensor([[0.5, 0.0, 0.0]]), label, kl, ORDINAL, smoothing=0.2)
    classes = loss_of(torch.tensor([[0.0, 0.5]]), label, kl, recipes["modern"], smoothing=0.2)

    assert float(ordinal) == pytest.approx(expected, rel=1e-6)
    assert float(classes) == pytest.approx(expected, rel=1e-6)


def test_an_ordinal_network_becomes_two_classes_of_the_same_probability() -> None:
    import torch

    from rhoa.learning.network import build_network, class_logits, with_classes, with_head

    images = torch.randn((3, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    plain = build_network(seed=1).eval()
    before = plain(images).softmax(dim=1)
    network = with_head(build_network(seed=1), ORDINAL).eval()
    with torch.no_grad():
        outputs = network(images)
        started = class_logits(outputs).softmax(dim=1)
        network.fc.bias += torch.tensor([0.3, -0.5, -1.0])
        moved = network(images)
        folded = with_classes(network)(images).softmax(dim=1)

    torch.testing.assert_close(started, before)
    assert outputs.shape == (3, 3)
    torch.testing.assert_close(folded[:, 1], moved[:, 0].sigmoid())
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert network.fc.weight.shape == (2, 512)


def test_grades_stay_in_order_whatever_the_features() -> None:
    """With descending thresholds P(KL >= 2) >= P(KL >= 3) >= P(KL >= 4): one slope for all."""
    import torch
    from torch import nn

    from rhoa.learning.network import OrdinalHead

    head = OrdinalHead(nn.Linear(7, 2))
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
        logits = head(torch.randn((50, 7), generator=torch.Generator().manual_seed(0)))

    torch.testing.assert_close(logits[:, 0] - logits[:, 1], torch.ones(50))
    torch.testing.assert_close(logits[:, 1] - logits[:, 2], torch.ones(50))


def test_the_stem_is_frozen_where_the_recipe_says_so_and_thaws_in_the_end() -> None:
    from rhoa.learning.network import build_network, with_classes, with_head

    network = with_head(build_network(), replace(recipes["model-1"], frozen_stem=True))

    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1.weight", "bn1.weight", "bn1.bias"}
    assert all(p.requires_grad for p in with_classes(network).parameters())
