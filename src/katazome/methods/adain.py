"""AdaIN: each channel of the content's features takes the mean and deviation of the style's; one pass.

Source: Huang & Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV
2017: eq. 8 at relu4_1 of the normalised VGG-19, the published decoder, ``--strength`` its alpha (eq. 14),
``--blend`` a weighted sum of the transformed features (eq. 15). Variances are biased, plus 1e-5, as in the
authors' program. Departures: a size that is no multiple of 8 is reflected up to one and cut again; a region's
statistics are its own, of the content too, as in the authors' masks; at strength 0 the picture has still gone
through the decoder, which is the paper's own meaning and not quite the photograph.
"""

from __future__ import annotations

from katazome.methods.base import Engine, Inputs, Task, register
from katazome.methods.onepass import OnePass
from katazome.methods.options import InstantOptions
from katazome.methods.transfer import ADAIN_LAYERS, normalised


@register("adain", summary="Means and deviations of features, in one pass", options=InstantOptions)
def adain(inputs: Inputs, options: InstantOptions, engine: Engine) -> Task:
    """Restyle a photograph in one pass."""
    return OnePass(inputs, options, engine, ADAIN_LAYERS, normalised, covariances=False)
