"""The attacks of the paper and their neighbors, as rows of data.

`paper` holds the 42 attacks of the paper's tables: 22 L2, 12 Linf, 6 L1 and
2 L0, with the hyper-parameters of foolbox 3.2.1 (Pointwise: 2.4.0). The
paper's own list is in an appendix that our copy lacks; this is the one that
fits its counts and its references. `quick` is a reduced preset for a first
look, `autoattack` the four of Croce and Hein (2020, in L1 2021), with losses
that suit more models, and `extra` what else can be called with a model alone.
`DatasetAttack`, which has to be fed images first, and
`BinarizationRefinementAttack`, which refines what others find, are in none.
"""

import dataclasses

from foolbox import distances

from dim_tf import attacks
from dim_tf.attacks.spec import DECISIONS
from dim_tf.attacks.spec import GRADIENTS
from dim_tf.attacks.spec import NOTHING
from dim_tf.attacks.spec import SCORES
from dim_tf.attacks.spec import AttackSpec


def _specs(*rows) -> dict[str, AttackSpec]:
    return {name: AttackSpec(name, *rest) for name, *rest in rows}


def _challenge(steps):
    """PGD at the budget of the MNIST challenge of Madry et al. (2018)."""
    attack = attacks.LinfProjectedGradientDescentAttack(
        steps=steps, abs_stepsize=0.01
    )
    return f"linf_pgd{steps}_challenge", GRADIENTS, attack, 1, (0.3,)


def _targeted_apgd(norm):
    """APGD toward as many classes as AutoAttack has it go to in a norm."""
    targets = 5 if norm == "l1" else 9
    return attacks.TargetedAutoPGDAttack(norm=norm, targets=targets)


def _flexible(norm, distance):
    """The five searches that look the same in every norm."""
    rows = (
        ("inversion", NOTHING, attacks.InversionAttack),
        ("bs_contrast", DECISIONS, attacks.BinarySearchContrastReductionAttack),
        ("ls_contrast", DECISIONS, attacks.LinearSearchContrastReductionAttack),
        ("gaussian_blur", DECISIONS, attacks.GaussianBlurAttack),
        (
            "blended_uniform",
            DECISIONS,
            attacks.LinearSearchBlendedUniformNoiseAttack,
        ),
    )
    return [
        (f"{norm}_{name}", access, kind(distance=distance))
        for name, access, kind in rows
    ]


