"""Style through chosen filters: eq. 7 to 10 on small matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from katazome.losses.filters import energy_kept, entry_weights, mixed_gram, touched
from katazome.losses.style import gram_loss


def gram(seed: int, channels: int = 5) -> Tensor:
    features = torch.rand(channels, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return features @ features.t() / 40


X, CONTENT, STYLE = gram(1), gram(2), gram(3)
CHOSEN = torch.tensor([True, False, False, True, False])


def test_the_target_by_hand() -> None:
    target = mixed_gram(CONTENT, STYLE, CHOSEN)
    for i in range(5):
        for j in range(5):
            source = STYLE if i in (0, 3) or j in (0, 3) else CONTENT
            assert target[i, j] == source[i, j]


def test_the_loss_is_the_mean_over_each_set_of_entries() -> None:
    target, either = mixed_gram(CONTENT, STYLE, CHOSEN), touched(CHOSEN)
    squares = (X - target).square()
    found = gram_loss(X, target, entry_weights(CHOSEN))
    assert float(found) == pytest.approx(float(squares[either].mean() + squares[~either].mean()))
    share = (2 * 2 * 5 - 2 * 2) / 25  # eq. 10
    assert float(either.double().mean()) == pytest.approx(share)


def test_the_printed_reading_counts_chosen_pairs_twice_and_the_rest_not_at_all() -> None:
    target, share = mixed_gram(CONTENT, STYLE, CHOSEN), 16 / 25
    squares = (X - target).square()
    both = CHOSEN[:, None] & CHOSEN[None, :]
    printed = (squares[both].sum() / (1 - share) + squares[touched(CHOSEN)].sum() / share) / 25
    assert float(gram_loss(X, target, entry_weights(CHOSEN, printed=True))) == pytest.approx(float(printed))


@pytest.mark.parametrize("printed", [False, True])
def test_all_chosen_is_gatys_loss(printed: bool) -> None:
    every = torch.ones(5, dtype=torch.bool)
    found = gram_loss(X, mixed_gram(CONTENT, STYLE, every), entry_weights(every, printed=printed))
    assert float(found) == pytest.approx(float(gram_loss(X, STYLE)))


def test_none_chosen_keeps_the_contents_own_look() -> None:
    none = torch.zeros(5, dtype=torch.bool)
    found = gram_loss(X, mixed_gram(CONTENT, STYLE, none), entry_weights(none))
    assert float(found) == pytest.approx(float(gram_loss(X, CONTENT)))


def test_energy_is_the_contents_and_togetherness_the_styles() -> None:
    kept = energy_kept(CONTENT, STYLE)
    torch.testing.assert_close(kept.diagonal(), CONTENT.diagonal())

    def togetherness(g: Tensor) -> Tensor:
        return g / (g.diagonal()[:, None] * g.diagonal()[None, :]).sqrt()

    torch.testing.assert_close(togetherness(kept), togetherness(STYLE))


def test_a_filter_that_the_style_never_excites_makes_no_nan() -> None:
    silent = STYLE.clone()
    silent[1], silent[:, 1] = 0, 0
    kept = energy_kept(CONTENT, silent)
    assert bool(kept.isfinite().all())
    assert float(kept[1, 1]) == float(CONTENT[1, 1])
    assert not kept[1, 2:].any()
