"""OAMIP as mixed-integer programs, solved by any solver.

Importance scores of the neurons of trained ReLU networks come out.

Names load their room on first use, so that importing the package, and ``oamip --help``, load no torch and no Pyomo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.bounds import Bounds as Bounds
    from oamip_model.bounds import Cutoff as Cutoff
    from oamip_model.bounds import load_bounds as load_bounds
    from oamip_model.certify import Box as Box
    from oamip_model.certify import check_certificate as check_certificate
    from oamip_model.certify import compress as compress
    from oamip_model.certify import distance as distance
    from oamip_model.certify import load_certificate as load_certificate
    from oamip_model.data import Dataset as Dataset
    from oamip_model.data import choose_images as choose_images
    from oamip_model.data import load_dataset as load_dataset
    from oamip_model.errors import CheckError as CheckError
    from oamip_model.errors import InputError as InputError
    from oamip_model.errors import OamipError as OamipError
    from oamip_model.errors import SolverError as SolverError
    from oamip_model.errors import SolverMissingError as SolverMissingError
    from oamip_model.formulation import Formulation as Formulation
    from oamip_model.formulation import abstract_model as abstract_model
    from oamip_model.formulation import build_instance as build_instance
    from oamip_model.network import Network as Network
    from oamip_model.network import read_network as read_network
    from oamip_model.pruning import ScoreImportance as ScoreImportance
    from oamip_model.pruning import baseline_scores as baseline_scores
    from oamip_model.pruning import choose_units as choose_units
    from oamip_model.pruning import critical_scores as critical_scores
    from oamip_model.pruning import fine_tune as fine_tune
    from oamip_model.pruning import prune as prune
    from oamip_model.pruning import prune_while_training as prune_while_training
    from oamip_model.pruning import prune_with_report as prune_with_report
    from oamip_model.pruning import retrain as retrain
    from oamip_model.pruning import save_module as save_module
    from oamip_model.pruning import to_module as to_module
    from oamip_model.pruning.budgets.options import Budget as Budget
    from oamip_model.refit import Refit as Refit
    from oamip_model.refit import RefitReport as RefitReport
    from oamip_model.refit import refit_network as refit_network
    from oamip_model.scoring import Scores as Scores
    from oamip_model.scoring import load_scores as load_scores
    from oamip_model.scoring import score as score
    from oamip_model.scoring.layer_methods import Backward as Backward
    from oamip_model.scoring.layer_methods import Decoupled as Decoupled
    from oamip_model.scoring.layer_methods import Elimination as Elimination
    from oamip_model.scoring.layer_methods import Forward as Forward
    from oamip_model.scoring.layer_options import Exchanges as Exchanges
    from oamip_model.scoring.layer_options import LevelMethod as LevelMethod
    from oamip_model.scoring.methods import Batches as Batches
    from oamip_model.scoring.methods import Joint as Joint
    from oamip_model.scoring.methods import PerClass as PerClass
    from oamip_model.solving import compile_arrays as compile_arrays
    from oamip_model.solving import get_backend as get_backend
    from oamip_model.solving import list_solvers as list_solvers
    from oamip_model.solving import solve_instance as solve_instance
    from oamip_model.solving.options import Run as Run
    from oamip_model.solving.options import Solver as Solver
    from oamip_model.solving.options import TreeSearch as TreeSearch
    from oamip_model.stochastic import scenarios as scenarios
    from oamip_model.tightening import compute_bounds as compute_bounds
    from oamip_model.tightening.methods import Tightening as Tightening
    from oamip_model.training import PUBLISHED as PUBLISHED
    from oamip_model.training import accuracy as accuracy
    from oamip_model.training import make_network as make_network
    from oamip_model.training import train as train
    from oamip_model.training import train_greedy as train_greedy

_HOMES = {
    "Bounds": "bounds", "Cutoff": "bounds", "load_bounds": "bounds",
    "Box": "certify", "check_certificate": "certify", "compress": "certify", "distance": "certify",
    "load_certificate": "certify",
    "Dataset": "data", "choose_images": "data", "load_dataset": "data",
    "CheckError": "errors", "InputError": "errors", "OamipError": "errors", "SolverError": "errors",
    "SolverMissingError": "errors",
    "Formulation": "formulation", "abstract_model": "formulation", "build_instance": "formulation",
    "Network": "network", "read_network": "network",
    "ScoreImportance": "pruning", "baseline_scores": "pruning", "choose_units": "pruning", "critical_scores": "pruning",
    "fine_tune": "pruning", "prune": "pruning",
    "prune_while_training": "pruning", "prune_with_report": "pruning", "retrain": "pruning", "save_module": "pruning",
    "to_module": "pruning", "Budget": "pruning.budgets.options",
    "Refit": "refit", "RefitReport": "refit", "refit_network": "refit",
    "Scores": "scoring", "load_scores": "scoring", "score": "scoring",
    "Forward": "scoring.layer_methods", "Backward": "scoring.layer_methods", "Decoupled": "scoring.layer_methods",
    "Elimination": "scoring.layer_methods", "Joint": "scoring.methods", "Batches": "scoring.methods",
    "PerClass": "scoring.methods",
    "Exchanges": "scoring.layer_options", "LevelMethod": "scoring.layer_options",
    "Solver": "solving.options", "Run": "solving.options", "TreeSearch": "solving.options",
    "Tightening": "tightening.methods",
    "compile_arrays": "solving", "get_backend": "solving", "list_solvers": "solving", "solve_instance": "solving",
    "scenarios": "stochastic", "compute_bounds": "tightening",
    "PUBLISHED": "training", "accuracy": "training", "make_network": "training", "train": "training",
    "train_greedy": "training",
}  # fmt: skip

__version__ = "0.2.0"
__getattr__, __dir__ = lazy_names(__name__, _HOMES, {"study": "oamip_benchmarks.tightness"})
