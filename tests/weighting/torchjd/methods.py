"""TorchJD's methods with the settings under which they compute what ours do.

Needs torch and torchjd (`requirements-peers.txt`), JAX not; `record.py` writes down what they give,
and `python benchmark.py aggregators --peers` takes their time.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torchjd import aggregation, scalarization
from torchjd.linalg import QuadprogProjector

from benchmarks.settings import options, static_weights


class Sample(NamedTuple):
    """What a step is given.

    Attributes:
        grads: task gradients [K, P].
        grads_2: task gradients of an independent batch [K, P].
        losses: losses [K].
        losses_after: losses of the same batch after the step [K].
    """

    grads: Tensor
    grads_2: Tensor
    losses: Tensor
    losses_after: Tensor


Step = Callable[[Sample], Tensor]


def aggregator(method: aggregation.Aggregator) -> Step:
    """The update of an aggregator."""
    return lambda sample: method(sample.grads)


def scalarizer(method: scalarization.Scalarizer, *, learnt: bool = False) -> Step:
    """dS/dL times the gradients; learnt weights move by Adam."""
    method = method.double()
    adam = torch.optim.Adam(method.parameters(), lr=1e-3) if learnt else None

    def step(sample: Sample) -> Tensor:
        losses = sample.losses.double().requires_grad_()
        method(losses).backward()
        if adam is not None:
            adam.step()
            adam.zero_grad()
        if isinstance(method, scalarization.FAMO):
            method.update(sample.losses_after.double())
        if isinstance(method, scalarization.DWA):
            method.step()
        return losses.grad.to(sample.grads.dtype) @ sample.grads

    return step


def two_batches(method: aggregation.Weighting) -> Step:
    """Weights from the products of two batches' gradients, on the sum of both."""

    def step(sample: Sample) -> Tensor:
        weights = method(sample.grads @ sample.grads_2.T)
        return weights @ (sample.grads + sample.grads_2)

    return step


def excess_mtl() -> Step:
    """Ours stores the first step's excess, as theirs does in one step of warm-up; ours sum to K."""
    method = aggregation.ExcessMTL(robust_step_size=0.01, n_warmup_steps=1)
    return lambda sample: len(sample.grads) * method(sample.grads)


def cr_mogm(cone: dict) -> Step:
    """Smoothed weights of UPGrad."""
    method = aggregation.CRMOGMWeighting(aggregation.UPGradWeighting(**cone), alpha=0.9)
    return lambda sample: method(sample.grads @ sample.grads.T) @ sample.grads


def uniform(num_tasks: int) -> Tensor:
    """A weight of 1/K for each task."""
    return torch.full([num_tasks], 1.0 / num_tasks, dtype=torch.float64)


def peers(
    num_tasks: int, *, exact: bool = True, dtype: torch.dtype = torch.float64
) -> dict[str, Callable[[], Step]]:
    """Label -> maker of a fresh step.

    Args:
        num_tasks: number of tasks K.
        exact: settings that solve the method's problem, or TorchJD's defaults, which do so
            approximately (mgda, cagrad, upgrad, dualproj).
        dtype: of the gradients.
    """
    a, s, k = aggregation, scalarization, num_tasks
    mgda = {"epsilon": 1e-9, "max_iters": 20_000} if exact else {}
    norm = {"norm_eps": 1e-9} if exact else {}
    cone = {"projector": QuadprogProjector(norm_eps=0.0, reg_eps=0.0)} if exact else {}
    ones = torch.ones(k, dtype=dtype)
    weights = torch.tensor(static_weights(k), dtype=dtype)
    return {
        "equal": lambda: aggregator(a.Sum()),
        "static": lambda: aggregator(a.Constant(weights)),
        "gls": lambda: scalarizer(s.GeometricMean()),
        "rlw": lambda: scalarizer(s.Random()),
        "uw": lambda: scalarizer(s.UW(k), learnt=True),
        "stch": lambda: scalarizer(s.STCH(options("stch", k)["mu"])),
        "famo": lambda: scalarizer(s.FAMO(k)),
        "dwa": lambda: scalarizer(s.DWA()),
        "aligned_mtl": lambda: aggregator(a.AlignedMTL(ones)),
        "aligned_mtl:median": lambda: aggregator(a.AlignedMTL(ones, scale_mode="median")),
        "aligned_mtl:rmse": lambda: aggregator(a.AlignedMTL(ones, scale_mode="rmse")),
        "pcgrad": lambda: aggregator(a.PCGrad()),
        "cagrad": lambda: aggregator(a.CAGrad(c=0.5, **norm)),
        "cagrad:1": lambda: aggregator(a.CAGrad(c=1.0, **norm)),
        "nash_mtl": lambda: aggregator(a.NashMTL(k)),
        "gradvac": lambda: aggregator(a.GradVac(beta=0.5)),
        "mgda": lambda: aggregator(a.MGDA(**mgda)),
        "imtl_g": lambda: aggregator(a.IMTLG()),
        "imtl_l": lambda: scalarizer(s.IMTLL(k), learnt=True),
        "upgrad": lambda: aggregator(a.UPGrad(**cone)),
        "dualproj": lambda: aggregator(a.DualProj(**cone)),
        "config": lambda: aggregator(a.ConFIG()),
        "fairgrad": lambda: aggregator(a.FairGrad(alpha=1.0)),
        "fairgrad:2": lambda: aggregator(a.FairGrad(alpha=2.0)),
        "graddrop": lambda: aggregator(a.GradDrop()),
        "excess_mtl": excess_mtl,
        "modo": lambda: two_batches(a.MoDoWeighting()),
        "sdmgrad": lambda: two_batches(a.SDMGradWeighting()),
        "cr_mogm": lambda: cr_mogm(cone),
        "pcd": lambda: aggregator(a.PCD()),
        "krum": lambda: aggregator(a.Krum(n_byzantine=1)),
        "krum:2": lambda: aggregator(a.Krum(n_byzantine=1, n_selected=2)),
        "trimmed_mean": lambda: aggregator(a.TrimmedMean(trim_number=1)),
        "random": lambda: scalarizer(s.Random()),
        "cosmos": lambda: scalarizer(s.COSMOS(options("cosmos", k)["lam"], uniform(k))),
        "pbi": lambda: scalarizer(s.PBI(5.0, uniform(k))),
    }