_L2 = (
    ("l2_contrast_reduction", NOTHING, attacks.L2ContrastReductionAttack()),
    (
        "l2_ddn",
        GRADIENTS,
        attacks.DDNAttack(steps=10, schedule="compounding"),
    ),
    ("l2_pgd", GRADIENTS, attacks.L2ProjectedGradientDescentAttack()),
    ("l2_bim", GRADIENTS, attacks.L2BasicIterativeAttack()),
    ("l2_fgm", GRADIENTS, attacks.L2FastGradientAttack()),
    ("l2_add_gauss", NOTHING, attacks.L2AdditiveGaussianNoiseAttack()),
    ("l2_add_uniform", NOTHING, attacks.L2AdditiveUniformNoiseAttack()),
    (
        "l2_ca_add_gauss",
        NOTHING,
        attacks.L2ClippingAwareAdditiveGaussianNoiseAttack(),
    ),
    (
        "l2_ca_add_uniform",
        NOTHING,
        attacks.L2ClippingAwareAdditiveUniformNoiseAttack(),
    ),
    (
        "l2_rep_gauss",
        DECISIONS,
        attacks.L2RepeatedAdditiveGaussianNoiseAttack(),
    ),
    (
        "l2_rep_uniform",
        DECISIONS,
        attacks.L2RepeatedAdditiveUniformNoiseAttack(),
    ),
    (
        "l2_ca_rep_gauss",
        DECISIONS,
        attacks.L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack(),
    ),
    (
        "l2_ca_rep_uniform",
        DECISIONS,
        attacks.L2ClippingAwareRepeatedAdditiveUniformNoiseAttack(),
    ),
    ("l2_deepfool", GRADIENTS, attacks.L2DeepFoolAttack()),
    ("l2_carlini_wagner", GRADIENTS, attacks.L2CarliniWagnerAttack()),
    ("l2_brendel_bethge", GRADIENTS, attacks.L2BrendelBethgeAttack()),
    ("l2_boundary", DECISIONS, attacks.BoundaryAttack()),
    *_flexible("l2", distances.l2),
)
_LINF = (
    ("linf_pgd", GRADIENTS, attacks.LinfProjectedGradientDescentAttack()),
    ("linf_bim", GRADIENTS, attacks.LinfBasicIterativeAttack()),
    ("linf_fgsm", GRADIENTS, attacks.LinfFastGradientAttack()),
    ("linf_add_uniform", NOTHING, attacks.LinfAdditiveUniformNoiseAttack()),
    (
        "linf_rep_uniform",
        DECISIONS,
        attacks.LinfRepeatedAdditiveUniformNoiseAttack(),
    ),
    ("linf_deepfool", GRADIENTS, attacks.LinfDeepFoolAttack()),
    ("linf_brendel_bethge", GRADIENTS, attacks.LinfinityBrendelBethgeAttack()),
    *_flexible("linf", distances.linf),
)
_L1 = (
    ("l1_pgd", GRADIENTS, attacks.L1ProjectedGradientDescentAttack()),
    ("l1_bim", GRADIENTS, attacks.L1BasicIterativeAttack()),
    ("l1_fgm", GRADIENTS, attacks.L1FastGradientAttack()),
    ("l1_sparse_descent", GRADIENTS, attacks.SparseL1DescentAttack()),
    ("l1_ead", GRADIENTS, attacks.EADAttack()),
    ("l1_brendel_bethge", GRADIENTS, attacks.L1BrendelBethgeAttack()),
)
_L0 = (
    ("l0_pointwise_x10", DECISIONS, attacks.PointwiseAttack(), 10),
    ("l0_brendel_bethge", GRADIENTS, attacks.L0BrendelBethgeAttack()),
)
PAPER = _specs(*_L2, *_LINF, *_L1, *_L0)
EXTRA = _specs(
    ("l2_ddn100", GRADIENTS, attacks.DDNAttack()),
    ("l2_vat", GRADIENTS, attacks.VirtualAdversarialAttack(steps=50, xi=1.0)),
    ("l2_newton_fool", GRADIENTS, attacks.NewtonFoolAttack()),
    ("l2_salt_and_pepper", DECISIONS, attacks.SaltAndPepperNoiseAttack()),
    ("l2_hop_skip_jump", DECISIONS, attacks.HopSkipJumpAttack()),
    (
        "linf_hop_skip_jump",
        DECISIONS,
        attacks.HopSkipJumpAttack(constraint="linf"),
    ),
    ("l2_latent_descent", SCORES, attacks.LatentDescentAttack()),
    *_flexible("l1", distances.l1),
    _challenge(40),
    _challenge(100),
    *(
        (
            f"{norm}_apgd_dlr",
            GRADIENTS,
            dataclasses.replace(_targeted_apgd(norm), loss="dlr"),
        )
        for norm in ("l1", "l2", "linf")
    ),
    ("l0_fmn", GRADIENTS, attacks.L0FMNAttack()),
    ("l1_fmn", GRADIENTS, attacks.L1FMNAttack()),
    ("l2_fmn", GRADIENTS, attacks.L2FMNAttack()),
    ("linf_fmn", GRADIENTS, attacks.LInfFMNAttack()),
    ("l1_mi_fgsm", GRADIENTS, attacks.L1MomentumIterativeFastGradientMethod()),
    ("l2_mi_fgsm", GRADIENTS, attacks.L2MomentumIterativeFastGradientMethod()),
    (
        "linf_mi_fgsm",
        GRADIENTS,
        attacks.LinfMomentumIterativeFastGradientMethod(),
    ),
    (
        "l2_decaying_descent",
        GRADIENTS,
        attacks.DecayingDescentAttack(norm="l2", loss="margin"),
    ),
    (
        "linf_decaying_descent",
        GRADIENTS,
        attacks.DecayingDescentAttack(norm="linf", loss="margin"),
    ),
)
# APGD climbs the log-odds where the published one climbs the cross-entropy, and
# its targeted form the margin.
AUTOATTACK = _specs(
    *(
        row
        for norm in ("l2", "linf", "l1")
        for row in (
            (
                f"{norm}_apgd_ce",
                GRADIENTS,
                attacks.AutoPGDAttack(norm=norm),
                5 if norm == "l1" else 1,
            ),
            (f"{norm}_apgd_t", GRADIENTS, _targeted_apgd(norm)),
            (f"{norm}_fab_t", GRADIENTS, attacks.FABAttack(norm=norm)),
            (f"{norm}_square", SCORES, attacks.SquareAttack(norm=norm)),
        )
    )
)
# A few of each norm, those that find most for what they cost; and BIM, whose
# probes tell whether gradient descent converges.
QUICK = {
    "linf_bim": PAPER["linf_bim"],
    "l2_apgd_ce": AUTOATTACK["l2_apgd_ce"],
    **_specs(
        ("l2_ddn30", GRADIENTS, attacks.DDNAttack(steps=30)),
        ("l2_fab_t3", GRADIENTS, attacks.FABAttack(norm="l2", targets=3)),
        (
            "l2_brendel_bethge_100",
            GRADIENTS,
            attacks.L2BrendelBethgeAttack(steps=100, lr_num_decay=10),
        ),
        (
            "linf_brendel_bethge_50",
            GRADIENTS,
            attacks.LinfinityBrendelBethgeAttack(steps=50, lr_num_decay=10),
        ),
        (
            "l2_square_1000",
            SCORES,
            attacks.SquareAttack(norm="l2", queries=1000),
        ),
        ("linf_square_1000", SCORES, attacks.SquareAttack(queries=1000)),
        ("l1_fmn", GRADIENTS, attacks.L1FMNAttack()),
        ("l1_fab_t3", GRADIENTS, attacks.FABAttack(norm="l1", targets=3)),
        ("l0_fmn", GRADIENTS, attacks.L0FMNAttack()),
        ("l0_pointwise", DECISIONS, attacks.PointwiseAttack()),
    ),
}
PRESETS = {
    "paper": PAPER,
    "quick": QUICK,
    "autoattack": AUTOATTACK,
    "extra": EXTRA,
}
