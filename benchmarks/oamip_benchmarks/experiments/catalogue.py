"""All studies by name."""

from __future__ import annotations

from oamip_benchmarks.experiments.studies import (
    accuracy_curve,
    classes,
    fine_tuned,
    images,
    initialisation,
    prune_to_solve,
    pruning,
    refit,
    snip,
    transfer,
    weight,
    while_training,
)
from oamip_benchmarks.experiments.study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        pruning.STUDY,
        accuracy_curve.STUDY,
        images.STUDY,
        weight.STUDY,
        classes.STUDY,
        initialisation.STUDY,
        while_training.STUDY,
        snip.STUDY,
        transfer.STUDY,
        refit.STUDY,
        fine_tuned.STUDY,
        prune_to_solve.STUDY,
    )
}
